/*
 * Runs as root. A file for each session (see slots.h). No lock: a name belongs to one process at one time, and of those who
 * remove a file that was left behind one succeeds, and counts.
 */
#include "auth/slots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/census.h"
#include "base/log.h"
#include "base/process.h"

enum { SWEEP_EVERY = 64, PATH = 4096 };

static bool none(const char *state_file)
{
    return state_file == NULL || state_file[0] == '\0';
}

/* Root's alone; with make it is made. */
static int open_directory(const char *state_file, bool make)
{
    char path[PATH];
    struct stat st;
    if (snprintf(path, sizeof path, "%s.sessions", state_file) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && make && (mkdir(path, 0700) == 0 || errno == EEXIST))
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & 077) == 0))
        return fd;
    close(fd);
    errno = EPERM;
    return -1;
}

/* "PID-TIME". */
static bool parse_name(const char *name, pid_t *pid, int64_t *at)
{
    char *end;
    errno = 0;
    const long number = strtol(name, &end, 10);
    if (name[0] < '1' || name[0] > '9' || *end != '-' || number <= 0 || number > INT32_MAX)
        return false;
    if (end[1] < '0' || end[1] > '9')
        return false;
    *at = strtoll(end + 1, &end, 10);
    *pid = (pid_t)number;
    return *end == '\0' && errno == 0;
}

bool slots_parse(int fd, struct slot_owner *owner, struct slot *slot)
{
    if (pread(fd, owner, sizeof *owner, 0) != sizeof *owner || !slot_read(fd, SLOT_AT, slot))
        return false;
    slot_clean(owner->user, sizeof owner->user);
    slot_clean(owner->address, sizeof owner->address);
    return owner->user[0] != '\0';
}

static int open_slot(int directory, const char *name)
{
    struct stat st;
    const int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return fd;
    close(fd);
    return -1;
}

/* No number of a session is believed to be more than this: a false one must not make the sum turn over. */
static uint64_t believed(uint64_t n)
{
    const uint64_t most = (uint64_t)1 << 50;
    return n < most ? n : most;
}

/* The session of that file is gone. */
static void collect(int directory, const char *name, struct census_totals *sum)
{
    struct slot_owner owner;
    struct slot s;
    const int fd = open_slot(directory, name);
    const bool good = fd >= 0 && slots_parse(fd, &owner, &s);
    if (fd >= 0)
        close(fd);
    if (unlinkat(directory, name, 0) != 0 || !good)
        return;
    sum->commands += believed(s.commands);
    sum->octets_in += believed(s.octets_in);
    sum->octets_out += believed(s.octets_out);
    sum->fetched += believed(s.fetched);
    sum->appended += believed(s.appended);
    sum->ended++;
}

/* Every file of the directory, which is closed. With each: of sessions that live; without, whether there is a process of that number
 * has to do: that is quicker. */
static void go_through(const char *state_file, int directory, void (*each)(void *ctx, const struct slot_seen *s), void *ctx)
{
    enum { GRAIN = 20 };               /* ms: what began was rounded to a tick of the kernel */
    struct census_totals sum = { 0 };
    DIR *d = fdopendir(directory);
    if (d == NULL) {
        close(directory);
        return;
    }
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        struct slot_seen seen;
        struct process p;
        int64_t at;
        if (!parse_name(e->d_name, &seen.pid, &at))
            continue;
        const bool lives = each == NULL ? kill(seen.pid, 0) == 0 || errno != ESRCH : process_look(seen.pid, &p) && p.began <= at + GRAIN;
        if (!lives) {
            collect(directory, e->d_name, &sum);
            continue;
        }
        const int fd = each != NULL ? open_slot(directory, e->d_name) : -1;
        if (fd >= 0 && slots_parse(fd, &seen.owner, &seen.slot)) {
            seen.began = p.began;
            each(ctx, &seen);
        }
        if (fd >= 0)
            close(fd);
    }
    closedir(d);
    if (sum.ended > 0)
        census_ended(state_file, &sum);
}

int slots_each(const char *state_file, void (*each)(void *ctx, const struct slot_seen *s), void *ctx)
{
    const int directory = none(state_file) ? -1 : open_directory(state_file, false);
    if (directory < 0)
        return none(state_file) || errno == ENOENT ? 0 : -1;
    go_through(state_file, directory, each, ctx);
    return 0;
}

static struct slot *fill(int fd, const struct slot_owner *owner)
{
    if (pwrite(fd, owner, sizeof *owner, 0) != sizeof *owner)
        return NULL;
    errno = posix_fallocate(fd, SLOT_AT, sizeof(struct slot));   /* to write into a hole of a full file system would end the session */
    if (errno != 0)
        return NULL;
    void *p = mmap(NULL, sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, SLOT_AT);
    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, sizeof(struct slot), MADV_DONTFORK);
    return p;
}

struct slot *slots_take(const char *state_file, const char *user, const char *address, bool tls)
{
    struct slot_owner owner = { .tls = tls, .at = time(NULL) };
    struct slot *slot = NULL;
    char name[48];
    if (none(state_file))
        return NULL;
    const int64_t now = process_now();
    const int directory = open_directory(state_file, true);
    snprintf(name, sizeof name, "%d-%lld", (int)getpid(), (long long)now);
    snprintf(owner.user, sizeof owner.user, "%s", user);
    snprintf(owner.address, sizeof owner.address, "%s", address);
    const int fd = directory >= 0 ? openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        slot = fill(fd, &owner);
        const int error = errno;
        if (slot == NULL)
            (void)unlinkat(directory, name, 0);
        close(fd);
        errno = error;
    }
    if (slot == NULL)
        log_warning("%s.sessions: %s; imapd --stat does not show this session", state_file, strerror(errno));
    if (slot != NULL && now % SWEEP_EVERY == 0)
        go_through(state_file, directory, NULL, NULL);
    else if (directory >= 0)
        close(directory);
    return slot;
}
