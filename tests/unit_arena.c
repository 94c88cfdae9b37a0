/* arena.h: pieces are zeroed, aligned, apart from each other; a reset makes room again. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "base/arena.h"

static void test_pieces(void **state)
{
    struct arena *a = arena_new();
    unsigned char *pieces[2000];
    (void)state;

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 2000; i++) {
            size_t n = i % 97;
            pieces[i] = arena_alloc(a, n);
            assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
            for (size_t k = 0; k < n; k++) assert_int_equal(pieces[i][k], 0);
            memset(pieces[i], (int)(i & 0xff), n);
        }
        for (size_t i = 0; i < 2000; i++)
            for (size_t k = 0; k < i % 97; k++) assert_int_equal(pieces[i][k], i & 0xff);
        arena_reset(a);
    }
    arena_free(a);
}

static void test_huge(void **state)
{
    struct arena *a = arena_new();
    (void)state;
    for (int i = 0; i < 5; i++) {
        char *p = arena_alloc(a, 5u << 20);
        p[(5u << 20) - 1] = 1;
        arena_alloc(a, 1);
        arena_reset(a);
    }
    arena_free(a);
    arena_free(NULL);
}

static void test_strings(void **state)
{
    struct arena *a = arena_new();
    (void)state;
    assert_string_equal(arena_strndup(a, "hello", 4), "hell");
    assert_string_equal(arena_strndup(a, NULL, 0), "");
    struct str s = arena_str(a, STR("a\0b"));
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b", 4);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces), cmocka_unit_test(test_huge), cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
