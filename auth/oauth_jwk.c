/* A JSON Web Key (RFC 7517, RFC 7518 section 6, RFC 8037 section 2) as a public key of libcrypto. */
#include "auth/oauth_keys.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdbool.h>
#include <string.h>

#include "auth/jwt_parse.h"

enum { NUMBER_MAX = OAUTH_KEYS_RSA_BITS_MAX / 8 };

static bool is(const json_t *member, const char *text)
{
    return json_is_string(member) && strcmp(json_string_value(member), text) == 0;
}

/* A member in base64url; octets, at most NUMBER_MAX. */
static bool octets(const json_t *jwk, const char *name, unsigned char *out, size_t *n)
{
    const json_t *v = json_object_get(jwk, name);
    return json_is_string(v) && json_string_length(v) > 0 &&
        jwt_parse_base64url((struct str){ json_string_value(v), json_string_length(v) }, (char *)out, NUMBER_MAX, n) == 0;
}

static EVP_PKEY *build(const char *type, OSSL_PARAM_BLD *b)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = b != NULL ? OSSL_PARAM_BLD_to_param(b) : NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
    unsigned char n[NUMBER_MAX], e[NUMBER_MAX];
    size_t nlen, elen;
    if (!octets(jwk, "n", n, &nlen) || !octets(jwk, "e", e, &elen))
        return NULL;
    BIGNUM *bn = BN_bin2bn(n, (int)nlen, NULL), *be = BN_bin2bn(e, (int)elen, NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (bn != NULL && be != NULL && b != NULL && BN_is_odd(be) && !BN_is_one(be) &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, bn) == 1 && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, be) == 1)
        key = build("RSA", b);
    OSSL_PARAM_BLD_free(b);
    BN_free(bn);
    BN_free(be);
    return key;
}

/* The coordinates have the full length of the curve's field (RFC 7518 section 6.2.1.2). */
static EVP_PKEY *read_ec(const json_t *jwk)
{
    static const struct { const char *crv, *group; size_t n; } curves[] = {
        { "P-256", "prime256v1", 32 }, { "P-384", "secp384r1", 48 }, { "P-521", "secp521r1", 66 }
    };
    unsigned char point[1 + 2 * NUMBER_MAX];
    size_t x, y, i = 0;
    while (i < 3 && !is(json_object_get(jwk, "crv"), curves[i].crv))
        i++;
    if (i == 3 || !octets(jwk, "x", point + 1, &x) || x != curves[i].n || !octets(jwk, "y", point + 1 + x, &y) || y != x)
        return NULL;
    point[0] = 4;                                     /* uncompressed */
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (b != NULL && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x + y) == 1)
        key = build("EC", b);
    OSSL_PARAM_BLD_free(b);
    return key;
}

static EVP_PKEY *read_okp(const json_t *jwk)
{
    unsigned char x[NUMBER_MAX];
    size_t n;
    if (!is(json_object_get(jwk, "crv"), "Ed25519") || !octets(jwk, "x", x, &n) || n != 32)
        return NULL;
    return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, n);
}

/* use and key_ops, where they are there, say that the key checks signatures. */
static bool for_signatures(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");
    if (use != NULL && !is(use, "sig"))
        return false;
    for (size_t i = 0; i < json_array_size(ops); i++)
        if (is(json_array_get(ops, i), "verify"))
            return true;
    return ops == NULL;
}

EVP_PKEY *oauth_jwk_read(const json_t *jwk, const char **wrong)
{
    const json_t *kty = json_object_get(jwk, "kty"), *crv = json_object_get(jwk, "crv");
    EVP_PKEY *key = NULL;
    *wrong = NULL;
    if (json_object_get(jwk, "d") != NULL)
        *wrong = "holds a private key";
    else if (!for_signatures(jwk))
        return NULL;
    else if (is(kty, "RSA"))
        key = read_rsa(jwk);
    else if (is(kty, "EC") && !is(crv, "secp256k1"))
        key = read_ec(jwk);
    else if (is(kty, "OKP") && is(crv, "Ed25519"))
        key = read_okp(jwk);
    else
        return NULL;                                  /* RFC 7517 section 5: what one does not know is left out */
    if (key == NULL && *wrong == NULL)
        *wrong = "holds a key that cannot be read";
    ERR_clear_error();
    return key;
}
