/*
 * The index on LMDB: transactions, and the small tables (names, boxes, keywords, cache, expunged UIDs). The environment is in
 * index_env.c, chunks of message records are in index_chunk.c.
 *
 * Commits sync the data pages but not the meta page (MDB_NOMETASYNC): after a power cut the last transaction may be
 * undone, never half done. What must not be undone is in the mbox, written and synced first.
 */
#include "store/index.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/index_private.h"

static const char box_key[] = "last-box";
static const char validity_key[] = "last-uidvalidity";

static void note_damage(struct index *x, int rc)
{
    if (x != NULL && index_is_damage(rc))
        x->damaged = true;
}

int index_fail(struct index *x, struct store_error *e, int rc, const char *what)
{
    note_damage(x, rc);
    const int err = rc > 0 ? rc : rc == MDB_MAP_FULL ? ENOSPC : 0;
    return store_fail(e, rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND ? STORE_CORRUPTION : STORE_IO, err,
                      "index: %s: %s", what, mdb_strerror(rc));
}

void index_key(unsigned char key[12], uint64_t id, uint32_t low)
{
    const uint64_t high_first = htobe64(id);
    const uint32_t low_first = htobe32(low);
    memcpy(key, &high_first, sizeof high_first);
    memcpy(key + sizeof high_first, &low_first, sizeof low_first);
}

/* The next octets, at most 8, as a number; of fewer the rest is 0. */
static uint64_t word(const char *p, size_t n)
{
    uint64_t w = 0;
    uint32_t half;
    if (n >= sizeof w) {
        memcpy(&w, p, sizeof w);
    } else if (n == sizeof half) {       /* the end of a key */
        memcpy(&half, p, sizeof half);
        memcpy(&w, &half, sizeof half);
    } else if (n > 0) {
        memcpy(&w, p, n);
    }
    return w;
}

/* Every value ends with a sum of itself and its key: LMDB has none, and octets that change by themselves must not become
 * somebody's flags. Four lanes, each a variable of its own, since it is on the way of every record that is read. */
static uint64_t sum_of(const MDB_val *k, const void *value, size_t n)
{
    enum { LANES = 4, STEP = LANES * sizeof(uint64_t) };
    const uint64_t m = 0x9e3779b97f4a7c15u;
    uint64_t h0 = n, h1 = k->mv_size, h2 = 1, h3 = 2, tail[LANES] = { 0 };
    const char *p = value, *key = k->mv_data;
    size_t left = n;
    for (; left >= STEP; left -= STEP, p += STEP) {
        h0 = (h0 ^ word(p, 8)) * m;
        h1 = (h1 ^ word(p + 8, 8)) * m;
        h2 = (h2 ^ word(p + 16, 8)) * m;
        h3 = (h3 ^ word(p + 24, 8)) * m;
    }
    if (left > 0)
        memcpy(tail, p, left);
    h0 = (h0 ^ tail[0]) * m;
    h1 = (h1 ^ tail[1]) * m;
    h2 = (h2 ^ tail[2]) * m;
    h3 = (h3 ^ tail[3]) * m;
    for (size_t i = 0; i < k->mv_size; i += 8)
        h1 = (h1 ^ word(key + i, k->mv_size - i)) * m;
    h0 ^= h0 >> 29;
    return (((h0 ^ h1) * m ^ h2 >> 31 ^ h2) * m ^ h3 ^ h3 >> 33) * m;
}

struct index_moment index_moment(const struct index_txn *t)
{
    return (struct index_moment){ mdb_txn_id(t->txn), t->index->openings };
}

/* Where it is noted that the sum of this value was found right when another transaction read the same state: the next command of a session
 * reads what the last one did. NULL: nowhere. It is a small one, or what a writing transaction sees, which may change. */
static struct checked_value *note_of(const struct index_txn *t, const MDB_val *v)
{
    enum { LARGE = 1024 };
    if (v->mv_size < LARGE || t->write)
        return NULL;
    if (t->index->checked == NULL)
        t->index->checked = xcalloc(INDEX_CHECKED, sizeof *t->index->checked);
    return &t->index->checked[((uintptr_t)v->mv_data >> 12) % INDEX_CHECKED];
}

static bool right(const struct index_txn *t, const MDB_val *k, const MDB_val *v, uint64_t sum)
{
    struct checked_value *const note = note_of(t, v);
    if (note == NULL)
        return sum == sum_of(k, v->mv_data, v->mv_size);
    const struct checked_value now = { v->mv_data, v->mv_size, mdb_txn_id(t->txn) };
    if (note->at == now.at && note->n == now.n && note->txn == now.txn)
        return true;
    if (sum != sum_of(k, v->mv_data, v->mv_size))
        return false;
    *note = now;
    return true;
}

/* What a look-up gave, if its sum is right. */
static int index_checked(struct index_txn *t, const MDB_val *k, int rc, MDB_val *out)
{
    uint64_t sum;
    if (rc == 0 && out->mv_size < sizeof sum)
        rc = MDB_CORRUPTED;
    if (rc == 0) {
        out->mv_size -= sizeof sum;
        memcpy(&sum, (const char *)out->mv_data + out->mv_size, sizeof sum);
        index_touched(t->index, out->mv_data);
        if (!right(t, k, out, sum))
            rc = MDB_CORRUPTED;
    }
    note_damage(t->index, rc);
    return rc;
}

int index_get(struct index_txn *t, enum table table, const void *key, size_t n, MDB_val *out)
{
    MDB_val k = { n, (void *)(uintptr_t)key };
    return index_checked(t, &k, mdb_get(t->txn, t->index->tables[table], &k, out), out);
}

/* last: the key is perhaps behind all others, which LMDB then packs densely; MDB_KEYEXIST: it is not. LMDB's code. */
static int put(struct index_txn *t, enum table table, const MDB_val *k, const void *value, size_t size, bool last)
{
    MDB_val key = *k, v = { size + sizeof(uint64_t), NULL };
    const uint64_t sum = sum_of(k, value, size);
    const int rc = mdb_put(t->txn, t->index->tables[table], &key, &v, MDB_RESERVE | (last ? MDB_APPEND : 0));
    if (rc != 0)
        return rc;
    if (size > 0)
        memcpy(v.mv_data, value, size);
    memcpy((char *)v.mv_data + size, &sum, sizeof sum);
    return 0;
}

int index_put(struct index_txn *t, enum table table, const void *key, size_t n, const void *value, size_t size,
              struct store_error *e)
{
    const MDB_val k = { n, (void *)(uintptr_t)key };
    const int rc = put(t, table, &k, value, size, false);
    if (rc != 0)
        return index_fail(t->index, e, rc, index_table_names[table]);
    return 0;
}

int index_del(struct index_txn *t, enum table table, const void *key, size_t n, struct store_error *e)
{
    MDB_val k = { n, (void *)(uintptr_t)key };
    const int rc = mdb_del(t->txn, t->index->tables[table], &k, NULL);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : index_fail(t->index, e, rc, index_table_names[table]);
}

static int begin(struct index *x, bool write, struct index_txn *t)
{
    if (x->env == NULL)
        return MDB_PANIC;
    if (write || x->idle == NULL)
        return mdb_txn_begin(x->env, NULL, write ? 0 : MDB_RDONLY, &t->txn);
    t->txn = x->idle;
    x->idle = NULL;
    const int rc = mdb_txn_renew(t->txn);
    if (rc != 0)
        mdb_txn_abort(t->txn);
    return rc;
}

int index_begin(struct index *x, bool write, struct index_txn *t, struct store_error *e)
{
    int dead;
    *t = (struct index_txn){ .index = x, .write = write };
    int rc = x->live > 0 || !index_lost(x) ? begin(x, write, t) : MDB_PANIC;
    note_damage(x, rc);
    if (index_is_damage(rc) && x->live == 0 && index_lost(x))
        rc = MDB_PANIC;
    if ((rc == MDB_PANIC && index_reopen(x) == 0) || (rc == MDB_READERS_FULL && mdb_reader_check(x->env, &dead) == 0))
        rc = begin(x, write, t);
    if (rc != 0) {
        t->txn = NULL;
        return index_fail(x, e, rc, "begin");
    }
    x->live++;
    return 0;
}

int index_commit(struct index_txn *t, struct store_error *e)
{
    if (!t->write) {
        index_abort(t);
        return 0;
    }
    const int rc = mdb_txn_commit(t->txn);
    t->txn = NULL;
    t->index->live--;
    index_keep_reserve(t->index);
    return rc == 0 ? 0 : index_fail(t->index, e, rc, "commit");
}

int index_sync(struct index *x, struct store_error *e)
{
    const int rc = x->memory >= 0 || x->env == NULL ? 0 : mdb_env_sync(x->env, 1);
    return rc == 0 ? 0 : index_fail(x, e, rc, "sync");
}

void index_abort(struct index_txn *t)
{
    if (t->txn == NULL)
        return;
    t->index->live--;
    for (size_t i = 0; i < CACHE_KINDS; i++)
        if (t->cursor[i] != NULL)
            mdb_cursor_close(t->cursor[i]);
    if (!t->write && t->index->idle == NULL) {
        mdb_txn_reset(t->txn);
        t->index->idle = t->txn;
    } else {
        mdb_txn_abort(t->txn);
    }
    t->txn = NULL;
}

/* A counter in the main table: raised to at least floor, stored, returned. */
static int count_up(struct index_txn *t, const char *key, size_t n, uint64_t least, uint64_t *out, struct store_error *e)
{
    MDB_val k = { n, (void *)(uintptr_t)key }, v;
    uint64_t value = 0;
    int rc = mdb_get(t->txn, t->index->main, &k, &v);
    if (rc == 0 && v.mv_size == sizeof value)
        memcpy(&value, v.mv_data, sizeof value);
    value = value + 1 > least ? value + 1 : least;
    v = (MDB_val){ sizeof value, &value };
    rc = mdb_put(t->txn, t->index->main, &k, &v, 0);
    *out = value;
    return rc == 0 ? 0 : index_fail(t->index, e, rc, "counter");
}

int index_new_uidvalidity(struct index_txn *t, uint32_t *out, struct store_error *e)
{
    uint64_t value;
    if (count_up(t, validity_key, sizeof validity_key, (uint64_t)time(NULL), &value, e) != 0)
        return -1;
    *out = (uint32_t)value;
    return 0;
}

/* LMDB keys are at most 511 octets: a longer name is cut and its rest stands for itself as a hash. */
static size_t name_key(const char *name, char key[480])
{
    size_t n = strlen(name);
    if (n <= 470) {
        memcpy(key, name, n);
        return n;
    }
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)name[i]) * 1099511628211u;
    memcpy(key, name, 460);
    memcpy(key + 460, &h, sizeof h);
    return 468;
}

int index_find(struct index_txn *t, const char *name, bool create, uint64_t *id, struct store_error *e)
{
    char key[480];
    MDB_val v;
    const size_t n = name_key(name, key);
    const int rc = index_get(t, TABLE_NAMES, key, n, &v);
    *id = 0;
    if (rc == 0 && v.mv_size == sizeof *id)
        memcpy(id, v.mv_data, sizeof *id);
    else if (rc != 0 && rc != MDB_NOTFOUND)
        return index_fail(t->index, e, rc, "names");
    if (*id != 0 || !create)
        return 0;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t clock_id = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    if (count_up(t, box_key, sizeof box_key, clock_id, id, e) != 0)
        return -1;
    return index_put(t, TABLE_NAMES, key, n, id, sizeof *id, e);
}

/* Collects the names equal to `from` or below it, then moves each. */
int index_rename(struct index_txn *t, const char *from, const char *to, struct store_error *e)
{
    MDB_cursor *c;
    MDB_val k = { 0, NULL }, v;
    struct buf found = { 0 };
    const size_t n = strlen(from);
    int rc = mdb_cursor_open(t->txn, t->index->tables[TABLE_NAMES], &c);
    if (rc != 0)
        return index_fail(t->index, e, rc, "names");
    k = (MDB_val){ n, (void *)(uintptr_t)from };
    for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        const char *name = k.mv_data;
        if (k.mv_size < n || memcmp(name, from, n) != 0)
            break;
        if (v.mv_size != 2 * sizeof(uint64_t) || (k.mv_size > n && name[n] != '/'))
            continue;
        buf_add(&found, v.mv_data, sizeof(uint64_t));
        buf_add(&found, name, k.mv_size);
        buf_addc(&found, 0);
    }
    mdb_cursor_close(c);
    rc = 0;
    for (size_t at = 0; rc == 0 && at < found.len;) {
        const char *name = found.data + at + sizeof(uint64_t);
        char old[480], fresh[480], target[2048];
        snprintf(target, sizeof target, "%s%s", to, name + n);
        rc = index_del(t, TABLE_NAMES, old, name_key(name, old), e);
        if (rc == 0)
            rc = index_put(t, TABLE_NAMES, fresh, name_key(target, fresh), found.data + at, sizeof(uint64_t), e);
        at += sizeof(uint64_t) + strlen(name) + 1;
    }
    buf_free(&found);
    return rc;
}

/* Deletes all keys of a table that begin with the box id. */
static int delete_prefix(struct index_txn *t, enum table table, uint64_t id, struct store_error *e)
{
    unsigned char key[12];
    MDB_cursor *c;
    int rc = mdb_cursor_open(t->txn, t->index->tables[table], &c);
    if (rc != 0)
        return index_fail(t->index, e, rc, index_table_names[table]);
    index_key(key, id, 0);
    MDB_val k = { 8, key }, v;
    for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        if (k.mv_size < 8 || memcmp(k.mv_data, key, 8) != 0)
            break;
        rc = mdb_cursor_del(c, 0);
        if (rc != 0)
            break;
    }
    mdb_cursor_close(c);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : index_fail(t->index, e, rc, index_table_names[table]);
}

int index_delete(struct index_txn *t, const char *name, struct store_error *e)
{
    char key[480];
    uint64_t id;
    if (index_find(t, name, false, &id, e) != 0)
        return -1;
    if (id == 0)
        return 0;
    for (int table = TABLE_BOX; table < TABLE_COUNT; table++)
        if (delete_prefix(t, (enum table)table, id, e) != 0)
            return -1;
    return index_del(t, TABLE_NAMES, key, name_key(name, key), e);
}

int index_get_box(struct index_txn *t, uint64_t id, struct box_record *out, struct store_error *e)
{
    unsigned char key[12];
    MDB_val v;
    index_key(key, id, 0);
    const int rc = index_get(t, TABLE_BOX, key, 8, &v);
    if (rc == MDB_NOTFOUND || (rc == 0 && v.mv_size != sizeof *out))
        return 0;
    if (rc != 0)
        return index_fail(t->index, e, rc, "box");
    memcpy(out, v.mv_data, sizeof *out);
    return out->id == id && out->keyword_count <= STORE_KEYWORDS;
}

int index_put_box(struct index_txn *t, const struct box_record *box, struct store_error *e)
{
    unsigned char key[12];
    index_key(key, box->id, 0);
    return index_put(t, TABLE_BOX, key, 8, box, sizeof *box, e);
}

int index_get_keywords(struct index_txn *t, uint64_t id, struct buf *out, struct store_error *e)
{
    unsigned char key[12];
    MDB_val v;
    index_key(key, id, 0);
    struct box_record box;
    uint32_t count = 0;
    buf_clear(out);
    int rc = index_get(t, TABLE_KEYWORDS, key, 8, &v);
    if (rc == 0 && v.mv_size > 0 && ((const char *)v.mv_data)[v.mv_size - 1] == 0)
        buf_add(out, v.mv_data, v.mv_size);
    for (size_t i = 0; i < out->len; i++)
        count += out->data[i] == 0;
    if ((rc == 0 || rc == MDB_NOTFOUND) && index_get_box(t, id, &box, NULL) == 1 && box.keyword_count > count)
        rc = MDB_CORRUPTED;                  /* a page of the table's tree is another one's */
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : index_fail(t->index, e, rc, "keywords");
}

int index_put_keywords(struct index_txn *t, uint64_t id, struct str names, struct store_error *e)
{
    unsigned char key[12];
    index_key(key, id, 0);
    return index_put(t, TABLE_KEYWORDS, key, 8, names.p, names.n, e);
}

static const enum table cache_tables[CACHE_KINDS] = { TABLE_CACHE, TABLE_PREVIEW, TABLE_IDS, TABLE_FIELDS, TABLE_SORT };       /* by enum cache_kind */

/* Most often it is the one behind the last. LMDB's code. */
static int get_next(struct index_txn *t, enum cache_kind kind, const void *key, size_t n, MDB_val *out)
{
    MDB_val k = { n, (void *)(uintptr_t)key }, found;
    MDB_cursor **cursor = &t->cursor[kind];
    int rc = 0;
    if (*cursor == NULL)
        rc = mdb_cursor_open(t->txn, t->index->tables[cache_tables[kind]], cursor);
    else if (mdb_cursor_get(*cursor, &found, out, MDB_NEXT) == 0 && found.mv_size == n && memcmp(found.mv_data, key, n) == 0)
        return index_checked(t, &k, 0, out);
    if (rc == 0)
        rc = mdb_cursor_get(*cursor, &k, out, MDB_SET);
    return index_checked(t, &k, rc, out);
}

void index_get_cache(struct index_txn *t, uint64_t id, uint32_t uid, enum cache_kind kind, struct str *out)
{
    unsigned char key[12];
    MDB_val v;
    index_key(key, id, uid);
    *out = (struct str){ NULL, 0 };
    if ((t->write ? index_get(t, cache_tables[kind], key, sizeof key, &v) : get_next(t, kind, key, sizeof key, &v)) == 0)
        *out = (struct str){ v.mv_data, v.mv_size };
}

int index_put_cache(struct index_txn *t, uint64_t id, uint32_t uid, enum cache_kind kind, struct str blob, struct store_error *e)
{
    unsigned char key[12];
    index_key(key, id, uid);
    if (!t->not_last[kind]) {
        const int rc = put(t, cache_tables[kind], &(MDB_val){ sizeof key, key }, blob.p, blob.n, true);
        if (rc == 0)
            return 0;
        t->not_last[kind] = rc == MDB_KEYEXIST;
    }
    return index_put(t, cache_tables[kind], key, sizeof key, blob.p, blob.n, e);
}

int index_delete_cache(struct index_txn *t, uint64_t id, uint32_t uid, struct store_error *e)
{
    unsigned char key[12];
    int rc = 0;
    index_key(key, id, uid);
    for (size_t i = 0; rc == 0 && i < sizeof cache_tables / sizeof *cache_tables; i++)
        rc = index_del(t, cache_tables[i], key, sizeof key, e);
    return rc;
}
