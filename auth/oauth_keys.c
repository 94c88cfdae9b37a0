/* Reads the file of keys, as root, and checks signatures with them, confined. libcrypto finds algorithms by name when it needs
 * them first and may read files then, so each key checks a signature once while that is still allowed. */
#include "auth/oauth_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/oauth_claims.h"

struct key {
    EVP_PKEY *key;
    enum oauth_key_type type;
    char kid[OAUTH_CLAIMS_KID_MAX + 1], alg[16];      /* "" if the file does not say */
};
struct oauth_keys {
    struct key keys[OAUTH_KEYS_MAX];
    size_t n;
};

/* "none" and the HMACs (HS256...) are not here, and so are no algorithms at all. */
static const struct algorithm {
    const char *name;
    enum oauth_key_type type;
    const char *digest;
    bool pss;
} algorithms[] = {
    { "RS256", OAUTH_KEY_RSA, "SHA256", false }, { "RS384", OAUTH_KEY_RSA, "SHA384", false },
    { "RS512", OAUTH_KEY_RSA, "SHA512", false }, { "PS256", OAUTH_KEY_RSA, "SHA256", true },
    { "PS384", OAUTH_KEY_RSA, "SHA384", true }, { "PS512", OAUTH_KEY_RSA, "SHA512", true },
    { "ES256", OAUTH_KEY_P256, "SHA256", false }, { "ES384", OAUTH_KEY_P384, "SHA384", false },
    { "ES512", OAUTH_KEY_P521, "SHA512", false }, { "EdDSA", OAUTH_KEY_ED25519, NULL, false },
    { "Ed25519", OAUTH_KEY_ED25519, NULL, false },    /* RFC 9864 */
};
enum { ALGORITHMS = sizeof algorithms / sizeof algorithms[0] };

enum oauth_key_type oauth_keys_type(const EVP_PKEY *key)
{
    static const struct { const char *group; enum oauth_key_type type; } groups[] = {
        { "prime256v1", OAUTH_KEY_P256 }, { "secp384r1", OAUTH_KEY_P384 }, { "secp521r1", OAUTH_KEY_P521 }
    };
    char group[64];
    size_t n;
    if (EVP_PKEY_is_a(key, "RSA"))
        return OAUTH_KEY_RSA;
    if (EVP_PKEY_is_a(key, "ED25519"))
        return OAUTH_KEY_ED25519;
    if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1)
        for (size_t i = 0; i < 3; i++)
            if (strcmp(group, groups[i].group) == 0)
                return groups[i].type;
    return OAUTH_KEY_NONE;
}

/* An ECDSA signature is two numbers of the field's length one after the other (RFC 7518 section 3.4); libcrypto wants them in
 * DER. The length of the DER in *der, which the caller frees, or 0. */
static int ecdsa_to_der(enum oauth_key_type type, struct str signature, unsigned char **der)
{
    const size_t half = type == OAUTH_KEY_P256 ? 32 : type == OAUTH_KEY_P384 ? 48 : 66;
    if (signature.n != 2 * half)
        return 0;
    const unsigned char *p = (const unsigned char *)signature.p;
    BIGNUM *r = BN_bin2bn(p, (int)half, NULL), *s = BN_bin2bn(p + half, (int)half, NULL);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    int n = 0;
    if (r == NULL || s == NULL || sig == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else {
        n = i2d_ECDSA_SIG(sig, der);
    }
    ECDSA_SIG_free(sig);
    return n > 0 ? n : 0;
}

static bool check_octets(const struct algorithm *a, EVP_PKEY *key, struct str text, const unsigned char *signature, size_t n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    const bool good = ctx != NULL && EVP_DigestVerifyInit_ex(ctx, &pctx, a->digest, NULL, NULL, key, NULL) == 1 &&
        (!a->pss || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                     EVP_PKEY_CTX_set_rsa_mgf1_md_name(pctx, a->digest, NULL) == 1 &&
                     EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
        EVP_DigestVerify(ctx, signature, n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

static bool check_one(const struct algorithm *a, const struct key *k, struct str text, struct str signature)
{
    if (a->type != OAUTH_KEY_P256 && a->type != OAUTH_KEY_P384 && a->type != OAUTH_KEY_P521)
        return check_octets(a, k->key, text, (const unsigned char *)signature.p, signature.n);
    unsigned char *der = NULL;
    const int n = ecdsa_to_der(a->type, signature, &der);
    const bool good = n > 0 && check_octets(a, k->key, text, der, (size_t)n);
    OPENSSL_free(der);
    return good;
}

const char *oauth_keys_verify(const struct oauth_keys *k, const char *alg, const char *kid, struct str text, struct str signature)
{
    const char *wrong = "key";
    size_t a = 0;
    while (a < ALGORITHMS && strcmp(algorithms[a].name, alg) != 0)
        a++;
    if (a == ALGORITHMS)
        return "algorithm";
    for (size_t i = 0; i < k->n; i++) {
        const struct key *const one = &k->keys[i];
        if (one->type != algorithms[a].type || (one->alg[0] != '\0' && strcmp(one->alg, alg) != 0) ||
            (one->kid[0] != '\0' && kid[0] != '\0' && strcmp(one->kid, kid) != 0))
            continue;
        if (check_one(&algorithms[a], one, text, signature))
            return NULL;
        wrong = "signature";
    }
    return wrong;
}

static void rehearse(const struct oauth_keys *k)
{
    static const char zeros[OAUTH_KEYS_RSA_BITS_MAX / 8] = { 0, 1 };
    for (size_t i = 0; i < k->n; i++)
        for (size_t a = 0; a < ALGORITHMS; a++)
            if (algorithms[a].type == k->keys[i].type) {
                const size_t n = k->keys[i].type == OAUTH_KEY_RSA || k->keys[i].type == OAUTH_KEY_ED25519
                    ? (size_t)EVP_PKEY_get_size(k->keys[i].key)
                    : k->keys[i].type == OAUTH_KEY_P256 ? 64 : k->keys[i].type == OAUTH_KEY_P384 ? 96 : 132;
                (void)check_one(&algorithms[a], &k->keys[i], STR("rehearsal"), (struct str){ zeros, n });
            }
}

/* Takes the key over. NULL, or what is wrong with it. */
static const char *add(struct oauth_keys *k, EVP_PKEY *key, const char *kid, const char *alg)
{
    const char *wrong = NULL;
    const enum oauth_key_type type = oauth_keys_type(key);
    const int bits = EVP_PKEY_get_bits(key);
    EVP_PKEY_CTX *ctx = NULL;
    if (type == OAUTH_KEY_NONE)
        wrong = "holds a key of another type than RSA, P-256, P-384, P-521 or Ed25519";
    else if (type == OAUTH_KEY_RSA && bits < OAUTH_KEYS_RSA_BITS_MIN)
        wrong = "holds an RSA key of less than 2048 bits";
    else if (type == OAUTH_KEY_RSA && bits > OAUTH_KEYS_RSA_BITS_MAX)
        wrong = "holds an RSA key of more than 8192 bits";
    else if (k->n == OAUTH_KEYS_MAX)
        wrong = "holds more than 32 keys";
    else if (strlen(kid) > OAUTH_CLAIMS_KID_MAX)
        wrong = "holds a kid that is too long";
    else if (type != OAUTH_KEY_RSA && type != OAUTH_KEY_ED25519 &&
             ((ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL)) == NULL || EVP_PKEY_public_check(ctx) != 1))
        wrong = "holds a point that is not on its curve";
    EVP_PKEY_CTX_free(ctx);
    if (wrong != NULL) {
        EVP_PKEY_free(key);
        return wrong;
    }
    struct key *const one = &k->keys[k->n++];
    *one = (struct key){ .key = key, .type = type };
    snprintf(one->kid, sizeof one->kid, "%s", kid);
    snprintf(one->alg, sizeof one->alg, "%.15s", alg);
    return NULL;
}

static const char *read_pem(struct oauth_keys *k, const char *text, size_t n)
{
    const char *wrong = NULL;
    char *name, *header;
    unsigned char *der;
    long len;
    BIO *bio = BIO_new_mem_buf(text, (int)n);
    while (bio != NULL && wrong == NULL && PEM_read_bio(bio, &name, &header, &der, &len) == 1) {
        const unsigned char *p = der;
        EVP_PKEY *key = NULL;
        if (strstr(name, "PRIVATE KEY") != NULL)
            wrong = "holds a private key";
        else if (strcmp(name, PEM_STRING_PUBLIC) != 0)
            wrong = "holds something else than public keys";
        else if ((key = d2i_PUBKEY(NULL, &p, len)) == NULL || p != der + len)
            wrong = "holds a key that cannot be read";
        if (wrong == NULL)
            wrong = add(k, key, "", "");
        else
            EVP_PKEY_free(key);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len);
    }
    if (wrong == NULL && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        wrong = "is not well-formed PEM";
    BIO_free(bio);
    ERR_clear_error();
    return wrong;
}

static const char *read_jwk(struct oauth_keys *k, const json_t *jwk)
{
    const char *wrong, *kid = json_string_value(json_object_get(jwk, "kid")), *alg = json_string_value(json_object_get(jwk, "alg"));
    EVP_PKEY *key = oauth_jwk_read(jwk, &wrong);
    return key != NULL ? add(k, key, kid != NULL ? kid : "", alg != NULL ? alg : "") : wrong;
}

static const char *read_jwks(struct oauth_keys *k, struct str text)
{
    json_t *o = oauth_claims_object(text);
    if (o == NULL)
        return "is not well-formed JSON";
    const json_t *list = json_object_get(o, "keys");
    const char *wrong = list == NULL ? read_jwk(k, o) : !json_is_array(list) ? "has no array of keys" : NULL;
    for (size_t i = 0; wrong == NULL && i < json_array_size(list); i++)
        wrong = read_jwk(k, json_array_get(list, i));
    json_decref(o);
    return wrong;
}

/* The whole file in text; NULL, or what is wrong. */
static const char *read_file(const char *path, char *text, size_t size, size_t *n)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *wrong = NULL;
    ssize_t got = 1;
    *n = 0;
    if (fd < 0 || fstat(fd, &st) != 0)
        wrong = strerror(errno);
    else if (!S_ISREG(st.st_mode))
        wrong = "is not a file";
    else if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        wrong = "must belong to root and be writable by nobody else";
    while (wrong == NULL && got > 0 && *n < size)
        if ((got = read(fd, text + *n, size - *n)) > 0)
            *n += (size_t)got;
    if (wrong == NULL && got != 0)
        wrong = got < 0 ? strerror(errno) : "is too large";
    if (fd >= 0)
        close(fd);
    return wrong;
}

struct oauth_keys *oauth_keys_read(const char *path, char *err, size_t size)
{
    struct oauth_keys *k = calloc(1, sizeof *k);
    char *text = malloc(OAUTH_KEYS_FILE_MAX + 1);
    size_t n = 0;
    const char *wrong = k == NULL || text == NULL ? strerror(ENOMEM) : read_file(path, text, OAUTH_KEYS_FILE_MAX + 1, &n);
    if (wrong == NULL) {
        const char *p = text, *const end = text + n;
        while (p < end && memchr(" \t\r\n", *p, 4) != NULL)
            p++;
        wrong = p < end && *p == '{' ? read_jwks(k, (struct str){ p, (size_t)(end - p) }) : read_pem(k, text, n);
    }
    if (wrong == NULL && k->n == 0)
        wrong = "holds no public key";
    free(text);
    if (wrong != NULL) {
        snprintf(err, size, "oauth-keys: %s: %s", path, wrong);
        oauth_keys_free(k);
        return NULL;
    }
    rehearse(k);
    return k;
}

void oauth_keys_free(struct oauth_keys *k)
{
    for (size_t i = 0; k != NULL && i < k->n; i++)
        EVP_PKEY_free(k->keys[i].key);
    free(k);
}
