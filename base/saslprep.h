#ifndef BASE_SASLPREP_H
#define BASE_SASLPREP_H
#include <stdbool.h>

#include "base/buf.h"

/* SASLprep (RFC 4013) of a name or password: other spaces become spaces, what does not show is left out, NFKC; characters that are
 * prohibited or that mix directions of writing are refused. Beyond Unicode 3.2 (RFC 3454) assigned characters are those that utf8proc
 * knows. stored: unassigned ones are refused, too (else: a query, section 2.5). Appends to out: 0, or -1 with out unchanged (not UTF-8,
 * prohibited, or nothing left). What is ASCII without control characters is copied. */
int saslprep(struct buf *out, struct str in, bool stored);
#endif
