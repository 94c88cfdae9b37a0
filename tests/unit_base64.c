/* base64.h against the vectors of RFC 4648 section 10, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "base/base64.h"

static void test_vectors(void **state)
{
    static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "User Name", "VXNlciBOYW1l" } };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct buf b = { 0 };
        base64_encode(&b, pairs[i][0], strlen(pairs[i][0]));
        assert_true(str_eq(buf_str(&b), str_z(pairs[i][1])));
        buf_clear(&b);
        assert_int_equal(base64_decode(&b, str_z(pairs[i][1])), 0);
        assert_true(str_eq(buf_str(&b), str_z(pairs[i][0])));
        buf_free(&b);
    }
}

static void test_every_octet(void **state)
{
    unsigned char octets[256];
    (void)state;
    for (unsigned i = 0; i < 256; i++) octets[i] = (unsigned char)i;
    for (size_t n = 0; n <= 256; n++) {
        struct buf b = { 0 }, back = { 0 };
        base64_encode(&b, octets, n);
        assert_int_equal(base64_decode(&back, buf_str(&b)), 0);
        assert_true(str_eq(buf_str(&back), (struct str){ (char *)octets, n }));
        buf_free(&b);
        buf_free(&back);
    }
}

static void test_refused(void **state)
{
    static const char *const bad[] = { "Z", "Zg", "Zg=", "Zh==", "Zm9=", "=", "====", "Zg==Zg==", "Zm 9v", "Zm9v\r\n", "Zm9-", "Z===", "*" };
    struct buf b = { 0 };
    (void)state;
    buf_puts(&b, "kept");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(base64_decode(&b, str_z(bad[i])), -1);
        assert_string_equal(b.data, "kept");
    }
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors), cmocka_unit_test(test_every_octet), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
