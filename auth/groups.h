#ifndef AUTH_GROUPS_H
#define AUTH_GROUPS_H
#include <sys/types.h>

/* As initgroups(3): this process gets the groups that the system's databases name for the user, and gid. Reads /etc/group itself where
 * that tells all (nsswitch.h): the C library would load a module on each login to hear that it knows nothing. A line that begins with "#"
 * is a comment then. Runs as root.
 * 0, or -1 with errno. */
int groups_become(const char *name, gid_t gid);
#endif
