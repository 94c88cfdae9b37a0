#ifndef STORE_MBOX_REWRITE_H
#define STORE_MBOX_REWRITE_H
#include <stddef.h>
#include <stdint.h>
#include "store/store.h"

/* In-place, crash-safe change of a file whose exclusive lock the caller holds. Never renames, never needs free blocks for
 * a change that only removes.
 *
 * An edit replaces `del` octets at `offset` of the old file by `ins` (n octets). Edits are ascending and do not overlap. One
 * that is not the only insertion at the end of the file inserts at most MBOX_STEP octets: STORE_LIMIT else.
 *
 * At every instant the file is  LEFT | GAP | RIGHT  where LEFT is final (or still old), RIGHT still old (or final) and GAP
 * is dead octets. Removing moves the gap upwards, step by step, and cuts it off at the end; growing extends the file first
 * (so that ENOSPC changes nothing), then moves the gap downwards from the end. The journal (mbox_journal.h) knows the gap's
 * bounds, the octets of a step that overwrites what it copies, and the edits that are still to be done. A change that only
 * removes and shortens is rolled forward as a whole; one that grows leaves each message in its old or its new form. */
struct mbox_edit {
    uint64_t offset, del;
    const char *ins;
    size_t n;
};
/* The edit that makes `now` of the n octets `old` at offset: from the first that differs to the last. What is left lies within a
 * sector far more often, and needs no journal then. False: they are the same. */
bool mbox_edit_between(uint64_t offset, const char *old, const char *now, size_t n, struct mbox_edit *out);
#ifndef MBOX_STEP
#define MBOX_STEP (1 << 20)      /* octets; tests make it smaller */
#endif
struct mbox_journal;
/* Opens or makes the journal `name` in the directory. NULL with errno if it cannot be had. */
struct mbox_journal *mbox_journal_open(int dirfd, const char *name);
/* A journal in memory, for a home that cannot be written: safe against errors, not against a crash. */
struct mbox_journal *mbox_journal_memory(void);
void mbox_journal_close(struct mbox_journal *j);

/* Applies the edits, durable on return. tick (may be NULL) is called about once a step (touch the lock). 0, or -1: the
 * file is as before, or, if mbox_journal_pending says so, must be recovered before it is read. */
int mbox_rewrite(struct mbox_journal *j, int fd, const struct mbox_edit *edits, size_t n,
                 void (*tick)(void *ctx), void *ctx, struct store_error *e);

/* What is behind a removal need not be copied if the file gets shorter by whole blocks, or not at all, on file systems that
 * can take blocks out (mbox_collapse_block: their size, 0 if they cannot), and more than MBOX_COLLAPSE_TAIL octets are
 * behind it. The pad that a caller should insert for that into a region of `region` octets at `at` which becomes `shorter`
 * octets shorter: 0 or at least MBOX_PAD_MIN; UINT64_MAX: it cannot be had. */
#ifndef MBOX_COLLAPSE_TAIL
#define MBOX_COLLAPSE_TAIL (8 << 20)
#endif
enum { MBOX_PAD_MIN = 13 };
uint64_t mbox_collapse_block(int fd);
uint64_t mbox_collapse_pad(int fd, uint64_t at, uint64_t region, uint64_t shorter);

/* MOVE: `text` comes to the end of the target and the edits (which remove and shorten only) are done in the source, all or
 * nothing. The exclusive locks of both are held; they may be the same file. Names are those of the mailboxes, for
 * recovery (at most MBOX_MOVE_NAME - 1 octets). begin: durable in the target on return, and sure to be finished in the
 * source, by mbox_move_finish or by recovery; -1: nothing has changed. */
enum { MBOX_MOVE_NAME = 1000 };
struct mbox_move {
    int from, to;
    const char *from_name, *to_name;
    const char *text;
    uint64_t size;                           /* of the text, > 0 */
    const struct mbox_edit *edits;
    size_t n;
};
int mbox_move_begin(struct mbox_journal *j, const struct mbox_move *m, struct store_error *e);
int mbox_move_finish(struct mbox_journal *j, const struct mbox_move *m, void (*tick)(void *ctx), void *ctx, struct store_error *e);

/* What the journal holds about this file (by fstat). Cheap: called before each use of a mailbox under its lock. */
enum mbox_pending { MBOX_PENDING_NONE, MBOX_PENDING_REWRITE, MBOX_PENDING_MOVE, MBOX_PENDING_UNKNOWN };   /* the last: errno */
enum mbox_pending mbox_journal_pending(struct mbox_journal *j, int fd);
/* Finishes a rewrite; the caller holds the exclusive lock. 0, also when there is none; -1 if it could not be finished.
 * A journal that does not fit the file is not obeyed: it is copied to NAME.refused, forgotten, and *refused (may be
 * NULL) is set to true; the file stays as it is. For MBOX_PENDING_MOVE: -1, STORE_INUSE. */
int mbox_journal_recover(struct mbox_journal *j, int fd, bool *refused, struct store_error *e);
/* For MBOX_PENDING_MOVE: 1 and the mailboxes it concerns; both are then locked and given to mbox_move_recover (descriptor -1: that one is
 * not there any more; a file that is not the one meant counts as that). 0: it is finished; -1 with errno. */
struct mbox_move_names {
    char from[MBOX_MOVE_NAME], to[MBOX_MOVE_NAME];
};
int mbox_move_pending(struct mbox_journal *j, int fd, struct mbox_move_names *out);
int mbox_move_recover(struct mbox_journal *j, int from, int to, bool *refused, struct store_error *e);
#endif
