#ifndef AUTH_OAUTH_KEYS_H
#define AUTH_OAUTH_KEYS_H
#include <jansson.h>
#include <openssl/evp.h>
#include "base/buf.h"

/* The public keys that sign tokens, and the check of a signature (RFC 7518 section 3, RFC 8037). A key has one type, and an
 * algorithm fits one type: no public key is ever taken for the secret of an HMAC. */
enum { OAUTH_KEYS_MAX = 32, OAUTH_KEYS_FILE_MAX = 262144, OAUTH_KEYS_RSA_BITS_MIN = 2048, OAUTH_KEYS_RSA_BITS_MAX = 8192 };

enum oauth_key_type { OAUTH_KEY_RSA, OAUTH_KEY_P256, OAUTH_KEY_P384, OAUTH_KEY_P521, OAUTH_KEY_ED25519, OAUTH_KEY_NONE };
struct oauth_keys;

/* A file of keys: PEM (one "PUBLIC KEY" after the other) or JSON (a JWK or a JWK Set, RFC 7517). NULL with a reason in err: it
 * cannot be read, others than root may write it, it holds a private key or an RSA key that is too short, or nothing of use.
 * Afterwards everything that a check needs is in memory. */
struct oauth_keys *oauth_keys_read(const char *path, char *err, size_t size);
void oauth_keys_free(struct oauth_keys *k);

/* Is signature (octets, as in the token) that of text? kid "": any key may be the one; else those with that identifier and those
 * that have none. NULL if good, else one word: "algorithm", "key" (none fits), "signature". */
const char *oauth_keys_verify(const struct oauth_keys *k, const char *alg, const char *kid, struct str text, struct str signature);

enum oauth_key_type oauth_keys_type(const EVP_PKEY *key);      /* OAUTH_KEY_NONE: of no use here */
/* A JWK as a key that the caller owns, or NULL with *wrong set; *wrong NULL: it is for another purpose, leave it out. */
EVP_PKEY *oauth_jwk_read(const json_t *jwk, const char **wrong);
#endif
