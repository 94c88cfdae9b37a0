#ifndef STORE_COLLATE_H
#define STORE_COLLATE_H
#include "base/buf.h"

/* Collation i;unicode-casemap (RFC 5051): appends the octets of a string that take its place in comparisons, by memcmp and
 * then length. Text that is not UTF-8 is taken as it is. At most 18 characters come of one. */
void collate_casemap(struct buf *out, struct str utf8);
#endif
