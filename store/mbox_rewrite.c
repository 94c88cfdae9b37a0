/*
 * In-place, crash-safe change of a mailbox file (see mbox_rewrite.h; the journal is in mbox_journal.c).
 *
 * Edits of the same length are written where they are, within the padding that makes torn writes harmless (doc/mbox.md).
 * If no prefix of the others makes the file longer, one pass upwards moves the gap through the file. Else the growing ones are
 * applied first, in one pass downwards from the end of the extended file, then the shrinking ones upwards.
 *
 * Octets at the very end (APPEND) need no pass: the file is extended by NULs, they are written all but the first, synced,
 * then the first. A NUL there means that it was not finished: the extension is taken back.
 */
#include "store/mbox_rewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mbox_journal.h"

struct rewrite {
    struct mbox_journal *j;
    int fd;
    void (*tick)(void *ctx);
    void *ctx;
    struct store_error *e;
    char *step;                      /* MBOX_JOURNAL_STEP octets on their way */
    size_t n;
};

static int failed(struct rewrite *w)
{
    return store_fail(w->e, STORE_IO, errno, "writing the mailbox");
}

/* The step's octets to `at`, known to the journal first with what the gap will be after it. */
static int put_step(struct rewrite *w, uint64_t at, uint64_t gap_start, uint64_t gap_end)
{
    if (w->n == 0)
        return 0;
    if (fdatasync(w->fd) != 0)               /* the step before this one, whose slot but one is about to go */
        return failed(w);
    if (journal_put(w->j, JOURNAL_GAP, gap_start, gap_end, at, w->step, w->n, w->e) != 0)
        return -1;
    if (file_write(w->fd, w->step, w->n, at) != 0)
        return failed(w);
    w->n = 0;
    if (w->tick != NULL)
        w->tick(w->ctx);
    return 0;
}

/* ---- upwards: nothing ever moves up ------------------------------------------------------------------------------- */

/* Old octets [from, to) to *dst. */
static int move_up(struct rewrite *w, uint64_t from, uint64_t to, uint64_t *dst)
{
    while (from < to) {
        const size_t room = MBOX_JOURNAL_STEP - w->n;
        const size_t n = to - from < room ? (size_t)(to - from) : room;
        if (file_read(w->fd, w->step + w->n, n, from) != 0)
            return failed(w);
        w->n += n;
        from += n;
        if (w->n == MBOX_JOURNAL_STEP) {
            const uint64_t size = w->n;
            if (put_step(w, *dst, *dst + size, from) != 0)
                return -1;
            *dst += size;
        }
    }
    return 0;
}

/* An insertion goes into a step whole; a larger one than a step into the gap, where nothing is lost until it is known. */
static int insert_up(struct rewrite *w, const struct mbox_edit *edit, uint64_t *dst)
{
    const uint64_t size = w->n, behind = edit->offset + edit->del;
    if (edit->n > MBOX_JOURNAL_STEP - w->n) {
        if (put_step(w, *dst, *dst + size, edit->offset) != 0)
            return -1;
        *dst += size;
    }
    if (edit->n > MBOX_JOURNAL_STEP) {
        if (file_write(w->fd, edit->ins, edit->n, *dst) != 0 || fdatasync(w->fd) != 0)
            return failed(w);
        *dst += edit->n;
        return journal_put(w->j, JOURNAL_GAP, *dst, behind, 0, NULL, 0, w->e);
    }
    memcpy(w->step + w->n, edit->ins, edit->n);
    w->n += edit->n;
    return 0;
}

static int finish_up(struct rewrite *w, uint64_t dst, uint64_t size)
{
    if (fdatasync(w->fd) != 0)
        return failed(w);
    if (dst == size)
        return 0;
    if (file_write(w->fd, "", 1, dst) != 0 || fdatasync(w->fd) != 0)
        return failed(w);
    if (journal_put(w->j, JOURNAL_TRUNCATING, dst, size, 0, NULL, 0, w->e) != 0)
        return -1;
    return ftruncate(w->fd, (off_t)dst) != 0 || fdatasync(w->fd) != 0 ? failed(w) : 0;
}

static int pass_up(struct rewrite *w, const struct mbox_edit *edits, size_t n, uint64_t size)
{
    uint64_t dst = edits[0].offset;
    w->n = 0;
    if (journal_put(w->j, JOURNAL_GAP, dst, dst, 0, NULL, 0, w->e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const uint64_t from = edits[i].offset + edits[i].del, to = i + 1 < n ? edits[i + 1].offset : size;
        if (insert_up(w, &edits[i], &dst) != 0 || move_up(w, from, to, &dst) != 0)
            return -1;
    }
    const uint64_t last = w->n;
    if (put_step(w, dst, dst + last, size) != 0)
        return -1;
    return finish_up(w, dst + last, size);
}

/* ---- downwards: nothing ever moves down --------------------------------------------------------------------------- */

/* Old octets [from, to) to below *dst; the step is filled from its end. */
static int move_down(struct rewrite *w, uint64_t from, uint64_t to, uint64_t *dst)
{
    while (from < to) {
        const size_t n = to - from < MBOX_JOURNAL_STEP ? (size_t)(to - from) : MBOX_JOURNAL_STEP;
        if (file_read(w->fd, w->step, n, to - n) != 0)
            return failed(w);
        w->n = n;
        to -= n;
        *dst -= n;
        if (put_step(w, *dst, to, *dst) != 0)
            return -1;
    }
    return 0;
}

/* One edit and the kept octets before it, small enough for one step: written together. */
static int edit_down(struct rewrite *w, const struct mbox_edit *edit, uint64_t before, uint64_t *dst)
{
    *dst -= edit->n;
    if (edit->n <= MBOX_JOURNAL_STEP) {
        memcpy(w->step, edit->ins, edit->n);
        w->n = edit->n;
        if (edit->n == 0)
            return journal_put(w->j, JOURNAL_GAP, edit->offset, *dst, 0, NULL, 0, w->e);
        if (put_step(w, *dst, edit->offset, *dst) != 0)
            return -1;
    } else {
        if (file_write(w->fd, edit->ins, edit->n, *dst) != 0 || fdatasync(w->fd) != 0)
            return failed(w);
        if (journal_put(w->j, JOURNAL_GAP, edit->offset, *dst, 0, NULL, 0, w->e) != 0)
            return -1;
    }
    return move_down(w, before, edit->offset, dst);
}

/* Fills the step with as many whole edits (and kept octets between) as fit, from the end; returns how many edits are left. */
static size_t gather_down(struct rewrite *w, const struct mbox_edit *edits, size_t n, uint64_t *src, uint64_t *dst, int *rc)
{
    size_t used = 0, left = n;
    char *end = w->step + MBOX_JOURNAL_STEP;
    uint64_t from = *src;
    while (left > 0) {
        const struct mbox_edit *edit = &edits[left - 1];
        const uint64_t kept = from - (edit->offset + edit->del);
        if (kept > MBOX_JOURNAL_STEP || edit->n > MBOX_JOURNAL_STEP || used + kept + edit->n > MBOX_JOURNAL_STEP)
            break;
        if (kept > 0 && file_read(w->fd, end - used - kept, (size_t)kept, edit->offset + edit->del) != 0) {
            *rc = failed(w);
            return left;
        }
        used += (size_t)kept;
        memcpy(end - used - edit->n, edit->ins, edit->n);
        used += edit->n;
        from = edit->offset;
        left--;
    }
    if (used == 0)
        return left;
    memmove(w->step, end - used, used);
    w->n = used;
    *dst -= used;
    *src = from;
    *rc = put_step(w, *dst, *src, *dst);
    return left;
}

static int pass_down(struct rewrite *w, const struct mbox_edit *edits, size_t n, uint64_t size, uint64_t growth)
{
    uint64_t src = size, dst = size + growth;
    int rc = journal_put(w->j, JOURNAL_GAP, size, dst, 0, NULL, 0, w->e);
    while (rc == 0 && n > 0) {
        const size_t left = gather_down(w, edits, n, &src, &dst, &rc);
        if (rc == 0 && left == n) {              /* too large for one step */
            const struct mbox_edit *edit = &edits[n - 1];
            rc = move_down(w, edit->offset + edit->del, src, &dst);
            if (rc == 0)
                rc = edit_down(w, edit, edit->offset, &dst);
            src = edit->offset;
            n--;
        } else {
            n = left;
        }
    }
    return rc == 0 && fdatasync(w->fd) != 0 ? failed(w) : rc;
}

/* Makes the file `growth` octets longer, all NUL, with the room for them on disk. Nothing is changed if that fails. */
static int extend(struct rewrite *w, uint64_t size, uint64_t growth)
{
    if (fallocate(w->fd, FALLOC_FL_KEEP_SIZE, (off_t)size, (off_t)growth) != 0 && errno != EOPNOTSUPP)
        return failed(w);
    if (journal_put(w->j, JOURNAL_EXTENDING, size, size + growth, 0, NULL, 0, w->e) != 0)
        return -1;
    const int err = posix_fallocate(w->fd, (off_t)size, (off_t)growth);
    if (err == 0)
        return 0;
    if (ftruncate(w->fd, (off_t)size) != 0)
        return failed(w);
    errno = err;
    return failed(w);
}

static int append(struct rewrite *w, const struct mbox_edit *edit)
{
    if (extend(w, edit->offset, edit->n) != 0)
        return -1;
    if (file_write(w->fd, edit->ins + 1, edit->n - 1, edit->offset + 1) != 0 || fdatasync(w->fd) != 0
        || file_write(w->fd, edit->ins, 1, edit->offset) != 0 || fdatasync(w->fd) != 0) {
        const int err = errno;
        if (ftruncate(w->fd, (off_t)edit->offset) != 0)
            return failed(w);
        errno = err;
        return failed(w);
    }
    return 0;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/* Does a prefix of the edits make the file longer? */
static bool any_prefix_grows(const struct mbox_edit *edits, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (int64_t)edits[i].n - (int64_t)edits[i].del;
        if (sum > 0)
            return true;
    }
    return false;
}

/* First the edits that grow, then, at their new places, those that shrink. */
static int both_ways(struct rewrite *w, const struct mbox_edit *edits, size_t n, uint64_t size)
{
    struct mbox_edit *grow = xreallocarray(NULL, n, sizeof *grow), *shrink = xreallocarray(NULL, n, sizeof *shrink);
    size_t grows = 0, shrinks = 0;
    uint64_t growth = 0;
    for (size_t i = 0; i < n; i++) {
        if (edits[i].n >= edits[i].del) {
            grow[grows++] = edits[i];
            growth += edits[i].n - edits[i].del;
        } else {
            shrink[shrinks] = edits[i];
            shrink[shrinks++].offset += growth;
        }
    }
    int rc = extend(w, size, growth);
    if (rc == 0)
        rc = pass_down(w, grow, grows, size, growth);
    if (rc == 0 && shrinks > 0)
        rc = pass_up(w, shrink, shrinks, size + growth);
    free(grow);
    free(shrink);
    return rc;
}

/* Edits that move nothing, written in place; the others are copied to *moving. */
static int in_place(struct rewrite *w, const struct mbox_edit *edits, size_t n, struct mbox_edit *moving, size_t *count)
{
    bool any = false;
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        if (edits[i].n != edits[i].del) {
            moving[(*count)++] = edits[i];
            continue;
        }
        if (file_write(w->fd, edits[i].ins, edits[i].n, edits[i].offset) != 0)
            return failed(w);
        any = true;
    }
    return any && *count == 0 && fdatasync(w->fd) != 0 ? failed(w) : 0;
}

static int run(struct rewrite *w, const struct mbox_edit *edits, size_t n, struct mbox_edit *moving)
{
    struct stat st;
    size_t count;
    if (fstat(w->fd, &st) != 0)
        return failed(w);
    const uint64_t size = (uint64_t)st.st_size;
    size_t moves = 0;
    for (size_t i = 0; i < n; i++) {
        moves += edits[i].n != edits[i].del;
        if (edits[i].del > 0 && edits[i].n > MBOX_JOURNAL_STEP)     /* could not be done again after a crash */
            return store_fail(w->e, STORE_LIMIT, 0, "a change of %zu octets is too large", edits[i].n);
    }
    if (moves > 0 && journal_begin(w->j, w->fd, w->e) != 0)
        return -1;
    int rc = in_place(w, edits, n, moving, &count);
    if (rc != 0 || count == 0) {
        if (moves > 0)
            journal_end(w->j, false);
        return rc;
    }
    w->step = xmalloc(MBOX_JOURNAL_STEP);
    const bool at_end = count == 1 && moving[0].offset == size && moving[0].del == 0;
    if (at_end)
        rc = append(w, &moving[0]);
    else if (any_prefix_grows(moving, count))
        rc = both_ways(w, moving, count, size);
    else
        rc = pass_up(w, moving, count, size);
    free(w->step);
    if (rc == 0 || (at_end && fstat(w->fd, &st) == 0 && (uint64_t)st.st_size == size))
        journal_end(w->j, !at_end);
    else if (!mbox_journal_pending(w->j, w->fd))     /* failed before anything was changed: others may use the journal */
        journal_end(w->j, false);
    return rc;
}

int mbox_rewrite(struct mbox_journal *j, int fd, const struct mbox_edit *edits, size_t n,
                 void (*tick)(void *ctx), void *ctx, struct store_error *e)
{
    struct rewrite w = { .j = j, .fd = fd, .tick = tick, .ctx = ctx, .e = e };
    if (n == 0)
        return 0;
    struct mbox_edit *moving = xreallocarray(NULL, n, sizeof *moving);
    const int rc = run(&w, edits, n, moving);
    free(moving);
    return rc;
}
