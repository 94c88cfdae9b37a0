/*
 * Addresses as the settings and the kernel write them.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool address_parse(const char *text, unsigned char out[ADDRESS_OCTETS])
{
    if (inet_pton(AF_INET, text, out + sizeof mapped) == 1) {
        memcpy(out, mapped, sizeof mapped);
        return true;
    }
    return inet_pton(AF_INET6, text, out) == 1;
}

bool address_network(const char *text, unsigned char out[ADDRESS_OCTETS], unsigned *bits)
{
    char address[INET6_ADDRSTRLEN];
    const size_t n = strcspn(text, "/");
    if (n >= sizeof address)
        return false;
    snprintf(address, sizeof address, "%.*s", (int)n, text);
    if (!address_parse(address, out))
        return false;
    *bits = 128;
    if (text[n] == '\0')
        return true;
    const bool v4 = strchr(address, ':') == NULL;
    char *end;
    const unsigned long given = strtoul(text + n + 1, &end, 10);
    if (text[n + 1] < '0' || text[n + 1] > '9' || *end != '\0' || given > (v4 ? 32u : 128u))
        return false;
    *bits = (unsigned)given + (v4 ? 96 : 0);
    return true;
}
