/*
 * Splitting an mbox. A window of the file slides over it; each message goes through: From_ line, header (kept whole in the
 * window, at most MBOX_HEADER_MAX), body (in pieces that end at line ends where possible). The body is searched once for
 * "From ", which finds the next From_ line ("\nFrom " that mbox_from_parse accepts) and quoted lines ("\n>From "), and its
 * line ends are counted: all that RFC822.SIZE needs.
 */
#include "store/mbox_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/octets.h"
#include "base/xmalloc.h"
#include "store/mbox_from.h"

enum { WINDOW = 1 << 20, FROM_MAX = 8192 };

struct scan {
    int fd;
    bool mboxo, eof;
    const char *data;                /* window: file octets [base, base+len) */
    char *own;                       /* the same, where it can be filled; NULL: all is there */
    size_t cap, len, at;
    uint64_t base, limit;            /* limit: where the file ends for us */
    struct store_error *e;
};

/* What has been seen of a body. */
struct body {
    uint64_t bytes, lf, bare, quoted;
    bool line_start, gt_run;         /* the next octet begins a line; the line so far is only '>' */
    char last[3];                    /* the last octets, newest first */
    bool nul;
};

/* Slides the window so that `at` is its start, and reads more, growing when it is full. 1 more came, 0 end of file. */
static int fill(struct scan *s)
{
    if (s->own == NULL)
        return 0;
    if (s->at > 0) {
        memmove(s->own, s->own + s->at, s->len - s->at);
        s->base += s->at;
        s->len -= s->at;
        s->at = 0;
    }
    if (s->len == s->cap) {
        s->cap *= 2;
        s->data = s->own = xrealloc(s->own, s->cap);
    }
    const uint64_t from = s->base + s->len, left = s->limit > from ? s->limit - from : 0;
    const size_t room = s->cap - s->len;
    const ssize_t got = pread(s->fd, s->own + s->len, left < room ? (size_t)left : room, (off_t)from);
    if (got < 0 && errno == EINTR)
        return 1;
    if (got < 0)
        return store_fail(s->e, STORE_IO, errno, "reading");
    s->len += (size_t)got;
    s->eof = got == 0;
    return got > 0;
}

/* Makes sure that the line at offset `from` in the window is whole, up to max octets; returns its length with its LF (or
 * what there is at the end of the file), -1 on failure. */
static ssize_t whole_line(struct scan *s, size_t from, size_t max)
{
    for (;;) {
        const size_t have = s->len - s->at - from;
        const char *line = s->data + s->at + from;
        const char *lf = memchr(line, '\n', have < max ? have : max);
        if (lf != NULL)
            return lf - line + 1;
        if (have >= max)
            return (ssize_t)max;
        const int more = fill(s);
        if (more < 0)
            return -1;
        if (more == 0)
            return (ssize_t)(s->len - s->at - from);
    }
}

/* A From_ line at offset `from` behind s->at? Its length with line end, 0 if it is none, -1 on failure. */
static ssize_t from_line(struct scan *s, size_t from, int64_t *date, int *zone)
{
    const ssize_t n = whole_line(s, from, FROM_MAX);
    if (n <= 0)
        return n;
    const char *line = s->data + s->at + from;
    const size_t text = (size_t)n - (line[n - 1] == '\n');
    return text >= 5 && memcmp(line, "From ", 5) == 0 && mbox_from_parse(line, text, date, zone) ? n : 0;
}

/* Length of the header at s->at: to its blank line (included), a From_ line, the bound or the end. -1 on failure. */
static ssize_t header_length(struct scan *s)
{
    size_t n = 0;
    while (n < MBOX_HEADER_MAX) {
        const ssize_t line = whole_line(s, n, MBOX_HEADER_MAX);
        if (line < 0)
            return -1;
        if (line == 0)
            break;
        const char *p = s->data + s->at + n;
        if (p[0] == 'F' && line >= 5 && memcmp(p, "From ", 5) == 0) {
            const ssize_t from = from_line(s, n, NULL, NULL);
            if (from != 0)
                return from < 0 ? -1 : (ssize_t)n;
        }
        p = s->data + s->at + n;
        n += (size_t)line;
        if (p[0] == '\n' || (line == 2 && p[0] == '\r' && p[1] == '\n'))
            break;
    }
    return (ssize_t)n;
}

#if defined __GNUC__ && !defined __clang__
__attribute__((optimize("O3")))          /* gcc 12 leaves the loop scalar at -O2 */
#endif
/* CRs right before an LF in the piece (an LF that begins it is seen through b->last). */
static uint64_t count_crlf(const struct body *b, const char *p, size_t n)
{
    uint64_t found = b->last[0] == '\r' && n > 0 && p[0] == '\n';
    const char *end = p + n;
    for (const char *cr = memchr(p, '\r', n); cr != NULL && cr + 1 < end; cr = memchr(cr + 1, '\r', (size_t)(end - cr - 1)))
        found += cr[1] == '\n';
    return found;
}

static void remember_last(struct body *b, const char *p, size_t n)
{
    for (size_t i = n > 3 ? n - 3 : 0; i < n; i++) {
        b->last[2] = b->last[1];
        b->last[1] = b->last[0];
        b->last[0] = p[i];
    }
}

static void body_piece(struct body *b, const char *p, size_t n)
{
    if (n == 0)
        return;
    const uint64_t lf = octets_count(p, n, '\n');
    b->bytes += n;
    b->lf += lf;
    b->bare += lf - count_crlf(b, p, n);
    b->nul = b->nul || memchr(p, 0, n) != NULL;
    remember_last(b, p, n);
    const char *lf_at = memrchr(p, '\n', n);
    const char *line = lf_at != NULL ? lf_at + 1 : p;
    const bool from_start = lf_at != NULL || b->line_start || b->gt_run;
    size_t run = 0;
    while (line + run < p + n && line[run] == '>')
        run++;
    b->line_start = lf_at == p + n - 1;
    b->gt_run = from_start && !b->line_start && line + run == p + n;
}

/* True if the "From " at hit ends a run of '>' that begins a line; p is the piece's first octet. */
static bool is_quoted(const struct body *b, const char *p, const char *hit)
{
    const char *q = hit;
    while (q > p && q[-1] == '>')
        q--;
    if (q == p)
        return b->gt_run || (b->line_start && q < hit);
    return q < hit && q[-1] == '\n';
}

/* Goes through the octets at s->at, n of them. 1: the next From_ line was found, s->at is at it. 0: all taken, -1. */
static int body_window(struct scan *s, struct body *b, size_t n)
{
    size_t from = 0;                             /* searched so far */
    for (;;) {
        const char *p = s->data + s->at;
        const char *hit = from < n ? octets_find(p + from, n - from, "From ", 5) : NULL;
        if (hit == NULL)
            break;
        const size_t at = (size_t)(hit - p);
        from = at + 5;
        if (at > 0 ? p[at - 1] == '\n' : b->line_start) {
            const ssize_t line = from_line(s, at, NULL, NULL);
            if (line < 0)
                return -1;
            if (line > 0) {
                body_piece(b, s->data + s->at, at);
                s->at += at;
                return 1;
            }
        } else if ((at > 0 ? p[at - 1] == '>' : b->gt_run) && is_quoted(b, p, hit)) {
            b->quoted++;
        }
    }
    body_piece(b, s->data + s->at, n);
    s->at += n;
    return 0;
}

/* How much of the window can be taken at once: whole lines; of a line longer than the window a part that does not end
 * within its ">>>From ". */
static size_t piece_length(const struct scan *s)
{
    const char *p = s->data + s->at;
    const size_t have = s->len - s->at;
    if (s->eof || have == 0)
        return have;
    const char *lf = memrchr(p, '\n', have);
    if (lf != NULL)
        return (size_t)(lf - p) + 1;
    if (have < WINDOW / 2)
        return 0;
    size_t run = 0;
    while (run < have && p[run] == '>')
        run++;
    return run + 32 > have && run > 32 ? run - 32 : have - 16;
}

/* The whole body from s->at. */
static int scan_body(struct scan *s, struct body *b)
{
    b->line_start = true;
    for (;;) {
        const size_t n = piece_length(s);
        if (n > 0) {
            const int rc = body_window(s, b, n);
            if (rc != 0)
                return rc < 0 ? -1 : 0;
        }
        if (s->eof && s->at == s->len)
            return 0;
        if (!s->eof && fill(s) < 0)
            return -1;
    }
}

/* Sizes and tail of a message whose header and body have been seen. */
static void measure(struct message_record *r, const struct header_info *h, const struct body *b, const char *header,
                    bool mboxo, bool at_end)
{
    const bool verbatim = h->meta.verbatim, noeol = h->meta.noeol;
    const size_t n = r->header_raw;
    uint64_t bare = b->bare, bytes = b->bytes, header_size = h->visible;
    const bool header_blank = n > 0 && (header[n - 1] == '\n' && (n == 1 || header[n - 2] == '\n'
        || (header[n - 2] == '\r' && (n == 2 || header[n - 3] == '\n'))));
    unsigned last_end = h->last_end;
    r->tail = 0;
    if (b->bytes == 0) {
        if (header_blank) {                      /* the blank line is the separator */
            const unsigned blank = n > 1 && header[n - 2] == '\r' ? 2 : 1;
            r->tail = (uint8_t)blank;
            r->header_raw -= blank;
            header_size -= verbatim ? blank : 2;
            last_end = h->last_field_end;
        }
    } else if (b->last[0] == '\n' && (b->last[1] == '\n' || b->bytes == 1)) {
        r->tail = 1;
        bytes -= 1;
        bare -= 1;
    } else if (b->last[0] == '\n' && b->last[1] == '\r' && (b->last[2] == '\n' || b->bytes == 2)) {
        r->tail = 2;
        bytes -= 2;
    } else if (b->last[0] != '\n' && at_end) {   /* shown as if the line were finished, as it will be after a delivery */
        bytes += 1;
        bare += b->last[0] != '\r';
    }
    r->header_size = header_size;
    r->size = header_size + bytes - (mboxo ? 0 : b->quoted) + (verbatim ? 0 : bare);
    r->bits = (uint16_t)((verbatim ? RECORD_VERBATIM : 0) | (noeol ? RECORD_NOEOL : 0)
        | ((mboxo || b->quoted == 0) && !b->nul ? RECORD_PLAIN : 0) | (bare == 0 ? RECORD_CRLF : 0)
        | (h->meta.flags & FLAG_OLD ? RECORD_OLD : 0) | (h->meta.block_size > 0 && h->meta.has_uid ? RECORD_BLOCK : 0));
    r->fingerprint = h->fingerprint + bytes * 0x9e3779b97f4a7c15u;
    if (noeol && bytes == 0)
        r->size = r->header_size = header_size - (header_size > 0 ? last_end : 0);
    else if (noeol && r->size > r->header_size)
        r->size -= verbatim || b->last[2] == '\r' ? 1 : 2;
}

/* One message: s->at is at its From_ line of `from` octets. */
static int scan_message(struct scan *s, ssize_t from, int64_t date, int zone,
                        int (*each)(void *ctx, const struct scanned *message), void *ctx)
{
    struct scanned found = { .record = { .offset = s->base + s->at, .from_size = (uint16_t)from, .date = date,
                                         .zone = (int16_t)zone } };
    struct message_record *r = &found.record;
    struct header_info info;
    struct body body = { 0 };
    s->at += (size_t)from;
    const ssize_t n = header_length(s);
    if (n < 0)
        return -1;
    r->header_raw = (uint32_t)n;
    header_convert(s->data + s->at, (size_t)n, s->mboxo, false, false, NULL, &info);
    char *header = memcpy(xmalloc((size_t)n + 1), s->data + s->at, (size_t)n);
    s->at += (size_t)n;
    int rc = scan_body(s, &body);
    if (rc == 0) {
        measure(r, &info, &body, header, s->mboxo, s->eof && s->at == s->len);
        r->raw_size = s->base + s->at - r->offset;
        r->block_offset = info.meta.block_offset + (uint32_t)from;
        r->block_size = (uint16_t)info.meta.block_size;
        r->flags = r->mbox_flags = (uint8_t)(info.meta.flags & ~(unsigned)FLAG_OLD);
        found.meta = &info.meta;
        rc = each(ctx, &found);
    }
    free(header);
    meta_free(&info.meta);
    return rc;
}

static int scan_all(struct scan *s, int (*each)(void *ctx, const struct scanned *message), void *ctx)
{
    int more;
    while ((more = fill(s)) == 1) {              /* blank lines before the first message */
        while (s->at < s->len && (s->data[s->at] == '\n' || s->data[s->at] == '\r' || s->data[s->at] == ' '))
            s->at++;
        if (s->at < s->len)
            break;
    }
    if (more < 0)
        return -1;
    while (s->at < s->len) {
        int64_t date;
        int zone;
        const ssize_t from = from_line(s, 0, &date, &zone);
        if (from < 0)
            return -1;
        if (from == 0)
            return store_fail(s->e, STORE_CORRUPTION, 0, "no From_ line at offset %llu",
                              (unsigned long long)(s->base + s->at));
        const int rc = scan_message(s, from, date, zone, each, ctx);
        if (rc != 0)
            return rc;
        if (s->at == s->len && !s->eof && fill(s) < 0)
            return -1;
    }
    return 0;
}

/* No more than there is to be read, with an octet that sees the end. */
static size_t window_for(uint64_t from, uint64_t end)
{
    const uint64_t n = end > from ? end - from : 0;
    return n < FROM_MAX ? FROM_MAX : n < WINDOW ? (size_t)n + 1 : WINDOW;
}

int mbox_scan(int fd, uint64_t from, bool mboxo, int (*each)(void *ctx, const struct scanned *message), void *ctx,
              uint64_t *end, struct store_error *e)
{
    struct scan s = { .fd = fd, .mboxo = mboxo, .base = from, .limit = *end, .cap = window_for(from, *end), .e = e };
    s.data = s.own = xmalloc(s.cap);
    const int rc = scan_all(&s, each, ctx);
    *end = s.base + s.at;
    free(s.own);
    return rc;
}

int mbox_scan_text(const char *octets, size_t n, uint64_t offset, bool mboxo, int (*each)(void *ctx, const struct scanned *message),
                   void *ctx, struct store_error *e)
{
    struct scan s = { .fd = -1, .mboxo = mboxo, .eof = true, .data = octets, .len = n, .base = offset, .e = e };
    return scan_all(&s, each, ctx);
}
