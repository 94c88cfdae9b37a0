#ifndef BASE_COMPAT_H
#define BASE_COMPAT_H
/* What C libraries for Linux do not have alike: included by who uses it. glibc has all of it; musl got some calls late, or not.
 * Linux's own calls that no library wraps (openat2, landlock, seccomp) are made by syscall(2) where they are used. Other kernels:
 * doc/platforms.md. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#endif
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2u
#endif
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif
#ifndef HAVE_RENAMEAT2
static inline int renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, from_dirfd, from, to_dirfd, to, flags);
}
#endif
#ifndef HAVE_CLOSE_RANGE
static inline int close_range(unsigned first, unsigned last, int flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}
#endif
#ifndef __GLIBC__                      /* musl's walk through /etc/shadow finds nobody */
#include <shadow.h>
static inline int getspent_r(struct spwd *entry, char *room, size_t size, struct spwd **found)
{
    (void)entry;
    (void)room;
    (void)size;
    *found = NULL;
    return -1;
}
#endif
#ifndef HAVE_STATX
#include <linux/stat.h>
static inline int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st)
{
    return (int)syscall(SYS_statx, dirfd, path, flags, mask, st);
}
#endif
#endif
