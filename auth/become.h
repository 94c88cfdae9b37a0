#ifndef AUTH_BECOME_H
#define AUTH_BECOME_H
#include "auth/auth.h"

/* Turns this process (root) for good into the user: makes the configured index directory if it is outside the home, starts
 * the locker if the INBOX's directory needs the spool group (*locker_fd, else -1), then initgroups, setresgid, setresuid, and
 * sees that there is no way back. 0, or -1 (logged): the process must end then. */
int become_user(const struct config *c, const struct account *a, int *locker_fd);
#endif
