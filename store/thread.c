/*
 * THREAD: messages come in one by one, and are linked as step 1 of RFC 5256's REFERENCES says. What to make of the links is
 * in thread_order.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "store/fields.h"
#include "store/mime_lex.h"
#include "store/structure.h"
#include "store/subject.h"
#include "store/thread_private.h"

/* ---- message ids ------------------------------------------------------------------------------------------------------------ */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* At an opening '"' or '(': its end c, or NULL where there is none within reason; so nothing is looked at often. */
static const char *closing(const struct mime_lex *x, char c)
{
    enum { REASON = 256 };
    const size_t left = (size_t)(x->end - x->p) - 1;
    return memchr(x->p + 1, c, left < REASON ? left : REASON);
}

/* Behind "<": id-left "@" id-right ">" with their obsolete forms, read leniently: anything that has an "@" in its midst. */
static bool read_id(struct mime_lex *x, struct buf *out)
{
    const size_t start = out->len;
    const char *close;
    bool at = false;

    while (x->p < x->end && *x->p != '>' && *x->p != '<') {
        const char c = *x->p;
        if (is_space(c)) {
            x->p++;
        } else if (c == '(' && (close = closing(x, ')')) != NULL) {
            x->p = close + 1;
        } else if (c == '"' && closing(x, '"') != NULL) {
            mime_lex_quoted(x, out);
        } else {
            at |= c == '@' && out->len > start;
            buf_addc(out, c);
            x->p++;
        }
    }
    return mime_lex_char(x, '>') && at && out->data[out->len - 1] != '@';
}

bool thread_next_id(struct str *at, struct buf *out)
{
    const char *const end = at->p + at->n;

    while (at->n > 0) {
        const char *open = memchr(at->p, '<', at->n);
        if (open == NULL) break;
        struct mime_lex x = mime_lex_of((struct str){ open + 1, (size_t)(end - open - 1) });
        const size_t start = out->len;
        const bool good = read_id(&x, out);
        /* A broken one may hold an opening that begins a good one; what was read is not read again but for that. */
        *at = (struct str){ x.p, (size_t)(end - x.p) };
        if (good && out->len - start <= THREAD_TEXT) return true;
        out->len = start;
    }
    at->n = 0;
    return false;
}

/* ---- linking ---------------------------------------------------------------------------------------------------------------- */

static uint32_t item_of(struct threading *t, struct str id)
{
    bool is_new;
    const uint32_t i = intern_add(&t->ids, id, &is_new);

    if (!is_new) return i;
    if (i >= t->item_room) {
        t->item_room = t->item_room == 0 ? 512 : t->item_room * 2;
        t->items = xreallocarray(t->items, t->item_room, sizeof *t->items);
        t->forest.nodes = xreallocarray(t->forest.nodes, t->item_room, sizeof *t->forest.nodes);
    }
    t->items[i] = (struct thread_item){ .parent = NO_ITEM };
    t->item_count = (size_t)i + 1;
    forest_init(&t->forest, i);
    return i;
}

/* child has no parent. */
static void link_items(struct threading *t, uint32_t parent, uint32_t child)
{
    struct thread_item *p = &t->items[parent], *c = &t->items[child];

    if (parent == child) return;
    if (c->children > 0 && p->parent != NO_ITEM && forest_root(&t->forest, parent) == child) return;   /* a loop */
    forest_link(&t->forest, child, parent);
    c->parent = parent;
    p->children++;
}

/* Step 1.A: the references in a value among themselves; the last of them, NO_ITEM if there is none. only_first: In-Reply-To. */
static uint32_t link_references(struct threading *t, struct str value, bool only_first)
{
    uint32_t last = NO_ITEM;

    for (;;) {
        buf_clear(&t->id);
        if (t->ids.text.len > THREAD_MEMORY || !thread_next_id(&value, &t->id)) return last;
        const uint32_t next = item_of(t, buf_str(&t->id));
        if (last != NO_ITEM && t->items[next].parent == NO_ITEM) link_items(t, last, next);
        last = next;
        if (only_first) return last;
    }
}

/* Step 1.B. */
static void link_message(struct threading *t, uint32_t i, uint32_t parent)
{
    struct thread_item *item = &t->items[i];

    if (item->parent != NO_ITEM) {
        forest_cut(&t->forest, i);
        t->items[item->parent].children--;
        item->parent = NO_ITEM;
    }
    if (parent != NO_ITEM) link_items(t, parent, i);
}

/* The item of a message that comes now: of its id, or of one that nobody else has. */
static uint32_t own_item(struct threading *t, const struct thread_message *message)
{
    struct str value = message->message_id;
    const char invented[] = { '\0', (char)(message->seq >> 24), (char)(message->seq >> 16), (char)(message->seq >> 8), (char)message->seq };

    buf_clear(&t->id);
    if (value.n > 0 && thread_next_id(&value, &t->id)) {
        const uint32_t i = item_of(t, buf_str(&t->id));
        if (t->items[i].seq == 0) return i;
    }
    return item_of(t, (struct str){ invented, sizeof invented });
}

static void take_subject(struct threading *t, struct str value, struct thread_item *item)
{
    buf_clear(&t->subject);
    buf_clear(&t->collated);
    if (value.n > 0) subject_base(&t->subject, value, &item->reply, t->charsets);
    text_fold(t->collation, &t->collated, buf_str(&t->subject));
    if (t->collated.len > THREAD_TEXT) t->collated.len = THREAD_TEXT;
    item->subject = intern_add(&t->subjects, buf_str(&t->collated), NULL);
}

int threading_add(struct threading *t, const struct thread_message *message, struct store_error *e)
{
    const uint32_t i = own_item(t, message);
    struct thread_item *item = &t->items[i];
    uint32_t last = NO_ITEM;

    item->seq = message->seq;
    item->date = subject_sent_date(message->date, message->arrival);
    if (t->algorithm != THREAD_REFS) take_subject(t, message->subject, item);
    if (t->algorithm != THREAD_ORDEREDSUBJECT) {
        if (message->references.n > 0) last = link_references(t, message->references, false);
        if (last == NO_ITEM && message->in_reply_to.n > 0) last = link_references(t, message->in_reply_to, true);
        link_message(t, i, last);
    }
    if (t->ids.text.len > THREAD_MEMORY || t->subjects.text.len > THREAD_MEMORY)
        return store_fail(e, STORE_LIMIT, 0, "Too much to thread at once");
    return 0;
}

struct threading *threading_new(enum thread_algorithm algorithm, enum collation collation)
{
    struct threading *t = xcalloc(1, sizeof *t);
    t->algorithm = algorithm;
    t->collation = collation;
    t->charsets = charset_cache_new();
    intern_add(&t->subjects, STR(""), NULL);           /* NO_SUBJECT */
    return t;
}

void threading_free(struct threading *t)
{
    intern_free(&t->ids);
    intern_free(&t->subjects);
    charset_cache_delete(t->charsets);
    free(t->items);
    free(t->forest.nodes);
    buf_free(&t->id);
    buf_free(&t->subject);
    buf_free(&t->collated);
    free(t);
}

/* ---- messages of a mailbox --------------------------------------------------------------------------------------------------- */

struct header {
    struct arena *arena;
    struct mime_envelope envelope;
    struct str references;
};

/* Fields as ENVELOPE has them, but for addresses; of References the first. */
static int header_field(void *ctx, struct str name, struct str value, struct str whole)
{
    struct header *h = ctx;
    (void)whole;
    if (str_ieq(name, STR("references"))) {
        if (h->references.p == NULL) h->references = value;
    } else if (str_ieq(name, STR("subject")) || str_ieq(name, STR("date")) || str_ieq(name, STR("message-id")) ||
               str_ieq(name, STR("in-reply-to"))) {
        mime_envelope_field(&h->envelope, name, value, h->arena);
    }
    return 0;
}

/* 0, or -1: e->code STORE_EXPUNGED is none that ends a command. */
static int add_message(struct threading *t, struct mailbox *m, uint32_t seq, struct arena *a, struct store_error *e)
{
    struct header h = { .arena = a };
    struct message msg;

    arena_reset(a);
    if (mailbox_message(m, seq, &msg, e) != 0) return -1;
    if (t->algorithm == THREAD_ORDEREDSUBJECT) {
        const struct mime_envelope *envelope = message_envelope(m, &msg, a, e);
        if (envelope == NULL) return -1;
        h.envelope = *envelope;
    } else {
        struct str fields;
        const int rc = message_fields(m, &msg, a, &fields, e);
        if (rc == 0) fields = message_header(m, &msg, a, e);
        if (rc < 0 || fields.p == NULL) return -1;
        mime_header_each(fields, header_field, &h);
    }
    const struct thread_message message = { .seq = seq, .arrival = msg.date, .date = h.envelope.date, .subject = h.envelope.subject,
        .message_id = h.envelope.message_id, .in_reply_to = h.envelope.in_reply_to, .references = h.references };
    return threading_add(t, &message, e);
}

int thread_run(struct mailbox *m, enum thread_algorithm algorithm, enum collation collation, const uint32_t *seqs, size_t n,
               struct threads *out, struct store_error *e)
{
    enum { UNLOCK_AFTER = 256 };     /* messages read under one lock */
    struct store_error own = { .code = STORE_OK };
    struct store_error *why = e ? e : &own;
    struct threading *t = threading_new(algorithm, collation);
    struct arena *a = arena_new();
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = add_message(t, m, seqs[i], a, why);
        if (rc != 0 && why->code == STORE_EXPUNGED) rc = add_message(t, m, seqs[i], a, why);   /* changed? now there is the lock */
        if (rc != 0 && why->code == STORE_EXPUNGED) rc = 0;
        if (i % UNLOCK_AFTER == UNLOCK_AFTER - 1) mailbox_read_end(m);
    }
    mailbox_read_end(m);
    mailbox_cache_flush(m);
    if (rc == 0) threading_finish(t, out);
    threading_free(t);
    arena_free(a);
    return rc;
}
