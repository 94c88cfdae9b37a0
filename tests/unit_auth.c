/* auth/: what is parsed before anybody has logged in: channel frames, PROXY headers, passwd-file lines; password hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "auth/channel.h"
#include "auth/hash.h"
#include "auth/nsswitch.h"
#include "auth/passwd_line.h"
#include "auth/proxy.h"

static const char good_login[] = "L\0\5PLAIN\0\0\0\4alex\0\5drums";

static void test_channel(void **state)
{
    struct channel_request r;
    (void)state;
    assert_int_equal(channel_parse(&r, good_login, sizeof good_login - 1), 0);
    assert_int_equal(r.type, CHANNEL_LOGIN);
    assert_true(str_eq(r.field[0], STR("PLAIN")));
    assert_int_equal(r.field[1].n, 0);
    assert_true(str_eq(r.field[2], STR("alex")));
    assert_true(str_eq(r.field[3], STR("drums")));
    for (size_t n = 0; n < sizeof good_login - 1; n++)            /* cut off anywhere: refused */
        assert_int_equal(channel_parse(&r, good_login, n), -1);
    assert_int_equal(channel_parse(&r, good_login, sizeof good_login), -1);      /* an octet too many */
    assert_int_equal(channel_parse(&r, "Z\0\0", 3), -1);
    assert_int_equal(channel_parse(&r, "L\0\1P\0\0\0\2a\0\0\1x", 13), -1);         /* NUL in a name */
    assert_int_equal(channel_parse(&r, "P\0\3a\0b", 6), 0);                       /* but not in input */
}

static void test_channel_bounds(void **state)
{
    struct channel_request r;
    static unsigned char frame[CHANNEL_FRAME_MAX];
    (void)state;
    memset(frame, 'x', sizeof frame);
    frame[0] = 'D';
    frame[1] = CHANNEL_TAG_MAX >> 8;
    frame[2] = CHANNEL_TAG_MAX & 0xff;
    assert_int_equal(channel_parse(&r, frame, 3 + CHANNEL_TAG_MAX), 0);
    frame[2]++;
    assert_int_equal(channel_parse(&r, frame, 3 + CHANNEL_TAG_MAX + 1), -1);
}

/* As the reader does it: one octet more as long as the length is not known. Checks that it never asks for too many. */
static int feed(struct proxy_header *h, const char *bytes, size_t n, size_t *taken)
{
    for (size_t have = 1; have <= n; have++) {
        const long len = proxy_length(bytes, have);
        if (len < 0)
            return -1;
        assert_true(len == 0 || (size_t)len >= have);
        if (len == (long)have) {
            *taken = have;
            return proxy_parse(h, bytes, have);
        }
    }
    return -2;
}
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define IPV4 "\300\0\2\1\306\63\144\7\234\100\0\217"

static void test_proxy_good(void **state)
{
    static const struct { const char *bytes; size_t n; const char *address; char tls; } rows[] = {
#define ROW(s, a, t) { s "a1 NOOP\r\n", sizeof s - 1, a, t }
        ROW("PROXY TCP4 192.0.2.1 198.51.100.7 40000 143\r\n", "192.0.2.1", '?'),
        ROW("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", "2001:db8::1", '?'),
        ROW("PROXY UNKNOWN\r\n", "", '?'),
        ROW("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", '?'),
        ROW(SIGNATURE "\x21\x11\0\x0c" IPV4, "192.0.2.1", '?'),
        ROW(SIGNATURE "\x21\x11\0\x14" IPV4 "\x20\0\5\1\0\0\0\0", "192.0.2.1", 'y'),
        ROW(SIGNATURE "\x21\x11\0\x14" IPV4 "\x20\0\5\0\0\0\0\0", "192.0.2.1", 'n'),
        ROW(SIGNATURE "\x21\x11\0\x10" IPV4 "\x04\0\1x", "192.0.2.1", '?'),
        ROW(SIGNATURE "\x20\0\0\0", "", '?'),
        ROW(SIGNATURE "\x20\0\0\4abcd", "", '?'),
        ROW(SIGNATURE "\x21\0\0\0", "", '?'),
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct proxy_header h;
        size_t taken = 0;
        assert_int_equal(feed(&h, rows[i].bytes, rows[i].n + 9, &taken), 0);
        assert_int_equal(taken, rows[i].n);                       /* and the client's first command stays unread */
        assert_string_equal(h.address, rows[i].address);
        assert_int_equal(h.tls, rows[i].tls);
    }
}

static void test_proxy_bad(void **state)
{
    static const struct { const char *bytes; size_t n; } rows[] = {
#define BAD(s) { s, sizeof s - 1 }
        BAD("a1 LOGIN x y\r\n"), BAD("PROXY\r\n"), BAD("PROXY \r\n"), BAD("PROXY TCP4\r\n"),
        BAD("PROXY TCP4 192.0.2.1 198.51.100.7 40000\r\n"), BAD("PROXY TCP4 192.0.2.1 198.51.100.7 40000 143 x\r\n"),
        BAD("PROXY TCP4 192.0.2.1  198.51.100.7 40000 143\r\n"), BAD("PROXY TCP4 192.0.2.300 198.51.100.7 40000 143\r\n"),
        BAD("PROXY TCP4 ::1 ::1 40000 143\r\n"), BAD("PROXY TCP6 192.0.2.1 ::1 1 2\r\n"), BAD("PROXY TCP5 1.1.1.1 1.1.1.1 1 2\r\n"),
        BAD("PROXY TCP4 192.0.2.1 198.51.100.7 40000 143\n"), BAD("PROXY TCP4 192.0.2.1 198.51.100.7 x 143\r\n"),
        BAD("PROXY TCP4 192.0.2.1 198.51.100.7 40000 1433333\r\n"), BAD("PROXY TCP4 192.0.2.1\0 198.51.100.7 4 1\r\n"),
        BAD(SIGNATURE "\x11\x11\0\x0c" IPV4), BAD(SIGNATURE "\x22\x11\0\x0c" IPV4), BAD(SIGNATURE "\x21\x41\0\x0c" IPV4),
        BAD(SIGNATURE "\x21\x11\0\4abcd"), BAD(SIGNATURE "\x21\x11\xff\xff" IPV4),
        BAD(SIGNATURE "\x21\x11\0\x10" IPV4 "\x20\0\5\1"), BAD(SIGNATURE "\x21\x11\0\x0e" IPV4 "\4\0"),
        BAD(SIGNATURE "\x21\x11\0\x10" IPV4 "\x20\0\1\1"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct proxy_header h;
        size_t taken;
        assert_int_equal(feed(&h, rows[i].bytes, rows[i].n, &taken), -1);
    }
    char endless[4096];
    struct proxy_header h;
    size_t taken;
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "PROXY ", 6);
    assert_int_equal(feed(&h, endless, sizeof endless, &taken), -1);
}

static void test_proxy_read(void **state)
{
    static const char sent[] = "PROXY TCP4 192.0.2.1 198.51.100.7 40000 143\r\na1 NOOP\r\n";
    struct proxy_header h;
    int pair[2];
    char rest[64];
    (void)state;
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(write(pair[1], sent, sizeof sent - 1), sizeof sent - 1);
    assert_int_equal(proxy_read(&h, pair[0]), 0);
    assert_int_equal(read(pair[0], rest, sizeof rest), 9);
    assert_memory_equal(rest, "a1 NOOP\r\n", 9);
    assert_int_equal(write(pair[1], "PROXY TCP4 1", 12), 12);
    close(pair[1]);
    assert_int_equal(proxy_read(&h, pair[0]), -1);                /* hung up within the header */
    close(pair[0]);
}

static void test_passwd_line(void **state)
{
    struct passwd_line e;
    char line[200];
    (void)state;
#define LINE(s) (snprintf(line, sizeof line, "%s", s), passwd_line_parse(&e, line))
    assert_int_equal(LINE("alex:$6$abc$def:2001:2002::/home/alex\n"), 1);
    assert_string_equal(e.name, "alex");
    assert_string_equal(e.hash, "$6$abc$def");
    assert_string_equal(e.home, "/home/alex");
    assert_int_equal(e.uid, 2001);
    assert_int_equal(e.gid, 2002);
    assert_int_equal(LINE("alex:{CRYPT}$6$abc$def:2001:2002:Alex D.:/h:/bin/sh:extra"), 1);
    assert_string_equal(e.hash, "$6$abc$def");
    assert_string_equal(e.home, "/h");
    assert_int_equal(LINE(""), 0);
    assert_int_equal(LINE("# alex:x:1:1::/h"), 0);
    static const char *const bad[] = {
        "alex", "alex:h:1:1", "alex:h:1:1:", "alex:h:1:1::", "alex:h:1:1::home", "a/b:h:1:1::/h", "../x:h:1:1::/h", ":h:1:1::/h",
        "-x:h:1:1::/h", "a b:h:1:1::/h", "alex:h:-1:1::/h", "alex:h:1:x::/h", "alex:h:4294967295:1::/h", "alex:h:: 1::/h",
        "alex:h:18446744073709551617:1::/h", "alex:h:0x10:1::/h"
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(LINE(bad[i]), -1);
}

static void test_hash(void **state)
{
    /* of "firetruck"; made with mkpasswd(1) */
    static const char sha512[] = "$6$rounds=1000$qwertyui$PcFrIedLMTJ34u.KhtiO9cwY1hpvnjfy.XwVLywXmQE.IuR4wcyRnSheTXpS.pwDtNl7lGyxTlHsxeUZlCJhB1";
    static const char yescrypt[] = "$y$j75$3cG1b5jC3bQhJcGkOZ6dv/$3gdkTXphzTWI3CqUVg6w4kLVR/03eWk3wTmmoHqqsf5";
    static const char bcrypt[] = "$2b$04$abcdefghijklmnopqrstuuLpH/4LVGCKP6OxrcPlwbjndwMs3Bu3S";
    static const char *const all[] = { sha512, yescrypt, bcrypt };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(hash_usable(all[i]));
        assert_int_equal(hash_check(all[i], "firetruck"), 1);
        assert_int_equal(hash_check(all[i], "firetruc"), 0);
        assert_int_equal(hash_check(all[i], ""), 0);
    }
    assert_false(hash_usable(""));
    assert_false(hash_usable("!"));
    assert_false(hash_usable("*"));
    assert_false(hash_usable(NULL));
    assert_int_equal(hash_check("!$6$abc$def", "x"), 0);
    assert_int_equal(hash_check("$9$no-such-method", "x"), 0);
    assert_int_equal(hash_check("*0*0*0*0*0*0*0", "x"), 0);
    hash_spend(NULL, "x");
    hash_spend(sha512, "x");
}

struct words {
    char text[200];
    unsigned most;
};

static bool take_word(void *ctx, const char *word, size_t n)
{
    struct words *w = ctx;
    assert_true(n > 0 && strlen(w->text) + n + 2 < sizeof w->text);
    strncat(w->text, word, n);
    strcat(w->text, "|");
    return --w->most > 0;
}

static void test_nsswitch(void **state)
{
    static const struct {
        const char *line, *words;
    } cases[] = {
        { "group: files systemd\n", "files|systemd|" }, { " \tgroup:files", "files|" }, { "group: \n", "" }, { "group:", "" },
        { "group: files [NOTFOUND=return] sss # x\n", "files|[NOTFOUND=return]|sss|" }, { "group: [!UNAVAIL=return\n", "[!UNAVAIL=return|" },
        { "group: a\1b,c", "a|b|c|" }, { "group: files[SUCCESS=merge]systemd", "files|[SUCCESS=merge]|systemd|" }, { "group: [#]", "[|" },
        { "groups: files\n", NULL }, { "grou", NULL }, { "", NULL }, { "# group: files\n", NULL }, { "initgroups: files\n", NULL }
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct words w = { "", 100 };
        assert_int_equal(nsswitch_line(cases[i].line, "group", take_word, &w), cases[i].words != NULL);
        assert_string_equal(w.text, cases[i].words != NULL ? cases[i].words : "");
    }
    struct words one = { "", 1 };
    assert_true(nsswitch_line("group: files systemd", "group", take_word, &one));
    assert_string_equal(one.text, "files|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nsswitch),
        cmocka_unit_test(test_channel), cmocka_unit_test(test_channel_bounds), cmocka_unit_test(test_proxy_good),
        cmocka_unit_test(test_proxy_bad), cmocka_unit_test(test_proxy_read), cmocka_unit_test(test_passwd_line),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
