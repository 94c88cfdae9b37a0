#ifndef BASE_PAGES_H
#define BASE_PAGES_H
#include <stddef.h>

/* Pages that are about to be written are mapped by one call: a fault for each of them costs several times as much. Where the kernel has
 * no such call (Linux before 5.14), the faults come, and nothing else changes. */

/* The whole pages among the n octets at p. Not worth it for a few. */
void pages_map(void *p, size_t n);
/* About n octets that malloc(3) is about to give in blocks too small for a mapping of their own are taken from the kernel at once, in huge pages
 * where it has them. pages_heap_end() gives back what is free of them again. With other C libraries than GNU's (from 2.33 on) neither does anything. */
void pages_heap(size_t n);
void pages_heap_end(void);
/* In a child that was forked in advance: the parent's heap, some of its stack and the writable data of its libraries become the child's own, and
 * the libraries' code is mapped. */
void pages_own(void);
#endif
