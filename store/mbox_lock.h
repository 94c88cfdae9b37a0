#ifndef STORE_MBOX_LOCK_H
#define STORE_MBOX_LOCK_H
#include <stdbool.h>
#include <stdint.h>
#include "store/names.h"
#include "store/store.h"

/* Locks on one mbox file (design section 4). Exclusive: OFD fcntl write lock, flock(LOCK_EX), dotlock (store/dotlock.h).
 * Shared: OFD read lock and flock(LOCK_SH), and nobody else's dotlock there at that moment. Each is only tried; on any
 * failure all are released, a random 1-50 ms is waited, and it begins again until timeout_ms has passed: STORE_INUSE then,
 * whose text names the kind, the holder and since when (store/lock_holder.h). A SIGTERM or SIGHUP that is pending shortens
 * this wait and those that follow to 1 s. flock is left out on NFS. After locking the caller must check that the file is still the one that the name
 * leads to. */
struct mbox_lock;
enum mbox_lock_kind { MBOX_LOCK_NONE, MBOX_LOCK_SHARED, MBOX_LOCK_EXCLUSIVE };

/* What the locks of one session have in common. The caller sets the first two and keeps it longer than the locks. */
struct mbox_lock_session {
    int locker_fd;                           /* -1 or the locker, for INBOX */
    void (*warning)(const char *text);       /* may be NULL; told once if no dotlock can be made */
    bool warned, ending;
    int64_t contended_until, hold;           /* ms: until when others count as waiting; how long the last lock was held */
};
/* fd: the open mailbox (O_RDWR for exclusive), kept by the caller and longer than the lock. dirfd, leaf: from
 * names_open_dir; may be -1/NULL when no dotlock can be had (a file given by path alone). inbox: the locker is for this one. The
 * strings are copied, the descriptors borrowed. */
struct mbox_lock *mbox_lock_new(int fd, int dirfd, const char *leaf, bool inbox, struct mbox_lock_session *session);
void mbox_lock_free(struct mbox_lock *l);                     /* releases what is held */
enum mbox_lock_kind mbox_lock_held(const struct mbox_lock *l);
/* From NONE (or SHARED, which is released first) to kind. Where no dotlock can be made, and nobody has one, the other two do
 * alone. timeout_ms 0 tries once. 0 or -1 with held NONE. */
int mbox_lock_acquire(struct mbox_lock *l, enum mbox_lock_kind kind, unsigned timeout_ms, struct store_error *e);
void mbox_lock_release(struct mbox_lock *l);
/* Held shared, and somebody took the dotlock since: an agent that knows no other lock may be writing. */
bool mbox_lock_disturbed(const struct mbox_lock *l);
/* In long work, at least each minute: keeps the dotlock from becoming stale. */
void mbox_lock_touch(struct mbox_lock *l);
#endif
