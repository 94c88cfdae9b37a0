/*
 * Octets on their way (see spool.h).
 */
#include "store/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/xmalloc.h"

enum { SMALL = 1 << 20 };                /* octets that malloc gives; also of a piece on its way to the file */

void spool_init(struct spool *s, int dirfd)
{
    *s = (struct spool){ .fd = -1, .dirfd = dirfd, .most = SPOOL_MEMORY };
}

static void unmap(struct spool *s)
{
    if (s->map != NULL)
        munmap(s->map, s->map_size);
    s->map = NULL;
}

static void free_memory(struct spool *s)
{
    if (s->cap > SMALL)
        munmap(s->memory, s->cap);
    else
        free(s->memory);
    s->memory = NULL;
    s->cap = 0;
}

void spool_free(struct spool *s)
{
    unmap(s);
    free_memory(s);
    s->len = 0;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* Room for all that is kept in memory, in pages as large as the machine has: each costs a fault. */
static char *map_large(size_t most)
{
    char *at = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    if (madvise(at, most, MADV_HUGEPAGE) != 0)
        errno = 0;                       /* a kernel without them */
    return at;
}

/* Without the steps in which a small spool grows: each is copied into the next, and each of their pages costs a fault. */
void spool_expect(struct spool *s, uint64_t n)
{
    if (n <= SMALL || s->memory != NULL || s->fd >= 0 || s->most <= SMALL)
        return;
    s->memory = map_large(s->most);
    s->cap = s->memory != NULL ? s->most : 0;
}

char *spool_room(struct spool *s, size_t n)
{
    if (s->fd >= 0 || n > s->most - s->len)
        return NULL;
    unmap(s);
    if (s->len + n > s->cap) {
        const size_t cap = s->len + n > SMALL ? s->most : s->len + n < 4096 ? 4096 : 2 * (s->len + n) > SMALL ? SMALL : 2 * (s->len + n);
        char *now = cap > SMALL ? map_large(s->most) : xmalloc(cap);
        if (now == NULL)
            return NULL;
        if (s->len > 0)
            memcpy(now, s->memory, s->len);
        free_memory(s);
        s->memory = now;
        s->cap = cap;
    }
    return s->memory + s->len;
}

void spool_grow(struct spool *s, size_t n)
{
    s->len += n;
    s->size += n;
}

static int open_file(const struct spool *s)
{
    int fd = -1;
    if (s->dirfd >= 0)
        fd = openat(s->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = memfd_create("imapd-spool", MFD_CLOEXEC);
    return fd;
}

static int write_fully(int fd, const char *p, size_t n, struct store_error *e)
{
    while (n > 0) {
        const ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return store_fail(e, STORE_IO, errno, "temporary file");
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* What is in memory, to the end of the file. */
static int flush(struct spool *s, struct store_error *e)
{
    const size_t n = s->len;
    s->len = 0;
    return n > 0 ? write_fully(s->fd, s->memory, n, e) : 0;
}

int spool_write(struct spool *s, const void *bytes, size_t n, struct store_error *e)
{
    char *room = n > 0 ? spool_room(s, n) : NULL;
    if (room != NULL) {
        memcpy(room, bytes, n);
        spool_grow(s, n);
        return 0;
    }
    if (n == 0)
        return 0;
    unmap(s);
    if (s->fd < 0) {
        s->fd = open_file(s);
        if (s->fd < 0)
            return store_fail(e, STORE_IO, errno, "temporary file");
        if (flush(s, e) != 0)
            return -1;
        free_memory(s);
        s->memory = xmalloc(SMALL);
        s->cap = SMALL;
    }
    if (n > s->cap - s->len && flush(s, e) != 0)
        return -1;
    s->size += n;
    if (n > s->cap)
        return write_fully(s->fd, bytes, n, e);
    memcpy(s->memory + s->len, bytes, n);
    s->len += n;
    return 0;
}

const char *spool_view(struct spool *s, struct store_error *e)
{
    if (s->fd < 0)
        return s->memory != NULL ? s->memory : "";
    if (flush(s, e) != 0)
        return NULL;
    if (s->map == NULL) {
        s->map_size = (size_t)s->size;
        s->map = mmap(NULL, s->map_size, PROT_READ, MAP_SHARED, s->fd, 0);
        if (s->map == MAP_FAILED) {
            s->map = NULL;
            store_fail(e, STORE_IO, errno, "temporary file");
        }
    }
    return s->map;
}
