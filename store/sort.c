/*
 * SORT: one pass over the messages takes their keys, then the keys are sorted. A key is a number, or a text as its collation
 * has it, of which the first 8 octets are a number that most comparisons end with. Texts that cannot be converted to UTF-8 come
 * behind all others, by their octets (RFC 5255 section 4.6).
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "store/fields.h"
#include "store/sort.h"
#include "store/structure.h"
#include "store/subject.h"
#include "store/text.h"

struct value {
    uint64_t rank;                   /* of numbers all, of texts the first 8 octets */
    uint32_t offset, length;         /* the text's other octets in sorting.text; UNREADABLE in the length: it is no UTF-8 */
};
enum { UNREADABLE = 1 << 30 };
struct sorting {
    struct sort_key keys[SORT_KEYS]; /* each once: a key that comes again decides nothing */
    size_t key_count;
    bool needs_envelope, needs_fields;       /* needs_fields: date and subject alone */
    enum collation collation;
    struct value *values;            /* key_count for each message */
    struct buf text, scratch, collated;
    struct charset_cache *charsets;
    struct arena *arena;             /* of one message */
};
struct item {
    const struct sorting *sorting;
    uint32_t seq, at;                /* at: of its values */
};

static void choose_keys(struct sorting *s, const struct sort_key *keys, size_t n)
{
    bool had[SORT_KEYS] = { false };

    for (size_t i = 0; i < n; i++) {
        if (had[keys[i].by]) continue;
        had[keys[i].by] = true;
        s->keys[s->key_count++] = keys[i];
        if (keys[i].by == SORT_DATE || keys[i].by == SORT_SUBJECT) s->needs_fields = true;
        else if (keys[i].by != SORT_ARRIVAL && keys[i].by != SORT_SIZE && keys[i].by != SORT_RELEVANCY) s->needs_envelope = true;
    }
    if (s->needs_envelope) s->needs_fields = false;
}

/* ---- the keys of a message ----------------------------------------------------------------------------------------------- */

static struct value number_value(int64_t n)
{
    return (struct value){ .rank = (uint64_t)n ^ UINT64_C(1) << 63 };
}

/* Of the text in s->scratch. */
static struct value text_value(struct sorting *s)
{
    struct value v = { 0 };

    buf_clear(&s->collated);
    const bool readable = text_fold(s->collation, &s->collated, buf_str(&s->scratch));
    const size_t n = s->collated.len < SORT_TEXT ? s->collated.len : SORT_TEXT;
    for (size_t i = 0; i < 8; i++) v.rank = v.rank << 8 | (i < n ? (unsigned char)s->collated.data[i] : 0);
    v.offset = (uint32_t)s->text.len;
    /* a text of 8 octets or less keeps its length: NULs at its end count */
    v.length = (uint32_t)n | (readable ? 0 : UNREADABLE);
    if (n > 8) buf_add(&s->text, s->collated.data + 8, n - 8);
    return v;
}

static void add_str(struct buf *out, struct str s)
{
    if (s.n > 0) buf_add(out, s.p, s.n);
}

static struct value mailbox_value(struct sorting *s, const struct mime_addresses *list)
{
    if (list->n > 0) add_str(&s->scratch, list->list[0].mailbox);
    return text_value(s);
}

/* RFC 5957 section 3. */
static struct value display_value(struct sorting *s, const struct mime_addresses *list)
{
    const struct mime_address *a = list->list;

    if (list->n > 0 && a->name.n > 0) text_decode_words(&s->scratch, a->name, s->charsets);
    if (list->n > 0 && s->scratch.len == 0) {
        add_str(&s->scratch, a->mailbox);
        if (a->mailbox.p && a->host.p) {
            buf_addc(&s->scratch, '@');
            add_str(&s->scratch, a->host);
        }
    }
    return text_value(s);
}

/* What the keys are made of: the envelope, or of fields alone the date and subject. */
struct source {
    const struct mime_envelope *envelope;
    struct mime_envelope own;
    bool has_date;
    int64_t date;
};

static struct value message_value(struct sorting *s, const struct sort_key *key, const struct message *msg, const struct source *from)
{
    const struct mime_envelope *e = from->envelope;

    buf_clear(&s->scratch);
    switch (key->by) {
    case SORT_ARRIVAL: return number_value(msg->date);
    case SORT_RELEVANCY: return number_value(-(int64_t)key->scores[msg->seq]);
    case SORT_SIZE: return number_value((int64_t)msg->size);
    case SORT_DATE:
        if (s->needs_fields) return number_value(from->has_date ? from->date : msg->date);
        return number_value(subject_sent_date(e->date, msg->date));
    case SORT_CC: return mailbox_value(s, &e->cc);
    case SORT_FROM: return mailbox_value(s, &e->from);
    case SORT_TO: return mailbox_value(s, &e->to);
    case SORT_DISPLAYFROM: return display_value(s, &e->from);
    case SORT_DISPLAYTO: return display_value(s, &e->to);
    case SORT_SUBJECT:
        subject_base(&s->scratch, e->subject, NULL, s->charsets);
        return text_value(s);
    case SORT_KEYS: break;
    }
    return (struct value){ 0 };
}

static bool take_source(struct sorting *s, struct mailbox *m, const struct message *msg, struct source *from, struct store_error *e)
{
    struct sort_fields fields;

    const int rc = s->needs_fields ? message_sort_fields(m, msg, s->arena, &fields, e) : 0;
    if (rc > 0) {
        from->own = (struct mime_envelope){ .subject = sort_fields_subject(&fields, s->arena) };
        from->envelope = &from->own;
        from->has_date = fields.has_date;
        from->date = fields.date;
    } else if (rc == 0 && (s->needs_fields || s->needs_envelope)) {
        from->envelope = message_envelope(m, msg, s->arena, e);
        from->has_date = from->envelope && from->envelope->date.p && subject_date(from->envelope->date, &from->date);
        return from->envelope != NULL;
    }
    return rc >= 0;
}

/* The values of a message to s->values[at ...]. 1, 0: it is gone, -1. */
static int take_message(struct sorting *s, struct mailbox *m, uint32_t seq, size_t at, struct store_error *e)
{
    struct message msg;
    struct source from = { .envelope = NULL };

    arena_reset(s->arena);
    if (mailbox_message(m, seq, &msg, e) != 0) return e->code == STORE_EXPUNGED ? 0 : -1;
    if (!take_source(s, m, &msg, &from, e)) return e->code == STORE_EXPUNGED ? 0 : -1;
    for (size_t k = 0; k < s->key_count; k++) s->values[at + k] = message_value(s, &s->keys[k], &msg, &from);
    if (s->text.len > SORT_MEMORY) return store_fail(e, STORE_LIMIT, 0, "%s: too much to sort at once", mailbox_name_of(m));
    return 1;
}

/* ---- comparing -------------------------------------------------------------------------------------------------------------- */

static int compare_values(const struct sorting *s, const struct value *a, const struct value *b)
{
    if ((a->length ^ b->length) & UNREADABLE) return a->length & UNREADABLE ? 1 : -1;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    const uint32_t shorter = (a->length < b->length ? a->length : b->length) & ~(uint32_t)UNREADABLE;
    if (shorter > 8) {
        const uint32_t n = shorter - 8;
        const int order = memcmp(s->text.data + a->offset, s->text.data + b->offset, n);
        if (order != 0) return order;
    }
    return a->length < b->length ? -1 : a->length > b->length;
}

static int compare_items(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    const struct sorting *s = a->sorting;

    for (size_t k = 0; k < s->key_count; k++) {
        const int order = compare_values(s, &s->values[a->at + k], &s->values[b->at + k]);
        if (order != 0) return s->keys[k].reverse ? -order : order;
    }
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

int sort_run(struct mailbox *m, const struct sort_key *keys, size_t key_count, enum collation collation, uint32_t *seqs, size_t *n,
             struct store_error *e)
{
    enum { UNLOCK_AFTER = 256 };     /* messages read under one lock */
    struct store_error own = { .code = STORE_OK };
    struct sorting s = { .collation = collation };
    size_t kept = 0;
    int rc = 1;

    choose_keys(&s, keys, key_count);
    s.values = xcalloc(*n + 1, (s.key_count + 1) * sizeof *s.values);
    struct item *items = xcalloc(*n + 1, sizeof *items);
    s.arena = arena_new();
    s.charsets = charset_cache_new();
    for (size_t i = 0; i < *n && rc >= 0; i++) {
        const uint32_t at = (uint32_t)(kept * s.key_count);
        rc = take_message(&s, m, seqs[i], at, e ? e : &own);
        if (rc == 0) rc = take_message(&s, m, seqs[i], at, e ? e : &own);         /* changed since the record was read? now there is the lock */
        if (rc > 0) items[kept++] = (struct item){ &s, seqs[i], at };
        if (i % UNLOCK_AFTER == UNLOCK_AFTER - 1) mailbox_read_end(m);
    }
    mailbox_read_end(m);
    mailbox_cache_flush(m);
    if (rc >= 0) {
        qsort(items, kept, sizeof *items, compare_items);
        for (size_t i = 0; i < kept; i++) seqs[i] = items[i].seq;
        *n = kept;
    }
    free(s.values);
    free(items);
    buf_free(&s.text);
    buf_free(&s.scratch);
    buf_free(&s.collated);
    arena_free(s.arena);
    charset_cache_delete(s.charsets);
    return rc >= 0 ? 0 : -1;
}
