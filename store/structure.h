#ifndef STORE_STRUCTURE_H
#define STORE_STRUCTURE_H
#include "store/mailbox.h"
#include "store/mime.h"

/* What is known of a message of the view, from the index where it is kept there. All results live in a; NULL with the
 * reason in e. */

/* The whole structure. One that is not in the index is parsed from the message, and kept there (mailbox_cache_flush). */
struct mime_part *message_structure(struct mailbox *m, const struct message *msg, struct arena *a, struct store_error *e);
/* The ENVELOPE alone: of one that is not in the index the header is read (MIME_HEADER octets at most), nothing is kept. */
const struct mime_envelope *message_envelope(struct mailbox *m, const struct message *msg, struct arena *a, struct store_error *e);
/* The octets of the header, at most MIME_HEADER of them. .p is NULL on failure. */
struct str message_header(struct mailbox *m, const struct message *msg, struct arena *a, struct store_error *e);
#endif
