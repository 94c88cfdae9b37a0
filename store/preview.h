#ifndef STORE_PREVIEW_H
#define STORE_PREVIEW_H
#include <stdbool.h>
#include "store/mailbox.h"
#include "store/mime.h"

/* The beginning of what a message says (RFC 8970): at most PREVIEW_MOST characters of UTF-8 on one line, from the first
 * text/plain part that says something, else from text/html without its markup, else the empty string. */
enum { PREVIEW_MOST = 200 };
/* From the index: true, and appended to out. */
bool preview_cached(struct mailbox *m, const struct message *msg, struct buf *out);
/* Made from the message, appended to out, and kept in the index by mailbox_cache_flush. root: its structure. 0, or -1 with e. */
int preview_make(struct mailbox *m, const struct message *msg, const struct mime_part *root, struct buf *out, struct store_error *e);

/* The two kinds of text, UTF-8, appended to out. White space becomes single spaces; quoted lines of plain text are left out
 * unless quotes, and a signature ends it. False: there is room left, so more text might say more. */
bool preview_plain(struct buf *out, struct str utf8, bool quotes);
bool preview_html(struct buf *out, struct str utf8);
#endif
