#ifndef AUTH_MECH_H
#define AUTH_MECH_H
#include <stddef.h>
#include "base/config.h"

/* A SASL mechanism that needs a large library is a module: a shared object that exports
 *     const struct mech_module imapd_mechanism;
 * and is loaded by a process of its own, which talks to the monitor alone. The client's messages reach it as they came.
 * A module uses no symbol of imapd. */
enum mech_status { MECH_CONTINUE, MECH_DONE, MECH_FAILED };
enum { MECH_REPLY_MAX = 16000, MECH_NAME_MAX = 255 };

struct mech_result {
    char user[MECH_NAME_MAX + 1];      /* who it is */
    char authzid[MECH_NAME_MAX + 1];   /* as whom that one wants to act; "" = as itself. The monitor decides */
};

struct mech_module {
    /* As root, before the process is confined: reads keys, and makes everything ready that later could need a file. The state,
     * or NULL with a reason in err. The config need not outlive the call. */
    void *(*load)(const struct config *c, char *err, size_t size);
    /* Confined. One message of the client (n octets; an initial response that is missing has been asked for before). reply has
     * room for MECH_REPLY_MAX octets, *reply_n is set. MECH_CONTINUE: reply is a challenge. MECH_DONE: result is filled.
     * MECH_FAILED: where *reply_n is not 0, reply is a last challenge whose answer means nothing. */
    enum mech_status (*step)(void *state, const char *mechanism, const char *data, size_t n, char *reply, size_t *reply_n,
                             struct mech_result *result);
};
#endif
