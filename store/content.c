/*
 * Reading a message (see content.h). The header is converted whole and kept; the body is converted as it streams through a
 * window, line by line. What ends the output is always the size in the record: it says whether the final line end belongs
 * to the message, and whether an unfinished last line of the file is shown finished.
 */
#include "store/content_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/octets.h"
#include "base/xmalloc.h"
#include "store/mbox_meta.h"

enum { WINDOW = 1 << 18, READ_AHEAD = 1 << 16, PROBE = 4096 };

struct content *content_new(void)
{
    return xcalloc(1, sizeof(struct content));
}

void content_free(struct content *c)
{
    if (c == NULL)
        return;
    buf_free(&c->header);
    free(c->ahead);
    free(c);
}

void content_forget(struct content *c)
{
    c->uid = 0;
    c->window_size = c->ahead_size = 0;
}

void content_file(struct content *c, const struct file_identity *now)
{
    if (memcmp(&c->file, now, sizeof *now) != 0)
        content_forget(c);
    c->file = *now;
}

static void rewind_body(struct content *c)
{
    c->raw = c->seen = 0;
    c->line_start = true;
    c->prev_cr = c->owe_lf = false;
}

int content_pread(int fd, char *to, size_t n, uint64_t from, size_t *got, struct store_error *e)
{
    *got = 0;
    while (*got < n) {
        const ssize_t k = pread(fd, to + *got, n - *got, (off_t)(from + *got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return store_fail(e, STORE_IO, errno, "reading");
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    return 0;
}

uint64_t content_body_raw(const struct message_record *r)
{
    const uint64_t before = (uint64_t)r->from_size + r->header_raw + r->tail;
    return r->raw_size > before ? r->raw_size - before : 0;
}

struct output {
    char *to;                        /* NULL: only counted */
    uint64_t room;
};

/* How many of the n stored octets at p need nothing but CRs: in all other lines nothing is quoted, and there are no NULs. */
static size_t simple_octets(const struct message_record *r, bool mboxo, const char *p, size_t n)
{
    if (r->bits & RECORD_PLAIN)
        return n;
    const char *hit = mboxo ? NULL : octets_find(p, n, ">From ", 6);
    if (!mboxo) {                                  /* a line that is begun here may be quoted further on */
        const char *line = memrchr(p, '\n', hit != NULL ? (size_t)(hit - p) : n);
        n = line != NULL ? (size_t)(line - p) + 1 : 0;
    }
    const char *nul = memchr(p, 0, n);
    return nul != NULL ? (size_t)(nul - p) : n;
}

/* Converts octets that need CRs alone, 16 at a time, as far as there is room for what may come of them. Returns how many it took. */
static size_t add_crs(struct content *c, const char *p, size_t n, struct output *o)
{
    char *to = o->to, *const end = o->to + o->room;
    size_t i = 0;
    while (i + sizeof(vector) <= n && (size_t)(end - to) >= sizeof(vector) + 2) {
        vector v;
        memcpy(&v, p + i, sizeof v);
        memcpy(to, &v, sizeof v);
        const vector64 found = (vector64)(v == '\n');
        if ((found[0] | found[1]) == 0) {
            i += sizeof v;
            to += sizeof v;
            continue;
        }
        const unsigned k = first_octet(found);
        i += k;
        to += k;
        if (!(i > 0 ? p[i - 1] == '\r' : c->prev_cr && !c->line_start))
            *to++ = '\r';
        *to++ = '\n';
        i++;
    }
    if (i > 0) {
        c->line_start = p[i - 1] == '\n';
        c->prev_cr = p[i - 1] == '\r';
    }
    o->room -= (size_t)(to - o->to);
    o->to = to;
    return i;
}

static int load_header(struct content *c, int fd, const struct message_record *r, uint64_t start, bool mboxo, struct store_error *e)
{
    const char *raw = content_stored(c, fd, start + r->from_size, r->header_raw, READ_AHEAD, e);
    c->uid = 0;
    if (raw != NULL) {
        buf_clear(&c->header);
        header_convert(raw, r->header_raw, mboxo, r->bits & RECORD_VERBATIM, false, &c->header, NULL);
        for (char *p = c->header.data; p != NULL && p < c->header.data + c->header.len
             && (p = memchr(p, 0, (size_t)(c->header.data + c->header.len - p))) != NULL; p++)
            *p = (char)0x80;
        c->uid = r->uid;
        c->fingerprint = r->fingerprint;
        rewind_body(c);
    }
    return raw != NULL ? 0 : -1;
}

/* Makes the window begin at c->raw with at least one octet; not much more than `want` are needed. */
static int fill_window(struct content *c, int fd, const struct message_record *r, uint64_t start, uint64_t want, struct store_error *e)
{
    const uint64_t left = content_body_raw(r) - c->raw;
    c->window_at = c->raw;
    want = want < WINDOW - PROBE ? want + PROBE : WINDOW;
    c->window_size = left < want ? (size_t)left : (size_t)want;
    c->window = content_stored(c, fd, start + r->from_size + r->header_raw + c->raw, c->window_size, READ_AHEAD, e);
    return c->window != NULL ? 0 : -1;
}

/* Is the line at p (end: end of the window) quoted? 1 yes, 0 no, -1 the window ends too early to tell. */
static int quoted(const char *p, const char *end)
{
    while (p < end && *p == '>')
        p++;
    const size_t n = (size_t)(end - p) < 5 ? (size_t)(end - p) : 5;
    if (memcmp(p, "From ", n) != 0)
        return 0;
    return n == 5 ? 1 : -1;
}

/* The same for a line that does not end in the window, at stored body position c->raw. */
static int quoted_far(const struct content *c, int fd, const struct message_record *r, uint64_t start)
{
    char probe[PROBE];
    const uint64_t end = content_body_raw(r);
    uint64_t at = c->raw;
    struct store_error ignored;
    while (at < end) {
        size_t got, n = end - at < PROBE ? (size_t)(end - at) : PROBE, run = 0;
        if (content_pread(fd, probe, n, start + r->from_size + r->header_raw + at, &got, &ignored) != 0 || got == 0)
            return 0;
        while (run < got && probe[run] == '>')
            run++;
        if (run < got && (got - run >= 5 || at + got >= end))
            return got - run >= 5 && memcmp(probe + run, "From ", 5) == 0;
        at += run < got ? run : got;
        if (run < got && run == 0)
            return 0;
    }
    return 0;
}

static void emit(struct output *o, const char *p, size_t n, bool nul)
{
    if (o->to != NULL) {
        memcpy(o->to, p, n);
        if (nul)
            for (char *z = o->to; (z = memchr(z, 0, (size_t)(o->to + n - z))) != NULL; z++)
                *z = (char)0x80;
        o->to += n;
    }
    o->room -= n;
}

/* Converts one stored line (or the piece of it that is in the window and fits). Returns stored octets taken. */
static size_t convert_line(struct content *c, const struct message_record *r, const char *p, const char *end, struct output *o)
{
    const bool add_cr = !(r->bits & RECORD_VERBATIM);
    size_t n = (size_t)(end - p) < o->room ? (size_t)(end - p) : (size_t)o->room;
    const char *lf = memchr(p, '\n', n);
    if (lf == NULL) {
        emit(o, p, n, !(r->bits & RECORD_PLAIN));
        c->prev_cr = n > 0 ? p[n - 1] == '\r' : c->prev_cr;
        c->line_start = false;
        return n;
    }
    n = (size_t)(lf - p);
    emit(o, p, n, !(r->bits & RECORD_PLAIN));
    const bool has_cr = n > 0 ? p[n - 1] == '\r' : c->prev_cr && !c->line_start;
    if (add_cr && !has_cr) {
        emit(o, "\r", 1, false);
        c->owe_lf = o->room == 0;
    }
    if (!c->owe_lf)
        emit(o, "\n", 1, false);
    c->line_start = true;
    c->prev_cr = false;
    return n + 1;
}

/* Converts from c->raw on until o is full or the stored body ends. */
static int convert(struct content *c, int fd, const struct message_record *r, uint64_t start, bool mboxo, struct output *o,
                   struct store_error *e)
{
    const uint64_t end = content_body_raw(r), room = o->room;
    if (c->owe_lf && o->room > 0) {
        emit(o, "\n", 1, false);
        c->owe_lf = false;
    }
    while (o->room > 0 && c->raw < end) {
        if (c->raw < c->window_at || c->raw >= c->window_at + c->window_size) {
            if (fill_window(c, fd, r, start, o->room, e) != 0)
                return -1;
            if (c->window_size == 0)
                return store_fail(e, STORE_CORRUPTION, 0, "a message ends too early");
        }
        const char *stop = c->window + c->window_size;
        const char *p = c->window + (c->raw - c->window_at);
        if (c->line_start && *p == '>' && !mboxo && !(r->bits & RECORD_PLAIN)) {
            int q = quoted(p, stop);
            if (q < 0)
                q = quoted_far(c, fd, r, start);
            c->line_start = false;
            if (q > 0) {
                c->raw++;
                continue;
            }
        }
        const size_t simple = o->to != NULL && !(r->bits & RECORD_VERBATIM) ? simple_octets(r, mboxo, p, (size_t)(stop - p)) : 0;
        const size_t taken = simple >= sizeof(vector) ? add_crs(c, p, simple, o) : 0;
        c->raw += taken > 0 ? taken : convert_line(c, r, p, stop, o);
    }
    if (o->room > 0 && c->raw == end) {           /* the record counts a line end that the file does not have yet */
        const uint64_t missing = r->size - c->header.len - (c->seen + room - o->room);
        if (missing <= 2)
            emit(o, missing == 2 ? "\r\n" : "\n", missing < o->room ? (size_t)missing : (size_t)o->room, false);
    }
    c->seen += room - o->room;
    return 0;
}

int content_read(struct content *c, int fd, const struct message_record *r, uint64_t start, bool mboxo, uint64_t offset,
                 char *to, size_t n, size_t *got, struct store_error *e)
{
    *got = 0;
    if (c->uid != r->uid || c->fingerprint != r->fingerprint) {
        if (load_header(c, fd, r, start, mboxo, e) != 0)
            return -1;
    }
    c->window_size = 0;                            /* the file may have been changed since */
    if (offset >= r->size)
        return 0;
    if (n > r->size - offset)
        n = (size_t)(r->size - offset);
    if (offset < c->header.len) {
        const size_t part = c->header.len - offset < n ? (size_t)(c->header.len - offset) : n;
        memcpy(to, c->header.data + offset, part);
        *got = part;
    }
    if (*got == n)
        return 0;
    const uint64_t want = offset + *got - c->header.len;
    if (want < c->seen)
        rewind_body(c);
    struct output skip = { NULL, want - c->seen };
    if (skip.room > 0 && convert(c, fd, r, start, mboxo, &skip, e) != 0)
        return -1;
    struct output out = { to + *got, n - *got };
    if (convert(c, fd, r, start, mboxo, &out, e) != 0)
        return -1;
    if (out.room > 0)
        return store_fail(e, STORE_CORRUPTION, 0, "a message is shorter than the index says");
    *got = n;
    return 0;
}
