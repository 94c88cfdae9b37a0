#ifndef STORE_DOTLOCK_H
#define STORE_DOTLOCK_H
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* The dotlock LEAF.lock of a mailbox, made by this process, by the locker, or by liblockfile's setgid helper.
 *
 * A lock file of ours holds the session's pid and "imapd" in a line each, and on a local file system its maker keeps it open
 * under flock(LOCK_EX) as long as it lives. So one of ours whose maker was killed is told from a live one whatever pids, pid
 * namespaces or boots lie between, and is taken over at once. Any lock file not touched for 5 minutes is stale. */
struct dotlock;

/* dirfd (borrowed) and leaf (copied) as from names_open_dir; locker_fd: -1 or the locker's socket, borrowed. */
struct dotlock *dotlock_new(int dirfd, const char *leaf, int locker_fd);
void dotlock_free(struct dotlock *d);                   /* drops it */

enum dotlock_result {
    DOTLOCK_HAD,
    DOTLOCK_BUSY,            /* somebody else has it */
    DOTLOCK_IMPOSSIBLE       /* nobody has it, and it cannot be made here: errno says why */
};
/* Tries once. */
enum dotlock_result dotlock_take(struct dotlock *d);
/* Removes it, if it is still ours. */
void dotlock_drop(struct dotlock *d);
/* Sets its time to now. */
void dotlock_touch(struct dotlock *d);
bool dotlock_held(const struct dotlock *d);
/* Is there one that is neither ours nor stale nor of a dead session? Makes nothing. */
bool dotlock_is_busy(const struct dotlock *d);

/* When it was made or touched, whoever has it. False: there is none. */
bool dotlock_since(const struct dotlock *d, struct timespec *out);

struct dotlock_holder {
    pid_t pid;               /* as it says itself; 0: it does not */
    uid_t uid;               /* its owner */
    struct timespec since;   /* made or touched */
};
/* What can be known of a lock file that is there: true if it is. */
bool dotlock_look(const struct dotlock *d, struct dotlock_holder *out);
#endif
