#ifndef PASSWD_H
#define PASSWD_H
#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

/* imapd --passwd: makes and changes entries of the passwd-file. */

/* Is --passwd among the arguments? Then all of them are for passwd_main. */
bool passwd_wanted(int argc, char **argv);
/* Exit status: 0 done, 1 not done (said on stderr), 2 usage. default_config: read if there is no --config; may be missing. */
int passwd_main(int argc, char **argv, const char *default_config);

/* The file as it is changed (passwd_file.c). */
enum passwd_task { PASSWD_SET, PASSWD_DELETE, PASSWD_LOCK, PASSWD_UNLOCK };
struct passwd_change {
    enum passwd_task task;
    const char *name;
    /* Of PASSWD_SET: what is NULL stays as it is; a new entry needs all. */
    const char *hash, *verifiers;       /* verifiers: words of the field extra, in place of those that begin with "scram-" */
    const char *uid, *gid, *home;
};
/* What is wrong, for people; done: "added", "changed", "deleted", ... */
struct passwd_result {
    char error[300];
    const char *done;
};
/* Does the file have an entry of that name? 1, 0, or -1 with *r. A file that is not there has none. */
int passwd_file_has(const char *path, const char *name, struct passwd_result *r);
/* Changes the file: under a lock of its own (flock(2) on the file), by a new file that takes its place with the same owner and mode
 * once it is on the disk. All other lines stay as they are, octet for octet. 0, or -1 with *r; the file is as it was then. */
int passwd_file_change(const char *path, const struct passwd_change *c, struct passwd_result *r);
/* The new text of the file in out, of the old one. 0 or -1 with *r. */
int passwd_text_change(struct buf *out, struct str old, const struct passwd_change *c, struct passwd_result *r);
#endif
