/*
 * The journal of in-place rewrites: its files and slots (see mbox_journal.h).
 *
 * A step's octets in the file are synced before the slot after the next takes its place, so that what the newest slot says
 * can always be done again. The usual journal file is made with all its room when the index directory is first used. If it
 * is busy with another mailbox, NAME.1, NAME.2 and so on are used; they are kept, empty, since others look for them in turn.
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

#define JOURNAL_MAGIC 0x32304c4a50414d49u
enum { FILES = 16, MAX_EDITS = 1 << 24, MAX_LIST = 1 << 29 };
_Static_assert(sizeof(struct journal_slot) <= JOURNAL_HEAD, "a slot fits its header");

struct mbox_journal {
    int dirfd;                       /* -1: in memory */
    int base;                        /* the usual file */
    char *name;
    int fd;                          /* of the rewrite that goes on; -1 */
    uint64_t sequence;
};

/* ---- octets ------------------------------------------------------------------------------------------------------- */

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
            errno = k == 0 ? ENODATA : errno;
            return -1;
        }
        p += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}

int file_sync(int fd)
{
    int rc;
    do
        rc = fdatasync(fd);
    while (rc != 0 && errno == EINTR);
    return rc;
}

uint64_t journal_sum(uint64_t h, const void *octets, size_t n)
{
    const char *p = octets;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = 0;
        memcpy(&v, p + i, n - i < 8 ? n - i : 8);
        h = (h ^ v) * 0x9e3779b97f4a7c15u;
        h ^= h >> 31;
    }
    return h;
}

int journal_guard_again(int fd, struct journal_guard *g)
{
    char octets[JOURNAL_GUARD];
    if (g->n > JOURNAL_GUARD || file_read(fd, octets, (size_t)g->n, g->at) != 0)
        return -1;
    g->sum = journal_sum(0, octets, (size_t)g->n);
    return 0;
}

int journal_guard_before(int fd, uint64_t at, uint64_t low, struct journal_guard *g)
{
    g->n = at - low < JOURNAL_GUARD ? at - low : JOURNAL_GUARD;
    g->at = at - g->n;
    return journal_guard_again(fd, g);
}

int journal_guard_after(int fd, uint64_t at, uint64_t size, struct journal_guard *g)
{
    g->at = at;
    g->n = at >= size ? 0 : size - at < JOURNAL_GUARD ? size - at : JOURNAL_GUARD;
    return journal_guard_again(fd, g);
}

bool journal_guard_holds(int fd, const struct journal_guard *g, int *err)
{
    struct journal_guard now = *g;
    if (g->n > JOURNAL_GUARD)
        return false;
    if (journal_guard_again(fd, &now) == 0)
        return now.sum == g->sum;
    if (errno != ENODATA)
        *err = errno;
    return false;
}

/* ---- the files ---------------------------------------------------------------------------------------------------- */

static int allocate(int fd, uint64_t size)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && (uint64_t)st.st_size >= size)
        return 0;
    int err;
    do
        err = posix_fallocate(fd, 0, (off_t)size);
    while (err == EINTR);
    errno = err;
    return err == 0 ? 0 : -1;
}

struct mbox_journal *mbox_journal_open(int dirfd, const char *name)
{
    struct stat st;
    int fd;
    do
        fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        errno = EINVAL;
        return NULL;
    }
    if (st.st_size == 0) {
        if (allocate(fd, JOURNAL_SIZE) != 0) {       /* a full disk: the caller must do without */
            const int err = errno;
            if (ftruncate(fd, 0) != 0)
                errno = err;
            close(fd);
            errno = err;
            return NULL;
        }
        if (fsync(fd) == 0 && fsync(dirfd) != 0)
            errno = 0;
    }
    struct mbox_journal *j = xcalloc(1, sizeof *j);
    *j = (struct mbox_journal){ .dirfd = dirfd, .base = fd, .fd = -1, .name = xstrdup(name) };
    return j;
}

struct mbox_journal *mbox_journal_memory(void)
{
    struct mbox_journal *j = xcalloc(1, sizeof *j);
    *j = (struct mbox_journal){ .dirfd = -1, .base = memfd_create("imapd-journal", MFD_CLOEXEC), .fd = -1, .name = xstrdup("") };
    return j;
}

void mbox_journal_close(struct mbox_journal *j)
{
    if (j == NULL)
        return;
    if (j->fd >= 0 && j->fd != j->base)
        close(j->fd);
    if (j->base >= 0)
        close(j->base);
    free(j->name);
    free(j);
}

/* The i'th journal file; -1 if it is not there and not to be made. */
static int open_nth(struct mbox_journal *j, unsigned i, int oflags)
{
    char name[80];
    if (i == 0)
        return j->base;
    if (j->dirfd < 0)
        return -1;
    snprintf(name, sizeof name, "%.60s.%u", j->name, i);
    return openat(j->dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | oflags, 0600);
}

static void close_nth(const struct mbox_journal *j, int fd)
{
    if (fd >= 0 && fd != j->base)
        close(fd);
}

static uint64_t checksum(const struct journal_slot *s, const void *pieces, size_t pieces_size, const char *octets, size_t n)
{
    struct journal_slot plain = *s;
    plain.checksum = 0;
    return journal_sum(journal_sum(journal_sum(0x243f6a8885a308d3u, &plain, sizeof plain), pieces, pieces_size), octets, n);
}

/* The header of the newest slot of a journal file that holds, and its redo in *redo (malloc'ed): 1; 0 there is none; -1 the file
 * could not be read. */
static int newest(int fd, struct journal_slot *out, char **redo)
{
    int found = 0;
    *redo = NULL;
    for (uint64_t i = 0; i < 2; i++) {
        struct journal_slot s;
        if (file_read(fd, (char *)&s, sizeof s, i * JOURNAL_SLOT) != 0) {
            if (errno == ENODATA)
                continue;
            goto unread;
        }
        if (s.magic != JOURNAL_MAGIC || s.redo_size > MBOX_STEP
            || s.pieces > s.redo_size / sizeof(struct journal_piece) || s.state > JOURNAL_APPENDING
            || (found && s.sequence < out->sequence))
            continue;
        char *octets = xmalloc((size_t)s.redo_size + 8);
        const size_t table = (size_t)s.pieces * sizeof(struct journal_piece);
        if (file_read(fd, octets, (size_t)s.redo_size, i * JOURNAL_SLOT + JOURNAL_HEAD) != 0) {
            const int err = errno;
            free(octets);
            errno = err;
            if (err == ENODATA)
                continue;
            goto unread;
        }
        if (checksum(&s, octets, table, octets + table, (size_t)s.redo_size - table) != s.checksum) {
            free(octets);
            continue;
        }
        free(*redo);
        *redo = octets;
        *out = s;
        found = 1;
    }
    return found;
unread:;
    const int err = errno;
    free(*redo);
    *redo = NULL;
    errno = err;
    return -1;
}

/* Nobody uses it, and it holds no unfinished rewrite. */
static bool is_free(struct mbox_journal *j, int fd)
{
    struct journal_slot s;
    char *redo;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return false;
    const int found = newest(fd, &s, &redo);
    free(redo);
    j->sequence = found > 0 ? s.sequence : 0;
    if (found == 0 || (found > 0 && s.state == JOURNAL_CLEAR))
        return true;
    flock(fd, LOCK_UN);
    return false;
}

int journal_begin(struct mbox_journal *j, struct store_error *e)
{
    for (unsigned i = 0; i < FILES; i++) {
        const int fd = open_nth(j, i, O_CREAT);
        if (fd < 0)
            return store_fail(e, STORE_IO, errno, "journal");
        if (is_free(j, fd)) {
            j->fd = fd;
            if (j->dirfd < 0 || (allocate(fd, i == 0 ? JOURNAL_SIZE : JOURNAL_LIST) == 0 && (i == 0 || fsync(j->dirfd) == 0)))
                return 0;
            const int err = errno;
            journal_leave(j);
            return store_fail(e, STORE_IO, err, "journal");
        }
        close_nth(j, fd);
    }
    return store_fail(e, STORE_INUSE, 0, "all journals are in use");
}

int journal_name(struct journal_slot *s, int fd, struct store_error *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return store_fail(e, STORE_IO, errno, "journal");
    s->inode = st.st_ino;
    s->device = st.st_dev;
    s->size = (uint64_t)st.st_size;
    return 0;
}

/* ---- slots -------------------------------------------------------------------------------------------------------- */

int journal_put(struct mbox_journal *j, struct journal_slot *s, const struct journal_piece *pieces, size_t n, const char *octets,
                struct store_error *e)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += (size_t)pieces[i].n;
    const size_t table = n * sizeof *pieces;
    s->magic = JOURNAL_MAGIC;
    s->sequence = ++j->sequence;
    s->redo_size = table + size;
    s->pieces = n;
    s->checksum = checksum(s, pieces, table, octets, size);
    const uint64_t at = (s->sequence & 1) * JOURNAL_SLOT;
    if ((table > 0 && file_write(j->fd, (const char *)pieces, table, at + JOURNAL_HEAD) != 0)
        || (size > 0 && file_write(j->fd, octets, size, at + JOURNAL_HEAD + table) != 0)
        || file_write(j->fd, (const char *)s, sizeof *s, at) != 0 || (j->dirfd >= 0 && file_sync(j->fd) != 0))
        return store_fail(e, STORE_IO, errno, "journal");
    return 0;
}

bool journal_put_list(struct mbox_journal *j, struct journal_slot *s, const struct mbox_edit *edits, size_t n)
{
    uint64_t size = n * 24;
    s->list_count = s->list_size = s->list_sum = s->done = 0;
    for (size_t i = 0; i < n; i++)
        size += edits[i].n;
    if (n > MAX_EDITS || size > MAX_LIST || (j->dirfd >= 0 && allocate(j->fd, JOURNAL_LIST + size) != 0))
        return false;
    char *list = xmalloc((size_t)size + 8), *ins = list + n * 24;
    for (size_t i = 0; i < n; i++) {
        const uint64_t words[3] = { edits[i].offset, edits[i].del, edits[i].n };
        memcpy(list + i * 24, words, 24);
        if (edits[i].n > 0)
            memcpy(ins, edits[i].ins, edits[i].n);
        ins += edits[i].n;
    }
    const bool written = file_write(j->fd, list, (size_t)size, JOURNAL_LIST) == 0;
    if (written) {
        s->list_count = n;
        s->list_size = size;
        s->list_sum = journal_sum(0, list, (size_t)size);
    }
    free(list);
    return written;
}

void journal_leave(struct mbox_journal *j)
{
    if (j->fd < 0)
        return;
    flock(j->fd, LOCK_UN);
    close_nth(j, j->fd);
    j->fd = -1;
}

/* A slot that says so takes the place of the older one: were the newest wiped instead, an older step would count again. */
void journal_end(struct mbox_journal *j, bool durable)
{
    struct journal_slot s = { .magic = JOURNAL_MAGIC, .sequence = ++j->sequence, .state = JOURNAL_CLEAR };
    struct stat st;
    s.checksum = checksum(&s, "", 0, "", 0);
    if (j->fd < 0)
        return;
    if (file_write(j->fd, (const char *)&s, sizeof s, (s.sequence & 1) * JOURNAL_SLOT) == 0 && durable && j->dirfd >= 0
        && file_sync(j->fd) != 0)
        errno = 0;                   /* at worst an old slot counts, whose guards do not hold */
    if (fstat(j->fd, &st) == 0 && st.st_size > 16 * JOURNAL_SIZE && ftruncate(j->fd, JOURNAL_SIZE) != 0)
        errno = 0;
    journal_leave(j);
}

/* ---- finding ------------------------------------------------------------------------------------------------------ */

static bool concerns(const struct journal_slot *s, const struct stat *st)
{
    return s->state != JOURNAL_CLEAR
        && (s->inode == st->st_ino || (s->state == JOURNAL_MOVE && s->to_inode == st->st_ino));
}

/* The journal file with an unfinished rewrite of this file; its newest slot and redo. -1: none; -2: errno. */
static int find(struct mbox_journal *j, const struct stat *st, struct journal_slot *s, char **redo)
{
    for (unsigned i = 0; i < FILES; i++) {
        const int fd = open_nth(j, i, 0);
        *redo = NULL;
        if (fd < 0 && j->dirfd >= 0 && errno != ENOENT)
            return -2;
        if (fd < 0)
            break;
        const int found = newest(fd, s, redo), err = errno;
        if (found > 0 && concerns(s, st))
            return fd;
        free(*redo);
        close_nth(j, fd);
        *redo = NULL;
        errno = err;
        if (found < 0)
            return -2;
    }
    *redo = NULL;
    return -1;
}

enum mbox_pending mbox_journal_pending(struct mbox_journal *j, int fd)
{
    struct stat st;
    struct journal_slot s;
    char *redo;
    if (fstat(fd, &st) != 0)
        return MBOX_PENDING_UNKNOWN;
    const int found = find(j, &st, &s, &redo);
    if (found < 0)
        return found == -2 ? MBOX_PENDING_UNKNOWN : MBOX_PENDING_NONE;
    free(redo);
    close_nth(j, found);
    return s.state == JOURNAL_MOVE ? MBOX_PENDING_MOVE : MBOX_PENDING_REWRITE;
}

/* The list as edits; NULL if it does not hold or makes no sense, or, with *err set, could not be read. */
static struct mbox_edit *read_list(int fd, const struct journal_slot *s, int *err)
{
    const size_t n = (size_t)s->list_count;
    if (n == 0 || n > MAX_EDITS || s->list_size > MAX_LIST || s->list_size < n * 24 || s->done > n)
        return NULL;
    struct mbox_edit *edits = xmalloc(n * sizeof *edits + (size_t)s->list_size + 8);
    char *list = (char *)(edits + n);
    const bool got = file_read(fd, list, (size_t)s->list_size, JOURNAL_LIST) == 0;
    if (!got && errno != ENODATA)
        *err = errno;
    bool good = got && journal_sum(0, list, (size_t)s->list_size) == s->list_sum;
    const char *ins = list + n * 24, *end = list + s->list_size;
    uint64_t before = 0;
    for (size_t i = 0; good && i < n; i++) {
        uint64_t words[3];
        memcpy(words, list + i * 24, 24);
        good = words[0] >= before && words[1] <= UINT64_MAX / 4 && words[0] <= UINT64_MAX / 4 && words[2] <= MBOX_STEP
            && words[2] <= (uint64_t)(end - ins);
        edits[i] = (struct mbox_edit){ words[0], words[1], ins, (size_t)words[2] };
        before = words[0] + words[1];
        ins += good ? words[2] : 0;
    }
    if (good)
        return edits;
    free(edits);
    return NULL;
}

int journal_find(struct mbox_journal *j, int fd, struct journal_found *out)
{
    struct stat st;
    char *redo;
    *out = (struct journal_found){ .pieces = NULL };
    if (fstat(fd, &st) != 0)
        return -1;
    const int found = find(j, &st, &out->slot, &redo);
    if (found < 0)
        return found == -2 ? -1 : 0;
    flock(found, LOCK_EX);           /* held for moments only, by one who looks whether it is free */
    j->fd = found;
    j->sequence = out->slot.sequence;
    out->pieces = (struct journal_piece *)(void *)redo;
    out->octets = redo + out->slot.pieces * sizeof *out->pieces;
    int err = 0;
    out->edits = read_list(found, &out->slot, &err);
    if (err == 0)
        return 1;
    journal_found_free(out);
    journal_leave(j);
    errno = err;
    return -1;
}

void journal_found_free(struct journal_found *f)
{
    free(f->pieces);
    free(f->edits);
}

void journal_refuse(struct mbox_journal *j)
{
    char name[80], part[65536];
    ssize_t k;
    snprintf(name, sizeof name, "%.60s.refused", j->name);
    const int to = j->dirfd < 0 ? -1 : openat(j->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    for (off_t at = 0; to >= 0 && (k = pread(j->fd, part, sizeof part, at)) > 0; at += k)
        if (write(to, part, (size_t)k) != k)
            break;
    if (to >= 0)
        close(to);
    journal_end(j, true);
}
