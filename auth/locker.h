#ifndef AUTH_LOCKER_H
#define AUTH_LOCKER_H
#include "auth/auth.h"

/* The locker: makes and removes the dotlock of one INBOX in a spool directory that only a group may write. Its requests are in
 * store/locker_proto.h; the session, the only client, holds the other end of the socket. */

/* Forks it, as root. It runs as the user with the spool's group and no other, confined to creating files in that directory;
 * it creates an INBOX that is missing, removes the lock that it holds and ends when the session's end of the socket closes.
 * The session's end, or -1 (logged). */
int locker_start(const struct account *a, gid_t spool_gid, const char *inbox);
#endif
