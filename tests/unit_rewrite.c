/*
 * mbox_rewrite and mbox_move stopped at each call that changes a file: killed before it, killed with the write torn, power
 * cut (of what was not synced any part, in sectors, is on disk), failing once, failing for good. Recovery is killed in the
 * same ways, deliveries come in between. Then every record is there once, in its old or its new form; a change that
 * only removes, and a MOVE, are done wholly or not at all. Compiled with a small MBOX_STEP.
 *   unit_rewrite [FIRST LAST]    all calls with these seeds; without, each third call with one
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/mbox_rewrite.h"

/* ---- the disk ----------------------------------------------------------------------------------------------------- */

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
int __real_ftruncate(int fd, off_t size);
int __real_posix_fallocate(int fd, off_t at, off_t n);
int __real_fallocate(int fd, int mode, off_t at, off_t n);
int __real_fdatasync(int fd);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_posix_fallocate(int fd, off_t at, off_t n);
int __wrap_fallocate(int fd, int mode, off_t at, off_t n);
int __wrap_fdatasync(int fd);

enum mode { KILL, TORN, POWER, FAIL_ONCE, FAIL_ALL, MODES };
enum { FILES = 32, SECTOR = 512, KILLED = 9 };
static long *total;                  /* calls of the last change, told by the child */
static long calls, stop_at;
static enum mode mode;
static unsigned dice;

/* What is on disk for sure, and what was written since. */
struct op {
    off_t at;                        /* write; or the size with p NULL */
    size_t n;
    char *p;
};
static struct disk {
    char *image;
    off_t size;
    struct op *ops;
    size_t n;
} disks[FILES];

static unsigned roll(unsigned n)
{
    dice = dice * 1103515245u + 12345u;
    return (dice >> 12) % n;
}

static void take_image(int fd)
{
    struct disk *d = &disks[fd];
    struct stat st;
    if (fstat(fd, &st) != 0)
        abort();
    free(d->image);
    for (size_t i = 0; i < d->n; i++)
        free(d->ops[i].p);
    d->n = 0;
    d->size = st.st_size;
    d->image = malloc((size_t)st.st_size + 1);
    if (pread(fd, d->image, (size_t)d->size, 0) != d->size)
        abort();
}

static void note(int fd, off_t at, const void *p, size_t n)
{
    struct disk *d = &disks[fd];
    if (mode != POWER || d->image == NULL)
        return;
    d->ops = realloc(d->ops, (d->n + 1) * sizeof *d->ops);
    struct op *o = &d->ops[d->n++];
    *o = (struct op){ at, n, NULL };
    if (p != NULL)
        o->p = memcpy(malloc(n + 1), p, n);
}

/* The file system takes n octets out. */
static void take_out(int fd, off_t at, off_t n)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || at + n > st.st_size)
        abort();
    const size_t tail = (size_t)(st.st_size - at - n);
    char *p = malloc(tail + 1);
    if (pread(fd, p, tail, at + n) != (ssize_t)tail || __real_pwrite(fd, p, tail, at) != (ssize_t)tail)
        abort();
    free(p);
    __real_ftruncate(fd, st.st_size - n);
}

/* Of what was not synced some sectors are there, and one of the sizes that the file had since. */
static void power_cut(void)
{
    for (int fd = 0; fd < FILES; fd++) {
        struct disk *d = &disks[fd];
        if (d->image == NULL)
            continue;
        const unsigned luck = roll(5);
        off_t sizes[64] = { d->size }, now = d->size;
        unsigned n_sizes = 1;
        __real_ftruncate(fd, 0);
        __real_pwrite(fd, d->image, (size_t)d->size, 0);
        off_t lost_at = 0, lost = 0;         /* blocks that were not taken out: what was written behind them is there */
        for (size_t i = 0; i < d->n; i++) {
            struct op *o = &d->ops[i];
            if (o->p == NULL && o->n > 0) {
                if (roll(2) == 0) {
                    lost_at = o->at;
                    lost = (off_t)o->n;
                } else {
                    take_out(fd, o->at, (off_t)o->n);
                    now -= (off_t)o->n;
                    sizes[0] = now;
                }
                continue;
            }
            if (lost > 0 && o->p != NULL && o->at < lost_at && o->at + (off_t)o->n > lost_at) {   /* in two parts */
                const size_t first = (size_t)(lost_at - o->at);
                __real_pwrite(fd, o->p, first, o->at);
                o->n -= first;
                memmove(o->p, o->p + first, o->n);
                o->at = lost_at;
            }
            if (lost > 0 && o->p != NULL && o->at >= lost_at)
                o->at += lost;
            const off_t after = o->p == NULL ? o->at : o->at + (off_t)o->n > now ? o->at + (off_t)o->n : now;
            if (after != now && n_sizes < 64)
                sizes[n_sizes++] = after;
            now = after;
            for (size_t k = 0; o->p != NULL && k < o->n;) {
                const size_t part = SECTOR - (size_t)(o->at + (off_t)k) % SECTOR;
                const size_t n = o->n - k < part ? o->n - k : part;
                if (roll(4) < luck)
                    __real_pwrite(fd, o->p + k, n, o->at + (off_t)k);
                k += n;
            }
        }
        __real_ftruncate(fd, luck == 0 ? sizes[0] : luck == 4 ? now : sizes[roll(n_sizes)]);
    }
}

/* True: this call fails. */
static bool hit(void)
{
    calls++;
    if (mode == FAIL_ALL && stop_at > 0 && calls >= stop_at)
        return true;
    if (calls != stop_at)
        return false;
    if (mode == FAIL_ONCE)
        return true;
    if (mode == POWER)
        power_cut();
    if (mode != TORN)
        _exit(KILLED);
    return false;
}

ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
    if (hit()) {
        errno = calls % 2 == 0 ? EIO : ENOSPC;
        return -1;
    }
    if (calls == stop_at && mode == TORN) {
        const off_t border = (at + (off_t)roll((unsigned)n + 1)) / SECTOR * SECTOR;
        if (border > at)
            __real_pwrite(fd, p, (size_t)(border - at), at);
        _exit(KILLED);
    }
    note(fd, at, p, n);
    if (n > 700 && calls % 7 == 0)
        n -= 300;                    /* short writes are allowed at any time */
    return __real_pwrite(fd, p, n, at);
}

int __wrap_ftruncate(int fd, off_t size)
{
    if (hit()) {
        errno = EIO;
        return -1;
    }
    if (calls == stop_at && mode == TORN)
        _exit(KILLED);
    note(fd, size, NULL, 0);
    return __real_ftruncate(fd, size);
}

int __wrap_posix_fallocate(int fd, off_t at, off_t n)
{
    if (hit())
        return ENOSPC;
    if (calls == stop_at && mode == TORN)
        _exit(KILLED);
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_size < at + n)
        note(fd, at + n, NULL, 0);
    return __real_posix_fallocate(fd, at, n);
}

int __wrap_fallocate(int fd, int how, off_t at, off_t n)
{
    if (hit()) {
        errno = (how & FALLOC_FL_COLLAPSE_RANGE) != 0 ? EOPNOTSUPP : ENOSPC;
        return -1;
    }
    if (calls == stop_at && mode == TORN)
        _exit(KILLED);
    if ((how & FALLOC_FL_COLLAPSE_RANGE) != 0)
        note(fd, at, NULL, (size_t)n);
    return __real_fallocate(fd, how, at, n);
}

int __wrap_fdatasync(int fd)
{
    if (hit()) {
        errno = EIO;
        return -1;
    }
    if (mode == POWER && disks[fd].image != NULL)
        take_image(fd);
    return 0;
}

/* ---- the mailbox -------------------------------------------------------------------------------------------------- */

enum { RECORDS = 60 };
enum kind { SHRINK, GROW, MIXED, IN_PLACE, APPEND, MOVE, MOVE_WITHIN, COLLAPSE, KINDS };
static const char *const kind_name[] = { "shrink", "grow", "mixed", "in place", "append", "move", "move within", "collapse" };
struct text {
    char *p;
    size_t n;
};
static struct text old[RECORDS], new[RECORDS], added;
static int records;
static struct mbox_edit edits[RECORDS + 1];
static size_t edit_n;
static const char delivery[] = "From delivered\n\nx\n";
static int problems;

static struct text record(int i, int version, size_t header, size_t body)
{
    struct text t = { malloc(header + body + 40), 0 };
    t.n = (size_t)sprintf(t.p, "From r%03d v%d ", i, version);
    memset(t.p + t.n, 'h' + version, header);
    t.n += header;
    for (size_t b = 0; b < body; b++)
        t.p[t.n++] = (char)('A' + ((size_t)i + b * 7 + b / 253) % 26);
    t.p[t.n++] = '\n';
    return t;
}

static size_t body_size(void)
{
    switch (roll(5)) {
    case 0: return roll(20);
    case 1: return roll(300);
    case 2: return roll(3000);
    default: return roll(9000);
    }
}

static size_t new_header(enum kind kind, size_t h)
{
    switch (kind) {
    case SHRINK: return h / 2;
    case GROW: return h + 1 + roll(roll(2) != 0 ? 120 : 2500);      /* now and then the gap has room for steps */
    case IN_PLACE: return h;
    default: return roll(2) != 0 ? roll(120) : roll(2900);
    }
}

static void change(enum kind kind, int i, size_t offset, size_t h, size_t body)
{
    const size_t fixed = 13;
    if (kind == MOVE || kind == MOVE_WITHIN || ((kind == SHRINK || kind == MIXED) && roll(2) == 0)) {
        edits[edit_n++] = (struct mbox_edit){ offset, old[i].n, "", 0 };
        new[i] = (struct text){ NULL, 0 };
        return;
    }
    const size_t h2 = new_header(kind, h) + (kind == MIXED);
    new[i] = record(i, 1, h2, body);
    edits[edit_n++] = (struct mbox_edit){ offset, fixed + h, new[i].p, fixed + h2 };
}

static int dirfd_;

/* Some records near the start go, the next one's header gets the pad. */
static void build_collapse(const size_t *header, const size_t *body)
{
    const size_t fixed = 13;
    const int first = (int)roll(3), next = first + 1 + (int)roll(4);
    if (next >= records)
        return;
    size_t at = 0, gone = 0;
    for (int i = 0; i < next; i++) {
        *(i < first ? &at : &gone) += old[i].n;
        if (i >= first)
            new[i] = (struct text){ NULL, 0 };
    }
    const uint64_t pad = mbox_collapse_pad(dirfd_, at, gone + fixed + header[next], gone);
    edits[edit_n++] = (struct mbox_edit){ at, gone, "", 0 };
    if (pad == UINT64_MAX || pad == 0)
        return;
    new[next] = record(next, 1, header[next] + pad, body[next]);
    edits[edit_n++] = (struct mbox_edit){ at + gone, fixed + header[next], new[next].p, fixed + header[next] + pad };
}

static void build(enum kind kind)
{
    size_t offset = 0, headers[RECORDS], bodies[RECORDS];
    for (int i = 0; i < records; i++) {
        free(old[i].p);
        if (new[i].p != old[i].p)
            free(new[i].p);
    }
    free(added.p);
    records = 2 + (int)roll(RECORDS - 4);
    edit_n = 0;
    for (int i = 0; i < records; i++) {
        const size_t body = body_size(), h = 10 + (roll(4) == 0 ? roll(2000) : roll(60));
        new[i] = old[i] = record(i, 0, h, body);
        headers[i] = h;
        bodies[i] = body;
        if (kind != APPEND && kind != COLLAPSE && (roll(3) != 0 || (i == records - 1 && edit_n == 0)))
            change(kind, i, offset, h, body);
        offset += old[i].n;
    }
    if (kind == COLLAPSE)
        build_collapse(headers, bodies);
    added = record(999, 2, 20, 1 + roll(9000));
    if (kind == APPEND)
        edits[edit_n++] = (struct mbox_edit){ offset, 0, added.p, added.n };
}

static int make(const char *name, bool full)
{
    const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || fd >= FILES)
        abort();
    if (!full && write(fd, "From first\n\n\n", 13) != 13)
        abort();
    for (int i = 0; full && i < records; i++)
        if (write(fd, old[i].p, old[i].n) != (ssize_t)old[i].n)
            abort();
    return fd;
}

/* 0 done, 7 failed. */
static int do_it(enum kind kind, int fd, int target)
{
    const long wanted = stop_at;
    stop_at = 0;
    struct mbox_journal *j = mbox_journal_open(dirfd_, "journal");
    struct store_error e;
    stop_at = wanted;
    if (j == NULL)
        return 7;
    if (mode == POWER) {
        for (int f = 3; f < FILES; f++) {    /* the box, the target, the journal: all regular files that are open */
            struct stat st;
            if (fstat(f, &st) == 0 && S_ISREG(st.st_mode))
                take_image(f);
        }
    }
    calls = 0;
    if (kind != MOVE && kind != MOVE_WITHIN) {
        const int rc = mbox_rewrite(j, fd, edits, edit_n, NULL, NULL, &e);
        *total = calls;
        return rc == 0 ? 0 : 7;
    }
    const struct mbox_move m = { fd, kind == MOVE ? target : fd, "from", kind == MOVE ? "to" : "from", added.p, added.n, edits, edit_n };
    const int rc = mbox_move_begin(j, &m, &e) == 0 && mbox_move_finish(j, &m, NULL, NULL, &e) == 0 ? 0 : 7;
    *total = calls;
    return rc;
}

static int recover_it(int fd, int target)
{
    struct mbox_journal *j = mbox_journal_open(dirfd_, "journal");
    struct store_error e = { .code = STORE_OK };
    bool refused = false;
    int rc = 0;
    if (j == NULL)
        return 7;
    if (mode == POWER)
        for (int f = 3; f < FILES; f++) {
            struct stat st;
            if (fstat(f, &st) == 0 && S_ISREG(st.st_mode))
                take_image(f);
        }
    calls = 0;
    for (int side = 0; rc == 0 && side < 2; side++) {
        const int it = side == 0 ? fd : target;
        struct mbox_move_names names;
        switch (mbox_journal_pending(j, it)) {
        case MBOX_PENDING_UNKNOWN: rc = -1; break;
        case MBOX_PENDING_NONE:
            break;
        case MBOX_PENDING_MOVE:
            rc = mbox_move_pending(j, it, &names) == 0 ? -1
                : mbox_move_recover(j, fd, strcmp(names.from, names.to) == 0 ? fd : target, &refused, &e);
            break;
        case MBOX_PENDING_REWRITE:
            rc = mbox_journal_recover(j, it, &refused, &e);
            break;
        }
    }
    if (rc == 0 && stop_at == 0 && (mbox_journal_pending(j, fd) != MBOX_PENDING_NONE || mbox_journal_pending(j, target) != MBOX_PENDING_NONE))
        rc = 6;
    mbox_journal_close(j);
    return rc != 0 ? 7 : refused ? 8 : 0;
}

/* ---- judging ------------------------------------------------------------------------------------------------------ */

static char octets[4 << 20];

static bool begins(const char **at, const char *end, struct text t)
{
    if (t.p == NULL || (size_t)(end - *at) < t.n || memcmp(*at, t.p, t.n) != 0)
        return false;
    *at += t.n;
    return true;
}

/* What is wrong with the files; NULL: nothing. *olds: records that are old and should be new; *news the other way. */
static const char *judge(enum kind kind, int fd, int target, bool delivered, int *olds, int *news)
{
    const struct text mda = { (char *)(uintptr_t)delivery, sizeof delivery - 1 };
    ssize_t n = pread(fd, octets, sizeof octets, 0);
    const char *at = octets, *end = octets + n;
    bool is_added = false;
    *olds = *news = 0;
    for (int i = 0; i < records; i++) {
        const bool same = new[i].p == old[i].p;
        if (!same && begins(&at, end, new[i]))
            ++*news;
        else if (begins(&at, end, old[i]))
            *olds += !same;
        else if (new[i].p == NULL)
            ++*news;
        else
            return "a record is damaged";
    }
    if (kind == APPEND || kind == MOVE_WITHIN)
        is_added = begins(&at, end, added);
    if (delivered && !begins(&at, end, mda))
        return "a delivery is lost";
    if (at != end)
        return "octets behind the last record";
    if (kind == MOVE) {
        n = pread(target, octets, sizeof octets, 0);
        at = octets + 13;
        end = octets + n;
        if (n < 13)
            return "the target's first message is lost";
        is_added = begins(&at, end, added);
        if (delivered && !begins(&at, end, mda))
            return "a delivery to the target is lost";
        if (at != end)
            return "octets behind the target's last record";
    }
    if ((kind == MOVE || kind == MOVE_WITHIN) && is_added != (*olds == 0))
        return is_added ? "moved, and still there" : "moved away to nowhere";
    if (kind == APPEND) {
        *news = is_added;
        *olds = !is_added;
    }
    return (kind == SHRINK || kind == COLLAPSE || kind == MOVE || kind == MOVE_WITHIN) && *olds > 0 && *news > 0 ? "half of it was done" : NULL;
}

static void deliver(int fd)
{
    lseek(fd, 0, SEEK_END);
    if (write(fd, delivery, sizeof delivery - 1) != sizeof delivery - 1)
        abort();
}

static int in_child(int (*what)(enum kind, int, int), enum kind kind, int fd, int target)
{
    int status;
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0)
        _exit(what(kind, fd, target));
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static int recover_child(enum kind kind, int fd, int target)
{
    (void)kind;
    return recover_it(fd, target);
}

/* One stop. True: the change went through without it. */
static bool one(enum kind kind, unsigned seed, long at, long *recoveries)
{
    int olds, news, recovery = 0;
    unlink("journal");
    const int fd = make("box", true), target = make("target", false);
    mbox_journal_close(mbox_journal_open(dirfd_, "journal"));
    const bool delivers = (at + (long)seed) % 2 == 0;
    stop_at = at;
    dice = seed * 977u + (unsigned)at;
    const int done = in_child(do_it, kind, fd, target);
    if (delivers) {
        deliver(fd);
        if (kind == MOVE)
            deliver(target);
    }
    const enum mode first = mode;
    if (done != 0) {
        mode = first >= FAIL_ONCE ? FAIL_ONCE : first;
        for (int i = 0; i < 3; i++) {        /* recovery itself stopped */
            stop_at = 1 + roll(8);
            recovery = in_child(recover_child, kind, fd, target);
            if (recovery == 0 || recovery == 8 || recovery == 99)
                break;
            ++*recoveries;
        }
        mode = first;
    }
    stop_at = 0;
    mode = KILL;
    const int last = in_child(recover_child, kind, fd, target);
    const char *bad = judge(kind, fd, target, delivers, &olds, &news);
    if (bad == NULL && done == 0 && olds > 0)
        bad = "said done, but it is not";
    if (bad == NULL && (last != 0 || recovery == 8 || recovery == 99 || done == 99))
        bad = last == 8 || recovery == 8 ? "the journal was refused" : last != 0 ? "recovery failed" : "it crashed";
    if (bad != NULL) {
        printf("%s, seed %u, mode %d, call %ld: %s (%d old, %d new, exit %d, recovery %d, %d)\n", kind_name[kind], seed, (int)first,
               at, bad, olds, news, done, recovery, last);
        if (++problems > 20)
            exit(1);
    }
    mode = first;
    close(fd);
    close(target);
    return done == 0 && *total < at;
}

/* All stops of one change, in these modes. */
static void stop_everywhere(enum kind kind, unsigned seed, enum mode first, enum mode end, long stride, long *stops, long *recoveries)
{
    dice = seed * 7919u + kind;
    build(kind);
    if (edit_n == 0)
        return;
    for (mode = first; mode < end; mode++) {
        long at = 1;
        while (at < 5000 && !one(kind, seed, at, recoveries)) {
            at += stride;
            ++*stops;
        }
        if (at >= 5000) {
            printf("%s, seed %u, mode %d: does not end\n", kind_name[kind], seed, (int)mode);
            problems++;
        }
    }
}

int main(int argc, char **argv)
{
    const unsigned from = argc > 2 ? (unsigned)atoi(argv[1]) : 1, to = argc > 2 ? (unsigned)atoi(argv[2]) : 2;
    const long stride = argc > 2 ? 1 : 3;
    char dir[] = "/tmp/unit_rewrite.XXXXXX";
    long stops = 0, recoveries = 0;
    total = mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (total == MAP_FAILED || mkdtemp(dir) == NULL || chdir(dir) != 0)
        return 2;
    dirfd_ = open(".", O_RDONLY | O_DIRECTORY);
    for (unsigned seed = from; seed < to; seed++)
        for (enum kind kind = 0; kind < KINDS; kind++)
            stop_everywhere(kind, seed, 0, MODES, stride, &stops, &recoveries);
    /* the slot was on disk, its list not; the octets were, but the blocks before them were not taken out */
    for (unsigned seed = 5; argc <= 2 && seed < 7; seed++)
        stop_everywhere(COLLAPSE, seed, POWER, POWER + 1, 1, &stops, &recoveries);
    unlink("box");
    unlink("target");
    unlink("journal");
    unlink("journal.refused");
    if (chdir("/") != 0 || rmdir(dir) != 0)
        perror(dir);
    printf("%ld stops, %ld of recoveries, %d violations\n", stops, recoveries, problems);
    return problems != 0;
}
