/*
 * Runs as root, to be root no more: the confinement of the greeter and the other processes that read what the network sends.
 */
#include "auth/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/filter.h"
#include "base/log.h"
#include "base/xmalloc.h"

/* Makes the directory and, so that /run may be empty after a boot, the one above it. What it is then is checked after. */
static void make_root(const char *path)
{
    char *above = xstrdup(path), *slash = strrchr(above, '/');
    if (slash != NULL && slash != above) {
        *slash = '\0';
        (void)mkdir(above, 0755);
    }
    (void)mkdir(path, 0555);
    free(above);
}

/* An empty directory of root that nobody else can write, opened; -1 if it is not that. */
static int open_root(const char *path)
{
    enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
    struct stat st;
    int fd = open(path, FLAGS);
    if (fd < 0 && errno == ENOENT) {
        make_root(path);
        fd = open(path, FLAGS);
    }
    if (fd < 0) {
        log_error("greeter-root %s: %s", path, strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & 022) == 0)
        return fd;
    log_error("greeter-root %s: must belong to root and be writable by no other", path);
    close(fd);
    return -1;
}

static int change_root(const char *path)
{
    const int fd = open_root(path);
    if (fd < 0)
        return -1;
    const int failed = fchdir(fd) != 0 || chroot(".") != 0 || chdir("/") != 0;
    if (failed)
        log_error("chroot %s: %s", path, strerror(errno));
    close(fd);
    return failed ? -1 : 0;
}

static int limit(int resource, rlim_t value)
{
    const struct rlimit l = { value, value };
    return setrlimit(resource, &l);
}

/* 3 descriptors and not 0, because poll(2) refuses more entries than there may be descriptors; 0, 1 and 2 are taken. */
static int limit_all(enum jail_kind kind)
{
    enum { SOME = 64 };                /* descriptors of a warm relay */
    if (limit(RLIMIT_CORE, 0) != 0)
        return -1;
    if (kind == JAIL_WARM ? limit(RLIMIT_NOFILE, SOME) != 0 : limit(RLIMIT_NPROC, 0) != 0 || limit(RLIMIT_NOFILE, 3) != 0)
        return -1;
#ifndef __SANITIZE_ADDRESS__
    return limit(RLIMIT_DATA, 16 << 20);
#else
    return 0;
#endif
}

static int drop(uid_t uid, gid_t gid)
{
    if (uid == 0 || gid == 0 || setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return -1;
    return setuid(0) == 0 || setgid(0) == 0 ? -1 : 0;
}

struct ids {
    uid_t uid;
    gid_t gid;
};

static bool from_line(struct ids *ids, const char *line, const char *name)
{
    const size_t n = strlen(name);
    const char *password = strncmp(line, name, n) == 0 && line[n] == ':' ? strchr(line + n + 1, ':') : NULL;
    unsigned long uid, gid;
    if (password == NULL || sscanf(password, ":%lu:%lu:", &uid, &gid) != 2 || uid != (uid_t)uid || gid != (gid_t)gid)
        return false;
    *ids = (struct ids){ (uid_t)uid, (gid_t)gid };
    return true;
}

/* /etc/passwd itself: asking every source that nsswitch.conf names for a user that is not there costs more, on each connection,
 * than all the rest of this file. False also if that is the only place where it is not. */
static bool local_user(struct ids *ids, const char *name)
{
    FILE *f = fopen("/etc/passwd", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    while (f != NULL && !found && getline(&line, &size, f) >= 0)
        found = from_line(ids, line, name);
    free(line);
    if (f != NULL)
        fclose(f);
    return found;
}

static bool any_user(struct ids *ids, const char *name)
{
    const struct passwd *pw = getpwnam(name);
    if (pw != NULL)
        *ids = (struct ids){ pw->pw_uid, pw->pw_gid };
    return pw != NULL;
}

static bool greeter_user(const struct config *c, struct ids *ids)
{
    if (local_user(ids, c->greeter_user))
        return true;
    if (strcmp(c->greeter_user, "imapd") != 0 && any_user(ids, c->greeter_user))      /* one that was named must not be overlooked */
        return true;
    return local_user(ids, "nobody") || any_user(ids, "nobody");
}

static int install_filter(enum jail_kind kind)
{
    return kind == JAIL_RELAY ? filter_relay() : kind == JAIL_WARM ? filter_warm() : filter_greeter();
}

void jail_name(const char *name)
{
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
}

int jail_enter(const struct config *c, enum jail_kind kind)
{
    static const char *const names[] = { "imapd-greeter", "imapd-sasl", "imapd-tls", "imapd-tls-warm" };
    struct ids ids;
    if (!greeter_user(c, &ids)) {
        log_error("there is neither a user %s (greeter-user) nor nobody", c->greeter_user);
        return -1;
    }
    if (change_root(c->greeter_root) != 0)
        return -1;
    if (drop(ids.uid, ids.gid) != 0) {
        log_error("cannot become greeter-user %s (%lu): %s", c->greeter_user, (unsigned long)ids.uid, strerror(errno));
        return -1;
    }
    jail_name(names[kind]);
    if (limit_all(kind) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        (kind <= JAIL_MECHANISM && prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0) != 0) || install_filter(kind) != 0) {
        log_error("cannot confine %s: %s", names[kind], strerror(errno));
        return -1;
    }
    log_close();
    return 0;
}

int jail_narrow(void)
{
    jail_name("imapd-tls");
    return limit(RLIMIT_NPROC, 0) == 0 && limit(RLIMIT_NOFILE, 3) == 0 && filter_relay() == 0 ? 0 : -1;
}
