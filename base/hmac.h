#ifndef BASE_HMAC_H
#define BASE_HMAC_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* Hash, HMAC (RFC 2104) and PBKDF2 (RFC 8018 section 5.2) with the hashes of libmd, which costs nothing at start-up: libraries that
 * choose among processors' instructions ask the processor first, which takes longer than all of the greeting in a virtual machine. */
enum hmac_hash { HMAC_SHA_1, HMAC_SHA_256 };
enum { HMAC_SIZE_MAX = 32 };
/* Octets of the hash: 20 or 32. */
size_t hmac_size(enum hmac_hash hash);
/* out has room for hmac_size(hash) octets, in all three. */
void hmac_hash_of(enum hmac_hash hash, const void *text, size_t n, unsigned char *out);
void hmac_of(enum hmac_hash hash, const void *key, size_t key_n, const void *text, size_t n, unsigned char *out);
/* The first block (as many octets as the hash has); iterations at least 1. */
void hmac_pbkdf2(enum hmac_hash hash, const void *password, size_t password_n, const void *salt, size_t salt_n, unsigned iterations,
                 unsigned char *out);
/* Compares in the time that n takes, wherever a difference is. */
bool hmac_same(const void *a, const void *b, size_t n);
#endif
