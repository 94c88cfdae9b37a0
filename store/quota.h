#ifndef STORE_QUOTA_H
#define STORE_QUOTA_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "store/names.h"
#include "store/store.h"

/* Quotas as the file system keeps them (RFC 9208), read by quotactl_fd(2) (Linux 5.14). A quota root is the quota of the
 * user, or of a group, on one file system that mail is on; one without a limit is none. Its name:
 *   "spool"          the user's, where the INBOX is, if that is not where the other mailboxes are
 *   "home"           the user's, where the other mailboxes are
 *   "folder/NAME"    the user's, where the directory or mailbox NAME is, if that is another file system again
 * and the same with "/$GROUP" behind it for a group's quota ("home/$staff"). */
enum { QUOTA_NAME_MAX = MAILBOX_NAME_MAX + 300, QUOTA_ROOTS = 2 };
struct quota_root {
    char name[QUOTA_NAME_MAX];
    uint64_t used, limit;          /* STORAGE: units of 1024 octets, used rounded up; the limit that holds now */
};

/* The roots of a mailbox, which need not be there: up to QUOTA_ROOTS, *n of them, 0 if nothing limits it. STORE_NOPERM if it is
 * there and may not be read. 0 or -1. */
int quota_of_mailbox(struct store *s, const struct mailbox_name *name, struct quota_root roots[QUOTA_ROOTS], size_t *n,
                     struct store_error *e);
/* A root by its name. STORE_CANNOT if there is no such root, or it has no limit. 0 or -1. */
int quota_get(struct store *s, struct str root, struct quota_root *out, struct store_error *e);
#endif
