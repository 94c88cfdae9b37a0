#ifndef MAINT_H
#define MAINT_H
#include "auth/auth.h"

/* The offline tools: work on mbox files, told on stdout. */
enum maint_task { MAINT_NONE, MAINT_CHECK, MAINT_REPAIR, MAINT_RECOVER, MAINT_SEAL };
struct maint {
    enum maint_task task;
    const struct config *config;
    const struct account *account;     /* this process is that user already */
    const char *backup_dir;            /* NULL: beside the file */
    int locker_fd;
    char **files;
    int n;                             /* 0 with MAINT_CHECK: all mailboxes of the user */
};
/* Exit status: 0 nothing wrong, 1 findings, 2 a file could not be read or changed. */
int maint_run(const struct maint *m);
#endif
