#ifndef STORE_INDEX_H
#define STORE_INDEX_H
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <lmdb.h>
#include "base/buf.h"
#include "store/store.h"

/* The index: one LMDB environment a user, all mailboxes in it (design section 4). A cache with a memory: what the mbox
 * does not tell quickly. It lies in the user's own hands, so every length is checked when read.
 *
 * A mailbox ("box") is a box_record, a directory of chunks and the chunks: up to INDEX_CHUNK message records in UID order,
 * with offsets relative to the chunk's base, so that moving everything behind a change rewrites the directory alone. */
enum { INDEX_CHUNK = 256 };

enum record_bits {
    RECORD_BLOCK = 1,       /* a bookkeeping block of our layout, with X-UID, ends the header */
    RECORD_PLAIN = 2,       /* no quoted line and no NUL in the body: only line ends differ */
    RECORD_VERBATIM = 4,    /* stored with its own line ends: nothing is added to a bare LF */
    RECORD_NOEOL = 8,       /* the final line end is not the message's */
    RECORD_OLD = 16,        /* the mbox says Status: O */
    RECORD_CRLF = 32        /* all line ends of the body are CRLF already */
};

/* One message. Offsets count from the message's From_ line, which is at chunk base + offset. */
struct message_record {
    uint64_t modseq;
    uint64_t keywords, mbox_keywords;     /* now, and as the mbox has them: different = not yet written */
    uint64_t offset;
    uint64_t raw_size;                    /* From_ line to the next From_ line */
    uint64_t size, header_size;           /* as the client sees it */
    uint64_t fingerprint;
    int64_t date, save_date;
    uint32_t uid;
    uint32_t header_raw;                  /* octets of the stored header, with its blank line, without the From_ line */
    uint32_t block_offset;                /* of the block, counted from the From_ line */
    uint16_t block_size, from_size;
    uint16_t bits;
    int16_t zone;
    uint8_t flags, mbox_flags;
    uint8_t tail;                         /* octets at the end of raw_size that are separator: 0, 1 or 2 */
    uint8_t pad[5];
};

struct chunk_info {
    uint64_t base, max_modseq;
    uint32_t id, count, first_uid, last_uid;
    uint32_t unseen, deleted, dirty, unwritten;   /* dirty: flags not in the mbox; unwritten: no block of ours yet */
};

struct file_identity {
    uint64_t inode, size;
    int64_t mtime, ctime;                 /* ns since 1970 */
};

enum box_bits {
    BOX_PSEUDO = 1,         /* the first message is UW's pseudo message */
    BOX_SEALED = 2,         /* X-IMAPbase or X-IMAP with our UIDVALIDITY is in the file, at base_offset */
    BOX_MBOXO = 4           /* indexed with quoting = mboxo */
};
struct box_record {
    uint64_t id, object_id;                       /* object_id: of MAILBOXID */
    uint64_t highestmodseq, expunge_modseq;       /* expunge_modseq: of the last expunge */
    uint64_t history_modseq;                      /* all expunges after it are known */
    uint64_t size_sum;
    struct file_identity file;
    uint64_t base_offset;                         /* file offset of the X-IMAPbase or X-IMAP line */
    uint32_t base_size;                           /* its length with the line end */
    uint32_t base_last;                           /* the last UID it names */
    uint32_t uidvalidity, uidnext, recent_uid;    /* recent_uid: first UID not yet claimed as \Recent */
    uint32_t exists, unseen, deleted, dirty, unwritten;
    uint32_t next_chunk, chunk_count, keyword_count;
    uint32_t bits;
    uint32_t history_count;                       /* about how many expunges are remembered */
};

struct index;
/* Opens or makes the environment in directory dir (which must exist), or with dir NULL one in memory. An index of another
 * version or one that LMDB refuses is removed and made anew. 0 or -1. */
int index_open(struct index **out, const char *dir, void (*warning)(const char *text), struct store_error *e);
/* LMDB trusts its pages: from here on a fault within its map or its code (x NULL, before index_open: any) goes back to where
 * *back was set (sigsetjmp). What the store holds is not to be used then. back NULL: no more. */
void index_watch(struct index *x, sigjmp_buf *back);
/* Renames the index in a directory to data.mdb.damaged, for whoever wants to look at it. */
void index_set_aside(const char *dir);
void index_close(struct index *x);
/* True if what is noted will be lost with the session: asked for so, or the disk has no room. */
bool index_in_memory(const struct index *x);
/* True once something in it was found damaged, until it has been made anew. */
bool index_damaged(const struct index *x);
/* Another number once it was found damaged, or was opened anew. */
unsigned index_state(const struct index *x);

enum cache_kind { CACHE_STRUCTURE, CACHE_PREVIEW, CACHE_IDS, CACHE_FIELDS, CACHE_SORT, CACHE_KINDS };

/* One transaction. A reading one is a snapshot; pointers from it live until it ends. Only one writing at a time among all
 * processes. */
struct index_txn {
    struct index *index;
    MDB_txn *txn;
    bool write;
    MDB_cursor *cursor[CACHE_KINDS];   /* of reading ones: where the last of that kind was found */
    bool not_last[CACHE_KINDS];        /* of writing ones: what was put last is not behind all others */
};
int index_begin(struct index *x, bool write, struct index_txn *t, struct store_error *e);
int index_commit(struct index_txn *t, struct store_error *e);
void index_abort(struct index_txn *t);

/* What a reading transaction sees: with equal ones it is the same. */
struct index_moment {
    size_t txn;
    unsigned opening;
};
struct index_moment index_moment(const struct index_txn *t);

/* All that was committed, by any session, is on disk on return: before a mailbox file loses messages whose UIDs clients know. */
int index_sync(struct index *x, struct store_error *e);

/* Box of a mailbox name; 0 if there is none. create gives a new id (writing transaction). */
int index_find(struct index_txn *t, const char *name, bool create, uint64_t *id, struct store_error *e);
int index_rename(struct index_txn *t, const char *from, const char *to, struct store_error *e);
int index_delete(struct index_txn *t, const char *name, struct store_error *e);    /* the box and all it holds */
/* A new UIDVALIDITY: the clock, above all that were given before. */
int index_new_uidvalidity(struct index_txn *t, uint32_t *out, struct store_error *e);

/* Reading: 1 found, 0 not there (or not of the right size), -1 failed. The record is copied out. */
int index_get_box(struct index_txn *t, uint64_t id, struct box_record *out, struct store_error *e);
int index_put_box(struct index_txn *t, const struct box_record *box, struct store_error *e);
/* The chunk directory: box->chunk_count entries, in UID order; NULL if damaged or empty. Valid until the next call. */
const struct chunk_info *index_chunks(struct index_txn *t, const struct box_record *box);
int index_put_chunks(struct index_txn *t, uint64_t id, const struct chunk_info *infos, size_t n, struct store_error *e);
/* The records of a chunk, info->count of them; NULL if damaged. Valid until the next call. */
const struct message_record *index_chunk(struct index_txn *t, uint64_t id, const struct chunk_info *info);
int index_put_chunk(struct index_txn *t, uint64_t id, uint32_t chunk, const struct message_record *records, size_t n,
                    struct store_error *e);
int index_delete_chunk(struct index_txn *t, uint64_t id, uint32_t chunk, struct store_error *e);
/* Replaces all chunks of a box by n records with absolute offsets; fills the counts and sums of *box (not stored). */
int index_put_all(struct index_txn *t, struct box_record *box, const struct message_record *records, size_t n,
                  struct store_error *e);
/* Adds n records (absolute offsets, ascending UIDs) behind the last; with replace_last the first of them takes the place of
 * the last one. Updates *box (not stored). */
int index_append(struct index_txn *t, struct box_record *box, const struct message_record *records, size_t n,
                 bool replace_last, struct store_error *e);
/* Copies all records, offsets made absolute; malloc'ed (*out NULL if there are none). */
int index_get_all(struct index_txn *t, const struct box_record *box, struct message_record **out, struct store_error *e);
/* Counts of one chunk anew from its records (base, id and max_modseq are left alone but max_modseq raised). */
void chunk_count_up(struct chunk_info *info, const struct message_record *records, size_t n);

/* Keyword names, NUL-terminated one after another; as many as the box's record tells, or the index is damaged. */
int index_get_keywords(struct index_txn *t, uint64_t id, struct buf *out, struct store_error *e);
int index_put_keywords(struct index_txn *t, uint64_t id, struct str names, struct store_error *e);

/* Derived data by UID, of several kinds. get: n 0 if none; delete: of all kinds. */
void index_get_cache(struct index_txn *t, uint64_t id, uint32_t uid, enum cache_kind kind, struct str *out);
int index_put_cache(struct index_txn *t, uint64_t id, uint32_t uid, enum cache_kind kind, struct str blob, struct store_error *e);
int index_delete_cache(struct index_txn *t, uint64_t id, uint32_t uid, struct store_error *e);

/* Expunged UIDs, for VANISHED: n ascending UIDs that went at modseq. */
int index_put_expunged(struct index_txn *t, uint64_t id, uint64_t modseq, const uint32_t *uids, size_t n, struct store_error *e);
/* To be called after it: one more is remembered, or the oldest are forgotten, which *box (not stored) then says. */
int index_trim_expunged(struct index_txn *t, struct box_record *box, struct store_error *e);
/* Calls each with the ranges that went after the MODSEQ `above`, in the order of going. */
int index_each_expunged(struct index_txn *t, uint64_t id, uint64_t above, void (*each)(void *ctx, uint32_t first, uint32_t last),
                        void *ctx, struct store_error *e);
/* A MAILBOXID (RFC 8474) for *box (not stored) of new UIDVALIDITY: that, unless another mailbox has it. */
int index_new_object_id(struct index_txn *t, struct box_record *box, struct store_error *e);
#endif
