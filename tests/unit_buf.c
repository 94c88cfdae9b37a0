/* buf.h: the byte strings and the growable buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "base/buf.h"

static void test_compare(void **state)
{
    (void)state;
    assert_true(str_eq(STR("abc"), str_z("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq(STR(""), (struct str){ NULL, 0 }));
    assert_true(str_ieq(STR("InBox"), STR("INBOX")));
    assert_false(str_ieq(STR("[a"), STR("{A")));           /* 0x20 apart, but no letters */
    assert_false(str_ieq(STR("\xc3\xa4"), STR("\xc3\x84"))); /* only ASCII folds */
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
}

static void test_grow(void **state)
{
    struct buf b = { 0 };
    (void)state;
    for (int i = 0; i < 100000; i++) {
        buf_addc(&b, i & 0xff);
        assert_int_equal(b.data[b.len], 0);
    }
    assert_int_equal(b.len, 100000);
    for (size_t i = 0; i < b.len; i++) assert_int_equal((unsigned char)b.data[i], i & 0xff);
    buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
}

static void test_empty(void **state)
{
    struct buf b = { 0 };
    (void)state;
    assert_int_equal(buf_str(&b).n, 0);
    assert_non_null(buf_str(&b).p);
    buf_add(&b, NULL, 0);
    assert_string_equal(b.data, "");
    buf_clear(&b);
    buf_drop(&b, 5);
    assert_int_equal(b.len, 0);
    buf_free(&b);
}

static void test_printf(void **state)
{
    struct buf b = { 0 };
    char big[1000];
    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    buf_puts(&b, "<");
    buf_printf(&b, "%d %s %d", 1, big, 2);
    buf_puts(&b, ">");
    assert_int_equal(b.len, 1 + 2 + 999 + 2 + 1);
    assert_memory_equal(b.data, "<1 xxx", 6);
    assert_string_equal(b.data + b.len - 4, "x 2>");
    for (size_t n = 0; n < 300; n++) {          /* every length around the capacity */
        buf_clear(&b);
        buf_printf(&b, "%.*s", (int)n, big);
        assert_int_equal(b.len, n);
        assert_int_equal(b.data[n], 0);
    }
    buf_free(&b);
}

static void test_room_and_drop(void **state)
{
    struct buf b = { 0 };
    (void)state;
    memcpy(buf_room(&b, 6), "abcdef", 6);
    b.len += 6;
    buf_drop(&b, 2);
    assert_string_equal(b.data, "cdef");
    buf_drop(&b, 0);
    assert_int_equal(b.len, 4);
    buf_drop(&b, 4);
    assert_int_equal(b.len, 0);
    buf_add(&b, "a\0b", 3);
    assert_memory_equal(buf_str(&b).p, "a\0b", 3);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare), cmocka_unit_test(test_grow),   cmocka_unit_test(test_empty),
        cmocka_unit_test(test_printf),  cmocka_unit_test(test_room_and_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
