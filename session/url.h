#ifndef SESSION_URL_H
#define SESSION_URL_H
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"

/* IMAP URLs (RFC 5092 section 11) of a message or a part of one, as CATENATE gives them. */
struct imap_url {
    struct str server;             /* "user;AUTH=x@host:port" as written; .p NULL: none */
    struct str mailbox;            /* UTF-8, percent-decoded; .p NULL: the URL begins with ";UID=": the selected mailbox */
    uint32_t uidvalidity;          /* 0: none given */
    uint32_t uid;
    struct str section;            /* section-spec of RFC 3501 without brackets, decoded; .p NULL: the whole message */
    bool partial;
    uint64_t from, length;         /* length UINT64_MAX: to the end */
    struct str rest;               /* ";EXPIRE=...;URLAUTH=..." as written (RFC 4467); .p NULL: none */
};
/* Strings are in the arena. False: not such a URL (a mailbox or a search, a relative path, bad escapes, NUL, repeated or unknown
 * parameters). */
bool url_parse(struct str text, struct arena *a, struct imap_url *out);
#endif
