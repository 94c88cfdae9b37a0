/*
 * What a connection may try. The monitor asks this again for each attempt, so that a greeter gone wrong gains nothing.
 */
#include "auth/auth.h"
#include "base/mechanisms.h"

static bool wanted(const struct config *c, const char *name)
{
    return c->mechanisms == NULL || config_lists(c->mechanisms, name);
}

/* SCRAM, with channel binding where there is a channel to bind. */
static unsigned scram(const struct config *c, const struct peer *p)
{
    const bool bound = p->tls.exporter_n > 0 || p->tls.endpoint_n > 0;
    unsigned offers = 0;
    if (c->passwd_file == NULL)
        return 0;
    if (wanted(c, "SCRAM-SHA-256"))
        offers |= OFFER_SCRAM_SHA_256 | (bound ? OFFER_SCRAM_SHA_256_PLUS : 0);
    if (config_lists(c->mechanisms, "SCRAM-SHA-1"))
        offers |= OFFER_SCRAM_SHA_1 | (bound ? OFFER_SCRAM_SHA_1_PLUS : 0);
    return offers;
}

/* Those that show a secret to whoever listens. */
static unsigned in_the_clear(const struct config *c)
{
    unsigned offers = 0;
    if (wanted(c, "PLAIN"))
        offers |= OFFER_PLAIN | OFFER_LOGIN_COMMAND;
    if (wanted(c, "LOGIN"))
        offers |= OFFER_LOGIN | OFFER_LOGIN_COMMAND;
    if (c->oauth_keys != NULL && wanted(c, "OAUTHBEARER"))
        offers |= OFFER_OAUTHBEARER;
    if (c->oauth_keys != NULL && wanted(c, "XOAUTH2"))
        offers |= OFFER_XOAUTH2;
    return offers;
}

unsigned auth_offers(const struct config *c, const struct peer *p)
{
    unsigned offers = scram(c, p);
    if (peer_plaintext_login(p, c))
        offers |= in_the_clear(c);
    if (p->tls.client[0] != '\0' && wanted(c, "EXTERNAL"))
        offers |= OFFER_EXTERNAL;
    if (c->gssapi_keytab != NULL && wanted(c, "GSSAPI"))
        offers |= OFFER_GSSAPI;
    if (c->anonymous_user != NULL && config_lists(c->mechanisms, "ANONYMOUS"))
        offers |= OFFER_ANONYMOUS;
    if (c->tls_certificate != NULL && !p->tls.on && !p->proxy_tls)
        offers |= OFFER_STARTTLS;
    return offers;
}
