/*
 * The index on LMDB: environment, transactions, and the small tables (names, boxes, keywords, cache, expunged UIDs).
 * Chunks of message records are in index_chunk.c.
 *
 * Commits sync the data pages but not the meta page (MDB_NOMETASYNC): after a power cut the last transaction may be
 * undone, never half done. What must not be undone is in the mbox, written and synced first.
 */
#include "store/index.h"

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

enum { INDEX_READERS = 1024 };
#define INDEX_MAP ((size_t)1 << 34)

static const char *const table_names[TABLE_COUNT] = { "names", "box", "keywords", "chunks", "chunk", "cache", "expunged" };
static const char version_key[] = "version";
static const char box_key[] = "last-box";
static const char validity_key[] = "last-uidvalidity";

int index_fail(struct store_error *e, int rc, const char *what)
{
    const int err = rc > 0 ? rc : rc == MDB_MAP_FULL ? ENOSPC : 0;
    return store_fail(e, rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND ? STORE_CORRUPTION : STORE_IO, err,
                      "index: %s: %s", what, mdb_strerror(rc));
}

void index_key(unsigned char key[12], uint64_t id, uint32_t low)
{
    for (int i = 0; i < 8; i++)
        key[i] = (unsigned char)(id >> (56 - 8 * i));
    for (int i = 0; i < 4; i++)
        key[8 + i] = (unsigned char)(low >> (24 - 8 * i));
}

int index_get(struct index_txn *t, enum table table, const void *key, size_t n, MDB_val *out)
{
    MDB_val k = { n, (void *)(uintptr_t)key };
    return mdb_get(t->txn, t->index->tables[table], &k, out);
}

int index_put(struct index_txn *t, enum table table, const void *key, size_t n, const void *value, size_t size,
              struct store_error *e)
{
    MDB_val k = { n, (void *)(uintptr_t)key }, v = { size, (void *)(uintptr_t)value };
    const int rc = mdb_put(t->txn, t->index->tables[table], &k, &v, 0);
    return rc == 0 ? 0 : index_fail(e, rc, table_names[table]);
}

int index_del(struct index_txn *t, enum table table, const void *key, size_t n, struct store_error *e)
{
    MDB_val k = { n, (void *)(uintptr_t)key };
    const int rc = mdb_del(t->txn, t->index->tables[table], &k, NULL);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : index_fail(e, rc, table_names[table]);
}

/* Opens the tables and checks the version; a fresh environment gets its version. MDB_VERSION_MISMATCH if it is another. */
static int open_tables(struct index *x)
{
    static const uint32_t version[2] = { INDEX_VERSION, sizeof(struct message_record) };
    MDB_txn *txn;
    MDB_val k = { sizeof version_key, (void *)(uintptr_t)version_key }, v;
    int rc = mdb_txn_begin(x->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    for (int i = 0; rc == 0 && i < TABLE_COUNT; i++)
        rc = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &x->tables[i]);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, &x->main);
    if (rc == 0) {
        rc = mdb_get(txn, x->main, &k, &v);
        if (rc == MDB_NOTFOUND) {
            v = (MDB_val){ sizeof version, (void *)(uintptr_t)version };
            rc = mdb_put(txn, x->main, &k, &v, 0);
        } else if (rc == 0 && (v.mv_size != sizeof version || memcmp(v.mv_data, version, sizeof version) != 0)) {
            rc = MDB_VERSION_MISMATCH;
        }
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

/* The tables of an environment that is as it should be are opened without a writing transaction: the usual case. */
static int open_tables_quickly(struct index *x)
{
    static const uint32_t version[2] = { INDEX_VERSION, sizeof(struct message_record) };
    MDB_txn *txn;
    MDB_val k = { sizeof version_key, (void *)(uintptr_t)version_key }, v;
    int rc = mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    for (int i = 0; rc == 0 && i < TABLE_COUNT; i++)
        rc = mdb_dbi_open(txn, table_names[i], 0, &x->tables[i]);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, &x->main);
    if (rc == 0)
        rc = mdb_get(txn, x->main, &k, &v);
    if (rc == 0 && (v.mv_size != sizeof version || memcmp(v.mv_data, version, sizeof version) != 0))
        rc = MDB_VERSION_MISMATCH;
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

/* Room on disk for n octets from `at` on, whatever the size. 0 or errno; a file system that cannot say is taken to have it. */
static int reserve(int fd, off_t at, off_t n)
{
    int rc;
    do
        rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, at, n);
    while (rc != 0 && errno == EINTR);
    return rc == 0 || errno == EOPNOTSUPP ? 0 : errno;
}

/* The lock file is written through a map, where a full disk would be a signal: so its room is had first. */
static int reserve_lock(const char *dir)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/lock.mdb", dir);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    const int rc = fstat(fd, &st) != 0 ? errno : st.st_blocks * 512 >= LOCK_ROOM ? 0 : reserve(fd, 0, LOCK_ROOM);
    close(fd);               /* before LMDB locks it: closing would drop its locks */
    return rc;
}

/* Some pages behind the end are kept on disk, so that flags can be changed and messages expunged when it is full. ENOSPC or
 * EDQUOT: they cannot be had. */
static int keep_reserve(struct index *x)
{
    MDB_envinfo info;
    mdb_filehandle_t fd;
    struct stat st;
    if (x->dir == NULL || x->memory >= 0 || mdb_env_info(x->env, &info) != 0)
        return 0;
    const off_t used = (off_t)(info.me_last_pgno + 1) * 4096;
    if (x->reserved >= used + RESERVE / 2 || mdb_env_get_fd(x->env, &fd) != 0 || fstat(fd, &st) != 0)
        return 0;
    x->reserved = used + RESERVE;
    const int rc = st.st_blocks * 512 >= used + RESERVE / 2 ? 0 : reserve(fd, used, RESERVE);
    return rc == ENOSPC || rc == EDQUOT ? rc : 0;
}

static int open_environment(struct index *x, const char *path, unsigned flags)
{
    int dead;
    int rc = mdb_env_create(&x->env);
    if (rc != 0)
        return rc;
    mdb_env_set_maxdbs(x->env, TABLE_COUNT);
    mdb_env_set_maxreaders(x->env, INDEX_READERS);
    mdb_env_set_mapsize(x->env, INDEX_MAP);
    rc = mdb_env_open(x->env, path, flags | MDB_NOMETASYNC | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (rc == 0 && x->memory < 0)
        rc = mdb_reader_check(x->env, &dead);        /* those of killed sessions would keep old pages for ever */
    if (rc == 0)
        rc = open_tables_quickly(x);
    if (rc == MDB_NOTFOUND)
        rc = open_tables(x);
    if (rc != 0) {
        mdb_env_close(x->env);
        x->env = NULL;
    }
    return rc;
}

static int open_memory(struct index *x)
{
    char path[64];
    x->memory = memfd_create("imapd-index", MFD_CLOEXEC);
    if (x->memory < 0)
        return errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", x->memory);
    return open_environment(x, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC);
}

/* Goes on with a copy in memory: the disk has no room for what a session has to note. What it notes is lost with it, but for
 * what the mailboxes say. */
static int move_to_memory(struct index *x)
{
    char path[64];
    const int fd = memfd_create("imapd-index", MFD_CLOEXEC);
    int rc = fd < 0 ? errno : mdb_env_copyfd(x->env, fd);
    if (rc != 0) {
        if (fd >= 0)
            close(fd);
        return rc;
    }
    mdb_env_close(x->env);
    x->env = NULL;
    x->memory = fd;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open_environment(x, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC);
}

bool index_in_memory(const struct index *x)
{
    return x->memory >= 0;
}

static bool damaged(int rc)
{
    return rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND
        || rc == MDB_INCOMPATIBLE || rc == MDB_PANIC;
}

int index_open(struct index **out, const char *dir, struct store_error *e)
{
    struct index *x = xcalloc(1, sizeof *x);
    x->memory = -1;
    int rc;
    if (dir == NULL) {
        rc = open_memory(x);
    } else {
        x->dir = xstrdup(dir);
        rc = reserve_lock(dir);
        if (rc == 0)
            rc = open_environment(x, dir, 0);
        if (damaged(rc)) {
            char path[4096];
            snprintf(path, sizeof path, "%s/data.mdb", dir);
            unlink(path);
            snprintf(path, sizeof path, "%s/lock.mdb", dir);
            unlink(path);
            rc = open_environment(x, dir, 0);
        }
    }
    if (rc == 0 && keep_reserve(x) != 0)
        rc = move_to_memory(x);
    if (rc != 0) {
        index_close(x);
        return index_fail(e, rc, dir != NULL ? dir : "memory");
    }
    *out = x;
    return 0;
}

/* LMDB gives an environment up for good when a page of its own could not be written. */
static int reopen(struct index *x)
{
    if (x->live > 0 || x->memory >= 0)
        return MDB_PANIC;
    if (x->idle != NULL)
        mdb_txn_abort(x->idle);
    x->idle = NULL;
    mdb_env_close(x->env);
    x->env = NULL;
    x->map = NULL;
    return open_environment(x, x->dir, 0);
}

void index_close(struct index *x)
{
    if (x == NULL)
        return;
    if (x->idle != NULL)
        mdb_txn_abort(x->idle);
    if (x->env != NULL)
        mdb_env_close(x->env);
    if (x->memory >= 0)
        close(x->memory);
    free(x->dir);
    free(x->chunks_copy);
    free(x->chunk_copy);
    free(x);
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
    int rc = begin(x, write, t);
    if ((rc == MDB_PANIC && reopen(x) == 0) || (rc == MDB_READERS_FULL && mdb_reader_check(x->env, &dead) == 0))
        rc = begin(x, write, t);
    if (rc != 0) {
        t->txn = NULL;
        return index_fail(e, rc, "begin");
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
    keep_reserve(t->index);
    return rc == 0 ? 0 : index_fail(e, rc, "commit");
}

void index_abort(struct index_txn *t)
{
    if (t->txn == NULL)
        return;
    t->index->live--;
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
    return rc == 0 ? 0 : index_fail(e, rc, "counter");
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
        return index_fail(e, rc, "names");
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
        return index_fail(e, rc, "names");
    k = (MDB_val){ n, (void *)(uintptr_t)from };
    for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
        const char *name = k.mv_data;
        if (k.mv_size < n || memcmp(name, from, n) != 0)
            break;
        if (v.mv_size != sizeof(uint64_t) || (k.mv_size > n && name[n] != '/'))
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
        return index_fail(e, rc, table_names[table]);
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
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : index_fail(e, rc, table_names[table]);
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
        return index_fail(e, rc, "box");
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
    buf_clear(out);
    const int rc = index_get(t, TABLE_KEYWORDS, key, 8, &v);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return index_fail(e, rc, "keywords");
    if (rc == 0 && v.mv_size > 0 && ((const char *)v.mv_data)[v.mv_size - 1] == 0)
        buf_add(out, v.mv_data, v.mv_size);
    return 0;
}

int index_put_keywords(struct index_txn *t, uint64_t id, struct str names, struct store_error *e)
{
    unsigned char key[12];
    index_key(key, id, 0);
    return index_put(t, TABLE_KEYWORDS, key, 8, names.p, names.n, e);
}

void index_get_cache(struct index_txn *t, uint64_t id, uint32_t uid, struct str *out)
{
    unsigned char key[12];
    MDB_val v;
    index_key(key, id, uid);
    *out = (struct str){ NULL, 0 };
    if (index_get(t, TABLE_CACHE, key, sizeof key, &v) == 0)
        *out = (struct str){ v.mv_data, v.mv_size };
}

int index_put_cache(struct index_txn *t, uint64_t id, uint32_t uid, struct str blob, struct store_error *e)
{
    unsigned char key[12];
    index_key(key, id, uid);
    return index_put(t, TABLE_CACHE, key, sizeof key, blob.p, blob.n, e);
}

int index_delete_cache(struct index_txn *t, uint64_t id, uint32_t uid, struct store_error *e)
{
    unsigned char key[12];
    index_key(key, id, uid);
    return index_del(t, TABLE_CACHE, key, sizeof key, e);
}

int index_put_expunged(struct index_txn *t, uint64_t id, uint64_t modseq, const uint32_t *uids, size_t n, struct store_error *e)
{
    unsigned char key[16];
    struct buf ranges = { 0 };
    for (size_t i = 0; i < n;) {
        size_t j = i + 1;
        while (j < n && uids[j] == uids[j - 1] + 1)
            j++;
        const uint32_t range[2] = { uids[i], uids[j - 1] };
        buf_add(&ranges, range, sizeof range);
        i = j;
    }
    index_key(key, id, (uint32_t)(modseq >> 32));
    for (int i = 0; i < 4; i++)
        key[12 + i] = (unsigned char)(modseq >> (24 - 8 * i));
    const int rc = ranges.len == 0 ? 0 : index_put(t, TABLE_EXPUNGED, key, sizeof key, ranges.data, ranges.len, e);
    buf_free(&ranges);
    return rc;
}
