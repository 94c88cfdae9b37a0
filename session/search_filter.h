#ifndef SESSION_SEARCH_FILTER_H
#define SESSION_SEARCH_FILTER_H
#include "session/command.h"
#include "store/metadata.h"

/* The search key FILTER (RFC 5466): search keys that the user keeps as an annotation of the server. */
struct filter_frame {
    struct str name;
    const struct filter_frame *outer;
    unsigned depth;
};
/* Of one search; zero at first. A copy, of the same search, is as good. */
struct filters {
    const struct metadata *metadata;         /* read at the first FILTER */
    const struct filter_frame *open;         /* the filters that the parser is within */
};
/* Reads what follows the word FILTER, and lets text begin at the keys that stand there; they are UTF-8. f is within it then:
 * the caller keeps a copy of how it was. charset: of the command. False: *outcome is what to answer if it is not
 * OUTCOME_SILENT, say() was called; else the argument is none. */
bool filter_open(struct session *s, struct filters *f, struct str charset, struct parse *p, struct parse *text, enum outcome *outcome);
/* The keys of the filter that f is within are none: what to answer. */
enum outcome filter_broken(struct session *s, const struct filters *f);
/* Is this entry of the server the value of a filter? *name is the filter's: .n 0 if no filter can be called so. */
bool filter_entry(struct str entry, struct str *name);
/* Are these search keys, in UTF-8, whole ones? Filters that they name need not be there. */
bool filter_valid(struct session *s, struct str keys);
#endif
