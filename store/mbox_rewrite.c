/*
 * In-place, crash-safe change of a mailbox file (see mbox_rewrite.h; the journal is in mbox_journal.c, recovery in
 * mbox_recover.c).
 *
 * Edits of the same length are written where they are; those that cross a sector, which a power cut could tear, go through
 * the journal. If no prefix of the others makes the file longer, one pass upwards moves the gap through the file. Else the
 * growing ones are applied first, in one pass downwards from the end of the extended file, then the shrinking ones upwards.
 *
 * Octets at the very end (APPEND) need no pass: the file is extended by NULs, they are written, and synced. A NUL among them
 * means that it was not finished: the extension is taken back. If they have NULs of their own, the first octet is written last,
 * with a sync before it, and is the one that says so.
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

enum { SECTOR = 512 };

static int failed(struct rewrite *w)
{
    return store_fail(w->e, STORE_IO, errno, "writing the mailbox");
}

/* A slot with the gap's bounds and at most one piece of redo, which is about to be written. RIGHT ends at size. */
static int put(struct rewrite *w, enum journal_state state, uint64_t gap_start, uint64_t gap_end, uint64_t size, const struct journal_piece *piece)
{
    const bool below = piece != NULL && piece->at < gap_start;
    const bool above = piece != NULL && !below;
    w->slot.state = state;
    w->slot.gap_start = gap_start;
    w->slot.gap_end = gap_end;
    if (journal_guard_before(w->fd, below ? piece->at : gap_start, state == JOURNAL_EXTENDING || state == JOURNAL_APPENDING ? w->low : 0, &w->slot.left) != 0
        || journal_guard_after(w->fd, above ? piece->at + piece->n : gap_end, size, &w->slot.right) != 0)
        return failed(w);
    if (journal_put(w->j, &w->slot, piece, piece != NULL, w->step, w->e) != 0)
        return -1;
    w->whole = w->slot.list_count > 0;
    return 0;
}

static void tick(struct rewrite *w)
{
    if (w->tick != NULL)
        w->tick(w->ctx);
}

/* The disk begins with octets that were written; the sync that counts comes at the end. */
static void begin_writing(const struct rewrite *w, uint64_t from, uint64_t size)
{
    if (sync_file_range(w->fd, (off_t)from, (off_t)size, SYNC_FILE_RANGE_WRITE) != 0)
        errno = 0;
}

/* ---- upwards: nothing ever moves up ------------------------------------------------------------------------------- */

/* The step's octets to where they belong. As long as they go into what the newest slot calls the gap, it can do them again
 * from their source. Else a new slot is due: one that knows of the octets written so far if the gap has room for these
 * now, or one that has them as redo. */
static int flush_up(struct rewrite *w)
{
    if (w->n == 0)
        return 0;
    if (w->dst + w->n > w->slot.gap_end) {
        const struct journal_piece piece = { w->dst, w->n };
        const bool room = w->dst + w->n <= w->from;
        if (file_sync(w->fd) != 0)
            return failed(w);
        w->slot.done = room ? w->done_before : w->done;
        if ((room ? put(w, JOURNAL_GAP, w->dst, w->from, w->slot.size, NULL)
                  : put(w, JOURNAL_GAP, w->dst + w->n, w->src, w->slot.size, &piece)) != 0)
            return -1;
    }
    if (file_write(w->fd, w->step, w->n, w->dst) != 0)
        return failed(w);
    begin_writing(w, w->dst, w->n);
    w->dst += w->n;
    w->n = 0;
    w->from = w->src;
    w->done_before = w->done;
    tick(w);
    return 0;
}

/* The source's octets up to `to`. */
static int move_up(struct rewrite *w, uint64_t to)
{
    while (w->src < to) {
        const size_t room = MBOX_STEP - sizeof(struct journal_piece) - w->n;
        const size_t n = to - w->src < room ? (size_t)(to - w->src) : room;
        if (file_read(w->fd, w->step + w->n, n, w->src) != 0)
            return failed(w);
        w->n += n;
        w->src += n;
        if (n == room && flush_up(w) != 0)
            return -1;
    }
    return 0;
}

/* An insertion goes into a step whole. */
static int edit_up(struct rewrite *w, const struct mbox_edit *edit)
{
    if (edit->n > MBOX_STEP - sizeof(struct journal_piece) - w->n && flush_up(w) != 0)
        return -1;
    if (edit->n > 0)
        memcpy(w->step + w->n, edit->ins, edit->n);
    w->n += edit->n;
    w->src = edit->offset + edit->del;
    w->done++;
    if (w->n == 0) {
        w->from = w->src;
        w->done_before = w->done;
    }
    return 0;
}

static int finish_up(struct rewrite *w, uint64_t size)
{
    if (w->dst == size)
        return file_sync(w->fd) != 0 ? failed(w) : 0;
    w->slot.done = w->done;
    if (w->dst >= w->slot.gap_end && (file_sync(w->fd) != 0 ? failed(w) : put(w, JOURNAL_GAP, w->dst, size, size, NULL)) != 0)
        return -1;
    if (file_write(w->fd, "", 1, w->dst) != 0 || file_sync(w->fd) != 0)
        return failed(w);
    if (put(w, JOURNAL_TRUNCATING, w->dst, size, size, NULL) != 0)
        return -1;
    return ftruncate(w->fd, (off_t)w->dst) != 0 || file_sync(w->fd) != 0 ? failed(w) : 0;
}

int rewrite_up(struct rewrite *w)
{
    struct stat st;
    if (fstat(w->fd, &st) != 0)
        return failed(w);
    const uint64_t size = (uint64_t)st.st_size;
    if (w->dst == w->src) {          /* no gap yet: all up to the next edit stays where it is */
        if (w->done == w->edit_n)
            return file_sync(w->fd) != 0 ? failed(w) : 0;
        w->dst = w->src = w->edits[w->done].offset;
    }
    w->slot.size = size;
    w->n = 0;
    w->from = w->src;
    w->done_before = w->done;
    while (w->done < w->edit_n) {
        const struct mbox_edit *edit = &w->edits[w->done];
        if (move_up(w, edit->offset) != 0 || edit_up(w, edit) != 0)
            return -1;
    }
    if (move_up(w, size) != 0 || flush_up(w) != 0)
        return -1;
    return finish_up(w, size);
}

static int pass_up(struct rewrite *w, const struct mbox_edit *edits, size_t n)
{
    w->edits = edits;
    w->edit_n = n;
    w->dst = w->src = edits[0].offset;
    w->done = 0;
    w->slot.gap_end = 0;             /* no slot for this pass yet */
    journal_put_list(w->j, &w->slot, edits, n);      /* without room for it, a crash leaves some of them undone */
    return rewrite_up(w);
}

/* ---- downwards: nothing ever moves down --------------------------------------------------------------------------- */

/* The step's octets, made of those from `from` to `to`, where the gap begins, to `at`. As long as they go into what the newest
 * slot calls the gap they can be made again from their source. Else a new slot is due, as upwards: one that knows of the steps
 * so far if the gap has room for this one, or one that has its octets and says what the gap will be after it. */
static int put_down(struct rewrite *w, uint64_t at, uint64_t from, uint64_t to)
{
    const struct journal_piece piece = { at, w->n };
    if (w->n == 0)
        return 0;
    if (at < w->slot.gap_start) {
        if (file_sync(w->fd) != 0)           /* the steps before this one, which the new slot relies on */
            return failed(w);
        if ((at >= to ? put(w, JOURNAL_GAP, to, at + w->n, w->slot.size, NULL)
                      : put(w, JOURNAL_GAP, from, at, w->slot.size, &piece)) != 0)
            return -1;
    }
    if (file_write(w->fd, w->step, w->n, at) != 0)
        return failed(w);
    begin_writing(w, at, w->n);
    w->n = 0;
    tick(w);
    return 0;
}

/* Old octets [from, to) to below w->dst; the step is filled from its end. */
static int move_down(struct rewrite *w, uint64_t from, uint64_t to)
{
    const size_t most = MBOX_STEP - sizeof(struct journal_piece);
    while (from < to) {
        const size_t n = to - from < most ? (size_t)(to - from) : most;
        if (file_read(w->fd, w->step, n, to - n) != 0)
            return failed(w);
        w->n = n;
        to -= n;
        w->dst -= n;
        if (put_down(w, w->dst, to, to + n) != 0)
            return -1;
    }
    return 0;
}

/* Fills the step with as many whole edits (and kept octets between) as fit, from the end; takes them off *left. */
static int gather_down(struct rewrite *w, size_t *left)
{
    const size_t most = MBOX_STEP - sizeof(struct journal_piece);
    size_t used = 0;
    char *end = w->step + most;
    uint64_t from = w->src;
    while (*left > 0) {
        const struct mbox_edit *edit = &w->edits[*left - 1];
        const uint64_t kept = from - (edit->offset + edit->del);
        if (kept > most || edit->n > most || used + kept + edit->n > most)
            break;
        if (kept > 0 && file_read(w->fd, end - used - kept, (size_t)kept, edit->offset + edit->del) != 0)
            return failed(w);
        used += (size_t)kept;
        if (edit->n > 0)
            memcpy(end - used - edit->n, edit->ins, edit->n);
        used += edit->n;
        from = edit->offset;
        (*left)--;
    }
    memmove(w->step, end - used, used);
    const uint64_t to = w->src;
    w->n = used;
    w->dst -= used;
    w->src = from;
    return put_down(w, w->dst, from, to);
}

static int pass_down(struct rewrite *w, const struct mbox_edit *edits, size_t n, uint64_t size, uint64_t growth)
{
    w->edits = edits;
    w->src = size;
    w->dst = size + growth;
    w->slot.list_count = w->slot.done = 0;
    w->slot.size = w->dst;
    if (file_sync(w->fd) != 0)               /* the new size, before a slot relies on it */
        return failed(w);
    if (put(w, JOURNAL_GAP, size, w->dst, w->dst, NULL) != 0)
        return -1;
    while (n > 0) {
        const size_t before = n;
        if (gather_down(w, &n) != 0)
            return -1;
        if (n < before)
            continue;
        const uint64_t behind = edits[n - 1].offset + edits[n - 1].del;      /* the kept octets are more than a step */
        if (move_down(w, behind, w->src) != 0)
            return -1;
        w->src = behind;
    }
    return file_sync(w->fd) != 0 ? failed(w) : 0;
}

int rewrite_extend(struct rewrite *w, enum journal_state state, uint64_t size, uint64_t growth)
{
    int err;
    if (put(w, state, size, size + growth, size, NULL) != 0)
        return -1;
    do
        err = posix_fallocate(w->fd, (off_t)size, (off_t)growth);
    while (err == EINTR);
    if (err == 0)
        return 0;
    if (ftruncate(w->fd, (off_t)size) != 0)          /* gives back what could be had: the slot then says nothing */
        return failed(w);
    errno = err;
    return failed(w);
}

/* A long text step by step, so that the disk has most of it when the last step is written. */
static int write_long(const struct rewrite *w, const char *text, uint64_t n, uint64_t at)
{
    while (n > MBOX_STEP) {
        if (file_write(w->fd, text, MBOX_STEP, at) != 0)
            return -1;
        begin_writing(w, at, MBOX_STEP);
        text += MBOX_STEP;
        at += MBOX_STEP;
        n -= MBOX_STEP;
    }
    return file_write(w->fd, text, (size_t)n, at);
}

static int append(struct rewrite *w, const struct mbox_edit *edit)
{
    const bool nul = memchr(edit->ins, 0, edit->n) != NULL;
    w->slot.to_size = edit->n < JOURNAL_GUARD ? edit->n : JOURNAL_GUARD;
    w->slot.to_sum = journal_sum(0, edit->ins, (size_t)w->slot.to_size);
    if (rewrite_extend(w, nul ? JOURNAL_EXTENDING : JOURNAL_APPENDING, edit->offset, edit->n) != 0)
        return -1;
    if ((nul && (write_long(w, edit->ins + 1, edit->n - 1, edit->offset + 1) != 0 || file_sync(w->fd) != 0))
        || write_long(w, edit->ins, nul ? 1 : edit->n, edit->offset) != 0 || file_sync(w->fd) != 0) {
        const int err = errno;
        if (ftruncate(w->fd, (off_t)edit->offset) != 0)
            return failed(w);
        errno = err;
        return failed(w);
    }
    return 0;
}

bool mbox_edit_between(uint64_t offset, const char *old, const char *now, size_t n, struct mbox_edit *out)
{
    enum { WORD = 8 };                   /* most of a block stays: compared by the word, then by the octet */
    size_t first = 0;
    while (n - first >= WORD && memcmp(old + first, now + first, WORD) == 0)
        first += WORD;
    while (first < n && old[first] == now[first])
        first++;
    while (n - first >= WORD && memcmp(old + n - WORD, now + n - WORD, WORD) == 0)
        n -= WORD;
    while (n > first && old[n - 1] == now[n - 1])
        n--;
    *out = (struct mbox_edit){ offset + first, n - first, now + first, n - first };
    return n > first;
}

/* ---- in place ----------------------------------------------------------------------------------------------------- */

static bool crosses(const struct mbox_edit *edit)
{
    return edit->n > 0 && edit->offset / SECTOR != (edit->offset + edit->n - 1) / SECTOR;
}

/* The pieces gathered so far: known to the journal, then written, then synced. low, high: what is not changed around them. */
static int put_pieces(struct rewrite *w, const struct journal_piece *pieces, size_t n, uint64_t low, uint64_t high)
{
    const char *octets = w->step;
    if (n == 0)
        return 0;
    w->slot.state = JOURNAL_GAP;
    w->slot.gap_start = w->slot.gap_end = pieces[0].at;
    w->slot.list_count = 0;
    if (journal_guard_before(w->fd, pieces[0].at, low, &w->slot.left) != 0
        || journal_guard_after(w->fd, pieces[n - 1].at + pieces[n - 1].n, high, &w->slot.right) != 0)
        return failed(w);
    if (journal_put(w->j, &w->slot, pieces, n, w->step, w->e) != 0)
        return -1;
    for (size_t i = 0; i < n; octets += pieces[i++].n)
        if (file_write(w->fd, octets, (size_t)pieces[i].n, pieces[i].at) != 0)
            return failed(w);
    tick(w);
    return file_sync(w->fd) != 0 ? failed(w) : 0;
}

/* Those that a power cut could tear. */
static int torn_edits(struct rewrite *w, const struct mbox_edit *edits, size_t n)
{
    const size_t most = MBOX_STEP / 128;
    struct journal_piece *pieces = xreallocarray(NULL, most, sizeof *pieces);
    size_t count = 0, size = 0;
    uint64_t low = 0, high = w->slot.size;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (edits[i].n != edits[i].del || !crosses(&edits[i]))
            continue;
        if (count == most || (count + 1) * sizeof *pieces + size + edits[i].n > MBOX_STEP) {
            rc = put_pieces(w, pieces, count, low, high);
            count = size = 0;
        }
        if (count == 0)
            low = i > 0 ? edits[i - 1].offset + edits[i - 1].del : 0;
        high = i + 1 < n ? edits[i + 1].offset : w->slot.size;
        memcpy(w->step + size, edits[i].ins, edits[i].n);
        pieces[count++] = (struct journal_piece){ edits[i].offset, edits[i].n };
        size += edits[i].n;
    }
    if (rc == 0)
        rc = put_pieces(w, pieces, count, low, high);
    free(pieces);
    return rc;
}

/* Edits close together are written with what lies between them. A page by itself costs the disk and the kernel as much as some
 * NEAR octets of a long write do. */
enum { NEAR = 32 << 10, PAGE = 4096 };

static bool is_alone(const struct mbox_edit *edit)
{
    return edit->n == edit->del && !crosses(edit);
}

/* How many of the edits, beginning with the first, which stays within its sector, go into one window from *start to *end. */
static size_t gather(const struct mbox_edit *edits, size_t n, uint64_t *start, uint64_t *end)
{
    size_t i = 0;
    *start = *end = edits[0].offset / PAGE * PAGE;
    for (; i < n && is_alone(&edits[i]); i++) {
        const uint64_t to = edits[i].offset + edits[i].n;
        if (i > 0 && (edits[i].offset - *end > NEAR || to - *start > MBOX_STEP))
            break;
        *end = to;
    }
    return i;
}

/* Octets [start, end) of the file are read, changed, and written again. */
static int write_window(struct rewrite *w, char *window, const struct mbox_edit *edits, size_t n, uint64_t start, uint64_t end)
{
    const size_t size = (size_t)(end - start);
    if (file_read(w->fd, window, size, start) != 0)
        return failed(w);
    for (size_t i = 0; i < n; i++)
        memcpy(window + (edits[i].offset - start), edits[i].ins, edits[i].n);
    if (file_write(w->fd, window, size, start) != 0)
        return failed(w);
    begin_writing(w, start, size);
    tick(w);
    return 0;
}

/* Those that no power cut can tear. 1: there were some, 0: none, -1. */
static int whole_edits(struct rewrite *w, const struct mbox_edit *edits, size_t n)
{
    char *window = NULL;
    int rc = 0;
    for (size_t i = 0, count = 1; rc >= 0 && i < n; i += count) {
        uint64_t start, end;
        count = gather(edits + i, n - i, &start, &end);
        if (count == 0) {
            count = 1;
            continue;
        }
        if (count > 1 && window == NULL && posix_memalign((void **)&window, PAGE, MBOX_STEP) != 0)
            window = NULL;
        rc = count > 1 && window != NULL ? write_window(w, window, edits + i, count, start, end)
            : file_write(w->fd, edits[i].ins, edits[i].n, edits[i].offset) != 0 ? failed(w) : 0;
        if (window == NULL)
            count = 1;
        rc = rc == 0 ? 1 : rc;
    }
    free(window);
    return rc;
}

/* Edits that move nothing; the others are copied to *moving. */
static int in_place(struct rewrite *w, const struct mbox_edit *edits, size_t n, struct mbox_edit *moving, size_t *count)
{
    bool torn = false;
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        if (edits[i].n != edits[i].del) {
            moving[(*count)++] = edits[i];
            continue;
        }
        torn = torn || crosses(&edits[i]);
        w->low = edits[i].offset + edits[i].del;
    }
    if (torn && torn_edits(w, edits, n) != 0)
        return -1;
    const int any = whole_edits(w, edits, n);
    if (any < 0)
        return -1;
    return any > 0 && *count == 0 && file_sync(w->fd) != 0 ? failed(w) : 0;
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
    w->slot.list_count = 0;
    int rc = rewrite_extend(w, JOURNAL_EXTENDING, size, growth);
    if (rc == 0)
        rc = pass_down(w, grow, grows, size, growth);
    if (rc == 0 && shrinks > 0)
        rc = pass_up(w, shrink, shrinks);
    free(grow);
    free(shrink);
    return rc;
}

static int move(struct rewrite *w, const struct mbox_edit *moving, size_t count, uint64_t size)
{
    if (count == 1 && moving[0].offset == size && moving[0].del == 0)
        return append(w, &moving[0]);
    if (any_prefix_grows(moving, count))
        return both_ways(w, moving, count, size);
    const int rc = rewrite_region(w, moving, count, size);
    if (rc <= 0)
        return rc;
    return pass_up(w, moving, count);
}

/* After a failure: what was begun is finished or taken back at once, if that can be done. 0: it is done as asked. */
static int mend(struct rewrite *w)
{
    if (mbox_journal_pending(w->j, w->fd) == MBOX_PENDING_NONE)
        return -1;
    journal_leave(w->j);
    return mbox_journal_recover(w->j, w->fd, NULL, NULL) == 0 && w->whole ? 0 : -1;
}

static int run(struct rewrite *w, const struct mbox_edit *edits, size_t n, struct mbox_edit *moving)
{
    size_t count, moves = 0, torn = 0;
    if (journal_name(&w->slot, w->fd, w->e) != 0)
        return -1;
    const uint64_t size = w->slot.size;
    for (size_t i = 0; i < n; i++) {
        moves += edits[i].n != edits[i].del;
        torn += edits[i].n == edits[i].del && crosses(&edits[i]);
    }
    for (size_t i = 0; i < n; i++)           /* could not be done again after a crash */
        if (edits[i].n > MBOX_STEP - 1024 && !(moves == 1 && edits[i].offset == size && edits[i].del == 0))
            return store_fail(w->e, STORE_LIMIT, 0, "a change of %zu octets is too large", edits[i].n);
    if (moves + torn > 0 && journal_begin(w->j, w->e) != 0)
        return -1;
    w->step = torn > 0 ? xmalloc(MBOX_STEP) : NULL;
    int rc = in_place(w, edits, n, moving, &count);
    const bool at_end = rc == 0 && count == 1 && moving[0].offset == size && moving[0].del == 0;
    if (w->step == NULL && count > 0 && !at_end)     /* an APPEND needs none, and so large a piece costs page faults */
        w->step = xmalloc(MBOX_STEP);
    if (rc == 0 && count > 0)
        rc = move(w, moving, count, size);
    free(w->step);
    if (moves + torn == 0)
        return rc;
    if (rc == 0 || mbox_journal_pending(w->j, w->fd) == MBOX_PENDING_NONE)
        journal_end(w->j, !at_end);
    else
        rc = mend(w);
    return rc;
}

int mbox_rewrite(struct mbox_journal *j, int fd, const struct mbox_edit *edits, size_t n,
                 void (*tick_each)(void *ctx), void *ctx, struct store_error *e)
{
    struct rewrite w = { .j = j, .fd = fd, .tick = tick_each, .ctx = ctx, .e = e };
    if (n == 0)
        return 0;
    struct mbox_edit *moving = xreallocarray(NULL, n, sizeof *moving);
    const int rc = run(&w, edits, n, moving);
    free(moving);
    return rc;
}
