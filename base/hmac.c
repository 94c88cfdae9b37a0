/*
 * HMAC keeps the two hashes as they are after their first block, the key, so that PBKDF2's thousands of rounds take two blocks each.
 */
#include "base/hmac.h"

#include <sha1.h>
#include <sha2.h>
#include <string.h>

enum { BLOCK = 64 };
struct state {
    enum hmac_hash hash;
    union {
        SHA1_CTX sha1;
        SHA2_CTX sha2;
    } u;
};
struct hmac {
    struct state inner, outer;
};

size_t hmac_size(enum hmac_hash hash)
{
    return hash == HMAC_SHA_1 ? SHA1_DIGEST_LENGTH : SHA256_DIGEST_LENGTH;
}

static void begin(struct state *s, enum hmac_hash hash)
{
    s->hash = hash;
    if (hash == HMAC_SHA_1)
        SHA1Init(&s->u.sha1);
    else
        SHA256Init(&s->u.sha2);
}

static void add(struct state *s, const void *text, size_t n)
{
    if (n == 0)
        return;
    if (s->hash == HMAC_SHA_1)
        SHA1Update(&s->u.sha1, text, n);
    else
        SHA256Update(&s->u.sha2, text, n);
}

static void end(struct state *s, unsigned char *out)
{
    if (s->hash == HMAC_SHA_1)
        SHA1Final(out, &s->u.sha1);
    else
        SHA256Final(out, &s->u.sha2);
}

void hmac_hash_of(enum hmac_hash hash, const void *text, size_t n, unsigned char *out)
{
    struct state s;
    begin(&s, hash);
    add(&s, text, n);
    end(&s, out);
    explicit_bzero(&s, sizeof s);
}

static void set_key(struct hmac *h, enum hmac_hash hash, const void *key, size_t n)
{
    unsigned char block[BLOCK] = { 0 };
    if (n > BLOCK)
        hmac_hash_of(hash, key, n, block);
    else if (n > 0)
        memcpy(block, key, n);
    for (size_t i = 0; i < BLOCK; i++)
        block[i] ^= 0x36;
    begin(&h->inner, hash);
    add(&h->inner, block, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        block[i] ^= 0x36 ^ 0x5c;
    begin(&h->outer, hash);
    add(&h->outer, block, BLOCK);
    explicit_bzero(block, sizeof block);
}

/* Of a, then b. */
static void digest(const struct hmac *h, const void *a, size_t a_n, const void *b, size_t b_n, unsigned char *out)
{
    struct state s = h->inner;
    add(&s, a, a_n);
    add(&s, b, b_n);
    end(&s, out);
    s = h->outer;
    add(&s, out, hmac_size(s.hash));
    end(&s, out);
    explicit_bzero(&s, sizeof s);
}

void hmac_of(enum hmac_hash hash, const void *key, size_t key_n, const void *text, size_t n, unsigned char *out)
{
    struct hmac h;
    set_key(&h, hash, key, key_n);
    digest(&h, text, n, NULL, 0, out);
    explicit_bzero(&h, sizeof h);
}

void hmac_pbkdf2(enum hmac_hash hash, const void *password, size_t password_n, const void *salt, size_t salt_n, unsigned iterations,
                 unsigned char *out)
{
    static const unsigned char first[4] = { 0, 0, 0, 1 };
    const size_t size = hmac_size(hash);
    unsigned char u[HMAC_SIZE_MAX];
    struct hmac h;
    set_key(&h, hash, password, password_n);
    digest(&h, salt, salt_n, first, sizeof first, u);
    memcpy(out, u, size);
    for (unsigned i = 1; i < iterations; i++) {
        digest(&h, u, size, NULL, 0, u);
        for (size_t k = 0; k < size; k++)
            out[k] ^= u[k];
    }
    explicit_bzero(&h, sizeof h);
    explicit_bzero(u, sizeof u);
}

bool hmac_same(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    unsigned char differ = 0;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(x[i] ^ y[i]);
    return differ == 0;
}
