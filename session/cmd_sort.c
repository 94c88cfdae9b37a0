/*
 * SORT and THREAD (RFC 5256, RFC 5957): their arguments before the search keys, and the responses.
 */
#include <stdlib.h>

#include "base/xmalloc.h"
#include "session/results.h"
#include "store/search.h"
#include "store/sort.h"
#include "store/thread.h"

static int on_found(void *ctx, uint32_t seq)
{
    buf_add(ctx, &seq, sizeof seq);
    return 0;
}

/* sort-criteria. Each key counts where it comes first: again it would decide nothing. */
static bool parse_sort_criteria(struct parse *p, struct sort_key *keys, size_t *n)
{
    static const char *const names[SORT_KEYS] = {
        [SORT_ARRIVAL] = "ARRIVAL", [SORT_CC] = "CC", [SORT_DATE] = "DATE", [SORT_DISPLAYFROM] = "DISPLAYFROM",
        [SORT_DISPLAYTO] = "DISPLAYTO", [SORT_FROM] = "FROM", [SORT_RELEVANCY] = "RELEVANCY", [SORT_SIZE] = "SIZE", [SORT_SUBJECT] = "SUBJECT", [SORT_TO] = "TO" };
    bool had[SORT_KEYS] = { false };
    *n = 0;
    if (!parse_char(p, '('))
        return false;
    do {
        const bool reverse = parse_word(p, "REVERSE");
        unsigned by = 0;
        if (reverse && !parse_sp(p))
            return false;
        while (by < SORT_KEYS && !parse_word(p, names[by]))
            by++;
        if (by == SORT_KEYS)
            return false;
        if (!had[by])
            keys[(*n)++] = (struct sort_key){ .by = (enum sort_by)by, .reverse = reverse };
        had[by] = true;
    } while (parse_sp(p));
    return parse_char(p, ')');
}

/* search-criteria: the charset and the keys, up to the end. false: *outcome is what to answer. */
struct criteria { struct str charset, keys; struct search_key program; };

static bool parse_search_criteria(struct session *s, struct parse *p, const char *usage, struct criteria *out, enum outcome *outcome)
{
    if (!parse_sp(p) || !parse_astring(p, &out->charset) || !parse_sp(p)) {
        *outcome = bad_arguments(s, usage);
        return false;
    }
    out->keys = (struct str){ p->at, (size_t)(p->end - p->at) };
    return search_parse(s, p, out->charset, &out->program, outcome);
}

static void write_message_number(struct session *s, uint32_t seq, bool uid)
{
    io_number(&s->io, uid ? mailbox_uid(s->mailbox, seq) : seq);
}

enum outcome run_sort(struct session *s, struct parse *p, bool uid)
{
    static const char usage[] = "SORT [RETURN (options)] (criteria) charset search-keys";
    struct sort_key keys[SORT_KEYS];
    struct criteria c;
    struct return_options r;
    enum outcome outcome;
    struct found f = { .uid = uid, .sorted = true, .keys = keys };
    struct buf seqs = { 0 };
    struct store_error e;
    if (!parse_sp(p) || !parse_return_options(s, p, &r) || !parse_sort_criteria(p, keys, &f.key_count))
        return bad_arguments(s, usage);
    if (!parse_search_criteria(s, p, usage, &c, &outcome)) {
        if (outcome == OUTCOME_NO && (r.options & RETURN_SAVE))
            buf_clear(&s->saved);
        return outcome;
    }
    if (!numbers_allowed(s, uid) || ((r.options & RETURN_UPDATE) && !context_tag_free(s)))
        return OUTCOME_BAD;
    f.modseq = search_uses(&c.program, SEARCH_MODSEQ);
    if (f.modseq)
        session_use_condstore(s);
    int rc = search_run(s->mailbox, &c.program, on_found, &seqs, &e);
    f.seqs = (uint32_t *)(void *)seqs.data;
    f.n = seqs.len / sizeof *f.seqs;
    unsigned char *const scores = rc == 0 ? sort_relevancy(s, &c.program, keys, f.key_count, r.options & RETURN_RELEVANCY) : NULL;
    f.scores = scores;
    if (rc == 0 && f.n > 0)
        rc = sort_run(s->mailbox, keys, f.key_count, s->collation, f.seqs, &f.n, &e);
    if (rc == 0)
        write_results(s, &r, &f);
    else if (r.options & RETURN_SAVE)
        buf_clear(&s->saved);
    if (rc == 0 && (r.options & RETURN_UPDATE))
        context_add(s, c.charset, c.keys, &r, &f);
    free(scores);
    buf_free(&seqs);
    return rc == 0 ? OUTCOME_OK : store_no(s, &e);
}

/* ---- THREAD ---------------------------------------------------------------------------------------------------------- */

static bool parse_thread_algorithm(struct parse *p, enum thread_algorithm *out)
{
    static const char *const names[] = {
        [THREAD_ORDEREDSUBJECT] = "ORDEREDSUBJECT", [THREAD_REFERENCES] = "REFERENCES", [THREAD_REFS] = "REFS" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (!parse_word(p, names[i]))
            continue;
        *out = (enum thread_algorithm)i;
        return true;
    }
    return false;
}

/* Siblings that are still to be told, each a list of its own. */
struct siblings { uint32_t next, end; };

/* thread-data. A thread may be as deep as the mailbox is long: the stack is of our own, and holds only places where a thread
 * splits. */
static void write_threads(struct session *s, const struct threads *t, bool uid)
{
    struct siblings *stack = xcalloc(t->n + 1, sizeof *stack);
    size_t depth = 1;
    stack[0] = (struct siblings){ 0, (uint32_t)t->roots };
    io_puts(&s->io, t->roots > 0 ? "* THREAD " : "* THREAD");
    while (depth > 0) {
        struct siblings *top = &stack[depth - 1];
        if (top->next == top->end) {                 /* the list that they are in ends, if it is not the outermost */
            if (--depth > 0)
                io_puts(&s->io, ")");
            continue;
        }
        const struct thread_node *node = &t->nodes[top->next++];
        const char *between = "(";
        for (;; node = &t->nodes[node->first_child]) {
            io_puts(&s->io, between);
            if (node->seq != 0)
                write_message_number(s, node->seq, uid);
            if (node->child_count != 1)
                break;
            between = " ";
        }
        if (node->child_count == 0) {
            io_puts(&s->io, ")");
        } else {
            io_puts(&s->io, node->seq != 0 ? " " : "");
            stack[depth++] = (struct siblings){ node->first_child, node->first_child + node->child_count };
        }
    }
    io_puts(&s->io, "\r\n");
    free(stack);
}

enum outcome run_thread(struct session *s, struct parse *p, bool uid)
{
    static const char usage[] = "THREAD algorithm charset search-keys";
    enum thread_algorithm algorithm;
    struct criteria c;
    enum outcome outcome;
    struct buf seqs = { 0 };
    struct threads threads;
    struct store_error e;
    if (!parse_sp(p) || !parse_thread_algorithm(p, &algorithm))
        return bad_arguments(s, usage);
    if (!parse_search_criteria(s, p, usage, &c, &outcome))
        return outcome;
    if (!numbers_allowed(s, uid))
        return OUTCOME_BAD;
    int rc = search_run(s->mailbox, &c.program, on_found, &seqs, &e);
    if (rc == 0)
        rc = thread_run(s->mailbox, algorithm, s->collation, (const uint32_t *)(const void *)seqs.data, seqs.len / sizeof(uint32_t),
                        &threads, &e);
    if (rc == 0) {
        write_threads(s, &threads, uid);
        threads_free(&threads);
    }
    buf_free(&seqs);
    return rc == 0 ? OUTCOME_OK : store_no(s, &e);
}

enum outcome cmd_sort(struct session *s, struct parse *p)
{
    return run_sort(s, p, false);
}

enum outcome cmd_thread(struct session *s, struct parse *p)
{
    return run_thread(s, p, false);
}
