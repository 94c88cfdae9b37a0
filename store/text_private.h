#ifndef STORE_TEXT_PRIVATE_H
#define STORE_TEXT_PRIVATE_H
#include <iconv.h>
#include "base/octets.h"
#include "store/decode.h"
#include "store/text.h"

/* The streaming parts that text.h is made of: each takes octets in pieces of any size and appends what they give. */

/* ---- charset to UTF-8 */
enum { CHARSET_NAME = 40, CHARSET_CACHE = 16 };
enum charset_kind { CHARSET_UTF8, CHARSET_ICONV, CHARSET_GUESS };      /* GUESS: unknown; UTF-8, else ISO-8859-1 */
struct charset_entry {
    char name[CHARSET_NAME + 1];     /* capitals */
    iconv_t cd;                      /* (iconv_t)-1: unknown */
};
/* Converters once opened, for as long as a search lasts. Zero-initialised is empty. */
struct charset_cache {
    struct charset_entry entry[CHARSET_CACHE];
    unsigned n;
};
void charset_cache_free(struct charset_cache *c);
struct charset {
    enum charset_kind kind;
    iconv_t cd;                      /* the cache's */
    size_t pending_n;
    char pending[16];                /* of a character that is not complete yet */
};
void charset_open(struct charset *c, struct charset_cache *cache, struct str name);
void charset_feed(struct charset *c, struct buf *out, const char *in, size_t n);
void charset_end(struct charset *c, struct buf *out);

/* As text_decode_header, with converters kept. */
void header_decode(struct buf *out, struct str value, struct charset_cache *cache);

/* ---- folding */
/* Appends the folded form of all whole characters of in; returns how many octets they were. last: nothing follows. */
size_t fold_feed(enum collation collation, struct buf *out, const char *in, size_t n, bool last);
/* Capitals of the ASCII octets at the beginning of in; returns how many. to has room for n, and what is behind those is undefined. */
size_t fold_ascii_run(char *to, const char *in, size_t n);
/* Any one character by i;unicode-casemap. Returns its length in octets; an octet that is no UTF-8 stays as it is. */
size_t fold_any(struct buf *out, const char *in, size_t n);

/* ---- finding (text_find.c) */
/* ASCII, in capitals, and the two places in it to look at first. */
struct finder {
    struct str text;                 /* the maker's */
    size_t at[2];
};
void finder_init(struct finder *f, struct str capitals);
/* The first place in any octets, whatever the case of ASCII letters; NULL: none. */
const char *finder_find(const struct finder *f, const char *p, size_t n);
bool all_ascii(const char *p, size_t n);

/* What a search keeps from one message to the next. */
struct fold_table;
struct folded_character;
struct text_scratch {
    struct charset_cache charsets;
    struct buf text, folded, decoded, reduced, spaced;
    struct fold_table *table[CHARSET_CACHE];
    unsigned tables;
    struct folded_character *two;    /* by code, of UTF-8's characters of two octets */
};
void fold_tables_free(struct text_scratch *s);
struct text_needle {
    enum collation collation;
    struct buf folded;
    bool spaces, two_spaces;         /* it has some, and no tab; it has two side by side */
    bool ascii;                      /* it can be found in texts without folding them exactly: */
    struct finder whole, word;       /* by itself, or by the longest of its words */
    struct text_scratch *scratch;    /* not part of what the needle is */
};
/* A field's value as text_needle_in_header says. Lasts until the next one. */
struct str spaced_value(const struct text_needle *n, struct str value, bool phrase);
bool needle_in(const struct text_needle *n, const char *folded, size_t len);
void text_needle_find(struct text_needle *n);                        /* sets ascii, whole, word */
/* For needles that are ascii. Is it in a whole text, decoded for transfer? 1, 0, -1: it must be converted and folded. */
int find_in_text(const struct text_needle *n, struct str charset, const char *p, size_t len);
/* False: neither a header's fields nor its other lines have the needle, but for those that are not plain. */
bool has_word(const struct text_needle *n, const char *p, size_t len);
/* Decoding these octets of a header will only unfold them. */
bool is_plain_header(const char *p, size_t n);
#endif
