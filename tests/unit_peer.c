/* auth/peer.c: address lists, and what a PROXY header changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "auth/auth.h"

static bool in(const char *list, const char *address)
{
    struct config c = { .proxy_from = strdup(list) };
    struct peer p = { .network = true };
    snprintf(p.address, sizeof p.address, "%s", address);
    const bool found = peer_is_proxy(&p, &c);
    free(c.proxy_from);
    return found;
}

static void test_lists(void **state)
{
    (void)state;
    assert_true(in("127.0.0.1", "127.0.0.1"));
    assert_false(in("127.0.0.1", "127.0.0.2"));
    assert_true(in("10.0.0.0/8 192.0.2.0/25", "192.0.2.127"));
    assert_false(in("10.0.0.0/8,192.0.2.0/25", "192.0.2.128"));
    assert_true(in("0.0.0.0/0", "203.0.113.9"));
    assert_false(in("0.0.0.0/0", "2001:db8::1"));
    assert_true(in("::/0", "2001:db8::1"));
    assert_true(in("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(in("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(in("::ffff:192.0.2.1", "192.0.2.1"));
    assert_false(in("10.0.0.0/33", "10.0.0.0"));                  /* nonsense matches nothing */
    assert_false(in("10.0.0.0/x 10.0.0.0/ host", "10.0.0.0"));
    assert_false(in("", "10.0.0.0"));
    assert_false(in("0.0.0.0/0 ::/0", "local"));
    assert_false(in("0.0.0.0/0 ::/0", "unknown"));
}

static void test_proxied(void **state)
{
    static const struct { bool hop_secure, listed; char tls; bool secure; } rows[] = {
        { true, false, '?', true }, { false, false, '?', false }, { true, false, 'n', false }, { false, false, 'y', true },
        { false, true, 'n', true }, { true, true, 'n', true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char list[] = "192.0.2.5";
        struct config c = { .secure_from = rows[i].listed ? list : NULL };
        struct peer p = { .network = true, .secure = rows[i].hop_secure, .address = "192.0.2.5" };
        assert_int_equal(peer_proxied(&p, &c, "203.0.113.9", rows[i].tls), 0);
        assert_string_equal(p.address, "203.0.113.9");
        assert_string_equal(p.proxy, "192.0.2.5");
        assert_int_equal(p.secure, rows[i].secure);
        assert_int_equal(peer_plaintext_login(&p, &c), rows[i].secure);
        assert_false(peer_is_proxy(&p, &c));
    }
}

static void test_proxied_bad(void **state)
{
    struct config c = { .proxy_from = NULL };
    struct peer p = { .network = true, .address = "192.0.2.5" };
    (void)state;
    assert_int_equal(peer_proxied(&p, &c, "evil address=1.2.3.4", '?'), -1);
    assert_int_equal(peer_proxied(&p, &c, "203.0.113.9", 'x'), -1);
    assert_string_equal(p.address, "192.0.2.5");
    assert_int_equal(peer_proxied(&p, &c, "", '?'), 0);
    assert_string_equal(p.address, "192.0.2.5");
    assert_string_equal(p.proxy, "192.0.2.5");
}

static void test_local(void **state)
{
    struct config c = { .proxy_from = NULL };
    struct peer p;
    int pair[2];
    (void)state;
    assert_int_equal(pipe(pair), 0);
    peer_find(&p, pair[0], &c);
    assert_false(p.network);
    assert_true(p.secure);
    assert_string_equal(p.address, "local");
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    peer_find(&p, pair[0], &c);
    assert_false(p.network);
    assert_true(p.secure);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists), cmocka_unit_test(test_proxied), cmocka_unit_test(test_proxied_bad),
        cmocka_unit_test(test_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
