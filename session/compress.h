#ifndef SESSION_COMPRESS_H
#define SESSION_COMPRESS_H
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

/* Raw deflate (RFC 1951) in both directions of one connection (RFC 4978), about 320 KB of memory for as long as it lasts. */
struct compress;
/* received: octets that came after the COMPRESS command and are compressed already. NULL: no memory. */
struct compress *compress_new(struct str received);
void compress_free(struct compress *c);              /* NULL is fine */

/* Appends to wire what n octets become; with flush everything given so far can be inflated from it. Octets that do not
 * get smaller are sent as they are. wire grows by at most n + n / 1000 + 128 KiB. */
void compress_out(struct compress *c, struct buf *wire, const char *p, size_t n, bool flush);

enum compress_status {
    COMPRESS_SOME,               /* *got octets, at least one */
    COMPRESS_MORE,               /* nothing left: compress_feed what comes next */
    COMPRESS_END,                /* the client has ended its stream */
    COMPRESS_DAMAGED             /* not a deflate stream */
};
/* Inflates at most n octets into to, whatever the input could become: the caller's bounds hold. */
enum compress_status compress_in(struct compress *c, char *to, size_t n, size_t *got);
/* Octets from the wire, copied. Only after COMPRESS_MORE: so no more is kept than one call gives. */
void compress_feed(struct compress *c, const char *p, size_t n);
/* For a client that ends its compression without ending its stream, with a flush after a line (RFC 8437 section 4.1): END once all
 * of it was taken, MORE, or DAMAGED if there was more in it. */
enum compress_status compress_in_ends(struct compress *c);
/* Ends our stream; returns the octets that came and do not belong to the client's, valid until compress_free. */
struct str compress_end(struct compress *c, struct buf *wire);
#endif
