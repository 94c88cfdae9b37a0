/*
 * Any octets as an mbox for --check and --repair: what is found lies within the file, and mending all that can be mended drops
 * no octet of a message: what is left out is bookkeeping, lines of whole fields.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/verify.h"

struct seen {
    const char *octets;
    uint64_t size, last;
};

static void found(void *ctx, const struct finding *f)
{
    struct seen *s = ctx;
    if (f->offset > s->size || f->text == NULL || f->text[0] == 0)
        abort();
    if (!f->fixable)
        return;
    if (f->fix_at > s->size || f->del > s->size - f->fix_at || f->fix == NULL)
        abort();
    if (f->del > 0 && s->octets[f->fix_at + f->del - 1] != '\n' && f->fix_at + f->del != s->size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_error e;
    if (size == 0 || size > 1 << 16)
        return 0;
    struct seen s = { .octets = (const char *)data + 1, .size = size - 1 };
    struct verify v = { .mboxo = data[0] & 1, .found = found, .ctx = &s };
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    if (verify_run(&v, fd, &e) == 0 && v.messages > size)
        abort();
    close(fd);
    return 0;
}
