#ifndef AUTH_USERS_H
#define AUTH_USERS_H
#include "auth/auth.h"
#include "auth/scram.h"

/* The user databases: the passwd-file if there is one, then the system's (getpwnam, shadow). */
enum users_result { USERS_GRANTED, USERS_DENIED, USERS_UNAVAILABLE };
/* Is this the password of that user, who may log in? With pam-service PAM is asked, for users of the system; address: for it. Fills account when granted. *why names the reason otherwise, for the log
 * alone. Takes the same steps, hash included, whether or not the user exists or may log in. Runs as root. */
enum users_result users_check(const struct config *c, const char *name, const char *password, const char *address,
                              struct account *account, const char **why);
/* For SCRAM: what the user's proof is to be checked against, and the account of him who brings the right one. DENIED: there is no right
 * one, *why says why; *verifier is set all the same (but for UNAVAILABLE), so that the exchange looks like any other: a user who has no
 * verifier always gets the same salt. */
enum users_result users_verifier(const struct config *c, const char *name, enum scram_hash hash, struct scram_verifier *verifier,
                                 struct account *account, const char **why);
/* The account of a user who is known to be who he says without a password, by the same rules. *why as above. */
enum users_result users_account(const struct config *c, const char *name, struct account *account, const char **why);
#endif
