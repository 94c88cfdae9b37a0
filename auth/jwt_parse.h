#ifndef AUTH_JWT_PARSE_H
#define AUTH_JWT_PARSE_H
#include <stdbool.h>
#include "base/buf.h"

/* What a client sends for OAUTHBEARER (RFC 7628 section 3.1) and XOAUTH2, and the compact form of a signed token (RFC 7515
 * section 3.1) in it, taken apart. Nothing here is believed or decoded but base64url; nothing is allocated. */
enum { JWT_PARSE_MESSAGE_MAX = 16384, JWT_PARSE_NAME_MAX = 255, JWT_PARSE_DEPTH_MAX = 16 };

struct jwt_parse_message {
    char name[JWT_PARSE_NAME_MAX + 1];   /* OAUTHBEARER: the authzid, "" if none; XOAUTH2: user. No control characters; not
                                            checked to be UTF-8 */
    struct str token;                    /* into the message; empty: the client asks which scope it needs */
    struct str host, port;               /* as sent, empty if not */
};
/* 0, or -1: not of that form, too long, or another kind of token than Bearer. */
int jwt_parse_oauthbearer(struct jwt_parse_message *m, struct str data);
int jwt_parse_xoauth2(struct jwt_parse_message *m, struct str data);

/* header "." payload "." signature, each base64url and not empty; text is what is signed. All point into the token. */
struct jwt_parse_token {
    struct str header, payload, signature, text;
};
int jwt_parse_token(struct jwt_parse_token *t, struct str token);

/* Base64url without padding (RFC 7515 section 2), strict: unused bits are zero, so that one string of octets has one spelling.
 * Writes to out at most size octets. 0 with *n, or -1. */
int jwt_parse_base64url(struct str in, char *out, size_t size, size_t *n);

/* Is JSON text (or what claims to be) nested at most JWT_PARSE_DEPTH_MAX deep? Asked before a parser that recurses sees it. */
bool jwt_parse_shallow(struct str json);
#endif
