#ifndef STORE_LOCK_HOLDER_H
#define STORE_LOCK_HOLDER_H
#include <stddef.h>
#include "store/dotlock.h"

/* Who has a lock on the file fd, as far as this process may find out, for the client and the log: of which kind ("fcntl",
 * "flock", "dotlock"), process, program, since when. d may be NULL. waited: seconds that this process has seen it held. Writes
 * text such as "fcntl lock of process 12 (mutt), for at least 10 s". */
void lock_holder_describe(int fd, const struct dotlock *d, const char *kind, unsigned waited, char *out, size_t size);
#endif
