#ifndef AUTH_KEEPER_H
#define AUTH_KEEPER_H
#include "base/buf.h"

/* UNAUTHENTICATE (RFC 8437), only with the setting of that name: a session has given up root for good, so a process that stays
 * root, the keeper, waits beside it for the next login on the same connection. It reads one thing from a session, once, when that
 * has ended: octets of the client that were not used, at most KEEPER_UNREAD, which only the next greeter will look at. */
enum { KEEPER_UNREAD = 60000 };
enum keeper {
    KEEPER_SESSION,      /* this is the new process, which is to become the user; *report is for keeper_report */
    KEEPER_AGAIN,        /* this is the keeper: the session has ended with keeper_report, *unread is set, no process of it is left */
    KEEPER_OVER          /* this is the keeper: the connection is over */
};
enum keeper keeper_split(int *report, struct buf *unread);
/* In the session's process, once it is the user: ends it when the keeper is gone. -1: the keeper is gone already. */
int keeper_bind(int report);
/* The client said UNAUTHENTICATE; the process is to end now. -1: unread is too long, the connection must end. */
int keeper_report(int report, struct str unread);
#endif
