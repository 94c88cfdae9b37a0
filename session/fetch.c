/*
 * FETCH: goes through the messages of the set, one response each.
 */
#include "session/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/date.h"

struct fetching {
    struct session *s;
    const struct fetch_items *items;
    bool uid;                        /* UID FETCH: UID in every response */
    struct arena *arena;             /* of one message */
    size_t gone, undecodable;
    bool broken;
};

static struct mime_part *parse_message(struct fetching *f, const struct message *msg, struct store_error *e)
{
    struct session *s = f->s;
    struct mime_parser *parser = mime_parser_new(f->arena);
    enum { PIECE = 1 << 16 };
    char *piece = arena_alloc(f->arena, PIECE);
    size_t got;
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < msg->size; at += got) {
        rc = mailbox_read(s->mailbox, msg, at, piece, PIECE, &got, e);
        if (rc == 0 && got == 0)
            break;
        if (rc == 0)
            mime_parser_feed(parser, piece, got);
    }
    struct mime_part *root = mime_parser_finish(parser);
    return rc == 0 ? root : NULL;
}

static struct mime_part *structure(struct fetching *f, const struct message *msg, struct store_error *e)
{
    struct str blob;
    mailbox_cache_get(f->s->mailbox, msg, &blob);
    struct mime_part *root = NULL;
    if (blob.n > 0)
        root = mime_unpack(arena_str(f->arena, blob), f->arena);
    if (root != NULL)
        return root;
    root = parse_message(f, msg, e);
    if (root != NULL) {
        struct buf packed = { 0 };
        mime_pack(&packed, root);
        mailbox_cache_put(f->s->mailbox, msg, buf_str(&packed));
        buf_free(&packed);
    }
    return root;
}

static const struct mime_part *structure_for(void *ctx, const struct message *msg, struct store_error *e)
{
    return structure(ctx, msg, e);
}

static void write_date(struct io *io, const struct message *msg)
{
    int y, m, d;
    const int64_t local = msg->date + msg->zone * 60;
    int64_t days = local / 86400, rest = local % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    date_civil(days, &y, &m, &d);
    const int zone = msg->zone < 0 ? -msg->zone : msg->zone;
    io_printf(io, "INTERNALDATE \"%2d-%s-%04d %02d:%02d:%02d %c%02d%02d\"", d, date_month_name(m), y, (int)(rest / 3600),
              (int)(rest / 60 % 60), (int)(rest % 60), msg->zone < 0 ? '-' : '+', zone / 60, zone % 60);
}

static void write_item(struct fetching *f, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                       struct store_error *e)
{
    struct session *s = f->s;
    struct io *io = &s->io;
    switch (item->type) {
    case FETCH_FLAGS:
        io_puts(io, "FLAGS ");
        write_flags(s, msg->flags, msg->keywords, msg->recent);
        break;
    case FETCH_UID:
        io_puts(io, "UID ");
        io_number(io, msg->uid);
        break;
    case FETCH_DATE:
        write_date(io, msg);
        break;
    case FETCH_SIZE:
        io_puts(io, "RFC822.SIZE ");
        io_number(io, msg->size);
        break;
    case FETCH_ENVELOPE:
        io_puts(io, "ENVELOPE ");
        write_envelope(io, root->envelope);
        break;
    case FETCH_BODY:
    case FETCH_BODYSTRUCTURE:
        io_puts(io, item->type == FETCH_BODY ? "BODY " : "BODYSTRUCTURE ");
        write_body(io, root, item->type == FETCH_BODYSTRUCTURE);
        break;
    case FETCH_PREVIEW:
        f->broken = !write_preview(s, msg, item, structure_for, f, e);
        break;
    case FETCH_EMAILID:
    case FETCH_THREADID:
        f->broken = !write_object_id(s, msg, item->type == FETCH_THREADID, e);
        break;
    case FETCH_BINARY:
    case FETCH_BINARY_SIZE:
        f->broken = !write_binary(s, msg, root, item, e);
        break;
    default:
        f->broken = !write_section(s, msg, root, item, e);
        break;
    }
}

static bool has_item(const struct fetch_items *items, enum fetch_type type)
{
    for (size_t i = 0; i < items->n; i++)
        if (items->list[i].type == type)
            return true;
    return false;
}

/* One message. -1 with e if the store failed before anything was written of it. */
static int fetch_one(struct fetching *f, uint32_t seq, bool show_flags, struct store_error *e)
{
    struct session *s = f->s;
    struct message msg;
    struct mime_part *root = NULL;
    static const struct fetch_item uid_item = { .type = FETCH_UID }, flags_item = { .type = FETCH_FLAGS };
    if (mailbox_message(s->mailbox, seq, &msg, e) != 0)
        return -1;
    arena_reset(f->arena);
    if (f->items->needs_mime) {
        root = structure(f, &msg, e);
        if (root == NULL)
            return -1;
    }
    if (!binary_decodable(f->items, root)) {     /* the command fails; other messages are told all the same */
        f->undecodable++;
        if (show_flags)
            write_flags_response(s, seq, f->uid);
        return 0;
    }
    if (f->items->needs_content && mailbox_read_begin(s->mailbox, e) != 0)
        return -1;
    const size_t start = s->io.output.len;
    const uint64_t flushes = s->io.flushes;
    io_puts(&s->io, "* ");
    io_number(&s->io, seq);
    io_puts(&s->io, " FETCH (");
    const char *between = "";
    if (f->uid && !has_item(f->items, FETCH_UID)) {
        write_item(f, &msg, root, &uid_item, e);
        between = " ";
    }
    if (show_flags && !f->items->needs_flags) {
        io_puts(&s->io, between);
        write_item(f, &msg, root, &flags_item, e);
        between = " ";
    }
    for (size_t i = 0; i < f->items->n && !f->broken; i++) {
        io_puts(&s->io, between);
        write_item(f, &msg, root, &f->items->list[i], e);
        between = " ";
    }
    if (f->broken && s->io.flushes == flushes) {     /* nothing of it was sent: taken back */
        s->io.output.len = start;
        f->broken = false;
        return -1;
    }
    io_puts(&s->io, ")\r\n");
    io_relieve(&s->io);
    return 0;
}

/* BODY[] without PEEK sets \Seen: for all messages of the set in one step, before they are sent with their flags. Marks in
 * `changed` those that were not seen yet. */
static int set_seen(struct fetching *f, const uint32_t *seqs, size_t n, bool *changed, struct store_error *e)
{
    struct mailbox *m = f->s->mailbox;
    const struct flag_change seen = { .mode = 1, .flags = FLAG_SEEN };
    struct message msg;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        changed[i] = mailbox_message(m, seqs[i], &msg, NULL) == 0 && !(msg.flags & FLAG_SEEN);
        any |= changed[i];
    }
    if (any)
        session_flags_changed(f->s);
    return any ? mailbox_store(m, seqs, n, &seen, NULL, NULL, NULL, e) : 0;
}

static enum outcome fetch_all(struct fetching *f, const uint32_t *seqs, size_t n)
{
    struct session *s = f->s;
    struct store_error e = { .code = STORE_OK };
    bool *changed = calloc(n + 1, sizeof *changed);
    enum outcome outcome = OUTCOME_OK;
    if (changed == NULL)
        abort();
    if (f->items->sets_seen && !mailbox_readonly(s->mailbox) && set_seen(f, seqs, n, changed, &e) != 0)
        outcome = store_no(s, &e);
    for (size_t i = 0; i < n && outcome == OUTCOME_OK && !f->broken && !s->io.failed; i++) {
        e.code = STORE_OK;
        if (fetch_one(f, seqs[i], changed[i], &e) == 0) {
            if (f->broken && !s->io.failed)
                log_error("%s: %s: message %u broke off: %s", s->user, mailbox_name_of(s->mailbox), seqs[i], e.text);
            continue;
        }
        if (e.code == STORE_EXPUNGED)
            f->gone++;
        else
            outcome = store_no(s, &e);
    }
    free(changed);
    mailbox_cache_flush(s->mailbox);
    return outcome;
}

enum outcome run_fetch(struct session *s, struct parse *p, bool uid)
{
    struct fetch_items items;
    struct set set;
    uint32_t *seqs;
    size_t n;
    if (!parse_sp(p) || !parse_set(p, &set) || !parse_sp(p) || !fetch_parse(s, p, &items) || !parse_end(p))
        return bad_arguments(s, "FETCH set items");
    if (!set_to_seqs(s, &set, uid, &seqs, &n))
        return say(s, OUTCOME_BAD, NULL, "No such message");
    struct fetching f = { .s = s, .items = &items, .uid = uid, .arena = arena_new() };
    const enum outcome outcome = fetch_all(&f, seqs, n);
    free(seqs);
    arena_free(f.arena);
    if (f.broken) {                              /* logged; the literal's length was told: nothing more can be said */
        s->state = STATE_LOGOUT;
        return OUTCOME_SILENT;
    }
    if (outcome == OUTCOME_OK && f.undecodable > 0)
        return say(s, OUTCOME_NO, "UNKNOWN-CTE", "The transfer encoding of %zu of the messages is not known", f.undecodable);
    if (outcome == OUTCOME_OK && f.gone > 0)
        return say(s, OUTCOME_NO, "EXPUNGEISSUED", "Some of the messages are gone");
    return outcome;
}

enum outcome cmd_fetch(struct session *s, struct parse *p)
{
    return run_fetch(s, p, false);
}
