#ifndef AUTH_FILTER_H
#define AUTH_FILTER_H
#include <stdbool.h>

/* System call filters (seccomp): a call that is on no list kills the process. Both imply no_new_privs. A build with sanitizers
 * answers EPERM instead of killing and allows what their reports need. */

/* For the greeter: read, write, wait, tell the time, get memory that is not executable, log, end. 0 or -1 with errno. */
int filter_greeter(void);
/* For the TLS relay: besides that, shut down one direction of a socket that it has. */
int filter_relay(void);
/* For a warm relay: besides that, accept, be handed descriptors, make pipes, fork, and confine itself further. */
int filter_warm(void);
/* For the locker: besides that, in directories that it has open, create a file that does not exist yet, link, rename, remove,
 * stat and touch; it can open nothing that exists. */
int filter_locker(void);
/* For a session: its user's files, memory, time, the sockets that it has (client, locker, system log). Starting programs or processes,
 * other users, other processes and networks are out of reach. with_sockets: it may make Unix sockets and connect them. */
int filter_session(bool with_sockets);
#endif
