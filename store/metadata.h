#ifndef STORE_METADATA_H
#define STORE_METADATA_H
#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "store/names.h"

/* Annotations of mailboxes and of the server (RFC 5464) in ~/.mailboxmeta: they are nowhere else, so the index may go and they
 * stay. A text file of ASCII lines: mailbox name, entry name and value, a space between; "%" and two hex digits for an octet
 * that is not printable, '"' and '%', and for a space but inside a value; '""' for nothing: the server's name, or an empty
 * value. Lines that are none of this are kept as they are and read past. The file is replaced whole by rename, durably, under
 * flock of the home, so that sessions never lose each other's entries. */
enum {
    METADATA_VALUE = 65536,          /* octets of one value that is set */
    METADATA_ENTRIES = 100,          /* entries of one mailbox, or of the server; as many may be set at once, too */
    METADATA_NAME = 500,             /* octets of an entry's name */
    METADATA_FILE = 8 << 20          /* octets of the file: a larger one is neither read nor written */
};
struct metadata_entry {
    struct str mailbox;              /* canonical name of the store; "" the server */
    struct str name;                 /* "/private/..." or "/shared/...", the case it was set with: compared without */
    struct str value;                /* any octets; .p NULL: none, in a change: take it away */
    size_t order;                    /* of the line in the file: what was set later is behind */
};
struct metadata {
    struct metadata_entry *list;     /* in order of mailbox (bytes) and name; each pair once */
    size_t n;
};
/* Is this an entry's name (RFC 5464 section 3.2)? whole: one that can have a value, not only others below it. */
bool metadata_name_valid(struct str name, bool whole);
/* What the file holds now, in the arena; empty if there is none. 0 or -1. */
int metadata_load(const struct names *n, struct arena *a, struct metadata *out, struct store_error *e);
/* Which file it is that holds them: another one, other bytes. All 0 if there is none. */
struct metadata_stamp { uint64_t inode, size, seconds, nanoseconds; };
void metadata_stamp(const struct names *n, struct metadata_stamp *out);
/* The value, .p NULL if there is none. */
struct str metadata_get(const struct metadata *m, const char *mailbox, struct str name);
/* The entries of one mailbox: *n of them from the one returned (NULL: none). */
const struct metadata_entry *metadata_of(const struct metadata *m, const char *mailbox, size_t *n);
/* Makes all changes, or none: at most 2 * METADATA_ENTRIES, the later wins. 0 or -1: STORE_LIMIT beyond METADATA_ENTRIES or
 * METADATA_FILE, STORE_INUSE when the lock is not had in time. */
int metadata_set(const struct names *n, const struct metadata_entry *changes, size_t count, struct store_error *e);
/* The entries of a mailbox and of all below it bear another name from now on; what was kept under that one goes. copy: only
 * the mailbox's own, and they stay where they are, too (INBOX, RFC 5464 section 4.1). 0: the new file is written, and the lock
 * held, until metadata_commit or metadata_abandon, so that the mailbox can be renamed between; or -1. */
struct metadata_change {
    int home, lock;
    bool written;
};
int metadata_rename(const struct names *n, const char *from, const char *to, bool copy, struct metadata_change *c,
                    struct store_error *e);
/* 0; -1: nothing has changed; 1: it has, but e says why it may not be durable. */
int metadata_commit(struct metadata_change *c, struct store_error *e);
void metadata_abandon(struct metadata_change *c);
/* Takes away all entries of this mailbox. 0 or -1. */
int metadata_delete(const struct names *n, const char *mailbox, struct store_error *e);

/* One line without its line end. False: not one of ours. */
bool metadata_line_read(struct arena *a, struct str line, struct metadata_entry *out);
void metadata_line_write(struct buf *out, const struct metadata_entry *entry);
/* The whole text. */
void metadata_parse(struct arena *a, struct str text, struct metadata *out);
#endif
