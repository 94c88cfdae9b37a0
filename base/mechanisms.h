#ifndef BASE_MECHANISMS_H
#define BASE_MECHANISMS_H
#include <stddef.h>

/* What a connection is offered before login, a bit each: SASL mechanisms, the command LOGIN, STARTTLS. The monitor decides it, the
 * greeter tells it, and the monitor holds to it whatever the greeter then asks. */
enum {
    OFFER_PLAIN = 1 << 0, OFFER_LOGIN = 1 << 1, OFFER_SCRAM_SHA_1 = 1 << 2, OFFER_SCRAM_SHA_1_PLUS = 1 << 3, OFFER_SCRAM_SHA_256 = 1 << 4,
    OFFER_SCRAM_SHA_256_PLUS = 1 << 5, OFFER_EXTERNAL = 1 << 6, OFFER_OAUTHBEARER = 1 << 7, OFFER_XOAUTH2 = 1 << 8,
    OFFER_GSSAPI = 1 << 9, OFFER_ANONYMOUS = 1 << 10,
    OFFER_LOGIN_COMMAND = 1 << 11, OFFER_STARTTLS = 1 << 12
};
/* The mechanisms in the order in which they are told, the best first. */
struct mechanism_name {
    const char *name;
    unsigned offer;
};
enum { MECHANISMS = 11 };
extern const struct mechanism_name mechanism_names[MECHANISMS];
/* The bit of a name, any case; 0: there is no such mechanism. */
unsigned mechanism_offer(const char *name, size_t n);
#endif
