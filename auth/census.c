/*
 * Runs as root. A fixed table of addresses and one of processes, mapped from a file. Names and addresses are kept as keyed hashes: an
 * attacker cannot choose which slot he gets, and the file says nothing about people. A slot belongs to a process of that number and
 * start time, so that a number that is used again is not taken for it. Changes are made under a lock of the open file, which ends
 * with its process; waiting for it is bounded, since no login may hang on a count.
 */
#include "auth/census.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum { ADDRESSES = 2048, PROCESSES = 8192, LOOK = 64, VERSION = 2, HALF_LIFE = 600 };
static const char magic[8] = "imapd st";

struct address_slot {
    uint64_t who;
    int64_t at;                        /* s of CLOCK_BOOTTIME, of the last failure */
    uint32_t failures, pad;
};
struct process_slot {
    uint64_t address, user;            /* user 0: not logged in */
    uint64_t started;                  /* /proc/PID/stat */
    int32_t pid;                       /* 0: free */
    uint32_t seen;                     /* now(), cut to 32 bits, when it was found to live */
};
struct table {
    char magic[8];
    uint32_t version, size;
    unsigned char secret[16];
    struct address_slot addresses[ADDRESSES];
    struct process_slot processes[PROCESSES];
    struct census_totals totals;
};
struct census {
    int fd;
    struct table *t;
};

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec;
}

static bool lock(const struct census *c)
{
    enum { TRIES = 1000 };
    const struct timespec step = { 0, 1000000 };
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    for (int i = 0; i < TRIES; i++) {
        if (fcntl(c->fd, F_OFD_SETLK, &whole) == 0)
            return true;
        (void)nanosleep(&step, NULL);
    }
    errno = EAGAIN;
    return false;
}

static bool good(const struct table *t)
{
    return memcmp(t->magic, magic, sizeof magic) == 0 && t->version == VERSION && t->size == sizeof *t;
}

/* As long as the table, and with room for all of it: to write where a full file system has none would end this process. */
static bool fit(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    if (st.st_size == (off_t)sizeof(struct table) && st.st_blocks * 512 >= st.st_size)
        return true;
    if (ftruncate(fd, 0) != 0)
        return false;
    errno = posix_fallocate(fd, 0, sizeof(struct table));
    return errno == 0;
}

/* Under the lock: a file that is new, or of another version, is begun. */
static bool begin(struct census *c)
{
    if (!fit(c->fd))
        return false;
    c->t = mmap(NULL, sizeof *c->t, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
    if (c->t == MAP_FAILED) {
        c->t = NULL;
        return false;
    }
    if (good(c->t))
        return true;
    memset(c->t, 0, sizeof *c->t);
    c->t->version = VERSION;
    c->t->size = sizeof *c->t;
    if (getrandom(c->t->secret, sizeof c->t->secret, 0) != sizeof c->t->secret)
        return false;
    memcpy(c->t->magic, magic, sizeof magic);
    return true;
}

/* The directory, made if need be (/run is empty after a boot). Where others than root can write, they could put another file into the
 * place of ours: -1. */
static int open_directory(const char *path)
{
    struct stat st;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && mkdir(path, 0755) == 0)
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fstat(fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & 022) == 0))
        return fd;
    close(fd);
    errno = EPERM;
    return -1;
}

/* Root's alone, and by no other name: it is written over. */
static int open_file(const char *path)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    char *above = slash == NULL || slash == path ? strdup(slash == NULL ? "." : "/") : strndup(path, (size_t)(slash - path));
    const int directory = above != NULL ? open_directory(above) : -1;
    free(above);
    if (directory < 0)
        return -1;
    const int fd = openat(directory, slash != NULL ? slash + 1 : path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    const int error = errno;
    close(directory);
    errno = error;
    if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 && (st.st_mode & 077) == 0 && st.st_nlink == 1))
        return fd;
    close(fd);
    errno = EPERM;
    return -1;
}

static void detach(struct census *c)
{
    if (c->t != NULL)
        munmap(c->t, sizeof *c->t);
    if (c->fd >= 0)
        close(c->fd);                  /* and with it the lock */
}

/* Opened and locked. False: there is none. */
static bool attach(struct census *c, const char *path)
{
    *c = (struct census){ .fd = -1 };
    if (path == NULL || path[0] == '\0')
        return false;
    c->fd = open_file(path);
    if (c->fd >= 0 && lock(c) && begin(c))
        return true;
    log_warning("state-file %s: %s; there are no limits", path, strerror(errno));
    detach(c);
    return false;
}

static uint64_t keyed(const struct census *c, char kind, const void *p, size_t n)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    uint64_t out;
    SHA2_CTX h;
    SHA256Init(&h);
    SHA256Update(&h, c->t->secret, sizeof c->t->secret);
    SHA256Update(&h, (const uint8_t *)&kind, 1);
    SHA256Update(&h, p, n);
    SHA256Final(hash, &h);
    memcpy(&out, hash, sizeof out);
    return out != 0 ? out : 1;
}

/* 0: it is no address. */
static uint64_t of_address(const struct census *c, const char *text)
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    unsigned char octets[16];
    if (inet_pton(AF_INET, text, octets) == 1)
        return keyed(c, '4', octets, 4);
    if (inet_pton(AF_INET6, text, octets) != 1)
        return 0;
    return memcmp(octets, mapped, sizeof mapped) == 0 ? keyed(c, '4', octets + 12, 4) : keyed(c, '6', octets, 8);
}

/* When a process began, in ticks of the kernel; 0: there is none. Field 22, behind the name, which may hold anything. */
static uint64_t started(int32_t pid)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    char *p = strrchr(text, ')');
    for (int field = 2; p != NULL && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p != NULL ? strtoull(p + 1, NULL, 10) : 0;
}

/* Whether there is a process of that number is asked each time; whether it is still the same one, every few seconds: what is in /proc
 * takes long to make, and the lock is held meanwhile, which a thousand connections at once wait for. */
static bool lives(struct process_slot *s)
{
    enum { GOOD_FOR = 2 };
    const uint32_t second = (uint32_t)now();
    if (s->pid <= 0 || (kill(s->pid, 0) != 0 && errno == ESRCH))
        return false;
    if (second - s->seen < GOOD_FOR)
        return true;
    if (started(s->pid) != s->started)
        return false;
    s->seen = second;
    return true;
}

/* Slots are looked for from a place that follows from the pid on. Ours, or a free one, or one whose process is gone; NULL: none near. */
static struct process_slot *own_slot(const struct census *c)
{
    const int32_t pid = (int32_t)getpid();
    struct process_slot *unused = NULL;
    for (unsigned i = 0; i < LOOK; i++) {
        struct process_slot *s = &c->t->processes[((unsigned)pid + i) % PROCESSES];
        if (s->pid == pid)
            return s;
        if (unused == NULL && (s->pid == 0 || !lives(s)))
            unused = s;
    }
    return unused;
}

/* Processes other than ours of that address, not logged in, or of that user. */
static unsigned count(const struct census *c, uint64_t address, uint64_t user, unsigned most)
{
    unsigned n = 0;
    for (unsigned i = 0; i < PROCESSES && n < most; i++) {
        struct process_slot *s = &c->t->processes[i];
        if (s->pid == 0 || s->pid == (int32_t)getpid() || (user != 0 ? s->user != user : s->user != 0 || s->address != address))
            continue;
        if (lives(s))
            n++;
        else
            s->pid = 0;
    }
    return n;
}

/* Counts, and takes a slot. False: there are too many. */
static bool enter(const struct census *c, uint64_t address, uint64_t user, unsigned most)
{
    if (most != 0 && count(c, address, user, most) >= most)
        return false;
    struct process_slot *s = own_slot(c);
    if (s == NULL) {
        log_warning("state-file: full; this connection is not counted");
        return true;
    }
    const int32_t pid = (int32_t)getpid();
    *s = (struct process_slot){ .address = address, .user = user, .started = started(pid), .pid = pid, .seen = (uint32_t)now() };
    return true;
}

bool census_arrive(const char *path, const char *address, unsigned most)
{
    struct census c;
    if (!attach(&c, path))
        return true;
    const uint64_t who = of_address(&c, address);
    const bool room = who == 0 || enter(&c, who, 0, most);
    if (room)
        c.t->totals.connections++;
    else
        c.t->totals.connections_refused++;
    detach(&c);
    return room;
}

bool census_login(const char *path, const char *user, unsigned most)
{
    struct census c;
    if (!attach(&c, path))
        return true;
    const bool room = enter(&c, 0, keyed(&c, 'u', user, strlen(user)), most);
    if (room)
        c.t->totals.logins++;
    else
        c.t->totals.logins_refused++;
    detach(&c);
    return room;
}

static uint32_t decayed(const struct address_slot *s)
{
    const int64_t gone = (now() - s->at) / HALF_LIFE;
    return gone < 0 || gone >= 32 ? 0 : s->failures >> gone;
}

/* The address's slot; with take, the one that is least worth keeping becomes it. */
static struct address_slot *slot_of(const struct census *c, uint64_t who, bool take)
{
    struct address_slot *worst = NULL;
    for (unsigned i = 0; i < LOOK; i++) {
        struct address_slot *s = &c->t->addresses[(who + i) % ADDRESSES];
        if (s->who == who)
            return s;
        if (worst == NULL || decayed(s) < decayed(worst))
            worst = s;
    }
    if (!take)
        return NULL;
    *worst = (struct address_slot){ .who = who };
    return worst;
}

unsigned census_failures(const char *path, const char *address)
{
    struct census c;
    if (!attach(&c, path))
        return 0;
    const uint64_t who = of_address(&c, address);
    const struct address_slot *s = who != 0 ? slot_of(&c, who, false) : NULL;
    const unsigned n = s != NULL ? decayed(s) : 0;
    detach(&c);
    return n;
}

void census_fail(const char *path, const char *address)
{
    enum { MOST = 1000 };
    struct census c;
    if (!attach(&c, path))
        return;
    const uint64_t who = of_address(&c, address);
    struct address_slot *s = who != 0 ? slot_of(&c, who, true) : NULL;
    c.t->totals.logins_refused++;
    if (s != NULL) {
        const uint32_t before = decayed(s);
        s->failures = before < MOST ? before + 1 : MOST;
        s->at = now();
    }
    detach(&c);
}

void census_forgive(const char *path, const char *address)
{
    struct census c;
    if (!attach(&c, path))
        return;
    const uint64_t who = of_address(&c, address);
    struct address_slot *s = who != 0 ? slot_of(&c, who, false) : NULL;
    if (s != NULL)
        *s = (struct address_slot){ 0 };
    detach(&c);
}

void census_ended(const char *path, const struct census_totals *sum)
{
    struct census c;
    if (!attach(&c, path))
        return;
    struct census_totals *t = &c.t->totals;
    t->ended += sum->ended;
    t->commands += sum->commands;
    t->octets_in += sum->octets_in;
    t->octets_out += sum->octets_out;
    t->fetched += sum->fetched;
    t->appended += sum->appended;
    detach(&c);
}

int census_read_totals(const char *path, struct census_totals *out)
{
    struct stat st;
    char head[offsetof(struct table, secret)];
    const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    const bool ours = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 && st.st_size == (off_t)sizeof(struct table)
        && pread(fd, head, sizeof head, 0) == sizeof head && memcmp(head, magic, sizeof magic) == 0
        && memcmp(head + offsetof(struct table, version), &(uint32_t){ VERSION }, sizeof(uint32_t)) == 0
        && pread(fd, out, sizeof *out, offsetof(struct table, totals)) == sizeof *out;
    close(fd);
    errno = EINVAL;
    return ours ? 0 : -1;
}
