/*
 * Writing flags, keywords and UIDs into the mbox (mailbox_checkpoint), and changing flags in the index (mailbox_store).
 *
 * A changed message whose block of bookkeeping fields has room is changed in place. One that has no block, or too small a
 * one, gets a new one, which moves all behind it: then every message behind it that has no block gets one too. UIDs are
 * only believed by the next reader when X-IMAPbase is in the first message ("sealed"), so a mailbox is sealed when
 * that is cheap (seal-limit) or when most of the file moves anyway.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pages.h"
#include "base/xmalloc.h"
#include "store/mailbox_private.h"
#include "store/mbox_journal.h"

static bool is_dirty(const struct message_record *r)
{
    return r->flags != r->mbox_flags || r->keywords != r->mbox_keywords;
}

static bool want_dirty(const struct chunk_info *info)
{
    return info->dirty > 0;
}

static bool want_unwritten(const struct chunk_info *info)
{
    return info->dirty > 0 || info->unwritten > 0;
}

/* Messages written in one step: bounds the memory, whatever the mailbox. */
enum { ROUND = 1 << 16, MANY = 1 << 13 };

/* The state of one checkpoint: rounds of at most ROUND messages. */
struct work {
    struct box *b;
    struct box_record *rec;
    struct plan plan;
    struct message_record *list;       /* what is to be written in this round, ascending */
    size_t n, capacity;
    uint32_t start;                    /* UID with which the round begins */
    bool base;                         /* X-IMAPbase goes into the first message, which begins this round */
    bool all, growing;                 /* messages without block get one: all; from here on, since they move anyway */
    bool more;                         /* another round is due */
};

static int load_keyword_names(struct box *b, struct plan *p, struct store_error *e)
{
    struct index_txn t;
    if (index_begin(b->store->index, false, &t, e) != 0)
        return -1;
    const int rc = index_get_keywords(&t, b->id, &p->keyword_names, e);
    index_abort(&t);
    return rc;
}

/* Is the base line within r's block? */
static bool has_base(const struct box_record *rec, const struct message_record *r)
{
    return (rec->bits & BOX_SEALED) && !(rec->bits & BOX_PSEUDO) && rec->base_offset >= r->offset
        && rec->base_offset < r->offset + r->raw_size;
}

/* The block of r becomes what it should be, if that fits the room it has; false if it does not. */
static bool fit_block(struct work *w, const struct message_record *r)
{
    struct meta_block block;
    struct buf own[2] = { { 0 }, { 0 } };
    const size_t n = r->block_size;
    const uint64_t at = r->offset + r->block_offset;
    char *old = xmalloc(2 * n + 1), *now = old + n;
    plan_block(&w->plan, w->rec, r, has_base(w->rec, r), &block, own);
    const bool fits = file_read(w->b->fd, old, n, at) == 0 && meta_update(memcpy(now, old, n), n, &block);
    if (fits)
        plan_change(&w->plan, at, old, now, n);
    buf_free(&own[0]);
    buf_free(&own[1]);
    free(old);
    return fits;
}

/* Takes the messages of a round. One without a block gets it if it has something to say, if its place moves anyway, if all are
 * to have one, or if it belongs to the tail that came since the mailbox was sealed. */
static int take(void *ctx, const struct message_record *r)
{
    struct work *w = ctx;
    const uint64_t tail = w->rec->file.size - r->offset;
    const bool has = r->bits & RECORD_BLOCK, dirty = is_dirty(r);
    const bool old = r->uid < w->rec->recent_uid && !(r->bits & RECORD_OLD);
    if (r->uid < w->start)
        return 0;
    if (!dirty && !(w->base && w->n == 0)) {
        const bool cheap = (w->rec->bits & BOX_SEALED) && tail <= w->b->store->settings->seal_limit;
        if (has ? !old : !w->all && !w->growing && !cheap)
            return 0;
    }
    if (w->n == ROUND) {
        w->more = true;
        return 1;
    }
    w->growing = w->growing || (dirty && !has);
    if (w->n == w->capacity) {
        w->capacity = w->capacity < 64 ? 64 : w->capacity * 2;
        w->list = xreallocarray(w->list, w->capacity, sizeof *w->list);
    }
    w->list[w->n++] = *r;
    return 0;
}

/* The first message that cannot be changed in place: all behind it will move. */
static int find_growing(void *ctx, const struct message_record *r)
{
    uint64_t *from = ctx;
    if (!is_dirty(r) || (r->bits & RECORD_BLOCK))
        return 0;
    *from = r->offset;
    return 1;
}

/* Has X-IMAPbase, as another program wrote it, no room for the last UID? (X-IMAP of UW's pseudo message always has.) */
static bool base_is_short(const struct work *w)
{
    const struct box_record *rec = w->rec;
    if ((rec->bits & BOX_PSEUDO) || rec->base_last == rec->uidnext - 1 || rec->base_size == 0)
        return false;
    char *line = xmalloc(rec->base_size);
    const bool is_short = file_read(w->b->fd, line, rec->base_size, rec->base_offset) == 0
        && !meta_update_base(line, rec->base_size, rec->uidvalidity, rec->uidnext - 1, STR(""));
    free(line);
    return is_short;
}

/* Will the mailbox be sealed now? */
static int decide(struct work *w, bool seal, struct store_error *e)
{
    const uint64_t size = w->rec->file.size;
    uint64_t from = size;
    if ((w->rec->bits & BOX_SEALED) || w->rec->exists == 0) {
        w->all = seal;
        w->base = w->rec->exists > 0 && base_is_short(w);
        return 0;
    }
    if (!seal && size > w->b->store->settings->seal_limit && box_visit(w->b, w->rec, want_dirty, find_growing, &from, e) < 0)
        return -1;
    w->base = w->all = seal || size <= w->b->store->settings->seal_limit || from < size / 2;
    return 0;
}

static int plan_message(struct work *w, size_t i, struct store_error *e)
{
    const struct message_record *r = &w->list[i];
    const bool base = (w->base && i == 0) || has_base(w->rec, r);
    const bool fits = (r->bits & RECORD_BLOCK) && !(w->base && i == 0) && fit_block(w, r);
    if (!fits && (r->bits & RECORD_BLOCK) && !is_dirty(r) && !base)
        return 0;                      /* Status: O is not worth it */
    if (!fits)
        return plan_header(&w->plan, w->b, w->rec, r, base, e);
    struct plan_entry *now = plan_entry(&w->plan, r);
    if (r->uid < w->rec->recent_uid)
        now->bits |= RECORD_OLD;
    if (base)
        w->rec->base_last = w->rec->uidnext - 1;
    return 0;
}

/* X-IMAP of UW's pseudo message, with room for more names; all messages move. */
static void grow_base(struct work *w, const char *line, struct str names)
{
    enum { ROOM = 80 };
    struct box_record *rec = w->rec;
    struct buf text = { 0 };
    const char *colon = memchr(line, ':', rec->base_size);
    if (colon == NULL)
        return;
    buf_add(&text, line, (size_t)(colon - line) + 1);
    buf_printf(&text, " %010u %010u ", rec->uidvalidity, rec->uidnext - 1);
    buf_add(&text, names.p, names.n);
    for (int i = 0; i < ROOM; i++)
        buf_addc(&text, ' ');
    buf_puts(&text, rec->base_size > 1 && line[rec->base_size - 2] == '\r' ? "\r\n" : "\n");
    plan_edit(&w->plan, rec->base_offset, rec->base_size, text.data, text.len);
    w->plan.shift = (int64_t)text.len - (int64_t)rec->base_size;
    rec->base_size = (uint32_t)text.len;
    rec->base_last = rec->uidnext - 1;
    buf_free(&text);
}

/* X-IMAPbase or X-IMAP by itself, where the first message is not written anyway: the last UID, and the names of all keywords,
 * since Dovecot drops those that it does not find there. In a large mailbox names that do not fit are left out. */
static int plan_base(struct work *w, struct store_error *e)
{
    struct box_record *rec = w->rec;
    struct buf names = { 0 };
    if (!(rec->bits & BOX_SEALED) || rec->base_size == 0 || (rec->base_last == rec->uidnext - 1 && rec->dirty == 0))
        return 0;
    char *line = xmalloc(rec->base_size), *now = xmalloc(rec->base_size);
    if (file_read(w->b->fd, line, rec->base_size, rec->base_offset) != 0) {
        const int err = errno;
        free(line);
        free(now);
        return err != ENODATA ? store_fail(e, STORE_IO, err, "%s", w->b->name.text)
            : store_fail(e, STORE_CORRUPTION, 0, "%s: X-IMAPbase is not where it was", w->b->name.text);
    }
    memcpy(now, line, rec->base_size);
    keywords_all(&names, &w->plan.keyword_names);
    bool fits = meta_update_base(now, rec->base_size, rec->uidvalidity, rec->uidnext - 1, buf_str(&names));
    if (!fits && (rec->bits & BOX_PSEUDO) && rec->file.size <= w->b->store->settings->seal_limit)
        grow_base(w, line, buf_str(&names));
    else if (!fits)
        fits = meta_update_base(now, rec->base_size, rec->uidvalidity, rec->uidnext - 1, STR(""));
    if (fits)
        plan_change(&w->plan, rec->base_offset, line, now, rec->base_size);
    if (fits)
        rec->base_last = rec->uidnext - 1;
    buf_free(&names);
    free(line);
    free(now);
    return 0;
}

static int one_round(struct work *w, struct store_error *e)
{
    w->n = 0;
    w->more = w->growing = false;
    if (load_keyword_names(w->b, &w->plan, e) != 0
        || box_visit(w->b, w->rec, w->base ? NULL : want_unwritten, take, w, e) < 0)
        return -1;
    if (!w->base && !(w->n > 0 && has_base(w->rec, &w->list[0])) && plan_base(w, e) != 0)
        return -1;
    for (size_t i = 0; i < w->n; i++)
        if (plan_message(w, i, e) != 0)
            return -1;
    if (w->n > 0)
        w->start = w->list[w->n - 1].uid + 1;
    w->base = false;
    return w->plan.edit_n == 0 && w->plan.entry_n == 0 ? 0 : plan_run(&w->plan, w->b, w->rec, e);
}

static int checkpoint_locked(struct work *w, bool seal, struct store_error *e)
{
    int rc = decide(w, seal, e);
    do {
        if (rc == 0)
            rc = one_round(w, e);
        plan_free(&w->plan);
        w->plan = (struct plan){ .edits = NULL };
    } while (rc == 0 && w->more);
    return rc;
}

/* Nothing to write, or nothing that is worth its cost? */
static bool at_rest(const struct box *b, const struct box_record *rec, bool seal)
{
    if (rec->dirty > 0 || rec->exists == 0)
        return rec->exists == 0;
    if (!(rec->bits & BOX_SEALED))
        return !seal && rec->file.size > b->store->settings->seal_limit;
    return rec->unwritten == 0 && rec->base_last == rec->uidnext - 1;
}

int box_checkpoint(struct box *b, bool seal, struct store_error *e)
{
    struct box_record rec;
    struct work w = { .b = b, .rec = &rec };
    if (b->readonly)
        return 0;
    if (box_refresh(b, &rec, e) != 0)
        return -1;
    if (at_rest(b, &rec, seal))
        return 0;
    if (box_lock(b, MBOX_LOCK_EXCLUSIVE, &rec, e) != 0)
        return -1;
    const int rc = at_rest(b, &rec, seal) ? 0 : checkpoint_locked(&w, seal, e);
    box_unlock(b);
    free(w.list);
    return rc;
}

int box_settle(struct box *b, struct box_record *rec, struct store_error *e)
{
    struct store_error own;
    e = e != NULL ? e : &own;
    if (!b->store->settings->durable_flags || b->readonly)
        return 0;
    if (!at_rest(b, rec, true)) {
        if (box_checkpoint(b, true, e) != 0 && e->code != STORE_OVERQUOTA)
            return -1;
        if (box_refresh(b, rec, e) != 0)
            return -1;
    }
    box_keep_uidvalidity(b, rec);
    return 0;
}

int mailbox_checkpoint(struct mailbox *m, bool seal, struct store_error *e)
{
    if (m->readonly)
        return 0;
    mailbox_cache_flush(m);
    mailbox_snapshot_end(m);
    mailbox_unlock(m);
    return box_checkpoint(&m->box, seal, e);
}

/* ---- STORE -------------------------------------------------------------------------------------------------------- */

struct store_change {
    const struct flag_change *change;
    const uint32_t *uids;              /* ascending */
    size_t n, at;
    uint64_t modseq;
    bool any;
    const struct mailbox *view;
    bool others;                       /* one of them held a change of others that the view was not told */
};

static bool want_stored(void *ctx, const struct chunk_info *info)
{
    struct store_change *c = ctx;
    while (c->at < c->n && c->uids[c->at] < info->first_uid)
        c->at++;
    return c->at < c->n && c->uids[c->at] <= info->last_uid;
}

static bool change_flags(void *ctx, struct message_record *r, uint64_t start)
{
    struct store_change *c = ctx;
    const struct flag_change *f = c->change;
    (void)start;
    while (c->at < c->n && c->uids[c->at] < r->uid)
        c->at++;
    if (c->at == c->n || c->uids[c->at] != r->uid)
        return false;
    if (f->conditional && r->modseq > f->unchanged_since) {
        buf_add(f->failed, &r->uid, sizeof r->uid);
        return false;
    }
    const uint8_t flags = (uint8_t)(f->mode == 0 ? f->flags : f->mode > 0 ? r->flags | f->flags : r->flags & ~f->flags)
        & (uint8_t)~(unsigned)FLAG_OLD;
    const uint64_t keywords = f->mode == 0 ? f->keywords : f->mode > 0 ? r->keywords | f->keywords : r->keywords & ~f->keywords;
    if (flags == r->flags && keywords == r->keywords)
        return false;
    c->others |= r->modseq > c->view->modseq && !mailbox_is_own_change(c->view, r->modseq);
    r->flags = flags;
    r->keywords = keywords;
    r->modseq = c->modseq;
    return c->any = true;
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Most often they are in order already, which qsort(3) takes as long over as over any other. */
static void put_in_order(uint32_t *uids, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (uids[i] < uids[i - 1]) {
            qsort(uids, n, sizeof *uids, ascending);
            return;
        }
}

static int store_uids(struct mailbox *m, struct store_change *c, struct store_error *e)
{
    struct index_txn t;
    struct box_record rec;
    const struct chunk_edit edit = { want_stored, change_flags, c };
    if (index_begin(m->box.store->index, true, &t, e) != 0)
        return -1;
    const int have = index_get_box(&t, m->box.id, &rec, e);
    if (have <= 0) {
        index_abort(&t);
        return have < 0 ? -1 : store_fail(e, STORE_NONEXISTENT, 0, "%s has vanished", m->box.name.text);
    }
    c->at = 0;
    c->any = c->others = false;
    c->modseq = rec.highestmodseq + 1;
    if (box_edit_records(&t, &rec, &edit, e) != 0) {
        index_abort(&t);
        return -1;
    }
    if (!c->any) {
        index_abort(&t);
        return 0;
    }
    rec.highestmodseq = c->modseq;
    if (index_put_box(&t, &rec, e) != 0) {
        index_abort(&t);
        return -1;
    }
    if (index_commit(&t, e) != 0)
        return -1;
    if (!c->others)                    /* else the client is told of all of them, after a silent STORE too: it could not know */
        mailbox_own_change(m, c->modseq);
    return 0;
}

int mailbox_store(struct mailbox *m, const uint32_t *seqs, size_t n, const struct flag_change *change,
                  void (*changed)(void *ctx, uint32_t seq), void *ctx, size_t *gone, struct store_error *e)
{
    struct store_change c = { .change = change, .view = m };
    struct store_error now = { .code = STORE_OK };
    if (m->readonly)
        return store_fail(e, STORE_NOPERM, 0, "%s is read-only", m->box.name.text);
    mailbox_snapshot_end(m);
    uint32_t *uids = xreallocarray(NULL, n + 1, sizeof *uids);
    pages_map(uids, n * sizeof *uids);
    for (size_t i = 0; i < n; i++)
        uids[i] = mailbox_uid(m, seqs[i]);
    put_in_order(uids, n);
    int rc = 0;
    const bool many = n >= MANY;
    if (many)                                    /* LMDB keeps a copy of each page that is written until the commit */
        pages_heap((n < ROUND ? n : ROUND) * (sizeof(struct message_record) + sizeof(struct message_record) / 4));
    for (size_t from = 0; rc == 0 && from < n; from += ROUND) {
        c.uids = uids + from;
        c.n = n - from < ROUND ? n - from : ROUND;
        rc = store_uids(m, &c, e);
    }
    free(uids);
    if (many)
        pages_heap_end();
    if (rc == 0 && m->box.store->durable_flags && mailbox_checkpoint(m, false, &now) != 0
        && (m->box.store->settings->durable_flags || now.code != STORE_OVERQUOTA)) {
        if (e != NULL)
            *e = now;
        return -1;
    }                        /* on a full disk the session keeps them: so that messages can be expunged */
    for (size_t i = 0; rc == 0 && (changed != NULL || gone != NULL) && i < n; i++) {
        uint64_t start;
        if (mailbox_record(m, mailbox_uid(m, seqs[i]), &start, NULL) == NULL) {
            if (gone != NULL)
                (*gone)++;
        } else if (changed != NULL) {
            changed(ctx, seqs[i]);
        }
    }
    return rc;
}

int mailbox_keyword_bit(struct mailbox *m, struct str name, bool create, struct store_error *e)
{
    struct index_txn t;
    struct box_record rec;
    int bit = keyword_bit(&m->keyword_names, name, false);
    if (bit >= 0 || !create)
        return bit;
    mailbox_snapshot_end(m);
    if (name.n >= STORE_KEYWORD_LEN)
        return store_fail(e, STORE_LIMIT, 0, "a keyword is longer than %d octets", STORE_KEYWORD_LEN - 1);
    if (index_begin(m->box.store->index, true, &t, e) != 0)
        return -1;
    if (index_get_box(&t, m->box.id, &rec, e) != 1 || mailbox_load_keywords(m, &t, e) != 0) {
        index_abort(&t);
        return -1;
    }
    bit = keyword_bit(&m->keyword_names, name, true);
    if (bit < 0) {
        index_abort(&t);
        return store_fail(e, STORE_LIMIT, 0, "%s has %d keywords already", m->box.name.text, STORE_KEYWORDS);
    }
    if ((uint32_t)bit >= rec.keyword_count)
        rec.keyword_count = (uint32_t)bit + 1;
    if (index_put_keywords(&t, m->box.id, buf_str(&m->keyword_names), e) != 0 || index_put_box(&t, &rec, e) != 0) {
        index_abort(&t);
        return -1;
    }
    if (index_commit(&t, e) != 0)
        return -1;
    m->keywords_known = rec.keyword_count;       /* told by the caller, not again by mailbox_sync */
    return bit;
}
