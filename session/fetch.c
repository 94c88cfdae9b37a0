/*
 * FETCH: goes through the messages of the set, one response each.
 */
#include "session/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/xmalloc.h"
#include "store/date.h"
#include "store/fields.h"
#include "store/structure.h"

struct fetching {
    struct session *s;
    const struct fetch_items *items;
    bool uid;                        /* UID FETCH: UID in every response */
    bool modseq;                     /* CHANGEDSINCE: MODSEQ too */
    struct arena *arena;             /* of one message */
    size_t gone, undecodable;
    bool broken;
};

static const struct mime_part *structure_for(void *ctx, const struct message *msg, struct store_error *e)
{
    const struct fetching *f = ctx;
    return message_structure(f->s->mailbox, msg, f->arena, e);
}

static char *two_digits(char *to, int n)
{
    to[0] = (char)('0' + n / 10);
    to[1] = (char)('0' + n % 10);
    return to + 2;
}

/* date-time (RFC 9051 section 9). */
static void write_date(struct io *io, const char *label, int64_t date, int date_zone)
{
    int y, m, d;
    const int64_t local = date + date_zone * 60;
    int64_t days = local / 86400, rest = local % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    date_civil(days, &y, &m, &d);
    const int zone = date_zone < 0 ? -date_zone : date_zone;
    char text[] = " \"DD-MMM-YYYY HH:MM:SS +ZZZZ\"";
    two_digits(text + 2, d);
    if (d < 10)
        text[2] = ' ';
    memcpy(text + 5, date_month_name(m), 3);
    two_digits(two_digits(text + 9, y / 100 % 100), y % 100);
    two_digits(text + 14, (int)(rest / 3600));
    two_digits(text + 17, (int)(rest / 60 % 60));
    two_digits(text + 20, (int)(rest % 60));
    text[23] = date_zone < 0 ? '-' : '+';
    two_digits(two_digits(text + 24, zone / 60 % 100), zone % 60);
    io_puts(io, label);
    io_add(io, text, sizeof text - 1);
}

static void write_item(struct fetching *f, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                       struct str fields, struct store_error *e)
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
    case FETCH_MODSEQ:
        io_printf(io, "MODSEQ (%llu)", (unsigned long long)msg->modseq);
        break;
    case FETCH_DATE:
        write_date(io, "INTERNALDATE", msg->date, msg->zone);
        break;
    case FETCH_SAVEDATE:
        if (msg->save_date == 0)
            io_puts(io, "SAVEDATE NIL");
        else
            write_date(io, "SAVEDATE", msg->save_date, date_local_zone(msg->save_date));
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
        write_body(io, root, item->type == FETCH_BODYSTRUCTURE, rev2(s));
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
        f->broken = !write_section(s, msg, root, item, fields, e);
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

/* The fields that are kept, if they are wanted: a copy, since other items may use the mailbox. */
static bool fields_for(struct fetching *f, const struct message *msg, struct str *out, struct store_error *e)
{
    *out = (struct str){ NULL, 0 };
    const int rc = f->items->needs_fields ? message_fields(f->s->mailbox, msg, f->arena, out, e) : 0;
    if (rc > 0)
        *out = f->items->n > 1 ? arena_str(f->arena, *out) : *out;
    return rc >= 0;
}

/* One message. -1 with e if the store failed before anything was written of it. */
static int fetch_one(struct fetching *f, uint32_t seq, bool show_flags, struct store_error *e)
{
    struct session *s = f->s;
    struct message msg;
    struct mime_part *root = NULL;
    struct str fields;
    static const struct fetch_item uid_item = { .type = FETCH_UID }, flags_item = { .type = FETCH_FLAGS },
        modseq_item = { .type = FETCH_MODSEQ };
    if (mailbox_message(s->mailbox, seq, &msg, e) != 0)
        return -1;
    arena_reset(f->arena);
    if (f->items->needs_mime) {
        root = message_structure(s->mailbox, &msg, f->arena, e);
        if (root == NULL)
            return -1;
    }
    if (root != NULL && !binary_decodable(f->items, root)) {     /* the command fails; other messages are told all the same */
        f->undecodable++;
        if (show_flags)
            write_flags_response(s, seq, f->uid, true);
        return 0;
    }
    if (!fields_for(f, &msg, &fields, e) || (f->items->needs_content && mailbox_read_begin(s->mailbox, e) != 0))
        return -1;
    const size_t start = s->io.output.len;
    const uint64_t flushes = s->io.flushes;
    s->responding = true;
    write_fetch_head(s, seq, msg.uid);
    const char *between = "";
    if ((f->uid || (show_flags && condstore(s))) && !uidonly(s) && !has_item(f->items, FETCH_UID)) {
        write_item(f, &msg, root, &uid_item, fields, e);
        between = " ";
    }
    if ((f->modseq || (show_flags && condstore(s))) && !has_item(f->items, FETCH_MODSEQ)) {
        io_puts(&s->io, between);
        write_item(f, &msg, root, &modseq_item, fields, e);
        between = " ";
    }
    if (show_flags && !f->items->needs_flags) {
        io_puts(&s->io, between);
        write_item(f, &msg, root, &flags_item, fields, e);
        between = " ";
    }
    for (size_t i = 0; i < f->items->n && !f->broken; i++) {
        io_puts(&s->io, between);
        write_item(f, &msg, root, &f->items->list[i], fields, e);
        between = " ";
    }
    s->responding = false;
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
        s->fetched++;
        int rc = fetch_one(f, seqs[i], changed[i], &e);
        if (rc != 0 && e.code == STORE_EXPUNGED)         /* or changed since the record was read: now there is the lock */
            rc = fetch_one(f, seqs[i], changed[i], &e);
        if (rc == 0) {
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

/* PARTIAL (RFC 9394): of the messages in the set that are there, those at these places, counted from 1 or from the end. */
static void cut_to_range(uint32_t *seqs, size_t *n, const struct partial *range)
{
    const size_t have = *n;
    const bool from_end = range->first < 0;
    const uint64_t first = (uint64_t)(from_end ? -range->first : range->first);
    uint64_t last = (uint64_t)(from_end ? -range->last : range->last);
    if (last > have)
        last = have;
    *n = first > last ? 0 : (size_t)(last - first + 1);
    if (*n > 0)
        memmove(seqs, seqs + (from_end ? have - last : first - 1), *n * sizeof *seqs);
}

/* The messages of the set that the modifiers leave. */
static int chosen(struct session *s, const struct set *set, bool uid, const struct fetch_modifiers *m, uint32_t **seqs, size_t *n,
                  struct store_error *e)
{
    if (m->vanished && write_vanished_earlier(s, set, m->since, e) != 0)
        return -1;
    if (!set_to_seqs(s, set, uid, seqs, n))
        return store_fail(e, STORE_NONEXISTENT, 0, "No such message");
    if (m->some)
        cut_to_range(*seqs, n, &m->range);
    if (m->changed && mailbox_changed(s->mailbox, m->since, *seqs, n, e) != 0) {
        free(*seqs);
        return -1;
    }
    if (!m->some)
        limit_messages(s, *seqs, n);
    return 0;
}

enum outcome run_fetch(struct session *s, struct parse *p, bool uid)
{
    struct fetch_items items;
    struct fetch_modifiers modifiers;
    struct set set;
    struct store_error e = { .code = STORE_OK };
    uint32_t *seqs;
    size_t n;
    if (!parse_sp(p) || !parse_set(p, &set) || !parse_sp(p) || !fetch_parse(s, p, &items)
        || !fetch_parse_modifiers(p, uid, &modifiers) || !parse_end(p))
        return bad_arguments(s, "FETCH set items [(modifiers)]");
    if (!numbers_allowed(s, uid))
        return OUTCOME_BAD;
    if (modifiers.vanished && !qresync(s))
        return say(s, OUTCOME_BAD, NULL, "ENABLE QRESYNC first");
    const uint32_t limit = s->config->message_limit;
    if (modifiers.some && limit != 0 && llabs(modifiers.range.last) - llabs(modifiers.range.first) >= limit) {
        char code[40];
        snprintf(code, sizeof code, "MESSAGELIMIT %u", limit);
        return say(s, OUTCOME_NO, code, "Too many messages at once");
    }
    if (modifiers.changed || has_item(&items, FETCH_MODSEQ))
        session_use_condstore(s);
    if (chosen(s, &set, uid, &modifiers, &seqs, &n, &e) != 0)
        return e.code == STORE_NONEXISTENT ? say(s, OUTCOME_BAD, NULL, "No such message") : store_no(s, &e);
    struct fetching f = { .s = s, .items = &items, .uid = uid, .modseq = modifiers.changed, .arena = arena_new() };
    const enum outcome outcome = fetch_all(&f, seqs, n);
    free(seqs);
    arena_free(f.arena);
    if (f.broken) {                              /* logged; the literal's length was told: nothing more can be said */
        s->state = STATE_LOGOUT;
        return OUTCOME_SILENT;
    }
    if (outcome == OUTCOME_OK && f.undecodable > 0)
        return say(s, OUTCOME_NO, "UNKNOWN-CTE", "The transfer encoding of %zu of the messages is not known", f.undecodable);
    if (outcome == OUTCOME_OK && f.gone > 0)     /* a UID that is not there is no error (RFC 9051 section 6.4.9) */
        return say(s, uid ? OUTCOME_OK : OUTCOME_NO, "EXPUNGEISSUED", "Some of the messages are gone");
    return outcome;
}

struct fetch_items *fetch_items_new(struct session *s)
{
    return arena_alloc(s->arena, sizeof(struct fetch_items));
}

void fetch_unasked(struct session *s, struct str text, const uint32_t *seqs, size_t n)
{
    struct parse p = { .at = text.p, .end = text.p + text.n, .arena = s->arena };
    struct fetch_items items;
    if (n == 0 || !fetch_parse(s, &p, &items))
        return;
    /* Nobody asked for this very response: it has UID and MODSEQ as all the others (RFC 7162 sections 3.1 and 3.2.4). */
    struct fetching f = { .s = s, .items = &items, .arena = arena_new(), .uid = condstore(s), .modseq = condstore(s) };
    fetch_all(&f, seqs, n);
    arena_free(f.arena);
    if (f.broken)
        s->state = STATE_LOGOUT;
}

enum outcome cmd_fetch(struct session *s, struct parse *p)
{
    return run_fetch(s, p, false);
}
