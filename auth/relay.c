/*
 * Runs as root, until the child has read its files and is confined. Two words go over the socket pair "talk" before octets of the
 * client are touched: the relay says that it is ready, the monitor (once the greeter that saw plaintext is gone) that it may
 * begin. Then comes one report, parsed like everything that a process says which talks to the network.
 */
#include "auth/relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/jail.h"
#include "auth/module.h"
#include "auth/tls.h"
#include "auth/warm.h"
#include "base/log.h"

enum { READY = 'r', GO = 'g', PATIENCE = 20000, FIELDS = 5 };

static int receive(int fd, unsigned char *to, size_t room, int timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int ready;
    do
        ready = poll(&p, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    return ready == 1 ? (int)recv(fd, to, room, MSG_DONTWAIT) : -1;
}

static size_t put(unsigned char *frame, size_t at, const void *p, size_t n)
{
    frame[at] = (unsigned char)(n >> 8);
    frame[at + 1] = (unsigned char)n;
    memcpy(frame + at + 2, p, n);
    return at + 2 + n;
}

static void report(int talk, const struct tls_facts *f)
{
    unsigned char frame[sizeof *f + 2 * FIELDS];
    size_t n = put(frame, 0, f->version, strlen(f->version));
    n = put(frame, n, f->cipher, strlen(f->cipher));
    n = put(frame, n, f->client, strlen(f->client));
    n = put(frame, n, f->exporter, f->exporter_n);
    n = put(frame, n, f->endpoint, f->endpoint_n);
    if (send(talk, frame, n, MSG_NOSIGNAL) != (ssize_t)n)
        _exit(1);
}

/* Text must be printable: it goes to the log and, as a name, to the user database. */
static bool text(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < ' ' || p[i] == 0x7f)
            return false;
    return true;
}

int relay_parse(struct tls_facts *f, const unsigned char *frame, size_t n)
{
    char *const texts[] = { f->version, f->cipher, f->client };
    const size_t rooms[FIELDS] = { sizeof f->version - 1, sizeof f->cipher - 1, sizeof f->client - 1, sizeof f->exporter,
                                   sizeof f->endpoint };
    size_t at = 0;
    memset(f, 0, sizeof *f);
    for (size_t i = 0; i < FIELDS; i++) {
        if (n - at < 2)
            return -1;
        const size_t len = (size_t)frame[at] << 8 | frame[at + 1];
        at += 2;
        if (len > rooms[i] || len > n - at || (i < 3 && !text(frame + at, len)))
            return -1;
        memcpy(i < 3 ? (void *)texts[i] : i == 3 ? f->exporter : f->endpoint, frame + at, len);
        if (i >= 3)
            *(i == 3 ? &f->exporter_n : &f->endpoint_n) = len;
        at += len;
    }
    f->on = true;
    return at == n ? 0 : -1;
}

/* Confined, with the key: tells that it is ready, waits for the word to begin, and is the relay until the connection ends. */
static void serve(const struct tls_module *tls, void *state, int plain, int talk)
{
    static const int passed_over[] = { SIGTERM, SIGHUP, SIGINT };      /* it ends when its session has, with all that was said */
    unsigned char octet = READY, frame[8];
    char err[TLS_ERROR_MAX] = "";
    struct tls_facts facts = { 0 };
    for (size_t i = 0; i < sizeof passed_over / sizeof *passed_over; i++)
        (void)signal(passed_over[i], SIG_IGN);
    const int n = send(talk, &octet, 1, MSG_NOSIGNAL) == 1 ? receive(talk, frame, sizeof frame, -1) : -1;
    if (n != 5 || frame[0] != GO)
        return;
    const int timeout = (int)((unsigned)frame[1] << 24 | (unsigned)frame[2] << 16 | (unsigned)frame[3] << 8 | frame[4]);
    if (tls->handshake(state, STDIN_FILENO, STDOUT_FILENO, timeout, &facts, err) != 0) {
        (void)send(talk, err, strlen(err), MSG_NOSIGNAL);
        return;
    }
    report(talk, &facts);
    close(talk);
    tls->pump(state, STDIN_FILENO, STDOUT_FILENO, plain);
}

/* The child, for good. */
static _Noreturn void run(const struct config *c, int plain, int talk)
{
    char err[TLS_ERROR_MAX] = "";
    log_open();
    const struct tls_module *tls = module_symbol("imapd-tls.so", "imapd_tls");
    void *state = tls != NULL ? tls->load(c, err) : NULL;
    if (state == NULL) {
        if (err[0] != '\0')
            log_error("TLS: %s", err);
        _exit(1);
    }
    if (jail_enter(c, JAIL_RELAY) != 0)
        _exit(1);
    serve(tls, state, plain, talk);
    _exit(0);
}

/* A grandchild, which init adopts: it lives on with the session, and is none of the processes that a session may leave behind. */
static int start_cold(const struct config *c, const int plain[2], const int talk[2], int channel)
{
    const pid_t between = fork();
    if (between != 0) {
        while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR)
            continue;
        return between > 0 ? 0 : -1;
    }
    if (fork() != 0)
        _exit(0);                      /* if that failed, nobody reports that he is ready */
    close(plain[0]);
    close(talk[0]);
    if (channel >= 0)
        close(channel);
    (void)setpgid(0, 0);               /* a signal to the session's group is not for it */
    run(c, plain[1], talk[1]);
}

int relay_start(struct relay *r, const struct config *c, int channel)
{
    int plain[2], talk[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plain) != 0) {
        log_error("socketpair: %s", strerror(errno));
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk) != 0) {
        log_error("socketpair: %s", strerror(errno));
        close(plain[0]);
        close(plain[1]);
        return -1;
    }
    *r = (struct relay){ plain[0], talk[0], false };
    const int handed[WARM_FDS] = { STDIN_FILENO, STDOUT_FILENO, plain[1], talk[1] };
    r->warm = warm_hand_over(c, handed) == 0;
    const int failed = !r->warm && start_cold(c, plain, talk, channel) != 0;
    close(plain[1]);
    close(talk[1]);
    if (!failed)
        return 0;
    log_error("fork: %s", strerror(errno));
    relay_drop(r);
    return -1;
}

int relay_ready(struct relay *r, const struct config *c)
{
    unsigned char octet;
    if (receive(r->talk, &octet, 1, PATIENCE) != 1 || octet != READY) {
        relay_drop(r);
        return -1;
    }
    if (!r->warm)
        warm_start(c, serve);
    return 0;
}

void relay_begin(const struct relay *r, int timeout_ms)
{
    const unsigned t = timeout_ms > 0 ? (unsigned)timeout_ms : 0;
    const unsigned char go[5] = { GO, (unsigned char)(t >> 24), (unsigned char)(t >> 16), (unsigned char)(t >> 8), (unsigned char)t };
    (void)send(r->talk, go, sizeof go, MSG_NOSIGNAL);      /* if it is gone, relay_finish sees that */
}

int relay_finish(struct relay *r, const struct peer *p, int timeout_ms, struct tls_facts *facts)
{
    enum { GRACE = 500 };
    unsigned char frame[sizeof *facts + 2 * FIELDS + 1];
    const int n = receive(r->talk, frame, sizeof frame, (timeout_ms > 0 ? timeout_ms : 0) + GRACE);
    if (n <= 0 || relay_parse(facts, frame, (size_t)n) != 0) {
        if (n > 0 && text(frame, (size_t)n))
            log_info("TLS handshake failed: address=%s reason=%.*s", p->address, n, (const char *)frame);
        else
            log_info("TLS handshake failed: address=%s", p->address);
        relay_drop(r);
        return -1;
    }
    close(r->talk);
    const int failed = dup2(r->plain, STDIN_FILENO) < 0 || dup2(r->plain, STDOUT_FILENO) < 0;
    close(r->plain);
    return failed ? -1 : 0;
}

/* It ends when it sees that nobody listens. */
void relay_drop(struct relay *r)
{
    close(r->plain);
    close(r->talk);
}
