#ifndef AUTH_PASSWD_LINE_H
#define AUTH_PASSWD_LINE_H
#include <stdbool.h>
#include <sys/types.h>

#include "auth/scram.h"

/* One line of the passwd-file: name:hash:uid:gid:gecos:home:shell:extra, anything after a further colon is ignored. The shell is, too;
 * extra is words with a space between them, of which "scram-sha-256=" and "scram-sha-1=" are read, each with a verifier. hash may be
 * a verifier itself, with its scheme before it: {SCRAM-SHA-256}. Then there is no other. */
struct passwd_line {
    const char *name, *hash, *home;    /* into the line */
    const char *extra;                 /* the same; "" if the field is missing */
    uid_t uid;
    gid_t gid;
};
/* Parses in place (the line loses its newline, colons become NUL). 1: an entry, 0: blank or a comment, -1: bad. */
int passwd_line_parse(struct passwd_line *e, char *line);
/* May it be a user's name? Never one that leads out of a directory. */
bool passwd_name_ok(const char *name);
/* Is the hash field a verifier of SCRAM, which is no hash of crypt(3)? */
bool passwd_is_scram(const char *hash);
/* The verifier that a hash field (scheme and all) is. 0 or -1. */
int passwd_scram(struct scram_verifier *v, const char *hash);
/* The user's verifier for that hash. 0, or -1: there is none, or the password is locked or empty. */
int passwd_verifier(struct scram_verifier *v, enum scram_hash hash, const struct passwd_line *e);
#endif
