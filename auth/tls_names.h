#ifndef AUTH_TLS_NAMES_H
#define AUTH_TLS_NAMES_H
#include <openssl/x509.h>
#include <stddef.h>

/* What certificates say; in the module imapd-tls.so. */
enum tls_client_name { TLS_CLIENT_CN, TLS_CLIENT_EMAIL, TLS_CLIENT_EMAIL_LOCAL };
/* The user whom a client's certificate (NULL: none) names, NUL-terminated; "" if it names none, several, or one with octets that
 * are not printable ASCII. size: of out. */
void tls_client(X509 *certificate, enum tls_client_name which, char *out, size_t size);
/* RFC 5929, section 4.1: the hash of the server's certificate. Its length, at most size; 0: not defined for this one. */
size_t tls_endpoint(X509 *certificate, unsigned char *out, size_t size);
#endif
