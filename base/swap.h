#ifndef BASE_SWAP_H
#define BASE_SWAP_H
#include <stdbool.h>
#include <sys/stat.h>

/* Puts the file `name` in the place of the lock file `file`, both in the directory dirfd, if that still is what `seen` says
 * (device, inode, mtime). True: done, the old one has the name `name` or none. False: something else is or was there. */
bool swap_file(int dirfd, const char *name, const char *file, const struct stat *seen);
#endif
