/*
 * What APPEND takes as a message: append-message of RFC 4466 with the data of RFC 3501, RFC 3516 and RFC 9051 (literal8), RFC 4469
 * (CATENATE) and RFC 6855 (UTF8).
 */
#include <stdio.h>

#include "session/append.h"

static enum step nothing(struct upload *u)
{
    return upload_refuse(u, say(u->s, OUTCOME_NO, NULL, "A message without octets: nothing was appended"));    /* RFC 3502 */
}

/* The target is looked at when the first message is about to come: a client that waits for the continuation is told in time. */
static enum step begin(struct upload *u, const struct append_message *msg)
{
    struct mailbox_name name;
    if (u->to == NULL) {
        if (!to_store_name(u->s, u->mailbox, &name, NULL))
            return upload_refuse(u, OUTCOME_NO);
        if (append_begin(u->s->store, &name, &u->to, &u->e) != 0)
            return upload_store_no(u, true);
    }
    return append_message(u->to, msg, &u->e) == 0 ? STEP_GOOD : upload_store_no(u, true);
}

static enum step close_parenthesis(struct upload *u)
{
    return parse_char(&u->p, ')') ? STEP_GOOD : STEP_BAD;
}

static enum step may_be_utf8(struct upload *u)
{
    if (u->s->enabled & (ENABLED_UTF8 | ENABLED_REV2))
        return STEP_GOOD;
    return upload_refuse(u, say(u->s, OUTCOME_NO, "CANNOT", "UTF8 wants ENABLE UTF8=ACCEPT first"));
}

/* Behind "UTF8": SP "(" literal8 up to the octets. */
static bool utf8_head(struct upload *u, struct literal *lit)
{
    return parse_sp(&u->p) && parse_char(&u->p, '(') && upload_literal_head(u, lit) && lit->binary;
}

/* ---- CATENATE ----------------------------------------------------------------------------------------------------- */

static enum step text_part(struct upload *u, bool utf8)
{
    struct literal lit;
    enum step step;
    if (utf8 ? !utf8_head(u, &lit) : !parse_sp(&u->p) || !upload_literal_head(u, &lit))
        return STEP_BAD;
    if (utf8 && (step = may_be_utf8(u)) != STEP_GOOD)
        return step;
    step = upload_room(u, lit.n);
    if (step == STEP_GOOD)
        step = upload_literal(u, &lit);
    return step == STEP_GOOD && utf8 ? close_parenthesis(u) : step;
}

static enum step part(struct upload *u)
{
    struct str url;
    arena_reset(u->p.arena);
    if (parse_word(&u->p, "TEXT"))
        return text_part(u, false);
    if (parse_word(&u->p, "UTF8"))
        return text_part(u, true);
    if (!parse_word(&u->p, "URL") || !parse_sp(&u->p))
        return STEP_BAD;
    const enum step step = upload_astring(u, &url);
    return step == STEP_GOOD ? catenate_url(u, url) : step;
}

static enum step catenate(struct upload *u, const struct append_message *msg)
{
    if (!parse_sp(&u->p) || !parse_char(&u->p, '('))
        return STEP_BAD;
    enum step step = begin(u, msg);
    do {
        if (step == STEP_GOOD)
            step = part(u);
    } while (step == STEP_GOOD && parse_sp(&u->p));
    if (step == STEP_GOOD)
        step = close_parenthesis(u);
    return step == STEP_GOOD && u->size == 0 ? nothing(u) : step;
}

/* ---- one message -------------------------------------------------------------------------------------------------- */

static enum step one_literal(struct upload *u, const struct append_message *msg, bool utf8)
{
    struct literal lit;
    enum step step;
    if (utf8 ? !utf8_head(u, &lit) : !upload_literal_head(u, &lit))
        return STEP_BAD;
    if (utf8 && (step = may_be_utf8(u)) != STEP_GOOD)
        return step;
    if (lit.n == 0)
        return nothing(u);
    step = upload_room(u, lit.n);
    if (step == STEP_GOOD)
        step = begin(u, msg);
    if (step == STEP_GOOD)
        step = upload_literal(u, &lit);
    return step == STEP_GOOD && utf8 ? close_parenthesis(u) : step;
}

enum step upload_message(struct upload *u)
{
    struct parse *p = &u->p;
    struct flags flags = { .bits = 0 };
    struct append_message msg = { .flags = 0 };
    arena_reset(p->arena);
    u->size = 0;
    if (!parse_sp(p))
        return STEP_BAD;
    const uint32_t limit = u->s->config->message_limit;
    if (limit != 0 && u->messages == limit) {
        char code[40];
        snprintf(code, sizeof code, "MESSAGELIMIT %u", limit);
        return upload_refuse(u, say(u->s, OUTCOME_NO, code, "Too many messages at once"));
    }
    if (u->messages++ == UPLOAD_MESSAGES)
        return upload_refuse(u, say(u->s, OUTCOME_NO, "LIMIT", "At most %d messages in one APPEND", (int)UPLOAD_MESSAGES));
    if (p->at < p->end && *p->at == '(' && (!parse_flags(p, true, &flags) || !parse_sp(p)))
        return STEP_BAD;
    if (p->at < p->end && *p->at == '"') {
        if (!parse_date_time(p, &msg.date, &msg.zone) || !parse_sp(p))
            return STEP_BAD;
        msg.has_date = true;
    }
    msg.flags = flags.bits;
    msg.keywords = flags.keywords;
    msg.keyword_count = flags.n;
    if (parse_word(p, "CATENATE"))
        return catenate(u, &msg);
    return one_literal(u, &msg, parse_word(p, "UTF8"));
}
