/* base/config.h: the settings file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/config.h"

static char err[400];

static int read_text(struct config *c, const char *text)
{
    char path[] = "/tmp/unit_config.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    err[0] = '\0';
    const int result = config_read(c, path, false, err, sizeof err);
    unlink(path);
    return result;
}

static void test_defaults(void **state)
{
    struct config c;
    (void)state;
    assert_int_equal(config_read(&c, "/nonexistent/imapd.conf", true, err, sizeof err), 0);
    assert_string_equal(c.inbox, "/var/mail/%u");
    assert_string_equal(c.index_dir, "%h/.imapd");
    assert_int_equal(c.first_uid, 1000);
    assert_int_equal(c.login_delay_ms, 2000);
    assert_true(c.system_users);
    assert_false(c.plaintext_login);
    assert_null(c.passwd_file);
    assert_non_null(c.hostname);
    assert_int_equal(c.append_limit, 2147483647);
    config_free(&c);
    assert_int_equal(config_read(&c, "/nonexistent/imapd.conf", false, err, sizeof err), -1);
    assert_non_null(strstr(err, "/nonexistent/imapd.conf"));
    config_free(&c);
}

static void test_values(void **state)
{
    struct config c;
    (void)state;
    assert_int_equal(read_text(&c, "# comment\n; another\n\npasswd-file = /etc/imapd/passwd\nsystem-users = no\n"
                                   "first-uid=500\nplaintext-login = yes\nlogin-delay = 0\nquoting = mboxo\n"
                                   "expunge-on = select, logout\nappend-limit = 20M\nhostname = mail.example.org\n"
                                   "proxy-from = 127.0.0.1\n    192.0.2.0/24\n    ::1\nmail-root = mail\n"), 0);
    assert_string_equal(c.passwd_file, "/etc/imapd/passwd");
    assert_false(c.system_users);
    assert_int_equal(c.first_uid, 500);
    assert_true(c.plaintext_login);
    assert_int_equal(c.login_delay_ms, 0);
    assert_int_equal(c.quoting, QUOTING_MBOXO);
    assert_int_equal(c.expunge_on, EXPUNGE_ON_SELECT | EXPUNGE_ON_LOGOUT);
    assert_int_equal(c.append_limit, 20 << 20);
    assert_string_equal(c.hostname, "mail.example.org");
    assert_string_equal(c.proxy_from, "127.0.0.1 192.0.2.0/24 ::1");
    config_free(&c);
}

static void test_bad(void **state)
{
    static const struct { const char *text, *says; } rows[] = {
        { "inbox = /var/mail/%u\nno-such = 1\n", ":2: unknown setting" },
        { "\n\nsystem-users = perhaps\n", ":3: bad value" },
        { "first-uid = -1\n", ":1: bad value" }, { "first-uid = 4294967296\n", ":1: bad value" },
        { "login-attempts = 3x\n", ":1: bad value" }, { "login-attempts =\n", ":1: bad value" },
        { "append-limit = 99999999999999999999\n", ":1: bad value" }, { "line-limit = 8G\n", ":1: bad value" },
        { "secure-from = localhost\n", ":1: bad value" }, { "secure-from = 10.0.0.1\n   10.0.0.0/33\n", ":2: bad value" },
        { "proxy-from = 10.0.0.0/\n", "(it must be addresses, or networks as address/bits)" }, { "proxy-from = ::1/129\n", ":1: bad value" },
        { "mechanisms = PLAIN, CRAM-MD5\n", ":1: bad value: mechanisms = PLAIN, CRAM-MD5 (it must be names of mechanisms" },
        { "system-users = perhaps\nquoting = maybe\n", "system-users = perhaps (it must be yes or no)" },
        { "quoting = maybe\n", ":1: bad value" }, { "expunge-on = always\n", ":1: bad value" },
        { "[section]\ninbox = /x\n", ":2: there are no sections" }, { "just words\n", ":1: cannot be read" },
        { "inbox = mail\n", "absolute" }, { "mail-root = ../x\n", "mail-root" }, { "login-attempts = 0\n", "must not be 0" },
        { "line-limit = 10\n", "line-limit" }, { "hostname = two words\n", "hostname" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config c;
        assert_int_equal(read_text(&c, rows[i].text), -1);
        assert_non_null(strstr(err, rows[i].says));
        config_free(&c);
    }
}

static void test_long_line(void **state)
{
    struct config c;
    char text[2000];
    (void)state;
    snprintf(text, sizeof text, "inbox = /%01500d\n", 1);
    assert_int_equal(read_text(&c, text), -1);
    assert_non_null(strstr(err, ":1: line too long"));
    config_free(&c);
}

static void test_expand(void **state)
{
    static const struct { const char *pattern, *result; } rows[] = {
        { "/var/mail/%u", "/var/mail/alex" }, { "%h/.imapd", "/home/alex/.imapd" }, { "/a%%b%x%", "/a%b%x%" }, { "", "" }
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *s = config_expand(rows[i].pattern, "alex", "/home/alex");
        assert_string_equal(s, rows[i].result);
        free(s);
    }
}

/* oauth-keys asks for who issues tokens and for whom; the scope goes into JSON. */
static void test_oauth(void **state)
{
    static const struct { const char *text, *error; } rows[] = {
        { "oauth-keys = /k\noauth-issuer = i\noauth-audience = a\n", NULL },
        { "oauth-keys = /k\noauth-issuer = i\noauth-audience = a\noauth-scope = https://x/mail\noauth-user-claim = email\n", NULL },
        { "oauth-issuer = i\noauth-scope = a b\n", NULL },
        { "oauth-keys = /k\n", "oauth-issuer" },
        { "oauth-keys = /k\noauth-issuer = i\n", "oauth-audience" },
        { "oauth-keys = /k\noauth-audience = a\n", "oauth-issuer" },
        { "oauth-keys = /k\noauth-issuer =\noauth-audience = a\n", "oauth-issuer" },
        { "oauth-keys = k\noauth-issuer = i\noauth-audience = a\n", "absolute" },
        { "oauth-keys = /k\noauth-issuer = i\noauth-audience = a\noauth-scope = a b\n", "oauth-scope" },
        { "oauth-keys = /k\noauth-issuer = i\noauth-audience = a\noauth-scope = a\"b\n", "oauth-scope" },
        { "oauth-keys = /k\noauth-issuer = i\noauth-audience = a\noauth-user-claim =\n", "oauth-user-claim" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config c;
        assert_int_equal(read_text(&c, rows[i].text), rows[i].error == NULL ? 0 : -1);
        if (rows[i].error != NULL)
            assert_non_null(strstr(err, rows[i].error));
        config_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_values), cmocka_unit_test(test_oauth), cmocka_unit_test(test_bad),
        cmocka_unit_test(test_long_line), cmocka_unit_test(test_expand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
