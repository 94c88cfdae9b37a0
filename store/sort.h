#ifndef STORE_SORT_H
#define STORE_SORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "store/mailbox.h"
#include "store/text.h"

/* Sorting messages of a view: the criteria of RFC 5256 section 3, RFC 5957 and RFC 6203 section 6. */
enum sort_by {
    SORT_ARRIVAL, SORT_CC, SORT_DATE, SORT_DISPLAYFROM, SORT_DISPLAYTO, SORT_FROM, SORT_RELEVANCY, SORT_SIZE, SORT_SUBJECT,
    SORT_TO, SORT_KEYS
};
struct sort_key {
    enum sort_by by;
    bool reverse;
    const unsigned char *scores;         /* SORT_RELEVANCY: by sequence number; the highest comes first */
};
/* Of a text, so much is compared (octets after collation): a sender cannot make a sort cost much memory. All texts of one
 * sort together: beyond it fails with STORE_LIMIT. */
enum { SORT_TEXT = 4096, SORT_MEMORY = 1 << 29 };

/* Puts *n sequence numbers, given in any order, in the order of the keys (texts as the collation says), the first key first, equal ones by number.
 * Messages that are gone drop out: *n becomes less. 0 or -1. */
int sort_run(struct mailbox *m, const struct sort_key *keys, size_t key_count, enum collation collation, uint32_t *seqs, size_t *n,
             struct store_error *e);
#endif
