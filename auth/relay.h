#ifndef AUTH_RELAY_H
#define AUTH_RELAY_H
#include <sys/types.h>

#include "auth/auth.h"
#include "base/config.h"

/* The monitor's side of the TLS relay: a process that alone holds the private key and libssl, is confined like the greeter, and
 * hands octets between the client and a socket pair, the other end of which all other processes see as the connection. */
struct relay {
    int plain, talk;               /* our end of the plaintext; where it reports */
    bool warm;                     /* a fork of a warm relay (warm.h) */
};
/* Forks it; it reads certificates and keys, is confined, and waits. channel: a descriptor that it must not keep, or -1. 0, or -1
 * (logged). Runs as root. */
int relay_start(struct relay *r, const struct config *c, int channel);
/* Waits until it is ready to begin. 0, or -1 (logged): it was dropped. */
int relay_ready(struct relay *r, const struct config *c);
/* Lets it do the handshake, timeout_ms at most; may come before relay_ready. */
void relay_begin(const struct relay *r, int timeout_ms);
/* Waits for that, timeout_ms at most. 0: descriptors 0 and 1 are the plaintext from now on, *facts is what it told. -1 (logged): it was
 * dropped, the connection is over. */
int relay_finish(struct relay *r, const struct peer *p, int timeout_ms, struct tls_facts *facts);
/* The report's frame (for tests, too): 0, or -1 if it is anything else. */
int relay_parse(struct tls_facts *f, const unsigned char *frame, size_t n);
void relay_drop(struct relay *r);
#endif
