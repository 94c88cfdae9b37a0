/*
 * APPEND (RFC 3501, RFC 9051) of one or several messages (RFC 3502), and REPLACE (RFC 8508). Their literals are not kept in memory:
 * the lines come one by one, the octets go straight to the store, which touches the mailbox only at the end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "session/append.h"

static enum outcome commit(struct upload *u)
{
    uint32_t validity, *uids;
    size_t count;
    char code[64];
    struct append *a = u->to;
    u->to = NULL;
    if (append_commit(a, &validity, &uids, &count, &u->e) != 0)
        return upload_fail(u, upload_store_no(u, true));
    if (count == 1)
        snprintf(code, sizeof code, "APPENDUID %u %u", validity, uids[0]);
    else
        snprintf(code, sizeof code, "APPENDUID %u %u:%u", validity, uids[0], uids[count - 1]);
    free(uids);
    u->s->appended += count;
    upload_told(u);
    upload_free(u);
    return say(u->s, OUTCOME_OK, code, "APPEND completed");
}

enum outcome cmd_append(struct session *s, struct parse *p)
{
    struct upload u;
    upload_init(&u, s, p, "APPEND mailbox [(flags)] [\"date\"] {literal} ...");
    enum step step = parse_sp(&u.p) ? upload_astring(&u, &u.mailbox) : STEP_BAD;
    u.mailbox = arena_str(s->arena, u.mailbox);
    do {
        if (step == STEP_GOOD)
            step = upload_message(&u);
    } while (step == STEP_GOOD && !parse_end(&u.p));
    return step == STEP_GOOD ? commit(&u) : upload_fail(&u, step);
}

/* ---- REPLACE ------------------------------------------------------------------------------------------------------ */

enum outcome cmd_replace(struct session *s, struct parse *p)
{
    return run_replace(s, p, false);
}

/* seq-number: the message it names, or 0. */
static uint32_t uid_of(const struct session *s, uint32_t number, bool uid)
{
    const uint32_t exists = mailbox_exists(s->mailbox);
    if (number == UINT32_MAX)
        number = exists == 0 ? 0 : uid ? mailbox_uid(s->mailbox, exists) : exists;
    if (uid)
        return mailbox_seq(s->mailbox, number) != 0 ? number : 0;
    return number >= 1 && number <= exists ? mailbox_uid(s->mailbox, number) : 0;
}

/* The message to be replaced is known before the octets come: what cannot be done is told in time. */
static enum step head(struct upload *u, bool uid, uint32_t *replaced)
{
    struct parse *p = &u->p;
    uint32_t number = UINT32_MAX;
    if (!parse_sp(p) || (!parse_char(p, '*') && !parse_nz_number(p, &number)) || !parse_sp(p))
        return STEP_BAD;
    const enum step step = upload_astring(u, &u->mailbox);
    if (step != STEP_GOOD)
        return step;
    u->mailbox = arena_str(u->s->arena, u->mailbox);
    if (!numbers_allowed(u->s, uid))
        return upload_refuse(u, OUTCOME_BAD);
    if (mailbox_readonly(u->s->mailbox))
        return upload_refuse(u, say(u->s, OUTCOME_NO, "NOPERM", "The mailbox is read-only"));
    *replaced = uid_of(u->s, number, uid);
    if (*replaced == 0)
        return upload_refuse(u, say(u->s, uid ? OUTCOME_NO : OUTCOME_BAD, NULL, "No such message"));
    return STEP_GOOD;
}

/* The new message comes and the old one goes in one step of the store; APPENDUID is told before the EXPUNGE. */
static enum outcome replace(struct upload *u, uint32_t replaced)
{
    uint32_t validity, fresh;
    struct append *a = u->to;
    u->to = NULL;
    if (append_replace(a, u->s->mailbox, replaced, &validity, &fresh, &u->e) != 0)
        return upload_fail(u, upload_store_no(u, true));
    upload_told(u);
    untagged(u->s, "OK [APPENDUID %u %u] Replacement message ready", validity, fresh);
    u->s->appended++;
    u->s->must_tell = true;
    u->s->tell_modseq = qresync(u->s);
    upload_free(u);
    return OUTCOME_OK;
}

enum outcome run_replace(struct session *s, struct parse *p, bool uid)
{
    struct upload u;
    uint32_t replaced = 0;
    upload_init(&u, s, p, "REPLACE number mailbox [(flags)] [\"date\"] {literal}");
    enum step step = head(&u, uid, &replaced);
    if (step == STEP_GOOD)
        step = upload_message(&u);
    if (step == STEP_GOOD && !parse_end(&u.p))
        step = STEP_BAD;
    return step == STEP_GOOD ? replace(&u, replaced) : upload_fail(&u, step);
}
