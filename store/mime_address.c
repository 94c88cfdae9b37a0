/* Addresses (RFC 5322 section 3.4 with its obsolete forms), in one pass over the value. A phrase and the local part of an
 * address begin alike, so words are collected in both readings until '<', '@' or ':' tells which it was. Never fails: what
 * is no address becomes the one nearest to it, with MISSING_MAILBOX or MISSING_DOMAIN in the place of what lacks. */
#include <stdlib.h>
#include <string.h>
#include "store/mime_lex.h"

enum { ADDRESSES_MAX = 1000000, FIRST = 4 };

struct addresses {
    struct mime_lex x;
    struct arena *arena;
    struct mime_addresses *out;
    bool in_group;
    struct buf phrase, local, route, domain, comment;
};

static void add(struct addresses *s, struct mime_address address)
{
    if (s->out->n >= ADDRESSES_MAX) return;
    const size_t n = s->out->n;
    if (n == 0 || (n >= FIRST && (n & (n - 1)) == 0)) {       /* full: its room is always a power of two */
        struct mime_address *list = arena_alloc(s->arena, (n ? 2 * n : FIRST) * sizeof *list);
        if (n) memcpy(list, s->out->list, n * sizeof *list);
        s->out->list = list;
    }
    s->out->list[s->out->n++] = address;
}

/* A name: each run of white space is one space, none at the ends. */
static struct str keep_name(struct addresses *s, const struct buf *b)
{
    return mime_unfold_plain(buf_str(b), s->arena);
}

static struct str keep(struct addresses *s, const struct buf *b)
{
    return arena_str(s->arena, buf_str(b));
}

static bool is_atom(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f && !strchr("()<>@,;:\"", c);
}

static void atom(struct mime_lex *x, struct buf *out)
{
    const char *start = x->p;
    while (x->p < x->end && is_atom(*x->p)) x->p++;
    if (x->p == start && x->p < x->end) x->p++;          /* a control character: passed, so that there is progress */
    else buf_add(out, start, (size_t)(x->p - start));
}

/* Words up to one of "<@:,;>" or the end: as a phrase (single spaces) and as a local part (none). */
static void words(struct addresses *s, struct buf *phrase, struct buf *local)
{
    struct mime_lex *x = &s->x;

    for (bool first = true; ; first = false) {
        mime_lex_cfws(x);
        if (x->p == x->end || strchr("<@:,;>", *x->p)) return;
        const size_t before = local->len;
        if (phrase && !first) buf_addc(phrase, ' ');
        if (*x->p == '"') mime_lex_quoted(x, local);
        else if (*x->p == ')') x->p++;
        else atom(x, local);
        if (phrase) buf_add(phrase, local->data ? local->data + before : "", local->len - before);
    }
}

/* Behind '@': a domain or domain literal. */
static void domain(struct mime_lex *x, struct buf *out)
{
    for (;;) {
        mime_lex_cfws(x);
        if (x->p == x->end || strchr("<>@:,;\"", *x->p)) return;
        if (*x->p == '[') {
            for (; x->p < x->end && *x->p != ']'; x->p++)
                if (*x->p != '\r' && *x->p != '\n') buf_addc(out, *x->p);
            if (mime_lex_char(x, ']')) buf_addc(out, ']');
        } else if (*x->p == ')') x->p++;
        else atom(x, out);
    }
}

/* Behind '<', at '@': "@a,@b:" */
static void source_route(struct addresses *s)
{
    struct mime_lex *x = &s->x;

    while (x->p < x->end && (*x->p == '@' || *x->p == ',')) {
        if (*x->p == '@' && s->route.len) buf_addc(&s->route, ',');
        if (*x->p++ == '@') {
            buf_addc(&s->route, '@');
            domain(x, &s->route);
        }
        mime_lex_cfws(x);
    }
    mime_lex_char(x, ':');
}

static void add_mailbox(struct addresses *s, struct str name, struct str route)
{
    struct mime_address a = { .name = name, .route = route };
    a.mailbox = s->local.len ? keep(s, &s->local) : STR("MISSING_MAILBOX");
    a.host = s->domain.len ? keep(s, &s->domain) : STR("MISSING_DOMAIN");
    add(s, a);
}

/* At '<': route, local part, domain, '>'. */
static void angle(struct addresses *s)
{
    struct mime_lex *x = &s->x;

    x->p++;
    buf_clear(&s->local);
    mime_lex_cfws(x);
    if (x->p < x->end && *x->p == '@') source_route(s);
    words(s, NULL, &s->local);
    if (mime_lex_char(x, '@')) domain(x, &s->domain);
    while (x->p < x->end && *x->p != '>' && *x->p != ',' && *x->p != ';') {
        if (*x->p == '"') mime_lex_quoted(x, &s->comment);
        else x->p++;
    }
    mime_lex_char(x, '>');
    struct str name = { NULL, 0 };
    if (s->phrase.len) name = keep_name(s, &s->phrase);
    mime_lex_cfws(x);
    if (!name.p && x->has_comment && s->comment.len) name = keep_name(s, &s->comment);
    add_mailbox(s, name, s->route.len ? keep(s, &s->route) : (struct str){ NULL, 0 });
}

/* One mailbox or the start of a group; x is at its first word. */
static void address(struct addresses *s)
{
    struct mime_lex *x = &s->x;

    buf_clear(&s->phrase);
    buf_clear(&s->local);
    buf_clear(&s->route);
    buf_clear(&s->domain);
    words(s, &s->phrase, &s->local);
    if (x->p < x->end && *x->p == '<') {
        angle(s);
    } else if (x->p < x->end && *x->p == ':' && !s->in_group) {
        x->p++;
        s->in_group = true;
        add(s, (struct mime_address){ .mailbox = keep_name(s, &s->phrase) });
        return;
    } else {
        if (mime_lex_char(x, '@')) domain(x, &s->domain);
        struct str name = { NULL, 0 };
        mime_lex_cfws(x);
        if (x->has_comment && s->comment.len) name = keep_name(s, &s->comment);
        if (s->local.len || s->domain.len) add_mailbox(s, name, (struct str){ NULL, 0 });
    }
    while (x->p < x->end && *x->p != ',' && *x->p != ';') {         /* what does not belong there */
        if (*x->p == '"') buf_clear(&s->phrase), mime_lex_quoted(x, &s->phrase);
        else if (*x->p == '(') mime_lex_cfws(x);
        else x->p++;
    }
}

void mime_addresses_parse(struct str value, struct mime_addresses *out, struct arena *a)
{
    *out = (struct mime_addresses){ NULL, 0 };
    mime_addresses_add(value, out, a);
}

void mime_addresses_add(struct str value, struct mime_addresses *out, struct arena *a)
{
    struct addresses s = { .x = mime_lex_of(value), .arena = a, .out = out };

    s.x.comment = &s.comment;
    while (s.x.p < s.x.end) {
        s.x.has_comment = false;
        mime_lex_cfws(&s.x);
        if (s.x.p == s.x.end) break;
        if (*s.x.p == ',') {
            s.x.p++;
        } else if (*s.x.p == ';') {
            s.x.p++;
            if (s.in_group) add(&s, (struct mime_address){ .name = { NULL, 0 } });
            s.in_group = false;
        } else if (*s.x.p == '>') {
            s.x.p++;
        } else {
            address(&s);
        }
    }
    if (s.in_group) add(&s, (struct mime_address){ .name = { NULL, 0 } });
    buf_free(&s.phrase);
    buf_free(&s.local);
    buf_free(&s.route);
    buf_free(&s.domain);
    buf_free(&s.comment);
}
