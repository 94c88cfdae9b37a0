/* auth/filter_program.c: the program answers as its rows say, read one by one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <linux/seccomp.h>
#include "auth/filter_program.h"

enum { ARCH = 77, OTHERWISE = SECCOMP_RET_ERRNO | 38, X32 = 0x40000000 };

/* The machine of bpf(4), as far as filters need it. */
static uint32_t run(const struct filter_program *p, const struct seccomp_data *d, unsigned *steps)
{
    uint32_t a = 0;
    for (unsigned at = 0; at < p->length; at++) {
        const struct sock_filter *c = &p->code[at];
        bool yes = false;
        ++*steps;
        switch (c->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(c->k + sizeof a <= sizeof *d);
            memcpy(&a, (const char *)d + c->k, sizeof a);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= c->k;
            continue;
        case BPF_RET | BPF_K:
            return c->k;
        case BPF_JMP | BPF_JEQ | BPF_K:
            yes = a == c->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            yes = a >= c->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            yes = (a & c->k) != 0;
            break;
        default:
            fail_msg("instruction %#x", c->code);
        }
        at += yes ? c->jt : c->jf;
    }
    fail_msg("the program does not end");
    return 0;
}

static uint32_t expected(const struct filter_row *rows, size_t n, const struct seccomp_data *d)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t value = rows[i].value, argument = (uint32_t)d->args[rows[i].argument];
        if (rows[i].call != d->nr)
            continue;
        switch (rows[i].condition) {
        case ALWAYS:
            return SECCOMP_RET_ALLOW;
        case REFUSE:
            return SECCOMP_RET_ERRNO | (value != 0 ? value : EPERM);
        case KILL:
            return SECCOMP_RET_KILL_PROCESS;
        case EQUALS:
            if (argument == value)
                return SECCOMP_RET_ALLOW;
            break;
        case LACKS:
            if ((argument & value) == 0)
                return SECCOMP_RET_ALLOW;
            break;
        case LACKS_ONE:
            if ((argument & value) != value)
                return SECCOMP_RET_ALLOW;
            break;
        }
    }
    return OTHERWISE;
}

static void compare(const struct filter_program *p, const struct filter_row *rows, size_t n)
{
    unsigned most = 0;
    for (int call = -1; call < FILTER_CALLS + 20; call++)
        for (uint64_t value = 0; value < 10; value++) {
            unsigned steps = 0;
            struct seccomp_data d = { .nr = call, .arch = ARCH };
            for (int i = 0; i < 6; i++)
                d.args[i] = (value + (uint64_t)i) % 10 | value << 40;
            assert_int_equal(run(p, &d, &steps), expected(rows, n, &d));
            most = steps > most ? steps : most;
            d.nr = call | X32;
            assert_int_equal(run(p, &d, &steps), call == -1 ? run(p, &d, &steps) : OTHERWISE);
            d.arch = ARCH + 1;
            assert_int_equal(run(p, &d, &steps), SECCOMP_RET_KILL_PROCESS);
        }
    assert_true(most < 40);
}

static void few(void **unused)
{
    (void)unused;
    static const struct filter_row rows[] = {
        { 3, ALWAYS, 0, 0 }, { 1, EQUALS, 2, 5 }, { 1, EQUALS, 2, 7 }, { 1, REFUSE, 0, 0 }, { 9, LACKS, 1, 4 }, { 9, LACKS_ONE, 1, 6 },
        { 0, EQUALS, 0, 1 }, { 0, ALWAYS, 0, 0 }, { 511, KILL, 0, 0 }, { 4, LACKS, 5, 1 }, { 4, KILL, 0, 0 }, { 4, ALWAYS, 0, 0 },
    };
    struct filter_program p;
    filter_begin(&p);
    filter_add(&p, rows, 5);
    filter_add(&p, rows + 5, sizeof rows / sizeof rows[0] - 5);
    assert_int_equal(filter_finish(&p, ARCH, OTHERWISE), 0);
    compare(&p, rows, sizeof rows / sizeof rows[0]);
}

/* Any rows: a program that fits is right. */
static void random_rows(void **unused)
{
    (void)unused;
    enum { TRIES = 400 };
    unsigned made = 0;
    srand(1);
    for (int i = 0; i < TRIES; i++) {
        struct filter_row rows[FILTER_ROWS];
        const size_t n = (size_t)rand() % 160;
        const int calls = 1 + rand() % FILTER_CALLS;
        for (size_t k = 0; k < n; k++) {
            const unsigned kind = (unsigned)rand() % 12;
            rows[k] = (struct filter_row){ rand() % calls, kind > KILL ? ALWAYS : (enum filter_condition)kind, (unsigned)rand() % 6, (uint32_t)rand() % 10 };
        }
        struct filter_program p;
        filter_begin(&p);
        filter_add(&p, rows, n);
        if (n == 0 || filter_finish(&p, ARCH, OTHERWISE) != 0)
            continue;
        made++;
        compare(&p, rows, n);
    }
    assert_true(made > TRIES / 2);
}

static void too_much(void **unused)
{
    (void)unused;
    struct filter_program p;
    struct filter_row row = { FILTER_CALLS, ALWAYS, 0, 0 };
    filter_begin(&p);
    filter_add(&p, &row, 1);
    errno = 0;
    assert_int_equal(filter_finish(&p, ARCH, OTHERWISE), -1);
    assert_int_equal(errno, E2BIG);
    filter_begin(&p);
    for (row.call = 0; row.call <= FILTER_ROWS; row.call++)
        filter_add(&p, &row, 1);
    assert_int_equal(filter_finish(&p, ARCH, OTHERWISE), -1);
    filter_begin(&p);
    for (row = (struct filter_row){ 0, EQUALS, 0, 1 }; row.call < FILTER_ROWS; row.call++)
        filter_add(&p, &row, 1);
    assert_int_equal(filter_finish(&p, ARCH, OTHERWISE), -1);
    filter_begin(&p);                  /* no row at all is none */
    assert_int_equal(filter_finish(&p, ARCH, OTHERWISE), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(few), cmocka_unit_test(random_rows), cmocka_unit_test(too_much) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
