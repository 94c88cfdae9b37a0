/*
 * Commands of any state, and those of the authenticated state that touch no mailbox: CAPABILITY, NOOP, LOGOUT, ID, NAMESPACE.
 */
#include "session/command.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

enum outcome cmd_capability(struct session *s, struct parse *p)
{
    if (!parse_end(p))
        return bad_arguments(s, "CAPABILITY");
    io_puts(&s->io, "* CAPABILITY ");
    write_capabilities(&s->io.output, s->config, s->state, s->greeter != NULL ? s->greeter->offers : 0);
    io_puts(&s->io, "\r\n");
    return OUTCOME_OK;
}

enum outcome cmd_noop(struct session *s, struct parse *p)
{
    if (!parse_end(p))
        return bad_arguments(s, "NOOP");
    if (s->mailbox != NULL)
        mailbox_hurry(s->mailbox);
    return OUTCOME_OK;
}

enum outcome cmd_logout(struct session *s, struct parse *p)
{
    if (!parse_end(p))
        return bad_arguments(s, "LOGOUT");
    if (s->mailbox != NULL && (s->config->expunge_on & EXPUNGE_ON_LOGOUT) && !mailbox_readonly(s->mailbox))
        mailbox_expunge(s->mailbox, NULL, 0, NULL, NULL);
    session_unselect(s, true);
    untagged(s, "BYE %s IMAP4rev1 server terminating connection", s->config->hostname != NULL ? s->config->hostname : "localhost");
    s->state = STATE_LOGOUT;
    s->end = "logout";
    return OUTCOME_OK;
}

/* RFC 2971: NIL, or up to 30 pairs of strings. */
enum outcome cmd_id(struct session *s, struct parse *p)
{
    static const char usage[] = "ID NIL or ID (\"field\" \"value\" ...)";
    struct str text;
    if (!parse_sp(p))
        return bad_arguments(s, usage);
    if (!parse_word(p, "NIL")) {
        if (!parse_char(p, '('))
            return bad_arguments(s, usage);
        int i = 0;
        for (; !parse_char(p, ')'); i++) {
            if (i >= 60 || (i > 0 && !parse_sp(p)) || !(parse_string(p, &text) || (i % 2 == 1 && parse_word(p, "NIL"))))
                return bad_arguments(s, usage);
        }
        if (i % 2 != 0)                /* a field without its value */
            return bad_arguments(s, usage);
    }
    if (!parse_end(p))
        return bad_arguments(s, usage);
    io_puts(&s->io, "* ID (\"name\" \"mbox-imapd\" \"version\" \"" PACKAGE_VERSION "\")\r\n");
    return OUTCOME_OK;
}

enum outcome cmd_namespace(struct session *s, struct parse *p)
{
    if (!parse_end(p))
        return bad_arguments(s, "NAMESPACE");
    io_puts(&s->io, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    return OUTCOME_OK;
}
