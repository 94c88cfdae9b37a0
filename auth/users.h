#ifndef AUTH_USERS_H
#define AUTH_USERS_H
#include "auth/auth.h"

/* The user databases: the passwd-file if there is one, then the system's (getpwnam, shadow). */
enum users_result { USERS_GRANTED, USERS_DENIED, USERS_UNAVAILABLE };
/* Is this the password of that user, who may log in? Fills account when granted. *why names the reason otherwise, for the log
 * alone. Takes the same steps, hash included, whether or not the user exists or may log in. Runs as root. */
enum users_result users_check(const struct config *c, const char *name, const char *password, struct account *account,
                              const char **why);
/* The account of a user who is known to be who he says without a password, by the same rules. *why as above. */
enum users_result users_account(const struct config *c, const char *name, struct account *account, const char **why);
#endif
