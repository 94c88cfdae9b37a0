/*
 * Delivering messages into a mailbox: the common end of APPEND, COPY and MOVE.
 */
#include "store/deliver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mbox_journal.h"

void delivery_init(struct delivery *d, struct store *s, const struct mailbox_name *name)
{
    *d = (struct delivery){ .store = s, .name = *name };
    spool_init(&d->spool, s->index_dirfd);
}

void delivery_free(struct delivery *d)
{
    for (size_t i = 0; i < d->n; i++)
        buf_free(&d->parcels[i].keywords);
    free(d->parcels);
    spool_free(&d->spool);
}

struct parcel *delivery_add(struct delivery *d)
{
    if (d->n == d->capacity) {
        d->capacity = d->capacity < 4 ? 4 : d->capacity * 2;
        d->parcels = xreallocarray(d->parcels, d->capacity, sizeof *d->parcels);
    }
    struct parcel *p = &d->parcels[d->n++];
    *p = (struct parcel){ .from = d->spool.size };
    return p;
}

/* ---- commit ------------------------------------------------------------------------------------------------------- */

struct commit {
    struct delivery *d;
    struct box *b;
    struct box_record rec;
    struct buf names;                /* of the target's keywords */
    struct spool text;               /* what is added to the file */
    uint32_t *uids, last;            /* of the parcels; the highest that is then given */
    uint64_t first;                  /* file offset of the first new From_ line */
    unsigned added;                  /* line ends that finish the old last message */
    struct message_record *list;
    size_t n;
    bool base;
    uint64_t base_offset;
    uint32_t base_size;
};

static uint64_t parcel_keywords(struct commit *c, const struct parcel *p)
{
    uint64_t bits = 0;
    for (const char *k = p->keywords.data; k != NULL && k < p->keywords.data + p->keywords.len; k += strlen(k) + 1) {
        const int bit = keyword_bit(&c->names, str_z(k), true);
        if (bit >= 0)
            bits |= (uint64_t)1 << bit;
    }
    return bits;
}

/* What must come before a From_ line so that the file's end is a blank line. */
static int finish_end(struct commit *c, struct store_error *e)
{
    char last[2] = { '\n', '\n' };
    const uint64_t size = c->rec.file.size;
    if (size == 0)
        return 0;
    const size_t n = size < 2 ? (size_t)size : 2;
    if (file_read(c->b->fd, last + 2 - n, n, size - n) != 0)
        return store_fail(e, STORE_IO, errno, "%s", c->b->name.text);
    bool blank = last[0] == '\n' && last[1] == '\n';
    if (last[0] == '\r' && last[1] == '\n') {
        char more[2] = { 0 };
        blank = size >= 4 && file_read(c->b->fd, more, 1, size - 3) == 0 && more[0] == '\n';
    }
    c->added = last[1] != '\n' ? 2 : blank ? 0 : 1;
    return spool_write(&c->text, "\n\n", c->added, e);
}

static int write_text(struct commit *c, struct store_error *e)
{
    const bool mboxo = c->d->store->settings->mboxo;
    struct buf out = { 0 }, names = { 0 }, all = { 0 };
    spool_expect(&c->text, c->d->spool.size);
    int rc = finish_end(c, e);
    const char *octets = rc == 0 ? spool_view(&c->d->spool, e) : NULL;
    c->first = c->rec.file.size + c->added;
    c->base = c->rec.file.size == 0;
    for (size_t i = 0; i < c->d->n; i++)
        parcel_keywords(c, &c->d->parcels[i]);
    keywords_all(&all, &c->names);
    for (size_t i = 0; octets != NULL && rc == 0 && i < c->d->n; i++) {
        struct parcel *p = &c->d->parcels[i];
        struct meta_block b = { .flags = p->flags & ~(unsigned)FLAG_OLD, .uid = c->uids[i],
            .base = c->base && i == 0, .base_validity = c->rec.uidvalidity,
            .base_last = c->last, .base_keywords = buf_str(&all) };
        buf_clear(&names);
        keywords_text(&names, &c->names, parcel_keywords(c, p));
        b.keywords = buf_str(&names);
        rc = parcel_write(p, octets + p->from, &b, mboxo, &out, &c->text, i + 1 == c->d->n, e);
    }
    buf_free(&out);
    buf_free(&names);
    buf_free(&all);
    return octets == NULL ? -1 : rc;
}

/* X-IMAPbase with the last UID that there will be. A keyword list that does not fit is left as it is. 0 or 1 edits. */
static size_t base_edit(struct commit *c, struct mbox_edit *edit, char **line)
{
    struct buf names = { 0 };
    const uint32_t last = c->last, size = c->rec.base_size;
    size_t n = 0;
    *line = NULL;
    if (!(c->rec.bits & BOX_SEALED) || size == 0 || c->rec.base_last >= last)
        return 0;
    char *old = xmalloc(size);
    *line = xmalloc(size);
    keywords_all(&names, &c->names);
    if (file_read(c->b->fd, old, size, c->rec.base_offset) == 0
        && (meta_update_base(memcpy(*line, old, size), size, c->rec.uidvalidity, last, buf_str(&names))
            || meta_update_base(memcpy(*line, old, size), size, c->rec.uidvalidity, last, STR("")))) {
        n = mbox_edit_between(c->rec.base_offset, old, *line, size, edit);
        c->rec.base_last = last;
    }
    free(old);
    buf_free(&names);
    return n;
}

/* The text to the end of the file, and X-IMAPbase's last UID with it. */
static int write_file(struct commit *c, struct store_error *e)
{
    struct mbox_edit edits[2];
    char *line;
    const char *text = spool_view(&c->text, e);
    if (text == NULL)
        return -1;
    size_t n = base_edit(c, edits, &line);
    edits[n++] = (struct mbox_edit){ c->rec.file.size, 0, text, (size_t)c->text.size };
    const int rc = mbox_rewrite(c->d->store->journal, c->b->fd, edits, n, box_tick, c->b, e);
    free(line);
    return rc;
}

static int take_new(void *ctx, const struct scanned *found)
{
    struct commit *c = ctx;
    if (c->n == c->d->n)
        return 1;
    if (found->meta->has_base && c->base && c->n == 0) {
        c->base_offset = found->record.offset + found->record.from_size + found->meta->base_offset;
        c->base_size = found->meta->base_size;
    }
    const struct parcel *p = &c->d->parcels[c->n];
    struct message_record *r = &c->list[c->n++];
    *r = found->record;
    r->uid = c->uids[c->n - 1];
    r->flags = r->mbox_flags = (uint8_t)(p->flags & ~(unsigned)FLAG_OLD);
    r->keywords = r->mbox_keywords = parcel_keywords(c, p);
    r->date = p->date;
    r->zone = (int16_t)p->zone;
    r->save_date = p->save_date;
    r->bits &= (uint16_t)~(unsigned)RECORD_OLD;
    return 0;
}

/* The new records into the index, as a scan of what was written finds them. */
static int write_index(struct commit *c, struct store_error *e)
{
    struct index_txn t;
    struct box_record now;
    const char *text = spool_view(&c->text, e);
    c->list = xcalloc(c->d->n + 1, sizeof *c->list);
    if (text == NULL || mbox_scan_text(text, (size_t)c->text.size, c->first, c->d->store->settings->mboxo, take_new, c, e) < 0)
        return -1;
    if (c->n != c->d->n)
        return store_fail(e, STORE_CORRUPTION, 0, "%s: what was written reads otherwise", c->b->name.text);
    if (index_begin(c->d->store->index, true, &t, e) != 0)
        return -1;
    if (index_get_box(&t, c->b->id, &now, e) != 1)
        goto fail;
    now.highestmodseq++;
    for (size_t i = 0; i < c->n; i++)
        c->list[i].modseq = now.highestmodseq;
    now.uidnext = c->last + 1;
    now.base_last = c->rec.base_last;
    if (c->base) {
        now.bits |= BOX_SEALED;
        now.base_offset = c->base_offset;
        now.base_size = c->base_size;
        now.base_last = now.uidnext - 1;
    }
    if (index_append(&t, &now, c->list, c->n, false, e) != 0 || box_finish(c->b, &t, &now, e) != 0)
        goto fail;
    return index_commit(&t, e);
fail:
    index_abort(&t);
    return -1;
}

static bool any_unseen(const struct delivery *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (!(d->parcels[i].flags & FLAG_SEEN))
            return true;
    return false;
}

static uint32_t count_names(const struct commit *c)
{
    uint32_t n = 0;
    for (size_t i = 0; i < c->names.len; i++)
        n += c->names.data[i] == 0;
    return n;
}

/* The target's keywords, with those of the parcels. New ones are in the index before the messages are: a STORE, which takes no
 * lock on the file, may add others at any time, and each must keep its place. */
static int load_names(struct commit *c, struct store_error *e)
{
    for (int write = 0;; write++) {
        struct index_txn t;
        struct box_record now;
        if (index_begin(c->d->store->index, write > 0, &t, e) != 0)
            return -1;
        int rc = index_get_keywords(&t, c->b->id, &c->names, e);
        const size_t had = c->names.len;
        for (size_t i = 0; rc == 0 && i < c->d->n; i++)
            parcel_keywords(c, &c->d->parcels[i]);
        if (rc != 0 || c->names.len == had || write == 0) {
            index_abort(&t);
            if (rc != 0 || c->names.len == had)
                return rc;
            continue;
        }
        rc = index_get_box(&t, c->b->id, &now, e) == 1 ? 0 : -1;
        now.keyword_count = count_names(c);
        if (rc != 0 || index_put_keywords(&t, c->b->id, buf_str(&c->names), e) != 0 || index_put_box(&t, &now, e) != 0) {
            index_abort(&t);
            return -1;
        }
        return index_commit(&t, e);
    }
}

/* The octets are in the file; the index learns of them. */
static int learn(struct commit *c, struct store_error *e)
{
    box_touch(c->b, any_unseen(c->d));
    if (c->added == 0) {
        const int rc = write_index(c, e);
        return rc != 0 && index_damaged(c->d->store->index) ? box_refresh(c->b, &c->rec, e) : rc;
    }
    /* the old last message grew by its missing line end: let a scan of the tail find everything */
    return box_refresh(c->b, &c->rec, e);
}

/* Each parcel the UID it wants, if that is above those before it, else the next. False: there are none left. */
static bool number(struct commit *c)
{
    const struct delivery *d = c->d;
    uint64_t next = c->rec.uidnext;
    c->uids = xreallocarray(NULL, d->n + 1, sizeof *c->uids);
    for (size_t i = 0; i < d->n; i++) {
        next = d->parcels[i].uid > next ? d->parcels[i].uid : next;
        if (next >= UINT32_MAX)
            return false;
        c->uids[i] = (uint32_t)next++;
    }
    next = d->uidnext > next ? d->uidnext : next;
    c->last = (uint32_t)next - 1;
    return next < UINT32_MAX;
}

static int prepare(struct commit *c, struct store_error *e)
{
    spool_init(&c->text, c->d->store->index_dirfd);
    c->text.most = c->d->spool.most;
    if (!number(c))
        return store_fail(e, STORE_LIMIT, 0, "%s has used up its UIDs", c->b->name.text);
    return load_names(c, e) != 0 || write_text(c, e) != 0 ? -1 : 0;
}

static void commit_free(struct commit *c)
{
    spool_free(&c->text);
    buf_free(&c->names);
    free(c->list);
    free(c->uids);
}

static uint32_t *take_uids(struct commit *c)
{
    uint32_t *uids = c->uids;
    c->uids = NULL;
    return uids;
}

int delivery_commit(struct delivery *d, uint32_t *uidvalidity, uint32_t **uids, struct store_error *e)
{
    struct box b;
    struct commit c = { .d = d, .b = &b, .text = { .fd = -1 } };
    int rc = -1;
    *uids = NULL;
    if (box_open(&b, d->store, &d->name, false, e) != 0)
        return -1;
    if (box_lock(&b, MBOX_LOCK_EXCLUSIVE, &c.rec, e) == 0) {
        rc = prepare(&c, e) != 0 || write_file(&c, e) != 0 || learn(&c, e) != 0 ? -1 : 0;
        box_unlock(&b);
        *uidvalidity = c.rec.uidvalidity;
        rc = rc == 0 ? box_settle(&b, &c.rec, e) : rc;
        if (rc == 0)
            *uids = take_uids(&c);
    }
    commit_free(&c);
    box_close(&b);
    return rc;
}

enum { DAY = 86400 };                /* a clock may be so wrong, as where an X-IMAPbase is believed */

int delivery_uidvalidity(struct store *s, const struct mailbox_name *name, uint32_t uidvalidity, struct store_error *e)
{
    struct box b;
    struct box_record rec;
    struct index_txn t;
    int rc = -1;
    if (box_open(&b, s, name, false, e) != 0)
        return -1;
    if (box_lock(&b, MBOX_LOCK_EXCLUSIVE, &rec, e) == 0) {
        if (rec.uidvalidity == uidvalidity)
            rc = 0;
        else if (rec.uidnext > 1 || rec.file.size > 0 || uidvalidity == 0 || uidvalidity > time(NULL) + DAY)
            rc = 1;
        else if (index_begin(s->index, true, &t, e) == 0) {
            rec.uidvalidity = uidvalidity;
            if (index_new_object_id(&t, &rec, e) == 0 && index_put_box(&t, &rec, e) == 0)
                rc = index_commit(&t, e) == 0 ? index_sync(s->index, e) : -1;
            else
                index_abort(&t);
        }
        box_unlock(&b);
    }
    box_close(&b);
    return rc;
}

int delivery_uidnext(struct store *s, const struct mailbox_name *name, uint32_t uidnext, struct store_error *e)
{
    struct box b;
    struct delivery d;
    struct commit c = { .d = &d, .b = &b, .last = uidnext - 1 };
    struct mbox_edit edit;
    struct index_txn t;
    char *line = NULL;
    int rc = -1;
    if (box_open(&b, s, name, false, e) != 0)
        return -1;
    delivery_init(&d, s, name);
    if (box_lock(&b, MBOX_LOCK_EXCLUSIVE, &c.rec, e) == 0) {
        if (c.rec.uidnext >= uidnext)
            rc = 0;
        else if (load_names(&c, e) == 0 && (base_edit(&c, &edit, &line) == 0
                 || mbox_rewrite(s->journal, b.fd, &edit, 1, box_tick, &b, e) == 0) && index_begin(s->index, true, &t, e) == 0) {
            const uint32_t last = c.rec.base_last;
            rc = index_get_box(&t, b.id, &c.rec, e) == 1 ? 0 : -1;
            c.rec.uidnext = uidnext;
            c.rec.base_last = last;
            if (rc != 0 || box_finish(&b, &t, &c.rec, e) != 0) {
                index_abort(&t);
                rc = -1;
            } else {
                rc = index_commit(&t, e);
            }
        }
        box_unlock(&b);
    }
    free(line);
    commit_free(&c);
    delivery_free(&d);
    box_close(&b);
    return rc;
}

/* ---- MOVE --------------------------------------------------------------------------------------------------------- */

/* Another session may have moved or expunged some: they are not delivered again. uids has d->n entries; so it is after. */
static void keep_those_there(struct delivery *d, uint32_t *uids, const struct plan *p)
{
    size_t out = 0, at = 0;
    for (size_t i = 0; i < d->n; i++) {
        while (at < p->entry_n && (!p->entries[at].removed || p->entries[at].uid < uids[i]))
            at++;
        if (at == p->entry_n || p->entries[at].uid != uids[i]) {
            buf_free(&d->parcels[i].keywords);
            continue;
        }
        uids[out] = uids[i];
        d->parcels[out++] = d->parcels[i];
    }
    d->n = out;
}

/* Both files, then both indexes; from is what is taken away. */
static int move_files(struct commit *c, struct box *from, struct box_record *from_rec, struct plan *p, struct store_error *e)
{
    struct mbox_edit edit;
    char *line;
    const char *text = spool_view(&c->text, e);
    struct mbox_journal *j = c->d->store->journal;
    if (text == NULL)
        return -1;
    int rc = base_edit(c, &edit, &line) == 0 ? 0 : mbox_rewrite(j, c->b->fd, &edit, 1, box_tick, c->b, e);
    free(line);
    plan_resolve(p);
    const struct mbox_move m = { .from = from->fd, .to = c->b->fd, .from_name = from->name.text, .to_name = c->b->name.text,
                                 .text = text, .size = c->text.size, .edits = p->edits, .n = p->edit_n };
    if (rc != 0 || index_sync(c->d->store->index, e) != 0 || mbox_move_begin(j, &m, e) != 0)
        return -1;
    /* it will be done now, whatever happens to the indexes: they can be made anew */
    const int learnt = learn(c, e);
    rc = mbox_move_finish(j, &m, box_tick, from, e);
    if (rc != 0)
        return -1;
    if (from == c->b && from_rec->base_offset == c->rec.base_offset)
        from_rec->base_last = c->rec.base_last;
    return learnt != 0 || plan_index(p, from, from_rec, e) != 0 ? -1 : 0;
}

static int move_locked(struct commit *c, struct box *from, struct box_record *from_rec, uint32_t *uids, uint32_t **new, struct store_error *e)
{
    const struct removal x = { uids, c->d->n, true };
    struct plan p = { .moves = true };
    if (from == c->b)
        c->rec = *from_rec;              /* the removal may say where X-IMAPbase will be */
    int rc = removal_plan(from, from_rec, &x, &p, e);
    if (rc == 0)
        keep_those_there(c->d, uids, &p);
    if (rc == 0 && c->d->n > 0) {
        rc = prepare(c, e) != 0 || move_files(c, from, from_rec, &p, e) != 0 ? -1 : 0;
        if (rc == 0)
            *new = take_uids(c);
    }
    plan_free(&p);
    return rc;
}

int delivery_move(struct delivery *d, struct box *from, uint32_t *uids, uint32_t *uidvalidity, uint32_t **new, struct store_error *e)
{
    struct box b;
    struct box_record from_rec;
    const bool same = strcmp(from->name.text, d->name.text) == 0;
    struct commit c = { .d = d, .b = same ? from : &b, .text = { .fd = -1 } };
    *new = NULL;
    if (!same && box_open(&b, d->store, &d->name, false, e) != 0)
        return -1;
    int rc = same ? box_lock(from, MBOX_LOCK_EXCLUSIVE, &from_rec, e) : box_lock_both(from, &from_rec, &b, &c.rec, e);
    if (rc == 0) {
        rc = move_locked(&c, from, &from_rec, uids, new, e);
        *uidvalidity = same ? from_rec.uidvalidity : c.rec.uidvalidity;
        if (rc == 0)
            box_keep_uidvalidity(from, &from_rec);
        box_unlock(from);
        if (!same)
            box_unlock(&b);
        if (rc == 0)
            rc = box_settle(c.b, same ? &from_rec : &c.rec, e);
    }
    commit_free(&c);
    if (!same)
        box_close(&b);
    return rc;
}
