/*
 * Messages for looking into (see content.h): stored octets come through a large window, which holds many small messages, and are
 * copied once. Quoting is undone, since what follows a soft line break would be found with it or not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/octets.h"
#include "base/xmalloc.h"
#include "store/content_private.h"
#include "store/mbox_meta.h"

void content_unlocked(struct content *c)
{
    if (c != NULL)
        c->ahead_size = 0;
}

const char *content_stored(struct content *c, int fd, uint64_t from, size_t n, size_t ahead, struct store_error *e)
{
    enum { NEAR = 4096 };
    if (c->ahead_size == 0 || from < c->ahead_at || from - c->ahead_at > c->ahead_size || c->ahead_size - (from - c->ahead_at) < n) {
        const bool on = from >= c->next && from - c->next < NEAR;
        const size_t want = on && n < ahead ? ahead : n;
        if (c->ahead_room < want) {
            free(c->ahead);
            c->ahead = xmalloc(want);
            c->ahead_room = want;
        }
        c->ahead_at = from;
        c->ahead_size = 0;
        if (content_pread(fd, c->ahead, want, from, &c->ahead_size, e) != 0)
            return NULL;
        if (c->ahead_size < n) {
            (void)store_fail(e, STORE_CORRUPTION, 0, "a message ends too early");
            return NULL;
        }
    }
    c->next = from + n;
    return c->ahead + (from - c->ahead_at);
}

static void show_nuls(char *p, size_t n)
{
    char *const end = p + n;
    while (p < end && (p = memchr(p, 0, (size_t)(end - p))) != NULL)
        *p++ = (char)0x80;
}

/* Each line of the form ^>+From loses its first octet. */
static void add_unquoted(struct buf *out, const char *p, size_t n)
{
    const char *const end = p + n, *from = p, *at = p;
    while ((at = octets_find(at, (size_t)(end - at), ">From ", 6)) != NULL) {
        const char *line = at;
        while (line > from && line[-1] == '>')
            line--;
        if (line == p || line[-1] == '\n') {
            buf_add(out, from, (size_t)(line - from));
            from = line + 1;
        }
        at += 6;
    }
    buf_add(out, from, (size_t)(end - from));
}

int content_text(struct content *c, int fd, const struct message_record *r, uint64_t start, bool mboxo, struct buf *out,
                 struct store_error *e)
{
    const size_t before = (size_t)r->from_size + r->header_raw, body = (size_t)content_body_raw(r);
    const char *raw = content_stored(c, fd, start, before + body, CONTENT_AHEAD, e);
    if (raw == NULL)
        return -1;
    buf_clear(out);
    header_convert(raw + r->from_size, r->header_raw, mboxo, r->bits & RECORD_VERBATIM, false, out, NULL);
    const size_t header = out->len;
    if (r->bits & RECORD_PLAIN || mboxo)
        buf_add(out, raw + before, body);
    else
        add_unquoted(out, raw + before, body);
    show_nuls(out->data, r->bits & RECORD_PLAIN ? header : out->len);
    return 0;
}
