/*
 * Finding and counting octets (see octets.h).
 */
#include "base/octets.h"

#include <string.h>

const char *octets_find(const char *p, size_t n, const char *what, size_t k)
{
    const unsigned char first = (unsigned char)what[0], last = (unsigned char)what[k - 1];
    size_t i = 0;
    if (n < k)
        return NULL;
    const size_t places = n - k + 1;
    for (; i + 2 * sizeof(vector) <= places; i += 2 * sizeof(vector)) {
        vector a[2], b[2];
        memcpy(a, p + i, sizeof a);
        memcpy(b, p + i + k - 1, sizeof b);
        const vector64 low = (vector64)((a[0] == first) & (b[0] == last)), high = (vector64)((a[1] == first) & (b[1] == last));
        const vector64 any = low | high;
        if ((any[0] | any[1]) == 0)
            continue;
        for (size_t at = i; at < i + 2 * sizeof(vector); at++)
            if (p[at] == what[0] && memcmp(p + at, what, k) == 0)
                return p + at;
    }
    /* The rest is short. memmem(3) would make a table first. */
    for (const char *at = p + i, *end = p + places; (at = memchr(at, what[0], (size_t)(end - at))) != NULL; at++)
        if (memcmp(at, what, k) == 0)
            return at;
    return NULL;
}

const char *octets_find_line(const char *p, size_t n, char letter)
{
    size_t i = 0;
    for (; i + sizeof(vector) < n; i += sizeof(vector)) {
        vector v, next;
        memcpy(&v, p + i, sizeof v);
        memcpy(&next, p + i + 1, sizeof next);
        const unsigned bits = top_bits((vector)(v == '\n') & (vector)((next | 0x20) == (unsigned char)letter));
        if (bits != 0)
            return p + i + (unsigned)__builtin_ctz(bits) + 1;
    }
    for (; i + 1 < n; i++)
        if (p[i] == '\n' && (p[i + 1] | 0x20) == letter)
            return p + i + 1;
    return NULL;
}

size_t octets_count(const char *p, size_t n, char c)
{
    size_t count = 0, i = 0;
    while (i + sizeof(vector) <= n) {
        vector sum = { 0 };                          /* 255 rounds fit */
        for (unsigned round = 0; round < 255 && i + sizeof(vector) <= n; round++, i += sizeof(vector)) {
            vector v;
            memcpy(&v, p + i, sizeof v);
            sum -= (vector)(v == (unsigned char)c);
        }
        for (size_t k = 0; k < sizeof sum; k++)
            count += sum[k];
    }
    for (; i < n; i++)
        count += p[i] == c;
    return count;
}
