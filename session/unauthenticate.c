/*
 * UNAUTHENTICATE (RFC 8437), if the administrator has allowed it: the session ends as at LOGOUT, but the connection goes on with
 * another login (auth/keeper.h). All state is that of the session's process, so that none of it is left.
 */
#include "session/command.h"

enum outcome cmd_unauthenticate(struct session *s, struct parse *p)
{
    enum { PATIENCE = 10000 };
    if (s->unauthenticated == NULL)
        return say(s, OUTCOME_BAD, NULL, "UNAUTHENTICATE is not offered here");
    if (!parse_end(p))
        return bad_arguments(s, "UNAUTHENTICATE");
    session_unselect(s, true);
    s->state = STATE_LOGOUT;
    if (!io_compress_ends(&s->io, PATIENCE)) {           /* NO is not permitted */
        untagged(s, "BYE Compression goes on after UNAUTHENTICATE");
        return OUTCOME_SILENT;
    }
    *s->unauthenticated = true;
    return OUTCOME_OK;
}
