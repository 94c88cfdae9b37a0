#ifndef AUTH_MONITOR_H
#define AUTH_MONITOR_H
#include <stdint.h>
#include <sys/types.h>

#include "auth/auth.h"
#include "auth/channel.h"
#include "auth/mech.h"
#include "auth/relay.h"
#include "auth/scram.h"
#include "auth/users.h"

/* The state of the monitor, shared by monitor.c (the greeter and its frames) and login.c (who may come in). */
enum monitor_state {
    PROXIED = 1,                   /* the PROXY header is awaited */
    OPEN = 2,
    GRANTED = 4,
    DONE = 8,                      /* the greeter has said its last word: a user is in */
    OVER = 16,
    TLS_NEXT = 32,                 /* once the greeter has ended, the relay begins */
    PROVING = 64,                  /* SCRAM: the client's proof is awaited */
    VERIFIED = 128,                /* SCRAM: it was right, and the client has yet to answer ours */
    STEPPING = 256                 /* a mechanism process has asked something */
};
struct monitor {
    const struct config *config;
    struct peer *peer;
    enum monitor_state state;
    int channel;
    pid_t greeter;
    unsigned attempts;
    int64_t deadline;              /* of the state, in ms of monitor_now() */
    bool implicit_tls;
    struct relay relay;            /* in TLS_NEXT */
    struct mech mech;
    char mechanism[CHANNEL_MECHANISM_MAX + 1];     /* of PROVING, VERIFIED and STEPPING */
    struct scram scram;            /* of PROVING, with the three after it */
    char user[CHANNEL_NAME_MAX + 1], authzid[CHANNEL_NAME_MAX + 1];
    enum users_result user_may;    /* come in, if the proof is right; */
    const char *user_may_not;      /* else why not */
    struct account *account;       /* of PROVING, VERIFIED and GRANTED */
    struct buf *tag, *pending;
};
int64_t monitor_now(void);         /* ms of the monotonic clock */

/* Handlers of frames (login.c). 0, or -1: the connection ends. */
int login_password(struct monitor *m, const struct channel_request *r);
int login_external(struct monitor *m, const struct channel_request *r);
int login_anonymous(struct monitor *m, const struct channel_request *r);
int login_scram(struct monitor *m, const struct channel_request *r);
int login_proof(struct monitor *m, const struct channel_request *r);
int login_claim(struct monitor *m, const struct channel_request *r);
int login_mechanism(struct monitor *m, const struct channel_request *r);
int login_step(struct monitor *m, const struct channel_request *r);
/* What an exchange that is given up has left: the account, the mechanism process. */
void login_forget(struct monitor *m);
#endif
