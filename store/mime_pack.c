/* The structure of a message in a compact form for the index: a version octet, then parts in order of their headers.
 * Numbers are 7 bits an octet, low ones first; a string is its length + 1 and its octets, 0 for NIL. What is read back has
 * lain in the user's hands: every length and count is held against what is left, and the depth is bounded. */
#include <string.h>
#include "store/mime.h"

enum { VERSION = 1 };

static void put_number(struct buf *out, uint64_t v)
{
    for (; v > 0x7f; v >>= 7) buf_addc(out, (int)(v & 0x7f) | 0x80);
    buf_addc(out, (int)v);
}

static void put_str(struct buf *out, struct str s)
{
    put_number(out, s.p ? s.n + 1 : 0);
    if (s.p) buf_add(out, s.p, s.n);
}

static void put_addresses(struct buf *out, const struct mime_addresses *list)
{
    put_number(out, list->n);
    for (size_t i = 0; i < list->n; i++) {
        put_str(out, list->list[i].name);
        put_str(out, list->list[i].route);
        put_str(out, list->list[i].mailbox);
        put_str(out, list->list[i].host);
    }
}

static bool same_list(const struct mime_addresses *a, const struct mime_addresses *b)
{
    return a->list == b->list && a->n == b->n;
}

static void put_envelope(struct buf *out, const struct mime_envelope *e)
{
    const bool sender = same_list(&e->sender, &e->from), reply_to = same_list(&e->reply_to, &e->from);

    put_str(out, e->date);
    put_str(out, e->subject);
    put_addresses(out, &e->from);
    buf_addc(out, (sender ? 0 : 1) | (reply_to ? 0 : 2));
    if (!sender) put_addresses(out, &e->sender);
    if (!reply_to) put_addresses(out, &e->reply_to);
    put_addresses(out, &e->to);
    put_addresses(out, &e->cc);
    put_addresses(out, &e->bcc);
    put_str(out, e->in_reply_to);
    put_str(out, e->message_id);
}

static void put_params(struct buf *out, const struct mime_param *params, size_t n)
{
    put_number(out, n);
    for (size_t i = 0; i < n; i++) {
        put_str(out, params[i].name);
        put_str(out, params[i].value);
    }
}

static void put_part(struct buf *out, const struct mime_part *p)
{
    put_str(out, p->type);
    put_str(out, p->subtype);
    put_params(out, p->params, p->param_count);
    put_str(out, p->id);
    put_str(out, p->description);
    put_str(out, p->encoding);
    put_str(out, p->md5);
    put_str(out, p->disposition);
    put_params(out, p->disp_params, p->disp_param_count);
    put_number(out, p->language_count);
    for (size_t i = 0; i < p->language_count; i++) put_str(out, p->languages[i]);
    put_str(out, p->location);
    put_number(out, p->header_offset);
    put_number(out, p->header_size);
    put_number(out, p->body_offset);
    put_number(out, p->body_size);
    put_number(out, p->lines);
    put_number(out, p->envelope ? 1 : 0);
    if (p->envelope) put_envelope(out, p->envelope);
    put_number(out, p->part_count);
    for (size_t i = 0; i < p->part_count; i++) put_part(out, &p->parts[i]);
}

void mime_pack(struct buf *out, const struct mime_part *root)
{
    buf_addc(out, VERSION);
    put_part(out, root);
}

/* ---- back ------------------------------------------------------------------------------------------------------------- */

struct unpacker {
    const char *p, *end;
    struct arena *arena;
    size_t parts;
    bool bad;
};

static uint64_t get_number(struct unpacker *u)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (u->p == u->end) break;
        const unsigned char c = (unsigned char)*u->p++;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) return v;
    }
    u->bad = true;
    return 0;
}

/* A count of things that take at least `least` octets each. */
static size_t get_count(struct unpacker *u, size_t least)
{
    const uint64_t n = get_number(u);
    if (n <= (size_t)(u->end - u->p) / least) return (size_t)n;
    u->bad = true;
    return 0;
}

static struct str get_str(struct unpacker *u)
{
    const uint64_t n = get_number(u);
    struct str s = { NULL, 0 };

    if (n == 0) return s;
    if (n - 1 > (size_t)(u->end - u->p)) {
        u->bad = true;
        return s;
    }
    s = (struct str){ u->p, (size_t)(n - 1) };
    u->p += n - 1;
    return s;
}

static void get_addresses(struct unpacker *u, struct mime_addresses *out)
{
    out->n = get_count(u, 4);
    out->list = out->n ? arena_alloc(u->arena, out->n * sizeof *out->list) : NULL;
    for (size_t i = 0; i < out->n && !u->bad; i++) {
        out->list[i].name = get_str(u);
        out->list[i].route = get_str(u);
        out->list[i].mailbox = get_str(u);
        out->list[i].host = get_str(u);
    }
}

static struct mime_envelope *get_envelope(struct unpacker *u)
{
    struct mime_envelope *e = arena_alloc(u->arena, sizeof *e);

    e->date = get_str(u);
    e->subject = get_str(u);
    get_addresses(u, &e->from);
    const uint64_t own = get_number(u);
    e->sender = e->reply_to = e->from;
    if (own & 1) get_addresses(u, &e->sender);
    if (own & 2) get_addresses(u, &e->reply_to);
    get_addresses(u, &e->to);
    get_addresses(u, &e->cc);
    get_addresses(u, &e->bcc);
    e->in_reply_to = get_str(u);
    e->message_id = get_str(u);
    return e;
}

static struct mime_param *get_params(struct unpacker *u, size_t *count)
{
    const size_t n = *count = get_count(u, 2);
    struct mime_param *params = n ? arena_alloc(u->arena, n * sizeof *params) : NULL;

    for (size_t i = 0; i < n; i++) {
        params[i].name = get_str(u);
        params[i].value = get_str(u);
        if (!params[i].name.p || !params[i].value.p) u->bad = true;
    }
    return params;
}

static void get_part(struct unpacker *u, struct mime_part *p, unsigned depth)
{
    enum { LEAST = 15 };

    if (depth == MIME_DEPTH || ++u->parts > MIME_PARTS) u->bad = true;
    if (u->bad) return;
    p->type = get_str(u);
    p->subtype = get_str(u);
    p->params = get_params(u, &p->param_count);
    p->id = get_str(u);
    p->description = get_str(u);
    p->encoding = get_str(u);
    p->md5 = get_str(u);
    p->disposition = get_str(u);
    p->disp_params = get_params(u, &p->disp_param_count);
    p->language_count = get_count(u, 1);
    if (p->language_count) p->languages = arena_alloc(u->arena, p->language_count * sizeof *p->languages);
    for (size_t i = 0; i < p->language_count; i++) p->languages[i] = get_str(u);
    p->location = get_str(u);
    p->header_offset = get_number(u);
    p->header_size = get_number(u);
    p->body_offset = get_number(u);
    p->body_size = get_number(u);
    p->lines = (uint32_t)get_number(u);
    if (get_number(u)) p->envelope = get_envelope(u);
    if (!p->type.p || !p->subtype.p || !p->encoding.p) u->bad = true;
    p->part_count = get_count(u, LEAST);
    if (p->part_count) p->parts = arena_alloc(u->arena, p->part_count * sizeof *p->parts);
    for (size_t i = 0; i < p->part_count && !u->bad; i++) get_part(u, &p->parts[i], depth + 1);
}

/* The session relies on these: a message has one child with an envelope, ranges lie within 63 bits. message/global without one was
 * packed when it was no message here: it is made anew. */
static bool sane(const struct mime_part *p)
{
    const bool message = mime_is_message(p);

    if (message && p->part_count == 0 && !str_ieq(p->subtype, STR("rfc822"))) return false;
    if ((p->header_offset | p->header_size | p->body_offset | p->body_size) >> 62) return false;
    if (message && (p->part_count > 1 || (p->part_count == 1 && !p->parts[0].envelope))) return false;
    for (size_t i = 0; i < p->part_count; i++)
        if (!sane(&p->parts[i])) return false;
    return true;
}

struct mime_part *mime_unpack(struct str blob, struct arena *a)
{
    struct unpacker u = { .p = blob.p + 1, .end = blob.p + blob.n, .arena = a };

    if (blob.n == 0 || blob.p[0] != VERSION) return NULL;
    struct mime_part *root = arena_alloc(a, sizeof *root);
    get_part(&u, root, 0);
    return u.bad || u.p != u.end || !root->envelope || !sane(root) ? NULL : root;
}
