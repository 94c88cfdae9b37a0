/*
 * The file system's quotas of the session's user and groups. The kernel tells anybody his own; what it does not tell, or
 * does not keep, is no quota root.
 */
#include "store/quota.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "store/acl.h"
#include "store/mailbox.h"
#include "store/names_private.h"

#ifdef SYS_quotactl_fd
enum { QUOTACTL_FD = SYS_quotactl_fd };
#else
enum { QUOTACTL_FD = 443 };                    /* the same on every architecture */
#endif
enum { UNIT = 1024 };                          /* of STORAGE, and of the kernel's limits on blocks */

/* The limit on space that holds now: the hard one, or the soft one when there is no other or its time of grace is over. */
static uint64_t limit_of(const struct dqblk *q)
{
    const bool over = q->dqb_bsoftlimit != 0 && q->dqb_curspace > q->dqb_bsoftlimit * UNIT;
    if (q->dqb_bhardlimit == 0 || (over && q->dqb_btime != 0 && q->dqb_btime <= (uint64_t)time(NULL)))
        return q->dqb_bsoftlimit;
    return q->dqb_bhardlimit;
}

/* Asks for a quota on the file system that fd is on. False: there is none, or no limit. */
static bool ask(int fd, int type, uint32_t id, struct quota_root *out)
{
    struct dqblk q = { 0 };
    if (syscall(QUOTACTL_FD, (unsigned)fd, ((unsigned)Q_GETQUOTA << SUBCMDSHIFT) | (unsigned)type, id, &q) != 0)
        return false;
    out->used = q.dqb_curspace / UNIT + (q.dqb_curspace % UNIT != 0);
    out->limit = limit_of(&q);
    return out->limit != 0;
}

/* ---- file systems -------------------------------------------------------------------------------------------------- */

static bool device(int fd, dev_t *out)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return false;
    *out = st.st_dev;
    return true;
}

/* Where a mailbox is, or would be: an O_PATH descriptor of it or of the nearest directory above that is there; *at octets
 * of the name are of it. -1. */
static int nearest(struct names *n, const char *name, size_t *at)
{
    char path[MAILBOX_NAME_MAX];
    for (size_t length = strlen(name);;) {
        memcpy(path, name, length);
        path[length] = 0;
        const int fd = names_beneath(n, path, O_PATH, 0);
        *at = length;
        if (fd >= 0 || length == 0 || (errno != ENOENT && errno != ENOTDIR))
            return fd;
        do
            length--;
        while (length > 0 && name[length] != '/');
    }
}

/* How much of the name leads to the first thing on this file system. */
static size_t mount_point(struct names *n, const char *name, size_t at, dev_t dev)
{
    char path[MAILBOX_NAME_MAX];
    for (size_t length = 0; length < at;) {
        length += 1 + strcspn(name + length + 1, "/");
        memcpy(path, name, length);
        path[length] = 0;
        dev_t here;
        const int fd = names_beneath(n, path, O_PATH, 0);
        const bool same = device(fd, &here) && here == dev;
        if (fd >= 0)
            close(fd);
        if (same)
            return length;
    }
    return at;
}

/* What the user's root on the file system of a mailbox is called. */
static void base_name(struct names *n, const struct mailbox_name *name, size_t at, dev_t dev, char out[QUOTA_NAME_MAX])
{
    dev_t other;
    if (device(names_root(n), &other) && other == dev)
        snprintf(out, QUOTA_NAME_MAX, "home");
    else if (device(n->inbox_dir, &other) && other == dev)
        snprintf(out, QUOTA_NAME_MAX, "spool");
    else
        snprintf(out, QUOTA_NAME_MAX, "folder/%.*s", (int)mount_point(n, name->text, at, dev), name->text);
}

/* ---- by mailbox ---------------------------------------------------------------------------------------------------- */

static int open_mailbox(struct names *n, const struct mailbox_name *name, size_t *at, struct store_error *e)
{
    if (!name->inbox) {
        const int fd = nearest(n, name->text, at);
        return fd >= 0 ? fd : store_fail(e, STORE_IO, errno, "%s", name->text);
    }
    const char *leaf;
    const int dir = names_open_dir(n, name, &leaf, e);
    if (dir < 0)
        return -1;
    const int fd = openat(dir, leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return dir;
    close(dir);
    return fd;
}

int quota_of_mailbox(struct store *s, const struct mailbox_name *name, struct quota_root roots[QUOTA_ROOTS], size_t *n,
                     struct store_error *e)
{
    struct names *names = store_names(s);
    struct stat st;
    size_t at = 0;
    char group[WHO_NAME_MAX];
    *n = 0;
    const int fd = open_mailbox(names, name, &at, e);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0 || faccessat(fd, "", R_OK, AT_EACCESS | AT_EMPTY_PATH) != 0) {
        const int err = errno;
        close(fd);
        /* a directory that is only passed through, such as a spool of others' mail, tells nothing by its quota */
        return S_ISREG(st.st_mode) ? store_fail(e, STORE_IO, err, "%s", name->text) : 0;
    }
    const bool exists = S_ISREG(st.st_mode);
    const uint32_t uid = exists ? st.st_uid : geteuid(), gid = exists || st.st_mode & S_ISGID ? st.st_gid : getegid();
    struct quota_root *r = &roots[0];
    base_name(names, name, at, st.st_dev, r->name);
    if (ask(fd, USRQUOTA, uid, r))
        r = &roots[++*n];
    if (*n > 0)
        base_name(names, name, at, st.st_dev, r->name);
    who_name(store_settings_of(s), (struct who){ WHO_GROUP, gid }, group);
    strncat(r->name, "/", sizeof r->name - strlen(r->name) - 1);
    strncat(r->name, group, sizeof r->name - strlen(r->name) - 1);
    if (ask(fd, GRPQUOTA, gid, r))
        ++*n;
    close(fd);
    return 0;
}

/* ---- by name ------------------------------------------------------------------------------------------------------- */

static int open_root(struct store *s, struct str base)
{
    struct names *n = store_names(s);
    struct mailbox_name name;
    struct str folder = { base.p + 7, base.n - 7 };
    size_t at;
    if (str_eq(base, STR("home")))
        return names_root(n) < 0 ? -1 : fcntl(n->root, F_DUPFD_CLOEXEC, 3);
    if (str_eq(base, STR("spool")))
        return n->inbox_dir < 0 ? -1 : fcntl(n->inbox_dir, F_DUPFD_CLOEXEC, 3);
    if (base.n <= 7 || memcmp(base.p, "folder/", 7) != 0 || names_parse(n, folder, &name, NULL, NULL) != 0 || name.inbox)
        return -1;
    const int fd = nearest(n, name.text, &at);
    if (fd >= 0 && at == strlen(name.text))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The last "/$" begins the group, if there is one. */
static bool split_group(struct str *base, struct str *group)
{
    for (size_t i = base->n; i-- > 0;)
        if (base->p[i] == '/') {
            if (i + 1 == base->n || base->p[i + 1] != '$')
                return false;
            *group = (struct str){ base->p + i + 1, base->n - i - 1 };
            base->n = i;
            return true;
        }
    return false;
}

int quota_get(struct store *s, struct str root, struct quota_root *out, struct store_error *e)
{
    struct str base = root, group;
    struct who who = { WHO_USER, geteuid() };
    int fd = -1;
    bool good = root.n > 0 && root.n < sizeof out->name;
    if (good) {
        memcpy(out->name, root.p, root.n);
        out->name[root.n] = 0;
        if (split_group(&base, &group))
            good = who_find(store_settings_of(s), group, &who, NULL) == 0;
        fd = good ? open_root(s, base) : -1;
    }
    good = fd >= 0 && ask(fd, who.kind == WHO_GROUP ? GRPQUOTA : USRQUOTA, who.id, out);
    if (fd >= 0)
        close(fd);
    return good ? 0 : store_fail(e, STORE_CANNOT, 0, "there is no such quota root");
}
