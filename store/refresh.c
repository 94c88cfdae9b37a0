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
 * Any of the fields may come from a sender: what is believed, and when, is said in doc/mbox.md and decided in believe_base,
 * plausible_uid (here), find_place and set_new (refresh_match.c).
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
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mbox_journal.h"
#include "store/refresh_private.h"

enum {
    TRIES = 5,
    PIECE = 1 << 15,                  /* messages */
    STAGE_ALIVE = 5000,               /* ms since a session last added to its stage */
    NAMES_BELIEVED = 48,              /* keywords that a file may bring; the rest of the places is for clients */
    BLOCKS_LOOKED_AT = 1024           /* newest messages whose blocks are read again when new mail has come */
};

static void scan_result_free(struct scan_result *s)
{
    free(s->list);
    free(s->x_uid);
    free(s->file_uid);
    buf_free(&s->keywords);
    buf_free(&s->base_keywords);
}

/* Is the X-IMAPbase in the file to be believed? With our UIDVALIDITY, yes. Another one, only where the index knows nothing
 * and the clock allows it: every program makes them from the time, and one from the future could never be replaced by a
 * higher one. */
static bool believe_base(const struct scan_result *s)
{
    if (!s->has_base || s->base_last >= UID_SANE)
        return false;
    return s->uidvalidity != 0 ? s->base_validity == s->uidvalidity : s->base_validity <= time(NULL) + CLOCK_SLACK;
}

/* The bit of a name that the file has. New names only where `create`, and only so many: a sender must leave some. */
static int file_keyword(struct scan_result *s, const char *name, bool create)
{
    const int bit = keyword_bit(&s->keywords, str_z(name), false);
    if (bit >= 0 || !create || s->names >= NAMES_BELIEVED)
        return bit;
    const int added = keyword_bit(&s->keywords, str_z(name), true);
    s->names += added >= 0;
    return added;
}

/* The keyword list of X-IMAPbase comes first, so that a mailbox without index keeps its order. */
static void note_base(struct scan_result *s, const struct scanned *found)
{
    const struct meta *meta = found->meta;
    s->has_base = true;
    s->base_validity = meta->base_validity;
    s->base_last = meta->base_last;
    s->base_offset = found->record.offset + found->record.from_size + meta->base_offset;
    s->base_size = meta->base_size;
    s->base = believe_base(s);
    s->pseudo = s->base && meta->pseudo;
    if (!s->base)
        return;
    for (const char *p = meta->base_keywords.data; p != NULL && p < meta->base_keywords.data + meta->base_keywords.len;
         p += strlen(p) + 1)
        file_keyword(s, p, true);
}

/* X-UIDs ascend, up to the last one of X-IMAPbase. */
static bool plausible_uid(struct scan_result *s, uint32_t x)
{
    if (!s->base || x <= s->last_x || x > s->base_last)
        return false;
    s->last_x = x;
    return true;
}

static int stage_add(struct scan_result *s);
enum { PROGRESS_EACH = 256 };          /* messages */

static int take_message(void *ctx, const struct scanned *found)
{
    struct scan_result *s = ctx;
    const struct meta *meta = found->meta;
    if (s->n == PIECE && s->stage != NULL && stage_add(s) != 0)
        return -1;
    if (s->n == 0 && !s->has_base) {
        if (meta->has_base)
            note_base(s, found);
        if (s->pseudo)
            return 0;                         /* UW's pseudo message is no message */
        s->has_base = true;                   /* none counts in a later message */
    }
    if (s->n == s->capacity) {
        s->capacity = s->capacity < 64 ? 64 : s->capacity * 2;
        s->list = xreallocarray(s->list, s->capacity, sizeof *s->list);
        s->x_uid = xreallocarray(s->x_uid, s->capacity, sizeof *s->x_uid);
        s->file_uid = xreallocarray(s->file_uid, s->capacity, sizeof *s->file_uid);
    }
    if (++s->seen % PROGRESS_EACH == 0)
        store_progress(s->store, found->record.offset, s->goal);
    struct message_record *r = &s->list[s->n];
    const bool has_uid = meta->has_uid && plausible_uid(s, meta->uid);
    *r = found->record;
    for (const char *p = meta->keywords.data; p != NULL && p < meta->keywords.data + meta->keywords.len; p += strlen(p) + 1) {
        const int bit = file_keyword(s, p, has_uid);
        if (bit >= 0)
            r->mbox_keywords |= (uint64_t)1 << bit;
    }
    r->keywords = r->mbox_keywords;
    s->file_uid[s->n] = meta->has_uid ? meta->uid : 0;
    s->x_uid[s->n++] = has_uid ? meta->uid : 0;
    return 0;
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
    if (m->found->base)
        rec->uidvalidity = m->found->base_validity;
    else if (m->found->recalled_validity != 0)
        rec->uidvalidity = m->found->recalled_validity;
    else if (index_new_uidvalidity(t, &rec->uidvalidity, e) != 0)
        return -1;
    rec->uidnext = m->found->base ? 1 : m->found->recalled_last + 1;
    rec->highestmodseq = rec->history_modseq = clock_modseq();
    return index_new_object_id(t, rec, e);
}

/* Messages that the file calls old are not \Recent, up to the first that is new: one that claims to be old takes the mark from
 * no other. In a mailbox that we see for the first time all up to the last old one were there for another program. */
static void claim_old(struct box_record *rec, const struct message_record *list, size_t n, bool first)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].uid < rec->recent_uid)
            continue;
        if (list[i].bits & RECORD_OLD)
            rec->recent_uid = list[i].uid + 1;
        else if (!first)
            return;
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
    g->m.base = s->base;
    g->m.modseq = ++g->rec.highestmodseq;
    match_begin_uids(&g->m);
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
        match_set_new(&g->m, i, &g->last, now);
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        match_check_block(&g->m, i);
    if (rc == 0) {
        claim_old(&g->rec, s->list, s->n, true);
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

/* A file that was only touched has changed nothing that a client knows: its HIGHESTMODSEQ stays. */
static void modseq_unused(struct match *m)
{
    for (size_t i = 0; i < m->found->n; i++)
        if (m->found->list[i].modseq == m->modseq)
            return;
    if (m->gone_n == 0)
        m->rec->highestmodseq--;
}

static int store_all(struct index_txn *t, struct match *m, struct store_error *e)
{
    struct box_record *rec = m->rec;
    struct scan_result *s = m->found;
    m->modseq = ++rec->highestmodseq;
    match_begin_uids(m);
    match_everything(m);
    modseq_unused(m);
    note_sealed(rec, s, m->base);
    claim_old(rec, s->list, s->n, m->old_n == 0);
    for (size_t i = 0; i < m->gone_n; i++)
        if (index_delete_cache(t, rec->id, m->gone[i], e) != 0)
            return -1;
    for (size_t i = 0; i < m->edited_n; i++)
        if (index_delete_cache(t, rec->id, m->edited[i], e) != 0)
            return -1;
    if (m->gone_n > 0) {
        rec->expunge_modseq = m->modseq;
        if (index_put_expunged(t, rec->id, m->modseq, m->gone, m->gone_n, e) != 0 || index_trim_expunged(t, rec, e) != 0)
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
    match_begin_uids(m);
    if (match_is_edited(&s->list[0], last_record) && index_delete_cache(t, rec->id, last_record->uid, e) != 0)
        return -1;
    match_merge(&s->list[0], last_record, m->modseq);
    for (size_t i = 1; i < s->n; i++)
        match_set_new(m, i, &last, now);
    for (size_t i = 0; i < s->n; i++)
        match_check_block(m, i);
    modseq_unused(m);
    claim_old(rec, s->list + 1, s->n - 1, false);
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
    struct stat st;
    s->store = b->store;
    s->goal = fstat(b->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    s->mboxo = b->store->settings->mboxo;
    s->uidvalidity = was->known ? was->rec.uidvalidity : 0;
    buf_add(&s->keywords, was->keywords.data, was->keywords.len);
    for (size_t i = 0; i < was->keywords.len; i++)
        s->names += was->keywords.data[i] == 0;
    box_recall(b, &s->recalled_validity, &s->recalled_last);
}

/* The base line as we know it: no other program has given UIDs since. */
static bool base_is_there(const struct box *b, const struct box_record *rec)
{
    struct header_info info;
    if (!(rec->bits & BOX_SEALED))
        return true;
    char *line = xmalloc((size_t)rec->base_size + 1);
    const bool whole = file_read(b->fd, line, rec->base_size, rec->base_offset) == 0;
    bool same = false;
    if (whole) {
        header_convert(line, rec->base_size, true, false, false, NULL, &info);
        same = info.meta.base_validity == rec->uidvalidity && info.meta.base_last == rec->base_last;
        meta_free(&info.meta);
    }
    free(line);
    return same;
}

/* Does the block of r say what it said? */
static bool block_is_there(const struct box *b, struct buf *names, const struct message_record *r, uint64_t offset)
{
    char *block = xmalloc((size_t)r->block_size + 1);
    struct header_info info;
    bool same = false;
    if (file_read(b->fd, block, r->block_size, offset + r->block_offset) == 0) {
        uint64_t keywords = 0;
        bool known = true;
        header_convert(block, r->block_size, true, false, false, NULL, &info);
        const struct meta *meta = &info.meta;
        for (const char *p = meta->keywords.data; p != NULL && p < meta->keywords.data + meta->keywords.len; p += strlen(p) + 1) {
            const int bit = keyword_bit(names, str_z(p), false);
            known = known && bit >= 0;
            keywords |= bit >= 0 ? (uint64_t)1 << bit : 0;
        }
        same = known && keywords == r->mbox_keywords && meta->uid == r->uid
            && (meta->flags & ~(unsigned)FLAG_OLD) == r->mbox_flags;
        meta_free(&info.meta);
    }
    free(block);
    return same;
}

/* New mail alone, or has another program changed flags where they are, too? The newest messages are looked at: they are those
 * that people work with, and new mail must not cost the whole mailbox. Changes in older ones are seen by the next scan. */
static int only_tail(struct box *b, struct before *was, struct store_error *e)
{
    struct index_txn t;
    uint32_t left = BLOCKS_LOOKED_AT;
    bool same = base_is_there(b, &was->rec);
    if (index_begin(b->store->index, false, &t, e) != 0)
        return -1;
    const struct chunk_info *infos = index_chunks(&t, &was->rec);
    for (uint32_t c = infos != NULL ? was->rec.chunk_count : 0; same && left > 0 && c > 0; c--) {
        const struct message_record *r = index_chunk(&t, b->id, &infos[c - 1]);
        for (uint32_t i = infos[c - 1].count; same && r != NULL && left > 0 && i > 0; i--, left--)
            if (r[i - 1].bits & RECORD_BLOCK)
                same = block_is_there(b, &was->keywords, &r[i - 1], infos[c - 1].base + r[i - 1].offset);
    }
    index_abort(&t);
    return same;
}

/* Scans the tail if the old last message is at its place (1), else the whole file (0); -1. */
static int scan_file(struct box *b, struct before *was, struct scan_result *s, struct stage *g, struct store_error *e)
{
    uint64_t end = was->file.size;           /* what comes meanwhile is not looked at: it may be half a message */
    begin_scan(b, was, s);
    if (was->tail && was->file.inode == was->rec.file.inode && was->file.size > was->rec.file.size
        && was->file.size > was->last.offset && quoting_fits(b, &was->rec)) {
        int rc = only_tail(b, was, e);
        if (rc < 0)
            return -1;
        s->has_base = true;                  /* not the first message: no base is taken from here, nor any new X-UID */
        s->base = was->rec.bits & BOX_SEALED;
        s->base_last = was->last.uid;
        rc = rc == 1 ? mbox_scan(b->fd, was->last.offset, s->mboxo, take_message, s, &end, e) : 1;
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
    if (was->known && s->recalled_validity == out->uidvalidity && s->recalled_last >= out->uidnext)      /* given by another index */
        out->uidnext = s->recalled_last + 1;
    if (staged)
        rc = stage_end(&t, s->stage, s, out);
    else if (!was->known)
        rc = begin_box(&t, &m, e);
    b->id = out->id;
    m.base = tail ? (out->bits & BOX_SEALED) != 0 : s->base;
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
    free(m.edited);
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

/* Whoever has the lock has looked at the journal already. */
int box_fits(struct box *b, struct box_record *rec, struct store_error *e)
{
    struct stat st;
    if (b->fd < 0 || fstatat(b->dirfd, b->leaf, &st, 0) != 0)
        return store_fail(e, b->fd < 0 || errno == ENOENT ? STORE_NONEXISTENT : STORE_IO, errno, "%s", b->name.text);
    const int rc = box_record_of(b, rec, e);
    if (rc <= 0)
        return rc;
    const struct file_identity now = { .inode = st.st_ino, .size = (uint64_t)st.st_size,
        .mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
        .ctime = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec };
    return box_same_file(&now, &rec->file) && quoting_fits(b, rec)
        && (mbox_lock_held(b->lock) != MBOX_LOCK_NONE || mbox_journal_pending(b->store->journal, b->fd) == MBOX_PENDING_NONE);
}

int box_refresh(struct box *b, struct box_record *rec, struct store_error *e)
{
    const int rc = box_fits(b, rec, e);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (mbox_lock_held(b->lock) != MBOX_LOCK_NONE)
        return update(b, rec, e);
    if (box_lock(b, MBOX_LOCK_SHARED, rec, e) != 0)
        return -1;
    box_unlock(b);
    return 0;
}
