#ifndef AUTH_PROXY_H
#define AUTH_PROXY_H
#include <stddef.h>

/* The PROXY protocol header, versions 1 and 2, that a configured proxy sends before the client's first octet. */
enum { PROXY_V1_MAX = 107, PROXY_V2_MAX = 16 + 2048 };

struct proxy_header {
    char address[64];          /* numeric, of the client; "" if the header tells none (UNKNOWN, LOCAL, AF_UNIX) */
    char tls;                  /* 'y' or 'n' if the proxy says whether the client came over TLS, else '?' */
};
/* How many octets the header has, judged from its first n: > 0 that many (may be more than n), 0: not known yet, give one
 * octet more, -1: it is no PROXY header, or one beyond the bounds. */
long proxy_length(const void *bytes, size_t n);
/* Parses a whole header of exactly n octets. 0 or -1. */
int proxy_parse(struct proxy_header *h, const void *bytes, size_t n);
/* Reads one header from fd, never an octet beyond it. Runs in the confined greeter. 0 or -1. */
int proxy_read(struct proxy_header *h, int fd);
#endif
