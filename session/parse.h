#ifndef SESSION_PARSE_H
#define SESSION_PARSE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"

/* Reading a command's arguments. The command is in memory with its literals in place ("{n}CRLF" and the n octets). Each
 * function bears the name of the rule of RFC 3501 section 9 that it reads, moves p->at behind what it read, and returns
 * false without moving when the rule does not match. Strings are in the arena or in the command. */
struct parse {
    const char *at, *end;
    struct arena *arena;
    bool utf8;                       /* the client may send UTF-8 in quoted strings: other octets are refused there (RFC 6855 section 3) */
};
bool parse_char(struct parse *p, char c);
bool parse_sp(struct parse *p);                           /* exactly one space */
bool parse_end(const struct parse *p);                    /* nothing is left */
bool parse_word(struct parse *p, const char *word);       /* this word, any case, not followed by an atom character */
bool parse_tag(struct parse *p, struct str *out);
bool parse_atom(struct parse *p, struct str *out);
bool parse_string(struct parse *p, struct str *out);      /* quoted or literal; no NUL */
bool parse_astring(struct parse *p, struct str *out);
bool parse_list_mailbox(struct parse *p, struct str *out);
bool parse_number(struct parse *p, uint32_t *out);        /* at most 2^32-1 */
bool parse_number64(struct parse *p, uint64_t *out);      /* at most 2^63-1 */
bool parse_nz_number(struct parse *p, uint32_t *out);
/* sequence-set; '*' is UINT32_MAX in ranges (first <= last after ordering). At most SET_RANGES ranges. */
struct range { uint32_t first, last; };
struct set { struct range *list; size_t n; bool saved; };      /* saved: "$", the saved result (RFC 5182) */
enum { SET_RANGES = 100000 };
bool parse_set(struct parse *p, struct set *out);
/* partial-range of RFC 9394: "1:500" or "-1:-100"; first <= last in size, both of one sign; swapped: the
 * client had them the other way round. */
struct partial { int64_t first, last; bool swapped; };
bool parse_partial(struct parse *p, struct partial *out);
bool parse_date(struct parse *p, int32_t *day);           /* date of SEARCH, quoted or not */
bool parse_date_time(struct parse *p, int64_t *date, int *zone);   /* quoted */
/* flag-list in parentheses, or flags without them (STORE): system flags and keyword names. False on anything else;
 * \Recent and unknown backslash flags are refused. */
struct flags { unsigned bits; struct str *keywords; size_t n; };
bool parse_flags(struct parse *p, bool parentheses, struct flags *out);
#endif
