#ifndef AUTH_TLS_H
#define AUTH_TLS_H
#include <stdbool.h>
#include <stddef.h>

#include "auth/auth.h"
#include "base/config.h"

/* What the module imapd-tls.so gives to the relay process (relay.c), which alone loads it: TLS 1.2 and 1.3 by OpenSSL. */
enum { TLS_ERROR_MAX = 300 };
struct tls_module {
    /* As root: reads certificates, keys and what else the settings name. NULL, and why in err (TLS_ERROR_MAX octets): which file. */
    void *(*load)(const struct config *c, char *err);
    /* What makes the handshakes of processes forked later faster. */
    void (*rehearse)(void *state);
    /* Confined: the server's side of a handshake on in and out, at most timeout_ms. 0: *facts is set; -1: err says why. */
    int (*handshake)(void *state, int in, int out, int timeout_ms, struct tls_facts *facts, char *err);
    /* Hands octets both ways, until both have ended or one is broken. plain: a stream socket. */
    void (*pump)(void *state, int in, int out, int plain);
};
extern const struct tls_module imapd_tls;      /* in the module */
#endif
