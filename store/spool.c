/*
 * Octets on their way (see spool.h).
 */
#include "store/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void spool_init(struct spool *s, int dirfd)
{
    *s = (struct spool){ .fd = -1, .dirfd = dirfd };
}

static void unmap(struct spool *s)
{
    if (s->map != NULL)
        munmap(s->map, s->map_size);
    s->map = NULL;
}

void spool_free(struct spool *s)
{
    unmap(s);
    buf_free(&s->memory);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
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

int spool_write(struct spool *s, const void *bytes, size_t n, struct store_error *e)
{
    unmap(s);
    s->size += n;
    if (s->fd < 0 && s->memory.len + n <= SPOOL_MEMORY) {
        buf_add(&s->memory, bytes, n);
        return 0;
    }
    if (s->fd < 0) {
        s->fd = open_file(s);
        if (s->fd < 0)
            return store_fail(e, STORE_IO, errno, "temporary file");
    }
    if (s->memory.len > 0 && write_fully(s->fd, s->memory.data, s->memory.len, e) != 0)
        return -1;
    buf_clear(&s->memory);
    if (n >= 65536)
        return write_fully(s->fd, bytes, n, e);
    buf_add(&s->memory, bytes, n);
    if (s->memory.len < 1 << 20)
        return 0;
    const int rc = write_fully(s->fd, s->memory.data, s->memory.len, e);
    buf_clear(&s->memory);
    return rc;
}

const char *spool_view(struct spool *s, struct store_error *e)
{
    if (s->fd < 0)
        return s->memory.data != NULL ? s->memory.data : "";
    if (s->memory.len > 0 && write_fully(s->fd, s->memory.data, s->memory.len, e) != 0)
        return NULL;
    buf_clear(&s->memory);
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
