/*
 * Modified UTF-7 of mailbox names (RFC 3501 section 5.1.3). Decoding is strict: what RFC 3501 does not allow (printable
 * ASCII in base64, bits left over, unpaired surrogates) is refused, so that each name has one spelling. Raw 8-bit octets are
 * let through as the UTF-8 that some clients send.
 */
#include <string.h>

#include "session/command.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static void add_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(out, (int)c);
    } else if (c < 0x800) {
        buf_addc(out, (int)(0xc0 | c >> 6));
        buf_addc(out, (int)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_addc(out, (int)(0xe0 | c >> 12));
        buf_addc(out, (int)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (int)(0x80 | (c & 0x3f)));
    } else {
        buf_addc(out, (int)(0xf0 | c >> 18));
        buf_addc(out, (int)(0x80 | (c >> 12 & 0x3f)));
        buf_addc(out, (int)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (int)(0x80 | (c & 0x3f)));
    }
}

/* One UTF-16 unit more. -1 if it cannot be there. */
static int add_unit(struct buf *out, uint32_t unit, uint32_t *high)
{
    if (*high != 0) {
        if (unit < 0xdc00 || unit > 0xdfff)
            return -1;
        add_utf8(out, 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00));
        *high = 0;
        return 0;
    }
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return -1;
    if (unit >= 0xd800 && unit <= 0xdbff)
        *high = unit;
    else if (unit >= ' ' && unit < 0x7f)
        return -1;
    else
        add_utf8(out, unit);
    return 0;
}

/* The base64 run behind '&' up to '-'. Octets used, 0 if it is wrong. */
static size_t shifted(struct buf *out, const char *p, size_t n)
{
    uint32_t bits = 0, high = 0;
    unsigned have = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '-')
            return i > 0 && high == 0 && have < 6 && (bits & ((1u << have) - 1)) == 0 ? i + 1 : 0;
        const char *found = p[i] != 0 ? strchr(alphabet, p[i]) : NULL;
        if (found == NULL)
            return 0;
        bits = bits << 6 | (uint32_t)(found - alphabet);
        have += 6;
        if (have >= 16) {
            have -= 16;
            if (add_unit(out, bits >> have & 0xffff, &high) != 0)
                return 0;
            bits &= (1u << have) - 1;
        }
    }
    return 0;
}

int utf7_to_utf8(struct buf *out, struct str in)
{
    for (size_t i = 0; i < in.n;) {
        if (in.p[i] != '&') {
            buf_addc(out, in.p[i++]);
        } else if (i + 1 < in.n && in.p[i + 1] == '-') {
            buf_addc(out, '&');
            i += 2;
        } else {
            const size_t n = shifted(out, in.p + i + 1, in.n - i - 1);
            if (n == 0)
                return -1;
            i += 1 + n;
            if (i + 1 < in.n && in.p[i] == '&' && in.p[i + 1] != '-')
                return -1;                        /* two runs that must be one */
        }
    }
    return 0;
}

static uint32_t next_char(const char *p, size_t n, size_t *used)
{
    const unsigned char c = (unsigned char)p[0];
    const size_t more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    uint32_t value = more == 0 ? c : c & (0x3fu >> more);
    for (size_t i = 1; i <= more && i < n; i++)
        value = value << 6 | ((unsigned char)p[i] & 0x3f);
    *used = more + 1 < n ? more + 1 : n;
    return value;
}

struct run {
    struct buf *out;
    uint32_t bits;
    unsigned have;
};

static void put_unit(struct run *r, uint32_t unit)
{
    r->bits = r->bits << 16 | unit;
    for (r->have += 16; r->have >= 6; r->have -= 6)
        buf_addc(r->out, alphabet[r->bits >> (r->have - 6) & 0x3f]);
    r->bits &= (1u << r->have) - 1;
}

void utf8_to_utf7(struct buf *out, struct str in)
{
    for (size_t i = 0; i < in.n;) {
        const unsigned char c = (unsigned char)in.p[i];
        if (c >= ' ' && c < 0x7f) {
            buf_addc(out, c);
            if (c == '&')
                buf_addc(out, '-');
            i++;
            continue;
        }
        struct run r = { .out = out };
        buf_addc(out, '&');
        while (i < in.n && ((unsigned char)in.p[i] < ' ' || (unsigned char)in.p[i] >= 0x7f)) {
            size_t used;
            uint32_t value = next_char(in.p + i, in.n - i, &used);
            i += used;
            if (value >= 0x10000) {
                put_unit(&r, 0xd800 + ((value - 0x10000) >> 10 & 0x3ff));
                value = 0xdc00 + (value & 0x3ff);
            }
            put_unit(&r, value);
        }
        if (r.have > 0)
            buf_addc(out, alphabet[r.bits << (6 - r.have) & 0x3f]);
        buf_addc(out, '-');
    }
}
