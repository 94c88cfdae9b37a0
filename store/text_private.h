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
    char asked[CHARSET_NAME];        /* a name as it was asked for, and that is the same one */
    unsigned char asked_n;
    enum charset_kind kind;
    iconv_t cd;                      /* (iconv_t)-1: none is needed, or it is unknown */
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

/* ---- transfer encodings */
/* The octet that "=XX" stands for, three octets at p of which the first is known to be "="; -1: they are none. */
extern const unsigned char hex_value[256];                           /* 16: it is no digit */
static inline int qp_octet(const char *p)
{
    const unsigned high = hex_value[(unsigned char)p[1]], low = hex_value[(unsigned char)p[2]];
    return (high | low) > 15 ? -1 : (int)(high << 4 | low);
}

/* ---- finding (text_find.c) */
/* ASCII, in capitals, and the two places in it to look at first. */
struct finder {
    struct str text;                 /* the maker's */
    size_t at[2];
};
void finder_init(struct finder *f, struct str capitals);
unsigned finder_commonness(char c);                                  /* how often an octet is met: the less, the better to look for */
/* The first place in any octets, whatever the case of ASCII letters; NULL: none. */
const char *finder_find(const struct finder *f, const char *p, size_t n);
bool all_ascii(const char *p, size_t n);

/* What a search keeps from one message to the next. */
struct fold_table;
struct folded_character;
struct rules;
struct text_scratch {
    struct charset_cache charsets;
    struct buf text, folded, decoded, reduced, spaced;
    struct fold_table *table[CHARSET_CACHE];
    unsigned tables;
    struct folded_character *two;    /* by code, of UTF-8's characters of two octets */
    struct rules *rules;             /* text_rule_out.c's */
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
/* Octets of UTF-8 that are, or belong to, a character that folds to no ASCII: ends of characters, Cyrillic, ideographs and Hangul.
 * What is no UTF-8 is U+FFFD, which is none either. */
static inline bool is_inert(unsigned char c)
{
    return (c >= 0x80 && c <= 0xbf) || (c >= 0xd0 && c <= 0xd3) || (c >= 0xe4 && c <= 0xe9) || c == 0xeb || c == 0xec;
}
/* Characters of JIS X 0208, of which all but those of the first rows are ideographs. U+3041..U+30FF and ideographs: all of them are
 * characters. */
enum { JIS_ROWS = 8, JIS_CELLS = 94 };
static inline bool is_inert_jis(unsigned row, unsigned cell)
{
    return (row >= 16 && row <= 46) || (row >= 48 && row <= 83) || (row == 4 && cell <= 83) || (row == 5 && cell <= 86);
}
/* The same from the octets as they are stored, for text in quoted-printable. False: the needle is not in it; true: it may be. */
bool may_be_in_qp(const struct text_needle *n, struct str charset, const char *p, size_t len);
/* False: neither a header's fields nor its other lines have the needle, but for those that are not plain. */
bool has_word(const struct text_needle *n, const char *p, size_t len);
/* ---- ruling out (text_rule_out.c): for needles that are ascii */
/* What a character means for the octet of the needle that is looked for: PART: it compares as that octet, NOTHING: it is no such octet
 * in a match, ANYTHING: it may be more than that. */
enum meaning { UNKNOWN, NOTHING, PART, ANYTHING };
/* From its folded form. */
unsigned char rule_of(const struct text_needle *n, const char *folded, size_t len);
/* Octets from from[i] to from[i] + span[i]; n 0: none, else those that are not needed are as the first. */
enum { RANGES = 3 };
struct octet_ranges {
    unsigned n;
    unsigned char from[RANGES], span[RANGES];
};
/* How the octets of a charset are to be read; of: what they mean. */
struct rule_charset {
    enum { RULES_UTF8, RULES_OCTETS, RULES_JIS } kind;
    unsigned char of[JIS_ROWS * JIS_CELLS];      /* meanings, OCTETS: from 0x80 on; JIS: of rows 1 to 8; UNKNOWN: it may be anything */
    bool quiet[256];                 /* these mean nothing by themselves: rules_done() sets it and what is below */
    struct octet_ranges high, digits;                    /* most of these from 0x80 on; first digits of "=XX" for others, in small letters */
};
void rules_done(const struct text_needle *n, struct rule_charset *c);
/* True: the needle is not in the text; NULL: which is UTF-8. False: it may be. */
bool rule_out(const struct text_needle *n, const struct rule_charset *c, bool qp, const char *p, size_t len);
void rules_free(struct text_scratch *s);
/* Decoding these octets of a header will only unfold them. */
bool is_plain_header(const char *p, size_t n);
#endif
