/*
 * Parts of a message decoded while they are read. The decoders of transfer encodings are in text_decode.c.
 */
#include "store/decode.h"

#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "store/mime_lex.h"

enum { WINDOW = 1 << 16 };

bool transfer_known(struct str encoding)
{
    return encoding.n == 0 || transfer_kind_of(encoding) != TRANSFER_NONE || str_ieq(encoding, STR("7bit"))
        || str_ieq(encoding, STR("8bit")) || str_ieq(encoding, STR("binary"));
}

void line_ends_feed(struct line_ends *l, struct buf *out, const char *in, size_t n)
{
    const char *const end = in + n;
    while (in < end) {
        const char *lf = memchr(in, '\n', (size_t)(end - in));
        const char *stop = lf != NULL ? lf : end;
        if (stop > in) {
            buf_add(out, in, (size_t)(stop - in));
            l->cr = stop[-1] == '\r';
        }
        if (lf == NULL)
            return;
        buf_add(out, l->cr ? "\n" : "\r\n", l->cr ? 1 : 2);
        l->cr = false;
        in = lf + 1;
    }
}

bool part_decodable(const struct mime_part *part)
{
    return str_ieq(part->type, STR("multipart")) || transfer_known(part->encoding);
}

/* Two octets or more a character: LF is no octet of its own there. */
static bool wide_charset(const struct mime_part *part)
{
    const struct str name = mime_param_get(part->params, part->param_count, STR("charset"));
    static const char *const wide[] = { "utf-16", "utf-32", "ucs-", "iso-10646" };
    for (size_t i = 0; name.p != NULL && i < sizeof wide / sizeof *wide; i++) {
        const struct str w = str_z(wide[i]);
        if (name.n >= w.n && str_ieq((struct str){ name.p, w.n }, w))
            return true;
    }
    return false;
}

void part_stream_begin(struct part_stream *p, struct mailbox *m, const struct message *msg, const struct mime_part *part, bool crlf)
{
    *p = (struct part_stream){ .m = m, .msg = msg, .left = msg->size, .window = xmalloc(WINDOW) };
    if (part == NULL)
        return;
    p->at = part->body_offset < msg->size ? part->body_offset : msg->size;
    p->left = part->body_size < msg->size - p->at ? part->body_size : msg->size - p->at;
    if (!str_ieq(part->type, STR("multipart")))
        p->transfer.kind = transfer_kind_of(part->encoding);
    p->text = crlf && p->transfer.kind != TRANSFER_NONE && str_ieq(part->type, STR("text")) && !wide_charset(part);
}

int part_stream_next(struct part_stream *p, struct str *out, struct store_error *e)
{
    size_t got = 0;
    const size_t want = p->left < WINDOW ? (size_t)p->left : WINDOW;
    if (p->ended)
        return 0;
    buf_clear(&p->decoded);
    if (want > 0 && mailbox_read(p->m, p->msg, p->at, p->window, want, &got, e) != 0)
        return -1;
    if (want > 0 && got == 0)
        return store_fail(e, STORE_CORRUPTION, 0, "message %u is shorter than it was", p->msg->uid);
    p->at += got;
    p->left -= got;
    *out = (struct str){ p->window, got };
    if (p->transfer.kind != TRANSFER_NONE) {
        transfer_feed(&p->transfer, &p->decoded, p->window, got);
        if (p->left == 0)
            transfer_end(&p->transfer, &p->decoded);
        *out = buf_str(&p->decoded);
    }
    p->ended = p->left == 0;
    if (p->text && out->n > 0) {
        buf_clear(&p->lines);
        line_ends_feed(&p->ends, &p->lines, out->p, out->n);
        *out = buf_str(&p->lines);
    }
    return 1;
}

void part_stream_end(struct part_stream *p)
{
    free(p->window);
    buf_free(&p->decoded);
    buf_free(&p->lines);
}
