#ifndef STORE_MBOX_JOURNAL_H
#define STORE_MBOX_JOURNAL_H
#include <stdbool.h>
#include <stdint.h>
#include "store/mbox_rewrite.h"

/* What mbox_rewrite.c and mbox_journal.c share: the state of a rewrite, as a slot of the journal holds it. */
enum journal_state {
    JOURNAL_CLEAR,
    JOURNAL_EXTENDING,       /* the file is being made longer, from gap_start to gap_end; a NUL at gap_start: not finished */
    JOURNAL_GAP,             /* LEFT | GAP | RIGHT; redo, if any, is applied first */
    JOURNAL_TRUNCATING       /* all is done but cutting the file at gap_start; a NUL there: not cut yet */
};
struct journal_slot {
    uint64_t magic, sequence, inode, device;
    uint64_t state, gap_start, gap_end, redo_at, redo_size;
    uint64_t checksum;       /* of all above and the redo octets */
};
/* Begins a rewrite of the file: finds a journal file that is free, and locks it. 0 or -1. */
int journal_begin(struct mbox_journal *j, int fd, struct store_error *e);
/* Writes the next slot with its redo octets, durably. */
int journal_put(struct mbox_journal *j, enum journal_state state, uint64_t gap_start, uint64_t gap_end, uint64_t redo_at,
                const char *redo, size_t n, struct store_error *e);
/* The rewrite is over: the slots are cleared (durable: the clearing must not be lost). */
void journal_end(struct mbox_journal *j, bool durable);
int file_write(int fd, const char *p, size_t n, uint64_t at);      /* whole, or -1 with errno */
int file_read(int fd, char *p, size_t n, uint64_t at);             /* whole, or -1 with errno (EIO at the end of the file) */
#endif
