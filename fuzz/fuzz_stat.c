/* auth/slots.h and stat/: the file of a session that writes there what it likes, told by all three writers. The input is the owner
 * and then the slot, the rest of each is 0. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "stat/collect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines of what the writer says; nothing that a terminal obeys may be in them. */
static unsigned lines_of(void (*write_it)(FILE *out, const struct connections *c), const struct connections *c, int labels)
{
    char *text = NULL;
    size_t n = 0;
    unsigned lines = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return 0;
    write_it(f, c);
    fclose(f);
    for (size_t i = 0; i < n; i++) {
        const unsigned char octet = (unsigned char)text[i];
        lines += octet == '\n';
        if (octet == 0 || (!labels && (octet < ' ' || octet == 0x7f) && octet != '\n'))
            abort();
        if (!labels && octet == 0xc2 && i + 1 < n && (unsigned char)text[i + 1] >= 0x80 && (unsigned char)text[i + 1] < 0xa0)
            abort();
    }
    free(text);
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slot_seen seen = { .pid = 1 };
    const size_t first = size < sizeof seen.owner ? size : sizeof seen.owner, second = size - first;
    const int fd = memfd_create("slot", MFD_CLOEXEC);
    if (fd < 0)
        return 0;
    if (ftruncate(fd, SLOT_AT + (second > 0 ? (off_t)sizeof seen.slot : 0)) == 0 && pwrite(fd, data, first, 0) >= 0
        && pwrite(fd, data + first, second, SLOT_AT) >= 0 && slots_parse(fd, &seen.owner, &seen.slot)) {
        struct connection one;
        connection_of_slot(&one, &seen, 1000000);
        const struct connections c = { .list = &one, .n = 1, .has_totals = true };
        struct connection named = { .doing = DOING_IDLE, .user = "a" };
        const struct connections plain = { .list = &named, .n = 1, .has_totals = true };
        if (lines_of(write_table, &c, 0) != 2 || lines_of(write_json, &c, 0) != 3)
            abort();
        if (lines_of(write_prometheus, &c, 1) != lines_of(write_prometheus, &plain, 1))
            abort();
    }
    close(fd);
    return 0;
}
