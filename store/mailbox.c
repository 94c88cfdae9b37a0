/*
 * The view that a session has of a mailbox: opening it, and its sequence numbers. What it is told of changes, and reading
 * through it, are in view.c.
 *
 * The view holds the UIDs alone; all else is looked up in a snapshot of the index that is kept for one step of work and
 * dropped before the session waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mailbox_private.h"

/* ---- snapshot ----------------------------------------------------------------------------------------------------- */

/* The directory of the snapshot's chunks; the one that is there, and the chunk with it, if nothing was changed in the index since.
 * 0, or -1: damaged. */
static int load_infos(struct mailbox *m)
{
    const struct index_moment now = index_moment(&m->txn);
    if (m->infos != NULL && now.txn == m->moment.txn && now.opening == m->moment.opening)
        return 0;
    m->info_at = UINT32_MAX;
    const struct chunk_info *infos = index_chunks(&m->txn, &m->rec);
    free(m->infos);
    m->infos = NULL;
    if (infos == NULL)
        return m->rec.chunk_count > 0 ? -1 : 0;
    m->infos = memcpy(xreallocarray(NULL, m->rec.chunk_count, sizeof *infos), infos, m->rec.chunk_count * sizeof *infos);
    m->moment = now;
    return 0;
}

int mailbox_snapshot(struct mailbox *m, struct store_error *e)
{
    if (m->snapshot)
        return 0;
    if (index_begin(m->box.store->index, false, &m->txn, e) != 0)
        return -1;
    const int rc = index_get_box(&m->txn, m->box.id, &m->rec, e);
    if (rc <= 0) {
        index_abort(&m->txn);
        return rc < 0 ? -1 : store_fail(e, STORE_NONEXISTENT, 0, "%s is not in the index any more", m->box.name.text);
    }
    if (load_infos(m) != 0) {
        index_abort(&m->txn);
        return store_fail(e, STORE_CORRUPTION, 0, "%s: index: chunk directory is damaged", m->box.name.text);
    }
    m->snapshot = true;
    /* What the flags of this snapshot need. That there are new ones is told later, by mailbox_sync. */
    if (m->rec.keyword_count > view_keywords(m) && mailbox_load_keywords(m, &m->txn, e) != 0) {
        mailbox_snapshot_end(m);
        return -1;
    }
    return 0;
}

void mailbox_snapshot_end(struct mailbox *m)
{
    if (m->snapshot)
        index_abort(&m->txn);
    m->snapshot = false;
}

/* Brings the chunk that may hold uid into m->chunk. 1 there, 0 no such chunk, -1. */
static int load_chunk(struct mailbox *m, uint32_t uid, struct store_error *e)
{
    if (m->info_at < m->rec.chunk_count && m->infos[m->info_at].first_uid <= uid && uid <= m->infos[m->info_at].last_uid)
        return 1;
    uint32_t low = 0, high = m->rec.chunk_count;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (m->infos[mid].last_uid < uid)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == m->rec.chunk_count || m->infos[low].first_uid > uid)
        return 0;
    const struct message_record *r = index_chunk(&m->txn, m->box.id, &m->infos[low]);
    if (r == NULL)
        return store_fail(e, STORE_CORRUPTION, 0, "%s: index: message records are damaged", m->box.name.text);
    memcpy(m->chunk, r, m->infos[low].count * sizeof *r);
    m->info_at = low;
    m->record_at = 0;
    return 1;
}

const struct message_record *mailbox_record(struct mailbox *m, uint32_t uid, uint64_t *start, struct store_error *e)
{
    if (mailbox_snapshot(m, e) != 0 || load_chunk(m, uid, e) <= 0)
        return NULL;
    const struct chunk_info *info = &m->infos[m->info_at];
    if (m->record_at + 1 < info->count && m->chunk[m->record_at + 1].uid == uid) {
        m->record_at++;                       /* the next one: the usual case */
    } else if (m->chunk[m->record_at].uid != uid) {
        uint32_t low = 0, high = info->count;
        while (low < high) {
            const uint32_t mid = low + (high - low) / 2;
            if (m->chunk[mid].uid < uid)
                low = mid + 1;
            else
                high = mid;
        }
        if (low == info->count || m->chunk[low].uid != uid)
            return NULL;
        m->record_at = low;
    }
    *start = info->base + m->chunk[m->record_at].offset;
    return &m->chunk[m->record_at];
}

/* ---- the view ----------------------------------------------------------------------------------------------------- */

uint32_t mailbox_exists(const struct mailbox *m)
{
    return uid_map_count(m->uids);
}

uint32_t mailbox_uid(const struct mailbox *m, uint32_t seq)
{
    return uid_map_uid(m->uids, seq);
}

uint32_t mailbox_seq_from(const struct mailbox *m, uint32_t uid)
{
    return uid_map_seq_from(m->uids, uid);
}

uint32_t mailbox_seq(const struct mailbox *m, uint32_t uid)
{
    const uint32_t seq = uid_map_seq_from(m->uids, uid);
    return uid != 0 && uid_map_uid(m->uids, seq) == uid ? seq : 0;
}

bool mailbox_readonly(const struct mailbox *m)
{
    return m->readonly;
}

const char *mailbox_name_of(const struct mailbox *m)
{
    return m->box.name.text;
}

bool mailbox_is_recent(const struct mailbox *m, uint32_t uid)
{
    const struct uid_range *r = (const struct uid_range *)(const void *)m->recent.data;
    for (size_t i = 0; i < m->recent.len / sizeof *r; i++)
        if (uid >= r[i].first && uid <= r[i].last)
            return true;
    return false;
}

uint32_t view_recent(const struct mailbox *m)
{
    const struct uid_range *r = (const struct uid_range *)(const void *)m->recent.data;
    uint32_t n = 0;
    for (size_t i = 0; i < m->recent.len / sizeof *r; i++)
        n += mailbox_seq_from(m, r[i].last + 1) - mailbox_seq_from(m, r[i].first);
    return n;
}

int view_add_uids(struct mailbox *m, struct uid_map *to, uint32_t from, struct store_error *e)
{
    const uint32_t had = uid_map_count(to);
    for (uint32_t c = 0; c < m->rec.chunk_count; c++) {
        const struct chunk_info *info = &m->infos[c];
        if (info->last_uid < from)
            continue;
        if (info->last_uid - info->first_uid == info->count - 1) {       /* no gaps: the records need not be read */
            const uint32_t first = info->first_uid < from ? from : info->first_uid;
            uid_map_add(to, first, info->last_uid - first + 1);
            continue;
        }
        const struct message_record *r = index_chunk(&m->txn, m->box.id, info);
        if (r == NULL) {
            uid_map_cut(to, had);
            return store_fail(e, STORE_CORRUPTION, 0, "%s: index: message records are damaged", m->box.name.text);
        }
        for (uint32_t i = 0; i < info->count; i++)
            if (r[i].uid >= from)
                uid_map_add(to, r[i].uid, 1);
    }
    return 0;
}

/* The user looks at new mail: atime moves past mtime, by a read that counts, so that shells and mail readers stop announcing
 * it. (utimensat would change ctime, by which the index knows the file.) */
static void note_read(const struct box *b)
{
    char octet;
    const int flags = fcntl(b->fd, F_GETFL);
    if (flags < 0 || fcntl(b->fd, F_SETFL, flags & ~O_NOATIME) != 0)
        return;
    if (pread(b->fd, &octet, 1, 0) < 0)
        errno = 0;
    fcntl(b->fd, F_SETFL, flags);
}

int view_claim_recent(struct mailbox *m, struct store_error *e)
{
    struct index_txn t;
    struct box_record rec;
    if (m->rec.recent_uid >= m->rec.uidnext)
        return 0;
    struct uid_range range = { m->rec.recent_uid > 0 ? m->rec.recent_uid : 1, m->rec.uidnext - 1 };
    if (!m->readonly) {
        note_read(&m->box);
        mailbox_snapshot_end(m);
        if (index_begin(m->box.store->index, true, &t, e) != 0)
            return -1;
        if (index_get_box(&t, m->box.id, &rec, e) <= 0) {
            index_abort(&t);
            return -1;
        }
        range.first = rec.recent_uid > range.first ? rec.recent_uid : range.first;
        rec.recent_uid = rec.recent_uid > range.last ? rec.recent_uid : range.last + 1;
        if (index_put_box(&t, &rec, e) != 0) {
            index_abort(&t);
            return -1;
        }
        if (index_commit(&t, e) != 0)
            return -1;
    }
    const struct uid_range *have = (const struct uid_range *)(const void *)m->recent.data;
    const size_t n = m->recent.len / sizeof range;
    if (n > 0 && range.first <= have[n - 1].last)
        range.first = have[n - 1].last + 1;
    if (range.first <= range.last)
        buf_add(&m->recent, &range, sizeof range);
    return 0;
}

int mailbox_load_keywords(struct mailbox *m, struct index_txn *t, struct store_error *e)
{
    return index_get_keywords(t, m->box.id, &m->keyword_names, e);
}

unsigned view_keywords(const struct mailbox *m)
{
    unsigned n = 0;
    for (size_t i = 0; i < m->keyword_names.len; i++)
        n += m->keyword_names.data[i] == 0;
    return n;
}

const char *mailbox_keyword(const struct mailbox *m, unsigned bit)
{
    const char *p = m->keyword_names.data;
    for (; p != NULL && p < m->keyword_names.data + m->keyword_names.len; p += strlen(p) + 1)
        if (bit-- == 0)
            return p;
    return NULL;
}

bool mailbox_keywords_full(const struct mailbox *m)
{
    return view_keywords(m) >= STORE_KEYWORDS;
}

static int open_once(struct store *s, const struct mailbox_name *name, bool readonly, struct mailbox **out, struct store_error *e)
{
    struct mailbox *m = xcalloc(1, sizeof *m);
    struct box_record rec;
    m->watch = -1;
    m->info_at = UINT32_MAX;
    m->chunk = xmalloc(INDEX_CHUNK * sizeof *m->chunk);
    m->content = content_new();
    m->uids = uid_map_new();
    if (box_open(&m->box, s, name, readonly, e) != 0) {
        m->box.fd = m->box.dirfd = -1;
        mailbox_close(m);
        return -1;
    }
    m->readonly = readonly || m->box.readonly;
    if (box_refresh(&m->box, &rec, e) != 0 || box_settle(&m->box, &rec, e) != 0 || mailbox_snapshot(m, e) != 0 || mailbox_load_keywords(m, &m->txn, e) != 0
        || view_add_uids(m, m->uids, 1, e) != 0) {
        mailbox_close(m);
        return -1;
    }
    m->uidvalidity = m->rec.uidvalidity;
    m->uidnext = m->rec.uidnext;
    m->modseq = m->rec.highestmodseq;
    m->expunge_modseq = m->rec.expunge_modseq;
    m->keywords_known = view_keywords(m);
    if (view_claim_recent(m, e) != 0) {
        mailbox_close(m);
        return -1;
    }
    *out = m;
    return 0;
}

/* An index that is found damaged is made anew by the next transaction: so once more. */
int mailbox_open(struct store *s, const struct mailbox_name *name, bool readonly, struct mailbox **out, struct store_error *e)
{
    const int rc = open_once(s, name, readonly, out, e);
    return rc != 0 && index_damaged(s->index) ? open_once(s, name, readonly, out, e) : rc;
}

void mailbox_close(struct mailbox *m)
{
    if (m == NULL)
        return;
    mailbox_snapshot_end(m);
    box_close(&m->box);
    if (m->watch >= 0)
        close(m->watch);
    content_free(m->content);
    buf_free(&m->recent);
    buf_free(&m->own);
    buf_free(&m->keyword_names);
    buf_free(&m->cache_pending);
    uid_map_free(m->uids);
    free(m->infos);
    free(m->chunk);
    free(m);
}

static void fill_status(struct mailbox_status *out, const struct box_record *rec)
{
    *out = (struct mailbox_status){
        .exists = rec->exists, .unseen = rec->unseen, .deleted = rec->deleted, .uidvalidity = rec->uidvalidity,
        .uidnext = rec->uidnext, .highestmodseq = rec->highestmodseq, .size = rec->size_sum, .mailbox_id = rec->object_id };
}

/* First message of the view that has not been seen. */
static uint32_t first_unseen(struct mailbox *m)
{
    for (uint32_t c = 0; c < m->rec.chunk_count; c++) {
        if (m->infos[c].unseen == 0)
            continue;
        const struct message_record *r = index_chunk(&m->txn, m->box.id, &m->infos[c]);
        for (uint32_t i = 0; r != NULL && i < m->infos[c].count; i++)
            if (!(r[i].flags & FLAG_SEEN))
                return mailbox_seq(m, r[i].uid);
    }
    return 0;
}

void mailbox_info(struct mailbox *m, struct mailbox_status *out)
{
    if (mailbox_snapshot(m, NULL) != 0) {
        *out = (struct mailbox_status){ .exists = mailbox_exists(m), .uidvalidity = m->uidvalidity, .uidnext = m->uidnext };
        return;
    }
    fill_status(out, &m->rec);
    out->exists = mailbox_exists(m);
    out->uidnext = m->uidnext;
    out->recent = view_recent(m);
    out->first_unseen = first_unseen(m);
}

static int status_once(struct store *s, const struct mailbox_name *name, struct mailbox_status *out, struct store_error *e)
{
    struct box b;
    struct box_record rec;
    struct index_txn t;
    if (box_open(&b, s, name, false, e) != 0)
        return -1;
    int rc = box_refresh(&b, &rec, e);
    if (rc == 0) {
        if (rec.exists == 0)
            box_keep_uidvalidity(&b, &rec);
        fill_status(out, &rec);
        rc = index_begin(s->index, false, &t, e);
    }
    if (rc == 0) {
        const struct chunk_info *infos = rec.recent_uid < rec.uidnext ? index_chunks(&t, &rec) : NULL;
        struct chunk_info *copy = NULL;
        if (infos != NULL)
            copy = memcpy(xreallocarray(NULL, rec.chunk_count, sizeof *copy), infos, rec.chunk_count * sizeof *copy);
        for (uint32_t c = rec.chunk_count; copy != NULL && c-- > 0 && copy[c].last_uid >= rec.recent_uid;) {
            const struct message_record *r = index_chunk(&t, rec.id, &copy[c]);
            for (uint32_t i = 0; r != NULL && i < copy[c].count; i++)
                out->recent += r[i].uid >= rec.recent_uid;
        }
        free(copy);
        index_abort(&t);
    }
    box_close(&b);
    return rc;
}

int mailbox_status(struct store *s, const struct mailbox_name *name, struct mailbox_status *out, struct store_error *e)
{
    const int rc = status_once(s, name, out, e);
    return rc != 0 && index_damaged(s->index) ? status_once(s, name, out, e) : rc;
}

static bool has_deleted(const struct chunk_info *info)
{
    return info->deleted > 0;
}

static int add_deleted(void *ctx, const struct message_record *r)
{
    uint64_t *sum = ctx;
    if (r->flags & FLAG_DELETED)
        *sum += r->raw_size;
    return 0;
}

int mailbox_deleted_storage(struct store *s, const struct mailbox_name *name, uint64_t *octets, struct store_error *e)
{
    struct box b;
    struct box_record rec;
    *octets = 0;
    if (box_open(&b, s, name, false, e) != 0)
        return -1;
    const int rc = box_refresh(&b, &rec, e) == 0 && box_visit(&b, &rec, has_deleted, add_deleted, octets, e) == 0 ? 0 : -1;
    box_close(&b);
    return rc;
}
