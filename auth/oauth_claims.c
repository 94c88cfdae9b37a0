/* The JSON in a token, read with jansson: its header, before the signature is known to be good, and its claims after it. */
#include "auth/oauth_claims.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "auth/jwt_parse.h"

json_t *oauth_claims_object(struct str json)
{
    if (!jwt_parse_shallow(json))
        return NULL;
    json_t *o = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
    if (o != NULL && !json_is_object(o)) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static bool copy_string(char *to, size_t size, const json_t *from)
{
    if (!json_is_string(from) || json_string_length(from) == 0 || json_string_length(from) >= size)
        return false;
    memcpy(to, json_string_value(from), json_string_length(from) + 1);
    return true;
}

/* typ keeps tokens of other purposes (a logout token, a DPoP proof) that the same issuer signs with the same key out (RFC 8725
 * section 3.11). Without one, or with JWT, it may be an access token; RFC 9068 says at+jwt. */
static bool is_access_token(const json_t *typ)
{
    static const char *const types[] = { "JWT", "application/jwt", "at+jwt", "application/at+jwt" };
    if (typ == NULL)
        return true;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (json_is_string(typ) && strcasecmp(json_string_value(typ), types[i]) == 0)
            return true;
    return false;
}

/* jwk, jku, x5c and x5u, where a token brings its own key, mean nothing here. */
static const char *read_header(struct oauth_claims_header *h, const json_t *o)
{
    const json_t *kid = json_object_get(o, "kid");
    if (json_object_get(o, "crit") != NULL)
        return "critical";
    if (!copy_string(h->alg, sizeof h->alg, json_object_get(o, "alg")))
        return "algorithm";
    if (!is_access_token(json_object_get(o, "typ")))
        return "type";
    return kid != NULL && !copy_string(h->kid, sizeof h->kid, kid) ? "key" : NULL;
}

const char *oauth_claims_header(struct oauth_claims_header *h, struct str json)
{
    json_t *o = oauth_claims_object(json);
    *h = (struct oauth_claims_header){ .alg = "" };
    if (o == NULL)
        return "malformed";
    const char *wrong = read_header(h, o);
    json_decref(o);
    return wrong;
}

/* Is claim the text, or an array of strings that holds it? */
static bool names(const json_t *claim, const char *text)
{
    bool found = false;
    if (json_is_string(claim))
        return strcmp(json_string_value(claim), text) == 0;
    for (size_t i = 0; i < json_array_size(claim); i++) {
        const json_t *e = json_array_get(claim, i);
        if (!json_is_string(e))
            return false;
        found = found || strcmp(json_string_value(e), text) == 0;
    }
    return found;
}

/* Words with spaces between them (RFC 8693 section 4.2; some issuers send an array instead). */
static bool has_word(const json_t *claim, const char *word)
{
    if (!json_is_string(claim))
        return names(claim, word);
    const size_t n = strlen(word);
    for (const char *p = json_string_value(claim); *p != '\0';) {
        const size_t len = strcspn(p, " ");
        if (len == n && memcmp(p, word, n) == 0)
            return true;
        p += len;
        p += strspn(p, " ");
    }
    return false;
}

/* A NumericDate (RFC 7519 section 2), with a fraction perhaps; up to the year 9999. */
static bool read_date(const json_t *claim, double *date)
{
    *date = json_is_number(claim) ? json_number_value(claim) : -1;
    return *date >= 0 && *date < 253402300800.0;
}

static const char *check_dates(const json_t *o, time_t now)
{
    const double earliest = (double)now - OAUTH_CLAIMS_LEEWAY, latest = (double)now + OAUTH_CLAIMS_LEEWAY;
    const json_t *nbf = json_object_get(o, "nbf"), *iat = json_object_get(o, "iat");
    double date;
    if (!read_date(json_object_get(o, "exp"), &date) || date <= earliest)
        return "expired";
    if (nbf != NULL && (!read_date(nbf, &date) || date > latest))
        return "not-yet-valid";
    if (iat != NULL && (!read_date(iat, &date) || date > latest))
        return "not-yet-issued";
    return NULL;
}

static bool read_user(char *user, const json_t *claim)
{
    if (!copy_string(user, OAUTH_CLAIMS_USER_MAX + 1, claim))
        return false;
    for (const char *p = user; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return true;
}

static const char *check(const struct oauth_claims_wanted *w, const json_t *o, time_t now, char *user)
{
    const json_t *iss = json_object_get(o, "iss");
    if (!json_is_string(iss) || strcmp(json_string_value(iss), w->issuer) != 0)
        return "issuer";
    if (!names(json_object_get(o, "aud"), w->audience))
        return "audience";
    const char *wrong = check_dates(o, now);
    if (wrong != NULL)
        return wrong;
    if (!read_user(user, json_object_get(o, w->user_claim)))
        return "user";
    if (w->scope != NULL && !has_word(json_object_get(o, "scope"), w->scope) && !has_word(json_object_get(o, "scp"), w->scope))
        return "scope";
    return NULL;
}

const char *oauth_claims_check(const struct oauth_claims_wanted *w, struct str json, time_t now,
                               char user[OAUTH_CLAIMS_USER_MAX + 1])
{
    json_t *o = oauth_claims_object(json);
    user[0] = '\0';
    if (o == NULL)
        return "malformed";
    const char *wrong = check(w, o, now, user);
    json_decref(o);
    return wrong;
}
