/* store/mbox_lock.c, dotlock.c, lock_holder.c, base/swap.c: what is held when, what is left behind, whose locks are removed. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/swap.h"
#include "base/xmalloc.h"
#include "store/dotlock.h"
#include "store/mbox_lock.h"

static int dirfd, warnings;
static char last_warning[400];

static void warn(const char *text)
{
    warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", text);
}

/* One mailbox as a process of its own sees it. */
struct user {
    int fd;
    struct mbox_lock_session session;
    struct mbox_lock *lock;
};

static void open_user(struct user *u, const char *leaf)
{
    *u = (struct user){ .session = { .locker_fd = -1, .warning = warn } };
    u->fd = openat(dirfd, leaf, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (u->fd < 0)
        abort();
    u->lock = mbox_lock_new(u->fd, dirfd, leaf, true, &u->session);
}

static void close_user(struct user *u)
{
    mbox_lock_free(u->lock);
    close(u->fd);
}

static int setup(void **state)
{
    char dir[] = "/tmp/unit_lock.XXXXXX";
    if (mkdtemp(dir) == NULL || chmod(dir, 0755) != 0)
        return -1;
    dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *state = xstrdup(dir);
    warnings = 0;
    return dirfd >= 0 ? 0 : -1;
}

/* Fails if a test left anything but the mailbox. */
static int teardown(void **state)
{
    (void)unlinkat(dirfd, "box", 0);
    close(dirfd);
    const int rc = rmdir(*state);
    free(*state);
    return rc;
}

static bool there(const char *name)
{
    struct stat st;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(const char *name, const char *text, int age)
{
    const int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    const struct timespec then[2] = { { time(NULL) - age, 0 }, { time(NULL) - age, 0 } };
    futimens(fd, then);
    close(fd);
}

static void get(const char *name, char *text, size_t size)
{
    const int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    memset(text, 0, size);
    assert_true(fd >= 0 && read(fd, text, size - 1) >= 0);
    close(fd);
}

static int64_t ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What a child ended with. */
static int status_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool can_fcntl(int fd)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type == F_UNLCK;
}

static bool can_flock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && flock(fd, LOCK_UN) == 0;
}

static void test_all_kinds(void **state)
{
    struct user u, v;
    char text[40], want[40];
    struct store_error e;
    (void)state;
    open_user(&u, "box");
    open_user(&v, "box");
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 0, &e), 0);
    assert_int_equal(mbox_lock_held(u.lock), MBOX_LOCK_EXCLUSIVE);
    assert_false(can_fcntl(v.fd));
    assert_false(can_flock(v.fd));
    get("box.lock", text, sizeof text);
    snprintf(want, sizeof want, "%d\nimapd\n", (int)getpid());
    assert_string_equal(text, want);
    assert_int_equal(mbox_lock_acquire(v.lock, MBOX_LOCK_SHARED, 0, &e), -1);
    assert_int_equal(e.code, STORE_INUSE);
    assert_int_equal(mbox_lock_held(v.lock), MBOX_LOCK_NONE);
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_SHARED, 0, &e), 0);
    assert_false(there("box.lock"));
    assert_int_equal(mbox_lock_acquire(v.lock, MBOX_LOCK_SHARED, 0, &e), 0);
    assert_int_equal(mbox_lock_acquire(v.lock, MBOX_LOCK_EXCLUSIVE, 60, &e), -1);
    assert_false(there("box.lock"));
    mbox_lock_release(u.lock);
    assert_int_equal(mbox_lock_acquire(v.lock, MBOX_LOCK_EXCLUSIVE, 0, &e), 0);
    close_user(&v);
    assert_true(can_fcntl(u.fd) && can_flock(u.fd));
    assert_false(there("box.lock"));
    close_user(&u);
}

/* A failure at any of the three gives back the others. */
static void test_nothing_left(void **state)
{
    struct user u;
    struct store_error e;
    (void)state;
    open_user(&u, "box");
    const int other = openat(dirfd, "box", O_RDWR | O_CLOEXEC);
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    assert_int_equal(fcntl(other, F_OFD_SETLK, &whole), 0);
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 30, &e), -1);
    assert_true(can_flock(other) && !there("box.lock"));
    whole.l_type = F_UNLCK;
    fcntl(other, F_OFD_SETLK, &whole);
    assert_int_equal(flock(other, LOCK_SH), 0);
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 30, &e), -1);
    assert_true(can_fcntl(other) && !there("box.lock"));
    flock(other, LOCK_UN);
    put("box.lock", "", 0);
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 30, &e), -1);
    assert_true(can_fcntl(other) && can_flock(other) && there("box.lock"));
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_SHARED, 30, &e), -1);
    assert_true(can_fcntl(other) && can_flock(other) && there("box.lock"));
    unlinkat(dirfd, "box.lock", 0);
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 0, &e), 0);
    close(other);
    close_user(&u);
}

/* A lock that somebody took over while we held it is not ours to remove or touch. */
static void test_foreign_lock_stays(void **state)
{
    struct user u;
    struct store_error e;
    struct stat st;
    (void)state;
    open_user(&u, "box");
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 0, &e), 0);
    unlinkat(dirfd, "box.lock", 0);
    put("box.lock", "0", 100);
    mbox_lock_release(u.lock);
    assert_int_equal(fstatat(dirfd, "box.lock", &st, 0), 0);
    unlinkat(dirfd, "box.lock", 0);
    struct dotlock *d = dotlock_new(dirfd, "box", -1);
    assert_int_equal(dotlock_take(d), DOTLOCK_HAD);
    const struct timespec then[2] = { { time(NULL) - 200, 0 }, { time(NULL) - 200, 0 } };
    utimensat(dirfd, "box.lock", then, 0);
    dotlock_touch(d);
    assert_int_equal(fstatat(dirfd, "box.lock", &st, 0), 0);
    assert_true(time(NULL) - st.st_mtime < 10);
    unlinkat(dirfd, "box.lock", 0);
    put("box.lock", "0", 100);
    dotlock_touch(d);
    assert_int_equal(fstatat(dirfd, "box.lock", &st, 0), 0);
    assert_true(time(NULL) - st.st_mtime >= 100);
    dotlock_free(d);
    assert_true(there("box.lock"));
    unlinkat(dirfd, "box.lock", 0);
    close_user(&u);
}

static void test_stale(void **state)
{
    struct dotlock *d = dotlock_new(dirfd, "box", -1), *c = dotlock_new(dirfd, "box", -1);
    (void)state;
    put("box.lock", "0", 290);
    assert_true(dotlock_is_busy(d));
    assert_int_equal(dotlock_take(d), DOTLOCK_BUSY);
    unlinkat(dirfd, "box.lock", 0);
    put("box.lock", "0", 302);
    assert_false(dotlock_is_busy(d));
    assert_int_equal(dotlock_take(d), DOTLOCK_HAD);
    assert_int_equal(dotlock_take(c), DOTLOCK_BUSY);
    dotlock_drop(d);
    assert_false(there("box.lock"));
    assert_int_equal(symlinkat("/nonexistent", dirfd, "box.lock"), 0);
    assert_int_equal(dotlock_take(d), DOTLOCK_BUSY);
    unlinkat(dirfd, "box.lock", 0);
    dotlock_free(d);
    dotlock_free(c);
}

/* Many that find the same stale lock at once: one has it, whatever they do. They do without the kernel's locks here. */
static void test_stale_race(void **state)
{
    enum { ROUNDS = 40, CHILDREN = 6 };
    _Atomic int *holders = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)state;
    assert_true(holders != MAP_FAILED);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child[CHILDREN];
        put("box.lock", "0", 400);
        holders[0] = holders[1] = holders[2] = 0;
        for (int i = 0; i < CHILDREN; i++) {
            child[i] = fork();
            if (child[i] != 0)
                continue;
            struct dotlock *d = dotlock_new(dirfd, "box", -1);
            const int64_t end = ms() + 20000;
            for (holders[2]++; holders[2] < CHILDREN && ms() < end;)
                continue;
            enum dotlock_result result;
            while ((result = dotlock_take(d)) == DOTLOCK_BUSY && ms() < end)
                usleep(200);
            if (result != DOTLOCK_HAD)
                _exit(1);
            if (holders[0]++ != 0)
                _exit(2);
            usleep(500);
            holders[0]--;
            holders[1]++;
            dotlock_free(d);
            _exit(0);
        }
        for (int i = 0; i < CHILDREN; i++)
            assert_int_equal(status_of(child[i]), 0);
        assert_int_equal(holders[1], CHILDREN);
        assert_false(there("box.lock"));
    }
    munmap((void *)holders, 4096);
}

/* The file that was judged is another by the time it is replaced: it stays. */
static void test_swap(void **state)
{
    struct stat seen, st;
    (void)state;
    put("box.lock", "old", 400);
    assert_int_equal(fstatat(dirfd, "box.lock", &seen, 0), 0);
    put("new", "new", 0);
    renameat(dirfd, "box.lock", dirfd, "kept");       /* its inode must not be used again */
    put("box.lock", "quicker", 0);
    assert_false(swap_file(dirfd, "new", "box.lock", &seen));
    char text[20];
    get("box.lock", text, sizeof text);
    assert_string_equal(text, "quicker");
    get("new", text, sizeof text);
    assert_string_equal(text, "new");
    unlinkat(dirfd, "box.lock", 0);
    assert_false(swap_file(dirfd, "new", "box.lock", &seen));
    assert_false(there("box.lock"));
    renameat(dirfd, "kept", dirfd, "box.lock");
    const struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } };
    utimensat(dirfd, "box.lock", now, 0);             /* its holder touched it */
    assert_false(swap_file(dirfd, "new", "box.lock", &seen));
    assert_int_equal(fstatat(dirfd, "box.lock", &seen, 0), 0);
    assert_true(swap_file(dirfd, "new", "box.lock", &seen));
    assert_int_equal(fstatat(dirfd, "new", &st, 0), 0);
    assert_int_equal(st.st_ino, seen.st_ino);
    unlinkat(dirfd, "box.lock", 0);
    unlinkat(dirfd, "new", 0);
}

/* A child that takes the lock, says so through a pipe and sleeps. */
static pid_t hold_in_child(enum mbox_lock_kind kind)
{
    int ends[2];
    char octet;
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct store_error e;
        struct user u;
        open_user(&u, "box");
        if (mbox_lock_acquire(u.lock, kind, 1000, &e) != 0 || write(ends[1], "x", 1) != 1)
            _exit(1);
        alarm(20);
        pause();
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &octet, 1), 1);
    close(ends[0]);
    return pid;
}

static void test_killed_session(void **state)
{
    struct user u;
    struct store_error e;
    (void)state;
    open_user(&u, "box");
    for (int i = 0; i < 20; i++) {
        const pid_t pid = hold_in_child(MBOX_LOCK_EXCLUSIVE);
        assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 20, &e), -1);
        kill(pid, SIGSTOP);
        assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 20, &e), -1);
        kill(pid, SIGKILL);
        assert_int_equal(status_of(pid), -SIGKILL);
        assert_true(there("box.lock"));
        const int64_t begin = ms();
        if (i % 2 == 0)
            assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_SHARED, 0, &e), 0);
        assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 2000, &e), 0);
        assert_true(ms() - begin < 1500);
        mbox_lock_release(u.lock);
        assert_false(there("box.lock"));
    }
    close_user(&u);
}

/* Only a lock of our own format is taken for dead, and none whose maker lives, whatever pid is in it. */
static void test_not_dead(void **state)
{
    static const char *const texts[] = { "", "0", "999999\n", "999999\nimap\n", "imapd\n", "999999\nimapd\nhost\n", "\n" };
    struct dotlock *d = dotlock_new(dirfd, "box", -1);
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("box.lock", texts[i], 5);
        assert_int_equal(dotlock_take(d), DOTLOCK_BUSY);
        assert_true(dotlock_is_busy(d));
        unlinkat(dirfd, "box.lock", 0);
    }
    put("box.lock", "999999\nimapd\n", 5);
    const int fd = openat(dirfd, "box.lock", O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(dotlock_take(d), DOTLOCK_BUSY);
    assert_true(dotlock_is_busy(d));
    close(fd);
    assert_false(dotlock_is_busy(d));
    assert_int_equal(dotlock_take(d), DOTLOCK_HAD);
    dotlock_free(d);
}

static void expect_text(struct user *u, const char *want)
{
    struct store_error e;
    assert_int_equal(mbox_lock_acquire(u->lock, MBOX_LOCK_EXCLUSIVE, 0, &e), -1);
    assert_int_equal(e.code, STORE_INUSE);
    if (strstr(e.text, want) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", e.text, want);
}

static void test_holder(void **state)
{
    struct user u;
    char want[100];
    (void)state;
    open_user(&u, "box");
    pid_t pid = hold_in_child(MBOX_LOCK_EXCLUSIVE);
    snprintf(want, sizeof want, "box is locked by another program (dotlock of process %d (unit_lock), for ", (int)pid);
    expect_text(&u, want);
    kill(pid, SIGKILL);
    status_of(pid);
    unlinkat(dirfd, "box.lock", 0);
    const int other = openat(dirfd, "box", O_RDWR | O_CLOEXEC);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    for (int i = 0; i < 2; i++) {
        pid = fork();
        if (pid == 0) {
            struct flock whole = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
            const int own = openat(dirfd, "box", O_RDWR | O_CLOEXEC);
            if ((i == 0 ? fcntl(own, F_SETLK, &whole) : flock(own, LOCK_SH)) != 0 || write(ends[1], "x", 1) != 1)
                _exit(1);
            pause();
        }
        char octet;
        assert_int_equal(read(ends[0], &octet, 1), 1);
        snprintf(want, sizeof want, "(%s lock of process %d (unit_lock), for at least 0 s)", i == 0 ? "fcntl" : "flock", (int)pid);
        expect_text(&u, want);
        kill(pid, SIGKILL);
        status_of(pid);
    }
    put("box.lock", "999999999\n", 17);
    expect_text(&u, "(dotlock of process 999999999 (none such on this host), for 17 s)");
    unlinkat(dirfd, "box.lock", 0);
    put("box.lock", "0", 42);
    snprintf(want, sizeof want, "(dotlock of user %u, who wrote no process into it, for 42 s)", (unsigned)getuid());
    expect_text(&u, want);
    unlinkat(dirfd, "box.lock", 0);
    close(other);
    close_user(&u);
}

/* The bound is kept, and a pending SIGTERM shortens it. */
static void test_bound(void **state)
{
    struct user u;
    struct store_error e;
    sigset_t set;
    (void)state;
    open_user(&u, "box");
    put("box.lock", "0", 0);
    int64_t begin = ms();
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 1200, &e), -1);
    assert_in_range(ms() - begin, 1200, 1700);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGTERM);
    begin = ms();
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 30000, &e), -1);
    assert_in_range(ms() - begin, 900, 3000);
    struct timespec none = { 0, 0 };
    assert_int_equal(sigtimedwait(&set, NULL, &none), SIGTERM);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    unlinkat(dirfd, "box.lock", 0);
    close_user(&u);
}

/* Readers that take turns without a gap do not keep a writer out. */
static void test_readers_give_way(void **state)
{
    enum { READERS = 6 };
    pid_t child[READERS];
    struct user u;
    struct store_error e;
    (void)state;
    open_user(&u, "box");
    for (int i = 0; i < READERS; i++) {
        child[i] = fork();
        if (child[i] != 0)
            continue;
        struct user v;
        open_user(&v, "box");
        for (const int64_t end = ms() + 60000; ms() < end;) {
            if (mbox_lock_acquire(v.lock, MBOX_LOCK_SHARED, 20000, &e) != 0)
                _exit(1);
            usleep(20000);
            mbox_lock_release(v.lock);
        }
        _exit(0);
    }
    usleep(300000);
    for (int i = 0; i < 4; i++) {
        const int rc = mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 10000, &e);
        if (rc != 0)
            print_message("%s\n", e.text);
        assert_int_equal(rc, 0);
        mbox_lock_release(u.lock);
        usleep(10000);
    }
    for (int i = 0; i < READERS; i++) {
        kill(child[i], SIGKILL);
        assert_int_equal(status_of(child[i]), -SIGKILL);
    }
    close_user(&u);
}

static void test_name_too_long(void **state)
{
    struct user u;
    struct store_error e;
    char leaf[256];
    (void)state;
    memset(leaf, 'x', 253);
    leaf[253] = 0;
    open_user(&u, leaf);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 0, &e), 0);
        mbox_lock_release(u.lock);
    }
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(last_warning, "File name too long"));
    close_user(&u);
    unlinkat(dirfd, leaf, 0);
}

/* A file system without a free block: the lock file is empty then. Without a free inode: no lock file, but respect for others'. */
static void test_disk_full(void **state)
{
    struct user u;
    struct store_error e;
    char name[20], octets[4096] = "x";
    const int outside = dirfd;
    struct stat st;
    if (mount("none", *state, "tmpfs", 0, "size=64k,nr_inodes=12") != 0) {
        print_message("no tmpfs can be mounted: %s\n", strerror(errno));
        skip();
    }
    dirfd = open(*state, O_PATH | O_DIRECTORY | O_CLOEXEC);
    open_user(&u, "box");
    const int fill = openat(dirfd, "fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fill, octets, sizeof octets) > 0)
        continue;
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 0, &e), 0);
    assert_int_equal(fstatat(dirfd, "box.lock", &st, 0), 0);
    assert_int_equal(st.st_size, 0);
    mbox_lock_release(u.lock);
    assert_false(there("box.lock"));
    assert_int_equal(warnings, 0);
    for (int i = 0, fd = 0; fd >= 0 && i < 20; i++) {
        snprintf(name, sizeof name, "n%d", i);
        if ((fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) >= 0)
            close(fd);
    }
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 0, &e), 0);
    assert_false(there("box.lock"));
    assert_int_equal(warnings, 1);
    mbox_lock_release(u.lock);
    renameat(dirfd, "n0", dirfd, "box.lock");
    assert_int_equal(mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 0, &e), -1);
    assert_int_equal(e.code, STORE_INUSE);
    assert_int_equal(warnings, 1);
    close_user(&u);
    close(fill);
    close(dirfd);
    dirfd = outside;
    assert_int_equal(umount(*state), 0);
}

/* A directory that the user cannot write, and no helper for it: the others do alone, but an MDA's lock counts. */
static void test_no_permission(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    close(openat(dirfd, "box", O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    assert_int_equal(fchmodat(dirfd, "box", 0666, 0), 0);
    put("box.lock", "0", 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct user u;
        struct store_error e;
        if (setgid(61234) != 0 || setuid(61234) != 0)
            _exit(1);
        u = (struct user){ .session = { .locker_fd = -1, .warning = warn }, .fd = openat(dirfd, "box", O_RDWR | O_CLOEXEC) };
        u.lock = mbox_lock_new(u.fd, dirfd, "box", true, &u.session);
        if (mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 0, &e) == 0)
            _exit(2);
        for (int i = 0; i < 200 && there("box.lock"); i++)
            usleep(50000);
        if (mbox_lock_acquire(u.lock, MBOX_LOCK_EXCLUSIVE, 1000, &e) != 0)
            _exit(3);
        _exit(warnings == 1 ? 0 : 4);
    }
    usleep(300000);
    unlinkat(dirfd, "box.lock", 0);
    assert_int_equal(status_of(pid), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = { TEST(test_all_kinds), TEST(test_nothing_left), TEST(test_foreign_lock_stays), TEST(test_stale),
        TEST(test_stale_race), TEST(test_swap), TEST(test_killed_session), TEST(test_not_dead), TEST(test_holder), TEST(test_bound),
        TEST(test_readers_give_way), TEST(test_name_too_long), TEST(test_disk_full), TEST(test_no_permission) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
