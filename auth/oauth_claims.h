#ifndef AUTH_OAUTH_CLAIMS_H
#define AUTH_OAUTH_CLAIMS_H
#include <jansson.h>
#include <time.h>
#include "base/buf.h"

/* The JSON of a token (RFC 7519): what its header asks for, and whether its claims are those of somebody who may log in here.
 * Text that is no JSON object, names a member twice, holds a NUL or a number out of range, is not UTF-8 or is nested deeply is
 * refused whole. The functions return NULL where all is well, else the reason: one word for the log. */
enum { OAUTH_CLAIMS_USER_MAX = 255, OAUTH_CLAIMS_KID_MAX = 255, OAUTH_CLAIMS_LEEWAY = 60 };   /* octets, octets, seconds */

struct oauth_claims_header {
    char alg[16];
    char kid[OAUTH_CLAIMS_KID_MAX + 1];   /* "" if none */
};
const char *oauth_claims_header(struct oauth_claims_header *h, struct str json);

struct oauth_claims_wanted {
    const char *issuer, *audience;        /* never NULL */
    const char *scope;                    /* NULL: any */
    const char *user_claim;
};
/* The claims at the time now; user gets the name. "scope" means that all is well but the scope. */
const char *oauth_claims_check(const struct oauth_claims_wanted *w, struct str json, time_t now,
                               char user[OAUTH_CLAIMS_USER_MAX + 1]);

/* The object, which the caller gives back with json_decref, or NULL. */
json_t *oauth_claims_object(struct str json);
#endif
