/* Base64 (RFC 4648 section 4) for protocol strings: short, strict, no line breaks. Mail bodies, which are neither, are
 * decoded by store/text_decode.c. */
#include "base/base64.h"
#include <stdint.h>

static const char alphabet[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    for (; n >= 3; p += 3, n -= 3) {
        const char four[4] = { alphabet[p[0] >> 2], alphabet[(p[0] & 3) << 4 | p[1] >> 4],
                               alphabet[(p[1] & 15) << 2 | p[2] >> 6], alphabet[p[2] & 63] };
        buf_add(out, four, 4);
    }
    if (n) {
        const unsigned second = n == 2 ? p[1] : 0;
        const char four[4] = { alphabet[p[0] >> 2], alphabet[(p[0] & 3u) << 4 | second >> 4],
                               n == 2 ? alphabet[(second & 15) << 2] : '=', '=' };
        buf_add(out, four, 4);
    }
}

static int value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(struct buf *out, struct str in)
{
    const size_t before = out->len;
    size_t n = in.n;

    if (n % 4) return -1;
    if (n && in.p[n - 1] == '=') n -= in.p[n - 2] == '=' ? 2 : 1;
    uint32_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        const int v = value(in.p[i]);
        if (v < 0) goto bad;
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 == 0) continue;
        const unsigned spare = 6 - 2 * (unsigned)(i % 4);           /* bits that belong to the next octet */
        buf_addc(out, (int)(bits >> spare & 0xff));
    }
    /* The unused bits before padding must be zero, else two strings would mean the same. */
    if ((n % 4 == 2 && (bits & 15)) || (n % 4 == 3 && (bits & 3))) goto bad;
    return 0;
bad:
    out->len = before;
    if (out->data) out->data[before] = '\0';
    return -1;
}
