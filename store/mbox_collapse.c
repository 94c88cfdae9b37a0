/*
 * Changes that leave the rest of a huge file where it is: edits close together whose sum is nothing, or whole blocks of the
 * file system, which ext4 and XFS can take out of a file without copying what is behind them.
 *
 * The new octets of the changed region are the redo of one slot. Whether the blocks are out already is seen by what lies
 * behind the region: the octets that were there, or those of the tail.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/compat.h"
#include "store/mbox_journal.h"

/* Extents that the file system shifts in one transaction, by a wide margin. */
enum { EXTENTS = 256, PAGE = 4096 };
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

uint64_t mbox_collapse_block(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0 || fs.f_bsize <= 0)
        return 0;
    const unsigned long type = (unsigned long)fs.f_type;
    return type == EXT4_SUPER_MAGIC || type == XFS_SUPER_MAGIC ? (uint64_t)fs.f_bsize : 0;
}

uint64_t mbox_collapse_pad(int fd, uint64_t at, uint64_t region, uint64_t shorter)
{
    const uint64_t block = mbox_collapse_block(fd), unit = block != 0 ? block : PAGE;
    uint64_t pad = shorter % unit;
    if (block == 0 && shorter >= 2 * unit)
        return UINT64_MAX;
    if (block == 0)
        pad = shorter;
    while ((pad > 0 && pad < MBOX_PAD_MIN)
           || (pad < shorter && region - shorter + pad < (unit - at % unit) % unit)) {
        pad += unit;
        if (pad > shorter)
            return UINT64_MAX;
    }
    return pad;
}

static bool few_extents(int fd)
{
    struct fiemap map = { .fm_length = FIEMAP_MAX_OFFSET };
    return ioctl(fd, FS_IOC_FIEMAP, &map) == 0 && map.fm_mapped_extents <= EXTENTS;
}

/* The new octets of the region from the first edit's start to the last one's end. */
static int gather(struct rewrite *w, const struct mbox_edit *edits, size_t n)
{
    w->n = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t behind = edits[i].offset + edits[i].del;
        const size_t kept = i + 1 < n ? (size_t)(edits[i + 1].offset - behind) : 0;
        if (edits[i].n > 0)
            memcpy(w->step + w->n, edits[i].ins, edits[i].n);
        w->n += edits[i].n;
        if (kept > 0 && file_read(w->fd, w->step + w->n, kept, behind) != 0)
            return -1;
        w->n += kept;
    }
    return 0;
}

int rewrite_collapsed(int fd, const struct journal_slot *s, const struct journal_piece *piece, const char *octets)
{
    struct journal_guard now = { s->left.at, s->left.n, 0 };
    if (s->left.n > JOURNAL_GUARD || journal_guard_again(fd, &now) != 0)
        return -1;
    if (now.sum != s->right.sum) {
        int err = 0;
        if (now.sum != s->left.sum || !journal_guard_holds(fd, &s->right, &err))
            return errno = err, err != 0 ? -1 : 1;
        if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, (off_t)s->gap_start, (off_t)(s->gap_end - s->gap_start)) != 0)
            return errno == EINTR ? rewrite_collapsed(fd, s, piece, octets) : 2;
        if (file_sync(fd) != 0)          /* were the blocks still there after a power cut, the octets would be in the wrong place */
            return -1;
    }
    return file_write(fd, octets, (size_t)piece->n, piece->at) != 0 || file_sync(fd) != 0 ? -1 : 0;
}

/* Takes the blocks from `start` on out. 0, 1 it cannot be done so, -1. */
static int collapse(struct rewrite *w, uint64_t region_end, uint64_t start, uint64_t size, uint64_t shorter)
{
    const struct journal_piece piece = { region_end - shorter - w->n, w->n };
    struct journal_slot *s = &w->slot;
    s->state = JOURNAL_COLLAPSE;
    s->gap_start = start;
    s->gap_end = start + shorter;
    if (journal_guard_after(w->fd, piece.at + piece.n, size, &s->left) != 0 || journal_guard_after(w->fd, region_end, size, &s->right) != 0)
        return store_fail(w->e, STORE_IO, errno, "writing the mailbox");
    if (s->left.n != JOURNAL_GUARD || s->right.n != JOURNAL_GUARD || s->left.sum == s->right.sum)
        return 1;
    if (journal_put(w->j, s, &piece, 1, w->step, w->e) != 0)
        return -1;
    w->whole = true;
    const int rc = rewrite_collapsed(w->fd, s, &piece, w->step);
    if (rc < 0)
        return store_fail(w->e, STORE_IO, errno, "writing the mailbox");
    return rc == 0 ? 0 : 1;
}

int rewrite_region(struct rewrite *w, const struct mbox_edit *edits, size_t n, uint64_t size)
{
    const uint64_t at = edits[0].offset, end = edits[n - 1].offset + edits[n - 1].del;
    int64_t shorter = 0;
    for (size_t i = 0; i < n; i++)
        shorter += (int64_t)edits[i].del - (int64_t)edits[i].n;
    const uint64_t less = (uint64_t)shorter, block = less > 0 ? mbox_collapse_block(w->fd) : 1;
    if (shorter < 0 || block == 0 || less % block != 0 || end - at - less > MBOX_STEP - 64 || size - end < (uint64_t)MBOX_COLLAPSE_TAIL)
        return 1;
    const uint64_t start = (at + block - 1) / block * block;
    if (less > 0 && (start - at > end - at - less || start + less >= size || !few_extents(w->fd)))
        return 1;
    w->slot.list_count = w->slot.done = 0;
    if (gather(w, edits, n) != 0 || file_sync(w->fd) != 0)
        return store_fail(w->e, STORE_IO, errno, "writing the mailbox");
    if (less > 0)
        return collapse(w, end, start, size, less);
    const struct journal_piece piece = { at, w->n };
    w->slot.state = JOURNAL_GAP;
    w->slot.gap_start = w->slot.gap_end = at;
    if (journal_guard_before(w->fd, at, 0, &w->slot.left) != 0 || journal_guard_after(w->fd, end, size, &w->slot.right) != 0)
        return store_fail(w->e, STORE_IO, errno, "writing the mailbox");
    if (journal_put(w->j, &w->slot, &piece, 1, w->step, w->e) != 0)
        return -1;
    w->whole = true;
    return file_write(w->fd, w->step, w->n, at) != 0 || file_sync(w->fd) != 0 ? store_fail(w->e, STORE_IO, errno, "writing the mailbox") : 0;
}
