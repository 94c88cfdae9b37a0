/*
 * ESEARCH: SEARCH in several mailboxes (RFC 7377). Each is opened read-only beside the selected one and searched by the same
 * program; message numbers are those of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "session/filter.h"
#include "session/results.h"

enum { SOURCES = 16, MAILBOXES = 10000 };

struct names_found { struct session *s; char **list; size_t n, capacity; };

static int add_name(void *ctx, const char *name)
{
    struct names_found *x = ctx;
    for (size_t i = 0; i < x->n; i++)
        if (strcmp(x->list[i], name) == 0)
            return 0;
    if (x->n == MAILBOXES)
        return 1;
    if (x->n == x->capacity) {
        char **more = arena_alloc(x->s->arena, (x->capacity * 2 + 16) * sizeof *more);
        if (x->n > 0)
            memcpy(more, x->list, x->n * sizeof *more);
        x->list = more;
        x->capacity = x->capacity * 2 + 16;
    }
    x->list[x->n++] = arena_strndup(x->s->arena, name, strlen(name));
    return 0;
}

static int on_found(void *ctx, uint32_t seq)
{
    buf_add(ctx, &seq, sizeof seq);
    return 0;
}

/* The mailbox that is open in s->mailbox, which is the selected one or takes its place for the moment. */
static enum outcome search_here(struct session *s, struct str charset, struct str keys, const struct return_options *r)
{
    struct parse p = { .at = keys.p, .end = keys.p + keys.n, .arena = s->arena };
    struct buf seqs = { 0 };
    struct search_key program;
    struct store_error e;
    enum outcome outcome;
    if (!search_parse(s, &p, charset, &program, &outcome))
        return outcome;
    if (search_run(s->mailbox, &program, on_found, &seqs, &e) != 0) {
        buf_free(&seqs);
        return store_no(s, &e);
    }
    unsigned char *const scores = r->options & RETURN_RELEVANCY ? relevancy(s, &program) : NULL;
    const struct found f = { .seqs = (uint32_t *)(void *)seqs.data, .n = seqs.len / sizeof(uint32_t), .uid = true,
                             .modseq = search_uses(&program, SEARCH_MODSEQ), .scores = scores, .correlators = true };
    if (f.n > 0)
        write_results(s, r, &f);
    else if (r->options & RETURN_SAVE)
        buf_clear(&s->saved);
    if (r->options & RETURN_UPDATE)
        context_add(s, charset, keys, r, &f);
    free(scores);
    buf_free(&seqs);
    io_relieve(&s->io);
    return OUTCOME_OK;
}

static enum outcome search_there(struct session *s, const char *text, struct str charset, struct str keys,
                                 const struct return_options *r)
{
    struct mailbox *const selected = s->mailbox;
    struct mailbox_name name;
    struct mailbox *there;
    if (names_parse(store_names(s->store), str_z(text), &name, NULL, NULL) != 0
        || mailbox_open(s->store, &name, true, &there, NULL) != 0)
        return OUTCOME_OK;                       /* gone, or not for this user: RFC 7377 has it ignored */
    s->mailbox = there;
    const enum outcome outcome = search_here(s, charset, keys, r);
    s->mailbox = selected;
    mailbox_close(there);
    return outcome;
}

/* "IN (" filter *(SP filter) ") " */
static bool parse_sources(struct session *s, struct parse *p, struct mailbox_filter *out, size_t *n)
{
    if (!parse_word(p, "IN"))
        return true;
    if (!parse_sp(p) || !parse_char(p, '('))
        return false;
    do
        if (*n == SOURCES || !parse_filter(s, p, &out[*n]) || out[(*n)++].kind == FILTER_DELAYED)
            return false;
    while (parse_sp(p));
    return parse_char(p, ')') && parse_sp(p);
}

/* The keys are right or not, whatever mailboxes there are. A use of MODSEQ is one of CONDSTORE. */
static bool keys_right(struct session *s, struct str charset, struct str keys, enum outcome *outcome)
{
    struct parse p = { .at = keys.p, .end = keys.p + keys.n, .arena = s->arena };
    struct search_key program;
    if (!search_parse(s, &p, charset, &program, outcome))
        return false;
    if (search_uses(&program, SEARCH_MODSEQ))
        session_use_condstore(s);
    return true;
}

static enum outcome search_sources(struct session *s, struct parse *p, struct mailbox_filter *sources, size_t n,
                                   struct return_options *r)
{
    struct names_found names = { .s = s };
    struct store_error e;
    struct str charset;
    bool selected = false, others = false;
    enum outcome outcome = OUTCOME_OK;
    for (size_t i = 0; i < n; i++) {
        selected |= sources[i].kind == FILTER_SELECTED;
        others |= sources[i].kind != FILTER_SELECTED;
    }
    if (selected && s->mailbox == NULL)
        return say(s, OUTCOME_BAD, NULL, "Select a mailbox first");
    if ((r->options & (RETURN_SAVE | RETURN_UPDATE)) && (others || !selected))
        return say(s, OUTCOME_BAD, NULL, "SAVE and UPDATE are for the selected mailbox alone");
    if (!parse_charset(s, p, &charset, &outcome))
        return outcome;
    const struct str keys = { p->at, (size_t)(p->end - p->at) };
    if (!keys_right(s, charset, keys, &outcome))
        return outcome;
    if ((r->options & RETURN_UPDATE) && !context_tag_free(s))
        return OUTCOME_BAD;
    if (selected)
        add_name(&names, mailbox_name_of(s->mailbox));
    for (size_t i = 0; i < n; i++)
        if (sources[i].kind != FILTER_SELECTED && filter_each(s, &sources[i], add_name, &names, &e) != 0)
            return store_no(s, &e);
    for (size_t i = 0; i < names.n && outcome == OUTCOME_OK && !s->io.failed; i++)
        outcome = selected && i == 0 ? search_here(s, charset, keys, r) : search_there(s, names.list[i], charset, keys, r);
    return outcome;
}

enum outcome cmd_esearch(struct session *s, struct parse *p)
{
    struct mailbox_filter sources[SOURCES];
    struct return_options r;
    size_t n = 0;
    if (!parse_sp(p) || !parse_sources(s, p, sources, &n) || !parse_return_options(s, p, &r))
        return bad_arguments(s, "ESEARCH [IN (mailboxes)] [RETURN (options)] [CHARSET charset] keys");
    if (n == 0)
        sources[n++].kind = FILTER_SELECTED;
    r.given = true;
    const enum outcome outcome = search_sources(s, p, sources, n, &r);
    if (outcome == OUTCOME_NO && (r.options & RETURN_SAVE))
        buf_clear(&s->saved);                    /* RFC 5182 section 2.1 */
    return outcome;
}
