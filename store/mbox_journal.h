#ifndef STORE_MBOX_JOURNAL_H
#define STORE_MBOX_JOURNAL_H
#include <stdbool.h>
#include <stdint.h>
#include "store/mbox_rewrite.h"

/* The journal file, shared by mbox_rewrite.c, mbox_move.c, mbox_recover.c and mbox_journal.c: two slots written in turn, each
 * a header of JOURNAL_HEAD octets and a redo of at most MBOX_STEP, then the list of edits of the whole rewrite. The newest
 * slot whose checksum holds counts. Preallocated, so that removing needs no free block. */
enum journal_state {
    JOURNAL_CLEAR,
    JOURNAL_EXTENDING,       /* the file is being made longer, from gap_start to gap_end; a NUL at gap_start: not finished */
    JOURNAL_GAP,             /* LEFT | GAP | RIGHT; redo, if any, is applied first; then the edits of the list after `done` */
    JOURNAL_TRUNCATING,      /* all is done but cutting the file at gap_start; a NUL there: not cut yet */
    JOURNAL_MOVE,            /* as GAP, before the first step; the target's text is there but perhaps its first octet */
    JOURNAL_COLLAPSE,        /* the blocks from gap_start to gap_end are being taken out, then the redo is written; the octets
                                at left.at are those of the left guard before and those of the right guard after that */
    JOURNAL_APPENDING        /* as EXTENDING, for text that has no NUL: one anywhere up to gap_end: not finished; to_size and
                                to_sum are of its beginning */
};
enum { JOURNAL_HEAD = 4096, JOURNAL_SLOT = MBOX_STEP + JOURNAL_HEAD, JOURNAL_LIST = 2 * JOURNAL_SLOT,
       JOURNAL_SIZE = JOURNAL_LIST + (MBOX_STEP < 65536 ? 65536 : MBOX_STEP), JOURNAL_GUARD = 256 };
struct journal_guard {
    uint64_t at, n, sum;     /* octets of the file that this step does not touch: another program has not been here */
};
struct journal_slot {
    uint64_t magic, checksum, sequence, state;
    uint64_t inode, device;
    uint64_t gap_start, gap_end;
    uint64_t size;           /* the file is at least so long */
    struct journal_guard left, right;
    uint64_t redo_size, pieces;                          /* redo: pieces, then their octets one after another */
    uint64_t list_count, list_size, list_sum, done;      /* edits, and how many of them are in LEFT */
    uint64_t to_inode, to_device, to_at, to_size, to_sum, to_first;     /* JOURNAL_MOVE: what the target got */
    char from_name[MBOX_MOVE_NAME], to_name[MBOX_MOVE_NAME];
};
struct journal_piece {
    uint64_t at, n;
};
/* Begins a rewrite of a file: finds a journal file that is free, and locks it. 0 or -1. */
int journal_begin(struct mbox_journal *j, struct store_error *e);
/* Names fd as the file that *s is about. */
int journal_name(struct journal_slot *s, int fd, struct store_error *e);
/* Writes *s as the next slot with its redo (n pieces and their octets), durably. */
int journal_put(struct mbox_journal *j, struct journal_slot *s, const struct journal_piece *pieces, size_t n, const char *octets,
                struct store_error *e);
/* Writes the list of edits and notes it in *s; durable with the next slot. False: no room. */
bool journal_put_list(struct mbox_journal *j, struct journal_slot *s, const struct mbox_edit *edits, size_t n);
/* The rewrite is over: a slot says so. */
void journal_end(struct mbox_journal *j, bool durable);
/* The journal is left as it is, for recovery, and unlocked. */
void journal_leave(struct mbox_journal *j);

/* The newest slot about this file, with its redo (malloc'ed), and its list (malloc'ed, one block; *edits NULL if it does
 * not hold). The journal file is then the current one, locked. 1; 0 none; -1 errno: a journal could not be read, so nothing is
 * known. */
struct journal_found {
    struct journal_slot slot;
    struct journal_piece *pieces;
    const char *octets;
    struct mbox_edit *edits;
};
int journal_find(struct mbox_journal *j, int fd, struct journal_found *out);
void journal_found_free(struct journal_found *f);
/* Copies the journal to NAME.refused and forgets it. */
void journal_refuse(struct mbox_journal *j);

uint64_t journal_sum(uint64_t h, const void *octets, size_t n);
/* The guard over up to JOURNAL_GUARD octets before (after) `at`, none of them before `low` (at or beyond `size`). */
int journal_guard_before(int fd, uint64_t at, uint64_t low, struct journal_guard *g);
int journal_guard_after(int fd, uint64_t at, uint64_t size, struct journal_guard *g);
int journal_guard_again(int fd, struct journal_guard *g);          /* its sum as it is now */
/* False with *err set: its octets could not be read. */
bool journal_guard_holds(int fd, const struct journal_guard *g, int *err);
int file_write(int fd, const char *p, size_t n, uint64_t at);      /* whole, or -1 with errno */
int file_read(int fd, char *p, size_t n, uint64_t at);             /* whole, or -1 with errno (ENODATA at the end of the file) */
int file_sync(int fd);                                             /* fdatasync, again on EINTR */

/* One rewrite on its way. */
struct rewrite {
    struct mbox_journal *j;
    int fd;
    void (*tick)(void *ctx);
    void *ctx;
    struct store_error *e;
    struct journal_slot slot;        /* the last one that was put */
    const struct mbox_edit *edits;   /* of this pass */
    size_t edit_n;
    bool whole;                      /* recovery would do all of the change */
    char *step;                      /* MBOX_STEP octets on their way */
    size_t n, done, done_before;     /* octets in step; edits in LEFT and step; in LEFT */
    uint64_t low;                    /* what lies before it may have been changed in place, and is not synced yet */
    uint64_t dst, src, from;         /* where step goes; up to where the source is read; where step's source begins */
};
/* Goes on with the pass upwards: LEFT ends at w->dst, RIGHT begins at w->src, w->done edits are in LEFT. */
int rewrite_up(struct rewrite *w);
/* The file is made longer by NULs from size on, with the room for them on disk; the slot says so: state is JOURNAL_EXTENDING or
 * JOURNAL_APPENDING. Nothing has changed if it fails. */
int rewrite_extend(struct rewrite *w, enum journal_state state, uint64_t size, uint64_t growth);
/* All edits at once, if what is behind them need not move or can be moved by the file system: 0; 1: not so, nothing was
 * changed; -1. */
int rewrite_region(struct rewrite *w, const struct mbox_edit *edits, size_t n, uint64_t size);
/* Does what a slot of JOURNAL_COLLAPSE says, or the rest of it: 0; 1 it does not fit the file; 2 the file system refuses, nothing
 * was changed; -1 errno. */
int rewrite_collapsed(int fd, const struct journal_slot *s, const struct journal_piece *piece, const char *octets);
#endif
