/*
 * Looking for what is wrong in an mbox. mbox_scan splits the file, so that what is a message here is one for the server; each
 * message is then read again, from the page cache, for what the index does not want to know.
 */
#include "store/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mbox_from.h"
#include "store/mbox_scan.h"

enum { PIECE = 1 << 20, LINE_MAX_SEEN = 8192 };

struct state {
    struct verify *v;
    struct store_error *e;
    int fd;
    char *piece;
    uint32_t number, highest;        /* of the message; highest UID so far */
    unsigned tail;                   /* of the message before */
    bool lf, crlf, mixed_told, base, index_told, pseudo;
    uint64_t end;                    /* of the last message */
};

static void __attribute__((format(printf, 4, 5))) tell(struct state *s, uint64_t offset, const struct finding *fix,
                                                        const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct finding f = { 0 };
    if (fix != NULL)
        f = *fix;
    f.offset = offset;
    f.message = s->number;
    f.text = text;
    s->v->found(s->v->ctx, &f);
}

static ssize_t read_at(struct state *s, char *to, size_t n, uint64_t at)
{
    ssize_t got;
    do
        got = pread(s->fd, to, n, (off_t)at);
    while (got < 0 && errno == EINTR);
    return got < 0 ? store_fail(s->e, STORE_IO, errno, "reading") : got;
}

/* A line that begins with "From " and that the scanner did not take: suspicious behind a blank line only. */
static void from_like(struct state *s, const char *p, size_t at, size_t n, uint64_t offset)
{
    const bool blank = (at >= 2 && p[at - 2] == '\n') || (at >= 3 && p[at - 2] == '\r' && p[at - 3] == '\n');
    const char *lf = memchr(p + at, '\n', n - at);
    const size_t length = (lf != NULL ? (size_t)(lf - p) : n) - at;
    bool digit = false;
    for (size_t i = 5; i < length && !digit; i++)
        digit = p[at + i] == ':' && i > 5 && p[at + i - 1] >= '0' && p[at + i - 1] <= '9';
    if (blank)
        tell(s, offset, NULL, "line like a From_ line, behind a blank line, %s: taken as text",
             digit ? "but its date is not understood" : "but without a date");
}

/* Notes the kinds of line ends in the piece, until both have been seen. */
static void line_ends(struct state *s, const char *p, size_t n, uint64_t offset)
{
    if (s->mixed_told)
        return;
    for (const char *lf = memchr(p, '\n', n); lf != NULL; lf = memchr(lf + 1, '\n', n - (size_t)(lf + 1 - p))) {
        const bool cr = lf > p && lf[-1] == '\r';
        if (lf == p && offset > 0)
            continue;                          /* what is before it is not here */
        *(cr ? &s->crlf : &s->lf) = true;
        if (s->lf && s->crlf) {
            s->mixed_told = true;
            tell(s, offset + (size_t)(lf - p), NULL, "line ends in %s, those before it in %s", cr ? "CRLF" : "LF", cr ? "LF" : "CRLF");
            return;
        }
        if (s->lf) {                           /* the quick way: all others are LF unless there is a CR */
            const char *next = memmem(lf, n - (size_t)(lf - p), "\r\n", 2);
            if (next == NULL)
                return;
            lf = next;
        }
    }
}

/* Goes through the octets of a message, its From_ line included. Pieces overlap, so that a line start is seen whole. */
static int look_at_text(struct state *s, const struct message_record *r, bool verbatim)
{
    const uint64_t end = r->offset + r->raw_size;
    bool nul = false;
    uint64_t done = r->offset + r->from_size;
    for (uint64_t at = r->offset; at < end;) {
        const size_t want = end - at < PIECE ? (size_t)(end - at) : PIECE;
        const ssize_t got = read_at(s, s->piece, want, at);
        if (got <= 0)
            return got < 0 ? -1 : store_fail(s->e, STORE_IO, 0, "the file became shorter while it was read");
        const char *p = s->piece;
        const size_t n = (size_t)got;
        const char *zero = nul ? NULL : memchr(p, 0, n);
        if (zero != NULL) {
            nul = true;
            tell(s, at + (size_t)(zero - p), NULL, "NUL octet");
        }
        if (!verbatim)
            line_ends(s, p, n, at);
        const bool last = at + n >= end;
        for (const char *hit = p; (hit = memmem(hit, n - (size_t)(hit - p), "\nFrom ", 6)) != NULL; hit++) {
            const size_t line = (size_t)(hit - p) + 1;
            if (at + line < done || (!last && line + LINE_MAX_SEEN > n))
                continue;
            from_like(s, p, line, n, at + line);
            done = at + line + 1;
        }
        if (s->v->seen != NULL)
            s->v->seen(s->v->ctx, at + n);
        at += last || n <= LINE_MAX_SEEN + 8 ? n : n - LINE_MAX_SEEN - 8;
    }
    return 0;
}

static bool decimal(const char **p, const char *end, uint64_t *out)
{
    const char *start;
    while (*p < end && (**p == ' ' || **p == '\t'))
        (*p)++;
    start = *p;
    *out = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
        *out = *out > UINT32_MAX ? *out : *out * 10 + (uint64_t)(**p - '0');
    return *p > start && (*p == end || **p == ' ' || **p == '\t');
}

static bool only(const char *p, const char *end, const char *letters)
{
    while (p < end && (*p == ' ' || *p == '\t' || strchr(letters, *p) != NULL) && *p != 0)
        p++;
    return p == end;
}

static void check_uid(struct state *s, const char *p, const char *end, uint64_t at, const struct finding *fix)
{
    uint64_t uid;
    const bool number = decimal(&p, end, &uid) && only(p, end, "");
    if (!number || uid == 0 || uid >= UINT32_MAX)
        tell(s, at, fix, "X-UID is %s", number ? "out of range" : "not a number");
    else if (uid <= s->highest)
        tell(s, at, fix, uid == s->highest ? "X-UID %llu is that of the message before"
                                           : "X-UID %llu is not above %lu, which came before",
             (unsigned long long)uid, (unsigned long)s->highest);
    else
        s->highest = (uint32_t)uid;
}

static void check_base(struct state *s, const char *p, const char *end, uint64_t at, const struct finding *fix)
{
    uint64_t validity, last;
    const bool good = decimal(&p, end, &validity) && decimal(&p, end, &last) && validity > 0 && validity <= UINT32_MAX
        && last <= UINT32_MAX;
    if (s->number > 1)
        tell(s, at, s->base ? fix : NULL, "X-IMAPbase is not in the first message");
    else if (s->base)
        tell(s, at, NULL, "X-IMAPbase more than once");
    else if (!good)
        tell(s, at, NULL, "X-IMAPbase is broken: no UIDVALIDITY and last UID");
    else
        s->base = true;
}

/* A field of n octets, with its line end; only a field of one line can be taken out. */
static void check_field(struct state *s, const char *p, size_t n, uint64_t at, bool folded)
{
    const enum meta_field kind = meta_field(p, n);
    const char *colon = memchr(p, ':', n), *end = p + n;
    if (kind == META_NONE || colon == NULL)
        return;
    const struct finding fix = { .fixable = !folded && p[n - 1] == '\n', .fix_at = at, .del = n, .fix = "" };
    while (end > colon + 1 && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
        end--;
    const char *value = colon + 1;
    if (kind == META_UID)
        check_uid(s, value, end, at, &fix);
    else if (kind == META_BASE)
        check_base(s, value, end, at, &fix);
    else if (kind == META_STATUS && !only(value, end, "RONUD"))
        tell(s, at, NULL, "Status is broken");
    else if (kind == META_X_STATUS && !only(value, end, "AFDT"))
        tell(s, at, NULL, "X-Status is broken");
    else if (kind == META_STORED) {
        while (value < end && *value == ' ')
            value++;
        for (const char *q = value; q < end;) {
            const char *space = memchr(q, ' ', (size_t)(end - q));
            const size_t w = (size_t)((space != NULL ? space : end) - q);
            if (w > 0 && !(w == 8 && memcmp(q, "verbatim", 8) == 0) && !(w == 5 && memcmp(q, "noeol", 5) == 0)) {
                tell(s, at, NULL, "X-IMAPD-Stored says something unknown");
                break;
            }
            q += w + 1;
        }
    }
}

static int look_at_header(struct state *s, const struct message_record *r)
{
    const size_t n = r->header_raw;
    const uint64_t at = r->offset + r->from_size;
    char *header = xmalloc(n + 1);
    const ssize_t got = read_at(s, header, n, at);
    for (size_t i = 0; got > 0 && i < (size_t)got;) {
        const char *lf = memchr(header + i, '\n', (size_t)got - i);
        const size_t line = lf != NULL ? (size_t)(lf - header) + 1 - i : (size_t)got - i;
        const size_t next = i + line;
        if (header[i] != ' ' && header[i] != '\t')
            check_field(s, header + i, line, at + i, next < (size_t)got && (header[next] == ' ' || header[next] == '\t'));
        i = next;
    }
    free(header);
    return got < 0 ? -1 : 0;
}

static void compare_index(struct state *s, const struct scanned *m)
{
    const struct verify *v = s->v;
    const size_t i = s->number - 1 - (s->pseudo ? 1u : 0u);
    if (v->index == NULL || s->index_told || (m->meta->pseudo && s->number == 1) || i >= v->index_n)
        return;
    const struct message_record *x = &v->index[i];
    if (x->offset != m->record.offset || x->raw_size != m->record.raw_size || x->fingerprint != m->record.fingerprint) {
        s->index_told = true;
        tell(s, m->record.offset, NULL, "the index has another place, size or content for this message");
    } else if (m->meta->has_uid && (x->bits & RECORD_BLOCK) != 0 && x->uid != m->meta->uid) {
        s->index_told = true;
        tell(s, m->record.offset, NULL, "the index has UID %lu, the message says %lu", (unsigned long)x->uid, (unsigned long)m->meta->uid);
    }
}

static int each(void *ctx, const struct scanned *m)
{
    struct state *s = ctx;
    const struct message_record *r = &m->record;
    const struct finding fix = { .fixable = true, .fix_at = r->offset, .fix = "\n" };
    s->number++;
    if (s->number == 1)
        s->pseudo = m->meta->pseudo;
    else if (s->tail == 0)
        tell(s, r->offset, &fix, "begins without a blank line before it");
    s->tail = r->tail;
    s->end = r->offset + r->raw_size;
    if (look_at_header(s, r) != 0 || look_at_text(s, r, m->meta->verbatim) != 0)
        return -1;
    compare_index(s, m);
    return 0;
}

/* How the file ends: a last line end and the separator, which the next delivery builds on. */
static int look_at_end(struct state *s)
{
    char c;
    if (s->number == 0)
        return 0;
    if (read_at(s, &c, 1, s->end - 1) != 1)
        return store_fail(s->e, STORE_IO, 0, "the file became shorter while it was read");
    struct finding fix = { .fixable = true, .fix_at = s->end, .fix = "\n" };
    if (c != '\n') {
        fix.fix = "\n\n";
        tell(s, s->end, &fix, "the last line has no line end");
    } else if (s->tail == 0) {
        tell(s, s->end, &fix, "no blank line at the end");
    }
    return 0;
}

int verify_run(struct verify *v, int fd, struct store_error *e)
{
    struct store_error own;
    struct state s = { .v = v, .e = e != NULL ? e : &own, .fd = fd, .piece = xmalloc(PIECE) };
    v->octets = UINT64_MAX;
    int rc = mbox_scan(fd, 0, v->mboxo, each, &s, &v->octets, s.e);
    if (rc != 0 && s.e->code == STORE_CORRUPTION) {
        v->messages = s.number;
        s.number = 0;
        tell(&s, v->octets, NULL, "not an mbox: %s", s.e->text);
        rc = 0;
    } else if (rc == 0) {
        rc = look_at_end(&s);
    }
    if (s.number > 0)
        v->messages = s.number;
    const size_t hidden = s.pseudo ? 1 : 0;
    if (rc == 0 && v->index != NULL && !s.index_told && v->index_n > s.number - hidden) {
        s.number = 0;
        tell(&s, v->octets, NULL, "the index has more messages than the file");
    }
    free(s.piece);
    return rc;
}
