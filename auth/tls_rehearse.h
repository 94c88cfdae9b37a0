#ifndef AUTH_TLS_REHEARSE_H
#define AUTH_TLS_REHEARSE_H
#include <openssl/ssl.h>

/* Handshakes of TLS 1.2 and 1.3 with ourselves, in memory: OpenSSL looks up algorithms at their first use, and a process that is forked
 * afterwards finds that done. That it fails is no harm. */
void tls_rehearse(SSL_CTX *server);
#endif
