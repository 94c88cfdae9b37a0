#ifndef SESSION_SASL_SCRAM_H
#define SESSION_SASL_SCRAM_H
#include "session/command.h"

/* AUTHENTICATE with a SCRAM mechanism (RFC 5802, 7677): the client's messages are taken apart here, the monitor is asked what to answer and
 * whether the proof is right. initial: the client's first message, or NULL. Refused here already: a client that binds to no channel
 * with -PLUS or to one without, to one that is not known, or that was made to believe that there is no -PLUS (section 6). */
enum outcome authenticate_scram(struct session *s, const char *mechanism, const struct buf *initial);
#endif
