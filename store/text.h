#ifndef STORE_TEXT_H
#define STORE_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "store/mime.h"

/* Text as a person reads it: charsets (iconv), RFC 2047 words, RFC 2231 values, transfer encodings, and comparison by
 * a collation (the same on needle and haystack). Everything is UTF-8 inside; octets
 * that do not fit their charset become U+FFFD, an unknown charset is read as UTF-8, failing that as ISO-8859-1. */
bool text_charset_known(struct str charset);                       /* for SEARCH CHARSET: NO [BADCHARSET] */
int text_to_utf8(struct buf *out, struct str charset, struct str in);   /* 0, or -1 charset unknown */
void text_decode_header(struct buf *out, struct str value);        /* unfolded, encoded words decoded */
/* The same, octets that are not valid in their charset, or whose charset is unknown, as they are: perhaps no UTF-8. kept: converters once opened, for many calls (to open one takes far longer than
 * a text); NULL: none are. */
struct charset_cache;
void text_decode_words(struct buf *out, struct str value, struct charset_cache *kept);
struct charset_cache *charset_cache_new(void);
void charset_cache_delete(struct charset_cache *c);                /* also NULL */

/* How text is compared: i;unicode-casemap (RFC 5051), i;ascii-casemap and i;octet (RFC 4790). */
enum collation { COLLATE_CASEMAP, COLLATE_ASCII, COLLATE_OCTET };
/* Appends the form for comparing: equality, order and substrings of texts are those of their forms' octets. A text
 * that is not UTF-8 stays as it is (RFC 5051 section 2, step 1b): then it returns false. */
bool text_fold(enum collation collation, struct buf *out, struct str utf8);
/* Is it well-formed UTF-8? */
bool text_is_utf8(struct str s);

/* A substring being looked for; text is UTF-8. */
struct text_needle;
struct text_needle *text_needle_new(enum collation collation, struct str utf8);
void text_needle_free(struct text_needle *n);
bool text_needle_may_be(const struct text_needle *n, struct str fields);       /* false: in none of them */
/* Decodes the value first. To a needle that has spaces, and no tab, a fold is one space, as people read it, not the tab that
 * unfolding leaves; with phrase any white space is one, unless the needle has two side by side. */
bool text_needle_in_header(const struct text_needle *n, struct str value, bool phrase);
/* Looks in the decoded text of a body: every text part (text and message types; encoded headers of attached messages
 * too), streamed through read, which fills like pread from the message's offset and returns octets got, 0 at the end, -1 on
 * failure. headers: look in the message header and those of parts too (TEXT), else BODY. 1 found, 0 not, -1 read failed. */
typedef long (*text_read)(void *ctx, uint64_t offset, char *to, size_t n);
int text_search(const struct mime_part *root, const struct text_needle *n, bool headers, text_read read, void *ctx);
/* The same in a message that is in memory, whose octets root was parsed from. 1 found, 0 not. */
int text_search_in(const struct mime_part *root, const struct text_needle *n, bool headers, struct str message);
/* Decodes base64 or quoted-printable (any other encoding: copies) of a whole part. */
void text_decode_transfer(struct buf *out, struct str encoding, struct str in);
#endif
