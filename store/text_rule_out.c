/*
 * Ruling out that a text has an ASCII needle, from its octets as they are stored, without decoding them. A match that lies in plain
 * ASCII from end to end is there as it stands, and a scan for it sees that. In every other match there is something that decoding
 * changes: an octet written as "=XX", a soft line break, or an octet that is not ASCII. Those are looked at one by one: is it, with
 * the plain octets around it, a piece of the needle? Looking stops at the next such place, which is then taken to fit, so that the
 * first one in a match always does. Most text has few that fit, and so is never decoded. One that may have the needle is decoded and
 * searched by text_find.c: nothing is found here.
 */
#include <stdlib.h>
#include <string.h>
#include "base/xmalloc.h"
#include "store/text_private.h"

enum { NEEDLE_MOST = 64, CHARACTERS = 1 << 16, ESCAPE = 27 };

struct rules {
    size_t n;
    char needle[NEEDLE_MOST];                /* capitals */
    uint64_t places[256];                    /* of an octet in the needle, a bit for each */
    struct rule_charset utf8;
    struct rule_character *of;               /* by code, up to U+FFFF: those that were met */
};

/* What its folded form means. */
static struct rule_character character(const struct rules *r, const char *folded, size_t n)
{
    size_t ascii = 0, part = 0;

    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)folded[i];
        ascii += c < 0x80;
        part += c < 0x80 && (c < 'a' || c > 'z') && r->places[c] != 0;     /* a small letter is part of no match: see text_find.c */
    }
    if (part == 0) return (struct rule_character){ NOTHING, 0 };
    if (ascii > 1 || (unsigned char)folded[0] >= 0x80) return (struct rule_character){ ANYTHING, 0 };
    if (n == 1) return (struct rule_character){ PART, folded[0] };
    return (struct rule_character){ folded[0] == r->needle[r->n - 1] ? LAST : NOTHING, folded[0] };
}

/* The same of a character of UTF-8; what is none is U+FFFD. */
static struct rule_character folded_character(const struct rules *r, struct text_scratch *s, const char *octets, size_t n)
{
    buf_clear(&s->folded);
    return fold_any(&s->folded, octets, n) == n ? character(r, s->folded.data, s->folded.len) : (struct rule_character){ NOTHING, 0 };
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
    for (size_t i = 0; i < text.n; i++) {
        const unsigned char c = (unsigned char)text.p[i];
        r->places[c] |= UINT64_C(1) << i;
        if (c >= 'A' && c <= 'Z') r->places[c | 0x20] |= UINT64_C(1) << i;
    }
    r->of = xcalloc(CHARACTERS, sizeof *r->of);
    for (unsigned code = 0x80; code < 0x800; code++) {
        const char octets[] = { (char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f)) };
        r->of[code] = folded_character(r, s, octets, sizeof octets);
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

static void make_ranges(struct octet_ranges *r, const bool set[256])
{
    for (unsigned c = 0, n; c < 256; c += n + 1) {
        for (n = 0; c + n < 256 && set[c + n]; n++) continue;
        if (n) add_range(r, c, n);
    }
    for (unsigned k = r->n; k < RANGES; k++) {
        r->from[k] = r->from[0];
        r->span[k] = r->span[0];
    }
}

/* Is the octet of UTF-8 in no character of two octets that means something, and in none that is longer? */
static bool quiet_in_utf8(const struct rules *r, unsigned char c)
{
    if (c < 0xc2 || c > 0xdf) return is_inert(c);
    const struct rule_character *const of = &r->of[(c & 0x1f) << 6];
    for (unsigned i = 0; i < 0x40; i++)
        if (of[i].meaning != NOTHING) return false;
    return true;
}

void rules_done(const struct text_needle *n, struct rule_charset *charset)
{
    static const char digits[] = "89ABCDEF";
    const struct rules *r = rules_of(n);
    bool high[256] = { false }, digit[256] = { false };

    if (r->n == 0) return;                             /* nothing is ruled out, and r->of is not there */
    for (unsigned c = 0; c < 256; c++) {
        if (charset->kind == RULES_JIS && (c >= 0x80 || c == 14 || c == 15 || c == ESCAPE)) charset->quiet[c] = false;
        else if (c < 0x80) charset->quiet[c] = r->places[c] == 0;
        else charset->quiet[c] = charset->kind == RULES_UTF8 ? quiet_in_utf8(r, (unsigned char)c) : charset->of[c - 0x80].meaning == NOTHING;
        high[c] = c >= 0x80 && charset->quiet[c];
    }
    for (unsigned i = 0; i < 8; i++) {
        bool *const all = &digit[(unsigned char)digits[i]];
        *all = true;
        for (unsigned c = 0x80 + i * 16, end = c + 16; c < end; c++) *all = *all && high[c];
    }
    make_ranges(&charset->high, high);
    make_ranges(&charset->digits, digit);
}

/* A text that is looked at. */
struct look {
    const struct rules *rules;
    const struct rule_charset *charset;
    const char *p;
    size_t n;
    bool qp;
    char mark[2];                            /* octets to be looked at beside those from 0x80 on */
};

static bool is_special(const struct look *l, size_t i)
{
    return l->p[i] == l->mark[0] || l->p[i] == l->mark[1] || (unsigned char)l->p[i] >= 0x80;
}

/* Are the octets before from and those from to on what the needle has before place `left` and from place `right` on? */
static bool fits_at(const struct look *l, size_t from, size_t to, size_t left, size_t right)
{
    const uint64_t *places = l->rules->places;

    for (; left > 0; left--) {
        if (from == 0) return false;
        if (is_special(l, --from)) break;
        if (!(places[(unsigned char)l->p[from]] >> (left - 1) & 1)) return false;
    }
    for (; right < l->rules->n; right++, to++) {
        if (to == l->n) return false;
        if (is_special(l, to)) break;
        if (!(places[(unsigned char)l->p[to]] >> right & 1)) return false;
    }
    return true;
}

/* Can the octets from `from` to `to` be the needle's octet c? */
static bool fits(const struct look *l, size_t from, size_t to, char c)
{
    for (uint64_t places = l->rules->places[(unsigned char)c]; places; places &= places - 1) {
        const size_t k = (size_t)__builtin_ctzll(places);
        if (fits_at(l, from, to, k, k + 1)) return true;
    }
    return false;
}

/* Can they be nothing, in the midst of the needle? */
static bool fits_between(const struct look *l, size_t from, size_t to)
{
    if (from == 0) return false;
    if (is_special(l, from - 1)) return true;
    for (uint64_t places = l->rules->places[(unsigned char)l->p[from - 1]]; places; places &= places - 1) {
        const size_t k = (size_t)__builtin_ctzll(places) + 1;
        if (k < l->rules->n && fits_at(l, from, to, k, k)) return true;
    }
    return false;
}

static bool character_fits(const struct look *l, struct rule_character c, size_t from, size_t to)
{
    switch (c.meaning) {
    case NOTHING: return false;
    case PART: return fits(l, from, to, c.c);
    case LAST: return fits_at(l, from, to, l->rules->n - 1, l->rules->n);
    default: return true;
    }
}

/* The octet that begins at place i; returns how many octets it takes, 0: none, it is a soft line break or nothing right. */
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

/* The next octet, passing soft line breaks; *at is set behind it. -1: there is none. */
static int next_octet(const struct look *l, size_t *at)
{
    if (*at < l->n && (l->p[*at] != '=' || !l->qp)) return (unsigned char)l->p[(*at)++];
    while (*at < l->n) {
        unsigned char c;
        const size_t length = octet_at(l, *at, &c), passed = length ? length : break_at(l, *at);
        if (passed == 0) return -1;
        *at += passed;
        if (length) return c;
    }
    return -1;
}

/* What the character of UTF-8 means whose first octet is at i; *to is set behind it. What is none is U+FFFD, which means nothing. */
static struct rule_character utf8_at(struct rules *r, struct text_scratch *s, const struct look *l, size_t i, size_t *to)
{
    char octets[4];
    size_t n = 0, need = 1;

    for (size_t at = i; n < need; n++) {
        const int c = next_octet(l, &at);
        if (c < 0 && at < l->n) return (struct rule_character){ ANYTHING, 0 };
        if (n == 0) need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        else if (c < 0 || (c & 0xc0) != 0x80) break;
        octets[n] = (char)c;
        if (n == 0 || n + 1 == need) *to = at;
    }
    if (n < need) return (struct rule_character){ NOTHING, 0 };
    const unsigned code = need == 2 ? (octets[0] & 0x1fu) << 6 | (octets[1] & 0x3fu)
                                    : (octets[0] & 0xfu) << 12 | (octets[1] & 0x3fu) << 6 | (octets[2] & 0x3fu);
    if (need < 4 && code < (need == 2 ? 0x80u : 0x800u)) return (struct rule_character){ NOTHING, 0 };
    struct rule_character *known = need < 4 ? &r->of[code] : NULL;
    if (known && known->meaning != UNKNOWN) return *known;
    const struct rule_character c = folded_character(r, s, octets, need);
    if (known) *known = c;
    return c;
}

struct rule_character rule_of(const struct text_needle *n, const char *folded, size_t len)
{
    return character(rules_of(n), folded, len);
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
        if (row > JIS_ROWS || l->charset->of[(row - 1) * JIS_CELLS + cell - 1].meaning != NOTHING) return 0;
    }
    return count > 0 && next_octet(l, &at) == '(' && next_octet(l, &at) == 'B' ? at : 0;
}

/* Can what is at the special place i be in a match? *to is set behind it. */
static bool may_be_at(struct rules *r, struct text_scratch *s, const struct look *l, size_t i, size_t *to)
{
    unsigned char c;
    const size_t length = octet_at(l, i, &c);

    *to = i + (length ? length : break_at(l, i));
    if (length == 0) return *to == i || fits_between(l, i, *to);
    if (l->charset->kind == RULES_JIS && (c >= 0x80 || c == 14 || c == 15)) return true;
    if (l->charset->kind == RULES_JIS && c == ESCAPE) return (*to = jis_end(l, i)) == 0;
    if (l->charset->quiet[c]) return false;
    if (c >= 0xc2 && c <= 0xdf && l->charset->kind == RULES_UTF8 && length == 3 && l->n - i >= 6 && l->p[i + 3] == '=') {
        const int next = qp_octet(l->p + i + 3);         /* what utf8_at finds, sooner */
        if (next >= 0x80 && next < 0xc0 && r->of[(c & 0x1f) << 6 | (next & 0x3f)].meaning == NOTHING) {
            *to = i + 6;
            return false;
        }
    }
    if (c < 0x80) return fits(l, i, *to, (char)c);
    const struct rule_character what = l->charset->kind == RULES_UTF8 ? utf8_at(r, s, l, i, to) : l->charset->of[c - 0x80];
    return character_fits(l, what, i, *to);
}

static vector in_ranges(vector v, const struct octet_ranges *r)
{
    return (vector)((v - r->from[0]) <= r->span[0]) | (vector)((v - r->from[1]) <= r->span[1]) | (vector)((v - r->from[2]) <= r->span[2]);
}

/* Of the 16 octets at p, behind which there are two more: the special ones that do not mean nothing for certain, a bit for each. */
static unsigned special_bits(const struct look *l, const char *p)
{
    const struct rule_charset *const c = l->charset;
    vector v;

    memcpy(&v, p, sizeof v);
    vector found = (vector)(v == (unsigned char)l->mark[0]) | (vector)(v == (unsigned char)l->mark[1]) | v;
    if (!l->qp && c->high.n) found &= ~in_ranges(v, &c->high);
    unsigned bits = top_bits(found);
    if (bits == 0 || !l->qp || c->digits.n == 0) return bits;
    vector first, second;
    memcpy(&first, p + 1, sizeof first);
    memcpy(&second, p + 2, sizeof second);
    const vector hex = (vector)((second - '0') <= 9) | (vector)((second - 'A') <= 5);
    return bits & ~top_bits((vector)(v == '=') & hex & in_ranges(first, &c->digits));
}

bool rule_out(const struct text_needle *n, const struct rule_charset *c, bool qp, const char *p, size_t len)
{
    struct rules *r = rules_of(n);
    struct look l = { r, c ? c : &r->utf8, p, len, qp, { qp ? '=' : (char)0x80, (char)0x80 } };
    size_t i = 0, to = 0;

    if (r->n == 0 || finder_find(&n->whole, p, len) != NULL) return false;
    if (l.charset->kind == RULES_JIS) {
        l.mark[1] = ESCAPE;
        if (memchr(p, 14, len) || memchr(p, 15, len)) return false;
    }
    for (; i + sizeof(vector) + 2 <= len; i += sizeof(vector)) {
        for (unsigned bits = special_bits(&l, p + i); bits; bits &= bits - 1) {
            const size_t at = i + (unsigned)__builtin_ctz(bits);
            if (at >= to && may_be_at(r, n->scratch, &l, at, &to)) return false;
        }
    }
    for (i = i > to ? i : to; i < len; i = to)
        if (!is_special(&l, i)) to = i + 1;
        else if (may_be_at(r, n->scratch, &l, i, &to)) return false;
    return true;
}
