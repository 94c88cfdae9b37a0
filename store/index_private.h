#ifndef STORE_INDEX_PRIVATE_H
#define STORE_INDEX_PRIVATE_H
#include "store/index.h"

/* What index.c, index_chunk.c, index_env.c and index_pages.c share. */
enum { INDEX_VERSION = 4, RESERVE = 1 << 20, LOCK_ROOM = 80 << 10, WINDOW = 1 << 18 };      /* octets */
enum table { TABLE_NAMES, TABLE_BOX, TABLE_KEYWORDS, TABLE_CHUNKS, TABLE_CHUNK, TABLE_CACHE, TABLE_EXPUNGED, TABLE_PREVIEW, TABLE_IDS,
             TABLE_FIELDS, TABLE_SORT, TABLE_COUNT };
enum { WINDOWS = 112 };                   /* 28 MiB */
#define INDEX_MAP ((size_t)1 << (sizeof(size_t) > 4 ? 34 : 30))
enum { INDEX_CHECKED = 1024 };       /* enough for the chunks of 200,000 messages */
struct index {
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT], main;
    MDB_txn *idle;          /* a reading transaction that was reset, kept for the next */
    char *dir;              /* NULL: in memory */
    int memory;             /* memfd, or -1 */
    unsigned live;          /* transactions that go on */
    bool damaged;           /* LMDB said so: to be set aside */
    off_t least;            /* octets that the file had: it never gets shorter */
    void (*warning)(const char *text);      /* may be NULL */
    off_t reserved;         /* up to where room on disk was asked for */
    char *map;              /* where LMDB's map begins, once it was needed */
    uint64_t touched[INDEX_MAP / WINDOW / 64];          /* a bit for each window of the map that was read since its pages were last given back */
    unsigned windows;       /* how many they are */
    unsigned openings;      /* of env */
    struct checked_value { const void *at; size_t n, txn; } *checked;       /* INDEX_CHECKED large values whose sum was right, in that transaction; NULL: none yet */
    struct chunk_info *chunks_copy;         /* LMDB aligns small values to 2 octets only: copies of those */
    struct message_record *chunk_copy;
};
extern const char *const index_table_names[TABLE_COUNT];
/* Is LMDB's code one that says so? */
bool index_is_damage(int rc);
int index_keep_reserve(struct index *x);
/* Has the file been deleted, cut or found damaged? Said once. */
bool index_lost(struct index *x);
/* Opens it anew, if no transaction goes on. LMDB's code. */
int index_reopen(struct index *x);
/* Where the map begins; NULL if that cannot be found out. */
char *index_map(struct index *x);
/* What lies at `at` in the map was read: its pages count as memory of the process until they are given back, which is done when they lie in
 * too many windows. They stay in the page cache, and pointers into the map stay valid. */
void index_touched(struct index *x, const void *at);
/* Says why, and notes that the index (or NULL) is damaged, if that is why: it is made anew with the next transaction. -1. */
int index_fail(struct index *x, struct store_error *e, int rc, const char *what);
/* key: box id and a 32-bit number, big-endian so that LMDB keeps them in order; 8 octets of it are the box id alone. */
void index_key(unsigned char key[12], uint64_t id, uint32_t low);
int index_get(struct index_txn *t, enum table table, const void *key, size_t n, MDB_val *out);   /* LMDB's code */
int index_put(struct index_txn *t, enum table table, const void *key, size_t n, const void *value, size_t size,
              struct store_error *e);
int index_del(struct index_txn *t, enum table table, const void *key, size_t n, struct store_error *e);
#endif
