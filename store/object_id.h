#ifndef STORE_OBJECT_ID_H
#define STORE_OBJECT_ID_H
#include <stdbool.h>
#include "store/mailbox.h"

/* EMAILID and THREADID (RFC 8474 section 5), made from what the message says and nothing else: so a copy has those of its
 * original, and they are the same again after the index was lost. EMAILID is "E" and SHA-256 over the octets of the message,
 * THREADID is "T" and SHA-256 over the message-id that begins the thread: the first of References, else of In-Reply-To, else
 * the message's own; a message that names none is a thread by itself, with the number of its EMAILID. Both hashes are cut to
 * 128 bits and written in hexadecimal. */
enum { OBJECT_ID = 40 };                 /* room for one, with its NUL */
/* What is not needed is left alone. Taken from the index if it is there, else read from the message and kept in the index by
 * mailbox_cache_flush. 0, or -1 with e. */
int message_object_ids(struct mailbox *m, const struct message *msg, char email_id[OBJECT_ID], char thread_id[OBJECT_ID],
                       bool need_email, bool need_thread, struct store_error *e);
/* The message-id that begins the thread of a message with this header, without brackets and white space, appended to out;
 * nothing if there is none. */
void thread_root(struct buf *out, struct str header);
#endif
