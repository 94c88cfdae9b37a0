/*
 * IDLE (RFC 2177): waits for the client or a change, whichever comes first.
 */
#include "session/metadata.h"
#include "session/notify.h"

enum {
    IDLE_RETRY = 20,                 /* ms, after a change while another program still holds the mailbox */
    METADATA_EVERY = 2000            /* ms: with ENABLE METADATA the annotations are looked at so often */
};

/* As io_wait; meanwhile annotations that others change are told. */
static enum io_status wait_telling(struct session *s, int other, int timeout)
{
    for (int left = timeout; s->metadata_watch != NULL && left > METADATA_EVERY; left -= METADATA_EVERY) {
        const enum io_status status = io_wait(&s->io, other, METADATA_EVERY);
        if (status != IO_TIMEOUT)
            return status;
        metadata_watch_tell(s);
        timeout = left - METADATA_EVERY;
    }
    return io_wait(&s->io, other, timeout);
}

/* Until there is input: IO_OK; or the session ends. */
static enum io_status wait_for_done(struct session *s, bool told)
{
    const int timeout = (int)s->config->idle_timeout * 1000;
    if (s->notify != NULL) {
        s->idling = true;
        const enum io_status status = notify_wait(s, timeout);
        s->idling = false;
        return status == IO_OK ? io_wait(&s->io, -1, timeout) : status;
    }
    for (;;) {
        const enum io_status status = wait_telling(s, s->mailbox != NULL ? mailbox_watch(s->mailbox) : -1,
                                                   told ? timeout : IDLE_RETRY);
        if (s->mailbox == NULL || !(status == IO_OTHER || (status == IO_TIMEOUT && !told)))
            return status;
        mailbox_watch_clear(s->mailbox);
        told = session_sync(s, true);
        if (s->state == STATE_LOGOUT)
            return IO_EOF;
    }
}

enum outcome cmd_idle(struct session *s, struct parse *p)
{
    struct buf line = { 0 };
    struct store_error e;
    if (!parse_end(p))
        return bad_arguments(s, "IDLE");
    if (s->mailbox != NULL)
        mailbox_watch(s->mailbox);
    io_puts(&s->io, "+ ");
    write_text(s, "idling");
    io_puts(&s->io, "\r\n");
    const bool told = session_sync(s, true);
    if (s->mailbox != NULL && !mailbox_readonly(s->mailbox) && mailbox_checkpoint(s->mailbox, false, &e) != 0)
        store_no(s, &e);                        /* logged; what follows says nothing of it */
    s->code[0] = s->text[0] = 0;
    enum io_status status = wait_for_done(s, told);
    if (status == IO_TIMEOUT && s->state != STATE_LOGOUT)
        untagged(s, "BYE Idle for too long");
    if (status == IO_OK)
        status = io_line(&s->io, &line, 1000, (int)s->config->idle_timeout * 1000);
    const bool done = status == IO_OK && str_ieq(buf_str(&line), STR("DONE"));
    buf_free(&line);
    if (status != IO_OK && status != IO_TOO_LONG) {
        s->state = STATE_LOGOUT;
        return OUTCOME_SILENT;
    }
    return done ? OUTCOME_OK : say(s, OUTCOME_BAD, NULL, "Expected DONE");
}
