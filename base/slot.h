#ifndef BASE_SLOT_H
#define BASE_SLOT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a session tells of itself, in a page of memory that a reader (imapd --stat) sees too. One writer, the session; readers take a copy and
 * believe nothing of it. No function here makes a system call, but for the reader's. */
enum { SLOT_COMMAND = 24, SLOT_MAILBOX = 512 };
struct slot {
    uint32_t sequence;                 /* odd while it is written */
    uint32_t pad;
    int64_t since;                     /* ms of the monotonic clock: when command began, or what ran before it ended */
    uint64_t commands, octets_in, octets_out, fetched, appended;
    char command[SLOT_COMMAND];        /* that runs now, or "" */
    char mailbox[SLOT_MAILBOX];        /* that is selected, or "" */
};
struct slot_counts {
    uint64_t commands, octets_in, octets_out, fetched, appended;
};

/* Of the writer; each does nothing if s is NULL. A name that has no room is cut. */
void slot_command(struct slot *s, const char *command, int64_t now_ms, const struct slot_counts *counts);
void slot_mailbox(struct slot *s, const char *mailbox);
void slot_tell(struct slot *s, const struct slot_counts *counts);

/* Copies the slot at that place of a file. Texts end with NUL, are UTF-8, and may hold anything else, control
 * characters too. False: it cannot be read. One that is being written all the time gives its numbers and no text. */
bool slot_read(int fd, int64_t offset, struct slot *out);
/* Makes UTF-8 of the text, which ends with NUL within size, in place: octets that are none become '?', which has the same length. */
void slot_clean(char *text, size_t size);
#endif
