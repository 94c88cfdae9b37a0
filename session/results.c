/*
 * What SEARCH and SORT answer: the plain responses, and ESEARCH with the return options.
 */
#include "session/results.h"

#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "session/fetch.h"

/* ---- options ------------------------------------------------------------------------------------------------------ */

static const struct { const char *name; enum return_option option; } option_names[] = {
    { "MIN", RETURN_MIN }, { "MAX", RETURN_MAX }, { "ALL", RETURN_ALL }, { "COUNT", RETURN_COUNT }, { "SAVE", RETURN_SAVE },
    { "PARTIAL", RETURN_PARTIAL }, { "UPDATE", RETURN_UPDATE }, { "CONTEXT", RETURN_CONTEXT }, { "RELEVANCY", RETURN_RELEVANCY },
};

/* UPDATE's fetch-atts: with or without a space before them, as RFC 5465 has it in its grammar and in its example. */
static bool update_items(struct session *s, struct parse *p, struct return_options *out)
{
    struct fetch_items *const items = fetch_items_new(s);
    const char *const before = p->at;
    parse_sp(p);
    const char *const from = p->at;
    if (p->at == p->end || *p->at != '(') {
        p->at = before;
        return true;
    }
    if (!fetch_parse(s, p, items))
        return false;
    out->update_items = (struct str){ from, (size_t)(p->at - from) };
    return true;
}

static bool one_option(struct session *s, struct parse *p, struct return_options *out)
{
    for (size_t i = 0; i < sizeof option_names / sizeof *option_names; i++) {
        if (!parse_word(p, option_names[i].name))
            continue;
        const bool again = (out->options & option_names[i].option) != 0;
        out->options |= option_names[i].option;
        if (option_names[i].option == RETURN_UPDATE)
            return update_items(s, p, out);
        return option_names[i].option != RETURN_PARTIAL || (!again && parse_sp(p) && parse_partial(p, &out->range));
    }
    return false;
}

bool parse_return_options(struct session *s, struct parse *p, struct return_options *out)
{
    *out = (struct return_options){ .options = RETURN_ALL };
    if (!parse_word(p, "RETURN"))
        return true;
    out->given = true;
    if (!parse_sp(p) || !parse_char(p, '('))
        return false;
    if (!parse_char(p, ')')) {
        out->options = 0;
        do
            if (!one_option(s, p, out))
                return false;
        while (parse_sp(p));
        if (!parse_char(p, ')'))
            return false;
    }
    /* UPDATE, CONTEXT and RELEVANCY say how, not what */
    if (!(out->options & ~(unsigned)(RETURN_UPDATE | RETURN_CONTEXT | RETURN_RELEVANCY)) && !(out->options & RETURN_UPDATE))
        out->options |= RETURN_ALL;
    return !((out->options & RETURN_PARTIAL) && (out->options & RETURN_ALL)) && parse_sp(p);
}

/* ---- how well ----------------------------------------------------------------------------------------------------- */

enum { SCORE_EXACT = 100, SCORE_SIMILAR = 50 };

static int on_exact(void *ctx, uint32_t seq)
{
    unsigned char *const scores = ctx;
    scores[seq] = SCORE_EXACT;
    return 0;
}

/* Those that match without FUZZY too, best. */
unsigned char *relevancy(struct session *s, struct search_key *program)
{
    const size_t n = (size_t)mailbox_exists(s->mailbox) + 1;
    unsigned char *const scores = memset(xmalloc(n), SCORE_SIMILAR, n);
    program->exact = true;
    if (search_run(s->mailbox, program, on_exact, scores, NULL) != 0)
        memset(scores, SCORE_SIMILAR, n);
    program->exact = false;
    return scores;
}

unsigned char *sort_relevancy(struct session *s, struct search_key *program, struct sort_key *keys, size_t n, bool wanted)
{
    for (size_t i = 0; i < n; i++)
        wanted |= keys[i].by == SORT_RELEVANCY;
    unsigned char *const scores = wanted ? relevancy(s, program) : NULL;
    for (size_t i = 0; i < n; i++)
        keys[i].scores = keys[i].by == SORT_RELEVANCY ? scores : NULL;
    return scores;
}

/* ---- responses ---------------------------------------------------------------------------------------------------- */

void write_number_set(struct buf *out, const uint32_t *numbers, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t j = i + 1;
        while (j < n && numbers[j] == numbers[j - 1] + 1)
            j++;
        buf_printf(out, j - i > 1 ? "%s%u:%u" : "%s%u", i > 0 ? "," : "", numbers[i], numbers[j - 1]);
        i = j;
    }
}

void write_esearch_head(struct session *s, struct str tag, bool uid, bool correlators)
{
    io_puts(&s->io, "* ESEARCH (TAG ");
    write_string(&s->io, tag);
    if (correlators) {                           /* RFC 7377 section 2.1 */
        struct mailbox_status st;
        mailbox_info(s->mailbox, &st);
        io_puts(&s->io, " MAILBOX ");
        write_mailbox(&s->io, mailbox_name_of(s->mailbox));
        io_printf(&s->io, " UIDVALIDITY %u", st.uidvalidity);
    }
    io_puts(&s->io, uid ? ") UID" : ")");
}

static uint32_t number_of(struct session *s, const struct found *f, size_t i)
{
    return f->uid ? mailbox_uid(s->mailbox, f->seqs[i]) : f->seqs[i];
}

static void write_set(struct session *s, const struct found *f, size_t from, size_t n)
{
    struct buf set = { 0 };
    uint32_t *numbers = xreallocarray(NULL, n + 1, sizeof *numbers);
    for (size_t i = 0; i < n; i++)
        numbers[i] = number_of(s, f, from + i);
    write_number_set(&set, numbers, n);
    io_add(&s->io, set.data, set.len);
    free(numbers);
    buf_free(&set);
}

/* The part of the results that PARTIAL asks for. */
static void partial_place(const struct return_options *r, const struct found *f, size_t *from, size_t *n)
{
    const bool from_end = r->range.first < 0;
    const uint64_t first = (uint64_t)(from_end ? -r->range.first : r->range.first);
    uint64_t last = (uint64_t)(from_end ? -r->range.last : r->range.last);
    if (last > f->n)
        last = f->n;
    *n = first > last ? 0 : (size_t)(last - first + 1);
    *from = *n == 0 ? 0 : from_end ? f->n - (size_t)last : (size_t)first - 1;
}

static uint64_t modseq_of(struct session *s, uint32_t seq)
{
    struct message msg;
    return mailbox_message(s->mailbox, seq, &msg, NULL) == 0 ? msg.modseq : 0;
}

/* Which of what was found MIN, MAX and PARTIAL tell, or all of it, if ALL or COUNT is among the options or nothing is. */
struct telling { bool all, min, max; size_t from, n; };

static struct telling telling_of(const struct return_options *r, const struct found *f)
{
    struct telling t = { .min = r->options & RETURN_MIN, .max = r->options & RETURN_MAX };
    if (r->options & RETURN_PARTIAL)
        partial_place(r, f, &t.from, &t.n);
    t.all = (r->options & (RETURN_ALL | RETURN_COUNT)) || !(r->options & (RETURN_MIN | RETURN_MAX | RETURN_PARTIAL));
    return t;
}

static bool is_told(const struct telling *t, const struct found *f, size_t i)
{
    return t->all || (i >= t->from && i < t->from + t->n) || (t->min && i == 0) || (t->max && i == f->n - 1);
}

/* Of what is told (RFC 4731 section 3.2). */
static uint64_t highest_modseq(struct session *s, const struct return_options *r, const struct found *f)
{
    const struct telling t = telling_of(r, f);
    uint64_t highest = 0;
    for (size_t i = 0; i < f->n; i++) {
        const uint64_t modseq = is_told(&t, f, i) ? modseq_of(s, f->seqs[i]) : 0;
        highest = modseq > highest ? modseq : highest;
    }
    return highest;
}

static void write_plain(struct session *s, const struct return_options *r, const struct found *f)
{
    io_puts(&s->io, f->sorted ? "* SORT" : "* SEARCH");
    for (size_t i = 0; i < f->n; i++) {
        io_puts(&s->io, " ");
        io_number(&s->io, number_of(s, f, i));
        io_relieve(&s->io);
    }
    if (f->modseq && f->n > 0)
        io_printf(&s->io, " (MODSEQ %llu)", (unsigned long long)highest_modseq(s, r, f));
    io_puts(&s->io, "\r\n");
}

static void write_partial(struct session *s, const struct return_options *r, const struct found *f)
{
    size_t from, n;
    partial_place(r, f, &from, &n);
    const long long first = r->range.swapped ? r->range.last : r->range.first;        /* as it was asked for */
    const long long last = r->range.swapped ? r->range.first : r->range.last;
    io_printf(&s->io, " PARTIAL (%lld:%lld ", first, last);
    if (n == 0)
        io_puts(&s->io, "NIL");
    else
        write_set(s, f, from, n);
    io_puts(&s->io, ")");
}

/* A score for each message that ALL or PARTIAL tells, in their order. */
static void write_relevancy(struct session *s, const struct return_options *r, const struct found *f)
{
    size_t from = 0, n = f->n;
    if (r->options & RETURN_PARTIAL)
        partial_place(r, f, &from, &n);
    io_puts(&s->io, " RELEVANCY (");
    for (size_t i = from; i < from + n; i++)
        io_printf(&s->io, i > from ? " %u" : "%u", f->scores[f->seqs[i]]);
    io_puts(&s->io, ")");
}

static void write_extended(struct session *s, const struct return_options *r, const struct found *f)
{
    write_esearch_head(s, s->tag, f->uid, f->correlators);
    if ((r->options & RETURN_MIN) && f->n > 0)
        io_printf(&s->io, " MIN %u", number_of(s, f, 0));
    if ((r->options & RETURN_MAX) && f->n > 0)
        io_printf(&s->io, " MAX %u", number_of(s, f, f->n - 1));
    if (r->options & RETURN_PARTIAL)
        write_partial(s, r, f);
    if ((r->options & RETURN_ALL) && f->n > 0) {
        io_puts(&s->io, " ALL ");
        write_set(s, f, 0, f->n);
    }
    if (r->options & RETURN_COUNT)
        io_printf(&s->io, " COUNT %zu", f->n);
    const uint64_t modseq = f->modseq ? highest_modseq(s, r, f) : 0;
    if (modseq > 0)
        io_printf(&s->io, " MODSEQ %llu", (unsigned long long)modseq);
    if ((r->options & RETURN_RELEVANCY) && f->scores != NULL && f->n > 0)
        write_relevancy(s, r, f);
    io_puts(&s->io, "\r\n");
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* "$" (RFC 5182 section 2.4, RFC 9394 section 3.2): all that was found, or only what MIN, MAX and PARTIAL tell. */
static void save(struct session *s, const struct return_options *r, const struct found *f)
{
    const struct telling t = telling_of(r, f);
    buf_clear(&s->saved);
    for (size_t i = 0; i < f->n; i++) {
        if (!is_told(&t, f, i))
            continue;
        const uint32_t uid = mailbox_uid(s->mailbox, f->seqs[i]);
        buf_add(&s->saved, &uid, sizeof uid);
    }
    if (f->sorted && s->saved.len > 0)
        qsort(s->saved.data, s->saved.len / sizeof(uint32_t), sizeof(uint32_t), ascending);
}

void write_results(struct session *s, const struct return_options *r, const struct found *f)
{
    const unsigned telling = RETURN_MIN | RETURN_MAX | RETURN_ALL | RETURN_COUNT | RETURN_PARTIAL;
    if (!r->given && (!rev2(s) || f->sorted))
        write_plain(s, r, f);
    else if (r->options & telling)
        write_extended(s, r, f);
    if (r->options & RETURN_SAVE)
        save(s, r, f);
}

bool search_uses(const struct search_key *program, enum search_type type)
{
    for (size_t i = 0; i < program->child_count; i++)
        if (search_uses(&program->children[i], type))
            return true;
    return program->type == type;
}
