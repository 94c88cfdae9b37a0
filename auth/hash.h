#ifndef AUTH_HASH_H
#define AUTH_HASH_H
#include <stdbool.h>
#include <stddef.h>

/* Password hashes of crypt(3). Where libcrypt is not part of this program it is loaded at the first use: connections that never send
 * a password, and everything before login, do without it. */

/* Loads libcrypt now, if it is not there. Fails silently: hash_check tries again. */
void hash_load(void);
/* Could a password ever match it? False for empty, locked ("!...", "*...") and cut-off ones. */
bool hash_usable(const char *hash);
/* 1: it is the password of hash; 0: it is not, or hash is no hash; -1: crypt(3) cannot be had (logged). */
int hash_check(const char *hash, const char *password);
/* A yescrypt hash of password with a new salt, at the cost that crypt_gensalt(3) chooses; at most HASH_MAX octets with the NUL. 0 or -1
 * (logged). */
enum { HASH_MAX = 384 };
int hash_make(const char *password, char out[HASH_MAX]);
/* Spends the time of hash_check for a user who has no hash of his own. like: a usable hash of the kind that the others have,
 * or NULL: the kind that the system gives to new users. */
void hash_spend(const char *like, const char *password);
#endif
