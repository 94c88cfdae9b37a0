/*
 * From the client's octets, or from another mailbox, to the stored form: CRLF becomes LF; a line that would be taken for a
 * From_ line, quoted or not, gets a '>' (mboxrd); fields with the names of bookkeeping fields get their escape. A message
 * with a bare LF keeps all its line ends and is marked verbatim; one that does not end with a line end is marked noeol.
 */
#include <string.h>

#include "store/deliver.h"
#include "store/mbox_from.h"

static bool needs_quote(const char *line, size_t n, bool mboxo)
{
    size_t run = 0;
    if (n == 0 || (line[0] != '>' && line[0] != 'F'))
        return false;
    while (run < n && line[run] == '>')
        run++;
    return n - run >= 5 && memcmp(line + run, "From ", 5) == 0 && (run == 0 || !mboxo);
}

/* What stands before a line when it is stored. */
static void store_prefix(struct buf *out, const char *line, size_t n, bool mboxo, bool *field_escaped, bool header)
{
    if (header && line[0] != ' ' && line[0] != '\t')
        *field_escaped = meta_must_escape(line, n);
    if (header && *field_escaped && line[0] != ' ' && line[0] != '\t')
        buf_add(out, META_ESCAPE, sizeof META_ESCAPE - 1);
    if (needs_quote(line, n, mboxo))
        buf_addc(out, '>');
}

/* The octets of a line, sent with this line end or none, that are stored as they are; if not all, LF follows. */
static size_t as_they_are(const char *line, size_t n, bool verbatim)
{
    const bool crlf = n >= 2 && line[n - 1] == '\n' && line[n - 2] == '\r';
    return crlf && !verbatim && !(n >= 3 && line[n - 3] == '\r') ? n - 2 : n;
}

static bool is_blank(const char *line, size_t n)
{
    return line[0] == '\n' || (n == 2 && line[0] == '\r' && line[1] == '\n');
}

/* Notes what is special about the octets of a message as sent. */
static void look_at(struct parcel *p, const char *octets)
{
    const char *end = octets + p->size;
    p->verbatim = false;
    for (const char *lf = octets; (lf = memchr(lf, '\n', (size_t)(end - lf))) != NULL; lf++) {
        if (lf == octets || lf[-1] != '\r') {
            p->verbatim = true;
            break;
        }
    }
    p->noeol = p->size > 0 && end[-1] != '\n';
}

/* Flushes out into text when it has grown. */
static int drain(struct buf *out, struct spool *text, bool all, struct store_error *e)
{
    if (!all && out->len < 1 << 18)
        return 0;
    const int rc = spool_write(text, out->data, out->len, e);
    buf_clear(out);
    return rc;
}

/* However long a line is, it takes no memory. */
static int store_octets(struct buf *out, const char *octets, size_t n, struct spool *text, struct store_error *e)
{
    enum { LONG = 1 << 18 };
    if (n > LONG)
        return drain(out, text, true, e) != 0 || spool_write(text, octets, n, e) != 0 ? -1 : 0;
    buf_add(out, octets, n);
    return drain(out, text, false, e);
}

static int write_sent(const struct parcel *p, const char *octets, struct meta_block *b, bool mboxo, struct buf *out,
                      struct spool *text, struct store_error *e)
{
    const char *at = octets, *end = octets + p->size;
    bool header = true, escaped = false;
    b->verbatim = p->verbatim;
    b->noeol = p->noeol;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const size_t n = lf != NULL ? (size_t)(lf - at) + 1 : (size_t)(end - at);
        if (header && (is_blank(at, n) || (n == 1 && *at == '\r'))) {   /* a last CR will be a blank line when finished */
            header = false;
            meta_format(out, b);
        }
        store_prefix(out, at, n, mboxo, &escaped, header);
        const size_t same = as_they_are(at, n, p->verbatim);
        if (store_octets(out, at, same, text, e) != 0)
            return -1;
        if (same < n)
            buf_addc(out, '\n');
        at += n;
    }
    if (p->noeol)
        buf_addc(out, '\n');
    if (header)
        meta_format(out, b);
    return 0;
}

static int write_stored(const struct parcel *p, const char *octets, struct meta_block *b, struct buf *out, struct spool *text,
                        struct store_error *e)
{
    size_t start, del, block_at;
    struct buf ins = { 0 };
    const char *header = octets + p->from_size;
    b->verbatim = p->verbatim;
    b->noeol = p->noeol;
    meta_replace(header, p->header_size, b, &start, &del, &ins, &block_at);
    const char *rest = header + start + del, *end = octets + p->size;
    const int rc = drain(out, text, true, e) != 0 || spool_write(text, octets, p->from_size + start, e) != 0
        || spool_write(text, ins.data, ins.len, e) != 0 || spool_write(text, rest, (size_t)(end - rest), e) != 0 ? -1 : 0;
    if ((end > rest ? end[-1] : ins.len > 0 ? ins.data[ins.len - 1] : '\n') != '\n')
        buf_addc(out, '\n');
    buf_free(&ins);
    return rc;
}

int parcel_write(struct parcel *p, const char *octets, struct meta_block *b, bool mboxo, struct buf *out, struct spool *text,
                 bool last, struct store_error *e)
{
    int rc;
    if (p->stored) {
        rc = write_stored(p, octets, b, out, text, e);
    } else {
        look_at(p, octets);
        mbox_from_format(out, "MAILER-DAEMON", p->date, p->zone);
        rc = write_sent(p, octets, b, mboxo, out, text, e);
    }
    buf_addc(out, '\n');
    return rc == 0 ? drain(out, text, last, e) : rc;
}
