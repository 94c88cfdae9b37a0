/*
 * SEARCH and UID SEARCH.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "session/results.h"

static int on_found(void *ctx, uint32_t seq)
{
    buf_add(ctx, &seq, sizeof seq);
    return 0;
}

bool parse_charset(struct session *s, struct parse *p, struct str *charset, enum outcome *outcome)
{
    *charset = STR("UTF-8");
    if (!parse_word(p, "CHARSET"))
        return true;
    if (!parse_sp(p) || !parse_astring(p, charset) || !parse_sp(p)) {
        *outcome = bad_arguments(s, "CHARSET charset keys");
        return false;
    }
    if (s->enabled & ENABLED_UTF8) {             /* RFC 6855 section 3 */
        *outcome = say(s, OUTCOME_BAD, NULL, "No CHARSET once UTF8=ACCEPT is enabled");
        return false;
    }
    return true;
}

/* message-limit (RFC 9738): only the last messages of those that the program's sets leave are searched. */
static struct search_key limit_search(struct session *s, const struct search_key *program)
{
    uint32_t first = 1, last = mailbox_exists(s->mailbox);
    search_narrow(s->mailbox, program, &first, &last);
    const uint32_t most = s->config->message_limit;
    if (most == 0 || first > last || last - first < most)
        return *program;
    struct search_key *both = arena_alloc(s->arena, 2 * sizeof *both);
    s->limit_uid = mailbox_uid(s->mailbox, last - most + 1);
    both[0] = (struct search_key){ .type = SEARCH_UID, .ranges = arena_alloc(s->arena, sizeof(struct search_range)), .range_count = 1 };
    both[0].ranges[0] = (struct search_range){ s->limit_uid, UINT32_MAX };
    both[1] = *program;
    return (struct search_key){ .type = SEARCH_AND, .children = both, .child_count = 2, .collation = program->collation };
}

static enum outcome search(struct session *s, struct parse *p, bool uid, const struct return_options *r)
{
    struct str charset;
    struct search_key program;
    struct buf seqs = { 0 };
    struct store_error e;
    enum outcome outcome;
    if (!parse_charset(s, p, &charset, &outcome))
        return outcome;
    const struct str keys = { p->at, (size_t)(p->end - p->at) };
    if (!search_parse(s, p, charset, &program, &outcome))
        return outcome;
    if (!numbers_allowed(s, uid) || ((r->options & RETURN_UPDATE) && !context_tag_free(s)))
        return OUTCOME_BAD;
    if (search_uses(&program, SEARCH_MODSEQ))
        session_use_condstore(s);
    struct search_key limited = limit_search(s, &program);
    if (search_run(s->mailbox, &limited, on_found, &seqs, &e) != 0) {
        buf_free(&seqs);
        return store_no(s, &e);
    }
    struct found f = { .seqs = (uint32_t *)(void *)seqs.data, .n = seqs.len / sizeof(uint32_t), .uid = uid,
                       .modseq = search_uses(&program, SEARCH_MODSEQ) };
    unsigned char *const scores = r->options & RETURN_RELEVANCY ? relevancy(s, &program) : NULL;
    f.scores = scores;
    write_results(s, r, &f);
    if (r->options & RETURN_UPDATE)
        context_add(s, charset, keys, r, &f);
    free(scores);
    buf_free(&seqs);
    return OUTCOME_OK;
}

enum outcome run_search(struct session *s, struct parse *p, bool uid)
{
    struct return_options r;
    if (!parse_sp(p) || !parse_return_options(s, p, &r))
        return bad_arguments(s, "SEARCH [RETURN (options)] [CHARSET charset] keys");
    const enum outcome outcome = search(s, p, uid, &r);
    if (outcome == OUTCOME_NO && (r.options & RETURN_SAVE))
        buf_clear(&s->saved);                    /* RFC 5182 section 2.1 */
    return outcome;
}

enum outcome cmd_search(struct session *s, struct parse *p)
{
    return run_search(s, p, false);
}
