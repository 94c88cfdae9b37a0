/*
 * Runs as root, to be root no more: the last steps before a session is its user, the first that depend on who it is. Paths
 * here come from the configuration with the name and home of an account filled in, never from the network.
 */
#include "auth/become.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/groups.h"
#include "auth/locker.h"
#include "base/log.h"
#include "base/xmalloc.h"

static int set_groups(const struct account *a)
{
    return a->system ? groups_become(a->name, a->gid) : setgroups(1, &a->gid);
}

static bool below(const char *path, const char *dir)
{
    const size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Makes path as the user's own, if only its last name is missing and the directory above is root's: where anybody else may
 * write, the name could be made to lead to anything. */
static void make_index_dir(const char *path, const struct account *a)
{
    struct stat st;
    char *above = xstrdup(path), *slash = strrchr(above, '/');
    if (slash == NULL || slash == above || slash[1] == '\0') {
        free(above);
        return;
    }
    *slash = '\0';
    const int dir = open(above, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0 && fstat(dir, &st) == 0 && st.st_uid == 0 && (st.st_mode & 022) == 0 && mkdirat(dir, slash + 1, 0700) == 0) {
        if (fchownat(dir, slash + 1, a->uid, a->gid, AT_SYMLINK_NOFOLLOW) != 0)
            log_warning("directory %s: %s", path, strerror(errno));
    }
    if (dir >= 0)
        close(dir);
    free(above);
}

/* Can the user create files in dir? Asked of the kernel, as the user, with a way back. */
static bool user_writes(const char *dir, const struct account *a)
{
    bool can = true;
    if (setegid(a->gid) != 0 || seteuid(a->uid) != 0)
        can = false;
    else
        can = faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0;
    if (seteuid(0) != 0 || setegid(0) != 0)
        _exit(1);
    return can;
}

static int start_locker(const struct config *c, const struct account *a)
{
    char *inbox = config_expand(c->inbox, a->name, a->home), *slash = strrchr(inbox, '/');
    int fd = -1;
    if (slash != NULL && slash != inbox && slash[1] != '\0') {
        char *dir = xstrndup(inbox, (size_t)(slash - inbox));
        const struct group *group;
        struct stat st;
        if (!user_writes(dir, a) && stat(dir, &st) == 0 && (st.st_mode & S_IWGRP) != 0 &&
            (group = getgrnam(c->spool_group)) != NULL && group->gr_gid == st.st_gid && st.st_gid != 0)
            fd = locker_start(a, st.st_gid, inbox);
        free(dir);
    }
    free(inbox);
    return fd;
}

static bool is_for_good(const struct account *a)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;
    if (getresuid(&r, &e, &s) != 0 || getresgid(&rg, &eg, &sg) != 0)
        return false;
    if (r != a->uid || e != a->uid || s != a->uid || rg != a->gid || eg != a->gid || sg != a->gid)
        return false;
    return setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0 && setegid(0) != 0;
}

int become_user(const struct config *c, const struct account *a, int *locker_fd)
{
    *locker_fd = -1;
    if (a->uid == 0 || a->gid == 0)               /* users_check has refused that; here it would be fatal */
        return -1;
    char *index_dir = config_index_dir(c, a->name, a->home), *journal_dir = config_journal_dir(c, a->name, a->home);
    if (!below(index_dir, a->home))
        make_index_dir(index_dir, a);
    if (!below(journal_dir, a->home) && strcmp(journal_dir, index_dir) != 0)
        make_index_dir(journal_dir, a);
    free(index_dir);
    free(journal_dir);
    (void)umask(077);
    if (set_groups(a) != 0)
        goto failed;
    *locker_fd = start_locker(c, a);
    if (setresgid(a->gid, a->gid, a->gid) != 0 || setresuid(a->uid, a->uid, a->uid) != 0)
        goto failed;
    if (is_for_good(a))
        return 0;
    errno = EPERM;
failed:
    log_error("cannot become user %s (%lu): %s", a->name, (unsigned long)a->uid, strerror(errno));
    return -1;
}
