/*
 * Any octets as an mbox: what the scan says of each message (sizes) must be what reading it gives, in one piece and in
 * pieces, and a block that is changed in place must still say the same.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/content.h"
#include "store/mbox_scan.h"

struct seen {
    int fd;
    bool mboxo;
    uint64_t end;
    uint32_t uid;
};

static int each(void *ctx, const struct scanned *found)
{
    struct seen *s = ctx;
    struct message_record r = found->record;
    struct content *c = content_new();
    struct store_error e;
    size_t got;
    r.uid = ++s->uid;
    if (r.offset < s->end || r.raw_size == 0 || r.header_size > r.size)
        abort();
    s->end = r.offset + r.raw_size;
    char *whole = xmalloc(r.size + 1), *parts = xmalloc(r.size + 1);
    if (content_read(c, s->fd, &r, r.offset, s->mboxo, 0, whole, r.size + 1, &got, &e) != 0 || got != r.size)
        abort();
    content_forget(c);
    for (uint64_t at = 0; at < r.size; at += got) {
        const size_t step = 1 + (size_t)(at * 7 + r.uid) % 13;
        if (content_read(c, s->fd, &r, r.offset, s->mboxo, at, parts + at, step < r.size - at ? step : r.size - at, &got, &e) != 0
            || got == 0)
            abort();
    }
    if (memcmp(whole, parts, r.size) != 0)
        abort();
    free(whole);
    free(parts);
    content_free(c);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_error e;
    uint64_t end = UINT64_MAX;
    if (size == 0 || size > 1 << 16)
        return 0;
    struct seen s = { .fd = memfd_create("fuzz", MFD_CLOEXEC), .mboxo = data[0] & 1 };
    if (s.fd < 0 || write(s.fd, data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    mbox_scan(s.fd, 0, s.mboxo, each, &s, &end, &e);
    close(s.fd);
    return 0;
}
