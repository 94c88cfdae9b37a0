/*
 * Runs as root and knows nothing of IMAP. It forks the greeter, which talks to the client and is nobody, and answers its
 * questions: is this name and password right? Requests are a table of what is permitted in which state; anything else, or
 * anything malformed, ends the connection, because an honest greeter never does it.
 *
 *      PROXIED --X--> OPEN --L (granted)--> GRANTED --P*, D--> DONE
 *
 * A wrong password is answered login-delay after it came, and that doubles: the answer's time is set by the clock, not by how
 * long the check took. After login-attempts of them, or login-timeout, it is over.
 */
#include "auth/auth.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "auth/become.h"
#include "auth/channel.h"
#include "auth/jail.h"
#include "auth/proxy.h"
#include "auth/users.h"
#include "base/log.h"
#include "base/xmalloc.h"

enum state { PROXIED = 1, OPEN = 2, GRANTED = 4, DONE = 8, OVER = 16 };

struct monitor {
    const struct config *config;
    struct peer *peer;
    enum state state;
    int channel;
    pid_t greeter;
    unsigned attempts;
    int64_t deadline;                  /* of the state, in ms of now() */
    struct account *account;
    struct buf *tag, *pending;
};

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Client octets for a log line whose words a script takes apart: no space, bracket or backslash gets through as it is. */
static const char *safe(char *out, size_t size, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; i < s.n && n + 5 < size; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c > ' ' && c < 0x7f && c != '<' && c != '>' && c != '\\' && c != '=') {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    out[n] = '\0';
    return out;
}

/* Waits until the time `until`, or until the greeter is gone. */
static void hold(const struct monitor *m, int64_t until)
{
    struct pollfd gone = { .fd = m->channel, .events = 0 };
    for (int64_t left; (left = until - now()) > 0;)
        if (poll(&gone, 1, (int)left) > 0)
            return;
}

static int64_t delay_of(const struct monitor *m)
{
    enum { LONGEST = 60000 };
    int64_t ms = m->config->login_delay_ms;
    for (unsigned i = 1; i < m->attempts && ms < LONGEST; i++)
        ms *= 2;
    return ms < LONGEST ? ms : LONGEST;
}

static int refuse(struct monitor *m, const struct channel_request *r, enum users_result result, const char *why, int64_t came)
{
    char user[200], mechanism[40];
    m->attempts++;
    log_notice("login failed: user=<%s> mechanism=%s address=%s attempt=%u reason=%s",
               safe(user, sizeof user, r->field[2]), safe(mechanism, sizeof mechanism, r->field[0]), m->peer->address,
               m->attempts, why);
    hold(m, came + delay_of(m));
    if (m->attempts >= m->config->login_attempts) {
        enum { FAREWELL = 5000 };
        m->state = OVER;
        m->deadline = now() + FAREWELL;
        return channel_answer(m->channel, CHANNEL_TOO_MANY, false);
    }
    return channel_answer(m->channel, result == USERS_UNAVAILABLE ? CHANNEL_UNAVAILABLE : CHANNEL_DENIED, false);
}

static int on_login(struct monitor *m, const struct channel_request *r)
{
    enum { HAND_OVER = 10000 };
    const int64_t came = now();
    const struct str authzid = r->field[1], user = r->field[2], password = r->field[3];
    char name[CHANNEL_NAME_MAX + 1], secret[CHANNEL_PASSWORD_MAX + 1], mechanism[40];
    const char *why;
    memcpy(name, user.p, user.n);
    name[user.n] = '\0';
    memcpy(secret, password.p, password.n);
    secret[password.n] = '\0';
    enum users_result result = USERS_DENIED;
    if (!peer_plaintext_login(m->peer, m->config))
        why = "plaintext";                        /* the greeter did not offer it */
    else
        result = users_check(m->config, name, secret, m->account, &why);
    explicit_bzero(secret, sizeof secret);
    if (result == USERS_GRANTED && authzid.n > 0 && !str_eq(authzid, user)) {
        account_free(m->account);
        result = USERS_DENIED;
        why = "authzid";
    }
    if (result != USERS_GRANTED)
        return refuse(m, r, result, why, came);
    log_info("login: user=<%s> mechanism=%s address=%s%s%s", m->account->name,
             safe(mechanism, sizeof mechanism, r->field[0]), m->peer->address,
             m->peer->proxy[0] != '\0' ? " proxy=" : "", m->peer->proxy);
    m->state = GRANTED;
    m->deadline = now() + HAND_OVER;
    return channel_answer(m->channel, CHANNEL_GRANTED, false);
}

static int on_proxy(struct monitor *m, const struct channel_request *r)
{
    char address[CHANNEL_ADDRESS_MAX + 1];
    memcpy(address, r->field[0].p, r->field[0].n);
    address[r->field[0].n] = '\0';
    if (r->field[1].n != 1 || peer_proxied(m->peer, m->config, address, r->field[1].p[0]) != 0)
        return -1;
    m->state = OPEN;
    return channel_answer(m->channel, CHANNEL_OK, m->peer->secure);
}

static int on_pending(struct monitor *m, const struct channel_request *r)
{
    if (r->field[0].n == 0 || m->pending->len + r->field[0].n > CHANNEL_PENDING_MAX)
        return -1;
    buf_add(m->pending, r->field[0].p, r->field[0].n);
    return 0;
}

static int on_done(struct monitor *m, const struct channel_request *r)
{
    if (r->field[0].n == 0)
        return -1;
    buf_add(m->tag, r->field[0].p, r->field[0].n);
    m->state = DONE;
    return 0;
}

static const struct request {
    enum channel_type type;
    enum state permitted;
    int (*handle)(struct monitor *m, const struct channel_request *r);
} requests[] = {
    { CHANNEL_PROXY, PROXIED, on_proxy },
    { CHANNEL_LOGIN, OPEN, on_login },
    { CHANNEL_PENDING, GRANTED, on_pending },
    { CHANNEL_DONE, GRANTED, on_done },
};

static int dispatch(struct monitor *m, const unsigned char *frame, size_t n)
{
    struct channel_request r;
    if (channel_parse(&r, frame, n) == 0)
        for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
            if (requests[i].type == r.type && (requests[i].permitted & m->state) != 0)
                return requests[i].handle(m, &r);
    log_error("greeter of %s sent what it must not (state %d): connection ended", m->peer->address, (int)m->state);
    return -1;
}

/* Until the greeter has said its last word (DONE), or is gone, too slow or wrong (anything else). */
static void serve(struct monitor *m)
{
    unsigned char *frame = xmalloc(CHANNEL_FRAME_MAX + 1);
    while (m->state != DONE) {
        const int64_t left = m->deadline - now();
        const int n = left > 0 ? channel_receive(m->channel, frame, (int)left) : -1;
        if (n == 0 || m->state == OVER)
            break;
        if (n < 0) {
            log_info("no login in time: address=%s", m->peer->address);
            break;
        }
        const int failed = dispatch(m, frame, (size_t)n);
        explicit_bzero(frame, (size_t)n);
        if (failed)
            break;
    }
    free(frame);
}

/* Reaps the greeter. One that has said its last word is not waited for; one that closed the channel is about to end by itself,
 * and how it ends tells whether the filter or a bug killed it. */
static void end_greeter(const struct monitor *m)
{
    enum { STEPS = 40 };
    const struct timespec step = { 0, 1000000 };
    int status = 0;
    pid_t got = 0;
    close(m->channel);
    for (int i = 0; i < STEPS && m->state != DONE && got == 0; i++) {
        got = waitpid(m->greeter, &status, WNOHANG);
        if (got == 0)
            (void)nanosleep(&step, NULL);
    }
    if (got == 0) {
        (void)kill(m->greeter, SIGKILL);
        while (waitpid(m->greeter, &status, 0) < 0 && errno == EINTR)
            continue;
    } else if (WIFSIGNALED(status)) {
        log_error("greeter of %s killed by signal %d", m->peer->address, WTERMSIG(status));
    }
}

/* The child: everything that reads octets of the client before login. */
static _Noreturn void greet(const struct monitor *m, int in, int out, const struct monitor_hooks *hooks)
{
    struct proxy_header header;
    if (jail_enter(m->config) != 0)
        _exit(1);
    if (m->state == PROXIED) {
        if (proxy_read(&header, in) != 0) {
            log_notice("no PROXY header: address=%s", m->peer->address);
            _exit(0);
        }
        const bool secure = channel_proxy(m->channel, header.address, header.tls);
        if (peer_proxied(m->peer, m->config, header.address, header.tls) != 0)
            _exit(0);
        m->peer->secure = secure;
    }
    hooks->greet(hooks->ctx, in, out, m->channel);
    _exit(0);
}

static int start(struct monitor *m, int in, int out, const struct monitor_hooks *hooks)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        log_error("socketpair: %s", strerror(errno));
        return -1;
    }
    m->greeter = fork();
    m->channel = pair[m->greeter == 0];
    if (m->greeter == 0) {
        close(pair[0]);
        greet(m, in, out, hooks);
    }
    close(pair[1]);
    if (m->greeter > 0)
        return 0;
    log_error("fork: %s", strerror(errno));
    close(pair[0]);
    return -1;
}

int monitor_ask(const struct config *c, struct peer *p, int in, int out, const struct monitor_hooks *hooks,
                struct account *account, struct buf *tag, struct buf *pending)
{
    enum { GRACE = 1500 };             /* the greeter knows the time-out too and can say so to the client */
    struct monitor m = {
        .config = c, .peer = p, .state = peer_is_proxy(p, c) ? PROXIED : OPEN,
        .deadline = now() + (int64_t)c->login_timeout * 1000 + GRACE,
        .account = account, .tag = tag, .pending = pending
    };
    log_open();
    if (start(&m, in, out, hooks) != 0)
        return -1;
    serve(&m);
    end_greeter(&m);
    if (m.state == DONE)
        return 0;
    if (m.state == GRANTED)
        account_free(account);
    return -1;
}

int monitor_run(const struct config *c, struct peer *p, int in, int out, const struct monitor_hooks *hooks,
                struct account *account, int *locker_fd, struct buf *tag, struct buf *pending)
{
    return monitor_ask(c, p, in, out, hooks, account, tag, pending) == 0 ? become_user(c, account, locker_fd) : -1;
}
