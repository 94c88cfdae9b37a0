/*
 * What the index remembers of the past: which UIDs went at which MODSEQ (RFC 7162 section 3.2), and that no two mailboxes have
 * the same MAILBOXID (RFC 8474).
 *
 * Expunged UIDs are in TABLE_EXPUNGED under (box, MODSEQ), as ranges of uint32_t pairs. The oldest are forgotten beyond
 * HISTORY_MOST entries; the box record says from which MODSEQ on nothing is missing.
 */
#include <string.h>

#include "store/index_private.h"

enum { HISTORY_MOST = 20000, HISTORY_DROP = 2000, HISTORY_KEY = 16 };

static void history_key(unsigned char key[HISTORY_KEY], uint64_t id, uint64_t modseq)
{
    index_key(key, id, (uint32_t)(modseq >> 32));
    for (int i = 0; i < 4; i++)
        key[12 + i] = (unsigned char)(modseq >> (24 - 8 * i));
}

static uint64_t history_modseq(const unsigned char *key)
{
    uint64_t modseq = 0;
    for (int i = 8; i < HISTORY_KEY; i++)
        modseq = modseq << 8 | key[i];
    return modseq;
}

int index_put_expunged(struct index_txn *t, uint64_t id, uint64_t modseq, const uint32_t *uids, size_t n, struct store_error *e)
{
    unsigned char key[HISTORY_KEY];
    struct buf ranges = { 0 };
    for (size_t i = 0; i < n;) {
        size_t j = i + 1;
        while (j < n && uids[j] == uids[j - 1] + 1)
            j++;
        const uint32_t range[2] = { uids[i], uids[j - 1] };
        buf_add(&ranges, range, sizeof range);
        i = j;
    }
    history_key(key, id, modseq);
    const int rc = ranges.len == 0 ? 0 : index_put(t, TABLE_EXPUNGED, key, sizeof key, ranges.data, ranges.len, e);
    buf_free(&ranges);
    return rc;
}

/* The next key of the box at or behind the one that k holds; LMDB's code. */
static int next_key(MDB_cursor *c, bool first, uint64_t id, MDB_val *k)
{
    unsigned char prefix[12];
    MDB_val v;
    int rc = mdb_cursor_get(c, k, &v, first ? MDB_SET_RANGE : MDB_NEXT);
    index_key(prefix, id, 0);
    if (rc == 0 && (k->mv_size != HISTORY_KEY || memcmp(k->mv_data, prefix, 8) != 0))
        rc = MDB_NOTFOUND;
    return rc;
}

int index_each_expunged(struct index_txn *t, uint64_t id, uint64_t above, void (*each)(void *ctx, uint32_t first, uint32_t last),
                        void *ctx, struct store_error *e)
{
    unsigned char key[HISTORY_KEY];
    MDB_cursor *c;
    MDB_val k = { sizeof key, key }, v;
    int rc = mdb_cursor_open(t->txn, t->index->tables[TABLE_EXPUNGED], &c);
    if (rc != 0)
        return index_fail(t->index, e, rc, "expunged");
    history_key(key, id, above + 1);
    for (rc = next_key(c, true, id, &k); rc == 0; rc = next_key(c, false, id, &k)) {
        rc = index_get(t, TABLE_EXPUNGED, k.mv_data, k.mv_size, &v);
        if (rc != 0)
            break;
        for (size_t at = 0; at + 8 <= v.mv_size; at += 8) {
            uint32_t range[2];
            memcpy(range, (const char *)v.mv_data + at, sizeof range);
            each(ctx, range[0], range[1]);
        }
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : index_fail(t->index, e, rc, "expunged");
}

int index_trim_expunged(struct index_txn *t, struct box_record *box, struct store_error *e)
{
    unsigned char key[HISTORY_KEY], gone[HISTORY_KEY];
    MDB_cursor *c;
    MDB_val k = { sizeof key, key };
    int rc;
    if (++box->history_count <= HISTORY_MOST)
        return 0;
    for (int i = 0; i < HISTORY_DROP; i++) {
        if ((rc = mdb_cursor_open(t->txn, t->index->tables[TABLE_EXPUNGED], &c)) != 0)
            return index_fail(t->index, e, rc, "expunged");
        k = (MDB_val){ sizeof key, key };
        history_key(key, box->id, 0);
        rc = next_key(c, true, box->id, &k);
        if (rc == 0)
            memcpy(gone, k.mv_data, sizeof gone);
        mdb_cursor_close(c);
        if (rc == MDB_NOTFOUND)
            break;
        if (rc != 0)
            return index_fail(t->index, e, rc, "expunged");
        box->history_modseq = history_modseq(gone);
        if (index_del(t, TABLE_EXPUNGED, gone, sizeof gone, e) != 0)
            return -1;
        box->history_count--;
    }
    return 0;
}

int index_new_object_id(struct index_txn *t, struct box_record *box, struct store_error *e)
{
    MDB_cursor *c;
    MDB_val k, v;
    int rc = mdb_cursor_open(t->txn, t->index->tables[TABLE_BOX], &c);
    if (rc != 0)
        return index_fail(t->index, e, rc, "boxes");
    box->object_id = box->uidvalidity;
    for (rc = mdb_cursor_get(c, &k, &v, MDB_FIRST); rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        struct box_record other;
        if (v.mv_size < sizeof other)
            continue;
        memcpy(&other, v.mv_data, sizeof other);
        if (other.id != box->id && other.object_id == box->uidvalidity)      /* a copy of that file, by cp(1) */
            box->object_id = box->id << 32 | box->uidvalidity;
    }
    mdb_cursor_close(c);
    return rc == MDB_NOTFOUND ? 0 : index_fail(t->index, e, rc, "boxes");
}
