/*
 * Finding ASCII text without making the form for comparing of all that is searched. What folds to no ASCII can be part of no match,
 * whatever it is: a run of it becomes one octet that no needle has. Octets of charsets that have one for each character fold by a
 * table, made once a search; of ISO-2022-JP the rows that hold ideographs and kana are known to fold to no ASCII, and the others are
 * in a table. What this file cannot tell is left to the exact way (text_search.c), which gives the same answers.
 */
#include <stdlib.h>
#include <string.h>
#include "base/xmalloc.h"
#include "store/text_private.h"

enum { INERT = 0x80, FOLDED_MOST = 14 };

struct folded_character {
    unsigned char n;                 /* 0: not known */
    char octets[FOLDED_MOST];
};
struct fold_table {
    char name[CHARSET_NAME + 1];
    enum { TABLE_NONE, TABLE_OCTETS, TABLE_JIS } kind;
    struct rule_charset rules;
    struct folded_character of[JIS_ROWS * JIS_CELLS];      /* of octets from 0x80 on: the first 128; or of rows 1 to 8 of JIS X 0208 */
};

/* ---- a string of ASCII, without case ------------------------------------------------------------------------------------ */

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

unsigned finder_commonness(char c)
{
    static const char by_rarity[] = "zqxjkvbpygfwmucldrhsnioate";
    const char *at = is_letter(c) ? strchr(by_rarity, c | 0x20) : NULL;
    return at ? (unsigned)(at - by_rarity) : c == ' ' ? 30 : c == '-' || c == '.' || c == '=' ? 20 : 10;
}

void finder_init(struct finder *f, struct str capitals)
{
    *f = (struct finder){ .text = capitals };
    for (size_t i = 0; i < capitals.n; i++)
        if (finder_commonness(capitals.p[i]) < finder_commonness(capitals.p[f->at[0]])) f->at[0] = i;
    f->at[1] = f->at[0] == 0 && capitals.n > 1 ? 1 : 0;
    for (size_t i = 0; i < capitals.n; i++)
        if (i != f->at[0] && finder_commonness(capitals.p[i]) < finder_commonness(capitals.p[f->at[1]])) f->at[1] = i;
}

static char capital(char c)
{
    return (char)(c >= 'a' && c <= 'z' ? c & ~0x20 : c);
}

static bool is_here(const struct finder *f, const char *p)
{
    for (size_t i = 0; i < f->text.n; i++)
        if (capital(p[i]) != f->text.p[i]) return false;
    return true;
}

const char *finder_find(const struct finder *f, const char *p, size_t n)
{
    if (n < f->text.n) return NULL;
    const size_t places = n - f->text.n + 1;
    unsigned char octet[2], ignore[2];
    size_t i = 0;

    for (unsigned k = 0; k < 2; k++) {
        ignore[k] = is_letter(f->text.p[f->at[k]]) ? 0x20 : 0;
        octet[k] = (unsigned char)f->text.p[f->at[k]] | ignore[k];
    }
    for (; i + 2 * sizeof(vector) <= places; i += 2 * sizeof(vector)) {
        vector a[2], b[2];
        memcpy(a, p + i + f->at[0], sizeof a);
        memcpy(b, p + i + f->at[1], sizeof b);
        const vector64 low = (vector64)(((a[0] | ignore[0]) == octet[0]) & ((b[0] | ignore[1]) == octet[1]));
        const vector64 high = (vector64)(((a[1] | ignore[0]) == octet[0]) & ((b[1] | ignore[1]) == octet[1]));
        const vector64 any = low | high;
        if ((any[0] | any[1]) == 0) continue;
        for (size_t k = i; k < i + 2 * sizeof(vector); k++)
            if (is_here(f, p + k)) return p + k;
    }
    while (i < places && places >= sizeof(vector)) {          /* the last 16 places may have been looked at */
        if (i + sizeof(vector) > places) i = places - sizeof(vector);
        vector a, b;
        memcpy(&a, p + i + f->at[0], sizeof a);
        memcpy(&b, p + i + f->at[1], sizeof b);
        for (unsigned bits = top_bits((vector)((a | ignore[0]) == octet[0]) & (vector)((b | ignore[1]) == octet[1])); bits; bits &= bits - 1) {
            const char *at = p + i + (unsigned)__builtin_ctz(bits);
            if (is_here(f, at)) return at;
        }
        i += sizeof(vector);
    }
    for (; i < places; i++)
        if (((unsigned char)p[i + f->at[0]] | ignore[0]) == octet[0] && is_here(f, p + i)) return p + i;
    return NULL;
}

bool all_ascii(const char *p, size_t n)
{
    size_t i = 0;
    vector64 high = { 0, 0 };

    for (; i + sizeof(vector) <= n; i += sizeof(vector)) {
        vector64 v;
        memcpy(&v, p + i, sizeof v);
        high |= v;
    }
    uint64_t rest = high[0] | high[1];
    for (; i < n; i++) rest |= (unsigned char)p[i];
    return (rest & UINT64_C(0x8080808080808080)) == 0;
}

/* ---- tables ------------------------------------------------------------------------------------------------------------------ */

static bool has_ascii(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        if (!((unsigned char)b->data[i] & 0x80)) return true;
    return false;
}

/* A small letter that comes of folding (U+01CB has one) is no capital, and needles have capitals alone. */
static void drop_small(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 'a' && p[i] <= 'z') p[i] = (char)INERT;
}

/* What octets that are one character fold to. False: they are not one, or it has too much. */
static bool fold_one(const struct text_needle *n, struct str charset, const char *octets, size_t count, struct folded_character *to)
{
    struct text_scratch *s = n->scratch;
    struct charset c;

    buf_clear(&s->text);
    buf_clear(&s->folded);
    charset_open(&c, &s->charsets, charset);
    charset_feed(&c, &s->text, octets, count);
    if (c.pending_n || s->text.len == 0) return false;
    fold_feed(n->collation, &s->folded, s->text.data, s->text.len, true);
    to->n = 1;
    to->octets[0] = (char)INERT;
    if (!has_ascii(&s->folded)) return true;
    if (s->folded.len > FOLDED_MOST) return false;
    to->n = (unsigned char)s->folded.len;
    memcpy(to->octets, s->folded.data, s->folded.len);
    drop_small(to->octets, to->n);
    return true;
}

/* One octet a character, and those of ASCII are ASCII. */
static bool make_octets(const struct text_needle *n, struct fold_table *t, struct str charset)
{
    struct folded_character ascii;

    for (unsigned c = 0; c < 256; c++) {
        const char octet = (char)c;
        if (!fold_one(n, charset, &octet, 1, c < 0x80 ? &ascii : &t->of[c - 0x80])) return false;
        if (c < 0x80 && (n->scratch->text.len != 1 || n->scratch->text.data[0] != octet)) return false;
        if (c >= 0x80) t->rules.of[c - 0x80] = rule_of(n, t->of[c - 0x80].octets, t->of[c - 0x80].n);
    }
    return true;
}

static void make_jis(const struct text_needle *n, struct fold_table *t, struct str charset)
{
    static const char replaced[] = "\xef\xbf\xbd";

    for (unsigned i = 0; i < JIS_ROWS * JIS_CELLS; i++) {
        const char text[] = { 27, '$', 'B', (char)(0x21 + i / JIS_CELLS), (char)(0x21 + i % JIS_CELLS), 27, '(', 'B' };
        if (!fold_one(n, charset, text, sizeof text, &t->of[i])
            || memmem(n->scratch->text.data, n->scratch->text.len, replaced, 3) != NULL) t->of[i].n = 0;
        else t->rules.of[i] = rule_of(n, t->of[i].octets, t->of[i].n);
    }
}

static const struct fold_table *table_of(const struct text_needle *n, struct str charset)
{
    struct text_scratch *s = n->scratch;

    if (charset.n == 0 || charset.n > CHARSET_NAME) return NULL;
    for (unsigned i = 0; i < s->tables; i++)
        if (str_ieq(str_z(s->table[i]->name), charset)) return s->table[i];
    if (s->tables == CHARSET_CACHE) return NULL;
    struct fold_table *t = s->table[s->tables++] = xcalloc(1, sizeof *t);
    memcpy(t->name, charset.p, charset.n);
    if (str_ieq(charset, STR("iso-2022-jp"))) {
        t->kind = TABLE_JIS;
        t->rules.kind = RULES_JIS;
        make_jis(n, t, charset);
    } else if (make_octets(n, t, charset)) {
        t->kind = TABLE_OCTETS;
        t->rules.kind = RULES_OCTETS;
    }
    rules_done(n, &t->rules);
    return t;
}

void fold_tables_free(struct text_scratch *s)
{
    for (unsigned i = 0; i < s->tables; i++) free(s->table[i]);
    s->tables = 0;
    free(s->two);
    s->two = NULL;
    rules_free(s);
}

/* ---- texts, reduced ------------------------------------------------------------------------------------------------------------ */

/* to has room for FOLDED_MOST more than comes of it. */
static char *add_folded(char *to, const struct folded_character *c)
{
    memcpy(to, c->octets, FOLDED_MOST);
    return to + c->n;
}

static void reduce_octets(const struct fold_table *t, struct buf *out, const char *in, size_t n)
{
    enum { PIECE = 4096 };

    for (size_t i = 0; i < n; ) {
        const size_t end = n - i < PIECE ? n : i + PIECE;
        char *to = buf_room(out, PIECE * FOLDED_MOST + FOLDED_MOST), *const start = to;
        while (i < end) {
            const size_t run = fold_ascii_run(to, in + i, end - i);
            to += run;
            i += run;
            while (i < end && (unsigned char)in[i] >= 0x80) to = add_folded(to, &t->of[(unsigned char)in[i++] - 0x80]);
        }
        out->len += (size_t)(to - start);
    }
}

/* A character of UTF-8, most often one of two octets, which are remembered. Returns its length. */
static size_t reduce_any(const struct text_needle *needle, struct buf *out, const char *in, size_t n)
{
    struct text_scratch *s = needle->scratch;
    const unsigned lead = (unsigned char)in[0], next = n > 1 ? (unsigned char)in[1] : 0;

    const size_t begin = out->len;
    if (lead < 0xc2 || lead > 0xdf || (next & 0xc0) != 0x80) {
        const size_t length = fold_any(out, in, n);
        drop_small(out->data + begin, out->len - begin);
        return length;
    }
    if (!s->two) s->two = xcalloc(1 << 11, sizeof *s->two);
    struct folded_character *c = &s->two[(lead & 0x1f) << 6 | (next & 0x3f)];
    if (c->n == 0) {
        fold_any(out, in, n);
        drop_small(out->data + begin, out->len - begin);
        if (out->len - begin > FOLDED_MOST) return 2;
        c->n = (unsigned char)(out->len - begin);
        memcpy(c->octets, out->data + begin, c->n);
        return 2;
    }
    out->len = (size_t)(add_folded(buf_room(out, FOLDED_MOST), c) - out->data);
    return 2;
}

/* Is it no part of a character that folds to ASCII? simple: i;ascii-casemap, where only ASCII does. */
static inline bool means_nothing(unsigned char c, bool simple)
{
    return is_inert(c) || (simple && c >= 0x80);
}

static void reduce_utf8(const struct text_needle *needle, struct buf *out, const char *in, size_t n)
{
    const bool simple = needle->collation == COLLATE_ASCII;

    for (size_t i = 0; i < n; ) {
        char *to = buf_room(out, n - i + 1), *const start = to;
        for (size_t run = 1; run && i < n; ) {
            run = fold_ascii_run(to, in + i, n - i);
            to += run;
            i += run;
            if (i == n || !means_nothing((unsigned char)in[i], simple)) break;
            *to++ = (char)INERT;
            for (run = 0; i < n && means_nothing((unsigned char)in[i], simple); run++) i++;
        }
        out->len += (size_t)(to - start);
        if (i < n && (unsigned char)in[i] >= 0x80 && !means_nothing((unsigned char)in[i], simple)) i += reduce_any(needle, out, in + i, n - i);
    }
}

/* Pairs of octets up to the escape. Returns where they end; 0: it cannot be told. */
static size_t reduce_pairs(const struct fold_table *t, struct buf *out, const char *in, size_t i, size_t n)
{
    bool inert = false;

    for (; i + 1 < n && in[i] != 27; i += 2) {
        const unsigned row = (unsigned char)in[i] - 0x20u, cell = (unsigned char)in[i + 1] - 0x20u;
        if (row - 1 >= JIS_CELLS || cell - 1 >= JIS_CELLS) return 0;
        if (is_inert_jis(row, cell)) {
            if (!inert) buf_addc(out, INERT);
            inert = true;
            continue;
        }
        if (row > JIS_ROWS) return 0;
        const struct folded_character *c = &t->of[(row - 1) * JIS_CELLS + cell - 1];
        if (c->n == 0) return 0;
        buf_add(out, c->octets, c->n);
        inert = false;
    }
    return i < n && in[i] == 27 ? i : 0;
}

static bool reduce_jis(const struct fold_table *t, struct buf *out, const char *in, size_t n)
{
    if (memchr(in, 14, n) || memchr(in, 15, n) || !all_ascii(in, n)) return false;
    for (size_t i = 0; i < n; ) {
        const char *escape = memchr(in + i, 27, n - i);
        const size_t run = escape ? (size_t)(escape - in) - i : n - i;
        out->len += fold_ascii_run(buf_room(out, run), in + i, run);
        i += run;
        if (i == n) break;
        if (n - i < 3 || memcmp(in + i, "\33$B", 3) != 0) return false;
        i = reduce_pairs(t, out, in, i + 3, n);
        if (i == 0 || n - i < 3 || memcmp(in + i, "\33(B", 3) != 0) return false;
        i += 3;
    }
    return true;
}

int find_in_text(const struct text_needle *n, struct str charset, const char *p, size_t len)
{
    struct charset c;

    charset_open(&c, &n->scratch->charsets, charset);
    const struct fold_table *t = c.kind == CHARSET_ICONV ? table_of(n, charset) : NULL;
    if (c.kind == CHARSET_ICONV && (!t || t->kind == TABLE_NONE)) return -1;
    if (c.kind != CHARSET_GUESS && rule_out(n, t ? &t->rules : NULL, false, p, len)) return 0;
    if ((!t || t->kind == TABLE_OCTETS) && all_ascii(p, len)) return finder_find(&n->whole, p, len) != NULL;
    if (c.kind == CHARSET_GUESS) return -1;
    struct buf *out = &n->scratch->reduced;
    buf_clear(out);
    if (!t) reduce_utf8(n, out, p, len);
    else if (t->kind == TABLE_OCTETS) reduce_octets(t, out, p, len);
    else if (!reduce_jis(t, out, p, len)) return -1;
    return finder_find(&n->whole, out->data ? out->data : "", out->len) != NULL;
}

bool may_be_in_qp(const struct text_needle *n, struct str charset, const char *p, size_t len)
{
    struct charset c;

    charset_open(&c, &n->scratch->charsets, charset);
    const struct fold_table *t = c.kind == CHARSET_ICONV ? table_of(n, charset) : NULL;
    if (c.kind == CHARSET_GUESS || (c.kind == CHARSET_ICONV && (!t || t->kind == TABLE_NONE))) return true;
    return !rule_out(n, t ? &t->rules : NULL, true, p, len);
}

/* The longest run that unfolding, decoding and naming a field leave as it is, unless there are encoded words or other octets. */
static struct str longest_word(struct str s)
{
    struct str best = { s.p, 0 };

    for (size_t i = 0, from = 0; i <= s.n; i++) {
        if (i < s.n && (unsigned char)s.p[i] > ' ' && s.p[i] != ':' && s.p[i] != 0x7f) continue;
        if (i - from > best.n) best = (struct str){ s.p + from, i - from };
        from = i + 1;
    }
    return best;
}

void text_needle_find(struct text_needle *n)
{
    const struct str s = buf_str(&n->folded);

    n->ascii = s.n > 0 && n->collation != COLLATE_OCTET && all_ascii(s.p, s.n);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= 'a' && s.p[i] <= 'z') n->ascii = false;
    if (!n->ascii) return;
    finder_init(&n->whole, s);
    finder_init(&n->word, longest_word(s));
}

/* What decoding does more than unfold: encoded words, octets that are not ASCII, lone CRs that vanish. */
bool text_needle_may_be(const struct text_needle *n, struct str fields)
{
    return has_word(n, fields.p, fields.n) || !is_plain_header(fields.p, fields.n);
}

bool is_plain_header(const char *p, size_t n)
{
    size_t i = 0;

    while (i + 1 < n && n > sizeof(vector)) {                 /* the last 17 octets may have been looked at */
        vector v, next;
        if (i + sizeof(vector) >= n) i = n - sizeof(vector) - 1;
        memcpy(&v, p + i, sizeof v);
        memcpy(&next, p + i + 1, sizeof next);
        i += sizeof v;
        if (top_bits(v | ((vector)(v == '=') & (vector)(next == '?')) | ((vector)(v == '\r') & (vector)(next != '\n')))) return false;
    }
    for (; i < n; i++) {
        const char next = i + 1 < n ? p[i + 1] : '\0';
        if ((unsigned char)p[i] >= 0x80 || (p[i] == '=' && next == '?') || (p[i] == '\r' && next != '\n')) return false;
    }
    return true;
}

bool has_word(const struct text_needle *n, const char *p, size_t len)
{
    return !n->ascii || n->word.text.n == 0 || finder_find(&n->word, p, len) != NULL;
}
