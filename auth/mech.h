#ifndef AUTH_MECH_H
#define AUTH_MECH_H
#include <stddef.h>
#include <sys/types.h>

#include "base/config.h"

/* Mechanisms that need a large library (GSSAPI, OAUTHBEARER): a module (module.h) in a process of its own, which reads its keys as
 * root and is then confined like the greeter, before it sees an octet of the client. The monitor passes messages through and
 * looks into none. */
enum mech_status { MECH_CONTINUE = 'c', MECH_DONE = 'd', MECH_FAILED = 'f' };
enum { MECH_REPLY_MAX = 16000, MECH_NAME_MAX = 255, MECH_ERROR_MAX = 300, MECH_REASON_MAX = 31 };
struct mech_result {
    char user[MECH_NAME_MAX + 1], authzid[MECH_NAME_MAX + 1];      /* authzid "": none */
    char reason[MECH_REASON_MAX + 1];                              /* with FAILED: why, for the log: a-z and "-", "": unknown */
};
/* Exported by a module as imapd_mechanism. */
struct mech_module {
    /* As root, before confinement: reads keys. NULL, and why in err (size octets). */
    void *(*load)(const struct config *c, char *err, size_t size);
    /* Confined: one message of the client. reply has room for MECH_REPLY_MAX octets; what is in it is sent to the client with CONTINUE, and
     * with FAILED as a last challenge. DONE: *result is set. */
    enum mech_status (*step)(void *state, const char *mechanism, const char *data, size_t n, char *reply, size_t *reply_n,
                             struct mech_result *result);
};

/* The monitor's side. */
struct mech {
    pid_t pid;                         /* 0: there is none */
    int talk;
};
/* The module's file for a mechanism, or NULL: it needs none. */
const char *mech_module_of(const char *mechanism);
/* Forks the process for the mechanism. 0 or -1 (logged). Runs as root. */
int mech_start(struct mech *m, const struct config *c, const char *mechanism, int channel);
/* One message. reply: MECH_REPLY_MAX octets of room. FAILED also if the process is gone or too slow. */
enum mech_status mech_step(struct mech *m, const char *data, size_t n, char *reply, size_t *reply_n, struct mech_result *result);
/* Ends it; nothing happens if there is none. */
void mech_end(struct mech *m);
#endif
