#ifndef STORE_TEXT_PRIVATE_H
#define STORE_TEXT_PRIVATE_H
#include <iconv.h>
#include "store/decode.h"
#include "store/text.h"

/* The streaming parts that text.h is made of: each takes octets in pieces of any size and appends what they give. */

/* ---- charset to UTF-8 */
enum { CHARSET_NAME = 40, CHARSET_CACHE = 8 };
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

/* What a search keeps from one message to the next. */
struct text_scratch {
    struct charset_cache charsets;
    struct buf text, folded;
};
struct text_needle {
    enum collation collation;
    struct buf folded;
    struct text_scratch *scratch;    /* not part of what the needle is */
};
bool needle_in(const struct text_needle *n, const char *folded, size_t len);
#endif
