/*
 * IDLE (RFC 2177): waits for the client or a change, whichever comes first.
 */
#include "session/command.h"

enum { IDLE_RETRY = 20 };            /* ms, after a change while another program still holds the mailbox */

enum outcome cmd_idle(struct session *s, struct parse *p)
{
    struct buf line = { 0 };
    struct store_error e;
    if (!parse_end(p))
        return bad_arguments(s, "IDLE");
    const int timeout = (int)s->config->idle_timeout * 1000;
    if (s->mailbox != NULL)
        mailbox_watch(s->mailbox);
    io_puts(&s->io, "+ idling\r\n");
    bool told = session_sync(s, true);
    if (s->mailbox != NULL && !mailbox_readonly(s->mailbox) && mailbox_checkpoint(s->mailbox, false, &e) != 0)
        store_no(s, &e);                        /* logged; what follows says nothing of it */
    s->code[0] = s->text[0] = 0;
    for (;;) {
        const enum io_status status = io_wait(&s->io, s->mailbox != NULL ? mailbox_watch(s->mailbox) : -1,
                                              told ? timeout : IDLE_RETRY);
        if (s->mailbox != NULL && (status == IO_OTHER || (status == IO_TIMEOUT && !told))) {
            mailbox_watch_clear(s->mailbox);
            told = session_sync(s, true);
            if (s->state == STATE_LOGOUT)
                return OUTCOME_SILENT;
            continue;
        }
        if (status == IO_TIMEOUT)
            untagged(s, "BYE Idle for too long");
        if (status != IO_OK) {
            s->state = STATE_LOGOUT;
            return OUTCOME_SILENT;
        }
        break;
    }
    const enum io_status status = io_line(&s->io, &line, 1000, timeout);
    const bool done = status == IO_OK && str_ieq(buf_str(&line), STR("DONE"));
    buf_free(&line);
    if (status != IO_OK && status != IO_TOO_LONG) {
        s->state = STATE_LOGOUT;
        return OUTCOME_SILENT;
    }
    return done ? OUTCOME_OK : say(s, OUTCOME_BAD, NULL, "Expected DONE");
}
