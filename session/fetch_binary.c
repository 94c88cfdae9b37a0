/*
 * BINARY[part] and BINARY.SIZE[part] (RFC 3516, RFC 9051 section 6.4.5): content without its transfer encoding. How long it
 * is must be told before it, so it is decoded once to count; what is small is kept from that turn, the rest decoded again.
 */
#include <string.h>

#include "session/fetch.h"
#include "store/decode.h"

enum { KEEP = 1 << 20 };                 /* octets */

static void label(struct session *s, struct fetch_item *item)
{
    struct buf out = { 0 };
    buf_puts(&out, item->type == FETCH_BINARY ? "BINARY[" : "BINARY.SIZE[");
    for (size_t i = 0; i < item->depth; i++)
        buf_printf(&out, i > 0 ? ".%u" : "%u", item->path[i]);
    buf_puts(&out, "]");
    if (item->partial)
        buf_printf(&out, "<%llu>", (unsigned long long)item->from);
    item->label = arena_str(s->arena, buf_str(&out));
    buf_free(&out);
}

bool binary_parse(struct session *s, struct parse *p, struct fetch_item *item)
{
    const char *at = p->at;
    struct fetch_item got = { .type = FETCH_BINARY };
    got.peek = parse_word(p, "BINARY.PEEK");
    if (!got.peek && parse_word(p, "BINARY.SIZE"))
        got.type = FETCH_BINARY_SIZE;
    else if (!got.peek && !parse_word(p, "BINARY"))
        return false;
    if (!fetch_section_part(s, p, &got) || (got.type == FETCH_BINARY && !fetch_partial(p, &got))) {
        p->at = at;
        return false;
    }
    label(s, &got);
    *item = got;
    return true;
}

static bool is_binary(const struct fetch_item *item)
{
    return item->type == FETCH_BINARY || item->type == FETCH_BINARY_SIZE;
}

bool binary_decodable(const struct fetch_items *items, const struct mime_part *root)
{
    for (size_t i = 0; i < items->n; i++) {
        const struct fetch_item *item = &items->list[i];
        const struct mime_part *part = is_binary(item) && item->depth > 0 && root != NULL ? find_part(root, item) : NULL;
        if (part != NULL && !part_decodable(part))
            return false;
    }
    return true;
}

/* What one turn over the part finds out about the octets asked for. */
struct measured {
    uint64_t from, end;                  /* of the decoded octets */
    uint64_t size;                       /* so far, of all; the turn may end early once `end` is reached */
    bool has_nul, kept_all;
    struct buf kept;
};

/* The octets of a decoded piece, which begins at `at`, that lie in [from, end). */
static struct str within(struct str piece, uint64_t at, uint64_t from, uint64_t end)
{
    const uint64_t low = at > from ? at : from, high = at + piece.n < end ? at + piece.n : end;
    return low < high ? (struct str){ piece.p + (low - at), (size_t)(high - low) } : (struct str){ piece.p, 0 };
}

static int measure(struct part_stream *in, struct measured *x, struct store_error *e)
{
    struct str piece;
    int rc = 0;
    x->kept_all = true;
    while (x->size < x->end && (rc = part_stream_next(in, &piece, e)) == 1) {
        const struct str wanted = within(piece, x->size, x->from, x->end);
        x->size += piece.n;
        if (wanted.n == 0)
            continue;
        x->has_nul = x->has_nul || memchr(wanted.p, 0, wanted.n) != NULL;
        x->kept_all = x->kept_all && x->kept.len + wanted.n <= KEEP;
        if (x->kept_all)
            buf_add(&x->kept, wanted.p, wanted.n);
    }
    return rc < 0 ? -1 : 0;
}

/* The second turn: [from, from + n) of the decoded octets. */
static bool send_again(struct session *s, struct part_stream *in, uint64_t from, uint64_t n, struct store_error *e)
{
    struct str piece;
    uint64_t at = 0;
    while (at < from + n) {
        io_relieve(&s->io);
        if (s->io.failed)
            return false;
        const int rc = part_stream_next(in, &piece, e);
        if (rc == 0)
            store_fail(e, STORE_CORRUPTION, 0, "message %u is shorter than it was", in->msg->uid);
        if (rc != 1)
            return false;
        const struct str wanted = within(piece, at, from, from + n);
        io_add(&s->io, wanted.p, wanted.n);
        at += piece.n;
    }
    return true;
}

static bool write_content(struct session *s, const struct message *msg, const struct mime_part *part, const struct fetch_item *item,
                          struct store_error *e)
{
    struct part_stream in;
    struct measured x = { .from = item->partial ? item->from : 0, .end = UINT64_MAX };
    if (item->partial)
        x.end = x.from + item->length;
    part_stream_begin(&in, s->mailbox, msg, part, true);
    bool good = measure(&in, &x, e) == 0;
    part_stream_end(&in);
    if (good) {
        uint64_t from = 0, size = x.size;
        narrow_to_partial(item, &from, &size);
        io_printf(&s->io, "%s{%llu}\r\n", x.has_nul ? "~" : "", (unsigned long long)size);
        if (x.kept_all) {
            io_add(&s->io, x.kept.data, x.kept.len);
        } else {
            part_stream_begin(&in, s->mailbox, msg, part, true);
            good = send_again(s, &in, from, size, e);
            part_stream_end(&in);
        }
    }
    buf_free(&x.kept);
    return good;
}

bool write_binary(struct session *s, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                  struct store_error *e)
{
    const struct mime_part *part = item->depth > 0 && root != NULL ? find_part(root, item) : NULL;
    const bool there = part != NULL || item->depth == 0;
    io_add(&s->io, item->label.p, item->label.n);
    io_puts(&s->io, " ");
    if (item->type == FETCH_BINARY) {
        if (there)
            return write_content(s, msg, part, item, e);
        io_puts(&s->io, "NIL");
        return true;
    }
    struct part_stream in;
    struct str piece;
    uint64_t size = 0;
    int rc = 0;
    if (there) {
        part_stream_begin(&in, s->mailbox, msg, part, true);
        while ((rc = part_stream_next(&in, &piece, e)) == 1)
            size += piece.n;
        part_stream_end(&in);
    }
    io_number(&s->io, size);             /* of a part that is not there: 0, since a number it must be */
    return rc == 0;
}
