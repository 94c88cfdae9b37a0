/*
 * Mending an mbox: verify says what to replace, mbox_rewrite does it; a copy is made before.
 */
#include "store/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"

struct list {
    struct mbox_edit *edits;
    size_t n, cap;
    struct repair *repair;
    uint64_t size;                   /* of the file */
    bool tell;
};

static void progress(const struct repair *r, const char *what, uint64_t done, uint64_t total)
{
    if (r->progress != NULL)
        r->progress(r->ctx, what, done, total);
}

static void seen(void *ctx, uint64_t octets)
{
    const struct list *l = ctx;
    if (octets > 0)
        progress(l->repair, "checking", octets, l->size);
}

static uint64_t size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void collect(void *ctx, const struct finding *f)
{
    struct list *l = ctx;
    if (l->tell) {
        l->repair->did(l->repair->ctx, f, f->fixable);
        *(f->fixable ? &l->repair->mended : &l->repair->left) += 1;
    }
    if (!f->fixable)
        return;
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 16;
        l->edits = xreallocarray(l->edits, l->cap, sizeof *l->edits);
    }
    l->edits[l->n++] = (struct mbox_edit){ f->fix_at, f->del, f->fix, strlen(f->fix) };
}

static int by_offset(const void *a, const void *b)
{
    const struct mbox_edit *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int copy(const struct repair *r, int from, int to)
{
    const uint64_t size = size_of(from);
    char *piece = xmalloc(1 << 20);
    uint64_t at = 0;
    ssize_t got;
    progress(r, "copying", 0, size);
    while ((got = pread(from, piece, 1 << 20, (off_t)at)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        for (ssize_t done = 0; done < got;) {
            const ssize_t n = write(to, piece + done, (size_t)(got - done));
            if (n < 0 && errno != EINTR) {
                free(piece);
                return -1;
            }
            done += n > 0 ? n : 0;
        }
        at += (uint64_t)got;
        progress(r, "copying", at, size);
    }
    free(piece);
    return got < 0 ? -1 : fsync(to);
}

/* The copy and its name are durable, or it is gone again. */
static int back_up(struct repair *r, int fd, struct store_error *e)
{
    char when[32];
    struct tm tm;
    const time_t now = time(NULL);
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
    const int n = snprintf(r->backup, sizeof r->backup, "%s.backup-%s", r->leaf, when);
    const int to = n < 0 || (size_t)n >= sizeof r->backup ? -1
        : openat(r->dirfd, r->backup, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return store_fail(e, STORE_IO, errno, "backup %s", r->backup);
    const int dir = openat(r->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool good = copy(r, fd, to) == 0 && dir >= 0 && fsync(dir) == 0;
    const int err = errno;
    close(to);
    if (dir >= 0)
        close(dir);
    if (good)
        return 0;
    (void)unlinkat(r->dirfd, r->backup, 0);
    return store_fail(e, STORE_IO, err, "backup %s", r->backup);
}

static int look(struct repair *r, int fd, struct list *l, bool tell, struct store_error *e)
{
    struct verify v = { .mboxo = r->mboxo, .found = collect, .seen = seen, .ctx = l };
    l->n = 0;
    l->repair = r;
    l->tell = tell;
    l->size = size_of(fd);
    progress(r, "checking", 0, l->size);
    const int rc = verify_run(&v, fd, e);
    if (l->n > 0)
        qsort(l->edits, l->n, sizeof *l->edits, by_offset);
    return rc;
}

/* A step writes up to MBOX_STEP octets, and everything behind the first edit is written. */
struct mending {
    struct repair *r;
    uint64_t done, total;
};

static void step(void *ctx)
{
    struct mending *m = ctx;
    m->done += MBOX_STEP;
    progress(m->r, "mending", m->done, m->total);
    if (m->r->tick != NULL)
        m->r->tick(m->r->ctx);
}

static int mend(struct repair *r, int fd, const struct list *l, struct store_error *e)
{
    const uint64_t size = size_of(fd), first = l->edits[0].offset;
    struct mending m = { .r = r, .total = size > first ? size - first : 0 };
    progress(r, "mending", 0, m.total);
    return mbox_rewrite(r->journal, fd, l->edits, l->n, step, &m, e);
}

int repair_run(struct repair *r, int fd, struct store_error *e)
{
    struct list l = { 0 };
    const enum mbox_pending pending = mbox_journal_pending(r->journal, fd);
    int rc = 0;
    r->backup[0] = 0;
    if (pending != MBOX_PENDING_NONE) {
        rc = back_up(r, fd, e);
        if (rc == 0)
            rc = mbox_journal_recover(r->journal, fd, NULL, e);
        r->recovered = rc == 0;
    }
    if (rc == 0)
        rc = look(r, fd, &l, true, e);
    if (rc == 0 && l.n > 0 && !pending)
        rc = back_up(r, fd, e);
    if (rc == 0 && l.n > 0)
        rc = mend(r, fd, &l, e);
    free(l.edits);
    return rc;
}
