/* An arena: a chain of blocks, each filled from its front. A piece that does not fit opens a new block, twice as large as
 * the last up to a bound; a huge piece has a block of its own. A reset keeps the first block, which serves most commands
 * without another malloc. */
#include "base/arena.h"
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/xmalloc.h"

enum { BLOCK_FIRST = 4096, BLOCK_MOST = 1 << 20 };

struct block {
    struct block *older;
    size_t size, used;
    alignas(max_align_t) char bytes[];
};

struct arena {
    struct block *newest;
    size_t next_size;
};

static struct block *block_new(size_t size, struct block *older)
{
    struct block *b;

    if (size > SIZE_MAX - sizeof(*b)) size = SIZE_MAX - sizeof(*b);    /* fails in xmalloc */
    b = xmalloc(sizeof(*b) + size);
    b->older = older;
    b->size = size;
    b->used = 0;
    return b;
}

struct arena *arena_new(void)
{
    struct arena *a = xmalloc(sizeof(*a));

    a->newest = block_new(BLOCK_FIRST, NULL);
    a->next_size = 2 * BLOCK_FIRST;
    return a;
}

static void *arena_take(struct arena *a, size_t n)
{
    struct block *b = a->newest;
    size_t at = (b->used + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

    if (at > b->size || n > b->size - at) {
        b = a->newest = block_new(n > a->next_size ? n : a->next_size, b);
        if (a->next_size < BLOCK_MOST) a->next_size *= 2;
        at = 0;
    }
    b->used = at + n;
    return b->bytes + at;
}

void *arena_alloc(struct arena *a, size_t n)
{
    void *p = arena_take(a, n ? n : 1);
    return memset(p, 0, n ? n : 1);
}

char *arena_strndup(struct arena *a, const char *p, size_t n)
{
    char *copy = arena_take(a, n + 1);
    if (n) memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){ arena_strndup(a, s.p, s.n), s.n };
}

void arena_reset(struct arena *a)
{
    while (a->newest->older) {
        struct block *b = a->newest;
        a->newest = b->older;
        free(b);
    }
    a->newest->used = 0;
    a->next_size = 2 * BLOCK_FIRST;
}

void arena_free(struct arena *a)
{
    if (!a) return;
    while (a->newest) {
        struct block *b = a->newest;
        a->newest = b->older;
        free(b);
    }
    free(a);
}
