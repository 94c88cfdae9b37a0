#ifndef AUTH_TLS_IO_H
#define AUTH_TLS_IO_H
#include <openssl/ssl.h>

/* The relay's waiting and copying, in the module imapd-tls.so. Descriptors are non-blocking; in and out may be one. */

/* The handshake, at most timeout_ms. 0, or -1 with a reason in err (TLS_ERROR_MAX octets). */
int tls_accept(SSL *ssl, int in, int out, int timeout_ms, char *err);
/* Octets both ways until both have ended: the client's end is a half-close for plain; plain's end is close_notify, after all that it
 * had to say. */
void tls_pump(SSL *ssl, int in, int out, int plain);
#endif
