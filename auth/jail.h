#ifndef AUTH_JAIL_H
#define AUTH_JAIL_H
#include "base/config.h"

/* Turns this process (root, a child of the monitor) for good into the greeter: user greeter-user (else nobody) without other
 * groups, an empty directory as its root, no new processes, no new descriptors, no core, filter_greeter. Open descriptors stay.
 * 0, or -1 (logged): the process must end then. */
int jail_enter(const struct config *c);
#endif
