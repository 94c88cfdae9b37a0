#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H
#include <stdbool.h>

/* Addresses of the Internet as 16 octets, IPv4 as ::ffff:a.b.c.d, so that a dual-stack socket and an IPv4 one give the same answers. */

enum { ADDRESS_OCTETS = 16 };
/* A numeric address. False: it is none. */
bool address_parse(const char *text, unsigned char out[ADDRESS_OCTETS]);
/* "address" or "address/bits"; *bits counts from the first of the 128. False: it is neither. */
bool address_network(const char *text, unsigned char out[ADDRESS_OCTETS], unsigned *bits);
#endif
