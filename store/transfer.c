/*
 * APPEND, COPY, MOVE and EXPUNGE.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/deliver.h"

/* ---- APPEND ------------------------------------------------------------------------------------------------------- */

struct append {
    struct delivery d;
};

int append_begin(struct store *s, const struct mailbox_name *name, struct append **out, struct store_error *e)
{
    struct store_error own;
    const unsigned there = names_look(s->names, name, e != NULL ? e : &own);
    if (!(there & NAME_SELECTABLE) && !name->inbox)
        return there == 0 ? -1 : store_fail(e, STORE_NONEXISTENT, 0, "%s is a directory", name->text);
    *out = xcalloc(1, sizeof **out);
    delivery_init(&(*out)->d, s, name);
    return 0;
}

static int local_zone(int64_t date)
{
    const time_t t = (time_t)date;
    struct tm tm;
    return localtime_r(&t, &tm) != NULL ? (int)(tm.tm_gmtoff / 60) : 0;
}

int append_message(struct append *a, const struct append_message *msg, struct store_error *e)
{
    struct parcel *p = delivery_add(&a->d);
    (void)e;
    p->flags = msg->flags;
    p->save_date = msg->save_date != 0 ? msg->save_date : (int64_t)time(NULL);
    p->date = msg->has_date ? msg->date : (int64_t)time(NULL);
    p->zone = msg->has_date ? msg->zone : local_zone(p->date);
    for (size_t i = 0; i < msg->keyword_count; i++) {
        buf_add(&p->keywords, msg->keywords[i].p, msg->keywords[i].n);
        buf_addc(&p->keywords, 0);
    }
    return 0;
}

int append_data(struct append *a, const char *bytes, size_t n, struct store_error *e)
{
    if (memchr(bytes, 0, n) != NULL)
        return store_fail(e, STORE_CANNOT, 0, "a message with NUL octets cannot be stored");
    if (spool_write(&a->d.spool, bytes, n, e) != 0)
        return -1;
    a->d.parcels[a->d.n - 1].size += n;
    return 0;
}

int append_commit(struct append *a, uint32_t *uidvalidity, uint32_t **uids, size_t *count, struct store_error *e)
{
    *count = a->d.n;
    const int rc = delivery_commit(&a->d, uidvalidity, uids, e);
    append_abort(a);
    return rc;
}

void append_abort(struct append *a)
{
    if (a == NULL)
        return;
    delivery_free(&a->d);
    free(a);
}

/* ---- EXPUNGE ------------------------------------------------------------------------------------------------------ */

static bool want_deleted(const struct chunk_info *info)
{
    return info->deleted > 0;
}

static bool want_all(const struct chunk_info *info)
{
    (void)info;
    return true;
}

static bool among(const uint32_t *uids, size_t n, uint32_t uid, size_t *at)
{
    while (*at < n && uids[*at] < uid)
        (*at)++;
    return *at < n && uids[*at] == uid;
}

struct expunge {
    const uint32_t *uids;            /* NULL: all that are \Deleted */
    size_t n;
    bool whatever_flags;             /* MOVE */
};

/* The message that is first when those of the plan are gone, if X-IMAPbase must move to it. The index has it behind the
 * removed ones: the first record whose UID is not among them. */
static int carry_base(struct box *b, struct box_record *rec, struct plan *p, struct store_error *e)
{
    struct message_record *all;
    size_t n, at = 0;
    if (!(rec->bits & BOX_SEALED) || (rec->bits & BOX_PSEUDO) || p->entry_n == 0
        || rec->base_offset < p->entries[0].record.offset
        || rec->base_offset >= p->entries[0].record.offset + p->entries[0].record.raw_size)
        return 0;
    if (box_collect(b, rec, want_all, &all, &n, e) != 0)
        return -1;
    while (at < n && at < p->entry_n && all[at].uid == p->entries[at].record.uid)
        at++;
    int rc = 0;
    if (at == n) {
        rec->bits &= ~(uint32_t)BOX_SEALED;
        rec->base_size = 0;
    } else {
        struct plan rest = { .keyword_names = p->keyword_names };
        const uint64_t removed = all[at].offset - all[0].offset;
        rc = plan_header(&rest, b, rec, &all[at], true, e);
        if (rc == 0) {
            rec->base_offset -= removed;
            const struct plan_entry entry = rest.entries[0];
            const struct mbox_edit edit = rest.edits[0];
            plan_edit(p, edit.offset, edit.del, rest.text.data, edit.n);
            *plan_entry(p, &all[at]) = entry;
            struct mbox_edit last_edit = p->edits[p->edit_n - 1];
            struct plan_entry last_entry = p->entries[p->entry_n - 1];
            memmove(p->edits + at + 1, p->edits + at, (p->edit_n - 1 - at) * sizeof *p->edits);
            memmove(p->entries + at + 1, p->entries + at, (p->entry_n - 1 - at) * sizeof *p->entries);
            p->edits[at] = last_edit;
            p->entries[at] = last_entry;
        }
        rest.keyword_names = (struct buf){ 0 };
        plan_free(&rest);
    }
    free(all);
    return rc;
}

static int expunge_locked(struct box *b, struct box_record *rec, const struct expunge *x, size_t *count, struct store_error *e)
{
    struct plan p = { .moves = true };
    struct message_record *list;
    struct index_txn t;
    size_t n, at = 0;
    if (index_begin(b->store->index, false, &t, e) != 0)
        return -1;
    int rc = index_get_keywords(&t, b->id, &p.keyword_names, e);
    index_abort(&t);
    if (rc != 0 || box_collect(b, rec, x->whatever_flags ? want_all : want_deleted, &list, &n, e) != 0) {
        plan_free(&p);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if ((!x->whatever_flags && !(list[i].flags & FLAG_DELETED)) || (x->uids != NULL && !among(x->uids, x->n, list[i].uid, &at)))
            continue;
        plan_edit(&p, list[i].offset, list[i].raw_size, "", 0);
        plan_entry(&p, &list[i])->removed = true;
    }
    *count = p.entry_n;
    rc = p.entry_n == 0 ? 0 : carry_base(b, rec, &p, e);
    if (rc == 0 && p.entry_n > 0)
        rc = plan_run(&p, b, rec, e);
    free(list);
    plan_free(&p);
    return rc;
}

static int box_expunge(struct box *b, const struct expunge *x, size_t *count, struct store_error *e)
{
    struct box_record rec;
    *count = 0;
    if (box_lock(b, MBOX_LOCK_EXCLUSIVE, &rec, e) != 0)
        return -1;
    const int rc = expunge_locked(b, &rec, x, count, e);
    box_unlock(b);
    return rc;
}

int mailbox_expunge(struct mailbox *m, const uint32_t *uids, size_t n, size_t *count, struct store_error *e)
{
    const struct expunge x = { uids, n, false };
    struct box_record rec;
    size_t own;
    if (m->readonly)
        return store_fail(e, STORE_NOPERM, 0, "%s is read-only", m->box.name.text);
    mailbox_cache_flush(m);
    mailbox_snapshot_end(m);
    box_unlock(&m->box);
    content_forget(m->content);
    if (count != NULL)
        *count = 0;
    if (box_refresh(&m->box, &rec, e) != 0)
        return -1;
    if (rec.deleted == 0)
        return 0;
    return box_expunge(&m->box, &x, count != NULL ? count : &own, e);
}

/* ---- COPY and MOVE ------------------------------------------------------------------------------------------------ */

static int take_octets(struct mailbox *m, struct delivery *d, const struct message_record *r, uint64_t start, struct store_error *e)
{
    char part[65536];
    uint64_t left = r->raw_size - r->tail, from = start;
    while (left > 0) {
        const ssize_t k = pread(m->box.fd, part, left < sizeof part ? (size_t)left : sizeof part, (off_t)from);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return store_fail(e, k < 0 ? STORE_IO : STORE_CORRUPTION, k < 0 ? errno : 0, "%s: reading", m->box.name.text);
        if (spool_write(&d->spool, part, (size_t)k, e) != 0)
            return -1;
        from += (uint64_t)k;
        left -= (uint64_t)k;
    }
    return 0;
}

/* One message of the view into the delivery. 0, 1 it is gone, -1. */
static int take_message(struct mailbox *m, struct delivery *d, uint32_t uid, struct store_error *e)
{
    uint64_t start;
    struct store_error own = { .code = STORE_OK };
    const struct message_record *r = mailbox_record(m, uid, &start, &own);
    if (r == NULL) {
        if (own.code == STORE_OK)
            return 1;
        if (e != NULL)
            *e = own;
        return -1;
    }
    struct parcel *p = delivery_add(d);
    p->stored = true;
    p->size = r->raw_size - r->tail;
    p->flags = r->flags;
    p->date = r->date;
    p->zone = r->zone;
    p->save_date = time(NULL);
    p->from_size = r->from_size;
    p->header_size = r->header_raw;
    p->verbatim = r->bits & RECORD_VERBATIM;
    p->noeol = r->bits & RECORD_NOEOL;
    for (unsigned bit = 0; r->keywords >> bit != 0 && bit < STORE_KEYWORDS; bit++) {
        const char *name = r->keywords >> bit & 1 ? mailbox_keyword(m, bit) : NULL;
        if (name != NULL)
            buf_add(&p->keywords, name, strlen(name) + 1);
        if (bit == STORE_KEYWORDS - 1)
            break;
    }
    return take_octets(m, d, r, start, e);
}

static int collect(struct mailbox *m, const uint32_t *seqs, size_t n, struct delivery *d, uint32_t *uids, size_t *count, struct store_error *e)
{
    *count = 0;
    if (mailbox_read_begin(m, e) != 0)
        return -1;
    int rc = mailbox_snapshot(m, e);
    if (rc == 0)
        rc = mailbox_load_keywords(m, &m->txn, e);
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        const uint32_t uid = mailbox_uid(m, seqs[i]);
        rc = take_message(m, d, uid, e);
        if (rc == 0)
            uids[(*count)++] = uid;
    }
    mailbox_read_end(m);
    return rc < 0 ? -1 : 0;
}

int mailbox_copy(struct mailbox *m, const uint32_t *seqs, size_t n, const struct mailbox_name *to, bool move,
                 uint32_t *uidvalidity, uint32_t **src_uids, uint32_t **dst_uids, size_t *count, struct store_error *e)
{
    struct delivery d;
    struct store_error own;
    *src_uids = *dst_uids = NULL;
    *count = 0;
    if (move && m->readonly)
        return store_fail(e, STORE_NOPERM, 0, "%s is read-only", m->box.name.text);
    if (!to->inbox && !(names_look(m->box.store->names, to, e != NULL ? e : &own) & NAME_SELECTABLE))
        return store_fail(e, STORE_NONEXISTENT, 0, "%s does not exist", to->text);
    delivery_init(&d, m->box.store, to);
    uint32_t *uids = xreallocarray(NULL, n + 1, sizeof *uids);
    int rc = collect(m, seqs, n, &d, uids, count, e);
    if (rc == 0 && *count > 0)
        rc = delivery_commit(&d, uidvalidity, dst_uids, e);
    delivery_free(&d);
    if (rc == 0 && move && *count > 0) {
        size_t gone;
        const struct expunge x = { uids, *count, true };
        content_forget(m->content);
        rc = box_expunge(&m->box, &x, &gone, e);
    }
    if (rc != 0) {
        free(uids);
        free(*dst_uids);
        *dst_uids = NULL;
        *count = 0;
        return -1;
    }
    *src_uids = uids;
    return 0;
}
