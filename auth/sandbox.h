#ifndef AUTH_SANDBOX_H
#define AUTH_SANDBOX_H

#include <stdbool.h>

/* Confines a session, which is the user already, to the user's mail: home, index and journal directory whole, the directory of the
 * INBOX as far as mail there needs it, and what the C library reads (time zone, character sets); and to the system calls that
 * serving mail takes (filter_session). No new privileges, no core, no processes, not traceable. What the kernel does not have is
 * missing, and logged in one line; the user's permissions remain. 0; -1: something is missing, and required. */
int sandbox_session(const char *home, const char *inbox, const char *index_dir, const char *journal_dir, bool required);
#endif
