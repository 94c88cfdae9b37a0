/*
 * Looking for a substring in the text of a message. A part streams through its stages in windows: octets, transfer
 * decoding, UTF-8, folded text, memmem; between windows only what a match could begin in is kept. Parts that hold no text
 * are not read.
 */
#include <stdlib.h>
#include <string.h>
#include "base/xmalloc.h"
#include "store/mime_lex.h"
#include "store/text_private.h"

enum { WINDOW = 65536 };

struct stream {
    const struct text_needle *needle;
    struct transfer transfer;
    struct charset charset;
    struct buf decoded, utf8, folded;
    text_read read;
    void *ctx;
    struct str message;              /* all of it, if .p: then nothing is read */
    bool headers, has_word;          /* of the header in hand: it has the needle; it may have it in fields that are plain */
    char *window;
};

/* Begins a new text: no match reaches into it from the one before. */
static void stream_begin(struct stream *s, struct str encoding, struct str charset)
{
    s->transfer = (struct transfer){ .kind = transfer_kind_of(encoding) };
    charset_open(&s->charset, &s->needle->scratch->charsets, charset);
    buf_clear(&s->utf8);
    buf_clear(&s->folded);
}

/* Folds what is settled and looks at it. */
static bool stream_look(struct stream *s, bool last)
{
    const size_t keep = s->needle->folded.len - 1;

    buf_drop(&s->utf8, fold_feed(s->needle->collation, &s->folded, s->utf8.data ? s->utf8.data : "", s->utf8.len, last));
    if (needle_in(s->needle, s->folded.data ? s->folded.data : "", s->folded.len)) return true;
    if (s->folded.len > keep) buf_drop(&s->folded, s->folded.len - keep);
    return false;
}

static bool stream_feed(struct stream *s, const char *bytes, size_t n)
{
    if (s->transfer.kind != TRANSFER_NONE) {
        buf_clear(&s->decoded);
        transfer_feed(&s->transfer, &s->decoded, bytes, n);
        bytes = s->decoded.data ? s->decoded.data : "";
        n = s->decoded.len;
    }
    charset_feed(&s->charset, &s->utf8, bytes, n);
    return stream_look(s, false);
}

static bool stream_end(struct stream *s)
{
    buf_clear(&s->decoded);
    transfer_end(&s->transfer, &s->decoded);
    if (s->decoded.len) charset_feed(&s->charset, &s->utf8, s->decoded.data, s->decoded.len);
    charset_end(&s->charset, &s->utf8);
    return stream_look(s, true);
}

/* Up to n octets from at on, in memory; *got how many. NULL: they cannot be read. */
static const char *stream_octets(struct stream *s, uint64_t at, size_t n, size_t *got)
{
    *got = 0;
    if (s->message.p) {
        if (at < s->message.n) *got = n < s->message.n - at ? n : (size_t)(s->message.n - at);
        return s->message.p + (at < s->message.n ? at : 0);
    }
    const long k = s->read(s->ctx, at, s->window, n < WINDOW ? n : WINDOW);
    if (k > 0) *got = (size_t)k;
    return k < 0 ? NULL : s->window;
}

/* A text that is in memory: 1 found, 0 not, -1 to be streamed. */
static int search_whole(const struct stream *s, const struct mime_part *p, struct str charset)
{
    struct buf *decoded = &s->needle->scratch->decoded;
    struct str text = { NULL, 0 };

    if (!s->message.p || !s->needle->ascii || p->body_offset > s->message.n) return -1;
    text = (struct str){ s->message.p + p->body_offset, s->message.n - (size_t)p->body_offset };
    if (text.n > p->body_size) text.n = (size_t)p->body_size;
    const enum transfer_kind kind = transfer_kind_of(p->encoding);
    if (kind == TRANSFER_QP && !may_be_in_qp(s->needle, charset, text.p, text.n)) return 0;
    if (kind != TRANSFER_NONE) {
        buf_clear(decoded);
        text_decode_transfer(decoded, p->encoding, text);
        text = decoded->data ? buf_str(decoded) : STR("");
    }
    return find_in_text(s->needle, charset, text.p, text.n);
}

static int search_body(struct stream *s, const struct mime_part *p)
{
    const bool is_text = str_ieq(p->type, STR("text"));
    const struct str charset = is_text ? mime_param_get(p->params, p->param_count, STR("charset")) : (struct str){ NULL, 0 };
    uint64_t at = p->body_offset, left = p->body_size;
    const int found = search_whole(s, p, charset);

    if (found >= 0) return found;
    stream_begin(s, p->encoding, charset);
    while (left) {
        size_t got;
        const char *octets = stream_octets(s, at, left < WINDOW ? (size_t)left : WINDOW, &got);
        if (!octets) return -1;
        if (got == 0) break;
        if (stream_feed(s, octets, got)) return 1;
        at += got;
        left -= got;
    }
    return stream_end(s);
}

/* A field with its name: "Subject: text". */
static int search_field(void *ctx, struct str name, struct str value, struct str whole)
{
    struct stream *s = ctx;
    if (!s->has_word && is_plain_header(whole.p, whole.n)) return 0;
    buf_clear(&s->utf8);
    buf_clear(&s->folded);
    buf_add(&s->utf8, name.p, name.n);
    buf_add(&s->utf8, ": ", 2);
    header_decode(&s->utf8, spaced_value(s->needle, value, false), &s->needle->scratch->charsets);
    fold_feed(s->needle->collation, &s->folded, s->utf8.data, s->utf8.len, true);
    s->headers = needle_in(s->needle, s->folded.data, s->folded.len);
    return s->headers;
}

/* Lines in a header that are no field, as where the blank line before the body is missing. */
static bool search_stray_lines(struct stream *s, struct str header)
{
    const char *p = header.p, *const end = p + header.n;

    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        const size_t n = (size_t)((lf ? lf + 1 : end) - p);
        if (n > 2 && *p != ' ' && *p != '\t' && memchr(p, ':', n) == NULL
            && (s->has_word || !is_plain_header(p, n)) && text_needle_in_header(s->needle, (struct str){ p, n }, false)) return true;
        p += n;
    }
    return false;
}

static int search_header(struct stream *s, const struct mime_part *p)
{
    const size_t size = p->header_size < MIME_HEADER ? (size_t)p->header_size : MIME_HEADER;
    char *copy = NULL;
    size_t have = 0;

    if (size <= 2) return 0;
    const char *header = stream_octets(s, p->header_offset, size, &have);
    if (header && have && have < size && !s->message.p) {          /* larger than the window */
        header = copy = memcpy(xmalloc(size), header, have);
        for (size_t got = 1; have < size && got && header; have += got) {
            const char *more = stream_octets(s, p->header_offset + have, size - have, &got);
            if (!more) header = NULL;
            else memcpy(copy + have, more, got);
        }
    }
    int rc = header ? 0 : -1;
    if (header) s->has_word = has_word(s->needle, header, have);
    if (header && (s->has_word || !is_plain_header(header, have))) {
        s->headers = false;
        mime_header_each((struct str){ header, have }, search_field, s);
        rc = s->headers || search_stray_lines(s, (struct str){ header, have });
    }
    free(copy);
    return rc;
}

/* A part with all in it; depth is the parser's bound. BODY is asked about what people read: headers of attached messages,
 * but not those that only say how parts are encoded. */
static int search_part(struct stream *s, const struct mime_part *p, bool all_headers, bool header)
{
    const bool text = str_ieq(p->type, STR("text")), message = str_ieq(p->type, STR("message"));
    int rc = header ? search_header(s, p) : 0;

    if (rc) return rc;
    /* A message must not be encoded; of one that is, the parts found are none. */
    const bool encoded = message && transfer_kind_of(p->encoding) != TRANSFER_NONE;
    if (p->part_count == 0 || encoded)
        return text || message || str_ieq(p->type, STR("multipart")) ? search_body(s, p) : 0;
    for (size_t i = 0; i < p->part_count && rc == 0; i++)
        rc = search_part(s, &p->parts[i], all_headers, all_headers || p->parts[i].envelope);
    return rc;
}

static int search(struct stream *s, const struct mime_part *root, bool headers)
{
    if (s->needle->folded.len == 0) return 1;
    if (!s->message.p) s->window = xmalloc(WINDOW);
    const int rc = search_part(s, root, headers, headers);
    free(s->window);
    buf_free(&s->decoded);
    buf_free(&s->utf8);
    buf_free(&s->folded);
    return rc;
}

int text_search(const struct mime_part *root, const struct text_needle *n, bool headers, text_read read, void *ctx)
{
    struct stream s = { .needle = n, .read = read, .ctx = ctx };
    return search(&s, root, headers);
}

int text_search_in(const struct mime_part *root, const struct text_needle *n, bool headers, struct str message)
{
    struct stream s = { .needle = n, .message = message };
    return search(&s, root, headers);
}
