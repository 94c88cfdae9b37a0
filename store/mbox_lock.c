/*
 * Locks on an mbox file (see mbox_lock.h). All kinds are only tried; if one is not to be had, all are given back, a random
 * moment is waited, and it begins again. So no order of two programs can deadlock.
 *
 * The dotlock is made by link(2) of a file with a name of its own, through /proc/self/fd/DIRFD, so that the directory
 * walked is the one that names_open_dir found. liblockfile's call sleeps for seconds between tries and walks the path again;
 * it is used where only its setgid helper can make the lock (a spool that the user cannot write).
 */
#include "store/mbox_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <lockfile.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/locker_proto.h"

enum { STALE = 300, TOUCH_EACH = 30 };
#define NFS_MAGIC 0x6969

enum dotlock { DOTLOCK_NONE, DOTLOCK_OWN, DOTLOCK_LOCKER, DOTLOCK_HELPER };

struct mbox_lock {
    int fd, dirfd, locker_fd;
    char *leaf, *file;               /* file: LEAF.lock */
    enum mbox_lock_kind held;
    enum dotlock dotlock;
    bool flocked, nfs;
    time_t touched;
};

struct mbox_lock *mbox_lock_new(int fd, int dirfd, const char *leaf, int locker_fd)
{
    struct mbox_lock *l = xcalloc(1, sizeof *l);
    struct statfs fs;
    *l = (struct mbox_lock){ .fd = fd, .dirfd = dirfd, .locker_fd = locker_fd };
    l->nfs = fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == NFS_MAGIC;
    if (leaf != NULL && dirfd >= 0) {
        const size_t n = strlen(leaf) + 6;
        l->leaf = xstrdup(leaf);
        l->file = xmalloc(n);
        snprintf(l->file, n, "%s.lock", leaf);
    }
    return l;
}

void mbox_lock_free(struct mbox_lock *l)
{
    if (l == NULL)
        return;
    mbox_lock_release(l);
    free(l->leaf);
    free(l->file);
    free(l);
}

enum mbox_lock_kind mbox_lock_held(const struct mbox_lock *l)
{
    return l != NULL ? l->held : MBOX_LOCK_NONE;
}

/* ---- dotlock ------------------------------------------------------------------------------------------------------ */

static int ask_locker(const struct mbox_lock *l, char request, struct locker_reply *reply)
{
    if (send(l->locker_fd, &request, 1, MSG_NOSIGNAL) != 1)
        return -1;
    ssize_t n;
    do
        n = recv(l->locker_fd, reply, sizeof *reply, MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *reply ? 0 : -1;
}

/* Removes a lock file older than STALE. */
static void remove_stale(const struct mbox_lock *l)
{
    struct stat st;
    if (fstatat(l->dirfd, l->file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && time(NULL) - st.st_mtime > STALE)
        unlinkat(l->dirfd, l->file, 0);
}

/* 1 made, 0 somebody has it, -1 errno. */
static int make_dotlock(struct mbox_lock *l)
{
    char own[300], pid[24];
    unsigned random = 0;
    struct stat st;
    if (getrandom(&random, sizeof random, 0) < 0)
        random = (unsigned)time(NULL);
    snprintf(own, sizeof own, ".lk%d.%08x.%.200s", (int)getpid(), random, l->leaf);
    const int fd = openat(l->dirfd, own, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -1;
    const int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    int rc = write(fd, pid, (size_t)n) == n ? 0 : -1;
    close(fd);
    if (rc == 0)
        rc = linkat(l->dirfd, own, l->dirfd, l->file, 0);
    int err = errno;
    if (rc != 0 && err == EEXIST)
        remove_stale(l);
    else if (rc != 0 && fstatat(l->dirfd, own, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 2)
        rc = 0;                              /* NFS: it was done, the answer was lost */
    unlinkat(l->dirfd, own, 0);
    errno = err;
    return rc == 0 ? 1 : err == EEXIST ? 0 : -1;
}

/* Through liblockfile's setgid helper, for a spool that the user cannot write. */
static int helper_dotlock(struct mbox_lock *l)
{
    char path[4096], target[4096], link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", l->dirfd);
    const ssize_t n = readlink(link, target, sizeof target - 1);
    if (n <= 0)
        return -1;
    target[n] = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", target, l->file) >= sizeof path)
        return -1;
    const int rc = lockfile_create(path, 0, 0);
    if (rc == L_SUCCESS)
        return 1;
    errno = EACCES;
    return rc == L_MAXTRYS ? 0 : -1;
}

/* 1 had (or none can be had here), 0 busy. */
static int take_dotlock(struct mbox_lock *l)
{
    struct locker_reply reply;
    l->dotlock = DOTLOCK_NONE;
    if (l->locker_fd >= 0 && ask_locker(l, LOCKER_LOCK, &reply) == 0) {
        if (reply.err == 0)
            l->dotlock = DOTLOCK_LOCKER;
        return reply.err != EEXIST && reply.err != EAGAIN;
    }
    if (l->file == NULL)
        return 1;
    int rc = make_dotlock(l);
    if (rc > 0)
        l->dotlock = DOTLOCK_OWN;
    if (rc >= 0 || (errno != EACCES && errno != EPERM))
        return rc != 0;
    rc = helper_dotlock(l);
    if (rc > 0)
        l->dotlock = DOTLOCK_HELPER;
    return rc != 0;
}

static void drop_dotlock(struct mbox_lock *l)
{
    struct locker_reply reply;
    char path[4200], link[64], target[4000];
    if (l->dotlock == DOTLOCK_LOCKER) {
        ask_locker(l, LOCKER_UNLOCK, &reply);
    } else if (l->dotlock == DOTLOCK_OWN) {
        unlinkat(l->dirfd, l->file, 0);
    } else if (l->dotlock == DOTLOCK_HELPER) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", l->dirfd);
        const ssize_t n = readlink(link, target, sizeof target - 1);
        if (n > 0) {
            target[n] = 0;
            snprintf(path, sizeof path, "%s/%s", target, l->file);
            lockfile_remove(path);
        }
    }
    l->dotlock = DOTLOCK_NONE;
}

void mbox_lock_touch(struct mbox_lock *l)
{
    struct locker_reply reply;
    const time_t now = time(NULL);
    if (l == NULL || l->dotlock == DOTLOCK_NONE || now - l->touched < TOUCH_EACH)
        return;
    l->touched = now;
    if (l->dotlock == DOTLOCK_LOCKER)
        ask_locker(l, LOCKER_TOUCH, &reply);
    else
        utimensat(l->dirfd, l->file, NULL, AT_SYMLINK_NOFOLLOW);
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

void mbox_lock_release(struct mbox_lock *l)
{
    struct flock none = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
    if (l == NULL || l->held == MBOX_LOCK_NONE)
        return;
    if (l->flocked)
        flock(l->fd, LOCK_UN);
    fcntl(l->fd, F_OFD_SETLK, &none);
    drop_dotlock(l);
    l->flocked = false;
    l->held = MBOX_LOCK_NONE;
}

/* The kind that was busy, NULL if all were had. */
static const char *try_all(struct mbox_lock *l, enum mbox_lock_kind kind)
{
    const char *busy = NULL;
    l->held = kind;
    if (!take_fcntl(l, kind))
        busy = "fcntl";
    else if (!take_flock(l, kind))
        busy = "flock";
    else if (kind == MBOX_LOCK_EXCLUSIVE && !take_dotlock(l))
        busy = "dotlock";
    if (busy != NULL)
        mbox_lock_release(l);
    return busy;
}

/* Who has it, as far as can be found out. */
static void holder(const struct mbox_lock *l, const char *busy, char *out, size_t size)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct stat st;
    char pid[24] = "";
    out[0] = 0;
    if (strcmp(busy, "fcntl") == 0 && fcntl(l->fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK && whole.l_pid > 0) {
        snprintf(out, size, ", process %d", (int)whole.l_pid);
    } else if (strcmp(busy, "dotlock") == 0 && l->file != NULL && fstatat(l->dirfd, l->file, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        const int fd = openat(l->dirfd, l->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0 && read(fd, pid, sizeof pid - 1) < 0)
            pid[0] = 0;
        if (fd >= 0)
            close(fd);
        snprintf(out, size, ", process %d, for %lld s", atoi(pid), (long long)(time(NULL) - st.st_mtime));
    }
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int mbox_lock_acquire(struct mbox_lock *l, enum mbox_lock_kind kind, unsigned timeout_ms, struct store_error *e)
{
    const int64_t deadline = now_ms() + timeout_ms;
    const char *busy;
    mbox_lock_release(l);
    while ((busy = try_all(l, kind)) != NULL) {
        unsigned char random = 25;
        if (now_ms() >= deadline) {
            char who[80];
            holder(l, busy, who, sizeof who);
            return store_fail(e, STORE_INUSE, 0, "%s is locked by another program (%s%s)", l->leaf != NULL ? l->leaf : "the mailbox",
                              busy, who);
        }
        if (getrandom(&random, 1, 0) != 1)
            random = 25;
        poll(NULL, 0, 1 + random % (now_ms() + 50 < deadline ? 50 : 10));
    }
    l->touched = time(NULL);
    return 0;
}
