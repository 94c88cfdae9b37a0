#ifndef AUTH_SANDBOX_H
#define AUTH_SANDBOX_H

#include <stdbool.h>

/* The part of a session's confinement that is the same for every user, begun while there is time: who waits for a client can do it. Opens
 * paths, applies nothing. A descriptor for sandbox_session, or -1: it cannot be had yet (not said here). */
int sandbox_begin(void);
/* Confines a session, which is the user already, to the user's mail: home, index and journal directory whole, the directory of the
 * INBOX as far as mail there needs it, and what the C library reads (time zone, character sets); and to the system calls that
 * serving mail takes (filter_session). No new privileges, no core, no processes, not traceable. What the kernel does not have is
 * missing, and logged in one line; the user's permissions remain. 0; -1: something is missing, and required. */
struct sandbox {
    int begun;                         /* of sandbox_begin, closed by sandbox_session; or -1 */
    const char *home, *inbox, *index_dir, *journal_dir;
    bool sockets;                      /* it may connect to Unix sockets */
    bool required;
};
int sandbox_session(const struct sandbox *s);
#endif
