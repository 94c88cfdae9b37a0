/*
 * The UIDVALIDITY of a mailbox without messages. There is no X-IMAPbase in it, so it would be lost with the index: with
 * durable-flags it is kept in an extended attribute of the file, which other programs neither see nor lose when they append.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "store/mailbox_private.h"

static const char attribute[] = "user.imapd.uidvalidity";
enum { VALUE = 32 };

void box_recall(const struct box *b, uint32_t *uidvalidity, uint32_t *last)
{
    char value[VALUE], rest;
    const ssize_t n = fgetxattr(b->fd, attribute, value, sizeof value - 1);
    value[n > 0 ? n : 0] = 0;
    if (sscanf(value, "%10u %10u%c", uidvalidity, last, &rest) != 2)
        *uidvalidity = *last = 0;
}

bool box_remember(const struct box *b, const struct box_record *rec)
{
    char now[VALUE], wanted[VALUE];
    const ssize_t n = fgetxattr(b->fd, attribute, now, sizeof now);
    if (rec->bits & BOX_SEALED)
        return n >= 0 && fremovexattr(b->fd, attribute) == 0;       /* the file says it itself */
    const int want = snprintf(wanted, sizeof wanted, "%u %u", rec->uidvalidity, rec->uidnext - 1);
    if (rec->exists > 0 || (n == want && memcmp(now, wanted, (size_t)n) == 0) || fsetxattr(b->fd, attribute, wanted, (size_t)want, 0) != 0)
        return false;
    (void)fsync(b->fd);                          /* a disk that fails will be heard of when mail is written */
    return true;
}
