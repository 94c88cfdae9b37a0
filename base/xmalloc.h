#ifndef BASE_XMALLOC_H
#define BASE_XMALLOC_H
#include <stddef.h>

/* Allocation that does not fail: out of memory is logged and ends the process (exit status 71, EX_OSERR). */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
#endif
