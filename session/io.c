/*
 * Buffered input and output of one connection. All waiting is in poll, with a time limit; before any of it the hook gives
 * back what must not be held while a client takes its time. SIGTERM and SIGHUP are let in only while waiting (the session
 * blocks them otherwise), so that none is missed.
 */
#include "session/io.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 16384, RELIEVE = 1 << 18, WRITE_TIMEOUT = 300000 };

int64_t io_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void io_init(struct io *io, int in, int out, struct str pending)
{
    *io = (struct io){ .in = in, .out = out };
    if (pending.n > 0)
        buf_add(&io->input, pending.p, pending.n);
}

void io_free(struct io *io)
{
    buf_free(&io->input);
    buf_free(&io->output);
}

struct str io_pending(const struct io *io)
{
    return (struct str){ io->input.data + io->used, io->input.len - io->used };
}

static void about_to_wait(struct io *io)
{
    if (io->before_wait != NULL)
        io->before_wait(io->ctx);
}

static int wait_for(struct pollfd *p, nfds_t n, int timeout_ms)
{
    const struct timespec t = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
    sigset_t none;
    sigemptyset(&none);
    return ppoll(p, n, &t, &none);
}

/* For input: what is due while nothing comes is done meanwhile. */
static int wait_for_input(struct io *io, struct pollfd *p, nfds_t n, int timeout_ms)
{
    const int64_t deadline = io_now_ms() + timeout_ms;
    for (;;) {
        const int64_t now = io_now_ms(), left = deadline > now ? deadline - now : 0;
        const bool due_first = io->chore_at != 0 && io->chore_at < deadline;
        const int64_t due = due_first ? (io->chore_at > now ? io->chore_at - now : 0) : left;
        const int ready = wait_for(p, n, (int)due);
        if (ready != 0 || !due_first)
            return ready;
        io->chore_at = 0;
        io->chore(io->ctx);
    }
}

/* A socket is written as far as it takes now; anything else (a pipe, a file) takes all that poll says it does. */
static ssize_t write_some(struct io *io, const char *p, size_t n)
{
    const ssize_t sent = send(io->out, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent >= 0 || errno != ENOTSOCK ? sent : write(io->out, p, n);
}

void io_flush(struct io *io)
{
    size_t at = 0;
    if (io->output.len == 0)
        return;
    io->flushes++;
    while (at < io->output.len && !io->failed) {
        const ssize_t n = write_some(io, io->output.data + at, io->output.len - at);
        if (n >= 0) {
            at += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd p = { .fd = io->out, .events = POLLOUT };
            about_to_wait(io);
            if (wait_for(&p, 1, WRITE_TIMEOUT) <= 0)
                io->failed = true;
        } else if (errno != EINTR) {
            io->failed = true;
        }
    }
    buf_clear(&io->output);
    if (io->output.cap > 4 * RELIEVE)
        buf_free(&io->output);
}

void io_relieve(struct io *io)
{
    if (io->output.len >= RELIEVE)
        io_flush(io);
}

void io_add(struct io *io, const void *p, size_t n)
{
    buf_add(&io->output, p, n);
}

void io_puts(struct io *io, const char *z)
{
    buf_add(&io->output, z, strlen(z));
}

void io_number(struct io *io, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    buf_add(&io->output, digits + at, sizeof digits - at);
}

void io_printf(struct io *io, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n > 0)
        buf_add(&io->output, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

enum io_status io_wait(struct io *io, int other, int timeout_ms)
{
    struct pollfd p[2] = { { .fd = io->in, .events = POLLIN }, { .fd = other, .events = POLLIN } };
    if (io->used < io->input.len)
        return IO_OK;
    if (io->eof || io->failed)
        return IO_EOF;
    io_flush(io);
    about_to_wait(io);
    const int n = wait_for_input(io, p, other >= 0 ? 2 : 1, timeout_ms);
    if (n < 0)
        return IO_EOF;                   /* a signal that we catch means: end */
    if (n == 0)
        return IO_TIMEOUT;
    return p[0].revents != 0 ? IO_OK : IO_OTHER;
}

static enum io_status fill(struct io *io, int timeout_ms)
{
    if (io->used > 0) {
        buf_drop(&io->input, io->used);
        io->used = 0;
    }
    if (io->eof || io->failed)
        return IO_EOF;
    io_flush(io);
    about_to_wait(io);
    struct pollfd p = { .fd = io->in, .events = POLLIN };
    const int ready = wait_for_input(io, &p, 1, timeout_ms);
    if (ready <= 0)
        return ready == 0 ? IO_TIMEOUT : IO_EOF;
    char *room = buf_room(&io->input, CHUNK);
    ssize_t n;
    do
        n = read(io->in, room, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        io->eof = true;
        return IO_EOF;
    }
    io->input.len += (size_t)n;
    return IO_OK;
}

/* The last octets of a line that is not kept, in whatever pieces it comes. */
static void keep_tail(struct io *io, const char *p, size_t n)
{
    const size_t most = sizeof io->tail;
    if (n >= most) {
        memcpy(io->tail, p + n - most, most);
        io->tail_n = most;
        return;
    }
    const size_t old = io->tail_n + n > most ? most - n : io->tail_n;
    memmove(io->tail, io->tail + io->tail_n - old, old);
    if (n > 0)
        memcpy(io->tail + old, p, n);
    io->tail_n = old + n;
}

enum io_status io_line(struct io *io, struct buf *line, size_t max, int timeout_ms)
{
    const int64_t deadline = io_now_ms() + timeout_ms;
    bool long_line = false;
    io->tail_n = 0;
    for (;;) {
        const size_t have = io->input.len - io->used;
        const char *p = have > 0 ? io->input.data + io->used : "";
        const char *lf = have > 0 ? memchr(p, '\n', have) : NULL;
        const size_t n = lf != NULL ? (size_t)(lf - p) : have;
        if (!long_line && line->len + n <= max + 1) {
            buf_add(line, p, n);
        } else {
            long_line = true;
            keep_tail(io, p, n);
        }
        io->used += n + (lf != NULL);
        if (lf != NULL)
            break;
        const int64_t left = deadline - io_now_ms();
        const enum io_status status = left > 0 ? fill(io, (int)left) : IO_TIMEOUT;
        if (status != IO_OK)
            return status;
    }
    if (long_line) {
        if (io->tail_n > 0 && io->tail[io->tail_n - 1] == '\r')
            io->tail_n--;
        return IO_TOO_LONG;
    }
    if (line->len > 0 && line->data[line->len - 1] == '\r')
        line->len--;
    if (line->len > max)
        keep_tail(io, line->data, line->len);
    return line->len > max ? IO_TOO_LONG : IO_OK;
}

enum io_status io_some(struct io *io, char *to, size_t n, size_t *got, int timeout_ms)
{
    if (io->used == io->input.len) {
        const enum io_status status = fill(io, timeout_ms);
        if (status != IO_OK)
            return status;
    }
    const size_t have = io->input.len - io->used;
    *got = have < n ? have : n;
    memcpy(to, io->input.data + io->used, *got);
    io->used += *got;
    return IO_OK;
}
