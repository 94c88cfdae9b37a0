/*
 * What CAPABILITY says: the table of capabilities beside the commands', and ENABLE, which knows some of them.
 */
#include "session/command.h"

enum { GREET = STATE_GREET, AUTH = STATE_AUTH, ANY = STATE_GREET | STATE_AUTH };

/* Those that belong to no command of their own (command.h has the others), in the order in which they are told. */
static const struct capability {
    const char *name;
    unsigned states;                 /* STATE_AUTH: once logged in, selected or not */
    unsigned enables;                /* ENABLED_ bits that ENABLE name sets; 0: not for ENABLE */
} capabilities[] = {
    { "IMAP4rev1", ANY, 0 },
    { "LITERAL+", ANY, 0 },
    { "SASL-IR", GREET, 0 },
    { "BINARY", AUTH, 0 },
    { "PREVIEW", AUTH, 0 },
};
enum { CAPABILITIES = sizeof capabilities / sizeof *capabilities };

void write_capabilities(struct buf *out, const struct config *c, unsigned state, bool plaintext_login)
{
    const unsigned now = state == STATE_GREET ? STATE_GREET : STATE_AUTH;
    const size_t start = out->len;
    (void)c;
    for (size_t i = 0; i < CAPABILITIES; i++)
        if (capabilities[i].states & now)
            buf_printf(out, out->len > start ? " %s" : "%s", capabilities[i].name);
    if (now == STATE_GREET && plaintext_login)
        write_mechanisms(out);
    else if (now == STATE_GREET)
        buf_puts(out, " LOGINDISABLED");
    for (const struct command *row = commands; row->name != NULL; row++)
        if (row->capability != NULL && (now != STATE_GREET || row->states & STATE_GREET))
            buf_printf(out, " %s", row->capability);
}

/* RFC 5161: what is not known is passed over, as is what cannot be enabled; what was enabled before is not told again. */
enum outcome cmd_enable(struct session *s, struct parse *p)
{
    static const char usage[] = "ENABLE capability ...";
    struct str name;
    const char *at = p->at;
    if (!parse_sp(p))
        return bad_arguments(s, usage);
    do
        if (!parse_atom(p, &name))
            return bad_arguments(s, usage);
    while (parse_sp(p));
    if (!parse_end(p))
        return bad_arguments(s, usage);
    io_puts(&s->io, "* ENABLED");
    for (p->at = at; parse_sp(p) && parse_atom(p, &name);) {
        for (size_t i = 0; i < CAPABILITIES; i++) {
            const struct capability *c = &capabilities[i];
            if (c->enables == 0 || !str_ieq(name, str_z(c->name)))
                continue;
            if ((s->enabled & c->enables) != c->enables)
                io_printf(&s->io, " %s", c->name);
            s->enabled |= c->enables;
        }
    }
    io_puts(&s->io, "\r\n");
    return OUTCOME_OK;
}
