#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/config.h"
#include "store/store.h"

/* The IMAP protocol on a pair of descriptors. Two parts of one connection, usually two processes: the greeter, which knows
 * no mail, and the session, which knows no passwords. Both use one command table (command.h). */

/* How the greeter asks whether someone may come in; imapd.c fills it with functions of auth/. */
enum login_result { LOGIN_GRANTED, LOGIN_DENIED, LOGIN_UNAVAILABLE, LOGIN_TOO_MANY };
struct login_service {
    /* user and password may hold any octets but NUL; authzid is empty or the identity to act as. Blocks, with the delay
     * after a failure included. TOO_MANY: say BYE. */
    enum login_result (*check)(void *ctx, const char *mechanism, struct str authzid, struct str user, struct str password);
    void *ctx;
};
struct greeter_settings {
    const struct config *config;
    struct login_service login;
    bool plaintext_login;          /* LOGIN, PLAIN, LOGIN mechanism offered; else LOGINDISABLED and NO [PRIVACYREQUIRED] */
    bool greeted;                  /* the greeting line has been written by the monitor already */
    struct str pending;            /* input that an earlier session of the connection had read already */
    int in, out;
};
struct greeter_result {
    bool granted;                  /* else the connection is over: BYE was said or the client went */
    struct buf tag;                /* of the command that logged in, answered by the session; if LANGUAGE was used, a space and
                                      the language's tag follow */
    struct buf pending;            /* input read but not used */
};
/* Writes the greeting's text, with CRLF ("* OK [CAPABILITY ...] host ..."), or "* PREAUTH ...". */
void session_greeting(struct buf *out, const struct config *config, bool preauth, bool plaintext_login);
void greeter_run(const struct greeter_settings *settings, struct greeter_result *result);

struct session_settings {
    const struct config *config;
    struct store *store;
    const char *user;
    struct str login_tag;          /* greeter_result.tag: "tag OK [CAPABILITY ...] Logged in" is written first; empty: PREAUTH greeting is */
    struct str pending;            /* input that the greeter had read already */
    int in, out;
    /* Not NULL: UNAUTHENTICATE is offered. After it *unauthenticated is true and unread has the input that was not used. */
    bool *unauthenticated;
    struct buf *unread;
};
/* Serves until LOGOUT, end of input, time-out or SIGTERM. Returns the exit status of the process (0 unless we failed). */
int session_run(const struct session_settings *settings);
#endif
