/*
 * Sets of numbers as clients send them (sequence-set of RFC 3501, partial-range of RFC 9394), and the sets that are written. What
 * parses has its bounds in order, says the same when it is written and read again, and a text that does not parse moves nothing.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_number(struct buf *out, uint32_t n)
{
    char text[16];
    snprintf(text, sizeof text, "%" PRIu32, n);
    buf_puts(out, n == UINT32_MAX ? "*" : text);
}

static void sets(struct arena *arena, const char *text, size_t n)
{
    struct parse p = { .at = text, .end = text + n, .arena = arena };
    struct set set, again;
    struct buf out = { 0 };
    if (!parse_set(&p, &set)) {
        if (p.at != text)
            abort();
        return;
    }
    if (p.at <= text || p.at > p.end || (set.saved ? set.n != 0 || *text != '$' : set.n == 0))
        abort();
    for (size_t i = 0; i < set.n; i++) {
        if (set.list[i].first == 0 || set.list[i].first > set.list[i].last)
            abort();
        buf_puts(&out, i > 0 ? "," : "");
        write_number(&out, set.list[i].first);
        buf_puts(&out, ":");
        write_number(&out, set.list[i].last);
    }
    if (!set.saved) {
        p = (struct parse){ .at = out.data, .end = out.data + out.len, .arena = arena };
        if (!parse_set(&p, &again) || !parse_end(&p) || again.saved || again.n != set.n
            || memcmp(again.list, set.list, set.n * sizeof *set.list) != 0)
            abort();
    }
    buf_free(&out);
}

static void partials(struct arena *arena, const char *text, size_t n)
{
    struct parse p = { .at = text, .end = text + n, .arena = arena };
    struct partial partial;
    if (!parse_partial(&p, &partial)) {
        if (p.at != text)
            abort();
        return;
    }
    const bool minus = *text == '-';
    const int64_t least = minus ? -partial.first : partial.first, most = minus ? -partial.last : partial.last;
    if (p.at > p.end || least < 1 || least > most || most > UINT32_MAX)
        abort();
}

/* Each octet is the distance to the next UID, less one; every eighth far. What is written reads as the same UIDs. */
static void written(struct arena *arena, const uint8_t *data, size_t n)
{
    uint32_t uid = 0, *uids = malloc(n * sizeof *uids);
    struct buf out = { 0 };
    struct set set;
    size_t at = 0;
    if (uids == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        uids[i] = uid += data[i] % 8 == 7 ? 1000U * data[i] : data[i] % 8 / 2 + 1U;
    write_uid_set(&out, uids, n);
    struct parse p = { .at = out.data, .end = out.data + out.len, .arena = arena };
    if (!parse_set(&p, &set) || !parse_end(&p))
        abort();
    for (size_t i = 0; i < set.n; i++)
        for (uint32_t u = set.list[i].first; u <= set.list[i].last; u++)
            if (at == n || uids[at++] != u)
                abort();
    if (at != n)
        abort();
    buf_free(&out);
    free(uids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    char *text = malloc(size > 0 ? size : 1);      /* of exact size: reading beyond is seen */
    if (text == NULL)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    sets(arena, text, size);
    partials(arena, text, size);
    if (size > 0)
        written(arena, data, size < 4096 ? size : 4096);
    free(text);
    arena_free(arena);
    return 0;
}
