/*
 * The PROXY protocol ("The PROXY protocol, versions 1 & 2", HAProxy Technologies, sections 2.1 and 2.2).
 *
 * Version 1 is a line of text: "PROXY TCP4 192.0.2.1 198.51.100.7 40000 143\r\n". Version 2 is a 12-octet signature, command,
 * family, length, addresses, and type-length-values, of which PP2_TYPE_SSL alone matters here. What follows the header is the
 * client's input and must stay unread, so the reader takes what proxy_length knows to be header and not an octet more.
 */
#include "auth/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static const unsigned char signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };
enum { V2_FIXED = 16, PP2_TYPE_SSL = 0x20, PP2_CLIENT_SSL = 1 };

long proxy_length(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    const size_t known = n < sizeof signature ? n : sizeof signature;
    if (memcmp(p, signature, known) == 0) {
        if (n < V2_FIXED)
            return n < sizeof signature ? 0 : V2_FIXED;
        const long len = V2_FIXED + (long)(p[14] << 8 | p[15]);
        return len <= PROXY_V2_MAX ? len : -1;
    }
    if (memcmp(p, "PROXY ", n < 6 ? n : 6) != 0)
        return -1;
    const unsigned char *lf = memchr(p, '\n', n);
    if (lf != NULL)
        return lf - p + 1;
    return n < PROXY_V1_MAX ? 0 : -1;
}

/* The next space-separated word of a version 1 line, in place; NULL if there is none or it is empty. */
static char *word(char **line)
{
    char *w = strsep(line, " ");
    return w != NULL && *w != '\0' ? w : NULL;
}

static bool port_ok(const char *s)
{
    const size_t n = s != NULL ? strlen(s) : 0;
    return n >= 1 && n <= 5 && strspn(s, "0123456789") == n;
}

static int parse_v1(struct proxy_header *h, const char *bytes, size_t n)
{
    char copy[PROXY_V1_MAX + 1];
    unsigned char ip[16];
    if (n < 8 || n > PROXY_V1_MAX || memcmp(bytes + n - 2, "\r\n", 2) != 0 || memchr(bytes, '\0', n) != NULL)
        return -1;
    memcpy(copy, bytes, n - 2);
    copy[n - 2] = '\0';
    char *line = copy + 6, *family = word(&line);
    if (family != NULL && strcmp(family, "UNKNOWN") == 0)
        return 0;
    const int af = family == NULL ? -1 : strcmp(family, "TCP4") == 0 ? AF_INET : strcmp(family, "TCP6") == 0 ? AF_INET6 : -1;
    const char *from = word(&line), *to = word(&line), *from_port = word(&line), *to_port = word(&line);
    if (af == -1 || from == NULL || to == NULL || line != NULL || !port_ok(from_port) || !port_ok(to_port) ||
        inet_pton(af, to, ip) != 1 || inet_pton(af, from, ip) != 1)
        return -1;
    return inet_ntop(af, ip, h->address, sizeof h->address) != NULL ? 0 : -1;
}

/* PP2_TYPE_SSL: one octet of client flags, four of verify, then sub-values that do not matter here. */
static int parse_values(struct proxy_header *h, const unsigned char *p, const unsigned char *end)
{
    while (end - p >= 3) {
        const unsigned type = p[0];
        const long len = p[1] << 8 | p[2];
        p += 3;
        if (len > end - p)
            return -1;
        if (type == PP2_TYPE_SSL) {
            if (len < 5)
                return -1;
            h->tls = (p[0] & PP2_CLIENT_SSL) != 0 ? 'y' : 'n';
        }
        p += len;
    }
    return p == end ? 0 : -1;
}

static int parse_v2(struct proxy_header *h, const unsigned char *p, size_t n)
{
    const unsigned version = p[12] >> 4, command = p[12] & 15, family = p[13] >> 4;
    const unsigned char *body = p + V2_FIXED, *end = p + n;
    if (version != 2 || command > 1)
        return -1;
    if (command == 0)                             /* LOCAL: the proxy itself, checking our health */
        return 0;
    static const long sizes[4] = { 0, 12, 36, 216 };   /* UNSPEC, INET, INET6, UNIX */
    if (family > 3 || end - body < sizes[family])
        return -1;
    if (family == 0)
        return 0;
    const int af = family == 1 ? AF_INET : AF_INET6;
    if (family != 3 && inet_ntop(af, body, h->address, sizeof h->address) == NULL)
        return -1;
    return parse_values(h, body + sizes[family], end);
}

int proxy_parse(struct proxy_header *h, const void *bytes, size_t n)
{
    memset(h, 0, sizeof *h);
    h->tls = '?';
    if (n == 0 || proxy_length(bytes, n) != (long)n)
        return -1;
    if (n >= V2_FIXED && memcmp(bytes, signature, sizeof signature) == 0)
        return parse_v2(h, bytes, n);
    return parse_v1(h, bytes, n);
}

int proxy_read(struct proxy_header *h, int fd)
{
    unsigned char bytes[PROXY_V2_MAX];
    size_t n = 0;
    for (;;) {
        const long len = n > 0 ? proxy_length(bytes, n) : 0;
        if (len < 0 || len > (long)sizeof bytes)
            return -1;
        if (len > 0 && (size_t)len == n)
            break;
        const size_t want = len > 0 ? (size_t)len - n : 1;
        const ssize_t got = read(fd, bytes + n, want);
        if (got == 0 || (got < 0 && errno != EINTR))
            return -1;
        if (got > 0)
            n += (size_t)got;
    }
    return proxy_parse(h, bytes, n);
}
