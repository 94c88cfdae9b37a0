#ifndef AUTH_SANDBOX_H
#define AUTH_SANDBOX_H

#include <stdbool.h>

/* The part of a session's confinement that is the same for every user, begun while there is time: who waits for a client can do it. Opens
 * paths, applies nothing. A descriptor for sandbox_session, or -1: it cannot be had yet (not said here). */
int sandbox_begin(void);
/* Confines a session, which is the user already, to the user's mail: home, index and journal directory whole, the directory of the
 * INBOX as far as mail there needs it, and what the C library reads (time zone, character sets); and to the system calls that
 * serving mail takes (filter_session). No new privileges, no core, no processes, not traceable. What the kernel does not have is
 * missing, and logged in one line; the user's permissions remain. begun: of sandbox_begin, or -1; closed here. 0; -1: something is missing, and required. */
int sandbox_session(int begun, const char *home, const char *inbox, const char *index_dir, const char *journal_dir, bool required);
#endif
