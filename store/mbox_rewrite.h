#ifndef STORE_MBOX_REWRITE_H
#define STORE_MBOX_REWRITE_H
#include <stddef.h>
#include <stdint.h>
#include "store/store.h"

/* In-place, crash-safe change of a file whose exclusive lock the caller holds. Never renames, never needs free blocks for
 * a change that only removes.
 *
 * An edit replaces `del` octets at `offset` of the old file by `ins` (n octets). Edits are ascending and do not overlap. One
 * that replaces (del > 0) inserts at most MBOX_JOURNAL_STEP octets: STORE_LIMIT else.
 *
 * Algorithm: at every instant the file is  LEFT | GAP | RIGHT  where LEFT is final (or still old), RIGHT still old (or
 * final) and GAP is dead octets. Removing moves the gap upwards, step by step, and truncates it away at the end;
 * growing extends the file first (so that ENOSPC changes nothing), then moves the gap downwards from the end. The journal
 * holds the gap's bounds and, for a step whose target overlaps its source, the step's octets (redo), each with a checksum,
 * in two slots written in turn, fdatasync'ed in the right order. Recovery replays the redo of the newest valid slot and
 * closes the gap by moving RIGHT (to the present end of file: an MDA may have appended meanwhile) down: every message is
 * then there once, whole, in its old or its new form. The journal names the file by device and inode and is refused if it
 * does not fit the file (its bounds): it is in the user's own hands. */
struct mbox_edit {
    uint64_t offset, del;
    const char *ins;
    size_t n;
};
/* The journal: one preallocated file (MBOX_JOURNAL_SIZE octets) in index_dir, used by one rewrite at a time (flock). */
enum { MBOX_JOURNAL_STEP = 1 << 20, MBOX_JOURNAL_SIZE = 2 * (MBOX_JOURNAL_STEP + 4096) };
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
/* True if the journal holds an unfinished rewrite of this file (by fstat). Cheap: called before each use of a mailbox
 * under its lock. */
int mbox_journal_pending(struct mbox_journal *j, int fd);
/* Finishes it; the caller holds the exclusive lock. 0; -1 with STORE_CORRUPTION if the journal does not fit the file. */
int mbox_journal_recover(struct mbox_journal *j, int fd, struct store_error *e);
#endif
