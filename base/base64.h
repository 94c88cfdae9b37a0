#ifndef BASE_BASE64_H
#define BASE_BASE64_H
#include "base/buf.h"

void base64_encode(struct buf *out, const void *bytes, size_t n);      /* RFC 4648 section 4, no line breaks */
/* Strict: alphabet, length and padding must be right (RFC 4422/3501 SASL). 0, or -1 with out unchanged. */
int base64_decode(struct buf *out, struct str in);
#endif
