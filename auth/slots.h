#ifndef AUTH_SLOTS_H
#define AUTH_SLOTS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/slot.h"

/* Who is connected, for imapd --stat: a file for each session, in a directory that is root's alone, STATE-FILE.sessions. A file's name is
 * the process's number and the time (CLOCK_BOOTTIME, ms) when it was made, so that a number that is used again is not taken for the
 * session. Its first part says who it is and is written once, by root; the second is a struct slot, which alone the session has mapped.
 * Each session has a file of its own because a mapping can be made to grow (mremap(2)): it must not grow over another's.
 *
 * A session leaves its file behind, as it is not root any more. Those are removed, and what they had counted is added to the totals
 * (census.h), by one of every SWEEP_EVERY sessions that begin, and by every reader. */
enum { SLOT_USER = 256, SLOT_ADDRESS = 64, SLOT_AT = 65536 };     /* where the slot begins: a multiple of any page's size */
struct slot_owner {
    char user[SLOT_USER], address[SLOT_ADDRESS];
    uint32_t tls;
    uint32_t pad;
    int64_t at;                        /* s since 1970 */
};

/* Runs as root. This process is to become a session of the user: its slot, mapped until it ends, in no child of it; NULL where there
 * is none (no state-file; or a reason, which is logged). The session goes on without. */
struct slot *slots_take(const char *state_file, const char *user, const char *address, bool tls);

struct slot_seen {
    pid_t pid;
    int64_t began;                     /* of the process, ms of CLOCK_BOOTTIME */
    struct slot_owner owner;           /* texts as those of slot_read */
    struct slot slot;
};
/* Runs as root. Calls each for every session that lives. 0, or -1 with errno: the directory cannot be used. That it is not there, since nobody
 * was here yet, is no error. */
int slots_each(const char *state_file, void (*each)(void *ctx, const struct slot_seen *s), void *ctx);
/* A file of the directory: false if it is too short, or names nothing. */
bool slots_parse(int fd, struct slot_owner *owner, struct slot *slot);
#endif
