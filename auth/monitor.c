/*
 * Runs as root and knows nothing of IMAP. It forks the greeter, which talks to the client and is nobody, and answers its
 * questions: is this name and password right? Requests are a table of what is permitted in which state; anything else, or
 * anything malformed, ends the connection, because an honest greeter never does it.
 *
 *      PROXIED --X--> OPEN --L (granted)--> GRANTED --P*, D--> DONE
 *                      | \--S--> PROVING --F--> VERIFIED --C--> GRANTED
 *                      | \--M--> STEPPING --N*--> GRANTED
 *                      \--T--> TLS_NEXT ... OPEN, with another greeter
 *
 * STARTTLS ends the greeter: the one that comes after it, behind the TLS relay, knows nothing of what was said before. After
 * login-attempts failures, or login-timeout, it is over. Who may come in is login.c's.
 */
#include "auth/monitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "auth/census.h"
#include "auth/jail.h"
#include "auth/proxy.h"
#include "base/log.h"
#include "base/mechanisms.h"
#include "base/xmalloc.h"

int64_t monitor_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Counted with the others of its address. If there are too many, that is said, but not with a TLS handshake only for it. */
static bool arrive(const struct monitor *m)
{
    static const char bye[] = "* BYE [UNAVAILABLE] Too many connections from your address\r\n";
    if (census_arrive(m->config->state_file, m->peer->address, m->config->max_connections_per_address))
        return true;
    if (!m->implicit_tls)
        (void)!write(STDOUT_FILENO, bye, sizeof bye - 1);
    log_notice("connection refused: address=%s reason=max-connections-per-address", m->peer->address);
    return false;
}

static int on_proxy(struct monitor *m, const struct channel_request *r)
{
    char address[CHANNEL_ADDRESS_MAX + 1];
    memcpy(address, r->field[0].p, r->field[0].n);
    address[r->field[0].n] = '\0';
    if (r->field[1].n != 1 || peer_proxied(m->peer, m->config, address, r->field[1].p[0]) != 0)
        return -1;
    if (!arrive(m))
        return -1;
    m->state = m->implicit_tls ? TLS_NEXT : OPEN;
    return channel_answer(m->channel, CHANNEL_OK, m->peer->secure, STR(""));
}

static int on_starttls(struct monitor *m, const struct channel_request *r)
{
    (void)r;
    login_forget(m);
    if ((auth_offers(m->config, m->peer) & OFFER_STARTTLS) == 0)
        return -1;
    if (relay_start(&m->relay, m->config, m->channel) != 0 || relay_ready(&m->relay, m->config) != 0)
        return channel_answer(m->channel, CHANNEL_UNAVAILABLE, false, STR(""));
    m->state = TLS_NEXT;
    return channel_answer(m->channel, CHANNEL_OK, false, STR(""));
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

/* A new attempt may come at any time before one succeeds: what was begun is forgotten then. */
enum { TRYING = OPEN | PROVING | VERIFIED | STEPPING };
static const struct request {
    enum channel_type type;
    unsigned permitted;
    int (*handle)(struct monitor *m, const struct channel_request *r);
} requests[] = {
    { CHANNEL_PROXY, PROXIED, on_proxy },
    { CHANNEL_LOGIN, TRYING, login_password },
    { CHANNEL_EXTERNAL, TRYING, login_external },
    { CHANNEL_ANONYMOUS, TRYING, login_anonymous },
    { CHANNEL_SCRAM, TRYING, login_scram },
    { CHANNEL_PROOF, PROVING, login_proof },
    { CHANNEL_CLAIM, VERIFIED, login_claim },
    { CHANNEL_MECHANISM, TRYING, login_mechanism },
    { CHANNEL_STEP, STEPPING, login_step },
    { CHANNEL_STARTTLS, TRYING, on_starttls },
    { CHANNEL_PENDING, GRANTED, on_pending },
    { CHANNEL_DONE, GRANTED, on_done },
};

static int dispatch(struct monitor *m, const unsigned char *frame, size_t n)
{
    struct channel_request r;
    if (channel_parse(&r, frame, n) == 0)
        for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
            if (requests[i].type == r.type && (requests[i].permitted & (unsigned)m->state) != 0)
                return requests[i].handle(m, &r);
    log_error("greeter of %s sent what it must not (state %d): connection ended", m->peer->address, (int)m->state);
    return -1;
}

/* Until the greeter has said its last word (DONE, TLS_NEXT), or is gone, too slow or wrong (anything else). */
static void serve(struct monitor *m)
{
    unsigned char *frame = xmalloc(CHANNEL_FRAME_MAX + 1);
    while (m->state != DONE) {
        const int64_t left = m->deadline - monitor_now();
        const int n = left > 0 ? channel_receive(m->channel, frame, (int)left) : -1;
        if (n == 0 || m->state == OVER)
            break;
        if (n < 0) {
            log_info("no login in time: address=%s", m->peer->address);
            m->state = OVER;
            break;
        }
        const int failed = dispatch(m, frame, (size_t)n);
        explicit_bzero(frame, (size_t)n);
        if (failed) {
            m->state = OVER;
            break;
        }
    }
    free(frame);
}

enum { NO_HEADER = 3 };                /* exit status of a greeter: it has no log of its own */

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
    } else if (m->state == PROXIED && WIFEXITED(status) && WEXITSTATUS(status) == NO_HEADER) {
        log_notice("no PROXY header: address=%s", m->peer->address);
    }
}

/* The child: everything that reads octets of the client before login. */
static _Noreturn void greet(const struct monitor *m, bool greeted, const struct monitor_hooks *hooks)
{
    struct proxy_header header;
    if (jail_enter(m->config, JAIL_GREETER) != 0)
        _exit(1);
    if (m->state == PROXIED) {
        if (proxy_read(&header, STDIN_FILENO) != 0) {
            _exit(NO_HEADER);
        }
        const bool secure = channel_proxy(m->channel, header.address, header.tls);
        if (m->implicit_tls || peer_proxied(m->peer, m->config, header.address, header.tls) != 0)
            _exit(0);
        m->peer->secure = secure;
    }
    hooks->greet(hooks->ctx, m->peer, greeted, STDIN_FILENO, STDOUT_FILENO, m->channel);
    _exit(0);
}

static int start(struct monitor *m, bool greeted, const struct monitor_hooks *hooks)
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
        greet(m, greeted, hooks);
    }
    close(pair[1]);
    if (m->greeter > 0)
        return 0;
    log_error("fork: %s", strerror(errno));
    close(pair[0]);
    return -1;
}

/* The relay's handshake. From here on descriptors 0 and 1 are plaintext that only it turns into what the network sees. */
static int finish_tls(struct monitor *m)
{
    struct tls_facts facts;
    if (relay_finish(&m->relay, m->peer, (int)(m->deadline - monitor_now()), &facts) != 0)
        return -1;
    if (m->config->tls_client_ca == NULL)
        facts.client[0] = '\0';        /* nobody was asked for a certificate: a relay that names one lies */
    m->peer->tls = facts;
    m->peer->secure = true;
    m->state = OPEN;
    return 0;
}

static int after_starttls(struct monitor *m)
{
    relay_begin(&m->relay, (int)(m->deadline - monitor_now()));
    return finish_tls(m);
}

/* Implicit TLS (RFC 8314): before the greeting. */
static int greet_in_tls(struct monitor *m, const struct monitor_hooks *hooks)
{
    if (relay_start(&m->relay, m->config, -1) != 0)
        return -1;
    relay_begin(&m->relay, (int)(m->deadline - monitor_now()));
    log_open();                        /* while the relay is at work */
    if (relay_ready(&m->relay, m->config) != 0 || finish_tls(m) != 0)
        return -1;
    char *text = hooks->greeting(hooks->ctx, m->peer);
    const ssize_t n = (ssize_t)strlen(text), done = send(STDOUT_FILENO, text, (size_t)n, MSG_NOSIGNAL);
    free(text);
    return done == n ? 0 : -1;
}

static int ask(struct monitor *m, bool greeted, const struct monitor_hooks *hooks)
{
    bool begun = false;
    if (m->state != PROXIED && !arrive(m))
        return -1;
    do {
        if (m->state == TLS_NEXT) {
            if ((m->implicit_tls && !m->peer->tls.on ? greet_in_tls(m, hooks) : after_starttls(m)) != 0)
                return -1;
            greeted = true;
        }
        if (start(m, greeted, hooks) != 0)
            return -1;
        if (!begun)
            hooks->meanwhile(hooks->ctx);
        begun = true;
        serve(m);
        end_greeter(m);
    } while (m->state == TLS_NEXT);
    return m->state == DONE ? 0 : -1;
}

int monitor_ask(const struct config *c, struct peer *p, bool implicit_tls, bool greeted, const struct monitor_hooks *hooks,
                struct account *account, struct buf *tag, struct buf *pending)
{
    const bool handshake = implicit_tls && !p->tls.on;
    enum { GRACE = 1500 };             /* the greeter knows the time-out too and can say so to the client */
    struct monitor m = {
        .config = c, .peer = p, .state = peer_is_proxy(p, c) ? PROXIED : handshake ? TLS_NEXT : OPEN,
        .deadline = monitor_now() + (int64_t)c->login_timeout * 1000 + GRACE, .implicit_tls = handshake,
        .account = account, .tag = tag, .pending = pending
    };
    if (m.state != TLS_NEXT)
        log_open();
    const int result = ask(&m, greeted, hooks);
    mech_end(&m.mech);
    scram_end(&m.scram);
    if (result != 0)
        account_free(account);
    return result;
}
