/*
 * What CAPABILITY says: the table of capabilities beside the commands', and ENABLE, which knows some of them.
 */
#include "session/command.h"

#include "base/mechanisms.h"
#include "session/metadata.h"

enum { GREET = STATE_GREET, AUTH = STATE_AUTH, ANY = STATE_GREET | STATE_AUTH };

/* Those that belong to no command of their own (command.h has the others), in the order in which they are told. */
static const struct capability {
    const char *name;
    unsigned states;                 /* STATE_AUTH: once logged in, selected or not */
    unsigned enables;                /* ENABLED_ bits that ENABLE name sets; 0: not for ENABLE */
} capabilities[] = {
    { "IMAP4rev1", ANY, 0 },
    { "IMAP4rev2", ANY, ENABLED_REV2 },
    { "LITERAL+", ANY, 0 },
    { "SASL-IR", GREET, 0 },
    { "ENABLE", GREET, 0 },          /* the command's row tells it after login: imaplib keeps what it was told before */
    { "CONDSTORE", AUTH, ENABLED_CONDSTORE },
    { "QRESYNC", AUTH, ENABLED_QRESYNC },
    { "UTF8=ACCEPT", AUTH, ENABLED_UTF8 },
    { "UIDONLY", AUTH, ENABLED_UIDONLY },
    { "METADATA", 0, ENABLED_METADATA },         /* the command's row tells it */
    { "OBJECTID", AUTH, 0 },
    { "STATUS=SIZE", AUTH, 0 },
    { "SAVEDATE", AUTH, 0 },
    { "INPROGRESS", AUTH, 0 },
    { "CREATE-SPECIAL-USE", AUTH, 0 },
    { "FILTERS", AUTH, 0 },
    { "SORT=DISPLAY", AUTH, 0 },
    { "THREAD=ORDEREDSUBJECT", AUTH, 0 },
    { "THREAD=REFERENCES", AUTH, 0 },
    { "THREAD=REFS", AUTH, 0 },
    { "MULTIAPPEND", AUTH, 0 },
    { "CATENATE", AUTH, 0 },
    { "URL-PARTIAL", AUTH, 0 },
    { "BINARY", AUTH, 0 },
    { "PREVIEW", AUTH, 0 },
};
enum { CAPABILITIES = sizeof capabilities / sizeof *capabilities };

void write_capabilities(struct buf *out, const struct config *c, unsigned state, unsigned offers)
{
    const unsigned now = state == STATE_GREET ? STATE_GREET : STATE_AUTH;
    const size_t start = out->len;
    for (size_t i = 0; i < CAPABILITIES; i++)
        if (capabilities[i].states & now)
            buf_printf(out, out->len > start ? " %s" : "%s", capabilities[i].name);
    if (now == STATE_AUTH)
        buf_printf(out, " APPENDLIMIT=%llu", (unsigned long long)c->append_limit);
    if (now == STATE_GREET && (offers & OFFER_STARTTLS))
        buf_puts(out, " STARTTLS");
    if (now == STATE_GREET && (offers & OFFER_LOGIN_COMMAND) == 0)
        buf_puts(out, " LOGINDISABLED");
    if (now == STATE_GREET)
        write_mechanisms(out, offers);
    if (now == STATE_AUTH && c->message_limit > 0)
        buf_printf(out, " MESSAGELIMIT=%u", c->message_limit);
    for (const struct command *row = commands; row->name != NULL; row++)
        if (row->capability != NULL && (row->run != cmd_unauthenticate || c->unauthenticate) && (now != STATE_GREET || row->states & STATE_GREET))
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
    s->io.utf8 = (s->enabled & (ENABLED_UTF8 | ENABLED_REV2)) != 0;
    if (s->enabled & ENABLED_METADATA)
        metadata_watch_begin(s);
    return OUTCOME_OK;
}
