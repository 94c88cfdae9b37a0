#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H
#include <stdbool.h>
#include <stddef.h>

#include "auth/auth.h"
#include "base/buf.h"

/* The server's side of SCRAM (RFC 5802, 7677), over memory alone: no file, no socket. Runs as root in the monitor. */
enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256 };
enum { SCRAM_KEY_MAX = 32, SCRAM_SALT_MAX = 64, SCRAM_SALT = 16, SCRAM_ITERATIONS = 15000, SCRAM_ITERATIONS_LEAST = 4096,
       SCRAM_ITERATIONS_MOST = 10000000 };
/* The length of the hash in octets, and its name ("SCRAM-SHA-1", "SCRAM-SHA-256"). */
size_t scram_key_size(enum scram_hash hash);
const char *scram_name(enum scram_hash hash);
/* Which hash a mechanism has, and whether it is a -PLUS one. 0, or -1: no SCRAM mechanism. Any case. */
int scram_mechanism(struct str name, enum scram_hash *hash, bool *plus);

/* What is kept of a password. */
struct scram_verifier {
    enum scram_hash hash;
    unsigned iterations;
    size_t salt_n;
    unsigned char salt[SCRAM_SALT_MAX], stored_key[SCRAM_KEY_MAX], server_key[SCRAM_KEY_MAX];
};
/* "iterations,salt,StoredKey,ServerKey", all but the first in base64, as Dovecot writes it after "{SCRAM-SHA-256}". 0 or -1. */
int scram_verifier_parse(struct scram_verifier *v, enum scram_hash hash, struct str text);
void scram_verifier_format(struct buf *out, const struct scram_verifier *v);
/* The keys of a password; hash, salt and iterations are set. 0, or -1: SASLprep refuses it. */
int scram_verifier_derive(struct scram_verifier *v, struct str password);
/* The same with a new salt. */
int scram_verifier_make(struct scram_verifier *v, enum scram_hash hash, unsigned iterations, struct str password);
/* A verifier for a user who has none: salt_n and iterations are those of v, the salt follows from secret and name, and no password fits. */
void scram_verifier_pretend(struct scram_verifier *v, struct str secret, struct str name);
/* Is it the password of v? Takes the same time for all passwords of a length. */
bool scram_check_password(const struct scram_verifier *v, const char *password);

/* An exchange. Zero-initialised is empty; scram_end wipes it and makes it empty again. */
struct scram {
    struct scram_verifier verifier;
    struct buf auth_message;           /* RFC 5802 section 3, as an honest client will have it */
};
/* What the greeter says that the client has said. */
struct scram_begin {
    const char *mechanism;
    bool plus_offered;                 /* the -PLUS mechanism of the same hash was offered: flag 'y' is a downgrade then */
    struct str gs2, authzid, user, bare;
    const struct tls_facts *tls;       /* channel bindings; NULL: no TLS */
    const struct scram_verifier *verifier;
};
/* Checks the message and appends server-first-message, whose nonce is new. NULL; or what is wrong, a word for the log ("syntax",
 * "names", "binding", "downgrade"). What the client proves next is bound to the channel here, not to what it or the greeter will say. */
const char *scram_begin(struct scram *x, const struct scram_begin *b, struct buf *server_first);
/* The same with a server's part of the nonce that is given, for tests. */
const char *scram_begin_with(struct scram *x, const struct scram_begin *b, struct str s_nonce, struct buf *server_first);
/* Is the proof right? Then server-final-message is appended. Takes the same time whether or not it is. Ends the exchange. */
bool scram_finish(struct scram *x, struct str proof, struct buf *server_final);
void scram_end(struct scram *x);
#endif
