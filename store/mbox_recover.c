/*
 * Recovery: finishing what a crash interrupted.
 *
 * A step's redo is done again, then the pass goes on: with the edits of the list that are not done yet, up to the end of the
 * file as it is now, since a delivery may have come in between. The journal is in the user's own hands, and other programs
 * may have rewritten the mailbox without knowing of it: what does not fit the file is not obeyed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mbox_journal.h"

/* These say no with *err set if the file could not be read: only what was read tells that a journal does not fit. */
static bool octets_at(int fd, char *to, size_t n, uint64_t at, int *err)
{
    if (file_read(fd, to, n, at) == 0)
        return true;
    if (errno != ENODATA)
        *err = errno;
    return false;
}

static bool nul_at(int fd, uint64_t at, int *err)
{
    char octet = 1;
    return octets_at(fd, &octet, 1, at, err) && octet == 0;
}

/* Is a NUL among the octets from `from` to `to`, which is not beyond the end? */
static bool nul_among(int fd, uint64_t from, uint64_t to, int *err)
{
    char *part = xmalloc(1 << 16);
    bool found = false;
    while (!found && from < to) {
        const size_t n = to - from < 1 << 16 ? (size_t)(to - from) : 1 << 16;
        if (!octets_at(fd, part, n, from, err))
            break;
        found = memchr(part, 0, n) != NULL;
        from += n;
    }
    free(part);
    return found;
}

/* Is what an APPEND was writing there, but not all of it? What it has not come to is NUL; what is not, is its text. */
static bool half_appended(int fd, const struct journal_slot *s, int *err)
{
    char start[JOURNAL_GUARD];
    const size_t n = (size_t)s->to_size;
    return s->to_size <= sizeof start && n <= s->gap_end - s->gap_start && octets_at(fd, start, n, s->gap_start, err)
        && (memchr(start, 0, n) != NULL || journal_sum(0, start, n) == s->to_sum) && nul_among(fd, s->gap_start, s->gap_end, err);
}

/* Does the slot, with its redo and list, fit the file as it is? */
static bool fits(int fd, const struct journal_found *f, uint64_t size, int *err)
{
    const struct journal_slot *s = &f->slot;
    uint64_t octets = 0;
    if (s->gap_start > s->gap_end || s->gap_end > size || s->size > size || !journal_guard_holds(fd, &s->left, err)
        || !journal_guard_holds(fd, &s->right, err))
        return false;
    for (uint64_t i = 0; i < s->pieces; i++) {
        const struct journal_piece *p = &f->pieces[i];
        if (p->n > MBOX_STEP || p->at > size || p->n > size - p->at)
            return false;
        octets += p->n;
    }
    if (octets != s->redo_size - s->pieces * sizeof *f->pieces)
        return false;
    for (uint64_t i = s->done; f->edits != NULL && i < s->list_count; i++)
        if (f->edits[i].offset < s->gap_end || f->edits[i].del > size || f->edits[i].offset > size - f->edits[i].del)
            return false;
    return true;
}

static int redo(int fd, const struct journal_found *f, struct store_error *e)
{
    const char *octets = f->octets;
    for (uint64_t i = 0; i < f->slot.pieces; octets += f->pieces[i++].n)
        if (file_write(fd, octets, (size_t)f->pieces[i].n, f->pieces[i].at) != 0)
            return store_fail(e, STORE_IO, errno, "recovery");
    return f->slot.pieces > 0 && file_sync(fd) != 0 ? store_fail(e, STORE_IO, errno, "recovery") : 0;
}

static int go_on(struct rewrite *w)
{
    w->step = xmalloc(MBOX_STEP);
    const int rc = rewrite_up(w);
    free(w->step);
    return rc;
}

static int recover_gap(struct mbox_journal *j, int fd, const struct journal_found *f, struct store_error *e)
{
    struct rewrite w = { .j = j, .fd = fd, .e = e, .slot = f->slot, .dst = f->slot.gap_start, .src = f->slot.gap_end };
    if (f->slot.list_count > 0 && f->edits == NULL)
        return 0;                    /* the list and the first slot are synced together, before the file is touched: it was not */
    if (redo(fd, f, e) != 0)
        return -1;
    w.edits = f->edits;
    w.edit_n = (size_t)f->slot.list_count;
    w.done = (size_t)f->slot.done;
    return go_on(&w);
}

/* 0, 1 it does not fit, -1. */
static int recover_collapse(int fd, const struct journal_found *f, uint64_t size, struct store_error *e)
{
    const struct journal_slot *s = &f->slot;
    if (s->pieces != 1 || s->gap_start >= s->gap_end || s->gap_end >= UINT64_MAX / 2 || f->pieces[0].n > MBOX_STEP
        || f->pieces[0].n != s->redo_size - sizeof *f->pieces || f->pieces[0].at + f->pieces[0].n != s->left.at || s->left.at > size)
        return 1;
    const int rc = rewrite_collapsed(fd, s, f->pieces, f->octets);
    return rc == 2 ? 0 : rc < 0 ? store_fail(e, STORE_IO, errno, "recovery") : rc;
}

/* What was added, or is not cut off yet, goes: from start to end, or to the end of the NULs if not all was added. */
static int recover_end(struct mbox_journal *j, int fd, const struct journal_slot *s, uint64_t size, struct store_error *e)
{
    struct rewrite w = { .j = j, .fd = fd, .e = e, .slot = *s, .dst = s->gap_start, .src = s->gap_end };
    int err = 0;
    if (s->gap_start >= s->gap_end || s->gap_start >= size || !journal_guard_holds(fd, &s->left, &err)
        || !(s->state == JOURNAL_APPENDING && size >= s->gap_end ? half_appended(fd, s, &err)
                                                                   : nul_at(fd, s->gap_start, &err)))
        return err != 0 ? store_fail(e, STORE_IO, err, "recovery") : 0;
    if (s->state == JOURNAL_TRUNCATING && size < s->gap_end)
        return 0;
    if (size < s->gap_end)
        for (w.src = s->gap_start; w.src < size && nul_at(fd, w.src, &err);)
            w.src++;
    if (err != 0)
        return store_fail(e, STORE_IO, err, "recovery");
    w.slot.list_count = w.slot.done = 0;
    w.slot.gap_end = 0;              /* the NUL will be overwritten: a slot of another state first */
    return go_on(&w);
}

int mbox_journal_recover(struct mbox_journal *j, int fd, bool *refused, struct store_error *e)
{
    struct journal_found f;
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) != 0)
        return store_fail(e, STORE_IO, errno, "recovery");
    const int found = journal_find(j, fd, &f);
    if (found <= 0)
        return found < 0 ? store_fail(e, STORE_IO, errno, "recovery") : 0;
    int err = 0;
    const uint64_t size = (uint64_t)st.st_size;
    if (f.slot.state == JOURNAL_MOVE) {
        journal_leave(j);
        rc = store_fail(e, STORE_INUSE, 0, "a MOVE between %.100s and %.100s must be finished", f.slot.from_name, f.slot.to_name);
    } else {
        rc = f.slot.state == JOURNAL_COLLAPSE ? recover_collapse(fd, &f, size, e)
            : f.slot.state != JOURNAL_GAP ? recover_end(j, fd, &f.slot, size, e) : fits(fd, &f, size, &err) ? recover_gap(j, fd, &f, e)
            : err != 0 ? store_fail(e, STORE_IO, err, "recovery") : 1;
        if (rc == 0) {
            journal_end(j, true);
        } else if (rc < 0 || f.slot.device != st.st_dev) {
            journal_leave(j);            /* in the latter case: of another file, on another file system */
        } else {
            if (refused != NULL)
                *refused = true;
            journal_refuse(j);
        }
        rc = rc > 0 ? 0 : rc;
    }
    journal_found_free(&f);
    return rc;
}

/* ---- MOVE --------------------------------------------------------------------------------------------------------- */

int mbox_move_pending(struct mbox_journal *j, int fd, struct mbox_move_names *out)
{
    struct journal_found f;
    const int found = journal_find(j, fd, &f);
    if (found <= 0)
        return found;
    journal_leave(j);
    memcpy(out->from, f.slot.from_name, sizeof out->from);
    memcpy(out->to, f.slot.to_name, sizeof out->to);
    out->from[sizeof out->from - 1] = out->to[sizeof out->to - 1] = 0;
    journal_found_free(&f);
    return f.slot.state == JOURNAL_MOVE;
}

/* Has the target what was moved, but for the first octet? */
static bool landed(int to, const struct journal_slot *s, int *err)
{
    struct stat st;
    char *part;
    uint64_t sum = 0, at = s->to_at + 1, left = s->to_size - 1;
    char first;
    if (to < 0 || fstat(to, &st) != 0 || st.st_ino != s->to_inode || s->to_size == 0 || s->to_at > (uint64_t)st.st_size
        || s->to_size > (uint64_t)st.st_size - s->to_at || !octets_at(to, &first, 1, s->to_at, err)
        || (first != 0 && first != (char)s->to_first))
        return false;
    part = xmalloc(1 << 16);
    while (left > 0) {
        const size_t n = left < 1 << 16 ? (size_t)left : 1 << 16;
        if (!octets_at(to, part, n, at, err))
            break;
        sum = journal_sum(sum, part, n);
        at += n;
        left -= n;
    }
    free(part);
    return left == 0 && sum == s->to_sum;
}

/* The source is the one meant, and each removal begins where a message does. */
static bool leaves(int from, const struct journal_found *f, int *err)
{
    struct stat st;
    if (fstat(from, &st) != 0 || st.st_ino != f->slot.inode || f->edits == NULL || f->slot.done != 0
        || !fits(from, f, (uint64_t)st.st_size, err))
        return false;
    for (uint64_t i = 0; i < f->slot.list_count; i++) {
        char line[5];
        if (f->edits[i].n == 0 && (!octets_at(from, line, sizeof line, f->edits[i].offset, err) || memcmp(line, "From ", 5) != 0))
            return false;
    }
    return true;
}

int mbox_move_recover(struct mbox_journal *j, int from, int to, bool *refused, struct store_error *e)
{
    struct journal_found f;
    const int found = journal_find(j, from >= 0 ? from : to, &f);
    if (found <= 0)
        return found < 0 ? store_fail(e, STORE_IO, errno, "recovery") : 0;
    const char first = (char)f.slot.to_first;
    int err = 0, rc = 0;
    const bool arrived = f.slot.state == JOURNAL_MOVE && landed(to, &f.slot, &err), left = arrived && from >= 0 && leaves(from, &f, &err);
    if (err != 0) {
        journal_leave(j);
        rc = store_fail(e, STORE_IO, err, "recovery");
    } else if (arrived && (file_write(to, &first, 1, f.slot.to_at) != 0 || file_sync(to) != 0)) {
        journal_leave(j);
        rc = store_fail(e, STORE_IO, errno, "recovery");
    } else if (left) {
        struct rewrite w = { .j = j, .fd = from, .e = e, .slot = f.slot, .edits = f.edits, .edit_n = (size_t)f.slot.list_count,
                             .dst = f.edits[0].offset, .src = f.edits[0].offset };
        w.slot.gap_end = 0;
        rc = go_on(&w);
        if (rc == 0)
            journal_end(j, true);
        else
            journal_leave(j);
    } else {                         /* one of them is not what it was: what is in the source stays there */
        if (refused != NULL)
            *refused = true;
        journal_refuse(j);
    }
    journal_found_free(&f);
    return rc;
}
