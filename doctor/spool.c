/*
 * The directory of the INBOXes, the file system below it, and each INBOX: who may do what there. Links are not followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "doctor/examine.h"

enum { STALE = 300, NFS = 0x6969 };
static const char area[] = "spool";

char *spool_directory(const struct config *c)
{
    const char *slash = strrchr(c->inbox, '/');
    if (slash == NULL || slash == c->inbox || memchr(c->inbox, '%', (size_t)(slash - c->inbox)) != NULL)
        return NULL;
    return xstrndup(c->inbox, (size_t)(slash - c->inbox));
}

static void file_system(const struct patient *p, const char *dir)
{
    struct statvfs v;
    struct statfs fs;
    if (statvfs(dir, &v) != 0 || statfs(dir, &fs) != 0)
        return;
    const uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
    if ((v.f_flag & ST_RDONLY) != 0)
        report_found(p->report, MARK_ERROR, area,
                     FIX("mount -o remount,rw the file system of %s, and see dmesg why it is so", dir),
                     "%s is on a file system that is mounted read-only", dir);
    else if (room < 64u << 20 || room < (uint64_t)v.f_blocks * v.f_frsize / 100)
        report_found(p->report, room < 1u << 20 ? MARK_ERROR : MARK_WARNING, area,
                     FIX("make room on the file system of %s: du -xh %s", dir, dir), "%s: %llu MiB are left on its file system",
                     dir, (unsigned long long)(room >> 20));
    if (v.f_files > 0 && v.f_favail < 1000)
        report_found(p->report, MARK_WARNING, area, "remove files, or make the file system anew with more inodes",
                     "%s: %llu inodes are left", dir, (unsigned long long)v.f_favail);
    if (fs.f_type == NFS)
        report_found(p->report, MARK_WARNING, area,
                     "delivery agents must use fcntl or dotlocks; index-dir = /var/lib/imapd/%u on a local disk",
                     "%s is on NFS: flock is not used there, and the index should not be there", dir);
}

static void modes(const struct patient *p, const char *dir, const struct stat *st)
{
    const char *name = p->config->spool_group;
    const struct group *group = getgrnam(name);
    struct report *r = p->report;
    const unsigned mode = st->st_mode & 07777u;
    unsigned wrong = 0;
    if (group == NULL)
        report_found(r, MARK_ERROR, area, FIX("groupadd --system %s, or spool-group = GROUP", name),
                     "spool-group: there is no group %s", name),
            wrong++;
    if (st->st_uid != 0)
        report_found(r, MARK_ERROR, area, FIX("chown root %s", dir), "%s belongs to user %lu, not to root", dir,
                     (unsigned long)st->st_uid),
            wrong++;
    if ((mode & 0002) != 0) {
        if ((mode & 01000) == 0)
            report_found(r, MARK_ERROR, area, FIX("chmod 2775 %s (or 1777)", dir),
                         "%s has mode %04o: every user can remove the mail of others", dir, mode),
                wrong++;
    } else if ((mode & 0070) != 0070)
        report_found(r, MARK_ERROR, area, FIX("chmod 2775 %s", dir), "%s has mode %04o: its group cannot make lock files there",
                     dir, mode),
            wrong++;
    else if (group != NULL && st->st_gid != group->gr_gid)
        report_found(r, MARK_ERROR, area, FIX("chgrp %s %s", name, dir),
                     "%s has group %lu, not %s: no lock files can be made there", dir, (unsigned long)st->st_gid, name),
            wrong++;
    else if ((mode & 02000) == 0)
        report_found(r, MARK_WARNING, area, FIX("chmod 2775 %s", dir),
                     "%s is not setgid (mode %04o): new INBOXes get other groups", dir, mode),
            wrong++;
    if ((mode & 0005) != 0005)
        report_found(r, MARK_ERROR, area, FIX("chmod o+rx %s", dir), "%s has mode %04o: users cannot reach their INBOX", dir,
                     mode),
            wrong++;
    if (wrong == 0)
        report_found(r, MARK_OK, area, NULL, "%s: owner, group and mode %04o are right", dir, mode);
}

void examine_spool(const struct patient *p)
{
    struct stat st;
    char *dir = spool_directory(p->config);
    if (dir == NULL)
        report_found(p->report, MARK_OK, area, NULL, "each INBOX has a directory of its own (inbox = %s)", p->config->inbox);
    else if (stat(dir, &st) != 0)
        report_found(p->report, MARK_ERROR, area,
                     errno == ENOENT
                         ? FIX("install -d -o root -g %s -m 2775 %s, or correct the setting inbox", p->config->spool_group, dir)
                         : FIX("chmod o+x the directories above %s", dir),
                     "%s: %s", dir, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        report_found(p->report, MARK_ERROR, area, "correct the setting inbox", "%s is no directory", dir);
    else {
        modes(p, dir, &st);
        file_system(p, dir);
    }
    free(dir);
}

static void dotlock_left(const struct patient *p, const char *inbox)
{
    struct stat st;
    char *name = NULL;
    if (asprintf(&name, "%s.lock", inbox) < 0)
        return;
    if (lstat(name, &st) == 0 && time(NULL) - st.st_mtime > STALE)
        report_found(p->report, MARK_WARNING, area, FIX("rm %s", name), "%s is a lock file that was left behind %ld minutes ago",
                     name, (long)(time(NULL) - st.st_mtime) / 60);
    free(name);
}

/* Also if it is empty, or cannot be read. */
static bool begins_as_mbox(const char *path)
{
    struct stat st;
    char begin[5];
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    const bool regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    const ssize_t n = regular ? pread(fd, begin, sizeof begin, 0) : 0;
    if (fd >= 0)
        close(fd);
    return n <= 0 || (n == sizeof begin && memcmp(begin, "From ", sizeof begin) == 0);
}

static void inbox_file(const struct patient *p, const struct account *a, const char *inbox, const struct stat *st)
{
    const struct group *group = getgrnam(p->config->spool_group);
    struct report *r = p->report;
    const unsigned mode = st->st_mode & 07777u;
    unsigned wrong = 0;
    if (st->st_uid != a->uid)
        report_found(r, MARK_ERROR, area, FIX("chown %s %s", a->name, inbox), "%s, the INBOX of %s, belongs to user %lu", inbox,
                     a->name, (unsigned long)st->st_uid),
            wrong++;
    if ((mode & 0600) != 0600)
        report_found(r, MARK_ERROR, area, FIX("chmod u+rw %s", inbox), "%s has mode %03o: its owner may not read and write it",
                     inbox, mode),
            wrong++;
    if ((mode & 0007) != 0)
        report_found(r, (mode & 0002) != 0 ? MARK_ERROR : MARK_WARNING, area, FIX("chmod 660 %s", inbox),
                     "%s has mode %03o: every user may %s it", inbox, mode, (mode & 0002) != 0 ? "write" : "read"),
            wrong++;
    if ((mode & 0060) != 0 && st->st_gid != a->gid && (group == NULL || group->gr_gid != st->st_gid))
        report_found(r, MARK_WARNING, area, FIX("chgrp %s %s", p->config->spool_group, inbox),
                     "%s may be read by group %lu, which is neither %s nor the user's", inbox, (unsigned long)st->st_gid,
                     p->config->spool_group),
            wrong++;
    if (st->st_nlink > 1)
        report_found(r, MARK_WARNING, area,
                     FIX("find %.*s -samefile %s, and remove the others", (int)(strrchr(inbox, '/') - inbox), inbox, inbox),
                     "%s has %lu hard links", inbox, (unsigned long)st->st_nlink),
            wrong++;
    if (!begins_as_mbox(inbox))
        report_found(r, MARK_ERROR, area, FIX("head -1 %s: if it is an mbox, what is before its first line \"From \" must go", inbox),
                     "%s does not begin as an mbox does, with \"From \": it cannot be opened", inbox),
            wrong++;
    if (wrong == 0)
        report_found(r, MARK_OK, area, NULL, "%s: INBOX of %s, %lld octets", inbox, a->name, (long long)st->st_size);
}

void examine_inbox(const struct patient *p, const struct account *a)
{
    struct stat st;
    char *inbox = config_expand(p->config->inbox, a->name, a->home);
    if (lstat(inbox, &st) != 0) {
        if (errno != ENOENT)
            report_found(p->report, MARK_ERROR, area, FIX("correct the permissions of the directories above %s", inbox), "%s: %s",
                         inbox, strerror(errno));
    } else if (S_ISLNK(st.st_mode))
        report_found(p->report, MARK_ERROR, area, FIX("rm %s, and move the file that it leads to there", inbox),
                     "%s, the INBOX of %s, is a symbolic link, which is not followed", inbox, a->name);
    else if (S_ISDIR(st.st_mode))
        report_found(p->report, MARK_ERROR, area,
                     FIX("move %s away: as a maildir it cannot be served; correct the delivery", inbox), "%s is a directory",
                     inbox);
    else if (!S_ISREG(st.st_mode))
        report_found(p->report, MARK_ERROR, area, FIX("rm %s", inbox), "%s is not a regular file", inbox);
    else {
        inbox_file(p, a, inbox, &st);
        if (stat(a->home, &st) != 0)
            report_found(p->report, MARK_WARNING, area, FIX("install -d -o %s -m 700 %s", a->name, a->home),
                         "the home directory of %s, %s: %s", a->name, a->home, strerror(errno));
        else if (st.st_uid != a->uid || (st.st_mode & 0022) != 0)
            report_found(p->report, MARK_WARNING, area, FIX("chown %s %s; chmod go-w %s", a->name, a->home, a->home),
                         "the home directory of %s, %s, can be written by others", a->name, a->home);
    }
    dotlock_left(p, inbox);
    free(inbox);
}
