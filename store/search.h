#ifndef STORE_SEARCH_H
#define STORE_SEARCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "store/mailbox.h"
#include "store/text.h"

/* A search program: a tree of keys, built by the session from RFC 3501 section 6.4.4. All strings are UTF-8. */
enum search_type {
    SEARCH_ALL, SEARCH_AND, SEARCH_OR, SEARCH_NOT,
    SEARCH_SEQ, SEARCH_UID,                     /* ranges */
    SEARCH_FLAG, SEARCH_KEYWORD, SEARCH_RECENT, /* value: FLAG_ bit; text: keyword name */
    SEARCH_BEFORE, SEARCH_ON, SEARCH_SINCE,     /* day of INTERNALDATE in its own zone (time and zone disregarded) */
    SEARCH_SENTBEFORE, SEARCH_SENTON, SEARCH_SENTSINCE,   /* day of the Date field */
    SEARCH_SAVEDBEFORE, SEARCH_SAVEDON, SEARCH_SAVEDSINCE,   /* day of the save date in the local zone */
    SEARCH_OLDER, SEARCH_YOUNGER,               /* value: seconds before now */
    SEARCH_MODSEQ,                              /* value: at least */
    SEARCH_LARGER, SEARCH_SMALLER,              /* value: octets */
    SEARCH_HEADER,                              /* field, text: empty text = the field is there */
    SEARCH_BODY, SEARCH_TEXT,
    SEARCH_EMAILID, SEARCH_THREADID             /* text: the id, compared exactly (RFC 8474) */
};
struct search_range { uint32_t first, last; };  /* first <= last; '*' resolved by the session against the view */
struct search_key {
    enum search_type type;
    struct search_key *children; size_t child_count;      /* AND: all of them; OR: 2; NOT: 1 */
    struct search_range *ranges; size_t range_count;
    bool fuzzy;                                  /* text keys: each of the words, its end left open, anywhere in it */
    bool exact;                                  /* of the topmost key: fuzzy is passed over, in all of the program */
    uint64_t value;
    int32_t day;                                 /* days since 1970-01-01 of the date named */
    struct str field, text;
    struct text_needle **needles; size_t needle_count;   /* made by search_run; all must be found */
    enum collation collation;                    /* of the topmost key: of all text in the program */
};
/* Runs the program over the view: calls found for each matching seq, ascending, between reads of the mailbox; found may
 * return non-zero to stop. Cheap keys are tried before dear ones. Expunged messages never match. 0 or -1. */
int search_run(struct mailbox *m, struct search_key *program, int (*found)(void *ctx, uint32_t seq), void *ctx,
               struct store_error *e);
/* Brings *first and *last, message numbers, as near together as the sets that must match say; none are left if *first > *last. */
void search_narrow(const struct mailbox *m, const struct search_key *k, uint32_t *first, uint32_t *last);
enum { SEARCH_DEPTH = 100 };                     /* the session refuses deeper programs */
#endif
