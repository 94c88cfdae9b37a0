#ifndef BASE_ARENA_H
#define BASE_ARENA_H
#include <stddef.h>
#include "base/buf.h"

/* Memory with the lifetime of one command: allocated piece by piece, freed at once. */
struct arena;
struct arena *arena_new(void);
void *arena_alloc(struct arena *a, size_t n);          /* zeroed, aligned for any type; never NULL */
char *arena_strndup(struct arena *a, const char *p, size_t n);   /* NUL-terminated copy */
struct str arena_str(struct arena *a, struct str s);   /* copy of the bytes (NUL-terminated too) */
void arena_reset(struct arena *a);                     /* frees all but one block */
void arena_free(struct arena *a);
#endif
