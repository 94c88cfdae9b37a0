#ifndef DOCTOR_EXAMINE_H
#define DOCTOR_EXAMINE_H
#include "auth/auth.h"
#include "base/config.h"
#include "doctor/report.h"

/* What each part of the doctor is given. Nothing of it changes; a part tells what it finds and returns. */
struct patient {
    struct report *report;
    const struct config *config;
    const char *config_path;           /* NULL: the default place, where there is none */
    bool root;
};

/* Reads the settings: every line that is wrong is told, and what is right is kept. c is the caller's, to config_free. */
void examine_file(struct report *r, struct config *c, const char *path, bool optional, bool root);
void examine_settings(const struct patient *p);
void examine_kernel(const struct patient *p);
void examine_spool(const struct patient *p);
void examine_inbox(const struct patient *p, const struct account *a);
void examine_locking(const struct patient *p);
void examine_tls(const struct patient *p);
void examine_credentials(const struct patient *p);
void examine_greeter(const struct patient *p);
void examine_listeners(const struct patient *p);
/* As the user, in a process of its own: index, home, a dotlock taken and given back. */
void examine_index(const struct patient *p, const struct account *a, int locker_fd);
/* Starts the server on a socket pair. a NULL: as root, up to the greeting; else as that user, INBOX examined. */
void examine_session(const struct patient *p, const struct account *a);

/* The directory of all INBOXes; malloc'ed; NULL if it differs from user to user. */
char *spool_directory(const struct config *c);
/* First size-1 octets of what the command writes on stdout (stderr too if both), NUL after them. Its exit status, -1: it could not
 * be run or took more than 10 s. argv[0] is looked for in the system's directories alone. */
int run_command(const char *const argv[], bool both, char *out, size_t size);
bool have_command(const char *name);
/* A file of at most 1 MiB, NUL after it, malloc'ed; NULL with errno. */
char *read_text(const char *path, size_t *n);
#endif
