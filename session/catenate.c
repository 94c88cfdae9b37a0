/*
 * URLs of CATENATE (RFC 4469): octets of this user's own messages, read from their mailbox into the message that is being made. A
 * mailbox is locked only while its octets are copied, never while the client is waited for.
 */
#include <stdio.h>
#include <string.h>

#include "session/append.h"
#include "session/fetch.h"
#include "session/url.h"

/* NO [BADURL url]: url-resp-text has no "]", no line end; what cannot stand there is percent-encoded, as URLs may. */
static enum step bad_url(struct upload *u, struct str url, const char *why)
{
    struct buf code = { 0 };
    buf_puts(&code, "BADURL ");
    for (size_t i = 0; i < url.n; i++) {
        const unsigned char c = (unsigned char)url.p[i];
        buf_printf(&code, c > ' ' && c < 0x7f && c != ']' ? "%c" : "%%%02X", c);
    }
    upload_refuse(u, say(u->s, OUTCOME_NO, NULL, "%s", why));
    u->s->long_code = arena_strndup(u->s->arena, code.data, code.len);
    buf_free(&code);
    return STEP_REFUSED;
}

/* What the URL names is not to be had: now, or at all. */
static enum step not_had(struct upload *u, struct str url)
{
    return u->e.code == STORE_INUSE || u->e.code == STORE_IO ? upload_store_no(u, false) : bad_url(u, url, u->e.text);
}

/* The mailbox of the URL as u->source; one that the URL before named, too, is open already. */
static bool open_source(struct upload *u, const struct imap_url *url)
{
    struct session *s = u->s;
    struct mailbox_name name;
    if (url->mailbox.p == NULL && s->mailbox == NULL)
        return store_fail(&u->e, STORE_CANNOT, 0, "The URL names no mailbox, and none is selected") == 0;
    const struct str text = url->mailbox.p != NULL ? url->mailbox : str_z(mailbox_name_of(s->mailbox));
    if (names_parse(store_names(s->store), text, &name, NULL, &u->e) != 0)
        return false;
    if (u->source != NULL && strcmp(u->source_name.text, name.text) == 0)
        return true;
    if (u->source != NULL)
        mailbox_close(u->source);
    u->source = NULL;
    u->source_name = name;
    return mailbox_open(s->store, &name, true, &u->source, &u->e) == 0;
}

static bool find_message(struct upload *u, const struct imap_url *url, struct message *msg)
{
    struct mailbox_status status;
    uint32_t seq = mailbox_seq(u->source, url->uid);
    if (seq == 0) {                      /* it may have come since */
        const struct mailbox_listener none = { .ctx = NULL };
        if (mailbox_sync(u->source, true, &none, &u->e) != 0)
            return false;
        seq = mailbox_seq(u->source, url->uid);
    }
    mailbox_info(u->source, &status);
    if (url->uidvalidity != 0 && url->uidvalidity != status.uidvalidity)
        return store_fail(&u->e, STORE_CANNOT, 0, "The mailbox has another UIDVALIDITY") == 0;
    if (seq == 0)
        return store_fail(&u->e, STORE_EXPUNGED, 0, "There is no message with this UID") == 0;
    return mailbox_message(u->source, seq, msg, &u->e) == 0;
}

static struct mime_part *structure(struct upload *u, const struct message *msg)
{
    struct str blob;
    mailbox_cache_get(u->source, msg, &blob);
    struct mime_part *root = blob.n > 0 ? mime_unpack(arena_str(u->p.arena, blob), u->p.arena) : NULL;
    if (root != NULL)
        return root;
    char piece[65536];
    size_t got = 0;
    int rc = 0;
    struct mime_parser *parser = mime_parser_new(u->p.arena);
    for (uint64_t from = 0; rc == 0 && from < msg->size; from += got) {
        rc = mailbox_read(u->source, msg, from, piece, sizeof piece, &got, &u->e);
        if (rc != 0 || got == 0)
            break;
        mime_parser_feed(parser, piece, got);
    }
    root = mime_parser_finish(parser);
    return rc == 0 ? root : NULL;
}

struct giving {
    struct upload *u;
    enum step step;
};

static bool give(void *ctx, const char *octets, size_t n)
{
    struct giving *g = ctx;
    g->step = upload_room(g->u, n);
    if (g->step == STEP_GOOD && append_data(g->u->to, octets, n, &g->u->e) != 0)
        g->step = upload_store_no(g->u, true);
    return g->step == STEP_GOOD;
}

static enum step take(struct upload *u, struct str text, const struct imap_url *url)
{
    struct fetch_item item = { .type = FETCH_SECTION, .partial = url->partial, .from = url->from, .length = url->length };
    struct giving g = { u, STEP_GOOD };
    struct message msg;
    const struct mime_part *root = NULL;
    if (url->section.p != NULL) {
        struct parse p = { .at = url->section.p, .end = url->section.p + url->section.n, .arena = u->p.arena };
        if (!section_parse(&p, &item))
            return bad_url(u, text, "The section is not one of RFC 3501");
    }
    if (!find_message(u, url, &msg) || (item.depth > 0 && (root = structure(u, &msg)) == NULL))
        return not_had(u, text);
    const int rc = section_octets(u->source, &msg, root, &item, give, &g, &u->e);
    if (g.step != STEP_GOOD)
        return g.step;
    if (rc < 0)
        return not_had(u, text);
    return rc > 0 ? STEP_GOOD : bad_url(u, text, "The message has no such part");
}

enum step catenate_url(struct upload *u, struct str text)
{
    struct imap_url url;
    if (!url_parse(text, u->p.arena, &url))
        return bad_url(u, text, "Not an IMAP URL of a message");
    if (url.server.p != NULL || url.rest.p != NULL)
        return bad_url(u, text, "Only messages of this session's own mailboxes");
    if (!open_source(u, &url))
        return not_had(u, text);
    const enum step step = take(u, text, &url);
    mailbox_read_end(u->source);
    return step;
}
