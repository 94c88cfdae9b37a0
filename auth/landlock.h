#ifndef AUTH_LANDLOCK_H
#define AUTH_LANDLOCK_H
#include <stdint.h>

/* Landlock (landlock(7)) by its system calls, with what the running kernel offers of it. */
enum landlock_use {
    LANDLOCK_READ,             /* read files and directories below */
    LANDLOCK_WRITE,            /* that, and change files that exist */
    LANDLOCK_ALL,              /* that, and make, rename and remove files and directories (no devices, sockets, links) */
    LANDLOCK_CREATE            /* make, link, write and remove files, read none */
};
/* A new rule set that forbids every file access, TCP, and abstract sockets. A descriptor, or -1 (the kernel has no Landlock). */
int landlock_new(void);
/* Allows use of path (a directory and all below, or a file); a path that does not exist or cannot be reached is ignored. */
void landlock_allow(int rules, const char *path, enum landlock_use use);
void landlock_allow_fd(int rules, int fd, enum landlock_use use);
/* Applies the rules to this process for good (implies no_new_privs) and closes them. 0 or -1 with errno. */
int landlock_apply(int rules);
#endif
