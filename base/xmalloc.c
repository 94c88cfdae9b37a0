/*
 * Allocation that does not fail. A server of one connection has nothing better to do without memory than to end: the
 * mail is safe on disk at every instant, and the client reconnects.
 */
#include "base/xmalloc.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* A large block is in huge pages where the kernel has them: one page fault instead of 512. */
static const size_t LARGE = 1 << 20, HUGE_PAGE = 2 << 20;

static void *large(size_t n)
{
    const size_t room = n > SIZE_MAX - HUGE_PAGE ? n : (n + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    void *const p = aligned_alloc(HUGE_PAGE, room);
    if (p != NULL)
        (void)madvise(p, room, MADV_HUGEPAGE);
    return p;
}

void *xmalloc(size_t n)
{
    return checked(n >= LARGE ? large(n) : malloc(n != 0 ? n : 1), n);
}

void *xcalloc(size_t n, size_t size)
{
    const size_t most = SIZE_MAX / (size != 0 ? size : 1);
    if (n > most || n * size < LARGE)
        return checked(calloc(n != 0 ? n : 1, size != 0 ? size : 1), n);
    return memset(checked(large(n * size), n * size), 0, n * size);
}

/* A block that becomes large, or a large one that grows, moves: realloc(3) would not align it. */
void *xrealloc(void *p, size_t n)
{
    const size_t had = n >= LARGE && p != NULL ? malloc_usable_size(p) : 0;
    if (n < LARGE || (had >= n && p != NULL))
        return checked(realloc(p, n != 0 ? n : 1), n);
    void *const to = checked(large(n), n);
    if (p != NULL)
        memcpy(to, p, had);
    free(p);
    return to;
}

void *xreallocarray(void *p, size_t n, size_t size)
{
    if (size != 0 && n > SIZE_MAX / size)
        return checked(NULL, SIZE_MAX);
    return xrealloc(p, n * size);
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
