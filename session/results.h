#ifndef SESSION_RESULTS_H
#define SESSION_RESULTS_H
#include "session/command.h"
#include "store/sort.h"

/* Return options of SEARCH and SORT (RFC 4466, 4731, 5182, 5267, 6203, 9394) and the responses that they ask for. */
enum return_option {
    RETURN_MIN = 1, RETURN_MAX = 2, RETURN_ALL = 4, RETURN_COUNT = 8, RETURN_SAVE = 16, RETURN_PARTIAL = 32,
    RETURN_UPDATE = 64, RETURN_CONTEXT = 128, RETURN_RELEVANCY = 256
};
struct return_options {
    bool given;                          /* RETURN was there: the answer is an ESEARCH response */
    unsigned options;
    struct partial range;                /* PARTIAL */
    struct str update_items;             /* UPDATE: fetch-atts in parentheses, or none (RFC 5465 section 7) */
};
/* "RETURN (...) " if it is next; the options default to ALL. False: syntax. */
bool parse_return_options(struct session *s, struct parse *p, struct return_options *out);

/* Message numbers of the view in the order that is to be told. */
struct found {
    uint32_t *seqs;
    size_t n;
    bool uid, sorted;                    /* tell UIDs; not in mailbox order */
    const struct sort_key *keys; size_t key_count;       /* the order, if sorted */
    bool modseq;                         /* the program asked for MODSEQ: the highest is told */
    const unsigned char *scores;         /* of FUZZY by sequence number, 1 to 100, or NULL */
    bool correlators;                    /* of ESEARCH: the answer says of which mailbox it is */
};
/* "* SEARCH ...", "* SORT ..." or "* ESEARCH ...", and what "$" is from now on. */
void write_results(struct session *s, const struct return_options *r, const struct found *f);
/* The head of an ESEARCH response, up to and with " UID" if uid; correlators: with the name and UIDVALIDITY of s->mailbox. */
void write_esearch_head(struct session *s, struct str tag, bool uid, bool correlators);
/* Numbers in this order as a sequence-set. */
void write_number_set(struct buf *out, const uint32_t *numbers, size_t n);

/* How well the messages that a program finds match what it asks FUZZY for (RFC 6203 section 4), by sequence number; for those that it
 * does not find it means nothing. malloc'ed. */
unsigned char *relevancy(struct session *s, struct search_key *program);
/* The same if `wanted` or if one of the keys is RELEVANCY, which gets them; else NULL. */
unsigned char *sort_relevancy(struct session *s, struct search_key *program, struct sort_key *keys, size_t n, bool wanted);

/* Does a program use MODSEQ anywhere? */
bool search_uses(const struct search_key *program, enum search_type type);

/* Results that are kept up to date for the client (RFC 5267 section 4.3). */
struct context;
/* Takes the running command's results as one; text: charset and keys as they stood in the command. A client that has too many
 * is told NOUPDATE. False: the tag is in use, say() was called. */
bool context_add(struct session *s, struct str charset, struct str keys, const struct return_options *r, const struct found *f);
bool context_tag_free(struct session *s);
/* The steps that make the list `was` to `now`: each is called with a place, counted from 1 in the list as it then is. */
void sorted_changes(const uint32_t *was, size_t was_n, const uint32_t *now, size_t now_n,
                    void (*each)(void *ctx, bool added, size_t place, uint32_t uid), void *ctx);
void contexts_expunged(struct session *s, uint32_t seq, uint32_t uid);   /* before EXPUNGE is told */
/* Whether one of them tells message numbers: then each expunge must be told before the next. */
bool contexts_numbered(const struct session *s);
void contexts_changed(struct session *s);                                /* after EXISTS and FETCH were */
void contexts_end(struct session *s);                                    /* the mailbox is not selected any more */
#endif
