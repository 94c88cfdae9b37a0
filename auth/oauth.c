/* The module imapd-oauth.so: OAUTHBEARER (RFC 7628) and XOAUTH2 with tokens that are signed (RFC 7519). Nobody is asked over the
 * network: a token is good if a key of the file oauth-keys signed it and its claims are those that the settings ask for. */
#include "auth/mech.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#include "auth/jwt_parse.h"
#include "auth/oauth_claims.h"
#include "auth/oauth_keys.h"

_Static_assert((int)OAUTH_CLAIMS_USER_MAX == (int)MECH_NAME_MAX && (int)JWT_PARSE_NAME_MAX == (int)MECH_NAME_MAX,
               "a name has one bound");

struct oauth {
    struct oauth_keys *keys;
    char *issuer, *audience, *scope, *user_claim;
    char header[4096], payload[JWT_PARSE_MESSAGE_MAX], signature[OAUTH_KEYS_RSA_BITS_MAX / 8];   /* of the token at hand */
};

static void release(struct oauth *o)
{
    oauth_keys_free(o->keys);
    free(o->issuer);
    free(o->audience);
    free(o->scope);
    free(o->user_claim);
    free(o);
}

/* jansson mixes a random number into its hash tables, so that nobody chooses names that all collide; left alone it would open
 * /dev/urandom at the first object. 0 means that it chooses, so it is never 0. */
static bool seed_tables(void)
{
    size_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return false;
    json_object_seed(seed | 1);
    return true;
}

static void *load(const struct config *c, char *err, size_t size)
{
    if (c->oauth_keys == NULL || c->oauth_issuer == NULL || c->oauth_audience == NULL) {
        snprintf(err, size, "oauth-keys, oauth-issuer and oauth-audience must be set");
        return NULL;
    }
    struct oauth *o = calloc(1, sizeof *o);
    if (o == NULL || !seed_tables()) {
        snprintf(err, size, "oauth: %s", strerror(errno));
        free(o);
        return NULL;
    }
    o->issuer = strdup(c->oauth_issuer);
    o->audience = strdup(c->oauth_audience);
    o->user_claim = strdup(c->oauth_user_claim);
    o->scope = c->oauth_scope != NULL ? strdup(c->oauth_scope) : NULL;
    if (o->issuer == NULL || o->audience == NULL || o->user_claim == NULL || (c->oauth_scope != NULL && o->scope == NULL))
        snprintf(err, size, "oauth: %s", strerror(ENOMEM));
    else
        o->keys = oauth_keys_read(c->oauth_keys, err, size);
    if (o->keys == NULL) {
        release(o);
        return NULL;
    }
    return o;
}

/* The token: NULL and the user it is for, or the reason why not. The signature comes before the claims. */
static const char *check_token(struct oauth *o, struct str text, char *user)
{
    struct oauth_claims_header header;
    struct jwt_parse_token t;
    size_t h, p, s;
    if (jwt_parse_token(&t, text) != 0 || jwt_parse_base64url(t.header, o->header, sizeof o->header, &h) != 0 ||
        jwt_parse_base64url(t.payload, o->payload, sizeof o->payload, &p) != 0 ||
        jwt_parse_base64url(t.signature, o->signature, sizeof o->signature, &s) != 0)
        return "malformed";
    const char *wrong = oauth_claims_header(&header, (struct str){ o->header, h });
    if (wrong == NULL)
        wrong = oauth_keys_verify(o->keys, header.alg, header.kid, t.text, (struct str){ o->signature, s });
    if (wrong != NULL)
        return wrong;
    const struct oauth_claims_wanted wanted = { o->issuer, o->audience, o->scope, o->user_claim };
    return oauth_claims_check(&wanted, (struct str){ o->payload, p }, time(NULL), user);
}

/* The error of RFC 7628 section 3.2.2, with the codes of RFC 6750 section 3.1; clients of XOAUTH2 know an HTTP status instead. A
 * scope has no quote and no backslash (base/config.c checks that). */
static enum mech_status refuse(const struct oauth *o, bool xoauth2, const char *why, char *reply, size_t *reply_n,
                               struct mech_result *result)
{
    *result = (struct mech_result){ .user = "" };
    snprintf(result->reason, sizeof result->reason, "token-%s", why);
    const char *code = strcmp(why, "request") == 0 ? "invalid_request" :
        strcmp(why, "scope") == 0 ? "insufficient_scope" : "invalid_token";
    const int n = snprintf(reply, MECH_REPLY_MAX, "{\"status\":\"%s\"%s%s%s%s}", xoauth2 ? "401" : code,
                           xoauth2 ? ",\"schemes\":\"bearer\"" : "", o->scope != NULL ? ",\"scope\":\"" : "",
                           o->scope != NULL ? o->scope : "", o->scope != NULL ? "\"" : "");
    *reply_n = n > 0 && n < MECH_REPLY_MAX ? (size_t)n : 0;
    return MECH_FAILED;
}

static bool is_utf8(const char *z)
{
    json_t *s = json_string(z);
    const bool yes = s != NULL;
    json_decref(s);
    return yes;
}

static enum mech_status step(void *state, const char *mechanism, const char *data, size_t n, char *reply, size_t *reply_n,
                             struct mech_result *result)
{
    struct oauth *o = state;
    struct jwt_parse_message m;
    const bool xoauth2 = strcasecmp(mechanism, "XOAUTH2") == 0;
    const struct str message = { data, n };
    *reply_n = 0;
    *result = (struct mech_result){ .user = "" };
    if ((!xoauth2 && strcasecmp(mechanism, "OAUTHBEARER") != 0) || n == 0 || (n == 1 && data[0] == '\1'))
        return MECH_FAILED;                           /* RFC 7628 section 3.1: without an error to look at */
    if ((xoauth2 ? jwt_parse_xoauth2(&m, message) : jwt_parse_oauthbearer(&m, message)) != 0 || !is_utf8(m.name))
        return refuse(o, xoauth2, "request", reply, reply_n, result);
    const char *wrong = check_token(o, m.token, result->user);
    explicit_bzero(o->signature, sizeof o->signature);
    if (wrong != NULL)
        return refuse(o, xoauth2, wrong, reply, reply_n, result);
    if (strcmp(m.name, result->user) != 0)
        memcpy(result->authzid, m.name, sizeof m.name);
    return MECH_DONE;
}

/* Everything else is hidden (-fvisibility=hidden). */
extern const struct mech_module imapd_mechanism;
__attribute__((visibility("default"))) const struct mech_module imapd_mechanism = { load, step };
