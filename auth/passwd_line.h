#ifndef AUTH_PASSWD_LINE_H
#define AUTH_PASSWD_LINE_H
#include <sys/types.h>

/* One line of the passwd-file: name:hash:uid:gid:gecos:home, anything after a further colon is ignored. */
struct passwd_line {
    const char *name, *hash, *home;    /* into the line */
    uid_t uid;
    gid_t gid;
};
/* Parses in place (the line loses its newline, colons become NUL). 1: an entry, 0: blank or a comment, -1: bad. */
int passwd_line_parse(struct passwd_line *e, char *line);
#endif
