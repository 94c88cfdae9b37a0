/*
 * Runs as the user, in a process of its own: the index directory, what was set aside there, the index itself, and whether the
 * dotlock of INBOX can be had. Nothing is made that was not there, but for the dotlock, which is given back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "doctor/examine.h"
#include "store/dotlock.h"
#include "store/mailbox_private.h"

enum { NFS = 0x6969 };
static const char area[] = "index";

static void left_over(const struct patient *p, const char *dir, const char *name, const char *what)
{
    char *path = NULL;
    struct stat st;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return;
    if (lstat(path, &st) == 0)
        report_found(p->report, MARK_WARNING, area, FIX("look at the log and the disk, then: rm %s", path),
                     "%s, of %lld octets: %s", path, (long long)st.st_size, what);
    free(path);
}

static void contents(const struct patient *p, const struct account *a, const char *inbox, const char *dir, int locker_fd)
{
    const struct config *c = p->config;
    char *journal_dir = config_journal_dir(c, a->name, a->home);
    const struct store_settings settings = { .user = a->name,
                                             .home = a->home,
                                             .inbox_path = inbox,
                                             .mail_root = c->mail_root,
                                             .index_dir = dir,
                                             .journal_dir = journal_dir,
                                             .mboxo = c->quoting == QUOTING_MBOXO,
                                             .lock_timeout = c->lock_timeout,
                                             .seal_limit = c->seal_limit,
                                             .list_depth = c->list_depth,
                                             .list_count = c->list_count,
                                             .locker_fd = locker_fd };
    struct store *s = NULL;
    struct store_error e;
    if (store_open(&s, &settings, NULL, &e) != 0) {
        report_found(p->report, MARK_ERROR, area, FIX("rm -r %s: it is made anew from the mailboxes", dir), "%s: %s", dir,
                     store_why(&e));
        free(journal_dir);
        return;
    }
    const int fd = open(inbox, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && s->journal != NULL && mbox_journal_pending(s->journal, fd) != MBOX_PENDING_NONE)
        report_found(p->report, MARK_WARNING, area,
                     FIX("imapd%s%s --recover INBOX", p->root ? " --user " : "", p->root ? a->name : ""),
                     "a change of %s was interrupted and is not finished", inbox);
    if (fd >= 0)
        close(fd);
    store_close(s);
    free(journal_dir);
}

/* Of its file system: an index cannot be on NFS, and grows. path may be missing: then what is above it counts. */
static void place(const struct patient *p, const char *path)
{
    struct statvfs v;
    struct statfs fs;
    char *dir = xstrdup(path), *slash;
    while (access(dir, F_OK) != 0 && (slash = strrchr(dir, '/')) != NULL && slash != dir)
        *slash = '\0';
    if (statvfs(dir, &v) == 0 && statfs(dir, &fs) == 0) {
        const uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
        if (fs.f_type == NFS)
            report_found(p->report, MARK_WARNING, area, "index-dir = /var/lib/imapd/%u, and: install -d -m 755 /var/lib/imapd",
                         "%s is on NFS: the index is kept in memory and made anew by each session", path);
        else if ((v.f_flag & ST_RDONLY) != 0)
            report_found(p->report, MARK_WARNING, area, FIX("mount -o remount,rw the file system of %s", dir),
                         "%s is on a file system that is mounted read-only: the index is kept in memory", path);
        else if (room < 16u << 20)
            report_found(p->report, MARK_WARNING, area, FIX("make room on the file system of %s", dir),
                         "%s: %llu MiB are left for the index, which is kept in memory when there is no room", path,
                         (unsigned long long)(room >> 20));
    }
    free(dir);
}

static void directory(const struct patient *p, const struct account *a, const char *inbox, const char *dir, int locker_fd)
{
    struct stat st;
    char *data = NULL;
    if (lstat(dir, &st) != 0) {
        if (errno != ENOENT)
            report_found(p->report, MARK_ERROR, area, "correct the permissions above it", "%s: %s", dir, strerror(errno));
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        report_found(p->report, MARK_ERROR, area, FIX("rm %s", dir), "%s is no directory: no index can be kept", dir);
        return;
    }
    if (st.st_uid != a->uid) {
        report_found(p->report, MARK_ERROR, area, FIX("chown -R %s %s", a->name, dir), "%s belongs to user %lu, not to %s", dir,
                     (unsigned long)st.st_uid, a->name);
        return;
    }
    if ((st.st_mode & 0077) != 0 || (st.st_mode & 0700) != 0700)
        report_found(p->report, MARK_WARNING, area, FIX("chmod 700 %s", dir), "%s has mode %03o", dir,
                     (unsigned)st.st_mode & 0777u);
    left_over(p, dir, "data.mdb.damaged", "an index was damaged and set aside");
    left_over(p, dir, "journal.refused", "a change that did not fit the mailbox was set aside");
    if (asprintf(&data, "%s/data.mdb", dir) < 0)
        return;
    if (lstat(data, &st) == 0) {
        contents(p, a, inbox, dir, locker_fd);
        left_over(p, dir, "data.mdb.damaged", "the index was damaged just now and is set aside");
        report_found(p->report, MARK_OK, area, NULL, "%s: the index of %s, %lld octets on the disk", data, a->name,
                     (long long)st.st_blocks * 512);
    }
    free(data);
}

static void dotlock(const struct patient *p, const struct account *a, const char *inbox, int locker_fd)
{
    const char *leaf = strrchr(inbox, '/') + 1;
    char *dir = xstrndup(inbox, (size_t)(leaf - inbox));
    const int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && access(inbox, F_OK) == 0) {
        struct dotlock *d = dotlock_new(fd, leaf, locker_fd);
        const enum dotlock_result had = dotlock_take(d);
        const int err = errno;
        if (had == DOTLOCK_IMPOSSIBLE)
            report_found(p->report, MARK_WARNING, "locking",
                         FIX("chgrp %s %s; chmod 2775 %s; and liblockfile-bin for sessions without root", p->config->spool_group,
                             dir, dir),
                         "%s cannot make %s.lock: %s", a->name, inbox, strerror(err));
        else
            report_found(p->report, MARK_OK, "locking", NULL,
                         had == DOTLOCK_HAD ? "%s can lock %s" : "%s: somebody has locked %s now", a->name, inbox);
        dotlock_free(d);
    }
    if (fd >= 0)
        close(fd);
    free(dir);
}

void examine_index(const struct patient *p, const struct account *a, int locker_fd)
{
    char *inbox = config_expand(p->config->inbox, a->name, a->home), *dir = config_expand(p->config->index_dir, a->name, a->home);
    place(p, dir);
    directory(p, a, inbox, dir, locker_fd);
    dotlock(p, a, inbox, locker_fd);
    free(inbox);
    free(dir);
}
