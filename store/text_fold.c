/*
 * Text for comparing, by the collations of RFC 4790 and RFC 5051: what compares equal becomes equal octets, and each character does so
 * by itself, whatever is beside it. i;unicode-casemap: titlecase, then compatibility decomposition. ASCII, most of what there is,
 * is done 16 octets at a time; the letters of Western Europe, Greek and Russian by rule; ideographs, which have neither case nor
 * parts, are copied; all others are looked up in utf8proc.
 */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/xmalloc.h"
#include "store/text_private.h"


static char upper(char c)
{
    return (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
}

/* Capitals of ASCII octets from in to to, all else copied. */
static void upper_all(char *to, const char *in, size_t n)
{
    size_t i = 0;

    for (; i + sizeof(vector) <= n; i += sizeof(vector)) {
        vector v;
        memcpy(&v, in + i, sizeof v);
        v ^= (vector)((v >= 'a') & (v <= 'z')) & 0x20;
        memcpy(to + i, &v, sizeof v);
    }
    for (; i < n; i++) to[i] = upper(in[i]);
}

size_t fold_ascii_run(char *to, const char *in, size_t n)
{
    size_t i = 0;

    for (; i + sizeof(vector) <= n; i += sizeof(vector)) {
        vector v;
        memcpy(&v, in + i, sizeof v);
        const vector64 high = (vector64)v & UINT64_C(0x8080808080808080);
        v ^= (vector)((v >= 'a') & (v <= 'z')) & 0x20;
        memcpy(to + i, &v, sizeof v);
        if (high[0] | high[1]) return i + first_octet(high);
    }
    for (; i < n && !((unsigned char)in[i] & 0x80); i++) to[i] = upper(in[i]);
    return i;
}

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* U+00C0..U+00FF: letter and mark of those that have one, else the capital. Returns the octets written, 0 if p is none of them. */
static size_t fold_latin(const char *p, char *to)
{
    static const char letters[] = "AAAAAA C" "EEEEIIII" " NOOOOO " " UUUUY  ";
    static const unsigned char marks[] = { 0x80, 0x81, 0x82, 0x83, 0x88, 0x8a, 0, 0xa7, 0x80, 0x81, 0x82, 0x88, 0x80, 0x81, 0x82, 0x88,
                                           0, 0x83, 0x80, 0x81, 0x82, 0x83, 0x88, 0, 0, 0x80, 0x81, 0x82, 0x88, 0x81, 0, 0 };
    const unsigned char c = (unsigned char)p[1], at = c & 0x1f;

    if ((unsigned char)p[0] != 0xc3 || !is_tail(p[1]) || c == 0xbf) return 0;
    if (letters[at] != ' ') {
        to[0] = letters[at];
        to[1] = (char)0xcc;
        to[2] = (char)marks[at];
        return 3;
    }
    to[0] = p[0];
    to[1] = (char)(c == 0x9f || c == 0xb7 ? c : c & ~0x20);      /* sharp s and the division sign have no capital */
    return 2;
}

/* Letters of U+0391..U+03C9 and U+0402..U+045F that become one letter of two octets, and the two of them with a mark that Russian
 * has. Returns the octets written, 0 if p is none. */
static size_t fold_letter(const char *p, char *to)
{
    const unsigned char lead = (unsigned char)p[0], c = (unsigned char)p[1];
    unsigned code = (unsigned)(lead & 0x1f) << 6 | (c & 0x3f);

    if (!is_tail(p[1])) return 0;
    if (lead == 0xce || lead == 0xcf) {
        if (code == 0x3c2) code = 0x3c3;
        if (code >= 0x3b1 && code <= 0x3c9) code -= 0x20;
        if (code < 0x391 || code > 0x3a9) return 0;
    } else if (lead == 0xd0 || lead == 0xd1) {
        if (code >= 0x430 && code <= 0x44f) code -= 0x20;
        if (code >= 0x450 && code <= 0x45f) code -= 0x50;
        if (code == 0x419 || code == 0x401) {
            memcpy(to, code == 0x419 ? "\xd0\x98\xcc\x86" : "\xd0\x95\xcc\x88", 4);
            return 4;
        }
        if (code > 0x42f || (code < 0x410 && (0x708b >> (code & 15) & 1))) return 0;
    } else {
        return 0;
    }
    to[0] = (char)(0xc0 | code >> 6);
    to[1] = (char)(0x80 | (code & 0x3f));
    return 2;
}

/* U+4000..U+9FFF: ideographs and hexagrams, told by the first octet. */
static bool is_ideograph(const char *p, size_t n)
{
    const unsigned char c = (unsigned char)*p;
    return n >= 3 && c >= 0xe4 && c <= 0xe9 && is_tail(p[1]) && is_tail(p[2]);
}

/* RFC 5051 section 2, step 2. */
size_t fold_any(struct buf *out, const char *in, size_t n)
{
    enum { PARTS = 32 };                 /* U+FDFA has 18, the most of all */
    utf8proc_int32_t c, parts[PARTS];
    utf8proc_uint8_t octets[4];
    int class = 0;
    const utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)in, (utf8proc_ssize_t)n, &c);

    if (length <= 0) {
        buf_addc(out, in[0]);
        return 1;
    }
    if (c != 0xdf) c = utf8proc_totitle(c);         /* UnicodeData.txt has no capital for sharp s */
    const utf8proc_ssize_t count = utf8proc_decompose_char(c, parts, PARTS, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &class);
    for (utf8proc_ssize_t i = 0; i < count && i < PARTS; i++)
        buf_add(out, octets, (size_t)utf8proc_encode_char(parts[i], octets));
    return (size_t)length;
}

/* Characters that are done by rule, from in[i] on; returns where they end. */
static size_t fold_simple(struct buf *out, const char *in, size_t i, size_t n)
{
    char *to = buf_room(out, (n - i) * 2), *const start = to;

    while (i + 1 < n) {
        const unsigned char lead = (unsigned char)in[i];
        const size_t letter = lead == 0xc3 ? fold_latin(in + i, to) : lead >= 0xce && lead <= 0xd1 ? fold_letter(in + i, to) : 0;
        if (letter) {
            to += letter;
            i += 2;
        } else if (is_ideograph(in + i, n - i)) {
            memcpy(to, in + i, 3);
            to += 3;
            i += 3;
        } else if (lead < 0x80 && (unsigned char)in[i + 1] >= 0x80) {
            *to++ = upper(in[i++]);
        } else {
            break;                                     /* more than one of ASCII: fold_ascii_run is faster */
        }
    }
    out->len += (size_t)(to - start);
    return i;
}

/* Where the last character begins, if it may not be whole; else n. */
static size_t whole(const char *in, size_t n)
{
    for (size_t i = n; i > 0 && n - i < 4; i--) {
        const unsigned char c = (unsigned char)in[i - 1];
        if (c < 0x80) return n;
        if (c >= 0xc0) return n - (i - 1) < (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u) ? i - 1 : n;
    }
    return n;
}

size_t fold_feed(enum collation collation, struct buf *out, const char *in, size_t n, bool last)
{
    const size_t end = last || collation != COLLATE_CASEMAP ? n : whole(in, n);
    size_t i = 0;

    if (collation == COLLATE_OCTET) buf_add(out, in, n);
    if (collation == COLLATE_ASCII) {
        upper_all(buf_room(out, n), in, n);
        out->len += n;
    }
    while (collation == COLLATE_CASEMAP && i < end) {
        const size_t run = fold_ascii_run(buf_room(out, end - i), in + i, end - i);
        out->len += run;
        i = fold_simple(out, in, i + run, end);
        if (i < end && ((unsigned char)in[i] & 0x80)) i += fold_any(out, in + i, end - i);
    }
    if (out->data) out->data[out->len] = '\0';
    return end;
}

bool text_is_utf8(struct str s)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n;
    for (size_t i = 0; i < s.n; i += (size_t)n) {
        n = (unsigned char)s.p[i] < 0x80 ? 1 : utf8proc_iterate((const utf8proc_uint8_t *)s.p + i, (utf8proc_ssize_t)(s.n - i), &c);
        if (n <= 0) return false;
    }
    return true;
}

bool text_fold(enum collation collation, struct buf *out, struct str utf8)
{
    const bool valid = text_is_utf8(utf8);
    fold_feed(valid ? collation : COLLATE_OCTET, out, utf8.p, utf8.n, true);
    return valid;
}

/* ---- needles ---------------------------------------------------------------------------------------------------------- */

struct text_needle *text_needle_new(enum collation collation, struct str utf8)
{
    struct text_needle *n = xcalloc(1, sizeof *n);
    n->scratch = xcalloc(1, sizeof *n->scratch);
    n->collation = collation;
    text_fold(collation, &n->folded, utf8);
    n->spaces = utf8.n > 0 && memchr(utf8.p, ' ', utf8.n) != NULL && memchr(utf8.p, '\t', utf8.n) == NULL;
    n->two_spaces = n->spaces && octets_find(utf8.p, utf8.n, "  ", 2) != NULL;
    text_needle_find(n);
    return n;
}

void text_needle_free(struct text_needle *n)
{
    if (!n) return;
    charset_cache_free(&n->scratch->charsets);
    buf_free(&n->scratch->text);
    buf_free(&n->scratch->folded);
    buf_free(&n->scratch->decoded);
    buf_free(&n->scratch->reduced);
    buf_free(&n->scratch->spaced);
    fold_tables_free(n->scratch);
    free(n->scratch);
    buf_free(&n->folded);
    free(n);
}

bool needle_in(const struct text_needle *n, const char *folded, size_t len)
{
    enum { SMALL = 64 };                 /* a longer one could be made to take its length at each place */
    if (n->folded.len == 0) return true;
    if (n->folded.len <= SMALL) return octets_find(folded, len, n->folded.data, n->folded.len) != NULL;
    return len >= n->folded.len && memmem(folded, len, n->folded.data, n->folded.len) != NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str spaced_value(const struct text_needle *n, struct str value, bool phrase)
{
    struct buf *const out = &n->scratch->spaced;
    const char *p = value.p, *const end = p + value.n;

    if (!n->spaces) return value;
    buf_clear(out);
    while (p < end) {
        const bool fold = *p == '\r' || *p == '\n';
        while (p < end && (*p == '\r' || *p == '\n')) p++;
        if (p == end || (fold && !is_blank(*p))) continue;
        if (fold || (phrase && !n->two_spaces && is_blank(*p))) buf_addc(out, ' ');
        else buf_addc(out, *p);
        if (phrase && !n->two_spaces && is_blank(*p))
            while (p < end && (is_blank(*p) || *p == '\r' || *p == '\n')) p++;
        else p++;
    }
    return out->data ? buf_str(out) : STR("");
}

bool text_needle_in_header(const struct text_needle *n, struct str value, bool phrase)
{
    struct text_scratch *s = n->scratch;

    if (n->folded.len == 0) return true;
    buf_clear(&s->text);
    buf_clear(&s->folded);
    header_decode(&s->text, spaced_value(n, value, phrase), &s->charsets);
    fold_feed(n->collation, &s->folded, s->text.data ? s->text.data : "", s->text.len, true);
    return needle_in(n, s->folded.data ? s->folded.data : "", s->folded.len);
}
