/*
 * The dotlock of a mailbox (see dotlock.h). It is made by link(2) of a file with a name of its own, relative to the directory
 * that names_open_dir found, so that no path is walked again and NFS does not lie. liblockfile's call sleeps for seconds
 * between tries and walks the path; it is used where only its setgid helper can make the lock (a spool that the user
 * cannot write).
 *
 * A lock that is stale, or whose maker is dead, is never unlinked: ours takes its place (base/swap.h).
 *
 * The text in the file is a courtesy: on a full disk an empty file, which needs no block, is as good a lock.
 */
#include "store/dotlock.h"

#include <errno.h>
#include <fcntl.h>
#include <lockfile.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/swap.h"
#include "base/xmalloc.h"
#include "store/locker_proto.h"

enum { STALE = 300 };

enum maker { MAKER_NONE, MAKER_SELF, MAKER_LOCKER, MAKER_HELPER };

struct dotlock {
    int dirfd, locker_fd, fd;        /* fd: of the lock file, -1 where it is not kept open */
    char *leaf, *file;               /* file: LEAF.lock */
    bool local;                      /* flock on this file system is known to all who can see it */
    bool no_helper;                  /* it was tried and cannot */
    enum maker held;
    dev_t dev;                       /* of the lock made by ourselves */
    ino_t ino;
};

/* File systems that one kernel alone has mounted; elsewhere a free flock proves nothing. */
static bool is_local(int dirfd)
{
    static const unsigned long magics[] = { 0xef53 /* ext */, 0x58465342 /* xfs */, 0x9123683e /* btrfs */, 0x01021994 /* tmpfs */,
                                            0xf2f52010 /* f2fs */, 0x2fc12fc1 /* zfs */, 0x3153464a /* jfs */ };
    struct statfs fs;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", dirfd);     /* fstatfs refuses O_PATH on old kernels */
    if (fstatfs(dirfd, &fs) != 0 && statfs(path, &fs) != 0)
        return false;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if ((unsigned long)fs.f_type == magics[i])
            return true;
    return false;
}

struct dotlock *dotlock_new(int dirfd, const char *leaf, int locker_fd)
{
    struct dotlock *d = xcalloc(1, sizeof *d);
    const size_t n = strlen(leaf) + sizeof ".lock";
    *d = (struct dotlock){ .dirfd = dirfd, .locker_fd = locker_fd, .fd = -1, .leaf = xstrdup(leaf), .local = is_local(dirfd) };
    d->file = xmalloc(n);
    snprintf(d->file, n, "%s.lock", leaf);
    return d;
}

void dotlock_free(struct dotlock *d)
{
    if (d == NULL)
        return;
    dotlock_drop(d);
    free(d->leaf);
    free(d->file);
    free(d);
}

bool dotlock_held(const struct dotlock *d)
{
    return d->held != MAKER_NONE;
}

/* ---- locks of others ---------------------------------------------------------------------------------------------- */

static bool is_stale(const struct stat *st, time_t now)
{
    return now - st->st_mtime > STALE;
}

/* The lock file opened to be read, NULs after its text; -1 if it cannot be. */
static int open_lock(const struct dotlock *d, char *text, size_t size)
{
    struct stat st;
    const int fd = openat(d->dirfd, d->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    memset(text, 0, size);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || read(fd, text, size - 1) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A lock of ours whose maker is dead: a descriptor that pins its inode, under flock; else -1. */
static int open_dead(const struct dotlock *d, int operation)
{
    char text[64];
    if (!d->local)
        return -1;
    const int fd = open_lock(d, text, sizeof text);
    const char *second = strchr(text, '\n');
    if (fd < 0)
        return -1;
    if (second == NULL || strcmp(second, "\nimapd\n") != 0 || flock(fd, operation | LOCK_NB) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool dotlock_is_busy(const struct dotlock *d)
{
    struct stat st;
    if (d->held != MAKER_NONE || fstatat(d->dirfd, d->file, &st, AT_SYMLINK_NOFOLLOW) != 0 || is_stale(&st, time(NULL)))
        return false;
    const int dead = open_dead(d, LOCK_SH);
    if (dead >= 0)
        close(dead);
    return dead < 0;
}

bool dotlock_since(const struct dotlock *d, struct timespec *out)
{
    struct stat st;
    if (fstatat(d->dirfd, d->file, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    *out = st.st_mtim;
    return true;
}

bool dotlock_look(const struct dotlock *d, struct dotlock_holder *out)
{
    struct stat st;
    char text[24];
    *out = (struct dotlock_holder){ .pid = 0 };
    if (fstatat(d->dirfd, d->file, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    out->uid = st.st_uid;
    out->since = st.st_mtim;
    const int fd = open_lock(d, text, sizeof text);
    const long pid = strtol(text, NULL, 10);
    if (pid > 0 && pid <= INT32_MAX)
        out->pid = (pid_t)pid;
    if (fd >= 0)
        close(fd);
    return true;
}

/* ---- by ourselves ------------------------------------------------------------------------------------------------- */

/* A new file with our text under a name of its own. Its descriptor (with flock, where that says anything), or -1. */
static int make_temporary(const struct dotlock *d, char *name, size_t size)
{
    char text[40];
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = (uint32_t)time(NULL);
    snprintf(name, size, ".lk%d.%08x.imapd", (int)getpid(), random);
    const int fd = openat(d->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -1;
    const int n = snprintf(text, sizeof text, "%d\nimapd\n", (int)getpid());
    if (d->local && flock(fd, LOCK_EX | LOCK_NB) != 0)
        return fd;                           /* without it the text would lie: leave it empty */
    if (write(fd, text, (size_t)n) != n)
        (void)!ftruncate(fd, 0);             /* disk full */
    return fd;
}

/* There is a lock already: takes its place if it is stale or dead. `own`: our file, which tells the file system's time. */
static bool seize(const struct dotlock *d, const char *name, const struct stat *own)
{
    struct stat seen;
    if (fstatat(d->dirfd, d->file, &seen, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(seen.st_mode))
        return false;
    int pinned = -1;
    if (!is_stale(&seen, own->st_mtime)) {
        pinned = open_dead(d, LOCK_EX);
        if (pinned < 0 || fstat(pinned, &seen) != 0) {
            if (pinned >= 0)
                close(pinned);
            return false;
        }
    }
    const bool done = swap_file(d->dirfd, name, d->file, &seen);
    if (pinned >= 0)
        close(pinned);
    return done;
}

static enum dotlock_result make(struct dotlock *d)
{
    char name[64];
    struct stat st;
    if (dotlock_is_busy(d))
        return DOTLOCK_BUSY;                 /* not to make a file for nothing */
    const int fd = make_temporary(d, name, sizeof name);
    if (fd < 0)
        return DOTLOCK_IMPOSSIBLE;
    enum dotlock_result result = DOTLOCK_IMPOSSIBLE;
    int err = linkat(d->dirfd, name, d->dirfd, d->file, 0) != 0 ? errno : 0;
    if (fstat(fd, &st) != 0)
        err = errno;
    else if (err == 0 || (fstatat(d->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 2))
        result = DOTLOCK_HAD;                /* NFS: it may have been done and the answer lost */
    else if (err == EEXIST)
        result = seize(d, name, &st) ? DOTLOCK_HAD : DOTLOCK_BUSY;
    (void)!unlinkat(d->dirfd, name, 0);
    if (result == DOTLOCK_HAD) {
        d->held = MAKER_SELF;
        d->dev = st.st_dev;
        d->ino = st.st_ino;
    }
    if (result == DOTLOCK_HAD && d->local)
        d->fd = fd;
    else
        close(fd);
    errno = err;
    return result;
}

static bool still_ours(const struct dotlock *d)
{
    struct stat st;
    return fstatat(d->dirfd, d->file, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == d->dev && st.st_ino == d->ino;
}

/* ---- by others ---------------------------------------------------------------------------------------------------- */

static int ask_locker(const struct dotlock *d, char request, struct locker_reply *reply)
{
    if (send(d->locker_fd, &request, 1, MSG_NOSIGNAL) != 1)
        return -1;
    ssize_t n;
    do
        n = recv(d->locker_fd, reply, sizeof *reply, MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *reply ? 0 : -1;
}

/* The locker may not read the lock that is in the way; we may, and tell it if that one's maker is dead. -1: no locker. */
static int by_locker(struct dotlock *d, enum dotlock_result *result)
{
    struct locker_reply reply;
    if (d->locker_fd < 0 || ask_locker(d, LOCKER_LOCK, &reply) != 0)
        return -1;
    if (reply.err == EEXIST) {
        const int pinned = open_dead(d, LOCK_EX);
        if (pinned >= 0) {
            const int rc = ask_locker(d, LOCKER_SEIZE, &reply);
            close(pinned);
            if (rc != 0)
                return -1;
        }
    }
    if (reply.err == 0)
        d->held = MAKER_LOCKER;
    errno = reply.err;
    *result = reply.err == 0 ? DOTLOCK_HAD : reply.err == EEXIST ? DOTLOCK_BUSY : DOTLOCK_IMPOSSIBLE;
    return 0;
}

static bool helper_path(const struct dotlock *d, char *path, size_t size)
{
    char link[64], target[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", d->dirfd);
    const ssize_t n = readlink(link, target, sizeof target - 1);
    if (n <= 0)
        return false;
    target[n] = 0;
    return (size_t)snprintf(path, size, "%s/%s", target, d->file) < size;
}

static enum dotlock_result by_helper(struct dotlock *d)
{
    char path[4400];
    const int rc = !d->no_helper && helper_path(d, path, sizeof path) ? lockfile_create(path, 0, 0) : L_ERROR;
    if (rc == L_SUCCESS)
        d->held = MAKER_HELPER;
    d->no_helper = rc != L_SUCCESS && rc != L_MAXTRYS;
    errno = EACCES;
    return rc == L_SUCCESS ? DOTLOCK_HAD : rc == L_MAXTRYS ? DOTLOCK_BUSY : DOTLOCK_IMPOSSIBLE;
}

enum dotlock_result dotlock_take(struct dotlock *d)
{
    enum dotlock_result result;
    if (d->held != MAKER_NONE)
        return DOTLOCK_HAD;
    if (by_locker(d, &result) != 0) {
        result = make(d);
        if (result == DOTLOCK_IMPOSSIBLE && (errno == EACCES || errno == EPERM))
            result = by_helper(d);
    }
    const int err = errno;
    if (result == DOTLOCK_IMPOSSIBLE && dotlock_is_busy(d))
        result = DOTLOCK_BUSY;               /* that we cannot make one does not mean that nobody can */
    errno = err;
    return result;
}

void dotlock_drop(struct dotlock *d)
{
    struct locker_reply reply;
    char path[4400];
    if (d->held == MAKER_LOCKER)
        ask_locker(d, LOCKER_UNLOCK, &reply);
    else if (d->held == MAKER_HELPER && helper_path(d, path, sizeof path))
        lockfile_remove(path);
    else if (d->held == MAKER_SELF && still_ours(d))
        (void)!unlinkat(d->dirfd, d->file, 0);
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    d->held = MAKER_NONE;
}

void dotlock_touch(struct dotlock *d)
{
    struct locker_reply reply;
    char path[4400];
    if (d->held == MAKER_LOCKER)
        ask_locker(d, LOCKER_TOUCH, &reply);
    else if (d->held == MAKER_HELPER && helper_path(d, path, sizeof path))
        lockfile_touch(path);
    else if (d->held == MAKER_SELF && still_ours(d))
        utimensat(d->dirfd, d->file, NULL, AT_SYMLINK_NOFOLLOW);
}
