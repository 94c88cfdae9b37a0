#ifndef STORE_MAILBOX_PRIVATE_H
#define STORE_MAILBOX_PRIVATE_H
#include "store/content.h"
#include "store/index.h"
#include "store/mailbox.h"
#include "store/mbox_lock.h"
#include "store/mbox_rewrite.h"
#include "store/mbox_scan.h"
#include "store/uid_map.h"

/* What the files of the mailbox store share. */
struct store {
    const struct store_settings *settings;
    struct names *names;
    struct index *index;
    struct mbox_journal *journal;
    int index_dirfd;                 /* for temporary files; -1: there is none */
    int journal_dirfd;               /* the same one unless another is set; -1: the journal is in memory */
    bool durable_flags;              /* STORE writes flags into the mbox at once */
    void (*warning)(const char *text);       /* may be NULL */
    struct mbox_lock_session locks;
    void (*progress)(void *ctx, uint64_t done, uint64_t goal);   /* may be NULL */
    void *progress_ctx;
};
static inline void store_progress(const struct store *s, uint64_t done, uint64_t goal)
{
    if (s->progress != NULL)
        s->progress(s->progress_ctx, done, goal);
}

enum { CLOCK_SLACK = 86400 };         /* seconds by which a UIDVALIDITY may be ahead of our clock */
#define UID_SANE 0x40000000u          /* an X-IMAPbase above this would let a sender use up the UIDs */

/* One mbox file and its place in the index, without a view. */
struct box {
    struct store *store;
    struct mailbox_name name;
    int fd, dirfd;
    const char *leaf;
    struct mbox_lock *lock;
    uint64_t id;                     /* 0 until the index knows it */
    bool readonly;                   /* the file cannot be written */
    bool disturbed;                  /* a delivery began while new mail was read: not believed */
    bool hurried;                    /* locks are tried once: STORE_INUSE at once */
};
/* Opens the file (read-write if permitted and wanted). 0 or -1. */
int box_open(struct box *b, struct store *s, const struct mailbox_name *name, bool readonly, struct store_error *e);
void box_close(struct box *b);
/* Brings the index up to date with the file; *rec is what the index then says. Takes a lock only when something changed,
 * and leaves the lock as it was. */
int box_refresh(struct box *b, struct box_record *rec, struct store_error *e);
/* The index, if it fits the file as it is now: 1, else 0; -1 with e. */
int box_fits(struct box *b, struct box_record *rec, struct store_error *e);
/* What the index says, whether or not it fits the file: 1, 0 if it knows nothing, -1. */
int box_record_of(struct box *b, struct box_record *rec, struct store_error *e);
/* Takes the lock, finishes an unfinished rewrite, refreshes. box_unlock gives it back. */
int box_lock(struct box *b, enum mbox_lock_kind kind, struct box_record *rec, struct store_error *e);
void box_unlock(struct box *b);
/* Both exclusively, in an order that cannot deadlock. They are not the same file. */
int box_lock_both(struct box *a, struct box_record *rec_a, struct box *b, struct box_record *rec_b, struct store_error *e);
/* Keeps the lock fresh in long work; ctx is the box. */
void box_tick(void *ctx);
/* The file's identity as it is now, for the index, after we changed it. */
int box_identity(const struct box *b, struct file_identity *out, struct store_error *e);
bool box_same_file(const struct file_identity *a, const struct file_identity *b);
/* The names of the keywords in bits, separated by spaces, appended to out. */
void keywords_text(struct buf *out, const struct buf *names, uint64_t bits);
/* Bit of a name in NUL-separated names; with create it is added. -1 if there is none or no room. */
int keyword_bit(struct buf *names, struct str name, bool create);
/* All names separated by spaces (for X-IMAPbase). */
void keywords_all(struct buf *out, const struct buf *names);
/* Sets the file's times after our own change, such that shells and mail readers see new mail rightly: new_mail says that a
 * message came that nobody has seen. */
void box_touch(const struct box *b, bool new_mail);
/* The last thing of each change of ours: identity into *rec and all into the index. */
int box_finish(struct box *b, struct index_txn *t, struct box_record *rec, struct store_error *e);

/* Ranges [first, last] of UIDs, ascending. */
struct uid_range { uint32_t first, last; };

struct mailbox {
    struct box box;
    bool readonly, pending_expunges, hurry;
    int64_t looked;                          /* when the file was last seen as the index has it; CLOCK_MONOTONIC_COARSE, s */
    uint32_t uidvalidity, uidnext;           /* uidnext: of the view */
    uint64_t modseq, expunge_modseq;         /* up to which the view has been told */
    uint64_t pending_since;                  /* up to which all had been told before pending_expunges */
    struct uid_map *uids;                    /* of the view */
    struct buf recent;                       /* struct uid_range: what this session saw first */
    struct buf own;                          /* uint64_t: modseqs of own changes after modseq, not told again */
    struct buf keyword_names;
    unsigned keywords_known;
    /* a reading snapshot of the index, kept between calls of one step of work */
    bool snapshot;
    struct index_txn txn;
    struct box_record rec;
    struct chunk_info *infos;
    struct index_moment moment;      /* when infos was read */
    uint32_t info_at;                        /* which chunk is in `chunk`, UINT32_MAX: none */
    struct message_record *chunk;            /* INDEX_CHUNK */
    uint32_t record_at;
    struct content *content;
    struct buf cache_pending;                /* { uint32_t uid, size, kind; octets } ... */
    struct file_identity cache_file;         /* what the file was when they were made */
    int watch;                               /* inotify, or -1 */
    uint64_t watch_inode;                    /* of the file it watches */
};
/* Begins (or keeps) the snapshot; ends it. */
int mailbox_snapshot(struct mailbox *m, struct store_error *e);
void mailbox_snapshot_end(struct mailbox *m);
/* The record of a UID in the snapshot, NULL if it is gone; *start is its file offset. Valid until the next call. */
const struct message_record *mailbox_record(struct mailbox *m, uint32_t uid, uint64_t *start, struct store_error *e);
/* Gives the lock back, and forgets what was read of the file. */
void mailbox_unlock(struct mailbox *m);
/* Keyword names anew from the index. */
int mailbox_load_keywords(struct mailbox *m, struct index_txn *t, struct store_error *e);
bool mailbox_is_recent(const struct mailbox *m, uint32_t uid);
/* Remembers that modseq is a change of our own, and raises the view if nothing of others lies between. */
void mailbox_own_change(struct mailbox *m, uint64_t modseq);
bool mailbox_is_own_change(const struct mailbox *m, uint64_t modseq);

/* What mailbox.c and view.c share. The UIDs of the snapshot from `from` on are added to `to`; what nobody has claimed yet
 * becomes \Recent for this session (in the index, unless the view is read-only); counts. */
int view_add_uids(struct mailbox *m, struct uid_map *to, uint32_t from, struct store_error *e);
int view_claim_recent(struct mailbox *m, struct store_error *e);
uint32_t view_recent(const struct mailbox *m);
unsigned view_keywords(const struct mailbox *m);

/* Goes through all records of a box in a transaction, in chunks, for changing: `change` returns true if it changed a record
 * (which gets modseq if with_modseq). Writes the changed chunks, the directory and *rec's counts (not *rec itself). */
struct chunk_edit {
    bool (*want)(void *ctx, const struct chunk_info *info);           /* NULL: all */
    bool (*change)(void *ctx, struct message_record *r, uint64_t start);
    void *ctx;
};
int box_edit_records(struct index_txn *t, struct box_record *rec, const struct chunk_edit *edit, struct store_error *e);

/* A change of the file and what it means for the index: edits for mbox_rewrite, and for each message touched an entry. */
struct plan_entry {
    uint32_t uid;
    bool removed;
    uint8_t mbox_flags;                      /* what the file says now, with its bits and block */
    uint16_t bits, block_size;
    uint32_t block_offset;
    int32_t growth;                          /* octets that header and message grow by */
    uint64_t mbox_keywords;
};
struct plan {
    struct mbox_edit *edits;
    size_t edit_n, edit_cap;
    struct plan_entry *entries;              /* ascending UIDs */
    size_t entry_n, entry_cap;
    struct buf text;                         /* what edits insert: ins is an offset until plan_run */
    struct buf keyword_names;
    int64_t shift;                           /* octets that all messages move by: a change before the first */
    bool moves, removes;                     /* octets move: growth or removal; messages go */
};
void plan_free(struct plan *p);
/* The block that message r should have, in p's text; see writeback.c. base: with X-IMAPbase. The strings of b live in own. */
void plan_block(const struct plan *p, const struct box_record *rec, const struct message_record *r, bool base,
                struct meta_block *b, struct buf own[2]);
void plan_edit(struct plan *p, uint64_t offset, uint64_t del, const char *ins, size_t n);
/* The edit that makes `now` of the n octets `old` at offset, if they differ. */
void plan_change(struct plan *p, uint64_t offset, const char *old, const char *now, size_t n);
/* An entry that leaves r as it is, with its flags now in the file. */
struct plan_entry *plan_entry(struct plan *p, const struct message_record *r);
/* Gives message r (absolute offset) a block of ours: reads its header, adds edit and entry. */
int plan_header(struct plan *p, struct box *b, struct box_record *rec, const struct message_record *r, bool base, struct store_error *e);
/* Applies the plan to the file (durably) and to the index; the exclusive lock is held, rec is what box_lock gave. */
int plan_run(struct plan *p, struct box *b, struct box_record *rec, struct store_error *e);
/* The parts of plan_run: edits' texts are pointers from now on; times and index after the file was changed. */
void plan_resolve(struct plan *p);
int plan_index(struct plan *p, struct box *b, struct box_record *rec, struct store_error *e);
/* Index side of plan_run: entries applied, chunks moved. */
int box_apply(struct index_txn *t, struct box_record *rec, const struct plan_entry *entries, size_t n, int64_t shift, struct store_error *e);
/* Calls visit with all records (absolute offsets) of the chunks that want (NULL: all) says yes to, until it returns non-zero,
 * which is then returned. */
int box_visit(struct box *b, const struct box_record *rec, bool (*want)(const struct chunk_info *info),
              int (*visit)(void *ctx, const struct message_record *r), void *ctx, struct store_error *e);
/* The same as a list, malloc'ed. */
int box_collect(struct box *b, const struct box_record *rec, bool (*want)(const struct chunk_info *info),
                struct message_record **out, size_t *n, struct store_error *e);
/* The messages to be removed, as a plan: those with \\Deleted, of which only those among uids (ascending) if uids is not NULL,
 * or, for MOVE, those among uids whatever their flags. */
struct removal {
    const uint32_t *uids;
    size_t n;
    bool whatever_flags;
};
int removal_plan(struct box *b, struct box_record *rec, const struct removal *x, struct plan *p, struct store_error *e);
/* mailbox_checkpoint for a box without a view. */
int box_checkpoint(struct box *b, bool seal, struct store_error *e);
/* With durable-flags, UIDVALIDITY and last UID of a file without X-IMAPbase, as box_remember() left them; 0 and 0: it did not. */
void box_recall(const struct box *b, uint32_t *uidvalidity, uint32_t *last);
/* Sees to it that they are known without the index, or, without durable-flags, not. Did that change the file's ctime, by which the index
 * knows it? Where the file system has no extended attributes it does nothing. With or without a lock. */
bool box_remember(struct box *b);
/* With durable-flags the same, and the record is that of the file as it is then, if that can be had. */
void box_keep_uidvalidity(struct box *b, struct box_record *rec);
/* With durable-flags: what clients may be told after this, UIDs too, is in the file, unless the disk is full. *rec as after box_refresh, and again.
 * The box must not be locked. */
int box_settle(struct box *b, struct box_record *rec, struct store_error *e);
#endif
