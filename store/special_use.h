#ifndef STORE_SPECIAL_USE_H
#define STORE_SPECIAL_USE_H
#include <stdbool.h>
#include "store/metadata.h"

/* What mailboxes are for (RFC 6154, RFC 8457). A use is given by the annotation /private/specialuse of a mailbox, whose value is
 * attributes with spaces between; an empty value says: for nothing. Each use has one mailbox. One that no mailbox has been given
 * goes by convention to the mailbox at the top that bears the first of its usual names (Drafts, Sent, ...). */
enum special_use {
    USE_ALL = 1, USE_ARCHIVE = 2, USE_DRAFTS = 4, USE_FLAGGED = 8, USE_IMPORTANT = 16, USE_JUNK = 32, USE_SENT = 64, USE_TRASH = 128,
    USES_VIRTUAL = USE_ALL | USE_FLAGGED     /* views of messages in other mailboxes: no mbox is one, none can be given it */
};
enum { SPECIAL_USES = 8 };
#define SPECIAL_USE_ENTRY "/private/specialuse"

struct special_uses {
    struct str mailbox[SPECIAL_USES];        /* by number of the bit; .p NULL: none */
};
/* The bit of an attribute, with its backslash, in any case; 0: not one of these. */
unsigned special_use_bit(struct str attribute);
/* A value of the annotation. False: something in it is no attribute; *uses holds the others then. */
bool special_use_parse(struct str value, unsigned *uses);
/* The attributes, a space between; nothing for 0. */
void special_use_text(unsigned uses, struct buf *out);
/* Which mailbox is for what: from the annotations, and from the names at the top. In the arena. */
void special_uses_load(struct names *n, struct arena *a, const struct metadata *m, struct special_uses *out);
/* What this mailbox is for: USE_ bits. */
unsigned special_uses_of(const struct special_uses *u, const char *mailbox);
/* The changes that give a mailbox these uses, and no others, and take them from those that have been given them; changes has
 * room for SPECIAL_USES + 1. Texts are in the arena. Returns how many. */
size_t special_use_changes(const struct special_uses *u, const struct metadata *m, struct arena *a, const char *mailbox,
                           unsigned uses, struct metadata_entry *changes);
#endif
