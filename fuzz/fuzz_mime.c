/* Any octets as a message: in one piece and in pieces the structure must be the same, also for a search, its ranges must lie in the message,
 * and packing must keep it. Any octets as a packed structure: refused or sound. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "store/mime_lex.h"

static void check(const struct mime_part *p, uint64_t start, uint64_t end)
{
    if (p->header_offset < start || p->header_offset + p->header_size != p->body_offset || p->body_offset + p->body_size > end) abort();
    uint64_t at = p->body_offset;
    for (size_t i = 0; i < p->part_count; i++) {
        check(&p->parts[i], at, end);
        at = p->parts[i].body_offset + p->parts[i].body_size;
    }
}

static struct mime_part *parse(const char *data, size_t size, size_t step, struct arena *a)
{
    struct mime_parser *p = mime_parser_new(a);
    for (size_t i = 0; i < size; i += step) mime_parser_feed(p, data + i, size - i < step ? size - i : step);
    return mime_parser_finish(p);
}

/* For a search the same parts, at the same places, and the fields that say how they are encoded. */
static void compare(const struct mime_part *p, const struct mime_part *q)
{
    if (p->header_offset != q->header_offset || p->header_size != q->header_size || p->body_offset != q->body_offset
        || p->body_size != q->body_size || p->part_count != q->part_count || !str_eq(p->type, q->type)
        || !str_eq(p->encoding, q->encoding) || p->param_count != q->param_count || !p->envelope != !q->envelope) abort();
    for (size_t i = 0; i < p->part_count; i++) compare(&p->parts[i], &q->parts[i]);
}

static void search(const struct mime_part *root, const char *data, size_t size, size_t step, struct arena *a)
{
    struct mime_parser *p = mime_parser_new(a);
    mime_parser_for_search(p);
    for (size_t i = 0; i < size; i += step) mime_parser_feed(p, data + i, size - i < step ? size - i : step);
    compare(root, mime_parser_finish(p));
}

/* With LF counted as CRLF: as the same with CRLFs. */
static void count_lf(const char *data, size_t size, size_t step, struct arena *a)
{
    struct buf crlf = { 0 }, packed = { 0 }, again = { 0 };
    struct mime_parser *p = mime_parser_new(a);

    mime_parser_lf_is_crlf(p);
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r')) buf_addc(&crlf, '\r');
        buf_addc(&crlf, data[i]);
    }
    for (size_t i = 0; i < size; i += step) mime_parser_feed(p, data + i, size - i < step ? size - i : step);
    if (mime_parser_size(p) != crlf.len) abort();
    const struct mime_part *root = mime_parser_finish(p);
    const struct mime_part *same = parse(crlf.data ? crlf.data : "", crlf.len, crlf.len ? crlf.len : 1, a);
    compare(root, same);
    if (root->lines != same->lines) abort();
    mime_pack(&packed, root);
    mime_pack(&again, same);
    if (!str_eq(buf_str(&packed), buf_str(&again))) abort();
    buf_free(&crlf);
    buf_free(&packed);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct buf whole = { 0 }, pieces = { 0 }, again = { 0 };
    const char *bytes = (const char *)data;

    if (size && data[0] == 1) mime_unpack((struct str){ bytes, size }, a);
    const struct mime_part *root = parse(bytes, size, size ? size : 1, a);
    check(root, 0, size);
    search(root, bytes, size, size ? size : 1, a);
    search(root, bytes, size, size % 11 + 1, a);
    count_lf(bytes, size, size ? size : 1, a);
    count_lf(bytes, size, size % 13 + 1, a);
    mime_pack(&whole, root);
    mime_pack(&pieces, parse(bytes, size, size % 7 + 1, a));
    if (!str_eq(buf_str(&whole), buf_str(&pieces))) abort();
    root = mime_unpack(buf_str(&whole), a);
    if (!root) abort();
    mime_pack(&again, root);
    if (!str_eq(buf_str(&whole), buf_str(&again))) abort();
    buf_free(&whole);
    buf_free(&pieces);
    buf_free(&again);
    arena_free(a);
    return 0;
}
