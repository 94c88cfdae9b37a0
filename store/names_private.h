#ifndef STORE_NAMES_PRIVATE_H
#define STORE_NAMES_PRIVATE_H
#include "store/names.h"

struct names {
    const struct store_settings *settings;
    int root;                        /* O_PATH; -1: not there yet */
    int inbox_dir;                   /* O_PATH of the spool directory; -1 */
    const char *inbox_leaf;
    char *inbox_path_dir;            /* the spool directory */
};
/* The root, opened if it is there now; -1 with errno. */
int names_root(struct names *n);
/* openat2(RESOLVE_BENEATH) below the root; "" is the root itself. -1 with errno. */
int names_beneath(struct names *n, const char *path, int flags, mode_t mode);
#endif
