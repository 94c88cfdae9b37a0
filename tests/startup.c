/*
 * What a connection costs until its greeting: runs each of two programs on a socket pair, in turns, and measures the time until
 * the first octet comes.
 *
 *   startup PAIRS HELLO COMMAND...    HELLO: a static program that prints a line. Prints both medians in microseconds and
 *                                     the median of the ratios, pair by pair.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double measure(char **argv)
{
    int s[2];
    char c;
    pid_t pid;
    posix_spawn_file_actions_t fa;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) != 0)
        die("socketpair");
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, s[1], 0);
    posix_spawn_file_actions_adddup2(&fa, s[1], 1);
    const double start = now();
    if (posix_spawn(&pid, argv[0], &fa, NULL, argv, environ) != 0)
        die(argv[0]);
    close(s[1]);
    if (read(s[0], &c, 1) != 1) {
        fprintf(stderr, "%s: no greeting\n", argv[0]);
        exit(2);
    }
    const double took = now() - start;
    close(s[0]);
    waitpid(pid, NULL, 0);
    posix_spawn_file_actions_destroy(&fa);
    return took;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, ascending);
    return v[n / 2];
}

int main(int argc, char **argv)
{
    enum { MOST = 1000 };
    static double hello[MOST], server[MOST], ratio[MOST];
    const int pairs = argc > 3 ? atoi(argv[1]) : 0;
    if (pairs < 1 || pairs > MOST) {
        fputs("usage: startup PAIRS HELLO COMMAND...\n", stderr);
        return 2;
    }
    char *hello_argv[] = { argv[2], NULL };
    for (int i = 0; i < pairs; i++) {
        if (i % 2 == 0)
            hello[i] = measure(hello_argv);
        server[i] = measure(argv + 3);
        if (i % 2 != 0)
            hello[i] = measure(hello_argv);
        ratio[i] = server[i] / hello[i];
    }
    const size_t n = (size_t)pairs;
    printf("%.0f %.0f %.3f\n", median(hello, n), median(server, n), median(ratio, n));
    return 0;
}
