/*
 * SASLprep: mapping, NFKC, then what is prohibited, by the tables of RFC 3454 as far as the general categories and directions of
 * utf8proc do not have them. Runs in the monitor, too: its input is bounded by the caller.
 */
#include "base/saslprep.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct range {
    utf8proc_int32_t first, last;
};

static bool within(const struct range *table, size_t n, utf8proc_int32_t c)
{
    for (size_t i = 0; i < n; i++)
        if (c >= table[i].first && c <= table[i].last)
            return true;
    return false;
}
#define WITHIN(table, c) within(table, sizeof table / sizeof *table, c)

/* RFC 3454, C.1.2: mapped to a space. ZERO WIDTH SPACE is in B.1, too, and is left out. */
static const struct range spaces[] = {
    { 0xa0, 0xa0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200a }, { 0x202f, 0x202f }, { 0x205f, 0x205f }, { 0x3000, 0x3000 }
};
/* B.1: commonly mapped to nothing. */
static const struct range nothing[] = {
    { 0xad, 0xad }, { 0x34f, 0x34f }, { 0x1806, 0x1806 }, { 0x180b, 0x180d }, { 0x200b, 0x200d }, { 0x2060, 0x2060 },
    { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff }
};
/* C.2.2, C.6, C.7, C.8 and C.9, as far as they are not of category Cc. */
static const struct range prohibited[] = {
    { 0x340, 0x341 }, { 0x6dd, 0x6dd }, { 0x70f, 0x70f }, { 0x180e, 0x180e }, { 0x200e, 0x200f }, { 0x2028, 0x202e },
    { 0x2061, 0x2063 }, { 0x206a, 0x206f }, { 0x2ff0, 0x2ffb }, { 0xfff9, 0xfffd }, { 0x1d173, 0x1d17a }, { 0xe0001, 0xe0001 },
    { 0xe0020, 0xe007f }
};

static bool is_prohibited(utf8proc_int32_t c, bool stored)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
        return true;
    case UTF8PROC_CATEGORY_CN:
        return stored || (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);       /* C.4: never characters */
    default:
        return WITHIN(spaces, c) || WITHIN(prohibited, c);
    }
}

/* 1: printable ASCII, 0: not ASCII, -1: has control characters. */
static int is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return 0;
        else if (s.p[i] < ' ' || s.p[i] == 0x7f)
            return -1;
    return 1;
}

/* Each character of s in turn; 0 at the end, -1: not UTF-8. */
static utf8proc_ssize_t next(struct str *s, utf8proc_int32_t *c)
{
    if (s->n == 0)
        return 0;
    const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s->p, (utf8proc_ssize_t)s->n, c);
    if (n <= 0)
        return -1;
    s->p += n;
    s->n -= (size_t)n;
    return n;
}

static int map(struct buf *out, struct str in)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n;
    while ((n = next(&in, &c)) > 0)
        if (WITHIN(spaces, c))
            buf_addc(out, ' ');
        else if (!WITHIN(nothing, c))
            buf_add(out, in.p - n, (size_t)n);
    return (int)n;
}

/* RFC 3454, section 6: with letters written from the right there are none from the left, and they are first and last. */
static int check(struct str s, bool stored)
{
    bool left = false, right = false, first = true, first_right = false, last_right = false;
    utf8proc_int32_t c;
    utf8proc_ssize_t n;
    while ((n = next(&s, &c)) > 0) {
        const utf8proc_property_t *p = utf8proc_get_property(c);
        if (is_prohibited(c, stored))
            return -1;
        last_right = p->bidi_class == UTF8PROC_BIDI_CLASS_R || p->bidi_class == UTF8PROC_BIDI_CLASS_AL;
        if (first)
            first_right = last_right;
        first = false;
        right = right || last_right;
        left = left || p->bidi_class == UTF8PROC_BIDI_CLASS_L;
    }
    return n < 0 || first || (right && (left || !first_right || !last_right)) ? -1 : 0;
}

static void wipe(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buf_free(b);
}

int saslprep(struct buf *out, struct str in, bool stored)
{
    struct buf mapped = { 0 };
    utf8proc_uint8_t *normal = NULL;
    const int ascii = is_ascii(in);
    if (ascii != 0 || in.n == 0) {
        if (ascii > 0 && in.n > 0)
            buf_add(out, in.p, in.n);
        return ascii > 0 && in.n > 0 ? 0 : -1;
    }
    int result = -1;
    (void)buf_room(&mapped, in.n + 1);             /* never moved: nothing is left behind */
    if (map(&mapped, in) == 0 && mapped.len > 0) {
        const utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)mapped.data, (utf8proc_ssize_t)mapped.len, &normal,
                                                UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE);
        const struct str text = { (const char *)normal, n > 0 ? (size_t)n : 0 };
        result = n > 0 ? check(text, stored) : -1;
        if (result == 0)
            buf_add(out, text.p, text.n);
        if (normal != NULL)
            explicit_bzero(normal, text.n);
    }
    free(normal);
    wipe(&mapped);
    return result;
}
