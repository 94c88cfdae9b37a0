/*
 * The journal of in-place rewrites, and recovery.
 *
 * Two slots are written in turn, each a header and the octets of one step. The newest whose checksum holds counts. A step's
 * octets in the file are synced before the slot after the next takes its place, so that what the newest slot says can always
 * be done again. Finishing is always the same: do the redo, then close the gap by moving what lies behind it down, to the
 * end of the file as it is now, since a delivery may have come in between.
 *
 * The usual journal file is made with all its room when the index directory is first used, so that expunging needs no
 * free block. If it is busy with another mailbox, one named after this mailbox's inode is made.
 */
#include "store/mbox_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"

enum { HEAD = 4096, SLOT = MBOX_JOURNAL_STEP + HEAD };
#define JOURNAL_MAGIC 0x31304c4a50414d49u

struct mbox_journal {
    int dirfd;                       /* -1: in memory */
    int base;                        /* the usual file */
    char *name;
    int fd;                          /* of the rewrite that goes on: base or extra; -1 */
    int extra;
    char extra_name[64];
    uint64_t sequence, inode, device;
};

int file_write(int fd, const char *p, size_t n, uint64_t at)
{
    while (n > 0) {
        const ssize_t k = pwrite(fd, p, n, (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            errno = k == 0 ? EIO : errno;
            return -1;
        }
        p += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}

int file_read(int fd, char *p, size_t n, uint64_t at)
{
    while (n > 0) {
        const ssize_t k = pread(fd, p, n, (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            errno = k == 0 ? EIO : errno;
            return -1;
        }
        p += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}

static int allocate(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_size >= MBOX_JOURNAL_SIZE)
        return 0;
    const int err = posix_fallocate(fd, 0, MBOX_JOURNAL_SIZE);
    errno = err;
    return err == 0 ? 0 : -1;
}

struct mbox_journal *mbox_journal_open(int dirfd, const char *name)
{
    const int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return NULL;
    if (allocate(fd) != 0)
        errno = 0;                   /* a full disk: a later rewrite will try again */
    struct mbox_journal *j = xcalloc(1, sizeof *j);
    *j = (struct mbox_journal){ .dirfd = dirfd, .base = fd, .fd = -1, .extra = -1, .name = xstrdup(name) };
    return j;
}

struct mbox_journal *mbox_journal_memory(void)
{
    struct mbox_journal *j = xcalloc(1, sizeof *j);
    *j = (struct mbox_journal){ .dirfd = -1, .base = memfd_create("imapd-journal", MFD_CLOEXEC), .fd = -1, .extra = -1,
                                .name = xstrdup("") };
    return j;
}

void mbox_journal_close(struct mbox_journal *j)
{
    if (j == NULL)
        return;
    if (j->base >= 0)
        close(j->base);
    if (j->extra >= 0)
        close(j->extra);
    free(j->name);
    free(j);
}

static uint64_t checksum(const struct journal_slot *s, const char *redo)
{
    uint64_t h = 0x243f6a8885a308d3u;
    const uint64_t *w = &s->magic;
    for (size_t i = 0; i < offsetof(struct journal_slot, checksum) / 8; i++) {
        h = (h ^ w[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 31;
    }
    for (uint64_t i = 0; i < s->redo_size; i += 8) {
        uint64_t v = 0;
        memcpy(&v, redo + i, s->redo_size - i < 8 ? s->redo_size - i : 8);
        h = (h ^ v) * 0x9e3779b97f4a7c15u;
        h ^= h >> 31;
    }
    return h;
}

/* The newest slot of a journal file that holds; its redo octets in *redo (malloc'ed). False: there is none. */
static bool newest(int fd, struct journal_slot *out, char **redo)
{
    bool found = false;
    *redo = NULL;
    for (uint64_t i = 0; i < 2; i++) {
        struct journal_slot s;
        if (file_read(fd, (char *)&s, sizeof s, i * SLOT) != 0 || s.magic != JOURNAL_MAGIC || s.redo_size > MBOX_JOURNAL_STEP
            || s.state > JOURNAL_TRUNCATING || (found && s.sequence < out->sequence))
            continue;
        char *octets = xmalloc((size_t)s.redo_size + 8);
        if (file_read(fd, octets, (size_t)s.redo_size, i * SLOT + HEAD) != 0 || checksum(&s, octets) != s.checksum) {
            free(octets);
            continue;
        }
        free(*redo);
        *redo = octets;
        *out = s;
        found = true;
    }
    return found;
}

static bool is_for(const struct journal_slot *s, const struct stat *st)
{
    return s->inode == st->st_ino && s->device == st->st_dev;
}

static void name_extra(struct mbox_journal *j, const struct stat *st)
{
    snprintf(j->extra_name, sizeof j->extra_name, "%.20s.%llx.%llx", j->name, (unsigned long long)st->st_dev,
             (unsigned long long)st->st_ino);
}

/* Is the journal file free, or about this very mailbox? */
static bool usable(int fd, const struct stat *st)
{
    struct journal_slot s;
    char *redo;
    const bool found = newest(fd, &s, &redo);
    free(redo);
    return !found || s.state == JOURNAL_CLEAR || is_for(&s, st);
}

int journal_begin(struct mbox_journal *j, int fd, struct store_error *e)
{
    struct stat st;
    struct journal_slot s;
    char *redo;
    if (fstat(fd, &st) != 0)
        return store_fail(e, STORE_IO, errno, "journal");
    j->inode = st.st_ino;
    j->device = st.st_dev;
    j->fd = j->base;
    if (flock(j->base, LOCK_EX | LOCK_NB) != 0 || !usable(j->base, &st)) {
        flock(j->base, LOCK_UN);
        name_extra(j, &st);
        if (j->extra >= 0)
            close(j->extra);
        j->extra = openat(j->dirfd, j->extra_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        j->fd = j->extra;
    }
    if (j->fd >= 0) {
        j->sequence = newest(j->fd, &s, &redo) ? s.sequence : 0;
        free(redo);
    }
    if (j->fd < 0 || (j->dirfd >= 0 && allocate(j->fd) != 0)) {
        const int err = errno;
        journal_end(j, false);
        return store_fail(e, STORE_IO, err, "journal");
    }
    return 0;
}

/* Writes the next slot, in the place of the older one. */
static int write_slot(struct mbox_journal *j, enum journal_state state, uint64_t gap_start, uint64_t gap_end, uint64_t redo_at,
                      const char *redo, size_t n)
{
    struct journal_slot s = { .magic = JOURNAL_MAGIC, .sequence = ++j->sequence, .inode = j->inode, .device = j->device,
        .state = state, .gap_start = gap_start, .gap_end = gap_end, .redo_at = redo_at, .redo_size = n };
    const uint64_t at = (s.sequence & 1) * SLOT;
    s.checksum = checksum(&s, redo);
    return (n > 0 && file_write(j->fd, redo, n, at + HEAD) != 0) || file_write(j->fd, (const char *)&s, sizeof s, at) != 0 ? -1 : 0;
}

int journal_put(struct mbox_journal *j, enum journal_state state, uint64_t gap_start, uint64_t gap_end, uint64_t redo_at,
                const char *redo, size_t n, struct store_error *e)
{
    if (write_slot(j, state, gap_start, gap_end, redo_at, redo, n) != 0 || (j->dirfd >= 0 && fdatasync(j->fd) != 0))
        return store_fail(e, STORE_IO, errno, "journal");
    return 0;
}

/* A slot that says so takes the place of the older one: were the newest wiped instead, an older step would count again. */
void journal_end(struct mbox_journal *j, bool durable)
{
    if (j->fd >= 0 && write_slot(j, JOURNAL_CLEAR, 0, 0, 0, NULL, 0) == 0 && durable && j->dirfd >= 0)
        fdatasync(j->fd);
    if (j->extra >= 0) {
        unlinkat(j->dirfd, j->extra_name, 0);
        close(j->extra);
        j->extra = -1;
    }
    flock(j->base, LOCK_UN);
    j->fd = -1;
}

/* The file that tells of an unfinished rewrite of this mailbox: its slot and redo. -1: none. */
static int find_pending(struct mbox_journal *j, const struct stat *st, struct journal_slot *s, char **redo)
{
    if (newest(j->base, s, redo) && s->state != JOURNAL_CLEAR && is_for(s, st))
        return j->base;
    free(*redo);
    *redo = NULL;
    if (j->dirfd < 0)
        return -1;
    name_extra(j, st);
    const int fd = openat(j->dirfd, j->extra_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    if (newest(fd, s, redo) && s->state != JOURNAL_CLEAR && is_for(s, st))
        return fd;
    free(*redo);
    *redo = NULL;
    close(fd);
    return -1;
}

int mbox_journal_pending(struct mbox_journal *j, int fd)
{
    struct stat st;
    struct journal_slot s;
    char *redo;
    if (fstat(fd, &st) != 0)
        return 0;
    const int found = find_pending(j, &st, &s, &redo);
    if (found >= 0 && found != j->base)
        close(found);
    free(redo);
    return found >= 0;
}

/* Moves what lies behind the gap down and cuts the file. In steps no longer than the gap, so that no step overwrites what it
 * has not saved; each is made known before the next begins. */
static int close_gap(struct mbox_journal *j, int fd, uint64_t start, uint64_t end, struct store_error *e)
{
    struct stat st;
    char *part = xmalloc(MBOX_JOURNAL_STEP);
    int rc = 0;
    while (rc == 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size > end) {
        const uint64_t left = (uint64_t)st.st_size - end;
        const size_t n = left < MBOX_JOURNAL_STEP ? (size_t)left : MBOX_JOURNAL_STEP;
        if (file_read(fd, part, n, end) != 0 || fdatasync(fd) != 0)
            rc = store_fail(e, STORE_IO, errno, "recovery");
        if (rc == 0)
            rc = journal_put(j, JOURNAL_GAP, start + n, end + n, start, part, n, e);
        if (rc == 0 && file_write(fd, part, n, start) != 0)
            rc = store_fail(e, STORE_IO, errno, "recovery");
        start += n;
        end += n;
    }
    free(part);
    if (rc == 0 && fdatasync(fd) != 0)
        rc = store_fail(e, STORE_IO, errno, "recovery");
    if (rc != 0 || start == end)
        return rc;
    if (file_write(fd, "", 1, start) != 0 || fdatasync(fd) != 0)
        return store_fail(e, STORE_IO, errno, "recovery");
    rc = journal_put(j, JOURNAL_TRUNCATING, start, end, 0, NULL, 0, e);
    if (rc == 0 && (ftruncate(fd, (off_t)start) != 0 || fdatasync(fd) != 0))
        rc = store_fail(e, STORE_IO, errno, "recovery");
    return rc;
}

/* Does the slot fit the file as it is? */
static bool plausible(const struct journal_slot *s, uint64_t size)
{
    return s->gap_start <= s->gap_end && s->gap_end <= size && s->redo_at <= size && s->redo_size <= size - s->redo_at
        && s->gap_end - s->gap_start <= size;
}

static bool nul_at(int fd, uint64_t at)
{
    char octet = 1;
    return file_read(fd, &octet, 1, at) == 0 && octet == 0;
}

int mbox_journal_recover(struct mbox_journal *j, int fd, struct store_error *e)
{
    struct stat st;
    struct journal_slot s;
    char *redo;
    int rc = 0;
    if (fstat(fd, &st) != 0)
        return store_fail(e, STORE_IO, errno, "recovery");
    const int found = find_pending(j, &st, &s, &redo);
    if (found < 0)
        return 0;
    j->fd = found;
    if (found != j->base)
        j->extra = found;
    j->inode = st.st_ino;
    j->device = st.st_dev;
    j->sequence = s.sequence;
    const uint64_t size = (uint64_t)st.st_size;
    if (s.state == JOURNAL_GAP) {
        if (!plausible(&s, size)) {
            free(redo);
            return store_fail(e, STORE_CORRUPTION, 0, "the journal does not fit the mailbox");
        }
        if (s.redo_size > 0 && (file_write(fd, redo, (size_t)s.redo_size, s.redo_at) != 0 || fdatasync(fd) != 0))
            rc = store_fail(e, STORE_IO, errno, "recovery");
        if (rc == 0)
            rc = close_gap(j, fd, s.gap_start, s.gap_end, e);
    } else if (s.gap_start < s.gap_end && size >= s.gap_end && nul_at(fd, s.gap_start)) {
        rc = close_gap(j, fd, s.gap_start, s.gap_end, e);
    }
    free(redo);
    if (rc == 0)
        journal_end(j, true);
    return rc;
}
