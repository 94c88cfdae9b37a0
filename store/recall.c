/*
 * The UIDVALIDITY of a mailbox without X-IMAPbase, as one without messages is: it would be lost with the index. With durable-flags it is
 * kept in an extended attribute of the file, with the last UID, which other programs neither see nor lose when they append. An attribute that
 * says less than is so would give UIDs twice: it goes as soon as nobody keeps it up to date.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "store/mailbox_private.h"

static const char attribute[] = "user.imapd.uidvalidity";
enum { VALUE = 32 };

/* Is there one? 0 and 0: it says nothing that can be. */
static bool get(const struct box *b, uint32_t *uidvalidity, uint32_t *last)
{
    char value[VALUE], rest;
    const ssize_t n = fgetxattr(b->fd, attribute, value, sizeof value - 1);
    value[n > 0 ? n : 0] = 0;
    if (sscanf(value, "%10u %10u%c", uidvalidity, last, &rest) != 2 || *uidvalidity > time(NULL) + CLOCK_SLACK || *last >= UID_SANE)
        *uidvalidity = *last = 0;
    return n >= 0;
}

void box_recall(const struct box *b, uint32_t *uidvalidity, uint32_t *last)
{
    *uidvalidity = *last = 0;
    if (b->store->settings->durable_flags)
        get(b, uidvalidity, last);
}

bool box_remember(struct box *b)
{
    struct box_record rec;
    uint32_t uidvalidity, last;
    char wanted[VALUE];
    if (b->readonly)
        return false;
    const bool there = get(b, &uidvalidity, &last);
    if (!b->store->settings->durable_flags)
        return there && fremovexattr(b->fd, attribute) == 0;
    if (box_record_of(b, &rec, NULL) != 1)
        return false;
    if (rec.bits & BOX_SEALED)
        return there && fremovexattr(b->fd, attribute) == 0;        /* the file says it itself */
    if (uidvalidity != 0 && uidvalidity != rec.uidvalidity)         /* of another index, which knows the file as another mailbox */
        return false;
    if (uidvalidity != 0 && last >= rec.uidnext - 1)                /* another index has given more: the next scan takes it over */
        return false;
    const int n = snprintf(wanted, sizeof wanted, "%u %u", rec.uidvalidity, rec.uidnext - 1);
    if (fsetxattr(b->fd, attribute, wanted, (size_t)n, 0) != 0)
        return there && fremovexattr(b->fd, attribute) == 0;
    (void)fsync(b->fd);                          /* a disk that fails will be heard of when mail is written */
    return true;
}

void box_keep_uidvalidity(struct box *b, struct box_record *rec)
{
    struct box_record now;
    if (b->store->settings->durable_flags && box_remember(b) && box_refresh(b, &now, NULL) == 0)
        *rec = now;
}
