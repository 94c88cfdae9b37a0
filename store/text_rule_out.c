/*
 * Ruling out that a text has an ASCII needle, from its octets as they are stored, without decoding them. Of the needle's octets one
 * that is rare in mail is chosen. In a match it is there as it stands, or written as "=XX", or it is part of what a character that is
 * not ASCII folds to: the places where one of these may be are found 16 octets at a time, and looked at one by one. Is it, with
 * the octets around it, a piece of the needle? Looking stops at an octet that is not ASCII, and before the place at
 * "=XX" and at a soft line break too, which are taken to fit. Most text has no place that fits, and so is never decoded. One that
 * may have the needle is decoded and searched by text_find.c: nothing is found here.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/xmalloc.h"
#include "store/text_private.h"

enum { NEEDLE_MOST = 64, CHARACTERS = 1 << 16, ESCAPE = 27, DIGITS = 16 };

struct rules {
    size_t n, rare;                          /* rare: the place of the octet that is looked for */
    char needle[NEEDLE_MOST];                /* capitals */
    uint64_t places[256];                    /* of an octet in the needle, a bit for each */
    struct rule_charset utf8;
    unsigned char *of;                       /* by code, up to U+FFFF: those that were met */
};

/* What its folded form means. */
static enum meaning meaning_of(const struct rules *r, const char *folded, size_t n)
{
    size_t ascii = 0, part = 0;

    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)folded[i];
        ascii += c < 0x80;
        part += folded[i] == r->needle[r->rare];       /* of others nothing needs to be known */
    }
    if (part == 0) return NOTHING;
    if (ascii > 1 || (unsigned char)folded[0] >= 0x80) return ANYTHING;
    return n == 1 || r->rare == r->n - 1 ? PART : NOTHING;       /* what follows in the form is in no needle */
}

/* The same of a character of UTF-8; what is none is U+FFFD. */
static enum meaning folded_meaning(const struct rules *r, struct text_scratch *s, const char *octets, size_t n)
{
    buf_clear(&s->folded);
    return fold_any(&s->folded, octets, n) == n ? meaning_of(r, s->folded.data, s->folded.len) : NOTHING;
}

/* The octet that, with the one behind it, is met the least. "=" is none: encoded text has it everywhere. */
static void choose_rare(struct rules *r)
{
    unsigned least = UINT_MAX;

    for (size_t i = 0; i < r->n; i++) {
        const unsigned next = i + 1 < r->n ? finder_commonness(r->needle[i + 1]) : finder_commonness(' ');
        const unsigned both = 2 * finder_commonness(r->needle[i]) + next;
        if (r->needle[i] == '=' || both >= least) continue;
        least = both;
        r->rare = i;
    }
    if (least == UINT_MAX) r->n = 0;
}

static struct rules *rules_of(const struct text_needle *n)
{
    struct text_scratch *s = n->scratch;
    if (s->rules) return s->rules;
    struct rules *r = s->rules = xcalloc(1, sizeof *r);
    const struct str text = n->whole.text;
    if (text.n > NEEDLE_MOST) return r;
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f) return r;      /* line ends are what decoding changes, too */
    r->n = text.n;
    memcpy(r->needle, text.p, text.n);
    choose_rare(r);
    if (r->n == 0) return r;
    for (size_t i = 0; i < text.n; i++) {
        const unsigned char c = (unsigned char)text.p[i];
        r->places[c] |= UINT64_C(1) << i;
        if (c >= 'A' && c <= 'Z') r->places[c | 0x20] |= UINT64_C(1) << i;
    }
    r->of = xcalloc(CHARACTERS, sizeof *r->of);
    for (unsigned code = 0x80; code < 0x800; code++) {
        const char octets[] = { (char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f)) };
        r->of[code] = (unsigned char)folded_meaning(r, s, octets, sizeof octets);
    }
    rules_done(n, &r->utf8);
    return r;
}

void rules_free(struct text_scratch *s)
{
    if (s->rules) free(s->rules->of);
    free(s->rules);
    s->rules = NULL;
}

/* Adds a range; if there are too many, the shortest is left out. */
static void add_range(struct octet_ranges *r, unsigned from, unsigned n)
{
    unsigned at = r->n;

    if (at < RANGES) {
        r->n++;
    } else {
        at = 0;
        for (unsigned k = 1; k < RANGES; k++)
            if (r->span[k] < r->span[at]) at = k;
        if (n - 1 <= r->span[at]) return;
    }
    r->from[at] = (unsigned char)from;
    r->span[at] = (unsigned char)(n - 1);
}

static void fill_ranges(struct octet_ranges *r)
{
    if (r->n == 0) add_range(r, 0, 1);                 /* so that there is one: NUL is looked at, or not, for nothing */
    for (unsigned k = r->n; k < RANGES; k++) {
        r->from[k] = r->from[0];
        r->span[k] = r->span[0];
    }
}

/* The octets from 0x80 on that mean nothing by themselves, or most of them. */
static void quiet_ranges(struct octet_ranges *r, const bool quiet[256])
{
    for (unsigned c = 0x80, n; c < 256; c += n + 1) {
        for (n = 0; c + n < 256 && quiet[c + n]; n++) continue;
        if (n) add_range(r, c, n);
    }
    fill_ranges(r);
}

/* The first digits of "=XX" for the octets that do not mean nothing, and perhaps more: gaps are closed, the smallest first. */
static void loud_digits(struct octet_ranges *r, const bool quiet[256])
{
    static const char digits[] = "0123456789abcdef";
    bool loud[DIGITS] = { false };
    unsigned runs = 0;

    for (unsigned c = 0; c < 256; c++) loud[c >> 4] |= !quiet[c];
    for (unsigned gap = 0; gap == 0 || runs > RANGES; gap++) {
        unsigned before = DIGITS;                      /* the last that is loud */
        runs = 0;
        for (unsigned d = 0; d < DIGITS; d++) {
            if (!loud[d]) continue;
            if (before < DIGITS && d - before - 1 <= gap)
                while (before + 1 < d) loud[++before] = true;
            else runs++;
            before = d;
        }
    }
    for (unsigned d = 0, n; d < DIGITS; d += n + 1) {
        for (n = 0; d + n < DIGITS && loud[d + n]; n++) continue;
        if (n) add_range(r, (unsigned char)digits[d], (unsigned)(digits[d + n - 1] - digits[d]) + 1);
    }
    fill_ranges(r);
}

/* Is the octet of UTF-8 in no character of two octets that means something, and in none that is longer? */
static bool quiet_in_utf8(const struct rules *r, unsigned char c)
{
    if (c < 0xc2 || c > 0xdf) return is_inert(c);
    const unsigned char *const of = &r->of[(c & 0x1f) << 6];
    for (unsigned i = 0; i < 0x40; i++)
        if (of[i] != NOTHING) return false;
    return true;
}

void rules_done(const struct text_needle *n, struct rule_charset *charset)
{
    const struct rules *r = rules_of(n);

    if (r->n == 0) return;                             /* nothing is ruled out, and r->of is not there */
    for (unsigned c = 0; c < 256; c++) {
        if (charset->kind == RULES_JIS && (c >= 0x80 || c == 14 || c == 15 || c == ESCAPE)) charset->quiet[c] = false;
        else if (c < 0x80) charset->quiet[c] = !(r->places[c] >> r->rare & 1);
        else charset->quiet[c] = charset->kind == RULES_UTF8 ? quiet_in_utf8(r, (unsigned char)c) : charset->of[c - 0x80] == NOTHING;
    }
    quiet_ranges(&charset->high, charset->quiet);
    loud_digits(&charset->digits, charset->quiet);
}

/* A text that is looked at. */
struct look {
    const struct rules *rules;
    const struct rule_charset *charset;
    const char *p;
    size_t n;
    bool qp;
    char mark[2];                            /* octets that decoding changes beside those from 0x80 on */
};

static bool is_special(const struct look *l, size_t i)
{
    return l->p[i] == l->mark[0] || l->p[i] == l->mark[1] || (unsigned char)l->p[i] >= 0x80;
}

/* The octet that begins at place i; returns how many octets it takes, 0: "=" that begins none. */
static size_t octet_at(const struct look *l, size_t i, unsigned char *c)
{
    *c = (unsigned char)l->p[i];
    if (!l->qp || *c != '=') return 1;
    if (l->n - i < 3) return 0;
    const int octet = qp_octet(l->p + i);
    *c = (unsigned char)octet;
    return octet < 0 ? 0 : 3;
}

/* Octets of the soft line break at place i; 0: it is none, or not a simple one. */
static size_t break_at(const struct look *l, size_t i)
{
    if (l->n - i >= 2 && l->p[i + 1] == '\n') return 2;
    return l->n - i >= 3 && l->p[i + 1] == '\r' && l->p[i + 2] == '\n' ? 3 : 0;
}

/* As next_octet, where there is a "=", or nothing more. */
static int encoded_octet(const struct look *l, size_t *at)
{
    while (*at < l->n) {
        unsigned char c;
        const size_t length = octet_at(l, *at, &c), passed = length ? length : break_at(l, *at);
        if (passed == 0) return -1;
        *at += passed;
        if (length) return c;
    }
    return -1;
}

/* The next octet, passing soft line breaks; *at is set behind it. -1: there is none. */
static inline int next_octet(const struct look *l, size_t *at)
{
    if (*at < l->n && l->p[*at] != '=') return (unsigned char)l->p[(*at)++];
    return encoded_octet(l, at);
}

/* May octets that end at place `to` be the end of something that decoding changes? "=XX" and its like have up to 5. */
static bool ends_something(const struct look *l, size_t to)
{
    if (!l->qp && l->charset->kind != RULES_JIS) return false;
    for (size_t k = 1; k <= 5 && k <= to; k++)
        if (is_special(l, to - k)) return true;
    return l->qp && l->p[to - 1] == '\n';              /* blanks may stand within a soft line break */
}

/* Can the octets from `from` to `to` be the one that is looked for? What is around them decides. */
static bool fits(const struct look *l, size_t from, size_t to)
{
    const uint64_t *places = l->rules->places;

    for (size_t right = l->rules->rare + 1; right < l->rules->n; right++) {
        const int c = next_octet(l, &to);
        if (c < 0 && to == l->n) return false;
        if (c < 0 || c >= 0x80 || c == ESCAPE) break;
        if (!(places[c] >> right & 1)) return false;
    }
    for (size_t left = l->rules->rare; left > 0; left--) {
        if (from == 0) return false;
        if (is_special(l, --from)) break;
        if (!(places[(unsigned char)l->p[from]] >> (left - 1) & 1)) return ends_something(l, from + 1);
    }
    return true;
}

/* What the character of UTF-8 means whose first octet is at i; *to is set behind it. What is none is U+FFFD, which means nothing. */
static enum meaning utf8_at(struct rules *r, struct text_scratch *s, const struct look *l, size_t i, size_t *to)
{
    char octets[4];
    size_t n = 0, need = 1;

    for (size_t at = i; n < need; n++) {
        const int c = next_octet(l, &at);
        if (c < 0 && at < l->n) return ANYTHING;
        if (n == 0) need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        else if (c < 0 || (c & 0xc0) != 0x80) break;
        octets[n] = (char)c;
        if (n == 0 || n + 1 == need) *to = at;
    }
    if (n < need) return NOTHING;
    const unsigned code = need == 2 ? (octets[0] & 0x1fu) << 6 | (octets[1] & 0x3fu)
                                    : (octets[0] & 0xfu) << 12 | (octets[1] & 0x3fu) << 6 | (octets[2] & 0x3fu);
    if (need < 4 && code < (need == 2 ? 0x80u : 0x800u)) return NOTHING;
    if (need == 4) return folded_meaning(r, s, octets, need);
    if (r->of[code] == UNKNOWN) r->of[code] = (unsigned char)folded_meaning(r, s, octets, need);
    return r->of[code];
}

unsigned char rule_of(const struct text_needle *n, const char *folded, size_t len)
{
    return (unsigned char)meaning_of(rules_of(n), folded, len);
}

/* Characters of JIS X 0208 from the escape at place i to the one that ends them. Returns where that ends; 0: it must be looked at exactly. */
static size_t jis_end(const struct look *l, size_t i)
{
    size_t at = i, count = 0;

    if (next_octet(l, &at) != ESCAPE || next_octet(l, &at) != '$' || next_octet(l, &at) != 'B') return 0;
    for (int c; (c = next_octet(l, &at)) != ESCAPE; count++) {
        const int d = c < 0 ? -1 : next_octet(l, &at);
        const unsigned row = (unsigned)c - 0x20u, cell = (unsigned)d - 0x20u;
        if (row - 1 >= JIS_CELLS || cell - 1 >= JIS_CELLS) return 0;
        if (is_inert_jis(row, cell)) continue;
        if (row > JIS_ROWS || l->charset->of[(row - 1) * JIS_CELLS + cell - 1] != NOTHING) return 0;
    }
    return count > 0 && next_octet(l, &at) == '(' && next_octet(l, &at) == 'B' ? at : 0;
}

/* Can what is at place i be, in a match, the octet that is looked for? *to is set behind it. */
static bool may_be_at(struct rules *r, struct text_scratch *s, const struct look *l, size_t i, size_t *to)
{
    unsigned char c;
    const size_t length = octet_at(l, i, &c);

    *to = i + (length ? length : 1);
    if (length == 0) return false;                       /* a soft line break, or "=" for itself */
    if (l->charset->kind == RULES_JIS && (c >= 0x80 || c == 14 || c == 15)) return true;
    if (l->charset->kind == RULES_JIS && c == ESCAPE) return (*to = jis_end(l, i)) == 0;
    if (l->charset->quiet[c]) return false;
    if (c >= 0x80) {
        const enum meaning m = l->charset->kind == RULES_UTF8 ? utf8_at(r, s, l, i, to) : (enum meaning)l->charset->of[c - 0x80];
        if (m != PART) return m != NOTHING;
    }
    return fits(l, i, *to);
}

/* What octets are compared with, WIDE times each: to make it of one octet takes longer than the comparison. */
typedef unsigned char wide __attribute__((vector_size(32)));
struct compare {
    wide octet[2], ignore[2];              /* the octet that is looked for and the next, and the bits of them that do not matter */
    wide mark[2];
    struct wide_ranges { wide from[RANGES], span[RANGES]; } high, digits;
};

static inline __attribute__((always_inline)) void of_octet(wide *to, unsigned char c)
{
    *to = (wide){ 0 } + c;
}

static inline __attribute__((always_inline)) void of_ranges(struct wide_ranges *to, const struct octet_ranges *r)
{
    for (unsigned k = 0; k < RANGES; k++) {
        of_octet(&to->from[k], r->from[k]);
        of_octet(&to->span[k], r->span[k]);
    }
}

static inline __attribute__((always_inline)) void compare_with(struct compare *c, const struct look *l)
{
    const struct rules *r = l->rules;

    for (unsigned k = 0; k < 2; k++) {
        const char octet = r->rare + k < r->n ? r->needle[r->rare + k] : '\0';
        const unsigned char ignore = octet == '\0' ? 0xff : octet >= 'A' && octet <= 'Z' ? 0x20 : 0;       /* 0xff: any octet will do */
        of_octet(&c->ignore[k], ignore);
        of_octet(&c->octet[k], (unsigned char)octet | ignore);
        of_octet(&c->mark[k], (unsigned char)l->mark[k]);
    }
    of_ranges(&c->high, &l->charset->high);
    of_ranges(&c->digits, &l->charset->digits);
}

/* Keeps those of *set that are in the ranges, or those that are not. */
static inline __attribute__((always_inline)) void keep(wide *set, bool inside, const wide *octets, const struct wide_ranges *r)
{
    const wide v = *octets;
    const wide in = (wide)((v - r->from[0]) <= r->span[0]) | (wide)((v - r->from[1]) <= r->span[1]) | (wide)((v - r->from[2]) <= r->span[2]);
    *set &= inside ? in : ~in;
}

static inline __attribute__((always_inline)) unsigned wide_bits(const wide *v)
{
    vector half[2];
    memcpy(half, v, sizeof half);
    return top_bits(half[0]) | top_bits(half[1]) << 16;
}

/* Of the 32 octets at p, behind which there is one more: those that may_be_at() has to look at, a bit for each. */
static inline __attribute__((always_inline)) unsigned loud_bits(const struct compare *c, const char *p, bool qp, bool jis)
{
    wide v, next;

    memcpy(&v, p, sizeof v);
    memcpy(&next, p + 1, sizeof next);
    const wide same = (wide)((v | c->ignore[0]) == c->octet[0]), same_next = (wide)((next | c->ignore[1]) == c->octet[1]);
    wide end = next, high = v, equals = { 0 };
    if (qp) end |= (wide)(next == c->mark[0]), equals = (wide)(v == c->mark[0]);
    if (jis) end |= (wide)(next == c->mark[1]), high |= (wide)(v == c->mark[1]);
    wide all = same & (same_next | end);
    const wide any = all | high | equals;
    if (wide_bits(&any) == 0) return 0;
    next |= 0x20;
    if (qp) keep(&equals, true, &next, &c->digits);
    keep(&high, false, &v, &c->high);
    all |= equals | high;
    return wide_bits(&all);
}

/* Is there a place that may be in a match? qp and jis are constants, so that plain text is not compared with what it cannot have. */
static inline __attribute__((always_inline)) bool loud_within(struct rules *r, struct text_scratch *s, const struct look *l,
                                                              bool qp, bool jis)
{
    struct compare c;
    size_t i = 0, to = 0;

    compare_with(&c, l);
    for (; i + sizeof(wide) < l->n; i += sizeof(wide)) {
        for (unsigned bits = loud_bits(&c, l->p + i, qp, jis); bits; bits &= bits - 1) {
            const size_t at = i + (unsigned)__builtin_ctz(bits);
            if (at >= to && may_be_at(r, s, l, at, &to)) return true;
        }
    }
    for (i = i > to ? i : to; i < l->n; i = to)
        if (may_be_at(r, s, l, i, &to)) return true;
    return false;
}

/* For all that may be in a text, and for each kind by itself. */
static inline __attribute__((always_inline)) bool loud(struct rules *r, struct text_scratch *s, const struct look *l)
{
    if (l->charset->kind == RULES_JIS) return loud_within(r, s, l, true, true);
    return l->qp ? loud_within(r, s, l, true, false) : loud_within(r, s, l, false, false);
}

#ifdef __x86_64__
static __attribute__((target("avx2"))) bool loud_by_avx2(struct rules *r, struct text_scratch *s, const struct look *l)
{
    return loud(r, s, l);
}
#endif

bool rule_out(const struct text_needle *n, const struct rule_charset *c, bool qp, const char *p, size_t len)
{
    struct rules *r = rules_of(n);
    struct look l = { .rules = r, .charset = c ? c : &r->utf8, .p = p, .n = len, .qp = qp, .mark = { qp ? '=' : (char)0x80, (char)0x80 } };

    if (r->n == 0) return false;
    if (l.charset->kind == RULES_JIS) {
        l.mark[1] = ESCAPE;
        if (memchr(p, 14, len) || memchr(p, 15, len)) return false;
    }
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) return !loud_by_avx2(r, n->scratch, &l);
#endif
    return !loud(r, n->scratch, &l);
}
