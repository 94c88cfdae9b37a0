/*
 * Previews of messages: which part, how much of it is read, and plain text. HTML is in preview_html.c.
 */
#include "store/preview.h"

#include <string.h>

#include "store/decode.h"
#include "store/mime_lex.h"
#include "store/preview_private.h"
#include "store/text_private.h"

static const char version = 1;           /* before each preview in the index; another one: made anew */

bool preview_cached(struct mailbox *m, const struct message *msg, struct buf *out)
{
    struct str blob;
    mailbox_note_get(m, msg, NOTE_PREVIEW, &blob);
    if (blob.n == 0 || blob.p[0] != version)
        return false;
    buf_add(out, blob.p + 1, blob.n - 1);
    return true;
}

/* Characters that show nothing: controls, and those that senders fill the beginning of a message with. */
static bool is_invisible(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x34f || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e)
        || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029
        || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool preview_add(struct preview_text *t, uint32_t c)
{
    if (is_space(c)) {
        t->space = t->n > 0;
        return true;
    }
    if (is_invisible(c))
        return true;
    if (t->n + t->space >= PREVIEW_MOST)
        return false;
    if (t->space)
        buf_addc(t->out, ' ');
    t->n += 1 + t->space;
    t->space = false;
    if (c < 0x80) {
        buf_addc(t->out, (int)c);
        return true;
    }
    if (c < 0x800) {
        buf_addc(t->out, (int)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        buf_addc(t->out, (int)(0xe0 | c >> 12));
        buf_addc(t->out, (int)(0x80 | (c >> 6 & 0x3f)));
    } else {
        buf_addc(t->out, (int)(0xf0 | c >> 18));
        buf_addc(t->out, (int)(0x80 | (c >> 12 & 0x3f)));
        buf_addc(t->out, (int)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_addc(t->out, (int)(0x80 | (c & 0x3f)));
    return true;
}

uint32_t preview_character(const char **at, const char *end)
{
    const unsigned char *u = (const unsigned char *)*at;
    const size_t left = (size_t)(end - *at);
    const size_t n = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;
    uint32_t c = n == 1 ? u[0] : u[0] & (0xffu >> (n + 1));
    bool good = n > 0 && n <= left;
    for (size_t i = 1; good && i < n; i++) {
        good = (u[i] & 0xc0) == 0x80;
        c = c << 6 | (u[i] & 0x3f);
    }
    if (good && ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c < 0xe000)))
        good = false;
    *at += good ? n : 1;
    return good ? c : 0xfffd;
}

bool preview_add_text(struct preview_text *t, struct str utf8)
{
    const char *p = utf8.p, *const end = p + utf8.n;
    while (p < end)
        if (!preview_add(t, preview_character(&p, end)))
            return false;
    return true;
}

/* ---- plain text ------------------------------------------------------------------------------------------------------- */

static struct str next_line(const char **at, const char *end)
{
    const char *start = *at, *lf = memchr(start, '\n', (size_t)(end - start));
    const char *stop = lf != NULL ? lf : end;
    *at = lf != NULL ? lf + 1 : end;
    while (stop > start && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    return (struct str){ start, (size_t)(stop - start) };
}

/* "On ... wrote:": a line that ends with a colon and has a quoted one behind it. */
static bool introduces_quote(struct str line, const char *p, const char *end)
{
    if (line.p[line.n - 1] != ':')
        return false;
    while (p < end) {
        const struct str next = next_line(&p, end);
        if (next.n > 0)
            return next.p[0] == '>';
    }
    return false;
}

bool preview_plain(struct buf *out, struct str utf8, bool quotes)
{
    struct preview_text t = { .out = out };
    const char *p = utf8.p, *const end = p + utf8.n;
    bool full = false;
    while (p < end && !full) {
        const struct str line = next_line(&p, end);
        if (line.n == 0 || (!quotes && (line.p[0] == '>' || introduces_quote(line, p, end))))
            continue;
        if (str_eq(line, STR("--")) && t.n > 0)      /* what follows is a signature */
            return true;
        full = !preview_add_text(&t, line);
        preview_add(&t, ' ');
    }
    return full;
}

/* ---- the message ------------------------------------------------------------------------------------------------------ */

/* Octets of a part that are read: first a few, which mostly do, and at most many: style sheets can be long. */
static const uint64_t read_first = 16 << 10, read_most = 512 << 10;

/* The decoded text of the part's first octets. *whole: it was all. */
static int read_text(struct mailbox *m, const struct message *msg, const struct mime_part *part, uint64_t most, struct buf *out,
                     bool *whole, struct store_error *e)
{
    struct part_stream in;
    struct charset_cache cache = { .n = 0 };
    struct charset charset;
    struct str piece;
    int rc;
    part_stream_begin(&in, m, msg, part, false);
    *whole = in.left <= most;
    if (!*whole)
        in.left = most;
    charset_open(&charset, &cache, mime_param_get(part->params, part->param_count, STR("charset")));
    while ((rc = part_stream_next(&in, &piece, e)) == 1)
        charset_feed(&charset, out, piece.n > 0 ? piece.p : "", piece.n);
    if (*whole)
        charset_end(&charset, out);
    charset_cache_free(&cache);
    part_stream_end(&in);
    return rc;
}

static int try_part(struct mailbox *m, const struct message *msg, const struct mime_part *part, bool html, struct buf *out,
                    struct store_error *e)
{
    struct buf text = { 0 };
    bool whole = false, full = false;
    int rc = 0;
    for (uint64_t most = read_first; rc == 0 && !whole && !full && most <= read_most; most *= read_most / read_first) {
        buf_clear(&text);
        buf_clear(out);
        rc = read_text(m, msg, part, most, &text, &whole, e);
        if (rc == 0 && text.len > 0)
            full = html ? preview_html(out, buf_str(&text)) : preview_plain(out, buf_str(&text), false);
    }
    if (rc == 0 && !html && out->len == 0 && text.len > 0)
        preview_plain(out, buf_str(&text), true);
    buf_free(&text);
    return rc;
}

/* The first part of a kind that gives a preview. Attached files are none; attached messages are looked into if messages.
 * Recursion is bounded by the parser's MIME_DEPTH. */
static int try_parts(struct mailbox *m, const struct message *msg, const struct mime_part *part, bool html, bool messages,
                     struct buf *out, unsigned *tries, struct store_error *e)
{
    const bool multipart = str_ieq(part->type, STR("multipart"));
    int rc = 0;
    if (part->disposition.p != NULL && str_ieq(part->disposition, STR("attachment")) && !messages)
        return 0;
    if (str_ieq(part->type, STR("text")) && str_ieq(part->subtype, html ? STR("html") : STR("plain")) && part_decodable(part) && *tries > 0) {
        --*tries;
        return try_part(m, msg, part, html, out, e);
    }
    if (!multipart && !(messages && str_ieq(part->type, STR("message"))))
        return 0;
    for (size_t i = 0; rc == 0 && out->len == 0 && i < part->part_count; i++)
        rc = try_parts(m, msg, &part->parts[i], html, messages, out, tries, e);
    return rc;
}

int preview_make(struct mailbox *m, const struct message *msg, const struct mime_part *root, struct buf *out, struct store_error *e)
{
    struct buf preview = { 0 };
    int rc = 0;
    for (unsigned turn = 0; rc == 0 && preview.len == 0 && turn < 4; turn++) {
        unsigned tries = 8;
        rc = try_parts(m, msg, root, (turn & 1) != 0, turn >= 2, &preview, &tries, e);
    }
    if (rc == 0) {
        struct buf blob = { 0 };
        buf_addc(&blob, version);
        if (preview.len > 0)
            buf_add(&blob, preview.data, preview.len);
        mailbox_note_put(m, msg, NOTE_PREVIEW, buf_str(&blob));
        buf_add(out, blob.data + 1, blob.len - 1);
        buf_free(&blob);
    }
    buf_free(&preview);
    return rc;
}
