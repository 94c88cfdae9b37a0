/* Byte strings with a length and the growable buffer (buf.h). Growth doubles, so that n octets added one by one cost
 * O(n); one octet more than asked for is always kept for the final NUL. */
#include "base/buf.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/xmalloc.h"

enum { BUF_FIRST = 256 };

struct str str_z(const char *z)
{
    return (struct str){ z, strlen(z) };
}

int str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Not tolower(): the locale must not change what a protocol keyword is. */
static unsigned char ascii_lower(char c)
{
    unsigned char u = (unsigned char)c;
    return (unsigned char)(u >= 'A' && u <= 'Z' ? u + ('a' - 'A') : u);
}

int str_ieq(struct str a, struct str b)
{
    if (a.n != b.n || (a.n > 0 && ((a.p[0] ^ b.p[0]) & ~0x20))) return 0;
    if (str_eq(a, b)) return 1;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i])) return 0;
    return 1;
}

char *buf_grow(struct buf *b, size_t n)
{
    size_t cap = b->cap ? b->cap : BUF_FIRST;

    if (n > SIZE_MAX / 4 - b->len) cap = SIZE_MAX;      /* xrealloc refuses it and says so */
    else
        while (cap < b->len + n + 1) cap *= 2;
    if (cap != b->cap || !b->data) {
        b->data = xrealloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    buf_room(b, 64);
    va_start(ap, fmt);
    n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->data[b->len] = '\0';
        return;
    }
    if ((size_t)n >= b->cap - b->len) {
        buf_room(b, (size_t)n);
        va_start(ap, fmt);
        n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
        va_end(ap);
    }
    b->len += (size_t)n;
}

void buf_drop(struct buf *b, size_t n)
{
    if (n == 0) return;
    if (n >= b->len) {
        buf_clear(b);
        return;
    }
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
    b->data[b->len] = '\0';
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data) b->data[0] = '\0';
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){ 0 };
}

struct str buf_str(const struct buf *b)
{
    return (struct str){ b->len ? b->data : "", b->len };
}
