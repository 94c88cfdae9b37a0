#ifndef AUTH_TLS_TICKET_H
#define AUTH_TLS_TICKET_H
#include <openssl/ssl.h>
#include <stdbool.h>

/* Session tickets that outlive a process (RFC 5077, RFC 8446 section 4.6.1): keys from a file, 80 octets each (name 16, HMAC key 32,
 * AES key 32). The first makes tickets, the others are still taken, so that a new first one can be put before them. */
struct tls_tickets;
/* As root. NULL, and why in err (TLS_ERROR_MAX octets). Lives as long as the process. */
struct tls_tickets *tls_tickets_read(const char *file, char *err);
bool tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx);
#endif
