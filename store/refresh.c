/*
 * Bringing the index up to date with an mbox file.
 *
 * Same identity (inode, size, times): nothing is read. Grown, with the old last message still at its place: the tail is
 * scanned. Anything else: the whole file is scanned and its messages matched, in order, with those of the index by
 * fingerprint, so that UIDs survive another program's expunge or flag change.
 *
 * Flags are merged three ways: what the file said when we last read or wrote it, what it says now, and what the index says
 * now. Another program's change is the difference of the first two, and is applied to the third.
 *
 * X-UID is believed only where X-IMAPbase holds: see believe_base and assign_new.
 *
 * The first scan of a mailbox of many messages goes into the index in pieces, under a name of its own until it is whole: so
 * memory is bounded, and nobody sees a part.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/xmalloc.h"
#include "store/mailbox_private.h"

enum { TRIES = 5, PIECE = 1 << 15, STAGE_ALIVE = 5000 };       /* messages; ms since a session last added to its stage */
struct stage;
#define UID_SANE 0xf0000000u          /* an X-IMAPbase above this would let a sender use up the UIDs */

struct scan_result {
    struct message_record *list;
    uint32_t *x_uid;                  /* 0: none */
    size_t n, capacity, total;        /* total: with those in the stage */
    struct stage *stage;              /* NULL: all stay in the list */
    struct buf keywords;              /* names, extended as they are met */
    bool mboxo, pseudo, has_base;
    uint32_t base_validity, base_last, base_size;
    uint64_t base_offset;
    struct buf base_keywords;
};

static void scan_result_free(struct scan_result *s)
{
    free(s->list);
    free(s->x_uid);
    buf_free(&s->keywords);
    buf_free(&s->base_keywords);
}

/* The keyword list of X-IMAPbase comes first, so that a mailbox without index keeps its order. */
static void note_base(struct scan_result *s, const struct scanned *found)
{
    const struct meta *meta = found->meta;
    s->has_base = true;
    s->pseudo = meta->pseudo;
    s->base_validity = meta->base_validity;
    s->base_last = meta->base_last;
    s->base_offset = found->record.offset + found->record.from_size + meta->base_offset;
    s->base_size = meta->base_size;
    for (const char *p = meta->base_keywords.data; p != NULL && p < meta->base_keywords.data + meta->base_keywords.len;
         p += strlen(p) + 1)
        keyword_bit(&s->keywords, str_z(p), true);
}

static int stage_add(struct scan_result *s);

static int take_message(void *ctx, const struct scanned *found)
{
    struct scan_result *s = ctx;
    const struct meta *meta = found->meta;
    if (s->n == PIECE && s->stage != NULL && stage_add(s) != 0)
        return -1;
    if (found->record.offset == 0 || (s->total == 0 && !s->has_base)) {
        if (meta->has_base)
            note_base(s, found);
        if (meta->has_base && meta->pseudo)
            return 0;                         /* UW's pseudo message is no message */
    }
    if (s->n == s->capacity) {
        s->capacity = s->capacity < 64 ? 64 : s->capacity * 2;
        s->list = xreallocarray(s->list, s->capacity, sizeof *s->list);
        s->x_uid = xreallocarray(s->x_uid, s->capacity, sizeof *s->x_uid);
    }
    struct message_record *r = &s->list[s->n];
    *r = found->record;
    for (const char *p = meta->keywords.data; p != NULL && p < meta->keywords.data + meta->keywords.len; p += strlen(p) + 1) {
        const int bit = keyword_bit(&s->keywords, str_z(p), true);
        if (bit >= 0)
            r->mbox_keywords |= (uint64_t)1 << bit;
    }
    r->keywords = r->mbox_keywords;
    s->x_uid[s->n++] = meta->has_uid ? meta->uid : 0;
    s->total++;
    return 0;
}

/* ---- matching ----------------------------------------------------------------------------------------------------- */

/* Places of the old records by fingerprint: an open hash table of (place + 1), older first among equals. */
struct table {
    uint32_t *slots;
    size_t mask;
    const struct message_record *old;
    size_t n;
};

static void table_fill(struct table *t, const struct message_record *old, size_t n)
{
    size_t size = 16;
    while (size < n * 2)
        size *= 2;
    *t = (struct table){ .slots = xcalloc(size, sizeof *t->slots), .mask = size - 1, .old = old, .n = n };
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)(old[i].fingerprint * 0x9e3779b97f4a7c15u >> 20) & t->mask;
        while (t->slots[at] != 0)
            at = (at + 1) & t->mask;
        t->slots[at] = (uint32_t)i + 1;
    }
}

/* The first old record with this fingerprint at or behind `from`; n if there is none. Bounded, so that thousands of equal
 * messages cost no square. */
static size_t table_find(const struct table *t, uint64_t fingerprint, size_t from)
{
    size_t at = (size_t)(fingerprint * 0x9e3779b97f4a7c15u >> 20) & t->mask, best = t->n;
    if (from < t->n && t->old[from].fingerprint == fingerprint)
        return from;
    for (int steps = 0; t->slots[at] != 0 && steps < 64; steps++, at = (at + 1) & t->mask) {
        const size_t place = t->slots[at] - 1;
        if (t->old[place].fingerprint == fingerprint && place >= from && place < best)
            best = place;
    }
    return best;
}

static void merge(struct message_record *now, const struct message_record *old, uint64_t modseq)
{
    const unsigned changed = now->mbox_flags ^ old->mbox_flags;
    const uint64_t changed_keywords = now->mbox_keywords ^ old->mbox_keywords;
    now->flags = (uint8_t)((old->flags & ~changed) | (now->mbox_flags & changed));
    now->keywords = (old->keywords & ~changed_keywords) | (now->mbox_keywords & changed_keywords);
    now->uid = old->uid;
    now->date = old->date;
    now->zone = old->zone;
    now->save_date = old->save_date;
    now->modseq = now->flags == old->flags && now->keywords == old->keywords ? old->modseq : modseq;
}

struct match {
    struct scan_result *found;
    struct box_record *rec;
    struct message_record *old;
    size_t old_n;
    bool base;                        /* X-IMAPbase holds: X-UIDs up to base_last are believed */
    uint64_t modseq;                  /* for what is new or changed */
    uint32_t believe_from;            /* X-UIDs below this were given by us */
    uint32_t *gone;
    size_t gone_n;
};

/* A UID for a message that the index does not know; those before it end at *last. What the file says is believed up to the
 * last UID of X-IMAPbase, where UIDs ascend, and never for a number that was given before. */
static uint32_t assign_new(struct match *m, size_t i, uint32_t *last)
{
    const uint32_t x = m->found->x_uid[i];
    struct box_record *rec = m->rec;
    if (m->base && x > *last && x <= m->found->base_last && x >= m->believe_from)
        return *last = x;
    if (rec->uidnext <= *last)
        rec->uidnext = *last + 1;
    return *last = rec->uidnext++;
}

/* UIDs of our own begin behind those that the file may name. */
static void begin_uids(struct match *m)
{
    m->believe_from = m->rec->uidnext;
    if (m->base && m->rec->uidnext <= m->found->base_last)
        m->rec->uidnext = m->found->base_last + 1;
}

static void set_new(struct match *m, size_t i, uint32_t *last, int64_t now)
{
    struct message_record *r = &m->found->list[i];
    r->uid = assign_new(m, i, last);
    r->modseq = m->modseq;
    r->save_date = now;
}

/* All of the file against all of the index. A known message behind a new one cannot keep its lower UID. */
static void match_all(struct match *m)
{
    struct table t;
    size_t from = 0;
    uint32_t last = 0;
    const int64_t now = time(NULL);
    bool *kept = xcalloc(m->old_n + 1, sizeof *kept);
    table_fill(&t, m->old, m->old_n);
    for (size_t i = 0; i < m->found->n; i++) {
        struct message_record *r = &m->found->list[i];
        const size_t place = table_find(&t, r->fingerprint, from);
        if (place < m->old_n && m->old[place].uid > last) {
            merge(r, &m->old[place], m->modseq);
            kept[place] = true;
            last = r->uid;
            from = place + 1;
        } else {
            set_new(m, i, &last, now);
        }
    }
    m->gone = xreallocarray(NULL, m->old_n + 1, sizeof *m->gone);
    for (size_t i = 0; i < m->old_n; i++)
        if (!kept[i])
            m->gone[m->gone_n++] = m->old[i].uid;
    free(kept);
    free(t.slots);
}

/* Is the X-IMAPbase in the file to be believed? With our UIDVALIDITY, yes. Another one, only where the index knows nothing:
 * else it may come from a sender. */
static bool believe_base(const struct scan_result *s, const struct box_record *rec)
{
    if (!s->has_base || s->base_last >= UID_SANE)
        return false;
    return rec->uidvalidity == 0 || s->base_validity == rec->uidvalidity;
}

/* ---- the steps ---------------------------------------------------------------------------------------------------- */

static uint64_t clock_modseq(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* A box that the index does not know yet (rec->id is set). */
static int begin_box(struct index_txn *t, struct match *m, struct store_error *e)
{
    struct box_record *rec = m->rec;
    if (believe_base(m->found, rec))
        rec->uidvalidity = m->found->base_validity;
    else if (index_new_uidvalidity(t, &rec->uidvalidity, e) != 0)
        return -1;
    rec->uidnext = 1;
    rec->highestmodseq = clock_modseq();
    return 0;
}

/* Messages that the file calls old are not \Recent; what comes behind the last of them is. */
static void claim_old(struct box_record *rec, const struct message_record *list, size_t n)
{
    for (size_t i = n; i > 0; i--) {
        if (list[i - 1].bits & RECORD_OLD) {
            if (list[i - 1].uid >= rec->recent_uid)
                rec->recent_uid = list[i - 1].uid + 1;
            return;
        }
    }
}

static void note_sealed(struct box_record *rec, const struct scan_result *s, bool base)
{
    rec->bits &= ~(uint32_t)(BOX_PSEUDO | BOX_SEALED | BOX_MBOXO);
    rec->bits |= (s->pseudo ? BOX_PSEUDO : 0u) | (base ? BOX_SEALED : 0u) | (s->mboxo ? BOX_MBOXO : 0u);
    rec->base_offset = base ? s->base_offset : 0;
    rec->base_size = base ? s->base_size : 0;
    rec->base_last = base ? s->base_last : 0;
}

/* ---- a first scan in pieces --------------------------------------------------------------------------------------- */

struct stage {
    struct box *b;
    struct store_error *e;
    struct match m;
    struct box_record rec;
    char name[64];                    /* in the index, until it is whole */
    uint32_t last;
    bool begun, again;                /* again: another session did it meanwhile */
};

static void stage_init(struct stage *g, struct box *b, const struct file_identity *file, struct store_error *e)
{
    memset(g, 0, sizeof *g);
    g->b = b;
    g->e = e;
    snprintf(g->name, sizeof g->name, "\001%llx", (unsigned long long)file->inode);
}

/* Another session is at it: waits until it is done, or has stopped. 0 nobody is, 1 it did it, -1. */
static int stage_wait(const struct stage *g)
{
    for (;;) {
        struct index_txn t;
        struct box_record rec;
        uint64_t id, real;
        if (index_begin(g->b->store->index, false, &t, g->e) != 0)
            return -1;
        int rc = index_find(&t, g->b->name.text, false, &real, g->e) != 0 || index_find(&t, g->name, false, &id, g->e) != 0 ? -1 : 0;
        if (rc == 0 && real != 0)
            rc = index_get_box(&t, real, &rec, g->e);
        else if (rc == 0 && id != 0)
            rc = index_get_box(&t, id, &rec, g->e) == 1 ? 2 : 0;
        index_abort(&t);
        if (rc != 2)
            return rc;
        const int64_t age = time(NULL) - rec.file.mtime;
        if (age < 0 || age * 1000 > STAGE_ALIVE)
            return 0;
        poll(NULL, 0, 50);
    }
}

static int stage_begin(struct stage *g, struct scan_result *s, struct index_txn *t)
{
    if (index_delete(t, g->name, g->e) != 0 || index_find(t, g->name, true, &g->rec.id, g->e) != 0)
        return -1;
    g->m = (struct match){ .found = s, .rec = &g->rec };
    if (begin_box(t, &g->m, g->e) != 0)
        return -1;
    g->m.base = believe_base(s, &g->rec);
    g->m.modseq = ++g->rec.highestmodseq;
    begin_uids(&g->m);
    return 0;
}

/* The list goes to the stage. */
static int stage_add(struct scan_result *s)
{
    struct stage *g = s->stage;
    struct index_txn t;
    uint64_t id = 0;
    const int64_t now = time(NULL);
    const int others = g->begun ? 0 : stage_wait(g);
    if (others != 0 || index_begin(g->b->store->index, true, &t, g->e) != 0) {
        g->again = others > 0;
        return -1;
    }
    int rc = g->begun ? index_find(&t, g->name, false, &id, g->e) : stage_begin(g, s, &t);
    if (rc == 0 && g->begun && id != g->rec.id) {        /* taken for dead by another session */
        g->again = true;
        rc = -1;
    }
    g->begun = true;
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        set_new(&g->m, i, &g->last, now);
    if (rc == 0) {
        claim_old(&g->rec, s->list, s->n);
        g->rec.file.mtime = now;
        rc = index_append(&t, &g->rec, s->list, s->n, false, g->e);
    }
    if (rc != 0 || index_put_box(&t, &g->rec, g->e) != 0) {
        index_abort(&t);
        return -1;
    }
    s->n = 0;
    return index_commit(&t, g->e);
}

/* All is in the stage: it becomes the mailbox's. */
static int stage_end(struct index_txn *t, struct stage *g, struct scan_result *s, struct box_record *out)
{
    note_sealed(&g->rec, s, g->m.base);
    *out = g->rec;
    return index_delete(t, g->b->name.text, g->e) != 0 || index_rename(t, g->name, g->b->name.text, g->e) != 0 ? -1 : 0;
}

/* ---- the steps, continued ----------------------------------------------------------------------------------------- */

static int store_all(struct index_txn *t, struct match *m, struct store_error *e)
{
    struct box_record *rec = m->rec;
    struct scan_result *s = m->found;
    m->modseq = ++rec->highestmodseq;
    begin_uids(m);
    match_all(m);
    note_sealed(rec, s, m->base);
    claim_old(rec, s->list, s->n);
    for (size_t i = 0; i < m->gone_n; i++)
        if (index_delete_cache(t, rec->id, m->gone[i], e) != 0)
            return -1;
    if (m->gone_n > 0) {
        rec->expunge_modseq = m->modseq;
        if (index_put_expunged(t, rec->id, m->modseq, m->gone, m->gone_n, e) != 0)
            return -1;
    }
    return index_put_all(t, rec, s->list, s->n, e);
}

/* Only the tail was scanned; its first message is the old last one. */
static int store_tail(struct index_txn *t, struct match *m, const struct message_record *last_record, struct store_error *e)
{
    struct scan_result *s = m->found;
    struct box_record *rec = m->rec;
    const int64_t now = time(NULL);
    uint32_t last = last_record->uid;
    m->modseq = ++rec->highestmodseq;
    begin_uids(m);
    merge(&s->list[0], last_record, m->modseq);
    for (size_t i = 1; i < s->n; i++)
        set_new(m, i, &last, now);
    claim_old(rec, s->list + 1, s->n - 1);
    return index_append(t, rec, s->list, s->n, true, e);
}

/* What the index knew before the scan, and what the file then was. */
struct before {
    struct box_record rec;
    bool known, tail;
    struct message_record last;
    struct file_identity file;
    struct buf keywords;
};

static int look_at_index(struct box *b, struct before *was, struct store_error *e)
{
    struct index_txn t;
    memset(&was->rec, 0, sizeof was->rec);
    was->known = was->tail = false;
    if (index_begin(b->store->index, false, &t, e) != 0)
        return -1;
    int rc = index_find(&t, b->name.text, false, &b->id, e);
    if (rc == 0 && b->id != 0)
        rc = index_get_box(&t, b->id, &was->rec, e);
    was->known = rc == 1;
    if (was->known) {
        const struct chunk_info *infos = index_chunks(&t, &was->rec);
        const struct chunk_info *info = infos != NULL ? &infos[was->rec.chunk_count - 1] : NULL;
        const uint64_t base = info != NULL ? info->base : 0;
        const uint32_t count = info != NULL ? info->count : 0;
        const struct message_record *r = info != NULL ? index_chunk(&t, b->id, info) : NULL;
        if (r != NULL) {
            was->last = r[count - 1];
            was->last.offset += base;
            was->tail = true;
        }
        rc = index_get_keywords(&t, b->id, &was->keywords, e);
    }
    index_abort(&t);
    return rc < 0 ? -1 : 0;
}

static bool quoting_fits(const struct box *b, const struct box_record *rec)
{
    return ((rec->bits & BOX_MBOXO) != 0) == b->store->settings->mboxo;
}

static void begin_scan(const struct box *b, const struct before *was, struct scan_result *s)
{
    memset(s, 0, sizeof *s);
    s->mboxo = b->store->settings->mboxo;
    buf_add(&s->keywords, was->keywords.data, was->keywords.len);
}

/* Scans the tail if the old last message is at its place (1), else the whole file (0); -1. */
static int scan_file(struct box *b, const struct before *was, struct scan_result *s, struct stage *g, struct store_error *e)
{
    uint64_t end = was->file.size;           /* what comes meanwhile is not looked at: it may be half a message */
    begin_scan(b, was, s);
    if (was->tail && was->file.inode == was->rec.file.inode && was->file.size > was->rec.file.size
        && was->file.size > was->last.offset && quoting_fits(b, &was->rec)) {
        s->has_base = true;                  /* not the first message: no base is taken from here */
        const int rc = mbox_scan(b->fd, was->last.offset, s->mboxo, take_message, s, &end, e);
        s->has_base = false;
        if (rc == 0 && s->n > 0 && s->list[0].fingerprint == was->last.fingerprint && s->list[0].offset == was->last.offset)
            return 1;
        scan_result_free(s);
        begin_scan(b, was, s);
        end = was->file.size;
    }
    s->stage = was->known ? NULL : g;
    if (mbox_scan(b->fd, 0, s->mboxo, take_message, s, &end, e) != 0 || (g->begun && s->n > 0 && stage_add(s) != 0))
        return -1;
    return 0;
}

/* Stores what was scanned, unless another session has been here meanwhile: 1 then. */
static int store_scan(struct box *b, struct before *was, struct scan_result *s, bool tail, struct box_record *out, struct store_error *e)
{
    struct index_txn t;
    struct box_record now;
    struct match m = { .found = s, .rec = out };
    if (index_begin(b->store->index, true, &t, e) != 0)
        return -1;
    const bool staged = s->stage != NULL && s->stage->begun;
    int rc = index_find(&t, b->name.text, true, &b->id, e);
    const int have = rc == 0 ? index_get_box(&t, b->id, &now, e) : -1;
    if (have < 0 || (have == 1) != was->known || (have == 1 && memcmp(&now, &was->rec, sizeof now) != 0)) {
        index_abort(&t);
        return have < 0 ? -1 : 1;
    }
    *out = was->rec;
    out->id = b->id;
    if (staged)
        rc = stage_end(&t, s->stage, s, out);
    else if (!was->known)
        rc = begin_box(&t, &m, e);
    b->id = out->id;
    m.base = tail ? (out->bits & BOX_SEALED) != 0 : believe_base(s, out);
    if (tail)
        s->base_last = out->base_last;
    if (rc == 0 && !tail && was->known) {
        rc = index_get_all(&t, out, &m.old, e);
        m.old_n = m.old != NULL ? out->exists : 0;
    }
    if (rc == 0 && !staged)
        rc = tail ? store_tail(&t, &m, &was->last, e) : store_all(&t, &m, e);
    out->file = was->file;
    out->keyword_count = 0;
    for (const char *p = s->keywords.data; p != NULL && p < s->keywords.data + s->keywords.len; p += strlen(p) + 1)
        out->keyword_count++;
    if (rc == 0 && s->keywords.len > 0)
        rc = index_put_keywords(&t, b->id, buf_str(&s->keywords), e);
    if (rc == 0)
        rc = index_put_box(&t, out, e);
    free(m.old);
    free(m.gone);
    if (rc != 0) {
        index_abort(&t);
        return -1;
    }
    return index_commit(&t, e);
}

/* With the shared lock alone, an agent that knows no lock but the dotlock may be writing. It was not when the file was found to
 * be `was`, if nobody has the dotlock now and the file is still the same: half a message must not be taken for a whole one. */
static bool is_disturbed(const struct box *b, const struct file_identity *was)
{
    struct file_identity now;
    return mbox_lock_held(b->lock) == MBOX_LOCK_SHARED
        && (mbox_lock_disturbed(b->lock) || box_identity(b, &now, NULL) != 0 || !box_same_file(&now, was));
}

static int update(struct box *b, struct box_record *out, struct store_error *e)
{
    for (int i = 0; i < TRIES; i++) {
        struct before was = { .known = false };
        struct scan_result s = { .n = 0 };
        int rc = look_at_index(b, &was, e);
        if (rc == 0)
            rc = box_identity(b, &was.file, e);
        b->disturbed = rc == 0 && is_disturbed(b, &was.file);
        if (b->disturbed)                    /* box_lock begins again */
            rc = store_fail(e, STORE_INUSE, 0, "%s is being written to", b->name.text);
        if (rc == 0 && was.known && box_same_file(&was.file, &was.rec.file) && quoting_fits(b, &was.rec)) {
            *out = was.rec;
            buf_free(&was.keywords);
            return 0;
        }
        struct stage g;
        stage_init(&g, b, &was.file, e);
        const int tail = rc == 0 ? scan_file(b, &was, &s, &g, e) : -1;
        rc = tail < 0 ? (g.again ? 1 : -1) : store_scan(b, &was, &s, tail, out, e);
        scan_result_free(&s);
        buf_free(&was.keywords);
        if (rc <= 0)
            return rc;
    }
    return store_fail(e, STORE_INUSE, 0, "%s changes all the time", b->name.text);
}

/* The index, if it fits the file as it is now: 1, else 0. */
static int fits_already(struct box *b, struct box_record *rec, struct store_error *e)
{
    struct index_txn t;
    struct stat st;
    if (b->fd < 0 || fstatat(b->dirfd, b->leaf, &st, 0) != 0)
        return store_fail(e, b->fd < 0 || errno == ENOENT ? STORE_NONEXISTENT : STORE_IO, errno, "%s", b->name.text);
    if (index_begin(b->store->index, false, &t, e) != 0)
        return -1;
    int rc = b->id != 0 ? 0 : index_find(&t, b->name.text, false, &b->id, e);
    rc = rc == 0 && b->id != 0 ? index_get_box(&t, b->id, rec, e) : rc;
    index_abort(&t);
    if (rc <= 0)
        return rc;
    const struct file_identity now = { .inode = st.st_ino, .size = (uint64_t)st.st_size,
        .mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
        .ctime = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec };
    return box_same_file(&now, &rec->file) && quoting_fits(b, rec)
        && mbox_journal_pending(b->store->journal, b->fd) == MBOX_PENDING_NONE;
}

int box_refresh(struct box *b, struct box_record *rec, struct store_error *e)
{
    const int rc = fits_already(b, rec, e);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (mbox_lock_held(b->lock) != MBOX_LOCK_NONE)
        return update(b, rec, e);
    if (box_lock(b, MBOX_LOCK_SHARED, rec, e) != 0)
        return -1;
    box_unlock(b);
    return 0;
}
