/*
 * What a view is told of changes, the descriptor that announces them, and reading messages through a view.
 *
 * What changed since the view was last told is found by MODSEQ: chunks whose newest MODSEQ is not above the view's are
 * passed over.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mailbox_private.h"

enum { HURRY_MOST = 10 };                    /* s */

/* ---- sync --------------------------------------------------------------------------------------------------------- */

void mailbox_own_change(struct mailbox *m, uint64_t modseq)
{
    if (m->modseq + 1 == modseq && m->own.len == 0)
        m->modseq = modseq;
    else
        buf_add(&m->own, &modseq, sizeof modseq);
}

bool mailbox_is_own_change(const struct mailbox *m, uint64_t modseq)
{
    for (size_t i = 0; i + sizeof modseq <= m->own.len; i += sizeof modseq)
        if (memcmp(m->own.data + i, &modseq, sizeof modseq) == 0)
            return true;
    return false;
}

/* Takes out of the view what the index has no more; told ascending, each numbered as it is then: as Dovecot and UW do. */
static int tell_expunged(struct mailbox *m, const struct mailbox_listener *l, struct store_error *e)
{
    struct uid_map *now = uid_map_new();
    if (view_add_uids(m, now, 1, e) != 0) {
        uid_map_free(now);
        return -1;
    }
    struct uid_map *kept = uid_map_new();
    uint32_t told = 0;
    for (uint32_t seq = 1, n; (n = uid_map_run(m->uids, seq)) > 0; seq += n) {
        const uint32_t uid = mailbox_uid(m, seq), there = uid_map_seq_from(now, uid);
        if (uid_map_uid(now, there) == uid) {
            const uint32_t run = uid_map_run(now, there);
            n = n < run ? n : run;
            uid_map_add(kept, uid, n);
            continue;
        }
        n = 1;
        if (l != NULL && l->expunged != NULL)
            l->expunged(l->ctx, seq - told, uid);
        told++;
    }
    uid_map_free(now);
    uid_map_free(m->uids);
    m->uids = kept;
    return 0;
}

/* What changed up to the MODSEQ `highest`; the snapshot may be a newer one, and the rest would be told twice. The changed messages
 * are collected first: telling may end the snapshot. */
static int tell_flags(struct mailbox *m, uint32_t below_uid, uint64_t highest, const struct mailbox_listener *l, struct store_error *e)
{
    struct buf found = { 0 };
    for (uint32_t c = 0; c < m->rec.chunk_count; c++) {
        if (m->infos[c].max_modseq <= m->modseq || m->infos[c].first_uid >= below_uid)
            continue;
        const struct message_record *r = index_chunk(&m->txn, m->box.id, &m->infos[c]);
        if (r == NULL) {
            buf_free(&found);
            return store_fail(e, STORE_CORRUPTION, 0, "%s: index: message records are damaged", m->box.name.text);
        }
        for (uint32_t i = 0; i < m->infos[c].count; i++) {
            const bool news = r[i].modseq > m->modseq && r[i].modseq <= highest && !mailbox_is_own_change(m, r[i].modseq);
            const uint32_t seq = news && r[i].uid < below_uid ? mailbox_seq(m, r[i].uid) : 0;
            if (seq != 0)
                buf_add(&found, &seq, sizeof seq);
        }
    }
    for (size_t at = 0; at < found.len; at += sizeof(uint32_t)) {
        uint32_t seq;
        memcpy(&seq, found.data + at, sizeof seq);
        if (l != NULL && l->flags != NULL)
            l->flags(l->ctx, seq);
    }
    buf_free(&found);
    return 0;
}

static int tell(struct mailbox *m, bool expunges, const struct mailbox_listener *l, struct store_error *e)
{
    const uint32_t old_uidnext = m->uidnext;
    const uint64_t highest = m->rec.highestmodseq;
    bool changed = false;
    if (m->rec.expunge_modseq > m->expunge_modseq && !m->pending_expunges) {
        m->pending_expunges = true;
        m->pending_since = m->modseq < m->rec.expunge_modseq ? m->modseq : m->rec.expunge_modseq - 1;
    }
    m->expunge_modseq = m->rec.expunge_modseq;
    if (m->pending_expunges && expunges) {
        if (tell_expunged(m, l, e) != 0)
            return -1;
        m->pending_expunges = false;
    }
    const uint32_t after = mailbox_exists(m);
    if (m->rec.uidnext > m->uidnext) {
        if (view_add_uids(m, m->uids, m->uidnext, e) != 0)
            return -1;
        m->uidnext = m->rec.uidnext;
        changed = mailbox_exists(m) != after;
    }
    if (changed) {
        /* The view has them: whatever fails now, the client must know, or its numbers are not ours. */
        const int rc = view_claim_recent(m, e);
        if (l != NULL && l->exists != NULL)
            l->exists(l->ctx, mailbox_exists(m), view_recent(m));
        if (rc != 0 || mailbox_snapshot(m, e) != 0)
            return -1;
    }
    if (m->rec.keyword_count > m->keywords_known) {
        if (mailbox_load_keywords(m, &m->txn, e) != 0)
            return -1;
        m->keywords_known = view_keywords(m);
        if (l != NULL && l->keywords != NULL)
            l->keywords(l->ctx);
    }
    if (tell_flags(m, old_uidnext, highest, l, e) != 0)
        return -1;
    m->modseq = highest;
    buf_clear(&m->own);
    return 0;
}

void mailbox_hurry(struct mailbox *m)
{
    m->hurry = true;
}

/* Index and file, or in a hurry the index alone where the file is locked by another. They are compared before a lock is given back:
 * whoever has it need not look for a journal again. */
static int refresh_for_sync(struct mailbox *m, struct box_record *rec, struct store_error *e)
{
    struct timespec now;
    struct store_error own;
    e = e != NULL ? e : &own;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    m->box.hurried = m->hurry && !m->box.store->settings->durable_flags && now.tv_sec < m->looked + HURRY_MOST;
    m->hurry = false;
    const bool fits = mbox_lock_held(m->box.lock) != MBOX_LOCK_NONE && box_fits(&m->box, rec, NULL) == 1;
    mailbox_unlock(m);
    int rc = (!fits && box_refresh(&m->box, rec, e) != 0) || box_settle(&m->box, rec, e) != 0 ? -1 : 0;
    if (rc == 0)
        m->looked = now.tv_sec;
    else if (m->box.hurried && e->code == STORE_INUSE)
        rc = box_record_of(&m->box, rec, e) == 1 ? 0 : -1;
    m->box.hurried = false;
    return rc;
}

int mailbox_sync(struct mailbox *m, bool expunges, const struct mailbox_listener *l, struct store_error *e)
{
    struct box_record rec;
    mailbox_snapshot_end(m);
    if (refresh_for_sync(m, &rec, e) != 0)
        return -1;
    if (rec.id != m->box.id || rec.uidvalidity != m->uidvalidity)
        return store_fail(e, STORE_NONEXISTENT, 0, "%s is another mailbox now", m->box.name.text);
    if (rec.highestmodseq == m->modseq && rec.uidnext == m->uidnext && rec.keyword_count == m->keywords_known
        && !(m->pending_expunges && expunges) && m->own.len == 0)
        return 0;
    if (mailbox_snapshot(m, e) != 0)
        return -1;
    const int rc = tell(m, expunges, l, e);
    mailbox_snapshot_end(m);
    return rc;
}

/* ---- watching ----------------------------------------------------------------------------------------------------- */

int mailbox_watch(struct mailbox *m)
{
    char path[64], file[96];
    const uint32_t events = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;
    struct stat st;
    if (fstat(m->box.fd, &st) != 0)
        return -1;
    if (m->watch >= 0 && m->watch_inode == st.st_ino)
        return m->watch;
    if (m->watch >= 0)                         /* another file is in its place */
        close(m->watch);
    m->watch_inode = st.st_ino;
    m->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (m->watch < 0)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", m->box.fd);
    if (inotify_add_watch(m->watch, path, events) < 0) {
        close(m->watch);
        m->watch = -1;
        return -1;
    }
    if (m->box.store->index_dirfd >= 0) {
        snprintf(file, sizeof file, "/proc/self/fd/%d/data.mdb", m->box.store->index_dirfd);
        inotify_add_watch(m->watch, file, IN_MODIFY);      /* other sessions' flags */
    }
    return m->watch;
}

void mailbox_watch_clear(struct mailbox *m)
{
    char events[4096];
    while (m->watch >= 0 && read(m->watch, events, sizeof events) > 0)
        continue;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static struct message message_of(const struct mailbox *m, const struct message_record *r, uint32_t seq)
{
    return (struct message){ .uid = r->uid, .seq = seq, .flags = r->flags, .recent = mailbox_is_recent(m, r->uid),
        .keywords = r->keywords, .modseq = r->modseq, .size = r->size, .header_size = r->header_size, .date = r->date,
        .save_date = r->save_date, .zone = r->zone, .fingerprint = r->fingerprint };
}

size_t mailbox_messages(struct mailbox *m, uint32_t seq, struct message *out, size_t n)
{
    uint64_t start;
    size_t k = 0;
    const struct message_record *r = mailbox_record(m, mailbox_uid(m, seq), &start, NULL);
    if (r == NULL)
        return 0;
    const struct message_record *const end = m->chunk + m->infos[m->info_at].count;
    for (uint32_t uid = 0, run = 0; r < end && k < n; r++, k++, uid++, run--) {
        if (run == 0) {
            run = uid_map_run(m->uids, seq + (uint32_t)k);
            uid = mailbox_uid(m, seq + (uint32_t)k);
        }
        if (run == 0 || r->uid != uid)
            break;
        out[k] = message_of(m, r, seq + (uint32_t)k);
    }
    return k;
}

/* The block with that message; *last is the last message of the view in it. NULL: it is gone, or damaged. */
static const struct chunk_info *block_of(struct mailbox *m, uint32_t seq, uint32_t *last)
{
    const uint32_t uid = mailbox_uid(m, seq);
    *last = seq;
    if (mailbox_snapshot(m, NULL) != 0)
        return NULL;
    uint32_t low = 0, high = m->rec.chunk_count;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (m->infos[mid].last_uid < uid)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == m->rec.chunk_count || m->infos[low].first_uid > uid)
        return NULL;
    *last = mailbox_seq_from(m, m->infos[low].last_uid + 1) - 1;
    return &m->infos[low];
}

int mailbox_block_flag(struct mailbox *m, uint32_t seq, uint8_t flag, uint32_t *last)
{
    const struct chunk_info *info = flag == FLAG_SEEN || flag == FLAG_DELETED ? block_of(m, seq, last) : NULL;
    if (info == NULL)
        return -1;
    const uint32_t with = flag == FLAG_DELETED ? info->deleted : info->count - info->unseen;
    return with == 0 ? 0 : with == info->count ? 1 : -1;
}

/* The view has all that are in the block and older than what is new to it: as many are all of them. */
bool mailbox_block_whole(struct mailbox *m, uint32_t seq, uint32_t *last)
{
    const struct chunk_info *info = block_of(m, seq, last);
    return info != NULL && info->last_uid < m->uidnext && mailbox_uid(m, seq) == info->first_uid && *last - seq + 1 == info->count;
}

int mailbox_message(struct mailbox *m, uint32_t seq, struct message *out, struct store_error *e)
{
    uint64_t start;
    const uint32_t uid = mailbox_uid(m, seq);
    struct store_error own;
    own.code = STORE_OK;                         /* the text is long, and most often nobody reads it */
    const struct message_record *r = mailbox_record(m, uid, &start, &own);
    if (r == NULL) {
        if (own.code == STORE_OK)
            return store_fail(e, STORE_EXPUNGED, 0, "message %u is gone", seq);
        if (e != NULL)
            *e = own;
        return -1;
    }
    *out = message_of(m, r, seq);
    return 0;
}

void mailbox_unlock(struct mailbox *m)
{
    content_unlocked(m->content);
    box_unlock(&m->box);
}

int mailbox_read_begin(struct mailbox *m, struct store_error *e)
{
    struct box_record rec;
    if (mbox_lock_held(m->box.lock) != MBOX_LOCK_NONE)
        return 0;
    mailbox_snapshot_end(m);
    content_unlocked(m->content);
    return box_lock(&m->box, MBOX_LOCK_SHARED, &rec, e);
}

void mailbox_read_end(struct mailbox *m)
{
    mailbox_snapshot_end(m);
    mailbox_unlock(m);
}

/* The lock, and the record of a message that is still the same. NULL with e. */
static const struct message_record *readable(struct mailbox *m, const struct message *msg, uint64_t *start, struct store_error *e)
{
    struct store_error own = { .code = STORE_OK };
    if (mailbox_read_begin(m, e) != 0)
        return NULL;
    const struct message_record *r = mailbox_record(m, msg->uid, start, &own);
    if (r != NULL && r->fingerprint == msg->fingerprint && r->size == msg->size) {
        content_file(m->content, &m->rec.file);
        return r;
    }
    if (r != NULL || own.code == STORE_OK)
        (void)store_fail(e, STORE_EXPUNGED, 0, "the message is gone");
    else if (e != NULL)
        *e = own;
    return NULL;
}

int mailbox_read(struct mailbox *m, const struct message *msg, uint64_t offset, char *to, size_t n, size_t *got,
                 struct store_error *e)
{
    uint64_t start;
    const struct message_record *r = readable(m, msg, &start, e);
    if (r == NULL)
        return -1;
    return content_read(m->content, m->box.fd, r, start, (m->rec.bits & BOX_MBOXO) != 0, offset, to, n, got, e);
}

int mailbox_read_text(struct mailbox *m, const struct message *msg, struct buf *out, struct store_error *e)
{
    uint64_t start;
    const struct message_record *r = readable(m, msg, &start, e);
    if (r == NULL)
        return -1;
    return content_text(m->content, m->box.fd, r, start, (m->rec.bits & BOX_MBOXO) != 0, out, e);
}

static enum cache_kind kind_of(enum mailbox_note kind)
{
    static const enum cache_kind kinds[] = { CACHE_STRUCTURE, CACHE_PREVIEW, CACHE_IDS, CACHE_FIELDS, CACHE_SORT };
    return kinds[kind];
}

void mailbox_note_get(struct mailbox *m, const struct message *msg, enum mailbox_note kind, struct str *out)
{
    *out = (struct str){ NULL, 0 };
    if (mailbox_snapshot(m, NULL) == 0)
        index_get_cache(&m->txn, m->box.id, msg->uid, kind_of(kind), out);
}

void mailbox_cache_get(struct mailbox *m, const struct message *msg, struct str *out)
{
    mailbox_note_get(m, msg, NOTE_STRUCTURE, out);
}

void mailbox_cache_put(struct mailbox *m, const struct message *msg, struct str blob)
{
    mailbox_note_put(m, msg, NOTE_STRUCTURE, blob);
}

void mailbox_note_put(struct mailbox *m, const struct message *msg, enum mailbox_note kind, struct str blob)
{
    const uint32_t head[3] = { msg->uid, (uint32_t)blob.n, kind_of(kind) };
    if (blob.n > 1 << 20)
        return;
    if (!box_same_file(&m->cache_file, &m->rec.file)) {
        mailbox_cache_flush(m);
        m->cache_file = m->rec.file;
    }
    buf_add(&m->cache_pending, head, sizeof head);
    buf_add(&m->cache_pending, blob.p, blob.n);
    if (m->cache_pending.len > 4 << 20)
        mailbox_cache_flush(m);
}

/* Puts the pending notes of a kind; 0, or -1 with nothing said. One kind after the other, so that what a search reads of one lies together on disk. */
static int put_notes(const struct mailbox *m, struct index_txn *t, enum cache_kind kind)
{
    uint32_t head[3];
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < m->cache_pending.len; at += sizeof head + head[1]) {
        memcpy(head, m->cache_pending.data + at, sizeof head);
        if (head[2] == kind)
            rc = index_put_cache(t, m->box.id, head[0], kind, (struct str){ m->cache_pending.data + at + sizeof head, head[1] }, NULL);
    }
    return rc;
}

void mailbox_cache_flush(struct mailbox *m)
{
    struct index_txn t;
    struct box_record rec;
    if (m->cache_pending.len == 0)
        return;
    mailbox_snapshot_end(m);
    if (index_begin(m->box.store->index, true, &t, NULL) == 0) {
        int rc = index_get_box(&t, m->box.id, &rec, NULL) == 1 && box_same_file(&rec.file, &m->cache_file) ? 0 : -1;
        for (int kind = 0; rc == 0 && kind < CACHE_KINDS; kind++)
            rc = put_notes(m, &t, (enum cache_kind)kind);
        if (rc == 0)
            index_commit(&t, NULL);
        else
            index_abort(&t);
    }
    buf_clear(&m->cache_pending);
}
