/*
 * APPEND's stream: lines, literals, and passing over what a refused command has sent.
 */
#include <stdio.h>
#include <string.h>

#include "session/append.h"

static int patience(const struct upload *u)
{
    return (int)u->s->config->idle_timeout * 1000;
}

void upload_init(struct upload *u, struct session *s, struct parse *p, const char *usage)
{
    *u = (struct upload){ .s = s, .usage = usage, .p = *p, .start = p->at };
    u->p.arena = arena_new();
}

void upload_free(struct upload *u)
{
    append_abort(u->to);
    if (u->source != NULL)
        mailbox_close(u->source);
    buf_free(&u->line);
    arena_free(u->p.arena);
}

void upload_told(struct upload *u)
{
    struct mailbox_name name;
    if (rev2(u->s) && to_store_name(u->s, u->mailbox, &name, NULL) && !name.inbox)
        list_normalized(u->s, u->mailbox, name.text, NULL, false);
}

enum step upload_refuse(struct upload *u, enum outcome outcome)
{
    u->outcome = outcome;
    return STEP_REFUSED;
}

enum step upload_store_no(struct upload *u, bool target)
{
    const enum outcome outcome = store_no(u->s, &u->e);
    if (target && u->e.code == STORE_NONEXISTENT)
        snprintf(u->s->code, sizeof u->s->code, "TRYCREATE");
    return upload_refuse(u, outcome);
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

/* A line that is too long leaves its end, which may announce a literal. */
static enum io_status next_line(struct upload *u)
{
    buf_clear(&u->line);
    const enum io_status status = io_line(&u->s->io, &u->line, u->s->config->line_limit, patience(u));
    if (status == IO_TOO_LONG) {
        buf_clear(&u->line);
        buf_add(&u->line, u->s->io.tail, u->s->io.tail_n);
    }
    u->start = u->p.at = u->line.data;
    u->p.end = u->line.data + u->line.len;
    u->text += u->line.len;
    return status;
}

enum step upload_line(struct upload *u)
{
    const enum io_status status = next_line(u);
    if (status == IO_TOO_LONG)
        return upload_refuse(u, say(u->s, OUTCOME_BAD, "TOOBIG", "Command line too long"));
    if (status != IO_OK)
        return STEP_GONE;
    if (u->text > UPLOAD_TEXT)
        return upload_refuse(u, say(u->s, OUTCOME_NO, "LIMIT", "The command is too long"));
    return STEP_GOOD;
}

static bool pass_over(struct upload *u, uint64_t n)
{
    char part[8192];
    size_t got;
    for (; n > 0; n -= got)
        if (io_some(&u->s->io, part, n < sizeof part ? (size_t)n : sizeof part, &got, patience(u)) != IO_OK)
            return false;
    return true;
}

/* What the client has sent without asking. A synchronising literal is not asked for, so it never comes. False: the client is gone, or
 * the stream cannot be followed. */
static bool drain(struct upload *u)
{
    const uint64_t limit = u->s->config->append_limit;
    for (;;) {
        uint64_t n;
        bool synchronising;
        const size_t length = (size_t)(u->p.end - u->start);
        if (!ends_with_literal((struct str){ u->start, length }, &n, &synchronising)) {
            if (length < 2 || u->p.end[-2] != '+' || u->p.end[-1] != '}')
                return true;
            untagged(u->s, "BYE Literal of unknown size");
            return false;
        }
        if (synchronising)
            return true;
        if (n / 4 > limit) {
            untagged(u->s, "BYE [TOOBIG] The message is larger than append-limit");
            return false;
        }
        if (!pass_over(u, n))
            return false;
        const enum io_status status = next_line(u);
        if (status != IO_OK && status != IO_TOO_LONG)
            return false;
    }
}

enum outcome upload_fail(struct upload *u, enum step step)
{
    struct session *s = u->s;
    if (step == STEP_BAD)
        u->outcome = bad_arguments(s, u->usage);
    if (u->source != NULL)
        mailbox_read_end(u->source);
    const bool there = step != STEP_GONE && drain(u);
    upload_free(u);
    if (there)
        return u->outcome;
    s->state = STATE_LOGOUT;
    return OUTCOME_SILENT;
}

/* ---- literals ----------------------------------------------------------------------------------------------------- */

bool upload_literal_head(struct upload *u, struct literal *out)
{
    struct parse *p = &u->p;
    const char *at = p->at;
    out->binary = parse_char(p, '~');
    if (parse_char(p, '{') && parse_number64(p, &out->n)) {
        out->synchronising = !parse_char(p, '+');
        if (parse_char(p, '}') && parse_end(p))
            return true;
    }
    p->at = at;
    return false;
}

enum step upload_room(struct upload *u, uint64_t n)
{
    if (n > u->s->config->append_limit - u->size)
        return upload_refuse(u, say(u->s, OUTCOME_NO, "TOOBIG", "The message is larger than append-limit"));
    u->size += n;
    return STEP_GOOD;
}

/* Refused within a literal: n octets of it are still to come. */
static enum step refuse_rest(struct upload *u, uint64_t n)
{
    if (!pass_over(u, n))
        return STEP_GONE;
    const enum io_status status = next_line(u);
    return status == IO_OK || status == IO_TOO_LONG ? STEP_REFUSED : STEP_GONE;
}

enum step upload_literal(struct upload *u, const struct literal *lit)
{
    char part[65536];
    size_t got;
    literal_begin(u->s, lit->synchronising);
    for (uint64_t n = lit->n; n > 0; n -= got) {
        if (io_some(&u->s->io, part, n < sizeof part ? (size_t)n : sizeof part, &got, patience(u)) != IO_OK)
            return STEP_GONE;
        if (lit->binary && memchr(part, 0, got) != NULL) {
            upload_refuse(u, say(u->s, OUTCOME_NO, "UNKNOWN-CTE", "A message with NUL octets cannot be stored"));
            return refuse_rest(u, n - got);
        }
        if (append_data(u->to, part, got, &u->e) != 0) {
            upload_store_no(u, true);
            return refuse_rest(u, n - got);
        }
    }
    return upload_line(u);
}

enum step upload_astring(struct upload *u, struct str *out)
{
    struct literal lit;
    const char *at = u->p.at;
    if (!upload_literal_head(u, &lit) || lit.binary) {
        u->p.at = at;
        return parse_astring(&u->p, out) ? STEP_GOOD : STEP_BAD;
    }
    if (lit.n > UPLOAD_URL)
        return upload_refuse(u, say(u->s, OUTCOME_NO, "TOOBIG", "Literal too large"));
    char *text = arena_alloc(u->p.arena, (size_t)lit.n + 1);
    size_t have = 0, got;
    literal_begin(u->s, lit.synchronising);
    for (; have < lit.n; have += got)
        if (io_some(&u->s->io, text + have, (size_t)lit.n - have, &got, patience(u)) != IO_OK)
            return STEP_GONE;
    u->text += lit.n;
    *out = (struct str){ text, have };
    const enum step step = upload_line(u);
    return step == STEP_GOOD && memchr(text, 0, have) != NULL ? STEP_BAD : step;
}
