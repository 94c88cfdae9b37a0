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

void write_esearch_head(struct session *s, struct str tag, bool uid)
{
    io_puts(&s->io, "* ESEARCH (TAG ");
    write_string(&s->io, tag);
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

/* Of all that was found; if only MIN or MAX are told, of those (RFC 4731 section 3.2). */
static uint64_t highest_modseq(struct session *s, unsigned options, const struct found *f)
{
    uint64_t highest = 0;
    const bool all = !(options & (RETURN_MIN | RETURN_MAX)) || (options & (RETURN_ALL | RETURN_COUNT | RETURN_PARTIAL));
    for (size_t i = 0; i < f->n; i++) {
        if (!all && !((options & RETURN_MIN) && i == 0) && !((options & RETURN_MAX) && i == f->n - 1))
            continue;
        const uint64_t modseq = modseq_of(s, f->seqs[i]);
        highest = modseq > highest ? modseq : highest;
    }
    return highest;
}

static void write_plain(struct session *s, const struct found *f)
{
    io_puts(&s->io, f->sorted ? "* SORT" : "* SEARCH");
    for (size_t i = 0; i < f->n; i++) {
        io_puts(&s->io, " ");
        io_number(&s->io, number_of(s, f, i));
        io_relieve(&s->io);
    }
    if (f->modseq && f->n > 0)
        io_printf(&s->io, " (MODSEQ %llu)", (unsigned long long)highest_modseq(s, RETURN_ALL, f));
    io_puts(&s->io, "\r\n");
}

static void write_partial(struct session *s, const struct return_options *r, const struct found *f)
{
    size_t from, n;
    partial_place(r, f, &from, &n);
    io_printf(&s->io, " PARTIAL (%lld:%lld ", (long long)r->range.first, (long long)r->range.last);
    if (n == 0)
        io_puts(&s->io, "NIL");
    else
        write_set(s, f, from, n);
    io_puts(&s->io, ")");
}

/* RFC 7377 section 2.1 */
static void write_correlators(struct session *s, const struct found *f)
{
    io_puts(&s->io, "* ESEARCH (TAG ");
    write_string(&s->io, s->tag);
    io_puts(&s->io, " MAILBOX ");
    write_mailbox(&s->io, f->mailbox);
    io_printf(&s->io, " UIDVALIDITY %u) UID", f->uidvalidity);
}

static void write_extended(struct session *s, const struct return_options *r, const struct found *f)
{
    if (f->mailbox != NULL)
        write_correlators(s, f);
    else
        write_esearch_head(s, s->tag, f->uid);
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
    if (f->modseq && f->n > 0)
        io_printf(&s->io, " MODSEQ %llu", (unsigned long long)highest_modseq(s, r->options, f));
    if ((r->options & RETURN_RELEVANCY) && f->scores != NULL && f->n > 0) {
        for (size_t i = 0; i < f->n; i++)
            io_printf(&s->io, i == 0 ? " RELEVANCY (%u" : " %u", f->scores[i]);
        io_puts(&s->io, ")");
    }
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
    const bool all = (r->options & (RETURN_ALL | RETURN_COUNT)) || !(r->options & (RETURN_MIN | RETURN_MAX | RETURN_PARTIAL));
    size_t from = 0, n = 0;
    if (r->options & RETURN_PARTIAL)
        partial_place(r, f, &from, &n);
    buf_clear(&s->saved);
    for (size_t i = 0; i < f->n; i++) {
        const bool part = (r->options & RETURN_PARTIAL) && i >= from && i < from + n;
        if (!all && !part && !((r->options & RETURN_MIN) && i == 0) && !((r->options & RETURN_MAX) && i == f->n - 1))
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
        write_plain(s, f);
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
