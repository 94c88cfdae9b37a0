/*
 * Transfer encodings (RFC 2045 section 6) as a stream, and encoded words in headers (RFC 2047). Both lenient: what is not
 * encoded right is taken as it stands.
 */
#include <string.h>
#include "store/text_private.h"

/* ---- base64 ----------------------------------------------------------------------------------------------------------- */

/* Value of each octet: 0..63, 64 for '=', 65 for what is passed over. */
static const unsigned char base64_value[256] = {
#define X 65
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, 62, X, X, X, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X, X, X, 64, X, X,
    X, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X, X, X, X, X,
    X, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
#undef X
};

/* Of 16 octets, all of the alphabet, the 12 that they mean; writes 13. False: not all of them are, and nothing is written. */
static bool base64_sixteen(char *to, const char *in)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    typedef uint32_t quanta __attribute__((vector_size(16)));
    vector v;
    memcpy(&v, in, sizeof v);
    const vector upper = (vector)((v - 'A') < 26), lower = (vector)((v - 'a') < 26), digit = (vector)((v - '0') < 10);
    const vector plus = (vector)(v == '+'), slash = (vector)(v == '/');
    if (top_bits(upper | lower | digit | plus | slash) != 0xffff) return false;
    const quanta x = (quanta)((upper & (v - 'A')) | (lower & (v - ('a' - 26))) | (digit & (v + (52 - '0'))) | (plus & 62) | (slash & 63));
    const quanta whole = (x & 0x3f) << 26 | (x & 0x3f00) << 12 | (x >> 2 & 0xfc000) | (x >> 16 & 0x3f00);
    for (unsigned i = 0; i < 4; i++, to += 3) {
        const uint32_t octets = __builtin_bswap32(whole[i]);
        memcpy(to, &octets, sizeof octets);
    }
    return true;
#else
    (void)to;
    (void)in;
    return false;
#endif
}

static void base64_feed(struct transfer *t, struct buf *out, const char *in, size_t n)
{
    char *to = buf_room(out, n / 4 * 3 + 3), *const start = to;
    unsigned bits = t->bits, count = t->count;

    for (size_t i = 0; i < n; i++) {
        for (; count == 0 && i + 16 < n && base64_sixteen(to, in + i); i += 16) to += 12;
        while (count == 0 && i + 4 < n) {            /* whole quanta */
            const unsigned a = base64_value[(unsigned char)in[i]], b = base64_value[(unsigned char)in[i + 1]];
            const unsigned c = base64_value[(unsigned char)in[i + 2]], d = base64_value[(unsigned char)in[i + 3]];
            if ((a | b | c | d) >= 64) break;
            *to++ = (char)(a << 2 | b >> 4);
            *to++ = (char)(b << 4 | c >> 2);
            *to++ = (char)(c << 6 | d);
            i += 4;
        }
        const unsigned v = base64_value[(unsigned char)in[i]];
        if (v == 64) count = 0, bits = 0;            /* '=' ends a quantum; what follows is another text */
        if (v >= 64) continue;
        bits = (bits << 6 | v) & 0xffffff;
        if (count) *to++ = (char)(bits >> (6 - 2 * count));
        count = (count + 1) & 3;
    }
    t->bits = bits;
    t->count = count;
    out->len += (size_t)(to - start);
    out->data[out->len] = '\0';
}

/* ---- quoted-printable --------------------------------------------------------------------------------------------------- */

const unsigned char hex_value[256] = {
#define X 16
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, X, X, X, X, X, X,
    X, 10, 11, 12, 13, 14, 15, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, 10, 11, 12, 13, 14, 15, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
#undef X
};

static int hex(char c)
{
    const unsigned char v = hex_value[(unsigned char)c];
    return v < 16 ? v : -1;
}

static void qp_give_up(struct transfer *t, struct buf *out)
{
    buf_add(out, t->pending, t->pending_n);
    t->pending_n = 0;
}

/* One octet while something is pending: "=", "=X", "= \t\r" (a soft line break) or " \t\r" (dropped at a line's end). */
static void qp_pending(struct transfer *t, struct buf *out, char c)
{
    const bool soft = t->pending[0] == '=', blank = c == ' ' || c == '\t' || c == '\r';

    if (c == '\n') {
        const bool cr = t->pending[t->pending_n - 1] == '\r';
        const bool broken = soft && t->pending_n >= 2 && hex(t->pending[1]) >= 0;
        if (broken) qp_give_up(t, out);
        t->pending_n = 0;
        if (!soft || broken) buf_add(out, cr ? "\r\n" : "\n", cr ? 2 : 1);
        return;
    }
    if (soft && t->pending_n == 2 && hex(t->pending[1]) >= 0) {
        if (hex(c) >= 0) {
            buf_addc(out, hex(t->pending[1]) << 4 | hex(c));
            t->pending_n = 0;
            return;
        }
    } else if ((soft && t->pending_n == 1 && hex(c) >= 0) || (blank && t->pending_n < sizeof t->pending)) {
        t->pending[t->pending_n++] = c;
        return;
    }
    qp_give_up(t, out);
    if (c == '=' || blank) t->pending[t->pending_n++] = c;
    else buf_addc(out, c);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Copies octets up to the next '=', CR or LF from i on, or n; returns where that is. to has room for 16 more. */
static size_t qp_copy(char *to, const char *in, size_t i, size_t n)
{
    const size_t begin = i;

    for (; i + sizeof(vector) <= n; i += sizeof(vector)) {
        vector v;
        memcpy(&v, in + i, sizeof v);
        memcpy(to + (i - begin), &v, sizeof v);
        const vector64 found = (vector64)((v == '=') | (v == '\r') | (v == '\n'));
        if (found[0] | found[1]) return i + first_octet(found);
    }
    for (; i < n && in[i] != '=' && in[i] != '\r' && in[i] != '\n'; i++) to[i - begin] = in[i];
    return i;
}

/* Octets written as "=XX", one behind the other, from *i on; returns where to write on. */
static char *qp_encoded(char *to, const char *in, size_t *i, size_t n)
{
    while (*i + 2 < n && in[*i] == '=') {
        const unsigned high = hex_value[(unsigned char)in[*i + 1]], low = hex_value[(unsigned char)in[*i + 2]];
        if ((high | low) > 15) break;
        *to++ = (char)(high << 4 | low);
        *i += 3;
    }
    return to;
}

/* in[i] is such an octet, but no "=XX". If what it means can be seen at once: appends that to *to, and returns how many octets it
 * took; else 0. begin: octets before it belong to something that has been dealt with. */
static size_t qp_simple(const char *in, size_t i, size_t begin, size_t n, char **to)
{
    if (in[i] == '=') {
        if (i + 2 >= n) return 0;
        return in[i + 1] == '\n' ? 2 : in[i + 1] == '\r' && in[i + 2] == '\n' ? 3 : 0;
    }
    const size_t length = in[i] == '\n' ? 1 : i + 1 < n && in[i + 1] == '\n' ? 2 : 0;
    if (i > begin && is_blank(in[i - 1])) return 0;
    memcpy(*to, in + i, length);
    *to += length;
    return length;
}

/* Line by line where that is simple; blanks at the end of a line, and what lies across two pieces, go by way of qp_pending. */
static void qp_feed(struct transfer *t, struct buf *out, const char *in, size_t n)
{
    for (size_t i = 0; i < n; ) {
        if (t->pending_n) {
            qp_pending(t, out, in[i++]);
            continue;
        }
        char *to = buf_room(out, n - i + sizeof(vector)), *const start = to;
        for (size_t passed = 1; passed; ) {
            to = qp_encoded(to, in, &i, n);
            const size_t at = qp_copy(to, in, i, n);
            to += at - i;
            if (at + 2 < n && in[at] == '=' && (hex_value[(unsigned char)in[at + 1]] | hex_value[(unsigned char)in[at + 2]]) < 16) {
                i = at;
                continue;
            }
            passed = at < n ? qp_simple(in, at, i, n, &to) : 0;
            size_t end = at;                           /* blanks before what is not simple may be the end of a line */
            while (!passed && end > i && is_blank(in[end - 1])) end--;
            to -= at - end;
            i = end + passed;
        }
        out->len += (size_t)(to - start);
        out->data[out->len] = '\0';
        if (i < n) t->pending[t->pending_n++] = in[i++];
    }
}

/* ---- both ---------------------------------------------------------------------------------------------------------------- */

enum transfer_kind transfer_kind_of(struct str encoding)
{
    if (str_ieq(encoding, STR("base64"))) return TRANSFER_BASE64;
    if (str_ieq(encoding, STR("quoted-printable"))) return TRANSFER_QP;
    return TRANSFER_NONE;
}

void transfer_feed(struct transfer *t, struct buf *out, const char *in, size_t n)
{
    if (t->kind == TRANSFER_BASE64) base64_feed(t, out, in, n);
    else if (t->kind == TRANSFER_QP) qp_feed(t, out, in, n);
    else buf_add(out, in, n);
}

void transfer_end(struct transfer *t, struct buf *out)
{
    /* A soft line break or blanks at the very end are nothing; "=4" is what it is. */
    if (t->pending_n >= 2 && t->pending[0] == '=' && hex(t->pending[1]) >= 0) buf_add(out, t->pending, t->pending_n);
    *t = (struct transfer){ .kind = t->kind };
}

void text_decode_transfer(struct buf *out, struct str encoding, struct str in)
{
    struct transfer t = { .kind = transfer_kind_of(encoding) };
    transfer_feed(&t, out, in.p, in.n);
    transfer_end(&t, out);
}

/* ---- encoded words -------------------------------------------------------------------------------------------------------- */

struct word {
    struct str charset, text;
    char encoding;                   /* 'B' or 'Q' */
    const char *end;
};

/* Where the text of an encoded word ends: at "?=". NULL: nowhere near. */
static const char *word_stop(const char *text, const char *end)
{
    enum { TEXT_MOST = 2048 };           /* RFC 2047 allows 75; bounded so that many beginnings do not cost too much */
    if (end - text > TEXT_MOST) end = text + TEXT_MOST;
    return octets_find(text, (size_t)(end - text), "?=", 2);
}

/* "=?charset[*language]?B|Q?text?=" at p. */
static bool word_parse(struct word *w, const char *p, const char *end)
{
    enum { CHARSET_MOST = 80 };
    if (end - p < 8 || p[0] != '=' || p[1] != '?') return false;
    const char *name = p + 2;
    const char *q = memchr(name, '?', (size_t)(end - name < CHARSET_MOST ? end - name : CHARSET_MOST));
    if (!q || q == name || end - q < 5 || q[2] != '?') return false;
    w->encoding = (char)(q[1] & ~0x20);
    if (w->encoding != 'B' && w->encoding != 'Q') return false;
    const char *star = memchr(name, '*', (size_t)(q - name));
    w->charset = (struct str){ name, (size_t)((star ? star : q) - name) };
    const char *text = q + 3, *stop = word_stop(text, end);
    if (stop == NULL) return false;
    w->text = (struct str){ text, (size_t)(stop - text) };
    w->end = stop + 2;
    return true;
}

static void word_octets(const struct word *w, struct buf *out)
{
    if (w->encoding == 'B') {
        struct transfer t = { .kind = TRANSFER_BASE64 };
        transfer_feed(&t, out, w->text.p, w->text.n);
        return;
    }
    for (size_t i = 0; i < w->text.n; i++) {
        const char c = w->text.p[i];
        if (c == '=' && i + 2 < w->text.n && hex(w->text.p[i + 1]) >= 0 && hex(w->text.p[i + 2]) >= 0) {
            buf_addc(out, hex(w->text.p[i + 1]) << 4 | hex(w->text.p[i + 2]));
            i += 2;
        } else if (c != '\r' && c != '\n') {
            buf_addc(out, c == '_' ? ' ' : c);
        }
    }
}

static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) p++;
    return p;
}

/* Encoded words from p on with only white space between them, as one text as long as the charset is the same (a character
 * may lie across two words, though it should not). Returns the end of the last. */
static const char *words_decode(struct buf *out, struct word w, const char *end, struct charset_cache *cache, bool guess)
{
    struct buf octets = { 0 };
    struct charset c;
    struct word next;

    for (;;) {
        word_octets(&w, &octets);
        const bool more = word_parse(&next, skip_blank(w.end, end), end);
        if (!more || !str_ieq(next.charset, w.charset)) {
            const size_t start = out->len;
            charset_open(&c, cache, w.charset);
            charset_feed(&c, out, octets.data ? octets.data : "", octets.len);
            charset_end(&c, out);
            if (!guess && out->len > start && (c.kind == CHARSET_GUESS || octets_find(out->data + start, out->len - start, "\xef\xbf\xbd", 3))) {
                out->len = start;                      /* RFC 5255 section 4.6: what cannot be converted is octets */
                buf_add(out, octets.data, octets.len);
            }
            buf_clear(&octets);
        }
        if (!more) break;
        w = next;
    }
    buf_free(&octets);
    return w.end;
}

/* Octets that are not in an encoded word: unfolded; 8-bit ones are UTF-8, if they can be, or, without guess, as they are. */
static void add_plain(struct buf *out, const char *p, const char *end, bool guess)
{
    struct charset c = { .kind = CHARSET_GUESS, .cd = (iconv_t)-1 };

    while (p < end) {
        const char *q = p;
        while (q < end && *q != '\r' && *q != '\n') q++;
        if (guess) charset_feed(&c, out, p, (size_t)(q - p));
        else buf_add(out, p, (size_t)(q - p));
        for (p = q; p < end && (*p == '\r' || *p == '\n'); ) p++;
    }
    charset_end(&c, out);
}

static void decode(struct buf *out, struct str value, struct charset_cache *cache, bool guess)
{
    if (value.n == 0) return;
    const char *p = skip_blank(value.p, value.p + value.n), *const end = value.p + value.n, *plain = p;
    struct word w;

    while (p < end) {
        const char *mark = octets_find(p, (size_t)(end - p), "=?", 2);
        if (!mark) break;
        if (!word_parse(&w, mark, end)) {
            p = mark + 2;
            continue;
        }
        add_plain(out, plain, mark, guess);
        plain = p = words_decode(out, w, end, cache, guess);
    }
    add_plain(out, plain, end, guess);
}

void header_decode(struct buf *out, struct str value, struct charset_cache *cache)
{
    decode(out, value, cache, true);
}

void text_decode_header(struct buf *out, struct str value)
{
    struct charset_cache cache = { .n = 0 };
    header_decode(out, value, &cache);
    charset_cache_free(&cache);
}

void text_decode_words(struct buf *out, struct str value, struct charset_cache *kept)
{
    struct charset_cache own = { .n = 0 };
    decode(out, value, kept ? kept : &own, false);
    charset_cache_free(&own);
}
