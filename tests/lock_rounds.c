/*
 * Contenders for one mailbox, as the other programs lock it and as we do, until the slowest kind has had its rounds:
 *   dot      dotlock, then fcntl, waiting for each (Postfix, maildrop)
 *   fcntl    fcntl, then the dotlock (mutt, mailutils; gives up and begins again after a while, as those do)
 *   flock    flock alone (c-client where it cannot make a dotlock)
 *   ours     store/mbox_lock.c, four processes, and two that read
 * Two counters in a file are added to by reading and writing: one by all who take the dotlock and fcntl, one by flock and ours. A
 * sum that is not that of the rounds, two holders at once, or 30 s without a round is a failure.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/mbox_lock.h"

enum { OURS = 4, READERS = 2, BARREN = 30 };
enum kind { DOT, FCNTL, FLOCK, MINE, READER, KINDS };
static const char *const kind_names[] = { "dotlock-fcntl", "fcntl-dotlock", "flock", "ours", "ours, reading" };

struct shared {
    _Atomic int rounds[KINDS], inside[2], doubled, longest_ms, gave_up, failed;
};
static struct shared *all;
static int dir, counter, target;

static void say(const char *what)
{
    perror(what);
    all->failed++;
    _exit(1);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void add_to(int which)
{
    int64_t n = 0;
    if (all->inside[which]++ != 0)
        all->doubled++;
    if (pread(counter, &n, sizeof n, which * (off_t)sizeof n) < 0)
        say("counter");
    n++;
    if (rand() % 8 == 0)
        usleep(100);
    if (pwrite(counter, &n, sizeof n, which * (off_t)sizeof n) != (ssize_t)sizeof n)
        say("counter");
    all->inside[which]--;
}

static bool try_dot(void)
{
    const int fd = openat(dir, "box.lock", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        say("box.lock");
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void set_fcntl(int fd, short type)
{
    struct flock whole = { .l_type = type, .l_whence = SEEK_SET };
    if (fcntl(fd, F_SETLKW, &whole) != 0)
        say("fcntl");
}

static void round_dot(int fd)
{
    while (!try_dot())
        usleep(1000 + (unsigned)rand() % 3000);
    set_fcntl(fd, F_WRLCK);
    add_to(0);
    set_fcntl(fd, F_UNLCK);
    unlinkat(dir, "box.lock", 0);
}

static void round_fcntl(int fd)
{
    for (;;) {
        set_fcntl(fd, F_WRLCK);
        for (int i = 0; i < 20; i++) {
            if (try_dot()) {
                add_to(0);
                unlinkat(dir, "box.lock", 0);
                set_fcntl(fd, F_UNLCK);
                return;
            }
            usleep(500);
        }
        set_fcntl(fd, F_UNLCK);
        all->gave_up++;
        usleep(1000 + (unsigned)rand() % 5000);
    }
}

static void round_flock(int fd)
{
    if (flock(fd, LOCK_EX) != 0)
        say("flock");
    add_to(1);
    flock(fd, LOCK_UN);
    usleep(300);
}

static void round_ours(struct mbox_lock *l, enum kind kind)
{
    struct store_error e;
    const int64_t begin = now_ms();
    if (mbox_lock_acquire(l, kind == MINE ? MBOX_LOCK_EXCLUSIVE : MBOX_LOCK_SHARED, BARREN * 1000, &e) != 0) {
        fprintf(stderr, "%s: %s\n", kind_names[kind], e.text);
        all->failed++;
        _exit(1);
    }
    const int waited = (int)(now_ms() - begin);
    if (waited > all->longest_ms)
        all->longest_ms = waited;
    if (kind == MINE) {
        add_to(0);
        add_to(1);
    } else if (all->inside[1] != 0) {            /* who has the dotlock alone, before fcntl, does not write yet */
        all->doubled++;
    }
    mbox_lock_release(l);
}

/* All go on until the slowest kind has its rounds. */
static bool go_on(void)
{
    for (int i = 0; i < KINDS && all->failed == 0; i++)
        if (all->rounds[i] < target)
            return true;
    return false;
}

static void contender(enum kind kind)
{
    struct mbox_lock_session session = { .locker_fd = -1 };
    const int fd = openat(dir, "box", O_RDWR | O_CLOEXEC);
    struct mbox_lock *l = fd >= 0 ? mbox_lock_new(fd, dir, "box", false, &session) : NULL;
    srand((unsigned)getpid());
    for (; l != NULL && go_on(); all->rounds[kind]++) {
        switch (kind) {
        case DOT: round_dot(fd); break;
        case FCNTL: round_fcntl(fd); break;
        case FLOCK: round_flock(fd); break;
        default: round_ours(l, kind);
        }
    }
    if (l == NULL)
        say("box");
    mbox_lock_free(l);
    _exit(0);
}

/* Waits for all; false if nothing moved for BARREN seconds. */
static bool wait_for_all(int running)
{
    int last = -1;
    for (int64_t since = now_ms(); running > 0; usleep(50000)) {
        int sum = 0;
        while (running > 0 && waitpid(-1, NULL, WNOHANG) > 0)
            running--;
        for (int i = 0; i < KINDS; i++)
            sum += all->rounds[i];
        if (sum != last)
            since = now_ms();
        last = sum;
        if (now_ms() - since > BARREN * 1000)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    pid_t child[3 + OURS + READERS];
    int n = 0;
    int64_t counted[2] = { 0, 0 };
    if (argc != 3 || (target = atoi(argv[2])) <= 0 || chdir(argv[1]) != 0) {
        fputs("usage: lock_rounds DIRECTORY ROUNDS\n", stderr);
        return 2;
    }
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    counter = open("counter", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const int box = open("box", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (all == MAP_FAILED || dir < 0 || counter < 0 || box < 0) {
        perror(argv[1]);
        return 2;
    }
    close(box);
    const int64_t begin = now_ms();
    for (int kind = DOT; kind < KINDS; kind++)
        for (int i = 0; i < (kind == MINE ? OURS : kind == READER ? READERS : 1); i++, n++)
            if ((child[n] = fork()) == 0)
                contender((enum kind)kind);
    const bool moved = wait_for_all(n);
    for (int i = 0; !moved && i < n; i++)
        kill(child[i], SIGKILL);
    if (pread(counter, counted, sizeof counted, 0) != (ssize_t)sizeof counted)
        perror("counter");
    printf("%.1f s; rounds:", (double)(now_ms() - begin) / 1000);
    for (int i = 0; i < KINDS; i++)
        printf(" %s %d,", kind_names[i], all->rounds[i]);
    printf(" %d held twice, longest wait of ours %d ms, fcntl-dotlock began again %d times%s\n", all->doubled, all->longest_ms,
           all->gave_up, moved ? "" : ", DEADLOCK");
    const bool lost = counted[0] != all->rounds[DOT] + all->rounds[FCNTL] + all->rounds[MINE]
        || counted[1] != all->rounds[FLOCK] + all->rounds[MINE];
    if (lost)
        printf("counters: %lld, %lld\n", (long long)counted[0], (long long)counted[1]);
    return moved && !lost && all->failed == 0 && all->doubled == 0 && faccessat(dir, "box.lock", F_OK, 0) != 0 ? 0 : 1;
}
