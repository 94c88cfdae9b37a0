/*
 * The locker. It starts as root, becomes the user with group mail, and then reads single octets from a session that may have
 * been taken over by whoever sent it mail: so it takes no argument at all from there. What it can touch was fixed before.
 *
 * The dotlock is made as lockfile_create(3) makes it, on any file system: a file of a unique name, link(2) to NAME.lock, and
 * the link count of the file tells whether that worked. A lock not touched for 5 minutes is stale (the clock is the file
 * system's own, read off the new file); ours takes its place (base/swap.h). The locker keeps its lock file open under flock(2),
 * so that the next session can tell whether the one that made a lock still lives (store/dotlock.h).
 */
#include "auth/locker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "auth/filter.h"
#include "auth/landlock.h"
#include "base/compat.h"
#include "base/log.h"
#include "base/swap.h"
#include "base/xmalloc.h"
#include "store/locker_proto.h"

enum { SOCKET = 0, DIRECTORY = 1, STALE_SECONDS = 300 };      /* descriptors of the locker; age */

struct locker {
    char lock[300], temporary[64];                 /* names in the directory */
    char content[32];                              /* of the lock: the session's pid, and whose format this is */
    bool held;
    int fd;                                        /* of the lock that we hold, or of the file that is to become it; else -1 */
    dev_t dev;                                     /* the lock that we hold */
    ino_t ino;
    struct stat seen;                              /* the one that was in the way of the last request, st_nlink 0: none */
};

static bool ours(const struct locker *l)
{
    struct stat st;
    return l->held && fstatat(DIRECTORY, l->lock, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == l->dev && st.st_ino == l->ino;
}

static void let_go(struct locker *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

/* Full disks need not matter: an empty file is as good a lock. Without flock the text would lie. */
static int make_temporary(struct locker *l, struct stat *st)
{
    enum { FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
    let_go(l);
    l->fd = openat(DIRECTORY, l->temporary, FLAGS, 0644);
    if (l->fd < 0)
        return -1;
    if (flock(l->fd, LOCK_EX | LOCK_NB) == 0)
        (void)!write(l->fd, l->content, strlen(l->content));
    return fstatat(DIRECTORY, l->temporary, st, AT_SYMLINK_NOFOLLOW);
}

/* What is in the way of our temporary file: seized if it is stale, or the user's own and the session knows that it is dead. */
static int in_the_way(struct locker *l, const struct stat *temporary, bool dead, int32_t *age)
{
    struct stat st;
    if (fstatat(DIRECTORY, l->lock, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return EEXIST;
    const time_t since = temporary->st_mtime - st.st_mtime;
    *age = (int32_t)(since < 0 ? 0 : since > INT32_MAX ? INT32_MAX : since);
    const bool agreed = dead && st.st_uid == temporary->st_uid && l->seen.st_nlink > 0 && st.st_ino == l->seen.st_ino
        && st.st_dev == l->seen.st_dev;
    l->seen = st;
    return !S_ISDIR(st.st_mode) && (agreed || since > STALE_SECONDS) && swap_file(DIRECTORY, l->temporary, l->lock, &st) ? 0 : EEXIST;
}

static int do_lock(struct locker *l, bool dead, int32_t *age)
{
    struct stat st, now;
    int err = 0;
    if (ours(l))
        return 0;
    l->held = false;
    if (make_temporary(l, &st) != 0 || linkat(DIRECTORY, l->temporary, DIRECTORY, l->lock, 0) != 0)
        err = errno != 0 ? errno : EIO;
    if (l->fd >= 0 && err != 0 && fstatat(DIRECTORY, l->temporary, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_nlink == 2)
        err = 0;                                   /* NFS: it was done, the answer was lost */
    if (err == EEXIST && l->fd >= 0)
        err = in_the_way(l, &st, dead, age);
    if (l->fd >= 0)
        (void)unlinkat(DIRECTORY, l->temporary, 0);
    if (err != 0) {
        let_go(l);
        return err;
    }
    l->held = true;
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    l->seen.st_nlink = 0;
    return 0;
}

static int do_touch(const struct locker *l)
{
    if (!ours(l))
        return ENOENT;
    return utimensat(DIRECTORY, l->lock, NULL, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
}

static int do_unlock(struct locker *l)
{
    const bool remove = ours(l);
    l->held = false;
    const int err = remove && unlinkat(DIRECTORY, l->lock, 0) != 0 && errno != ENOENT ? errno : 0;
    let_go(l);
    return err;
}

static void serve(struct locker *l)
{
    unsigned char request;
    ssize_t n;
    while ((n = read(SOCKET, &request, 1)) != 0) {
        struct locker_reply reply = { 0, 0, -1 };
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        if (request == LOCKER_LOCK || request == LOCKER_SEIZE)
            reply.err = do_lock(l, request == LOCKER_SEIZE, &reply.age_seconds);
        else if (request == LOCKER_TOUCH)
            reply.err = do_touch(l);
        else if (request == LOCKER_UNLOCK)
            reply.err = do_unlock(l);
        else
            break;
        if (write(SOCKET, &reply, sizeof reply) != sizeof reply)
            break;
    }
    (void)do_unlock(l);
}

static int drop(const struct account *a, gid_t gid)
{
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(a->uid, a->uid, a->uid) != 0)
        return -1;
    return setuid(0) == 0 || setgid(0) == 0 ? -1 : 0;
}

/* The user's INBOX exists from the first login on, so that APPEND to it works before the first mail has come. */
static void make_inbox(const char *leaf)
{
    (void)umask(0);
    const int fd = openat(DIRECTORY, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0660);
    if (fd >= 0)
        close(fd);
}

static int confine(void)
{
    const struct rlimit none = { 0, 0 };
    const int rules = landlock_new();
    if (rules >= 0) {
        landlock_allow_fd(rules, DIRECTORY, LANDLOCK_CREATE);
        (void)landlock_apply(rules);              /* the filter alone lets nothing that exists be opened */
    }
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)setrlimit(RLIMIT_NPROC, &none);
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ? -1 : filter_locker();
}

/* Names that no other process uses, on this host or on another that has the same spool. */
static void name_files(struct locker *l)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = (uint64_t)getpid();
    snprintf(l->temporary, sizeof l->temporary, ".lk%016llx.imapd", (unsigned long long)random);
}

/* The child. Keeps two descriptors and stderr; a signal to all of the service's processes must not take the lock from under
 * a session that is still finishing. */
static void run(const struct account *a, gid_t gid, const char *leaf, int socket, int directory, pid_t session)
{
    struct locker l = { .fd = -1 };
    closelog();
    if (dup2(socket, SOCKET) < 0 || dup2(directory, DIRECTORY) < 0 || close_range(3, ~0u, 0) != 0)
        _exit(1);
    static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGQUIT };
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)prctl(PR_SET_NAME, "imapd-locker", 0, 0, 0);
    snprintf(l.lock, sizeof l.lock, "%s.lock", leaf);
    name_files(&l);
    snprintf(l.content, sizeof l.content, "%ld\nimapd\n", (long)session);
    if (drop(a, gid) != 0)
        _exit(1);
    make_inbox(leaf);
    if (confine() != 0)
        _exit(1);
    serve(&l);
    _exit(0);
}

int locker_start(const struct account *a, gid_t spool_gid, const char *inbox)
{
    int pair[2] = { -1, -1 };
    const char *leaf = strrchr(inbox, '/') + 1;
    char *dir = xstrndup(inbox, (size_t)(leaf - inbox));
    const int directory = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const pid_t session = getpid();
    pid_t child = -1;
    if (directory >= 0 && strlen(leaf) <= 250 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        child = fork();
        if (child == 0)
            run(a, spool_gid, leaf, pair[1], directory, session);
    }
    if (child < 0) {
        log_warning("no locker for %s: %s", inbox, strerror(errno));
        if (pair[0] >= 0)
            close(pair[0]);
        pair[0] = -1;
    }
    if (pair[1] >= 0)
        close(pair[1]);
    if (directory >= 0)
        close(directory);
    free(dir);
    return pair[0];
}
