#ifndef BASE_OCTETS_H
#define BASE_OCTETS_H
#include <stddef.h>
#include <stdint.h>

/* Octets by the 16, with the compiler's vector extensions. */
typedef unsigned char vector __attribute__((vector_size(16)));
typedef uint64_t vector64 __attribute__((vector_size(16)));

/* Place of the first octet that is not 0, of 16 that are not all 0. */
static inline unsigned first_octet(vector64 v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return v[0] ? (unsigned)__builtin_ctzll(v[0]) / 8 : 8 + (unsigned)__builtin_ctzll(v[1]) / 8;
#else
    return v[0] ? (unsigned)__builtin_clzll(v[0]) / 8 : 8 + (unsigned)__builtin_clzll(v[1]) / 8;
#endif
}

/* The top bits of 16 octets, that of the first octet in bit 0. */
static inline unsigned top_bits(vector v)
{
#if defined __SSE2__
    typedef char chars __attribute__((vector_size(16)));
    return (unsigned)__builtin_ia32_pmovmskb128((chars)v);
#else
    unsigned bits = 0;
    for (unsigned i = 0; i < sizeof v; i++)
        bits |= (unsigned)(v[i] >> 7) << i;
    return bits;
#endif
}

/* The first place of the k octets of what (k at least 1) in the n of p; NULL: none. Quicker than memmem(3) where k is small. */
const char *octets_find(const char *p, size_t n, const char *what, size_t k);
/* The first line but the one that p is in that begins with that small letter or its capital; NULL: none. */
const char *octets_find_line(const char *p, size_t n, char letter);
size_t octets_count(const char *p, size_t n, char c);
#endif
