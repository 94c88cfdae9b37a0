/*
 * MOVE of messages from one mailbox file to another, all or nothing (see mbox_rewrite.h).
 *
 * The text is put behind the target's end as an APPEND does, all but its first octet. Then the journal says that it is
 * moved, with the list of what goes from the source: from here on recovery finishes it. Then the first octet is written,
 * and the source shrinks like in any other rewrite.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mbox_journal.h"

static int failed(struct rewrite *w)
{
    return store_fail(w->e, STORE_IO, errno, "writing the mailbox");
}

/* The slot that says so. */
static int commit(struct rewrite *w, const struct mbox_move *m, uint64_t at)
{
    struct journal_slot *s = &w->slot;
    const uint64_t start = m->edits[0].offset;
    s->to_inode = s->inode;
    s->to_device = s->device;
    s->to_at = at;
    s->to_size = m->size;
    s->to_first = (unsigned char)m->text[0];
    s->to_sum = 0;
    for (uint64_t done = 1; done < m->size; done += 1 << 16)
        s->to_sum = journal_sum(s->to_sum, m->text + done, m->size - done < 1 << 16 ? (size_t)(m->size - done) : 1 << 16);
    if (journal_name(s, m->from, w->e) != 0)
        return -1;
    s->state = JOURNAL_MOVE;
    s->gap_start = s->gap_end = start;
    if (journal_guard_before(m->from, start, 0, &s->left) != 0 || journal_guard_after(m->from, start, s->size, &s->right) != 0)
        return failed(w);
    return journal_put(w->j, s, NULL, 0, "", w->e);
}

int mbox_move_begin(struct mbox_journal *j, const struct mbox_move *m, struct store_error *e)
{
    struct rewrite w = { .j = j, .fd = m->to, .e = e };
    if (m->n == 0 || m->size == 0 || strlen(m->from_name) >= MBOX_MOVE_NAME || strlen(m->to_name) >= MBOX_MOVE_NAME)
        return store_fail(e, STORE_CANNOT, 0, "MOVE");
    strcpy(w.slot.from_name, m->from_name);
    strcpy(w.slot.to_name, m->to_name);
    if (journal_name(&w.slot, m->to, e) != 0 || journal_begin(j, e) != 0)
        return -1;
    const uint64_t size = w.slot.size;
    if (!journal_put_list(j, &w.slot, m->edits, m->n)) {
        const int err = errno;
        journal_end(j, false);
        return store_fail(e, STORE_IO, err, "journal");
    }
    int rc = rewrite_extend(&w, JOURNAL_EXTENDING, size, m->size);
    if (rc == 0 && (file_write(m->to, m->text + 1, (size_t)m->size - 1, size + 1) != 0 || file_sync(m->to) != 0))
        rc = failed(&w);
    if (rc == 0)
        rc = commit(&w, m, size);
    if (rc != 0) {                   /* with the target short again recovery would not believe the slot, if it is there */
        if (ftruncate(m->to, (off_t)size) != 0)
            journal_leave(j);
        else
            journal_end(j, true);
        return -1;
    }
    if (file_write(m->to, m->text, 1, size) != 0 || file_sync(m->to) != 0)
        return journal_leave(j), mbox_move_recover(j, m->from, m->to, NULL, e);
    return 0;
}

int mbox_move_finish(struct mbox_journal *j, const struct mbox_move *m, void (*tick)(void *ctx), void *ctx, struct store_error *e)
{
    struct journal_found f;
    struct store_error own;
    journal_leave(j);
    if (mbox_journal_pending(j, m->from) == MBOX_PENDING_NONE)
        return 0;                    /* begin had to finish it */
    if (journal_find(j, m->from, &f) <= 0)
        return store_fail(e, STORE_IO, errno != 0 ? errno : EIO, "journal");
    struct rewrite w = { .j = j, .fd = m->from, .tick = tick, .ctx = ctx, .e = &own, .slot = f.slot, .edits = m->edits,
                         .edit_n = m->n, .dst = m->edits[0].offset, .src = m->edits[0].offset };
    journal_found_free(&f);
    w.slot.gap_end = 0;
    w.step = xmalloc(MBOX_STEP);
    int rc = rewrite_up(&w);
    free(w.step);
    if (rc == 0) {
        journal_end(j, true);
        return 0;
    }
    journal_leave(j);                /* once more, as the next session would */
    if (mbox_journal_pending(j, m->from) == MBOX_PENDING_MOVE)
        rc = mbox_move_recover(j, m->from, m->to, NULL, e);
    else
        rc = mbox_journal_recover(j, m->from, NULL, e);
    return rc;
}
