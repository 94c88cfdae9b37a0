/*
 * Mending an mbox: verify says what to replace, mbox_rewrite does it; a copy is made before.
 */
#include "store/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"

struct list {
    struct mbox_edit *edits;
    size_t n, cap;
    struct repair *repair;
    bool tell;
};

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

static int copy(int from, int to)
{
    char *piece = xmalloc(1 << 20);
    uint64_t at = 0;
    ssize_t got;
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
    const bool good = copy(fd, to) == 0 && dir >= 0 && fsync(dir) == 0;
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
    struct verify v = { .mboxo = r->mboxo, .found = collect, .ctx = l };
    l->n = 0;
    l->repair = r;
    l->tell = tell;
    const int rc = verify_run(&v, fd, e);
    if (l->n > 0)
        qsort(l->edits, l->n, sizeof *l->edits, by_offset);
    return rc;
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
        rc = mbox_rewrite(r->journal, fd, l.edits, l.n, r->tick, r->ctx, e);
    free(l.edits);
    return rc;
}
