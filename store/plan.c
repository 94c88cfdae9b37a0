/*
 * Changing a mailbox file and its index together. A plan is a list of edits of the file with, for each message touched,
 * its new record. The file is changed first, durably; the index follows in one transaction. Between the two a crash
 * leaves an index that does not fit the file's identity: the next session scans.
 */
#include <poll.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mailbox_private.h"

void plan_free(struct plan *p)
{
    free(p->edits);
    free(p->entries);
    buf_free(&p->text);
    buf_free(&p->keyword_names);
}

void plan_edit(struct plan *p, uint64_t offset, uint64_t del, const char *ins, size_t n)
{
    if (p->edit_n == p->edit_cap) {
        p->edit_cap = p->edit_cap < 16 ? 16 : p->edit_cap * 2;
        p->edits = xreallocarray(p->edits, p->edit_cap, sizeof *p->edits);
    }
    p->edits[p->edit_n++] = (struct mbox_edit){ .offset = offset, .del = del, .ins = (const char *)(uintptr_t)p->text.len, .n = n };
    buf_add(&p->text, ins, n);
    p->moves = p->moves || n != del;
}

void plan_change(struct plan *p, uint64_t offset, const char *old, const char *now, size_t n)
{
    struct mbox_edit edit;
    if (mbox_edit_between(offset, old, now, n, &edit))
        plan_edit(p, edit.offset, edit.del, edit.ins, edit.n);
}

/* Those whose names the plan has: one that a STORE adds meanwhile is written another time. */
static uint64_t known_keywords(const struct plan *p)
{
    unsigned n = 0;
    for (size_t i = 0; i < p->keyword_names.len; i++)
        n += p->keyword_names.data[i] == 0;
    return n >= STORE_KEYWORDS ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

struct plan_entry *plan_entry(struct plan *p, const struct message_record *r)
{
    if (p->entry_n == p->entry_cap) {
        p->entry_cap = p->entry_cap < 16 ? 16 : p->entry_cap * 2;
        p->entries = xreallocarray(p->entries, p->entry_cap, sizeof *p->entries);
    }
    struct plan_entry *entry = &p->entries[p->entry_n++];
    *entry = (struct plan_entry){ .uid = r->uid, .block_offset = r->block_offset, .block_size = r->block_size, .bits = r->bits,
                                  .mbox_flags = r->flags, .mbox_keywords = r->keywords & known_keywords(p) };
    return entry;
}

void plan_block(const struct plan *p, const struct box_record *rec, const struct message_record *r, bool base,
                struct meta_block *b, struct buf own[2])
{
    *b = (struct meta_block){
        .flags = r->flags | (r->uid < rec->recent_uid ? (unsigned)FLAG_OLD : 0), .uid = r->uid,
        .verbatim = r->bits & RECORD_VERBATIM, .noeol = r->bits & RECORD_NOEOL,
        .base = base, .base_validity = rec->uidvalidity, .base_last = rec->uidnext - 1 };
    buf_clear(&own[0]);
    buf_clear(&own[1]);
    keywords_text(&own[0], &p->keyword_names, r->keywords);
    if (base)
        keywords_all(&own[1], &p->keyword_names);
    b->keywords = buf_str(&own[0]);
    b->base_keywords = buf_str(&own[1]);
}

static int read_at(const struct box *b, char *to, size_t n, uint64_t from, struct store_error *e)
{
    for (size_t got = 0; got < n;) {
        const ssize_t k = pread(b->fd, to + got, n - got, (off_t)(from + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return store_fail(e, k < 0 ? STORE_IO : STORE_CORRUPTION, k < 0 ? errno : 0, "%s: reading", b->name.text);
        got += (size_t)k;
    }
    return 0;
}

int plan_header(struct plan *p, struct box *b, struct box_record *rec, const struct message_record *r, bool base, struct store_error *e)
{
    struct meta_block block;
    struct buf own[2] = { { 0 }, { 0 } }, ins = { 0 };
    size_t start, del, block_at;
    char *header = xmalloc((size_t)r->header_raw + 1);
    if (read_at(b, header, r->header_raw, r->offset + r->from_size, e) != 0) {
        free(header);
        return -1;
    }
    plan_block(p, rec, r, base, &block, own);
    meta_replace(header, r->header_raw, &block, &start, &del, &ins, &block_at);
    plan_edit(p, r->offset + r->from_size + start, del, ins.data, ins.len);
    struct plan_entry *entry = plan_entry(p, r);
    entry->growth = (int32_t)((int64_t)ins.len - (int64_t)del);
    entry->block_offset = (uint32_t)(r->from_size + block_at);
    entry->block_size = (uint16_t)(start + ins.len - block_at);
    entry->bits = (uint16_t)(r->bits | RECORD_BLOCK | (block.flags & FLAG_OLD ? RECORD_OLD : 0));
    if (base) {                                  /* the first line of the block; nothing before the first message moves it */
        const char *line = ins.data + (block_at - start);
        rec->base_offset = r->offset + r->from_size + block_at;
        rec->base_size = (uint32_t)((const char *)memchr(line, '\n', ins.len - (block_at - start)) - line + 1);
        rec->base_last = rec->uidnext - 1;
        rec->bits = (rec->bits | BOX_SEALED) & ~(uint32_t)BOX_PSEUDO;
    }
    free(header);
    buf_free(&ins);
    buf_free(&own[0]);
    buf_free(&own[1]);
    return 0;
}

void box_tick(void *ctx)
{
    struct box *b = ctx;
    mbox_lock_touch(b->lock);
}

/* One chunk through the entries that concern it. Returns what is left of it in part (count in *kept). */
static void apply_chunk(struct chunk_info *info, struct message_record *part, const struct plan_entry *entries, size_t n,
                        size_t *at, int64_t *delta, struct box_record *rec, uint32_t *kept)
{
    const uint64_t old_base = info->base;
    const int64_t delta_before = *delta;
    uint32_t out = 0;
    info->base = (uint64_t)((int64_t)old_base + delta_before);
    for (uint32_t i = 0; i < info->count; i++) {
        struct message_record r = part[i];
        const uint64_t offset = (uint64_t)((int64_t)r.offset + (*delta - delta_before));
        if (*at < n && entries[*at].uid == r.uid) {
            const struct plan_entry *entry = &entries[(*at)++];
            if (entry->removed) {
                *delta -= (int64_t)r.raw_size;
                rec->size_sum -= r.size;
                continue;
            }
            /* flags and keywords stay: a STORE may have come in between, it takes no lock on the file */
            r.header_raw = (uint32_t)((int64_t)r.header_raw + entry->growth);
            r.raw_size = (uint64_t)((int64_t)r.raw_size + entry->growth);
            r.block_offset = entry->block_offset;
            r.block_size = entry->block_size;
            r.bits = entry->bits;
            r.mbox_flags = entry->mbox_flags;
            r.mbox_keywords = entry->mbox_keywords;
            *delta += entry->growth;
        }
        r.offset = offset;
        part[out++] = r;
    }
    *kept = out;
}

static void subtract(struct box_record *rec, const struct chunk_info *info)
{
    rec->exists -= info->count;
    rec->unseen -= info->unseen;
    rec->deleted -= info->deleted;
    rec->dirty -= info->dirty;
    rec->unwritten -= info->unwritten;
}

static void add(struct box_record *rec, const struct chunk_info *info)
{
    rec->exists += info->count;
    rec->unseen += info->unseen;
    rec->deleted += info->deleted;
    rec->dirty += info->dirty;
    rec->unwritten += info->unwritten;
}

int box_apply(struct index_txn *t, struct box_record *rec, const struct plan_entry *entries, size_t n, int64_t delta, struct store_error *e)
{
    const struct chunk_info *have = index_chunks(t, rec);
    if (have == NULL)
        return n == 0 ? 0 : store_fail(e, STORE_CORRUPTION, 0, "index: chunk directory is damaged");
    struct chunk_info *infos = memcpy(xreallocarray(NULL, rec->chunk_count, sizeof *infos), have,
                                      rec->chunk_count * sizeof *infos);
    struct message_record *part = xmalloc(INDEX_CHUNK * sizeof *part);
    size_t at = 0;
    uint32_t out = 0;
    int rc = 0;
    for (uint32_t c = 0; rc == 0 && c < rec->chunk_count; c++) {
        struct chunk_info info = infos[c];
        if (at == n || entries[at].uid > info.last_uid) {
            info.base = (uint64_t)((int64_t)info.base + delta);
            infos[out++] = info;
            continue;
        }
        const struct message_record *r = index_chunk(t, rec->id, &info);
        uint32_t kept;
        if (r == NULL) {
            rc = store_fail(e, STORE_CORRUPTION, 0, "index: message records are damaged");
            break;
        }
        memcpy(part, r, info.count * sizeof *part);
        subtract(rec, &info);
        apply_chunk(&info, part, entries, n, &at, &delta, rec, &kept);
        if (kept == 0) {
            rc = index_delete_chunk(t, rec->id, info.id, e);
            continue;
        }
        chunk_count_up(&info, part, kept);
        add(rec, &info);
        rc = index_put_chunk(t, rec->id, info.id, part, kept, e);
        infos[out++] = info;
    }
    if (rc == 0) {
        rec->chunk_count = out;
        rc = index_put_chunks(t, rec->id, infos, out, e);
    }
    free(part);
    free(infos);
    return rc;
}

/* An index in memory forgets which UIDVALIDITY it gave: the next session must not give the same one, for the same second, with
 * other UIDs. */
static void outlive_second(const struct index_txn *t, const struct box_record *rec)
{
    while (index_in_memory(t->index) && !(rec->bits & BOX_SEALED) && (int64_t)rec->uidvalidity >= time(NULL))
        if (rec->uidvalidity > time(NULL) + 1 || poll(NULL, 0, 20) < 0)
            return;
}

/* What goes for good: told as VANISHED, and forgotten. */
static int note_removed(struct index_txn *t, const struct plan *p, struct box_record *rec, struct store_error *e)
{
    size_t n = 0;
    uint32_t *uids = xreallocarray(NULL, p->entry_n + 1, sizeof *uids);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->entry_n; i++) {
        if (p->entries[i].removed) {
            uids[n++] = p->entries[i].uid;
            rc = index_delete_cache(t, rec->id, p->entries[i].uid, e);
        }
    }
    if (n > 0)
        outlive_second(t, rec);
    if (rc == 0 && n > 0) {
        rec->expunge_modseq = ++rec->highestmodseq;
        rc = index_put_expunged(t, rec->id, rec->highestmodseq, uids, n, e) == 0 ? index_trim_expunged(t, rec, e) : -1;
    }
    free(uids);
    return rc;
}

/* The record in the index may have new flags and counts since the lock was taken; what the plan decided comes from rec. */
static int update_index(struct plan *p, struct box *b, struct box_record *rec, struct index_txn *t, struct store_error *e)
{
    struct box_record now;
    if (index_get_box(t, b->id, &now, e) != 1)
        return store_fail(e, STORE_CORRUPTION, 0, "%s is not in the index any more", b->name.text);
    now.base_offset = rec->base_offset;
    now.base_size = rec->base_size;
    now.base_last = rec->base_last;
    now.bits = rec->bits;
    if (note_removed(t, p, &now, e) != 0 || box_apply(t, &now, p->entries, p->entry_n, p->shift, e) != 0
        || box_finish(b, t, &now, e) != 0)
        return -1;
    *rec = now;
    return 0;
}

void plan_resolve(struct plan *p)
{
    for (size_t i = 0; i < p->edit_n; i++)
        p->edits[i].ins = p->text.data + (uintptr_t)p->edits[i].ins;
}

static int plan_index_once(struct plan *p, struct box *b, struct box_record *rec, struct store_error *e)
{
    struct index_txn t;
    if (index_begin(b->store->index, true, &t, e) != 0)
        return -1;
    if (update_index(p, b, rec, &t, e) != 0) {
        index_abort(&t);
        return -1;
    }
    return index_commit(&t, e);
}

int plan_index(struct plan *p, struct box *b, struct box_record *rec, struct store_error *e)
{
    if (p->edit_n > 0)
        box_touch(b, false);
    const int rc = plan_index_once(p, b, rec, e);
    /* the file is what counts: a damaged index is made anew from it */
    return rc != 0 && index_damaged(b->store->index) ? box_refresh(b, rec, e) : rc;
}

int plan_run(struct plan *p, struct box *b, struct box_record *rec, struct store_error *e)
{
    plan_resolve(p);
    if (p->removes && index_sync(b->store->index, e) != 0)
        return -1;
    if (p->edit_n > 0 && mbox_rewrite(b->store->journal, b->fd, p->edits, p->edit_n, box_tick, b, e) != 0)
        return -1;
    return plan_index(p, b, rec, e);
}

int box_visit(struct box *b, const struct box_record *rec, bool (*want)(const struct chunk_info *info),
              int (*visit)(void *ctx, const struct message_record *r), void *ctx, struct store_error *e)
{
    struct index_txn t;
    if (index_begin(b->store->index, false, &t, e) != 0)
        return -1;
    const struct chunk_info *have = index_chunks(&t, rec);
    struct chunk_info *infos = NULL;
    if (have != NULL)
        infos = memcpy(xreallocarray(NULL, rec->chunk_count, sizeof *infos), have, rec->chunk_count * sizeof *infos);
    int rc = infos == NULL && rec->chunk_count > 0 ? store_fail(e, STORE_CORRUPTION, 0, "index: chunk directory is damaged") : 0;
    for (uint32_t c = 0; rc == 0 && c < rec->chunk_count; c++) {
        if (want != NULL && !want(&infos[c]))
            continue;
        const struct message_record *r = index_chunk(&t, rec->id, &infos[c]);
        if (r == NULL)
            rc = store_fail(e, STORE_CORRUPTION, 0, "index: message records are damaged");
        for (uint32_t i = 0; rc == 0 && i < infos[c].count; i++) {
            struct message_record absolute = r[i];
            absolute.offset += infos[c].base;
            rc = visit(ctx, &absolute);
        }
    }
    index_abort(&t);
    free(infos);
    return rc;
}

struct collecting {
    struct message_record *list;
    size_t n, capacity;
};

static int collect(void *ctx, const struct message_record *r)
{
    struct collecting *c = ctx;
    if (c->n == c->capacity) {
        c->capacity = c->capacity < 256 ? 256 : c->capacity * 2;
        c->list = xreallocarray(c->list, c->capacity, sizeof *c->list);
    }
    c->list[c->n++] = *r;
    return 0;
}

int box_collect(struct box *b, const struct box_record *rec, bool (*want)(const struct chunk_info *info),
                struct message_record **out, size_t *n, struct store_error *e)
{
    struct collecting c = { .list = NULL };
    const int rc = box_visit(b, rec, want, collect, &c, e);
    if (rc != 0)
        free(c.list);
    *out = rc == 0 ? c.list : NULL;
    *n = rc == 0 ? c.n : 0;
    return rc;
}
