#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/config.h"
#include "base/slot.h"
#include "store/store.h"

/* The IMAP protocol on a pair of descriptors. Two parts of one connection, usually two processes: the greeter, which knows
 * no mail, and the session, which knows no passwords. Both use one command table (command.h). */

/* How the greeter asks whether someone may come in; imapd.c fills it with functions of auth/. CONTINUE and VERIFIED: within an
 * exchange of SCRAM or a mechanism process. TOO_MANY: say BYE. */
enum login_result { LOGIN_GRANTED, LOGIN_DENIED, LOGIN_UNAVAILABLE, LOGIN_TOO_MANY, LOGIN_CONTINUE, LOGIN_VERIFIED, LOGIN_LIMIT };
/* All block, with the delay after a failure included. What they append to a buffer is to be sent to the client. */
struct login_service {
    /* user and password may hold any octets but NUL; authzid is empty or the identity to act as. */
    enum login_result (*check)(void *ctx, const char *mechanism, struct str authzid, struct str user, struct str password);
    /* RFC 5802: the pieces of client-first-message (gs2-header as it came; authzid and user decoded); CONTINUE with
     * server-first-message. */
    enum login_result (*scram_first)(void *ctx, const char *mechanism, struct str gs2, struct str authzid, struct str user,
                                     struct str bare, struct buf *server_first);
    /* The proof, decoded; VERIFIED with server-final-message. */
    enum login_result (*scram_final)(void *ctx, struct str proof, struct buf *server_final);
    /* The client has answered server-final-message: GRANTED. */
    enum login_result (*claim)(void *ctx);
    enum login_result (*external)(void *ctx, struct str authzid);
    enum login_result (*anonymous)(void *ctx, struct str trace);
    /* A message of a mechanism that has a process of its own. mechanism: at the first, then NULL. CONTINUE, or DENIED perhaps with
     * a last challenge, or GRANTED. */
    enum login_result (*step)(void *ctx, const char *mechanism, struct str message, struct buf *reply);
    /* GRANTED: TLS may begin; the client is to be told so and this process to end. */
    enum login_result (*starttls)(void *ctx);
    void *ctx;
};
struct greeter_settings {
    const struct config *config;
    struct login_service login;
    unsigned offers;               /* OFFER_ bits (base/mechanisms.h); without OFFER_LOGIN_COMMAND LOGINDISABLED is told */
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
void session_greeting(struct buf *out, const struct config *config, bool preauth, unsigned offers);
void greeter_run(const struct greeter_settings *settings, struct greeter_result *result);

struct session_settings {
    const struct config *config;
    struct store *store;
    const char *user;
    const char *address;           /* of the client, for the log */
    struct str login_tag;          /* greeter_result.tag: "tag OK [CAPABILITY ...] Logged in" is written first; empty: PREAUTH greeting is */
    struct str pending;            /* input that the greeter had read already */
    int in, out;
    struct slot *slot;             /* where it tells what it does (base/slot.h), or NULL */
    /* Not NULL: UNAUTHENTICATE is offered. After it *unauthenticated is true and unread has the input that was not used. */
    bool *unauthenticated;
    struct buf *unread;
};
/* Serves until LOGOUT, end of input, time-out or SIGTERM. Returns the exit status of the process (0 unless we failed). */
int session_run(const struct session_settings *settings);
#endif
