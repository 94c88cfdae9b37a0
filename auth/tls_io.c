/*
 * Two buffers, one poll. A direction with something in its buffer waits to write, one with nothing waits to read, so that a side
 * which does not read holds back the other and memory is bounded. What OpenSSL wants (it may need to write to read: key updates)
 * goes into the same poll.
 */
#include "auth/tls_io.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "auth/tls.h"

enum { ROOM = 1 << 16, STALL = 30000, FAREWELL = 180000 };     /* octets; ms */

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int tls_accept(SSL *ssl, int in, int out, int timeout_ms, char *err)
{
    const int64_t deadline = now() + timeout_ms;
    for (;;) {
        ERR_clear_error();
        const int done = SSL_accept(ssl);
        if (done == 1)
            return 0;
        const int want = SSL_get_error(ssl, done);
        struct pollfd p = { .fd = want == SSL_ERROR_WANT_WRITE ? out : in, .events = want == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN };
        const int64_t left = deadline - now();
        if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE) {
            const char *reason = ERR_reason_error_string(ERR_peek_error());
            snprintf(err, TLS_ERROR_MAX, "%s", reason != NULL ? reason : "connection ended");
            return -1;
        }
        if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR)) {
            snprintf(err, TLS_ERROR_MAX, "no handshake in time");
            return -1;
        }
    }
}

/* One direction. */
struct flow {
    unsigned char *data;
    size_t at, n;
    bool ended;                        /* its source has nothing more */
};

struct pump {
    SSL *ssl;
    int in, out, plain;
    struct flow up, down;              /* from the client, to the client */
    int read_wants, write_wants;       /* POLLIN or POLLOUT of the network, when OpenSSL said so; else 0 */
    bool told;                         /* plain was told that up has ended */
    bool broken;
    bool alone;                        /* the other end of plain is closed: what is in it, and in down, is all */
    int64_t until, stalled;            /* alone: when the client must have taken all, and when at least something */
};

static int wanted(struct pump *p, int result)
{
    switch (SSL_get_error(p->ssl, result)) {
    case SSL_ERROR_WANT_READ: return POLLIN;
    case SSL_ERROR_WANT_WRITE: return POLLOUT;
    default: return 0;
    }
}

/* Each of these four does what can be done at once, and says whether that was anything. */
static bool read_client(struct pump *p)
{
    if (p->up.ended || p->up.n > 0)
        return false;
    ERR_clear_error();
    const int n = SSL_read(p->ssl, p->up.data, ROOM);
    p->read_wants = n > 0 ? 0 : wanted(p, n);
    if (n > 0) {
        p->up.at = 0;
        p->up.n = (size_t)n;
        return true;
    }
    p->up.ended = p->read_wants == 0;      /* close_notify, or the connection is broken: the same to one who waits for a line */
    return p->up.ended;
}

static bool write_plain(struct pump *p)
{
    if (p->up.n > 0) {
        const ssize_t n = send(p->plain, p->up.data + p->up.at, p->up.n, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            p->up.n = 0;                   /* nobody reads any more */
            p->up.ended = true;
            return true;
        }
        if (n > 0) {
            p->up.at += (size_t)n;
            p->up.n -= (size_t)n;
        }
        return n > 0;
    }
    if (p->up.ended && !p->told) {
        (void)shutdown(p->plain, SHUT_WR);
        p->told = true;
    }
    return false;
}

static bool read_plain(struct pump *p)
{
    if (p->down.ended || p->down.n > 0)
        return false;
    const ssize_t n = read(p->plain, p->down.data, ROOM);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    p->down.at = 0;
    p->down.n = n > 0 ? (size_t)n : 0;
    p->down.ended = n <= 0;
    return true;
}

static bool write_client(struct pump *p)
{
    if (p->down.n == 0)
        return false;
    ERR_clear_error();
    const int n = SSL_write(p->ssl, p->down.data + p->down.at, (int)p->down.n);
    p->write_wants = n > 0 ? 0 : wanted(p, n);
    if (n > 0) {
        p->down.at += (size_t)n;
        p->down.n -= (size_t)n;
        p->stalled = now() + STALL;
        return true;
    }
    p->broken = p->write_wants == 0;
    return false;
}

/* A session may wait for its client as long as it likes, and then it ends. Without it a client that takes nothing would keep this
 * process for ever. -1: no limit. */
static int patience(const struct pump *p)
{
    if (!p->alone)
        return -1;
    const int64_t first = p->until < p->stalled ? p->until : p->stalled, left = first - now();
    return left > 0 ? (int)left : 0;
}

static void left_alone(struct pump *p)
{
    p->alone = true;
    p->until = now() + FAREWELL;
    p->stalled = now() + STALL;
}

static void wait_for_any(struct pump *p)
{
    short net = 0;
    if (!p->up.ended && p->up.n == 0)
        net = (short)(net | (p->read_wants != 0 ? p->read_wants : POLLIN));
    if (p->down.n > 0)
        net = (short)(net | (p->write_wants != 0 ? p->write_wants : POLLOUT));
    const short plain = (short)((p->up.n > 0 ? POLLOUT : 0) | (!p->down.ended && p->down.n == 0 ? POLLIN : 0));
    struct pollfd fds[3] = {
        { .fd = net & POLLIN ? p->in : -1, .events = POLLIN },
        { .fd = net & POLLOUT ? p->out : -1, .events = POLLOUT },
        { .fd = plain != 0 || !p->alone ? p->plain : -1, .events = plain }      /* its end is told in any case */
    };
    const int ready = poll(fds, 3, patience(p));
    p->broken = ready == 0 || (ready < 0 && errno != EINTR);
    if (!p->alone && (fds[2].revents & POLLHUP))
        left_alone(p);
}

/* After close_notify: until the client has closed too, so that the kernel does not throw away what it has not read yet. */
static void linger(const struct pump *p)
{
    enum { LINGER = 3000 };
    const int64_t deadline = now() + LINGER;
    unsigned char unread[4096];
    (void)shutdown(p->out, SHUT_WR);
    for (int64_t left; (left = deadline - now()) > 0;) {
        struct pollfd end = { .fd = p->in, .events = POLLIN };
        if (poll(&end, 1, (int)left) <= 0)
            return;
        const ssize_t n = read(p->in, unread, sizeof unread);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return;
    }
}

void tls_pump(SSL *ssl, int in, int out, int plain)
{
    struct pump p = { .ssl = ssl, .in = in, .out = out, .plain = plain };
    p.up.data = malloc(ROOM);
    p.down.data = malloc(ROOM);
    if (p.up.data == NULL || p.down.data == NULL)
        return;
    while (!p.broken && !(p.down.ended && p.down.n == 0)) {
        bool some = read_client(&p);
        some |= write_plain(&p);
        some |= read_plain(&p);
        some |= write_client(&p);
        if (!some && !p.broken && !(p.down.ended && p.down.n == 0))
            wait_for_any(&p);
    }
    if (!p.broken) {
        (void)SSL_shutdown(ssl);
        linger(&p);
    }
}
