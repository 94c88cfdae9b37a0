#ifndef SESSION_SASL_H
#define SESSION_SASL_H
#include "session/command.h"

/* AUTHENTICATE's exchange (RFC 3501 section 6.2.2, RFC 4422), in the greeter. */

/* Longest decoded message of a client (octets): bearer tokens are the longest. */
enum { SASL_MESSAGE_MAX = 16000 };
/* Sends "+ " and the challenge in base64, and appends the client's answer, decoded, to out. OK; else what AUTHENTICATE must return
 * (cancelled, not base64, too long, SILENT if the connection has ended). */
enum outcome sasl_ask(struct session *s, struct str challenge, struct buf *out);
/* The end of an exchange: GRANTED ends the greeter, anything else is answered. */
enum outcome sasl_result(struct session *s, enum login_result result);
/* LOGIN and the mechanisms that bring a password. */
enum outcome sasl_password(struct session *s, const char *mechanism, struct str authzid, struct str user, struct str password);
/* Is the tag short enough to be handed on? Else BAD is to be said. */
bool sasl_tag_ok(const struct session *s);
/* Frees a buffer that may hold a secret. */
void sasl_wipe(struct buf *b);
#endif
