#ifndef STORE_SPOOL_H
#define STORE_SPOOL_H
#include <stddef.h>
#include <stdint.h>
#include "store/store.h"

/* Octets on their way: in memory while they are few, then in an unlinked temporary file. */
struct spool {
    char *memory;              /* len octets that are not in the file; room for cap */
    size_t len, cap;
    size_t most;               /* octets kept in memory, at most: SPOOL_MEMORY; can be set before the first are written */
    int fd;                    /* -1 while in memory */
    int dirfd;                 /* where the file is made, or -1 for /tmp */
    uint64_t size;
    char *map;                 /* of the file, while viewed */
    size_t map_size;
};
enum { SPOOL_MEMORY = 4 << 20, SPOOL_COPY = 12 << 20 };
void spool_init(struct spool *s, int dirfd);
void spool_free(struct spool *s);
/* About n octets will come: room for many is had at once, before the first are written. */
void spool_expect(struct spool *s, uint64_t n);
int spool_write(struct spool *s, const void *bytes, size_t n, struct store_error *e);
/* Where n octets can be put that spool_grow then counts; NULL: they must be written. */
char *spool_room(struct spool *s, size_t n);
void spool_grow(struct spool *s, size_t n);
/* All of it, contiguous; valid until the next write. NULL on failure (an empty spool gives ""). */
const char *spool_view(struct spool *s, struct store_error *e);
#endif
