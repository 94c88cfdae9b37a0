/*
 * Where a connection comes from, and what that means: whether a password may come in the clear, and whether a PROXY header
 * has to be read first. Addresses are compared as 16 octets, IPv4 as ::ffff:a.b.c.d, so that a dual-stack socket and an
 * IPv4 one give the same answers.
 */
#include "auth/auth.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    const unsigned rest = bits % 8;
    return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

/* One word of a list: an address, or address/bits (base/config.c lets no other through). */
static bool matches(const char *word, const unsigned char ip[ADDRESS_OCTETS])
{
    unsigned char net[ADDRESS_OCTETS];
    unsigned bits;
    return address_network(word, net, &bits) && same_prefix(net, ip, bits);
}

static bool in_list(const char *list, const char *address)
{
    unsigned char ip[ADDRESS_OCTETS];
    bool found = false;
    if (list == NULL || !address_parse(address, ip))
        return false;
    char *copy = strdup(list), *rest = copy, *word;
    while (copy != NULL && !found && (word = strsep(&rest, " \t,")) != NULL)
        found = *word != '\0' && matches(word, ip);
    free(copy);
    return found;
}

static bool loopback(const char *address)
{
    return in_list("127.0.0.0/8 ::1", address);
}

/* Numeric form of a socket address, IPv4 without its IPv6 wrapping. False if it is not an Internet address. */
static bool numeric(const struct sockaddr_storage *s, char *out, size_t size)
{
    if (s->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)s;
        return inet_ntop(AF_INET, &in->sin_addr, out, (socklen_t)size) != NULL;
    }
    if (s->ss_family != AF_INET6)
        return false;
    const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)s)->sin6_addr;
    if (memcmp(a->s6_addr, mapped, sizeof mapped) == 0)
        return inet_ntop(AF_INET, a->s6_addr + 12, out, (socklen_t)size) != NULL;
    return inet_ntop(AF_INET6, a, out, (socklen_t)size) != NULL;
}

void peer_find(struct peer *p, int fd, const struct config *c)
{
    struct sockaddr_storage here = { 0 }, there = { 0 };
    socklen_t here_len = sizeof here, there_len = sizeof there;
    char own[64];
    memset(p, 0, sizeof *p);
    snprintf(p->address, sizeof p->address, "local");
    p->secure = true;
    if (getsockname(fd, (struct sockaddr *)&here, &here_len) != 0 ||
        (here.ss_family != AF_INET && here.ss_family != AF_INET6))
        return;
    p->network = true;
    if (getpeername(fd, (struct sockaddr *)&there, &there_len) != 0 || !numeric(&there, p->address, sizeof p->address)) {
        snprintf(p->address, sizeof p->address, "unknown");
        p->secure = false;
        return;
    }
    p->secure = loopback(p->address) || in_list(c->secure_from, p->address) ||
                (numeric(&here, own, sizeof own) && strcmp(own, p->address) == 0);   /* from this host to itself */
}

bool peer_is_proxy(const struct peer *p, const struct config *c)
{
    return p->network && p->proxy[0] == '\0' && in_list(c->proxy_from, p->address);
}

int peer_proxied(struct peer *p, const struct config *c, const char *address, char tls)
{
    unsigned char ip[ADDRESS_OCTETS];
    if (address[0] != '\0' && (strlen(address) >= sizeof p->address || !address_parse(address, ip)))
        return -1;
    if (tls != 'y' && tls != 'n' && tls != '?')
        return -1;
    memcpy(p->proxy, p->address, sizeof p->proxy);
    p->proxy_tls = tls == 'y';
    if (tls != '?')
        p->secure = tls == 'y' || in_list(c->secure_from, p->proxy);
    if (address[0] != '\0')
        snprintf(p->address, sizeof p->address, "%s", address);
    return 0;
}

bool peer_plaintext_login(const struct peer *p, const struct config *c)
{
    return p->secure || c->plaintext_login;
}
