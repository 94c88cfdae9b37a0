/*
 * The names of the SASL mechanisms, for both sides of the channel between greeter and monitor.
 */
#include "base/mechanisms.h"

#include <string.h>
#include <strings.h>

const struct mechanism_name mechanism_names[MECHANISMS] = {
    { "SCRAM-SHA-256-PLUS", OFFER_SCRAM_SHA_256_PLUS },
    { "SCRAM-SHA-256", OFFER_SCRAM_SHA_256 },
    { "SCRAM-SHA-1-PLUS", OFFER_SCRAM_SHA_1_PLUS },
    { "SCRAM-SHA-1", OFFER_SCRAM_SHA_1 },
    { "PLAIN", OFFER_PLAIN },
    { "LOGIN", OFFER_LOGIN },
    { "EXTERNAL", OFFER_EXTERNAL },
    { "GSSAPI", OFFER_GSSAPI },
    { "OAUTHBEARER", OFFER_OAUTHBEARER },
    { "XOAUTH2", OFFER_XOAUTH2 },
    { "ANONYMOUS", OFFER_ANONYMOUS },
};

unsigned mechanism_offer(const char *name, size_t n)
{
    for (size_t i = 0; i < MECHANISMS; i++)
        if (strlen(mechanism_names[i].name) == n && strncasecmp(mechanism_names[i].name, name, n) == 0)
            return mechanism_names[i].offer;
    return 0;
}
