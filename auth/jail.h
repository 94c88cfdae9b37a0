#ifndef AUTH_JAIL_H
#define AUTH_JAIL_H
#include "base/config.h"

/* What a confined child of the monitor is for: its name and its system call filter follow from it. The greeter and mechanism processes
 * die with the monitor; the relay lives on with the session; a
 * warm relay (warm.h) may fork and be handed descriptors, until jail_narrow. */
enum jail_kind { JAIL_GREETER, JAIL_MECHANISM, JAIL_RELAY, JAIL_WARM };
/* Turns this process (root, a child of the monitor) for good into that: user greeter-user (else nobody) without other
 * groups, an empty directory as its root, no new processes, no new descriptors, no core, filter_greeter or
 * filter_relay. Open descriptors stay, but for the log's.
 * 0, or -1 (logged): the process must end then. */
int jail_enter(const struct config *c, enum jail_kind kind);
/* What ps shows a confined process as, at most 15 octets. */
void jail_name(const char *name);
/* In a child of JAIL_WARM: from now on JAIL_RELAY. 0 or -1. */
int jail_narrow(void);
#endif
