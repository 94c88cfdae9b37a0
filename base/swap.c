/*
 * Taking the place of a stale lock file. The two names are exchanged in one step; if what came out is not the file that was
 * judged, somebody was quicker, and it is put back the same way. So of two that saw the same stale lock none removes the
 * other's new one, and at no moment there is no lock file. NFS cannot exchange: there the lock is renamed away, looked at and,
 * if it is another, linked back, which leaves a moment without one.
 */
#include "base/swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/compat.h"

static bool is_seen(int dirfd, const char *name, const struct stat *seen)
{
    struct stat st;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == seen->st_dev && st.st_ino == seen->st_ino
        && st.st_mtim.tv_sec == seen->st_mtim.tv_sec && st.st_mtim.tv_nsec == seen->st_mtim.tv_nsec;
}

static bool move_away(int dirfd, const char *name, const char *file, const struct stat *seen)
{
    char aside[80];
    if ((size_t)snprintf(aside, sizeof aside, "%s.stale", name) >= sizeof aside || !is_seen(dirfd, file, seen)
        || renameat(dirfd, file, dirfd, aside) != 0)
        return false;
    if (!is_seen(dirfd, aside, seen))
        (void)!linkat(dirfd, aside, dirfd, file, 0);
    (void)!unlinkat(dirfd, aside, 0);
    return linkat(dirfd, name, dirfd, file, 0) == 0;
}

bool swap_file(int dirfd, const char *name, const char *file, const struct stat *seen)
{
    if (renameat2(dirfd, name, dirfd, file, RENAME_EXCHANGE) != 0)
        return errno != ENOENT && move_away(dirfd, name, file, seen);
    if (is_seen(dirfd, name, seen))
        return true;
    (void)!renameat2(dirfd, name, dirfd, file, RENAME_EXCHANGE);
    return false;
}
