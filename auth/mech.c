/*
 * Runs as root, until the child has read its keys and is confined. A request is one packet, the client's message as it is. An
 * answer is one packet: an octet of status, then the reply, or with DONE user, NUL, authzid, NUL; with FAILED the reason and a NUL
 * come before the reply.
 */
#include "auth/mech.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/jail.h"
#include "auth/module.h"
#include "base/log.h"

enum { PATIENCE = 20000, FRAME = 1 + MECH_REASON_MAX + 1 + MECH_REPLY_MAX };

const char *mech_module_of(const char *mechanism)
{
    static const struct { const char *mechanism, *module; } rows[] = {
        { "OAUTHBEARER", "imapd-oauth.so" }, { "XOAUTH2", "imapd-oauth.so" }, { "GSSAPI", "imapd-gssapi.so" }
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcasecmp(mechanism, rows[i].mechanism) == 0)
            return rows[i].module;
    return NULL;
}

/* The child, for good. */
static _Noreturn void run(const struct config *c, const char *mechanism, int talk)
{
    char err[MECH_ERROR_MAX] = "", data[FRAME], frame[FRAME + sizeof(struct mech_result)];
    const struct mech_module *module = module_symbol(mech_module_of(mechanism), "imapd_mechanism");
    void *state = module != NULL ? module->load(c, err, sizeof err) : NULL;
    if (state == NULL) {
        if (module != NULL)
            log_error("%s: %s", mechanism, err);
        _exit(1);
    }
    if (jail_enter(c, JAIL_MECHANISM) != 0)
        _exit(1);
    for (;;) {
        const ssize_t got = recv(talk, data, sizeof data, 0);
        struct mech_result result = { 0 };
        size_t n = 0;
        if (got <= 0)                              /* an empty message has one octet too: see mech_step */
            _exit(0);
        const enum mech_status status = module->step(state, mechanism, data + 1, (size_t)got - 1, frame + 1, &n, &result);
        frame[0] = (char)status;
        if (status == MECH_DONE) {
            const size_t user = strlen(result.user) + 1, authzid = strlen(result.authzid) + 1;
            memcpy(frame + 1, result.user, user);
            memcpy(frame + 1 + user, result.authzid, authzid);
            n = user + authzid;
        } else if (status == MECH_FAILED && n <= MECH_REPLY_MAX) {
            const size_t reason = strlen(result.reason) + 1;
            memmove(frame + 1 + reason, frame + 1, n);
            memcpy(frame + 1, result.reason, reason);
            n += reason;
        }
        if (n > FRAME - 1 || send(talk, frame, n + 1, MSG_NOSIGNAL) != (ssize_t)n + 1)
            _exit(1);
        explicit_bzero(data, sizeof data);
    }
}

int mech_start(struct mech *m, const struct config *c, const char *mechanism, int channel)
{
    int pair[2];
    mech_end(m);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        log_error("socketpair: %s", strerror(errno));
        return -1;
    }
    *m = (struct mech){ fork(), pair[0] };
    if (m->pid == 0) {
        close(pair[0]);
        close(channel);
        (void)dup2(STDERR_FILENO, STDIN_FILENO);   /* the connection is none of its business */
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        run(c, mechanism, pair[1]);
    }
    close(pair[1]);
    if (m->pid > 0)
        return 0;
    log_error("fork: %s", strerror(errno));
    close(m->talk);
    m->pid = 0;
    return -1;
}

/* user NUL authzid NUL, both printable and short. */
static bool parse_result(struct mech_result *r, const char *p, size_t n)
{
    const char *end = memchr(p, '\0', n);
    if (end == NULL || (size_t)(end - p) > MECH_NAME_MAX)
        return false;
    const size_t user = (size_t)(end - p), rest = n - user - 1;
    if (rest == 0 || rest - 1 > MECH_NAME_MAX || memchr(end + 1, '\0', rest) != end + rest)
        return false;
    memcpy(r->user, p, user + 1);
    memcpy(r->authzid, end + 1, rest);
    return user > 0;
}

/* reason NUL reply: how many octets come before the reply; 0: not of that form. */
static size_t parse_reason(struct mech_result *r, const char *p, size_t n)
{
    const size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyz-");
    if (len >= n || p[len] != '\0' || len > MECH_REASON_MAX)
        return 0;
    memcpy(r->reason, p, len + 1);
    return len + 1;
}

enum mech_status mech_step(struct mech *m, const char *data, size_t n, char *reply, size_t *reply_n, struct mech_result *result)
{
    char frame[FRAME + 1];
    *reply_n = 0;
    memset(result, 0, sizeof *result);
    if (m->pid == 0 || n > MECH_REPLY_MAX)
        return MECH_FAILED;
    frame[0] = 0;
    if (n > 0)
        memcpy(frame + 1, data, n);
    struct pollfd wait = { .fd = m->talk, .events = POLLIN };
    const bool sent = send(m->talk, frame, n + 1, MSG_NOSIGNAL) == (ssize_t)n + 1;
    explicit_bzero(frame, n + 1);
    ssize_t got = sent && poll(&wait, 1, PATIENCE) == 1 ? recv(m->talk, frame, sizeof frame, MSG_DONTWAIT) : -1;
    if (got < 1 || got > FRAME)
        return MECH_FAILED;
    got--;
    frame[1 + got] = '\0';
    if (frame[0] == MECH_DONE)
        return parse_result(result, frame + 1, (size_t)got) ? MECH_DONE : MECH_FAILED;
    const size_t before = frame[0] == MECH_CONTINUE ? 0 : parse_reason(result, frame + 1, (size_t)got);
    if ((size_t)got - before > MECH_REPLY_MAX || (frame[0] != MECH_CONTINUE && before == 0))
        return MECH_FAILED;
    *reply_n = (size_t)got - before;
    memcpy(reply, frame + 1 + before, *reply_n);
    return frame[0] == MECH_CONTINUE ? MECH_CONTINUE : MECH_FAILED;
}

void mech_end(struct mech *m)
{
    if (m->pid <= 0)
        return;
    close(m->talk);
    (void)kill(m->pid, SIGKILL);
    while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    m->pid = 0;
}
