/*
 * SEARCH over a view. Every message goes through the program, and each key is asked only for what the keys before it left
 * open: sets know their answer from the number alone, flags and dates want the index record, header keys the header octets,
 * BODY and TEXT the content. So keys are ordered by that cost first, and what one key has read of a message serves the
 * next. Matches are told in batches, while the mailbox is not locked.
 */
#include "store/search.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/arena.h"
#include "base/xmalloc.h"
#include "store/date.h"
#include "store/fields.h"
#include "store/mime_lex.h"
#include "store/object_id.h"
#include "store/search_same.h"

enum { BATCH = 8192, SMALL = 1 << 20, ROW = 64 };     /* matches between two looks up; octets of a message that is read whole; messages */
enum cost { COST_SET, COST_RECORD, COST_HEADER, COST_CONTENT, COSTS };

struct search {
    struct mailbox *mailbox;
    struct store_error *error;
    bool failed;                      /* error is set */
    uint32_t seq;                     /* the message in hand, and what is known of it */
    bool has_record, has_header, has_body, has_root, has_ids, has_fields, gone;
    struct message message;
    struct message row[ROW];          /* no content is wanted: records of the messages from row_first on */
    uint32_t row_first;
    size_t row_n;
    bool rows;
    struct buf header, body;
    struct mime_part *root;
    struct arena *arena;
    int64_t now;
    struct str field;                 /* the last that was needed, as the key has it, and what the index keeps of it */
    bool is_subject, is_kept;
    bool line_ends;                   /* a text that is looked for has some: they must be as the client sees them */
};

/* ---- the message in hand ------------------------------------------------------------------------------------------------ */

static void take(struct search *s, uint32_t seq)
{
    s->seq = seq;
    if (s->has_root || s->has_fields) arena_reset(s->arena);
    s->has_record = s->has_header = s->has_body = s->has_ids = s->has_fields = s->gone = false;
    s->has_root = false;
}

/* The record from the row, which is filled if it has another. */
static bool from_row(struct search *s)
{
    if (!s->rows) return false;
    if (s->row_n == 0 || s->seq - s->row_first >= s->row_n) {
        s->row_first = s->seq;
        s->row_n = mailbox_messages(s->mailbox, s->seq, s->row, ROW);
    }
    if (s->row_n == 0) return false;
    s->message = s->row[s->seq - s->row_first];
    return s->has_record = true;
}

/* Something could not be had. A message that is gone is no failure, it just does not match. */
static bool give_up(struct search *s)
{
    if (s->error->code == STORE_EXPUNGED) s->gone = true;
    else s->failed = true;
    return false;
}

static bool need_record(struct search *s)
{
    if (s->gone || s->failed) return false;
    if (s->has_record || from_row(s)) return true;
    if (mailbox_message(s->mailbox, s->seq, &s->message, s->error) != 0) return give_up(s);
    return s->has_record = true;
}

/* Octets [0, n) of the message. */
static bool read_into(struct search *s, struct buf *to, uint64_t n)
{
    size_t got = 0;

    buf_clear(to);
    if (mailbox_read(s->mailbox, &s->message, 0, buf_room(to, (size_t)n), (size_t)n, &got, s->error) != 0) return give_up(s);
    to->len = got;
    to->data[got] = '\0';
    return true;
}

static bool need_body(struct search *s)
{
    if (s->has_body) return true;
    if (s->line_ends) return s->has_body = read_into(s, &s->body, s->message.size);
    if (mailbox_read_text(s->mailbox, &s->message, &s->body, s->error) != 0) return give_up(s);
    return s->has_body = true;
}

static bool need_header(struct search *s, struct str *out)
{
    if (!need_record(s)) return false;
    const uint64_t n = s->message.header_size < MIME_HEADER ? s->message.header_size : MIME_HEADER;
    if (!s->has_body && !s->has_header && !(s->has_header = read_into(s, &s->header, n))) return false;
    *out = buf_str(s->has_body ? &s->body : &s->header);
    if (out->n > n) out->n = (size_t)n;
    return true;
}

/* Fields of the header, with all of that name. */
static bool need_field(struct search *s, struct str name, struct str *out)
{
    if (!need_record(s)) return false;
    struct sort_fields sort;
    if (name.p != s->field.p || name.n != s->field.n) {
        s->field = name;
        s->is_subject = str_ieq(name, STR("subject"));
        s->is_kept = fields_kept(name);
    }
    if (s->has_body || s->has_header || !s->is_kept) return need_header(s, out);
    const int rc = s->is_subject ? message_sort_fields(s->mailbox, &s->message, s->arena, &sort, s->error)
                           : message_fields(s->mailbox, &s->message, s->arena, out, s->error);
    if (rc > 0 && s->is_subject) *out = sort.subjects;
    s->has_fields = true;
    return rc > 0 || (rc < 0 ? give_up(s) : need_header(s, out));
}

static long read_message(void *ctx, uint64_t offset, char *to, size_t n)
{
    struct search *s = ctx;
    size_t got;

    if (s->has_body) {
        if (offset >= s->body.len) return 0;
        if (n > s->body.len - offset) n = (size_t)(s->body.len - offset);
        memcpy(to, s->body.data + offset, n);
        return (long)n;
    }
    if (mailbox_read(s->mailbox, &s->message, offset, to, n, &got, s->error) != 0) return -1;
    return (long)got;
}

static bool parse_large(struct search *s, struct mime_parser *p)
{
    enum { WINDOW = 65536 };
    char *window = xmalloc(WINDOW);
    long got = 0;

    for (uint64_t at = 0; at < s->message.size; at += (uint64_t)got) {
        got = read_message(s, at, window, WINDOW);
        if (got <= 0) break;
        mime_parser_feed(p, window, (size_t)got);
    }
    free(window);
    return got >= 0 ? true : give_up(s);
}

/* The structure, for keys that look into content. Small messages are read whole: parsing costs less than a look-up then. */
static bool need_root(struct search *s)
{
    struct str blob = { NULL, 0 };
    bool ok = true;

    if (!need_record(s)) return false;
    if (s->has_root) return true;
    const bool small = s->message.size <= SMALL;
    if (small && !need_body(s)) return false;
    if (!small) mailbox_cache_get(s->mailbox, &s->message, &blob);
    if (blob.n) {
        blob = arena_str(s->arena, blob);              /* reading may move what it points to */
        s->root = mime_unpack(blob, s->arena);
        if (s->root) return s->has_root = true;
    }
    struct mime_parser *p = mime_parser_new(s->arena);
    mime_parser_for_search(p);
    if (small) mime_parser_feed(p, s->body.data, s->body.len);
    else ok = parse_large(s, p);
    s->root = mime_parser_finish(p);
    s->has_root = true;
    return ok;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------ */

static bool in_ranges(const struct search_key *k, uint32_t v)
{
    size_t low = 0, high = k->range_count;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (k->ranges[mid].last < v) low = mid + 1;
        else high = mid;
    }
    return low < k->range_count && k->ranges[low].first <= v;
}

static bool has_keyword(struct search *s, const struct search_key *k)
{
    const int bit = mailbox_keyword_bit(s->mailbox, k->text, false, NULL);
    return bit >= 0 && bit < 64 && (s->message.keywords >> bit & 1);
}

struct field_search {
    const struct search_key *key;
    bool found;
};

/* Of these ENVELOPE has the words with one space between them. */
static bool is_phrase(struct str field)
{
    static const char *const names[] = { "Subject", "From", "To", "Cc", "Bcc" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_ieq(field, str_z(names[i]))) return true;
    return false;
}

static int match_field(void *ctx, struct str name, struct str value, struct str whole)
{
    struct field_search *f = ctx;
    (void)whole;
    if (name.n != f->key->field.n || !str_ieq(name, f->key->field)) return 0;
    f->found = true;
    for (size_t i = 0; i < f->key->needle_count; i++) f->found &= text_needle_in_header(f->key->needles[i], value, is_phrase(name));
    return f->found;
}

static bool match_header(struct search *s, const struct search_key *k)
{
    struct field_search f = { k, false };
    struct str header;

    if (!need_field(s, k->field, &header)) return false;
    if (k->needle_count == 1 && !text_needle_may_be(k->needles[0], header)) return false;
    mime_header_each(header, match_field, &f);
    return f.found;
}

static int first_date(void *ctx, struct str name, struct str value, struct str whole)
{
    struct str *date = ctx;
    (void)whole;
    if (!str_ieq(name, STR("date"))) return 0;
    *date = value;
    return 1;
}

/* Day of the Date field in its own zone. */
static bool sent_day(struct search *s, int64_t *day)
{
    struct str header, value = { NULL, 0 };
    int64_t date;
    int zone;

    if (!need_field(s, STR("date"), &header)) return false;
    mime_header_each(header, first_date, &value);
    if (!value.p) return false;
    if (mime_date_parse(value, &date, &zone) != 0) {
        if (mime_day_parse(value, &date) != 0) return false;
        zone = 0;                                      /* the time is disregarded: it need not be readable */
    }
    *day = date_day_of(date, zone);
    return true;
}

static bool match_content(struct search *s, const struct search_key *k)
{
    if (!need_root(s)) return false;
    for (size_t i = 0; i < k->needle_count; i++) {
        const bool headers = k->type == SEARCH_TEXT;
        const int rc = s->has_body ? text_search_in(s->root, k->needles[i], headers, s->body.data ? buf_str(&s->body) : STR(""))
                                   : text_search(s->root, k->needles[i], headers, read_message, s);
        if (rc < 0) return give_up(s);
        if (rc == 0) return false;
    }
    return true;
}

static int64_t saved_day(const struct message *m)
{
    return date_day_of(m->save_date, date_local_zone(m->save_date));
}

static bool match_id(struct search *s, const struct search_key *k)
{
    char email_id[OBJECT_ID], thread_id[OBJECT_ID];
    const bool thread = k->type == SEARCH_THREADID;

    if (!need_record(s)) return false;
    s->has_ids = true;
    if (message_object_ids(s->mailbox, &s->message, email_id, thread_id, !thread, thread, s->error) != 0) return give_up(s);
    return str_eq(k->text, str_z(thread ? thread_id : email_id));
}

/* A key that is answered by the record. */
static bool match_record(struct search *s, const struct search_key *k)
{
    if (!need_record(s)) return false;
    const struct message *m = &s->message;
    switch (k->type) {
    case SEARCH_FLAG: return (m->flags & k->value) != 0;
    case SEARCH_KEYWORD: return has_keyword(s, k);
    case SEARCH_RECENT: return m->recent;
    case SEARCH_BEFORE: return date_day_of(m->date, m->zone) < k->day;
    case SEARCH_ON: return date_day_of(m->date, m->zone) == k->day;
    case SEARCH_SINCE: return date_day_of(m->date, m->zone) >= k->day;
    case SEARCH_SAVEDBEFORE: return saved_day(m) < k->day;
    case SEARCH_SAVEDON: return saved_day(m) == k->day;
    case SEARCH_SAVEDSINCE: return saved_day(m) >= k->day;
    case SEARCH_OLDER: return m->date <= s->now - (int64_t)k->value;
    case SEARCH_YOUNGER: return m->date >= s->now - (int64_t)k->value;
    case SEARCH_MODSEQ: return m->modseq >= k->value;
    case SEARCH_LARGER: return m->size > k->value;
    case SEARCH_SMALLER: return m->size < k->value;
    default: return false;
    }
}

/* Recursion is bounded by SEARCH_DEPTH, which the session sees to. */
static bool match(struct search *s, const struct search_key *k)
{
    int64_t day;

    if (s->failed || s->gone) return false;
    switch (k->type) {
    case SEARCH_ALL: return true;
    case SEARCH_AND:
        for (size_t i = 0; i < k->child_count; i++)
            if (!match(s, &k->children[i])) return false;
        return true;
    case SEARCH_OR:
        for (size_t i = 0; i < k->child_count; i++)
            if (match(s, &k->children[i])) return true;
        return false;
    case SEARCH_NOT: return !match(s, &k->children[0]);
    case SEARCH_SEQ: return in_ranges(k, s->seq);
    case SEARCH_UID: return in_ranges(k, mailbox_uid(s->mailbox, s->seq));
    case SEARCH_SENTBEFORE: return sent_day(s, &day) && day < k->day;
    case SEARCH_SENTON: return sent_day(s, &day) && day == k->day;
    case SEARCH_SENTSINCE: return sent_day(s, &day) && day >= k->day;
    case SEARCH_HEADER: return match_header(s, k);
    case SEARCH_BODY:
    case SEARCH_TEXT: return match_content(s, k);
    case SEARCH_EMAILID:
    case SEARCH_THREADID: return match_id(s, k);
    default: return match_record(s, k);
    }
}

/* ---- blocks of messages ------------------------------------------------------------------------------------------------------- */

enum answer { NONE, EVERY, SOME };

/* What the index's counts of flags say of the messages from seq to *last, which is moved down to where that ends. */
static enum answer of_block(struct search *s, const struct search_key *k, uint32_t seq, uint32_t *last)
{
    uint32_t to = *last;
    if (k->type == SEARCH_ALL) return EVERY;
    if (k->type == SEARCH_FLAG) {
        const int all = mailbox_block_flag(s->mailbox, seq, (uint8_t)k->value, &to);
        if (to < *last) *last = to;
        return all < 0 ? SOME : all ? EVERY : NONE;
    }
    if (k->type == SEARCH_NOT) {
        const enum answer a = of_block(s, &k->children[0], seq, last);
        return a == SOME ? SOME : a == NONE ? EVERY : NONE;
    }
    if (k->type != SEARCH_AND) return SOME;
    enum answer whole = EVERY;
    for (size_t i = 0; i < k->child_count && whole != NONE; i++) {
        const enum answer a = of_block(s, &k->children[i], seq, last);
        whole = a == EVERY ? whole : a;
    }
    return whole;
}

/* ---- preparing ---------------------------------------------------------------------------------------------------------------- */

static enum cost prepare(struct search_key *k);

/* Children in order of cost, else as they were. */
static enum cost prepare_children(struct search_key *k)
{
    enum cost most = COST_SET;
    struct search_key *sorted = xreallocarray(NULL, k->child_count ? k->child_count : 1, sizeof *sorted);
    unsigned char *costs = xmalloc(k->child_count);
    size_t n = 0;

    for (size_t i = 0; i < k->child_count; i++) {
        k->children[i].collation = k->collation;
        k->children[i].exact = k->exact;
        const enum cost c = prepare(&k->children[i]);
        costs[i] = (unsigned char)c;
        if (c > most) most = c;
    }
    for (unsigned c = 0; c < COSTS; c++)
        for (size_t i = 0; i < k->child_count; i++)
            if (costs[i] == c) sorted[n++] = k->children[i];
    if (n) memcpy(k->children, sorted, n * sizeof *sorted);
    free(sorted);
    free(costs);
    return most;
}

static void add_needle(struct search_key *k, struct str text)
{
    k->needles = xreallocarray(k->needles, k->needle_count + 1, sizeof(struct text_needle *));
    k->needles[k->needle_count++] = text_needle_new(k->collation, text);
}

/* The words of a FUZZY text; of a long one the last letters may be others. */
static void make_needles(struct search_key *k)
{
    enum { LONG_WORD = 5, WORDS = 100 };
    const char *p = k->text.p, *end = p + k->text.n;

    if (k->needle_count) return;
    while (k->fuzzy && !k->exact && p < end && k->needle_count < WORDS) {
        const char *from = p;
        while (p < end && (unsigned char)*p > ' ') p++;
        size_t n = (size_t)(p - from);
        if (n > LONG_WORD) n--;
        while (n > 1 && ((unsigned char)from[n] & 0xc0) == 0x80) n--;      /* no part of a character */
        if (p > from) add_needle(k, (struct str){ from, n });
        while (p < end && (unsigned char)*p <= ' ') p++;
    }
    if (!k->needle_count) add_needle(k, k->text);
}

static int compare_ranges(const void *pa, const void *pb)
{
    const struct search_range *a = pa, *b = pb;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* A set may name its ranges in any order, and a number twice: in order and apart, for in_ranges and narrow. */
static void order_ranges(struct search_key *k)
{
    size_t n = 1;

    while (n < k->range_count && k->ranges[n - 1].last < k->ranges[n].first) n++;
    if (n >= k->range_count) return;                     /* they are: "$", as often as it stands there, costs no sorting */
    qsort(k->ranges, k->range_count, sizeof *k->ranges, compare_ranges);
    n = 0;
    for (size_t i = 0; i < k->range_count; i++) {
        const struct search_range r = k->ranges[i];
        if (n == 0 || r.first > k->ranges[n - 1].last) k->ranges[n++] = r;
        else if (r.last > k->ranges[n - 1].last) k->ranges[n - 1].last = r.last;
    }
    k->range_count = n;
}

static enum cost prepare(struct search_key *k)
{
    switch (k->type) {
    case SEARCH_SEQ:
    case SEARCH_UID: order_ranges(k);
        return COST_SET;
    case SEARCH_ALL: return COST_SET;
    case SEARCH_AND:
    case SEARCH_OR:
    case SEARCH_NOT: return prepare_children(k);
    case SEARCH_SENTBEFORE:
    case SEARCH_SENTON:
    case SEARCH_SENTSINCE: return COST_HEADER;
    case SEARCH_HEADER:
    case SEARCH_BODY:
    case SEARCH_TEXT:
        make_needles(k);
        return k->type == SEARCH_HEADER ? COST_HEADER : COST_CONTENT;
    case SEARCH_THREADID: return COST_HEADER;
    case SEARCH_EMAILID: return COST_CONTENT;
    default: return COST_RECORD;
    }
}

static void unprepare(struct search_key *k)
{
    for (size_t i = 0; i < k->child_count; i++) unprepare(&k->children[i]);
    for (size_t i = 0; i < k->needle_count; i++) text_needle_free(k->needles[i]);
    free(k->needles);
    k->needles = NULL;
    k->needle_count = 0;
}

/* The first and last sequence number that can match, as far as sets that must match say. */
void search_narrow(const struct mailbox *m, const struct search_key *k, uint32_t *first, uint32_t *last)
{
    if (k->type == SEARCH_AND)
        for (size_t i = 0; i < k->child_count; i++) search_narrow(m, &k->children[i], first, last);
    if (k->type != SEARCH_SEQ && k->type != SEARCH_UID) return;
    uint32_t low = *last + 1, high = 0;
    if (k->range_count) {
        low = k->ranges[0].first;
        high = k->ranges[k->range_count - 1].last;
        if (k->type == SEARCH_UID) {
            low = mailbox_seq_from(m, low);
            high = high == UINT32_MAX ? mailbox_exists(m) : mailbox_seq_from(m, high + 1) - 1;
        }
    }
    if (low > *first) *first = low;
    if (high < *last) *last = high;
}

static bool has_line_ends(const struct search_key *k)
{
    for (size_t i = 0; i < k->child_count; i++)
        if (has_line_ends(&k->children[i])) return true;
    for (size_t i = 0; i < k->text.n; i++)
        if (k->text.p[i] == '\r' || k->text.p[i] == '\n') return true;
    return false;
}

/* ---- running -------------------------------------------------------------------------------------------------------------------- */

/* Messages from *seq on, until a batch of matches is full, enough were read, or last is done. */
static size_t run_batch(struct search *s, const struct search_key *program, uint32_t *seq, uint32_t last, uint32_t *matches)
{
    enum { READS = 2048, READ = 8 };           /* what the index keeps of a message costs less than reading it */
    size_t n = 0;
    uint32_t known = *seq - 1;                 /* up to here `block` says what the index's counts say */
    enum answer block = SOME;

    for (unsigned reads = 0; *seq <= last && n < BATCH && reads < READS && !s->failed; ++*seq) {
        if (*seq > known) {
            uint32_t end = known = last;
            block = of_block(s, program, *seq, &known);
            if (block == EVERY && !mailbox_block_whole(s->mailbox, *seq, &end)) block = SOME;
            if (end < known) known = end;
        }
        if (block == NONE) {
            *seq = known;
            continue;
        }
        if (block == EVERY) {
            matches[n++] = *seq;
            continue;
        }
        take(s, *seq);
        bool matches_it = match(s, program) && need_record(s);
        if (s->gone) {                         /* or changed since the record was read: now there is the lock */
            s->row_n = 0;
            take(s, *seq);
            matches_it = match(s, program) && need_record(s);
        }
        if (matches_it) matches[n++] = *seq;
        if (s->has_header || s->has_body || s->has_root || s->has_ids) reads += READ;
        else if (s->has_fields) reads++;
    }
    mailbox_read_end(s->mailbox);
    s->row_n = 0;                              /* flags may change */
    return n;
}

int search_run(struct mailbox *m, struct search_key *program, int (*found)(void *ctx, uint32_t seq), void *ctx,
               struct store_error *e)
{
    struct store_error own = { .code = STORE_OK };
    struct search s = { .mailbox = m, .error = e ? e : &own, .now = time(NULL) };
    uint32_t seq = 1, last = mailbox_exists(m), matches[BATCH];
    bool stopped = false;

    search_once(program);
    s.rows = prepare(program) <= COST_HEADER;
    s.line_ends = has_line_ends(program);
    s.arena = arena_new();
    search_narrow(m, program, &seq, &last);
    while (seq <= last && !stopped && !s.failed) {
        const size_t n = run_batch(&s, program, &seq, last, matches);
        for (size_t i = 0; i < n && !stopped && !s.failed; i++) stopped = found(ctx, matches[i]) != 0;
        mailbox_progress(m, seq - 1, last);
    }
    mailbox_cache_flush(m);
    unprepare(program);
    arena_free(s.arena);
    buf_free(&s.header);
    buf_free(&s.body);
    return s.failed ? -1 : 0;
}
