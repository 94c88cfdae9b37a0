/*
 * Locks on an mbox file (see mbox_lock.h). All kinds are only tried; if one is not to be had, all are given back, a random
 * moment is waited, and it begins again. So no order of two programs can deadlock.
 *
 * Fairness. A delivery agent tries once a second; sessions that take the lock again a millisecond after they gave it back
 * would keep it out for ever. So whoever finds that others want the lock (it had to wait itself, or files came and went in the
 * directory while it had the dotlock: somebody's tries) leaves the mailbox alone after each change, whoever made it
 * (the file's ctime says when), for twice as long as the lock was held last: most of the time is then free. Readers
 * look for a dotlock and keep out, so that a writer which has it gets the kernel's locks. A writer of ours that has waited
 * in vain does the same now and then: it takes the dotlock first and waits for the others, a quarter of a second and no longer.
 */
#include "store/mbox_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/dotlock.h"
#include "store/lock_holder.h"

enum { TOUCH_EACH = 30 };                                              /* s */
enum { PAUSE_MIN = 8, PAUSE_MAX = 500, WAITED = 2000, CONTENDED = 3000 };           /* ms */
enum { PATIENCE = 200, INSIST = 250, ENDING = 1000 };                  /* ms */
#define NFS_MAGIC 0x6969

struct mbox_lock {
    int fd, dirfd;
    char *leaf;
    struct mbox_lock_session *session;
    struct dotlock *dotlock;         /* NULL: none for this file */
    enum mbox_lock_kind held;
    bool flocked, nfs;
    time_t touched;
    int64_t since, insist_at;        /* ms: lock had, not to insist before */
    struct timespec directory;       /* its mtime when we had the dotlock */
};

static int64_t now_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wait_ms(int64_t ms)
{
    poll(NULL, 0, (int)ms);
}

static unsigned random_octet(void)
{
    unsigned char octet = 25;
    return getrandom(&octet, 1, GRND_NONBLOCK) == 1 ? octet : 25;
}

struct mbox_lock *mbox_lock_new(int fd, int dirfd, const char *leaf, bool inbox, struct mbox_lock_session *session)
{
    struct mbox_lock *l = xcalloc(1, sizeof *l);
    struct statfs fs;
    *l = (struct mbox_lock){ .fd = fd, .dirfd = dirfd, .session = session };
    l->nfs = fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == NFS_MAGIC;
    if (leaf != NULL && dirfd >= 0) {
        l->leaf = xstrdup(leaf);
        l->dotlock = dotlock_new(dirfd, leaf, inbox ? session->locker_fd : -1);
    }
    return l;
}

void mbox_lock_free(struct mbox_lock *l)
{
    if (l == NULL)
        return;
    mbox_lock_release(l);
    dotlock_free(l->dotlock);
    free(l->leaf);
    free(l);
}

enum mbox_lock_kind mbox_lock_held(const struct mbox_lock *l)
{
    return l != NULL ? l->held : MBOX_LOCK_NONE;
}

void mbox_lock_touch(struct mbox_lock *l)
{
    const time_t now = time(NULL);
    if (l == NULL || l->dotlock == NULL || now - l->touched < TOUCH_EACH)
        return;
    l->touched = now;
    dotlock_touch(l->dotlock);
}

/* ---- fairness ----------------------------------------------------------------------------------------------------- */

static struct timespec directory_time(const struct mbox_lock *l)
{
    struct stat st;
    return fstat(l->dirfd, &st) == 0 ? st.st_mtim : (struct timespec){ 0, 0 };
}

static void contended(const struct mbox_lock *l)
{
    l->session->contended_until = now_ms(CLOCK_MONOTONIC) + CONTENDED;
}

static int64_t age_ms(struct timespec t)
{
    return now_ms(CLOCK_REALTIME_COARSE) - ((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

/* Another has it: for how long, so that all who wait know about the same. */
static void note_busy(const struct mbox_lock *l)
{
    struct timespec since;
    contended(l);
    if (l->dotlock != NULL && dotlock_since(l->dotlock, &since))
        l->session->hold = age_ms(since);
}

/* How long the mailbox is still to be left alone, ms; less for one that has waited long itself. */
static int64_t pause_left(const struct mbox_lock *l, int64_t waited)
{
    struct stat st;
    int64_t pause = waited < WAITED ? 2 * l->session->hold : l->session->hold / 2;
    if (now_ms(CLOCK_MONOTONIC) >= l->session->contended_until || fstat(l->fd, &st) != 0)
        return 0;
    pause = pause < PAUSE_MIN ? PAUSE_MIN : pause > PAUSE_MAX ? PAUSE_MAX : pause;
    const int64_t age = age_ms(st.st_ctim);
    return age < 0 || age >= pause ? 0 : pause - age;        /* before 0: another host's clock */
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

static bool take_fcntl(struct mbox_lock *l, enum mbox_lock_kind kind)
{
    struct flock whole = { .l_type = kind == MBOX_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };
    return fcntl(l->fd, F_OFD_SETLK, &whole) == 0 || (errno != EAGAIN && errno != EACCES);
}

static bool take_flock(struct mbox_lock *l, enum mbox_lock_kind kind)
{
    if (l->nfs)
        return true;
    l->flocked = flock(l->fd, (kind == MBOX_LOCK_EXCLUSIVE ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0;
    return l->flocked || errno != EWOULDBLOCK;
}

static void warn_once(const struct mbox_lock *l, int err)
{
    char text[400];
    if (l->session->warned || l->session->warning == NULL)
        return;
    l->session->warned = true;
    snprintf(text, sizeof text, "%.200s: no dotlock can be made (%s); fcntl and flock locks do alone", l->leaf, strerror(err));
    l->session->warning(text);
}

static bool take_dotlock(struct mbox_lock *l)
{
    if (l->dotlock == NULL)
        return true;
    const enum dotlock_result result = dotlock_take(l->dotlock);
    if (result == DOTLOCK_IMPOSSIBLE)
        warn_once(l, errno);
    return result != DOTLOCK_BUSY;
}

/* The dotlock first: as long as it is there, the kernel's locks are there, and the next one of ours, which takes those first, does
 * not look at it in vain. */
static void release_all(struct mbox_lock *l)
{
    struct flock none = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
    if (l->dotlock != NULL)
        dotlock_drop(l->dotlock);
    if (l->flocked)
        flock(l->fd, LOCK_UN);
    fcntl(l->fd, F_OFD_SETLK, &none);
    l->flocked = false;
    l->held = MBOX_LOCK_NONE;
}

void mbox_lock_release(struct mbox_lock *l)
{
    if (l == NULL || l->held == MBOX_LOCK_NONE)
        return;
    if (l->held == MBOX_LOCK_EXCLUSIVE) {
        const struct timespec t = directory_time(l);
        l->session->hold = now_ms(CLOCK_MONOTONIC) - l->since;
        if (t.tv_sec != l->directory.tv_sec || t.tv_nsec != l->directory.tv_nsec)
            contended(l);
    }
    release_all(l);
}

/* Waiting for locks of the kernel while the dotlock is held: allowed because it has an end. */
static bool wait_for(struct mbox_lock *l, bool (*take)(struct mbox_lock *l, enum mbox_lock_kind kind), int64_t until)
{
    while (!take(l, MBOX_LOCK_EXCLUSIVE)) {
        if (now_ms(CLOCK_MONOTONIC) >= until)
            return false;
        wait_ms(1);
    }
    return true;
}

/* The other way round, where all that come after us and take the dotlock first, or look at it, stand in line. The kind that
 * was busy, NULL if all were had. */
static const char *insist(struct mbox_lock *l)
{
    const char *busy = NULL;
    const int64_t until = now_ms(CLOCK_MONOTONIC) + INSIST;
    l->held = MBOX_LOCK_EXCLUSIVE;
    if (!take_dotlock(l))
        busy = "dotlock";
    else if (!wait_for(l, take_fcntl, until))
        busy = "fcntl";
    else if (!wait_for(l, take_flock, until))
        busy = "flock";
    if (busy == NULL || strcmp(busy, "dotlock") != 0)
        l->insist_at = until + INSIST + random_octet();
    if (busy != NULL)
        release_all(l);
    return busy;
}

/* The kind that was busy, NULL if all were had. A dotlock is looked for first: an agent that has it and finds the kernel's lock
 * busy, if only for the moment of our try, sleeps for a second with the dotlock in its hand. */
static const char *try_all(struct mbox_lock *l, enum mbox_lock_kind kind)
{
    const char *busy = NULL;
    if (l->dotlock != NULL && dotlock_is_busy(l->dotlock))
        return "dotlock";
    l->held = kind;
    if (!take_fcntl(l, kind))
        busy = "fcntl";
    else if (!take_flock(l, kind))
        busy = "flock";
    else if (kind == MBOX_LOCK_EXCLUSIVE ? !take_dotlock(l) : l->dotlock != NULL && dotlock_is_busy(l->dotlock))
        busy = "dotlock";
    if (busy != NULL)
        release_all(l);
    return busy;
}

/* The session is to end: it blocks these signals, so they are pending at first; what it does after that is to be quick too. */
static bool is_ending(const struct mbox_lock *l)
{
    sigset_t set;
    if (sigpending(&set) == 0 && (sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGHUP) == 1))
        l->session->ending = true;
    return l->session->ending;
}

static int in_use(const struct mbox_lock *l, const char *busy, int64_t waited, struct store_error *e)
{
    char who[160];
    lock_holder_describe(l->fd, l->dotlock, busy, (unsigned)(waited / 1000), who, sizeof who);
    return store_fail(e, STORE_INUSE, 0, "%.60s is locked by another program (%s)", l->leaf != NULL ? l->leaf : "the mailbox", who);
}

bool mbox_lock_disturbed(const struct mbox_lock *l)
{
    return l->held == MBOX_LOCK_SHARED && l->dotlock != NULL && dotlock_is_busy(l->dotlock);
}

int mbox_lock_acquire(struct mbox_lock *l, enum mbox_lock_kind kind, unsigned timeout_ms, struct store_error *e)
{
    const int64_t begin = now_ms(CLOCK_MONOTONIC);
    const bool write = kind == MBOX_LOCK_EXCLUSIVE;
    const char *busy = NULL;
    mbox_lock_release(l);
    for (;;) {
        const int64_t waited = now_ms(CLOCK_MONOTONIC) - begin, left = timeout_ms - waited;
        const int64_t pause = write ? pause_left(l, waited) : 0;
        if (pause > 0 && pause < left / 2) {
            wait_ms(pause);
            continue;
        }
        busy = write && waited > PATIENCE && begin + waited >= l->insist_at ? insist(l) : try_all(l, kind);
        if (busy == NULL)
            break;
        if (write)
            note_busy(l);
        if (left <= 0 || (waited >= ENDING && is_ending(l)))
            return in_use(l, busy, waited, e);
        wait_ms(1 + random_octet() % (left > 50 && waited < PATIENCE ? 50 : 10));
    }
    l->since = now_ms(CLOCK_MONOTONIC);
    l->touched = time(NULL);
    if (write && l->dotlock != NULL)
        l->directory = directory_time(l);
    return 0;
}
