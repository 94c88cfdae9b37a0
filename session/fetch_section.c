/*
 * BODY[section]: finding the octets of a section, and sending them in pieces. Header field subsets are made in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/fetch.h"

enum { PIECE = 1 << 18, HEADER_MOST = 64 << 20 };

static bool is_multipart(const struct mime_part *part)
{
    return str_ieq(part->type, STR("multipart"));
}

static const struct mime_part *message_in(const struct mime_part *part)
{
    return part->part_count == 1 && !is_multipart(part) ? &part->parts[0] : NULL;
}

/* The part that a path names (RFC 3501 section 6.4.5): a message/rfc822 is gone into, a part that is no multipart has
 * itself as part 1. NULL if there is none. */
const struct mime_part *find_part(const struct mime_part *root, const struct fetch_item *item)
{
    const struct mime_part *part = root;
    bool message_root = true;
    for (size_t i = 0; i < item->depth; i++) {
        const uint32_t number = item->path[i];
        const struct mime_part *inner = message_root ? NULL : message_in(part);
        if (inner != NULL) {
            part = inner;
            message_root = true;
        }
        if (is_multipart(part)) {
            if (number > part->part_count)
                return NULL;
            part = &part->parts[number - 1];
            message_root = false;
        } else if (number == 1 && message_root) {
            message_root = false;
        } else {
            return NULL;
        }
    }
    return part;
}

struct extent { uint64_t from, size; bool there; };

static struct extent extent_of(const struct message *msg, const struct mime_part *root, const struct fetch_item *item)
{
    if (item->depth == 0) {
        switch (item->text) {
        case SECTION_ALL: return (struct extent){ 0, msg->size, true };
        case SECTION_TEXT: return (struct extent){ msg->header_size, msg->size - msg->header_size, true };
        default: return (struct extent){ 0, msg->header_size, true };
        }
    }
    const struct mime_part *part = root != NULL ? find_part(root, item) : NULL;
    if (part == NULL)
        return (struct extent){ 0, 0, false };
    if (item->text == SECTION_ALL)
        return (struct extent){ part->body_offset, part->body_size, true };
    if (item->text == SECTION_MIME)
        return (struct extent){ part->header_offset, part->header_size, true };
    const struct mime_part *inner = message_in(part);
    if (inner == NULL)
        return (struct extent){ 0, 0, false };
    if (item->text == SECTION_TEXT)
        return (struct extent){ inner->body_offset, inner->body_size, true };
    return (struct extent){ inner->header_offset, inner->header_size, true };
}

/* The octets [from, from+size) of the message into the output, in pieces. */
static bool send_octets(struct session *s, const struct message *msg, uint64_t from, uint64_t size, struct store_error *e)
{
    while (size > 0) {
        size_t got;
        const size_t want = size < PIECE ? (size_t)size : PIECE;
        io_relieve(&s->io);
        if (s->io.failed)
            return false;
        char *room = buf_room(&s->io.output, want);
        if (mailbox_read(s->mailbox, msg, from, room, want, &got, e) != 0)
            return false;
        if (got == 0) {
            store_fail(e, STORE_CORRUPTION, 0, "message %u is shorter than it was", msg->uid);
            return false;
        }
        s->io.output.len += got;
        from += got;
        size -= got;
    }
    return true;
}

struct choosing {
    const struct fetch_item *item;
    struct buf out;
};

static int choose(void *ctx, struct str name, struct str value, struct str whole)
{
    struct choosing *c = ctx;
    bool named = false;
    (void)value;
    for (size_t i = 0; i < c->item->field_count && !named; i++)
        named = name.n == c->item->fields[i].n && str_ieq(name, c->item->fields[i]);
    if (named == (c->item->text == SECTION_FIELDS))
        buf_add(&c->out, whole.p, whole.n);
    return 0;
}

static bool read_whole(struct session *s, const struct message *msg, struct extent x, struct buf *out, struct store_error *e)
{
    size_t got = 0;
    if (x.size > HEADER_MOST)
        x.size = HEADER_MOST;
    while (out->len < x.size) {
        const size_t want = (size_t)x.size - out->len;
        if (mailbox_read(s->mailbox, msg, x.from + out->len, buf_room(out, want), want, &got, e) != 0)
            return false;
        if (got == 0)
            break;
        out->len += got;
    }
    return true;
}

static void write_label(struct session *s, const struct fetch_item *item, const char *name)
{
    if (name != NULL)
        io_puts(&s->io, name);
    else
        io_add(&s->io, item->label.p, item->label.n);
    io_puts(&s->io, " ");
}

void narrow_to_partial(const struct fetch_item *item, uint64_t *from, uint64_t *size)
{
    if (!item->partial)
        return;
    const uint64_t skip = item->from < *size ? item->from : *size;
    *from += skip;
    *size -= skip;
    if (*size > item->length)
        *size = item->length;
}

static bool write_fields(struct session *s, const struct message *msg, struct extent x, const struct fetch_item *item,
                         struct str fields, struct store_error *e)
{
    struct buf header = { 0 };
    struct choosing c = { .item = item };
    uint64_t from = 0, size;
    const bool kept = item->kept && fields.p != NULL;
    if (!kept && !read_whole(s, msg, x, &header, e)) {
        buf_free(&header);
        return false;
    }
    mime_header_each(kept ? fields : buf_str(&header), choose, &c);
    if (c.out.len > 0 && c.out.data[c.out.len - 1] != '\n')
        buf_add(&c.out, "\r\n", 2);
    buf_add(&c.out, "\r\n", 2);
    size = c.out.len;
    narrow_to_partial(item, &from, &size);
    io_puts(&s->io, "{");
    io_number(&s->io, size);
    io_puts(&s->io, "}\r\n");
    io_add(&s->io, c.out.data + from, (size_t)size);
    buf_free(&c.out);
    buf_free(&header);
    return true;
}

bool write_section(struct session *s, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                   struct str fields, struct store_error *e)
{
    static const struct fetch_item whole = { .text = SECTION_ALL }, header = { .text = SECTION_HEADER }, text = { .text = SECTION_TEXT };
    const char *name = NULL;
    if (item->type != FETCH_SECTION) {
        name = item->type == FETCH_RFC822 ? "RFC822" : item->type == FETCH_RFC822_HEADER ? "RFC822.HEADER" : "RFC822.TEXT";
        item = item->type == FETCH_RFC822 ? &whole : item->type == FETCH_RFC822_HEADER ? &header : &text;
    }
    struct extent x = extent_of(msg, root, item);
    write_label(s, item, name);
    if (!x.there) {
        io_puts(&s->io, "NIL");
        return true;
    }
    if (item->text == SECTION_FIELDS || item->text == SECTION_FIELDS_NOT)
        return write_fields(s, msg, x, item, fields, e);
    if (x.from > msg->size)
        x.from = msg->size;
    if (x.size > msg->size - x.from)
        x.size = msg->size - x.from;
    narrow_to_partial(item, &x.from, &x.size);
    io_puts(&s->io, "{");
    io_number(&s->io, x.size);
    io_puts(&s->io, "}\r\n");
    return send_octets(s, msg, x.from, x.size, e);
}

/* ---- for others than the client ----------------------------------------------------------------------------------- */

static int give_octets(struct mailbox *m, const struct message *msg, struct extent x,
                       bool (*give)(void *ctx, const char *octets, size_t n), void *ctx, struct store_error *e)
{
    char piece[65536];
    while (x.size > 0) {
        size_t got;
        if (mailbox_read(m, msg, x.from, piece, x.size < sizeof piece ? (size_t)x.size : sizeof piece, &got, e) != 0)
            return -1;
        if (got == 0)
            return store_fail(e, STORE_CORRUPTION, 0, "message %u is shorter than it was", msg->uid);
        if (!give(ctx, piece, got))
            return -1;
        x.from += got;
        x.size -= got;
    }
    return 1;
}

static bool keep(void *ctx, const char *octets, size_t n)
{
    buf_add(ctx, octets, n);
    return true;
}

static int give_fields(struct mailbox *m, const struct message *msg, struct extent x, const struct fetch_item *item,
                       bool (*give)(void *ctx, const char *octets, size_t n), void *ctx, struct store_error *e)
{
    struct buf header = { 0 };
    struct choosing c = { .item = item };
    uint64_t from = 0;
    if (x.size > HEADER_MOST)
        x.size = HEADER_MOST;
    int rc = give_octets(m, msg, x, keep, &header, e);
    if (rc > 0) {
        mime_header_each(buf_str(&header), choose, &c);
        if (c.out.len > 0 && c.out.data[c.out.len - 1] != '\n')
            buf_add(&c.out, "\r\n", 2);
        buf_add(&c.out, "\r\n", 2);
        uint64_t size = c.out.len;
        narrow_to_partial(item, &from, &size);
        if (size > 0 && !give(ctx, c.out.data + from, (size_t)size))
            rc = -1;
    }
    buf_free(&c.out);
    buf_free(&header);
    return rc;
}

int section_octets(struct mailbox *m, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                   bool (*give)(void *ctx, const char *octets, size_t n), void *ctx, struct store_error *e)
{
    struct extent x = extent_of(msg, root, item);
    if (!x.there)
        return 0;
    if (x.from > msg->size)
        x.from = msg->size;
    if (x.size > msg->size - x.from)
        x.size = msg->size - x.from;
    if (item->text == SECTION_FIELDS || item->text == SECTION_FIELDS_NOT)
        return give_fields(m, msg, x, item, give, ctx, e);
    narrow_to_partial(item, &x.from, &x.size);
    return give_octets(m, msg, x, give, ctx, e);
}
