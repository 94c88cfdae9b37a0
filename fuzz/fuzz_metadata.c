/* Any octets as ~/.mailboxmeta: each entry that is read can be written, and is read again as it was; then the octets as
 * arguments of GETMETADATA, SETMETADATA and CREATE. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "session/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void file(struct arena *a, struct str text)
{
    struct metadata m, again;
    struct buf out = { 0 };
    unsigned uses;
    metadata_parse(a, text, &m);
    for (size_t i = 0; i < m.n; i++) {
        if (!metadata_name_valid(m.list[i].name, true) || metadata_get(&m, m.list[i].mailbox.p, m.list[i].name).p == NULL)
            abort();
        special_use_parse(m.list[i].value, &uses);
        metadata_line_write(&out, &m.list[i]);
    }
    metadata_parse(a, buf_str(&out), &again);
    if (again.n != m.n)
        abort();
    for (size_t i = 0; i < m.n; i++)
        if (!str_eq(m.list[i].mailbox, again.list[i].mailbox) || !str_eq(m.list[i].name, again.list[i].name)
            || !str_eq(m.list[i].value, again.list[i].value))
            abort();
    buf_free(&out);
}

static void arguments(struct arena *a, const char *text, size_t n)
{
    struct parse p = { .at = text, .end = text + n, .arena = a };
    const struct parse start = p;
    struct getmetadata get;
    struct create_use use;
    struct metadata_entry *entries;
    struct str mailbox;
    size_t count;
    if (parse_getmetadata(&p, &get) && (get.n == 0 || get.n > METADATA_ENTRIES || !metadata_name_valid(get.names[0], false)))
        abort();
    p = start;
    if (parse_setmetadata(&p, &mailbox, &entries, &count) && (count == 0 || !metadata_name_valid(entries[0].name, true)))
        abort();
    p = start;
    (void)parse_create_use(&p, &use);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    char *text = malloc(size > 0 ? size : 1);                /* of exact size: reading beyond is seen */
    if (text == NULL)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    file(arena, (struct str){ text, size });
    arguments(arena, text, size);
    free(text);
    arena_free(arena);
    return 0;
}
