#ifndef STORE_MBOX_LOCK_H
#define STORE_MBOX_LOCK_H
#include <stdbool.h>
#include "store/names.h"
#include "store/store.h"

/* Locks on one mbox file (design section 4). Exclusive: dotlock (through the locker for INBOX if locker_fd >= 0, else
 * liblockfile by way of /proc/self/fd/DIRFD so that no path is walked again), OFD fcntl write lock, flock(LOCK_EX). Shared:
 * OFD read lock and flock(LOCK_SH). Each is only tried; on any failure all are released, a random 1-50 ms is waited, and
 * it begins again until timeout_ms has passed: STORE_INUSE then, whose text names the kind and the holder's pid or the lock
 * file's age where they can be found. Dotlocks older than 5 minutes are stale. A held exclusive dotlock is touched by
 * mbox_lock_touch (call it at least each minute in long work). flock is left out on NFS. After locking the caller must
 * check that the file is still the one that the name leads to. */
struct mbox_lock;
enum mbox_lock_kind { MBOX_LOCK_NONE, MBOX_LOCK_SHARED, MBOX_LOCK_EXCLUSIVE };
/* fd: the open mailbox (O_RDWR for exclusive), kept by the caller and longer than the lock. dirfd, leaf: from
 * names_open_dir; may be -1/NULL when no dotlock can be had (a file given by path alone). locker_fd: -1 or the locker. The
 * strings are copied, the descriptors borrowed. */
struct mbox_lock *mbox_lock_new(int fd, int dirfd, const char *leaf, int locker_fd);
void mbox_lock_free(struct mbox_lock *l);                     /* releases what is held */
enum mbox_lock_kind mbox_lock_held(const struct mbox_lock *l);
/* From NONE (or SHARED, which is released first) to kind. A directory that cannot be written gives no dotlock: then the
 * other two do alone. timeout_ms 0 tries once. 0 or -1 with held NONE. */
int mbox_lock_acquire(struct mbox_lock *l, enum mbox_lock_kind kind, unsigned timeout_ms, struct store_error *e);
void mbox_lock_release(struct mbox_lock *l);
void mbox_lock_touch(struct mbox_lock *l);
#endif
