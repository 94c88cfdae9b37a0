#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/config.h"

/* Who may come in (design section 2). Runs as root until someone has logged in. auth/ knows no mailbox and no IMAP. */

/* What is known of a connection's TLS, where it ends in a relay of ours (relay.h). Told by a process that talks to the network. */
struct tls_facts {
    bool on;
    char version[16], cipher[64];
    char client[256];              /* the user whom a verified client certificate names (tls-client-name), or "" */
    unsigned char exporter[32], endpoint[64];      /* channel bindings: RFC 9266 tls-exporter, RFC 5929 tls-server-end-point */
    size_t exporter_n, endpoint_n;                 /* 0: cannot be had */
};

/* Where a connection comes from. */
struct peer {
    bool network;                  /* stdin is an AF_INET/AF_INET6 socket */
    bool secure;                   /* local (loopback, unix socket, not a socket) or from a secure-from address: plaintext
                                      passwords are allowed */
    char address[64];              /* numeric, of the real client (after PROXY), or "local" */
    char proxy[64];                /* numeric, of the proxy, or "" */
    bool proxy_tls;                /* the PROXY header said that the client came over TLS */
    struct tls_facts tls;
};
void peer_find(struct peer *p, int fd, const struct config *c);
/* True if the socket's own address is in proxy-from: a PROXY header must be read first. */
bool peer_is_proxy(const struct peer *p, const struct config *c);
/* The PROXY header said that the client is at address ("": it did not say) and came over TLS ('y'), did not ('n'), or nothing
 * about it ('?': then the way counts as secure if the proxy itself is local or in secure-from). 0, or -1 if address is none. */
int peer_proxied(struct peer *p, const struct config *c, const char *address, char tls);
/* May a password come in the clear? */
bool peer_plaintext_login(const struct peer *p, const struct config *c);

/* What this connection may try: OFFER_ bits (base/mechanisms.h). */
unsigned auth_offers(const struct config *c, const struct peer *p);

/* A user who may log in. */
struct account {
    char *name, *home;
    uid_t uid;
    gid_t gid;
    bool system;                   /* of the system's user database: the group database is asked about other groups */
};
void account_free(struct account *a);

/* What the code that parses client octets (greeter) is: a function that is run in the confined child, given the client's
 * descriptors and a descriptor to ask the monitor; see channel.h for the questions. It returns when the client is done. *peer is as
 * it is known then. greeted: the greeting has been written. */
struct monitor_hooks {
    void (*greet)(void *ctx, const struct peer *peer, bool greeted, int in, int out, int channel);
    /* Called once, when the first greeter has been started: the monitor has time until the client speaks. */
    void (*meanwhile)(void *ctx);
    /* The greeting's text, with CRLF. NULL-terminated, malloc'ed. Called as root: knows nothing of the client but *peer. */
    char *(*greeting)(void *ctx, const struct peer *peer);
    void *ctx;
};
/* Runs greeter and monitor until a user is granted. p->tls is as it is before; with implicit_tls a TLS handshake comes first.
 * Descriptors 0 and 1 are the client, and are the plaintext end of a TLS relay when STARTTLS or implicit_tls made one. greeted: there
 * was an earlier session of this connection. 0: *account, *tag and *pending are set, the greeter is gone, and this process is root still. -1: no one came in,
 * the connection is over. */
int monitor_ask(const struct config *c, struct peer *p, bool implicit_tls, bool greeted, const struct monitor_hooks *hooks,
                struct account *account, struct buf *tag, struct buf *pending);
#endif
