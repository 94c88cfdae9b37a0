/* What a client sends for OAUTHBEARER and XOAUTH2, whole: the message, the token in it, its header and claims. The first octet
 * says which mechanism ('B' or 'X'), or that what follows is a token's JSON ('H' header, 'C' claims), or base64url ('U'). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "auth/jwt_parse.h"
#include "auth/oauth_claims.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct str part, struct str whole)
{
    if (part.n > 0 && (part.p < whole.p || part.n > whole.n || part.p + part.n > whole.p + whole.n))
        abort();
}

static void json(struct str text)
{
    static const struct oauth_claims_wanted wanted = { "i", "a", "s", "sub" };
    struct oauth_claims_header h;
    char user[OAUTH_CLAIMS_USER_MAX + 1];
    if (oauth_claims_header(&h, text) == NULL && (h.alg[0] == '\0' || memchr(h.kid, '\0', sizeof h.kid) == NULL))
        abort();
    if (oauth_claims_check(&wanted, text, 1000, user) == NULL && (user[0] == '\0' || strpbrk(user, "\r\n\t\x7f") != NULL))
        abort();
}

/* What is read has one spelling. */
static size_t base64url(struct str in, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n;
    if (jwt_parse_base64url(in, out, in.n, &n) != 0)
        return 0;
    if (n != in.n * 3 / 4)
        abort();
    for (size_t i = 0; i < in.n; i++) {
        const size_t at = i * 6 / 8, spare = i * 6 % 8;
        const unsigned two = (unsigned)(unsigned char)out[at] << 8 | (at + 1 < n ? (unsigned char)out[at + 1] : 0);
        if (in.p[i] != digits[two >> (10 - spare) & 63])
            abort();
    }
    return n;
}

static void token(struct str text)
{
    struct jwt_parse_token t;
    if (jwt_parse_token(&t, text) != 0)
        return;
    inside(t.header, text);
    inside(t.payload, text);
    inside(t.signature, text);
    if (t.header.n + t.payload.n + t.signature.n + 2 != text.n || t.text.n != text.n - t.signature.n - 1)
        abort();
    char *out = malloc(text.n);
    if (out == NULL)
        return;
    json((struct str){ out, base64url(t.header, out) });
    json((struct str){ out, base64url(t.payload, out) });
    base64url(t.signature, out);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jwt_parse_message m;
    if (size < 2)
        return 0;
    char *copy = malloc(size - 1), *out = malloc(size);
    if (copy == NULL || out == NULL)
        abort();
    memcpy(copy, data + 1, size - 1);
    const struct str text = { copy, size - 1 };
    if (data[0] == 'H' || data[0] == 'C') {
        json(text);
    } else if (data[0] == 'U') {
        base64url(text, out);
    } else if ((data[0] == 'X' ? jwt_parse_xoauth2 : jwt_parse_oauthbearer)(&m, text) == 0) {
        inside(m.token, text);
        inside(m.host, text);
        inside(m.port, text);
        if (memchr(m.name, '\0', sizeof m.name) == NULL || (data[0] == 'X' && m.name[0] == '\0'))
            abort();
        token(m.token);
    }
    free(copy);
    free(out);
    return 0;
}
