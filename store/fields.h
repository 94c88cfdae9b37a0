#ifndef STORE_FIELDS_H
#define STORE_FIELDS_H
#include <stdbool.h>
#include "store/mailbox.h"
#include "store/mime.h"

/* The header fields that clients ask for again and again (those of ENVELOPE, References and a few more) are kept in the index. */
bool fields_kept(struct str name);
/* Those fields of a message, whole and in their order, as the client sees them: out of the index, else from its header, and then
 * kept (mailbox_cache_flush). What *out points to is valid until the next call on the mailbox, or lives in a. 1, 0: its header is
 * too large for that (MIME_HEADER), -1 with e. */
int message_fields(struct mailbox *m, const struct message *msg, struct arena *a, struct str *out, struct store_error *e);
/* Keeps those of a header, unless they are kept already. */
void message_keep_fields(struct mailbox *m, const struct message *msg, struct str header);

/* What most sorting and searching wants, kept apart since it is small. */
struct sort_fields {
    bool has_date;
    int64_t date;                    /* of the Date field, if it is readable (RFC 5256 section 2.2) */
    struct str subjects;             /* all Subject fields, whole */
};
/* As message_fields. */
int message_sort_fields(struct mailbox *m, const struct message *msg, struct arena *a, struct sort_fields *out, struct store_error *e);
/* The value of the last Subject field, as ENVELOPE has it; .p NULL if there is none. */
struct str sort_fields_subject(const struct sort_fields *f, struct arena *a);
#endif
