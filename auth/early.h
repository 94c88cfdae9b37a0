#ifndef AUTH_EARLY_H
#define AUTH_EARLY_H
#include <stdbool.h>

/* Loads what a login will need, while the greeter starts and the client thinks: libcrypt, if hashes is set, and the modules that
 * nsswitch.conf(5) names for passwd, group and shadow. Asks none of them anything, and says nothing of what cannot be loaded: who
 * needs it later does. For the monitor. */
void early_load(bool hashes);
#endif
