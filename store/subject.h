#ifndef STORE_SUBJECT_H
#define STORE_SUBJECT_H
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"

/* What RFC 5256 sorts and threads by. */

/* Section 2.1: appends the base subject, UTF-8, of a Subject field's value (unfolded, encoded words and all). *reply (may be
 * NULL): the message is a reply or was forwarded, as section 3 has it for THREAD=REFERENCES. Time is linear in the value. kept: as in
 * text_decode_words. */
struct charset_cache;
void subject_base(struct buf *out, struct str value, bool *reply, struct charset_cache *kept);
/* Section 2.2: seconds since 1970 of a Date field; internal, the message's INTERNALDATE, if it has no readable date. */
bool subject_date(struct str date, int64_t *out);            /* false: it is not readable */
int64_t subject_sent_date(struct str date, int64_t internal);
#endif
