/*
 * Structure and ENVELOPE of a message: out of the index, else read from the mailbox.
 */
#include "store/structure.h"
#include "store/fields.h"
#include "store/mime_lex.h"

static struct mime_part *parse_message(struct mailbox *m, const struct message *msg, struct arena *a, struct store_error *e)
{
    struct mime_parser *parser = mime_parser_new(a);
    enum { PIECE = 1 << 16 };
    char *piece = arena_alloc(a, PIECE);
    size_t got;
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < msg->size; at += got) {
        rc = mailbox_read(m, msg, at, piece, PIECE, &got, e);
        if (rc == 0 && got == 0)
            break;
        if (rc == 0)
            mime_parser_feed(parser, piece, got);
    }
    struct mime_part *root = mime_parser_finish(parser);
    return rc == 0 ? root : NULL;
}

/* A message of moderate size, from its octets as they are stored. NULL: it is to be read as the client sees it, for its line ends are
 * not what they seem; the header's fields are kept in passing. */
static struct mime_part *parse_text(struct mailbox *m, const struct message *msg, struct arena *a)
{
    enum { MODERATE = 1 << 20 };
    struct buf text = { 0 };
    struct mime_part *root = NULL;
    if (msg->size <= MODERATE && mailbox_read_text(m, msg, &text, NULL) == 0 && text.len >= msg->header_size) {
        struct mime_parser *parser = mime_parser_new(a);
        mime_parser_feed(parser, text.data, (size_t)msg->header_size);
        mime_parser_lf_is_crlf(parser);
        mime_parser_feed(parser, text.data + msg->header_size, text.len - (size_t)msg->header_size);
        const uint64_t size = mime_parser_size(parser);
        root = mime_parser_finish(parser);
        if (size == msg->size)
            message_keep_fields(m, msg, (struct str){ text.data, (size_t)msg->header_size });
        else
            root = NULL;
    }
    buf_free(&text);
    return root;
}

static struct mime_part *kept_structure(struct mailbox *m, const struct message *msg, struct arena *a)
{
    struct str blob;
    mailbox_cache_get(m, msg, &blob);
    return blob.n > 0 ? mime_unpack(arena_str(a, blob), a) : NULL;
}

struct mime_part *message_structure(struct mailbox *m, const struct message *msg, struct arena *a, struct store_error *e)
{
    struct mime_part *root = kept_structure(m, msg, a);
    if (root != NULL)
        return root;
    root = parse_text(m, msg, a);
    if (root == NULL)
        root = parse_message(m, msg, a, e);
    if (root != NULL) {
        struct buf packed = { 0 };
        mime_pack(&packed, root);
        mailbox_cache_put(m, msg, buf_str(&packed));
        buf_free(&packed);
    }
    return root;
}

struct str message_header(struct mailbox *m, const struct message *msg, struct arena *a, struct store_error *e)
{
    const size_t n = msg->header_size < MIME_HEADER ? (size_t)msg->header_size : MIME_HEADER;
    char *to = arena_alloc(a, n + 1);
    size_t got = 0;
    if (mailbox_read(m, msg, 0, to, n, &got, e) != 0)
        return (struct str){ NULL, 0 };
    return (struct str){ to, got };
}

const struct mime_envelope *message_envelope(struct mailbox *m, const struct message *msg, struct arena *a, struct store_error *e)
{
    const struct mime_part *root = kept_structure(m, msg, a);
    if (root != NULL)
        return root->envelope;
    const struct str header = message_header(m, msg, a, e);
    if (header.p == NULL)
        return NULL;
    struct mime_envelope *envelope = arena_alloc(a, sizeof *envelope);
    mime_envelope_parse(header, envelope, a);
    return envelope;
}
