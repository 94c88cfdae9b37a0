/* auth/filter.c, auth/landlock.c: what confined processes can still do, and what ends them. Each try is a process. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include "auth/filter.h"
#include "auth/landlock.h"
#include "base/log.h"

#if defined __SANITIZE_ADDRESS__
enum { KILLED = 0 };           /* refused there, with EPERM, or as if there were no file */
#else
enum { KILLED = 1 };
#endif

/* How the child ended: 0 and up its exit status, -1: killed by the filter, -2: by something else. */
static int confined(int (*confine)(void), int (*what)(void))
{
    int status = 0;
    const pid_t pid = fork();
    if (pid == 0) {
        if (confine() != 0)
            _exit(99);
        _exit(what());
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? -1 : -2;
}

static int allowed(void)
{
    struct timespec t;
    struct pollfd p = { .fd = 0, .events = 0 };
    char *big = malloc(1 << 20), *bigger = realloc(big, 4 << 20);
    memset(bigger, 1, 4 << 20);
    free(bigger);
    clock_gettime(CLOCK_REALTIME, &t);
    (void)poll(&p, 1, 0);
    return write(STDOUT_FILENO, "", 0) == 0 ? 0 : 1;
}
static int logs(void)
{
    log_notice("greeter says %d", 1);
    return 0;
}
static int opens(void) { return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && (errno == ENOENT || errno == EPERM) ? 0 : 1; }
static int creates(void) { return open("/tmp/unit_filter.x", O_WRONLY | O_CREAT | O_EXCL, 0600) < 0 && (errno == ENOENT || errno == EPERM) ? 0 : 1; }
static int connects(void) { return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM ? 0 : 1; }
static int forks(void) { return fork() < 0 ? 0 : 1; }
static int executes(void) { (void)execl("/bin/true", "true", (char *)NULL); return 0; }
static int kills(void) { return kill(getppid(), 0) != 0 ? 0 : 1; }
static int signals(void) { return tgkill(getppid(), getppid(), 0) != 0 ? 0 : 1; }
static int aborts(void) { abort(); }
static int makes_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 0 : 1;
}
static int removes(void) { return unlink("/tmp/unit_filter.none") != 0 ? 0 : 1; }
static int duplicates(void) { return fcntl(0, F_DUPFD, 0) < 0 && errno == EPERM ? 0 : 1; }

static void test_greeter(void **state)
{
    static int (*const fatal[])(void) = { forks, executes, kills, signals, makes_code, removes };
    (void)state;
    log_open();
    assert_int_equal(confined(filter_greeter, allowed), 0);
    assert_int_equal(confined(filter_greeter, logs), 0);
    assert_int_equal(confined(filter_greeter, connects), 0);
    assert_int_equal(confined(filter_greeter, duplicates), 0);
    if (KILLED) {
        assert_int_equal(confined(filter_greeter, aborts), -2);
        assert_int_equal(confined(filter_greeter, opens), 0);
        assert_int_equal(confined(filter_greeter, creates), 0);
    }
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        assert_int_equal(confined(filter_greeter, fatal[i]), KILLED ? -1 : 0);
}

static int creates_new(void)
{
    enum { FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
    char name[64];
    snprintf(name, sizeof name, "/tmp/unit_filter.%d", (int)getpid());
    const int fd = openat(AT_FDCWD, name, FLAGS, 0600);
    return fd >= 0 && unlinkat(AT_FDCWD, name, 0) == 0 ? 0 : 1;
}

static void test_locker(void **state)
{
    static int (*const fatal[])(void) = { forks, executes, kills, makes_code };
    (void)state;
    assert_int_equal(confined(filter_locker, creates_new), 0);
    if (KILLED)
        assert_int_equal(confined(filter_locker, opens), 0);
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        assert_int_equal(confined(filter_locker, fatal[i]), KILLED ? -1 : 0);
}

static char dir[] = "/tmp/unit_filter.XXXXXX";

static int rules_for(enum landlock_use use)
{
    const int rules = landlock_new();
    if (rules < 0)
        return 0;
    landlock_allow(rules, dir, use);
    landlock_allow(rules, "/proc/self", LANDLOCK_READ);
    return landlock_apply(rules);
}
static int read_only(void) { return rules_for(LANDLOCK_READ); }
static int change_only(void) { return rules_for(LANDLOCK_WRITE); }
static int everything(void) { return rules_for(LANDLOCK_ALL); }

static int try(const char *name, int flags)
{
    char path[100];
    snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? "" : dir, name[0] == '/' ? "" : "/", name);
    return open(path, flags | O_CLOEXEC, 0600) >= 0;
}
static int reads(void) { return !(try("there", O_RDONLY) && !try("there", O_RDWR) && !try("/etc/passwd", O_RDONLY)); }
static int changes(void) { return !(try("there", O_RDWR | O_TRUNC) && !try("new", O_RDWR | O_CREAT) && !try("/etc/hostname", O_RDWR)); }
static int does_all(void)
{
    char path[64];
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), memory = memfd_create("m", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    if (memory < 0 || !try(path, O_RDWR))         /* these must go on working for the store */
        return 1;
    snprintf(path, sizeof path, "/proc/self/fd/%d/there", fd);
    if (fd < 0 || !try(path, O_RDWR) || mkdirat(fd, "sub", 0700) != 0 || !try("sub/new", O_RDWR | O_CREAT) ||
        renameat(fd, "sub/new", fd, "moved") != 0 || unlinkat(fd, "moved", 0) != 0 || unlinkat(fd, "sub", AT_REMOVEDIR) != 0)
        return 2;
    return mknodat(fd, "fifo", S_IFIFO | 0600, 0) == 0 || symlinkat("/etc", fd, "link") == 0 ? 3 : 0;
}

static void test_landlock(void **state)
{
    char path[64];
    (void)state;
    const int rules = landlock_new();
    if (rules < 0) {
        print_message("no Landlock in this kernel\n");
        skip();
    }
    close(rules);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/there", dir);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(confined(read_only, reads), 0);
    assert_int_equal(confined(change_only, changes), 0);
    assert_int_equal(confined(everything, does_all), 0);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_greeter), cmocka_unit_test(test_locker), cmocka_unit_test(test_landlock) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
