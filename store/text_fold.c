/*
 * Text for comparing: case-folded and composed (NFC of the casefold of NFC, by utf8proc), so that equal-looking text is equal
 * octets. ASCII, most of what there is, is lowered 16 octets at a time; the letters of Western Europe and Russian fold by rule;
 * ideographs, which neither fold nor compose, are copied; only runs of other characters go through utf8proc, each with the ASCII character before it, since that may
 * combine with what follows.
 */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/xmalloc.h"
#include "store/text_private.h"

enum { RUN_MAX = 1024 };             /* octets given to utf8proc at once: its reordering is quadratic */

typedef unsigned char vector __attribute__((vector_size(16)));
typedef uint64_t vector64 __attribute__((vector_size(16)));

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Lowers ASCII octets from in to to until one is not ASCII; returns how many. */
static size_t lower_run(char *to, const char *in, size_t n)
{
    size_t i = 0;

    for (; i + sizeof(vector) <= n; i += sizeof(vector)) {
        vector v;
        memcpy(&v, in + i, sizeof v);
        const vector64 high = (vector64)v & UINT64_C(0x8080808080808080);
        if (high[0] | high[1]) break;
        v |= (vector)((v >= 'A') & (v <= 'Z')) & 0x20;
        memcpy(to + i, &v, sizeof v);
    }
    for (; i < n && !((unsigned char)in[i] & 0x80); i++) to[i] = lower(in[i]);
    return i;
}

static bool is_lead(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

/* U+4000..U+9FFF: ideographs and hexagrams, told by the first octet. */
static bool is_ideograph(const char *p, size_t n)
{
    const unsigned char c = (unsigned char)*p;
    return n >= 3 && c >= 0xe4 && c <= 0xe9 && !is_lead(p[1]) && !is_lead(p[2]);
}

/* U+00C0..U+00FF but sharp s, and U+0400..U+045F: letters that fold to one letter of two octets; none combines with what is
 * before it. Writes that letter; false: p is no such letter, or what follows might combine with it. next: what follows, or
 * a NUL. */
static bool fold_letter(const char *p, char next, char out[2])
{
    const unsigned char lead = (unsigned char)p[0], c = (unsigned char)p[1], follows = (unsigned char)next;

    if (follows >= 0x80 && follows != 0xc3 && follows != 0xd0 && follows != 0xd1) return false;
    out[0] = p[0];
    out[1] = p[1];
    if (lead == 0xc3) {
        if (c < 0x9f && c != 0x97) out[1] = (char)(c | 0x20);
        return c != 0x9f;
    }
    if (lead == 0xd1) return c < 0xa0;
    if (lead != 0xd0) return false;
    if (c < 0xb0) out[0] = (char)(c >= 0x90 && c < 0xa0 ? 0xd0 : 0xd1);
    if (c < 0x90) out[1] = (char)(c + 0x10);
    else if (c < 0xa0) out[1] = (char)(c + 0x20);
    else if (c < 0xb0) out[1] = (char)(c - 0x20);
    return true;
}

/* Where a run of at most RUN_MAX octets should end: before a character that does not combine with the one before it. */
static size_t run_cut(const char *in, size_t n)
{
    if (n <= RUN_MAX) return n;
    for (size_t i = RUN_MAX; i > RUN_MAX / 2; i--) {
        utf8proc_int32_t c;
        if (!is_lead(in[i])) continue;
        if (utf8proc_iterate((const utf8proc_uint8_t *)in + i, (utf8proc_ssize_t)(n - i), &c) <= 0) continue;
        if (utf8proc_get_property(c)->combining_class == 0 && !(c >= 0x1160 && c <= 0x11ff)) return i;
    }
    return RUN_MAX;
}

/* One run through utf8proc; octets that are no UTF-8 stay as they are. */
static void fold_run(struct buf *out, const char *in, size_t n)
{
    enum { MOST = RUN_MAX * 4 };
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD;
    utf8proc_int32_t chars[MOST + 1];

    while (n) {
        const size_t k = run_cut(in, n);
        utf8proc_ssize_t got = utf8proc_decompose((const utf8proc_uint8_t *)in, (utf8proc_ssize_t)k, chars, MOST, options);
        if (got >= 0 && got <= MOST) got = utf8proc_reencode(chars, got, options);
        else got = -1;
        if (got >= 0) buf_add(out, chars, (size_t)got);
        else buf_add(out, in, k);
        in += k;
        n -= k;
    }
}

/* Letters and ideographs that fold by themselves, from in[i] on; returns where they end. */
static size_t fold_simple(struct buf *out, const char *in, size_t i, size_t end, size_t n)
{
    char *to = buf_room(out, end - i), *const start = to;

    while (i + 1 < end) {
        if (fold_letter(in + i, i + 2 < n ? in[i + 2] : '\0', to)) {
            to += 2;
            i += 2;
        } else if (is_ideograph(in + i, end - i)) {
            memcpy(to, in + i, 3);
            to += 3;
            i += 3;
        } else if ((unsigned char)in[i] < 0x80 && (unsigned char)in[i + 1] < 0x80) {
            break;                                     /* more than one of ASCII: lower_run is faster */
        } else if ((unsigned char)in[i] < 0x80 && ((unsigned char)in[i + 1] == 0xc3 || (unsigned char)in[i + 1] == 0xd0)) {
            *to++ = lower(in[i++]);
        } else {
            break;
        }
    }
    out->len += (size_t)(to - start);
    return i;
}

/* How much of in may be folded now: up to the last character that what follows cannot change. */
static size_t settled(const char *in, size_t n)
{
    size_t i = n;
    while (i > 0 && ((unsigned char)in[i - 1] & 0x80)) i--;
    if (i > 0) return i - 1;                          /* an ASCII character: it may combine with what comes */
    if (n <= RUN_MAX) return 0;
    for (i = n - 1; i > 0 && !is_lead(in[i]); ) i--;
    return i;
}

size_t fold_feed(struct buf *out, const char *in, size_t n, bool last)
{
    const size_t end = last ? n : settled(in, n);
    size_t i = 0;

    while (i < end) {
        const size_t run = lower_run(buf_room(out, end - i), in + i, end - i);
        out->len += run;
        i += run;
        i = fold_simple(out, in, i, end, n);
        if (i == end || !((unsigned char)in[i] & 0x80)) continue;
        size_t from = i;
        if (from > 0 && !((unsigned char)in[from - 1] & 0x80)) {       /* taken back */
            from--;
            out->len--;
        }
        while (i < end && ((unsigned char)in[i] & 0x80) && !is_ideograph(in + i, end - i)) i++;
        fold_run(out, in + from, i - from);
    }
    if (out->data) out->data[out->len] = '\0';
    return end;
}

void text_fold(struct buf *out, struct str utf8)
{
    fold_feed(out, utf8.p, utf8.n, true);
}

/* ---- needles ---------------------------------------------------------------------------------------------------------- */

struct text_needle *text_needle_new(struct str utf8)
{
    struct text_needle *n = xcalloc(1, sizeof *n);
    n->scratch = xcalloc(1, sizeof *n->scratch);
    text_fold(&n->folded, utf8);
    return n;
}

void text_needle_free(struct text_needle *n)
{
    if (!n) return;
    charset_cache_free(&n->scratch->charsets);
    buf_free(&n->scratch->text);
    buf_free(&n->scratch->folded);
    free(n->scratch);
    buf_free(&n->folded);
    free(n);
}

bool needle_in(const struct text_needle *n, const char *folded, size_t len)
{
    if (n->folded.len == 0) return true;
    return len >= n->folded.len && memmem(folded, len, n->folded.data, n->folded.len) != NULL;
}

bool text_needle_in_header(const struct text_needle *n, struct str value)
{
    struct text_scratch *s = n->scratch;

    if (n->folded.len == 0) return true;
    buf_clear(&s->text);
    buf_clear(&s->folded);
    header_decode(&s->text, value, &s->charsets);
    fold_feed(&s->folded, s->text.data ? s->text.data : "", s->text.len, true);
    return needle_in(n, s->folded.data ? s->folded.data : "", s->folded.len);
}
