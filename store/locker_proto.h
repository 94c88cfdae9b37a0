#ifndef STORE_LOCKER_PROTO_H
#define STORE_LOCKER_PROTO_H
#include <stdint.h>

/* What a session says to its locker (auth/locker.h), the process that may create the dotlock of the INBOX in a spool
 * directory that the user cannot write. A stream socket: one request octet, then one reply, both whole. */
enum locker_request {
    LOCKER_LOCK = 'L',      /* try once; 0, EEXIST (held by another, see the rest of the reply) or another errno */
    LOCKER_SEIZE = 'S',     /* after EEXIST: the session found that the lock which was in the way, the user's own, is of a dead
                               session. Takes its place if it still is that file; answers as LOCKER_LOCK */
    LOCKER_TOUCH = 'T',     /* set its time to now, so that it does not become stale; ENOENT if we do not hold it */
    LOCKER_UNLOCK = 'U'     /* 0 also if it was not held */
};
struct locker_reply {
    int32_t err;            /* 0 or an errno */
    int32_t holder_pid;     /* of the process that holds it, 0 if the locker cannot know: it may create but not read files,
                               the dotlock itself says it to those who may */
    int32_t age_seconds;    /* since the lock was made or touched, -1 if unknown */
};
#endif
