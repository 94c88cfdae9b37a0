#ifndef AUTH_EARLY_H
#define AUTH_EARLY_H
#include <stdbool.h>

/* Loads what a login will need, while the greeter starts and the client thinks: libcrypt, if hashes is set; if system_users is, the
 * modules that nsswitch.conf(5) names for passwd, group and shadow, and it lets the C library find out where to look for users, by asking
 * for one who is in the first of its sources everywhere. Asks nothing else, and says nothing of what cannot be loaded: who needs it later
 * does. For the monitor. */
void early_load(bool system_users, bool hashes);
#endif
