#ifndef STORE_MIME_LEX_H
#define STORE_MIME_LEX_H
#include <stdbool.h>
#include "base/buf.h"
#include "store/mime.h"

/* Lexical parts of structured header fields (RFC 5322 section 3.2, RFC 2045 section 5.1), read leniently. Line ends in a
 * folded value are white space. Every function moves forward or stays, none recurses. */
struct mime_lex {
    const char *p, *end;
    struct buf *comment;            /* if not NULL: the text of the last comment that was passed */
    bool has_comment;
};
struct mime_lex mime_lex_of(struct str value);
void mime_lex_cfws(struct mime_lex *x);                          /* passes white space and (nested) comments */
void mime_lex_quoted(struct mime_lex *x, struct buf *out);       /* at '"': appends the string without its quoting */
void mime_lex_token(struct mime_lex *x, struct buf *out);        /* appends a MIME token; may be empty */
bool mime_lex_char(struct mime_lex *x, char c);                  /* passes c if it is next */

/* *(";" attribute "=" value), RFC 2231 continuations joined. */
void mime_params_parse(struct mime_lex *x, struct mime_param **params, size_t *count, struct arena *a);
/* Value of a parameter (ASCII case ignored); NIL if absent. */
struct str mime_param_get(const struct mime_param *params, size_t count, struct str name);

/* Adds the addresses of one more field to a list that was made here or is empty; long lists do not cost more an address. */
void mime_addresses_add(struct str value, struct mime_addresses *out, struct arena *a);

/* A value unfolded into a: line ends gone, white space kept but before it on its first line. */
struct str mime_unfold(struct str value, struct arena *a);
/* The same for text that people read: each run of white space is one space, none at the ends. */
struct str mime_unfold_plain(struct str value, struct arena *a);
/* Adds one header field to what is known of a part (MIME fields) or message (ENVELOPE fields). */
void mime_part_field(struct mime_part *part, struct str name, struct str value, struct arena *a);
void mime_envelope_field(struct mime_envelope *e, struct str name, struct str value, struct arena *a);
/* Before the first octet: envelopes are not wanted (they stay empty), which saves time. */
void mime_parser_for_search(struct mime_parser *p);
/* From the next octet on, which begins a line, lines that end in LF alone are counted as if they ended in CRLF. */
void mime_parser_lf_is_crlf(struct mime_parser *p);
uint64_t mime_parser_size(const struct mime_parser *p);          /* octets fed, counted so */
void mime_envelope_finish(struct mime_envelope *e);              /* the defaults of sender and reply-to */
#endif
