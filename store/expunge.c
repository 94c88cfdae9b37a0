/*
 * Removing messages: EXPUNGE, and what MOVE takes from its source.
 */
#include <stdlib.h>
#include <string.h>

#include "store/mailbox_private.h"

static bool want_deleted(const struct chunk_info *info)
{
    return info->deleted > 0;
}

struct selecting {
    struct plan *p;
    const struct removal *x;
    size_t at;
};

static bool among(struct selecting *s, uint32_t uid)
{
    while (s->at < s->x->n && s->x->uids[s->at] < uid)
        s->at++;
    return s->at < s->x->n && s->x->uids[s->at] == uid;
}

/* Messages next to each other go in one edit. */
static int select_one(void *ctx, const struct message_record *r)
{
    struct selecting *s = ctx;
    struct plan *p = s->p;
    if ((!s->x->whatever_flags && !(r->flags & FLAG_DELETED)) || (s->x->uids != NULL && !among(s, r->uid)))
        return 0;
    struct mbox_edit *last = p->edit_n > 0 ? &p->edits[p->edit_n - 1] : NULL;
    if (last != NULL && last->offset + last->del == r->offset)
        last->del += r->raw_size;
    else
        plan_edit(p, r->offset, r->raw_size, "", 0);
    plan_entry(p, r)->removed = true;
    return 0;
}

/* The first message that stays. */
struct staying {
    const struct plan *p;
    size_t at;
    struct message_record record;
};

static int stays(void *ctx, const struct message_record *r)
{
    struct staying *s = ctx;
    if (s->at < s->p->entry_n && s->p->entries[s->at].uid == r->uid) {
        s->at++;
        return 0;
    }
    s->record = *r;
    return 1;
}

static bool removes_base(const struct box_record *rec, const struct plan *p)
{
    return (rec->bits & BOX_SEALED) && !(rec->bits & BOX_PSEUDO) && p->entry_n > 0
        && rec->base_offset >= p->edits[0].offset && rec->base_offset < p->edits[0].offset + p->edits[0].del;
}

/* X-IMAPbase moves to the message that is first when those of the plan are gone. If that needs more octets than went before
 * it, or nothing stays, the mailbox is without it until the next checkpoint. */
static int carry_base(struct box *b, struct box_record *rec, struct plan *p, struct store_error *e)
{
    struct staying s = { .p = p };
    struct plan rest = { .keyword_names = p->keyword_names };
    const struct box_record before = *rec;
    const uint64_t removed = p->edits[0].del;
    int rc = box_visit(b, rec, NULL, stays, &s, e);
    if (rc > 0)
        rc = plan_header(&rest, b, rec, &s.record, true, e);
    if (rc == 0 && rest.edit_n > 0 && rest.edits[0].n <= removed + rest.edits[0].del) {
        const struct mbox_edit edit = rest.edits[0];
        const struct plan_entry entry = rest.entries[0];
        plan_edit(p, edit.offset, edit.del, rest.text.data, edit.n);
        plan_entry(p, &s.record);
        const struct mbox_edit own = p->edits[p->edit_n - 1];
        memmove(p->edits + 2, p->edits + 1, (p->edit_n - 2) * sizeof *p->edits);
        memmove(p->entries + s.at + 1, p->entries + s.at, (p->entry_n - 1 - s.at) * sizeof *p->entries);
        p->edits[1] = own;
        p->entries[s.at] = entry;
        rec->base_offset -= removed;
    } else if (rc == 0) {
        *rec = before;
        rec->bits &= ~(uint32_t)BOX_SEALED;
        rec->base_size = 0;
    }
    rest.keyword_names = (struct buf){ 0 };
    plan_free(&rest);
    return rc;
}

int removal_plan(struct box *b, struct box_record *rec, const struct removal *x, struct plan *p, struct store_error *e)
{
    struct selecting s = { .p = p, .x = x };
    struct index_txn t;
    if (index_begin(b->store->index, false, &t, e) != 0)
        return -1;
    const int rc = index_get_keywords(&t, b->id, &p->keyword_names, e);
    index_abort(&t);
    p->moves = p->removes = true;
    if (rc != 0 || box_visit(b, rec, x->whatever_flags ? NULL : want_deleted, select_one, &s, e) != 0)
        return -1;
    return removes_base(rec, p) ? carry_base(b, rec, p, e) : 0;
}

/* ---- leaving the rest of a huge mailbox where it is --------------------------------------------------------------- */

/* The message behind the only removal. */
static int find_next(void *ctx, const struct message_record *r)
{
    struct staying *s = ctx;
    if (r->uid <= s->p->entries[s->at].uid)
        return 0;
    s->record = *r;
    return 1;
}

static void pad_lines(struct buf *out, uint64_t n)
{
    enum { LINE = 900 };
    while (n > 0) {
        uint64_t line = n < LINE ? n : LINE;
        if (n - line > 0 && n - line < MBOX_PAD_MIN)
            line -= MBOX_PAD_MIN;
        buf_puts(out, "X-IMAPD-Pad:");
        for (uint64_t i = MBOX_PAD_MIN; i < line; i++)
            buf_addc(out, ' ');
        buf_addc(out, '\n');
        n -= line;
    }
}

/* The text of the last edit again, with pad before its block. */
static void pad_edit(struct plan *p, struct plan_entry *entry, uint64_t pad)
{
    struct mbox_edit *edit = &p->edits[p->edit_n - 1];
    struct buf text = { 0 };
    const char *ins = p->text.data + (uintptr_t)edit->ins;
    const size_t before = edit->n - entry->block_size;
    buf_add(&text, ins, before);
    pad_lines(&text, pad);
    buf_add(&text, ins + before, entry->block_size);
    edit->ins = (const char *)(uintptr_t)p->text.len;
    edit->n = text.len;
    buf_add(&p->text, text.data, text.len);
    buf_free(&text);
    entry->growth += (int32_t)pad;
    entry->block_offset += (uint32_t)pad;
}

/* One run of messages is removed, far from the end: the next message's header gets a pad, such that what is behind it can stay
 * where it is or be moved by the file system (mbox_collapse_block). */
static int pad_plan(struct box *b, struct box_record *rec, struct plan *p, struct store_error *e)
{
    struct staying s = { .p = p };
    const bool carries = p->edit_n == 2 && p->edits[1].n > 0;        /* the next message's header is changed already */
    const uint64_t at = p->edits[0].offset, removed = p->edits[0].del;
    if (p->edit_n > 1 + (size_t)carries || p->entry_n == 0 || at + removed >= rec->file.size
        || rec->file.size - at - removed < (uint64_t)MBOX_COLLAPSE_TAIL)
        return 0;
    s.at = p->entry_n - 1 - carries;
    const int found = box_visit(b, rec, NULL, find_next, &s, e);
    if (found <= 0)
        return found;
    if (!carries && plan_header(p, b, rec, &s.record, false, e) != 0)
        return -1;
    const struct mbox_edit *edit = &p->edits[1];
    const uint64_t shorter = removed + edit->del - edit->n, region = edit->offset + edit->del - at;
    const uint64_t pad = edit->n > removed + edit->del ? UINT64_MAX : mbox_collapse_pad(b->fd, at, region, shorter);
    if (pad == UINT64_MAX && !carries) {             /* not so, then */
        p->edit_n--;
        p->entry_n--;
    } else if (pad != UINT64_MAX && pad > 0) {
        pad_edit(p, &p->entries[p->entry_n - 1], pad);
        rec->base_offset += carries ? pad : 0;
    }
    return 0;
}

static int expunge_locked(struct box *b, struct box_record *rec, const struct removal *x, size_t *count, struct store_error *e)
{
    struct plan p = { .moves = true };
    int rc = removal_plan(b, rec, x, &p, e);
    if (rc == 0 && p.entry_n > 0)
        rc = pad_plan(b, rec, &p, e);
    for (size_t i = 0; i < p.entry_n; i++)
        *count += p.entries[i].removed;
    if (rc == 0 && p.entry_n > 0)
        rc = plan_run(&p, b, rec, e);
    plan_free(&p);
    return rc;
}

int mailbox_expunge(struct mailbox *m, const uint32_t *uids, size_t n, size_t *count, struct store_error *e)
{
    const struct removal x = { uids, n, false };
    struct box_record rec;
    size_t own;
    if (m->readonly)
        return store_fail(e, STORE_NOPERM, 0, "%s is read-only", m->box.name.text);
    mailbox_cache_flush(m);
    mailbox_snapshot_end(m);
    mailbox_unlock(m);
    content_forget(m->content);
    count = count != NULL ? count : &own;
    *count = 0;
    if (box_refresh(&m->box, &rec, e) != 0)
        return -1;
    if (rec.deleted == 0)
        return 0;
    if (box_lock(&m->box, MBOX_LOCK_EXCLUSIVE, &rec, e) != 0)
        return -1;
    const int rc = expunge_locked(&m->box, &rec, &x, count, e);
    if (rc == 0)
        box_keep_uidvalidity(&m->box, &rec);         /* before anybody can deliver */
    mailbox_unlock(m);
    return rc;
}
