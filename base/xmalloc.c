/*
 * Allocation that does not fail. A server of one connection has nothing better to do without memory than to end: the
 * mail is safe on disk at every instant, and the client reconnects.
 */
#include "base/xmalloc.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"

static void *checked(void *p, size_t n)
{
    if (p == NULL && n != 0) {
        log_error("out of memory, %zu octets asked for", n);
        _Exit(EX_OSERR);
    }
    return p;
}

void *xmalloc(size_t n)
{
    return checked(malloc(n != 0 ? n : 1), n);
}

void *xcalloc(size_t n, size_t size)
{
    return checked(calloc(n != 0 ? n : 1, size != 0 ? size : 1), n);
}

void *xrealloc(void *p, size_t n)
{
    return checked(realloc(p, n != 0 ? n : 1), n);
}

void *xreallocarray(void *p, size_t n, size_t size)
{
    return checked(reallocarray(p, n != 0 ? n : 1, size != 0 ? size : 1), n);
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    const size_t len = strnlen(s, n);
    char *copy = xmalloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}
