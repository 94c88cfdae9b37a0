/*
 * APPEND: the one command whose literal is not kept in memory. The line comes here up to "{n}"; the octets go straight to
 * the store, which touches the mailbox only at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/command.h"

struct request {
    struct str wire;
    struct flags flags;
    bool has_date;
    int64_t date;
    int zone;
    uint64_t size;
    bool synchronising;
};

static bool parse_request(struct session *s, struct parse *p, struct request *r)
{
    if (!parse_sp(p) || !parse_astring(p, &r->wire) || !parse_sp(p))
        return false;
    r->flags = (struct flags){ .bits = 0 };
    if (p->at < p->end && *p->at == '(') {
        const char *at = p->at;
        if (!parse_flags(p, true, &r->flags)) {
            p->at = at;
            return false;
        }
        if (!parse_sp(p))
            return false;
    }
    if (p->at < p->end && *p->at == '"') {
        if (!parse_date_time(p, &r->date, &r->zone) || !parse_sp(p))
            return false;
        r->has_date = true;
    }
    (void)s;
    if (!parse_char(p, '{') || !parse_number64(p, &r->size))
        return false;
    r->synchronising = !parse_char(p, '+');
    return parse_char(p, '}') && parse_end(p);
}

static bool pass_over(struct session *s, uint64_t n)
{
    char part[8192];
    size_t got;
    for (; n > 0; n -= got)
        if (io_some(&s->io, part, n < sizeof part ? (size_t)n : sizeof part, &got, (int)s->config->idle_timeout * 1000) != IO_OK)
            return false;
    return true;
}

static enum outcome gone(struct session *s)
{
    s->state = STATE_LOGOUT;
    return OUTCOME_SILENT;
}

/* Refused before the octets: a synchronising client never sends them; another has sent them already. */
static enum outcome refuse(struct session *s, const struct request *r, enum outcome outcome)
{
    struct buf rest = { 0 };
    if (r->synchronising)
        return outcome;
    const bool there = pass_over(s, r->size) && io_line(&s->io, &rest, s->config->line_limit, (int)s->config->idle_timeout * 1000) == IO_OK;
    buf_free(&rest);
    return there ? outcome : gone(s);
}

static enum outcome try_create(struct session *s, const struct store_error *e)
{
    const enum outcome outcome = store_no(s, e);
    if (e->code == STORE_NONEXISTENT)
        snprintf(s->code, sizeof s->code, "TRYCREATE");
    return outcome;
}

/* The octets into a. 1 taken, 0 refused by the store (what is left was passed over), -1 the client is gone. */
static int take_octets(struct session *s, struct append *a, uint64_t n, struct store_error *e)
{
    char part[65536];
    size_t got;
    for (; n > 0; n -= got) {
        if (io_some(&s->io, part, n < sizeof part ? (size_t)n : sizeof part, &got, (int)s->config->idle_timeout * 1000) != IO_OK)
            return -1;
        if (append_data(a, part, got, e) != 0)
            return pass_over(s, n - got) ? 0 : -1;
    }
    return 1;
}

static enum outcome commit(struct session *s, struct append *a, struct store_error *e)
{
    uint32_t validity, *uids;
    size_t count;
    if (append_commit(a, &validity, &uids, &count, e) != 0)
        return try_create(s, e);
    char code[64];
    snprintf(code, sizeof code, "APPENDUID %u %u", validity, uids[0]);
    free(uids);
    return say(s, OUTCOME_OK, code, "APPEND completed");
}

enum outcome cmd_append(struct session *s, struct parse *p)
{
    static const char usage[] = "APPEND mailbox [(flags)] [\"date\"] {literal}";
    struct request r = { .has_date = false };
    struct mailbox_name name;
    struct append *a;
    struct store_error e = { .code = STORE_OK };
    struct buf rest = { 0 };
    if (!parse_request(s, p, &r)) {
        /* The stream can be followed only if the line ends with a literal of known size. */
        if (ends_with_literal((struct str){ p->at, (size_t)(p->end - p->at) }, &r.size, &r.synchronising) && !r.synchronising) {
            if (r.size <= s->config->append_limit)
                return refuse(s, &r, bad_arguments(s, usage));
            untagged(s, "BYE [TOOBIG] The message is larger than append-limit");
            return gone(s);
        }
        /* A literal that is coming anyway, of a size that is no number: what follows cannot be told from commands. */
        if (p->end - p->at >= 2 && p->end[-2] == '+' && p->end[-1] == '}') {
            untagged(s, "BYE Literal of unknown size");
            return gone(s);
        }
        return bad_arguments(s, usage);
    }
    if (r.size > s->config->append_limit) {
        if (r.synchronising || r.size <= 4 * s->config->append_limit)
            return refuse(s, &r, say(s, OUTCOME_NO, "TOOBIG", "The message is larger than append-limit"));
        untagged(s, "BYE [TOOBIG] The message is larger than append-limit");
        return gone(s);
    }
    if (!to_store_name(s, r.wire, &name, NULL))
        return refuse(s, &r, OUTCOME_NO);
    if (append_begin(s->store, &name, &a, &e) != 0)
        return refuse(s, &r, try_create(s, &e));
    const struct append_message msg = { .flags = r.flags.bits, .keywords = r.flags.keywords, .keyword_count = r.flags.n,
        .has_date = r.has_date, .date = r.date, .zone = r.zone };
    if (append_message(a, &msg, &e) != 0) {
        append_abort(a);
        return refuse(s, &r, store_no(s, &e));
    }
    literal_begin(s, r.synchronising);
    const int taken = take_octets(s, a, r.size, &e);
    if (taken < 0 || io_line(&s->io, &rest, s->config->line_limit, (int)s->config->idle_timeout * 1000) != IO_OK) {
        buf_free(&rest);
        append_abort(a);
        return gone(s);
    }
    const bool clean = rest.len == 0;
    buf_free(&rest);
    if (taken == 0 || !clean) {
        append_abort(a);
        return taken == 0 ? store_no(s, &e) : bad_arguments(s, usage);
    }
    return commit(s, a, &e);
}
