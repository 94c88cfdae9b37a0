/* store/uid_map.c against a plain array of UIDs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "store/uid_map.h"

/* All that can be asked, in ascending and in any order. */
static void same(struct uid_map *map, const uint32_t *uids, uint32_t n)
{
    assert_int_equal(uid_map_count(map), n);
    assert_int_equal(uid_map_uid(map, 0), 0);
    assert_int_equal(uid_map_uid(map, n + 1), 0);
    assert_int_equal(uid_map_run(map, 0), 0);
    assert_int_equal(uid_map_run(map, n + 1), 0);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(uid_map_uid(map, i + 1), uids[i]);
    for (uint32_t i = n; i > 0; i--)
        assert_int_equal(uid_map_uid(map, i), uids[i - 1]);
    for (uint32_t k = 0; k < 2 * n; k++) {
        const uint32_t i = k * 7919 % n;
        uint32_t run = 1;
        while (i + run < n && uids[i + run] - uids[i] == run)
            run++;
        assert_int_equal(uid_map_uid(map, i + 1), uids[i]);
        assert_int_equal(uid_map_run(map, i + 1), run);
        assert_int_equal(uid_map_seq_from(map, uids[i]), i + 1);
        if (uids[i] > (i > 0 ? uids[i - 1] : 0))
            assert_int_equal(uid_map_seq_from(map, (i > 0 ? uids[i - 1] : 0) + 1), i + 1);
    }
    if (n > 0 && uids[n - 1] < UINT32_MAX)
        assert_int_equal(uid_map_seq_from(map, UINT32_MAX), n + 1);
}

static void empty(void **unused)
{
    (void)unused;
    struct uid_map *map = uid_map_new();
    uid_map_add(map, 7, 0);
    assert_int_equal(uid_map_count(map), 0);
    assert_int_equal(uid_map_uid(map, 0), 0);
    assert_int_equal(uid_map_uid(map, 1), 0);
    assert_int_equal(uid_map_seq_from(map, 1), 1);
    assert_int_equal(uid_map_seq_from(map, UINT32_MAX), 1);
    assert_int_equal(uid_map_run(map, 1), 0);
    uid_map_free(map);
    uid_map_free(NULL);
}

static void ends(void **unused)
{
    (void)unused;
    static const uint32_t uids[] = { 1, 3, 4, 9, UINT32_MAX - 2, UINT32_MAX - 1, UINT32_MAX };
    struct uid_map *map = uid_map_new();
    uid_map_add(map, 1, 1);
    uid_map_add(map, 3, 1);
    uid_map_add(map, 4, 1);
    uid_map_add(map, 9, 1);
    uid_map_add(map, UINT32_MAX - 2, 3);
    same(map, uids, sizeof uids / sizeof *uids);
    uid_map_free(map);
}

static void many(void **unused)
{
    (void)unused;
    enum { MESSAGES = 5000 };
    static uint32_t uids[MESSAGES];
    srand(5);
    for (int often = 1; often < 12; often += 5) {         /* a gap before every, every 6th, every 11th message or so */
        struct uid_map *map = uid_map_new();
        uint32_t n = 0, uid = 1;
        while (n < MESSAGES) {
            uint32_t run = 1 + (uint32_t)(rand() % often);
            if (rand() % 3 == 0)
                run = 1;
            run = run < MESSAGES - n ? run : MESSAGES - n;
            uid_map_add(map, uid, run);
            for (; run > 0; run--)
                uids[n++] = uid++;
            uid += (uint32_t)(rand() % 4);
        }
        same(map, uids, n);
        for (; n > 1; n = n / 4) {
            uid_map_cut(map, n);
            same(map, uids, n);
        }
        uid_map_cut(map, 0);
        same(map, uids, 0);
        uid_map_add(map, 7, 2);
        assert_int_equal(uid_map_uid(map, 2), 8);
        uid_map_free(map);
    }
}

/* A damaged index may tell more messages than there are numbers. */
static void too_many(void **unused)
{
    (void)unused;
    struct uid_map *map = uid_map_new();
    uid_map_add(map, 1, UINT32_MAX);
    uid_map_add(map, 1, UINT32_MAX);
    uid_map_add(map, 5, 1);
    assert_int_equal(uid_map_count(map), UINT32_MAX - 1);
    assert_int_equal(uid_map_run(map, UINT32_MAX - 1), 1);
    assert_int_equal(uid_map_run(map, UINT32_MAX), 0);
    uid_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty), cmocka_unit_test(ends), cmocka_unit_test(many), cmocka_unit_test(too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
