#ifndef AUTH_NSSWITCH_H
#define AUTH_NSSWITCH_H
#include <stdbool.h>
#include <stddef.h>

/* What nsswitch.conf(5) says: where the C library looks for users and groups. */

/* A word of a database's line: the name of a source ("files"), or an action ("[NOTFOUND=return]", with its brackets). Not NUL-terminated.
 * False: go on no further. */
typedef bool nsswitch_word(void *ctx, const char *word, size_t n);

/* Is the word of n octets this one? */
bool nsswitch_is(const char *word, size_t n, const char *what);

/* Takes a line's words in order, if it is the database's ("group"). True: it is. Looks at nothing else; any octets may come. */
bool nsswitch_line(const char *line, const char *database, nsswitch_word *take, void *ctx);

/* Have only "files" and sources that know nothing here to say in which groups a user is (initgroups(3))? Then /etc/group tells all.
 * False also where that cannot be told. */
bool nsswitch_groups_in_files(void);

/* False: libnss_systemd has no user of a service, a JSON record or a membership to tell of (nss-systemd(8)); at most users that systemd
 * makes for its units, who are in no group but their own. True also where that cannot be told. */
bool nsswitch_systemd_knows(void);
#endif
