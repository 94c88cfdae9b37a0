/* auth/keeper.c: what a session may say at its end, and what it may not leave behind. Each scenario is a process, because the
 * keeper reaps all of its children. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include "auth/keeper.h"

/* Ends the session's process; report is where it may say something. */
typedef void session(int report);

enum { WRONG = 100 };

/* The keeper's result, and how much it was given to hand on; or WRONG. */
static int run(session *s, size_t *unread)
{
    int ends[2], status;
    size_t n = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct buf left = { 0 };
        int report = -1;
        buf_puts(&left, "of before");
        const enum keeper result = keeper_split(&report, &left);
        if (result == KEEPER_SESSION) {
            s(report);
            _exit(0);
        }
        n = left.len;
        for (size_t i = 0; i < left.len && result == KEEPER_AGAIN; i++)
            if (left.data[i] != 'x')
                n = SIZE_MAX;
        buf_free(&left);
        _exit(write(ends[1], &n, sizeof n) == sizeof n ? (int)result : WRONG);
    }
    close(ends[1]);
    const ssize_t got = read(ends[0], unread, sizeof *unread);
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return got == sizeof *unread && WIFEXITED(status) ? WEXITSTATUS(status) : WRONG;
}

static void say(int report, size_t n)
{
    char *octets = malloc(n + 1);
    memset(octets, 'x', n + 1);
    const int failed = keeper_report(report, (struct str){ octets, n });
    free(octets);
    _exit(failed ? 1 : 0);
}

static void nothing(int report) { (void)report; }
static void again(int report) { say(report, 0); }
static void with_input(int report) { say(report, 5); }
static void with_most(int report) { say(report, KEEPER_UNREAD); }
static void with_too_much(int report) { say(report, KEEPER_UNREAD + 1); }
static void bound(int report) { if (keeper_bind(report) == 0) say(report, 1); }
static void other_octet(int report) { (void)!write(report, "Bx", 2); }
static void far_too_much(int report)
{
    static char octets[KEEPER_UNREAD + 5000];
    memset(octets, 'A', sizeof octets);
    (void)!write(report, octets, sizeof octets);
}
static void then_fails(int report) { (void)!write(report, "Ax", 2); _exit(1); }
static void then_is_killed(int report) { (void)!write(report, "Ax", 2); (void)raise(SIGKILL); }
static void leaves_one_for_a_while(int report)
{
    if (fork() == 0) {
        const struct timespec t = { 0, 300000000 };
        (void)nanosleep(&t, NULL);
        _exit(3);
    }
    say(report, 2);
}
static void leaves_one_for_long(int report)
{
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {                       /* away from its parent, too */
            const struct timespec t = { 8, 0 };
            (void)nanosleep(&t, NULL);
        }
        _exit(0);
    }
    say(report, 2);
}

static void endings(void **state)
{
    static const struct { session *s; int result; size_t unread; } cases[] = {
        { nothing, KEEPER_OVER, 0 }, { again, KEEPER_AGAIN, 0 }, { with_input, KEEPER_AGAIN, 5 }, { bound, KEEPER_AGAIN, 1 },
        { with_most, KEEPER_AGAIN, KEEPER_UNREAD }, { with_too_much, KEEPER_OVER, 0 }, { other_octet, KEEPER_OVER, 0 },
        { far_too_much, KEEPER_OVER, 0 }, { then_fails, KEEPER_OVER, 0 }, { then_is_killed, KEEPER_OVER, 0 },
        { leaves_one_for_a_while, KEEPER_AGAIN, 2 }, { leaves_one_for_long, KEEPER_OVER, 2 } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t unread = 0;
        const int result = run(cases[i].s, &unread);
        if (result != cases[i].result || unread != cases[i].unread)
            fail_msg("case %zu: %d, %zu octets", i, result, unread);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(endings) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
