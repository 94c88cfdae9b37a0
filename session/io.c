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

#include "session/compress.h"

enum { CHUNK = 16384, RELIEVE = 1 << 18, WRITE_TIMEOUT = 300000, PASSED_MOST = 1 << 26 };

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
    compress_free(io->compress);
    io->compress = NULL;
}

void io_compress(struct io *io, struct compress *c)
{
    io_flush(io);
    buf_clear(&io->input);
    io->used = 0;
    io->compress = c;
}

struct str io_pending(const struct io *io)
{
    return io->input.len > 0 ? (struct str){ io->input.data + io->used, io->input.len - io->used } : STR("");
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

static void write_all(struct io *io, const char *p, size_t len)
{
    size_t at = 0;
    while (at < len && !io->failed) {
        const ssize_t n = write_some(io, p + at, len - at);
        if (n >= 0) {
            at += (size_t)n;
            io->octets_out += (uint64_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd poll_out = { .fd = io->out, .events = POLLOUT };
            about_to_wait(io);
            if (wait_for(&poll_out, 1, WRITE_TIMEOUT) <= 0)
                io->failed = true;
        } else if (errno != EINTR) {
            io->failed = true;
        }
    }
}

static void write_compressed(struct io *io)
{
    struct buf wire = { 0 };
    for (size_t at = 0; at < io->output.len && !io->failed; at += RELIEVE) {
        const size_t left = io->output.len - at;
        compress_out(io->compress, &wire, io->output.data + at, left < RELIEVE ? left : RELIEVE, left <= RELIEVE);
        write_all(io, wire.data, wire.len);
        buf_clear(&wire);
    }
    buf_free(&wire);
}

void io_flush(struct io *io)
{
    if (io->output.len == 0)
        return;
    io->flushes++;
    if (io->compress != NULL)
        write_compressed(io);
    else
        write_all(io, io->output.data, io->output.len);
    buf_clear(&io->output);
    if (io->output.cap > 4 * RELIEVE)
        buf_free(&io->output);
}

void io_offer(struct io *io)
{
    enum { LITTLE = 4096 };              /* what poll promises room for, on pipes and sockets */
    struct pollfd p = { .fd = io->out, .events = POLLOUT };
    if (io->output.len > 0 && io->output.len <= LITTLE && poll(&p, 1, 0) == 1 && (p.revents & POLLOUT))
        io_flush(io);
}

void io_relieve(struct io *io)
{
    if (io->output.len >= RELIEVE)
        io_flush(io);
}

/* The two digits of n < 100, before p. */
static char *put_pair(char *p, unsigned n)
{
    *--p = (char)('0' + n % 10);
    *--p = (char)('0' + n / 10);
    return p;
}

/* Two digits at a time: a division of 64 bits takes longer than all the rest, and a large answer has a million numbers. */
void io_number(struct io *io, uint64_t n)
{
    enum { DIGITS = 20 };
    char digits[2 * DIGITS] = { 0 }, *p = digits + DIGITS;
    for (; n >= 100; n /= 100)
        p = put_pair(p, (unsigned)(n % 100));
    p = put_pair(p, (unsigned)n);
    p += n < 10;
    memcpy(buf_room(&io->output, DIGITS), p, DIGITS);            /* with what is behind it: of a known size it takes two moves */
    io->output.len += (size_t)(digits + DIGITS - p);
    io->output.data[io->output.len] = '\0';
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

/* What the inflater can give of octets that are here already. EOF: there is nothing to come. OTHER: it needs more from the wire. */
static enum io_status inflate_some(struct io *io)
{
    size_t got;
    switch (compress_in(io->compress, buf_room(&io->input, CHUNK), CHUNK, &got)) {
    case COMPRESS_SOME:
        io->input.len += got;
        return IO_OK;
    case COMPRESS_MORE:
        return IO_OTHER;
    case COMPRESS_DAMAGED:
        io->damaged = true;
        break;
    case COMPRESS_END:
        break;
    }
    io->eof = true;
    return IO_EOF;
}

/* What the wire has, once it is readable. OTHER: that did not become any octets of input yet. */
static enum io_status read_some(struct io *io)
{
    if (io_too_much(io)) {
        io->eof = true;
        return IO_EOF;
    }
    char wire[CHUNK], *room = io->compress != NULL ? wire : buf_room(&io->input, CHUNK);
    ssize_t n;
    do
        n = read(io->in, room, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        io->eof = true;
        return IO_EOF;
    }
    io->octets_in += (uint64_t)n;
    if (io->compress == NULL) {
        io->input.len += (size_t)n;
        return IO_OK;
    }
    compress_feed(io->compress, wire, (size_t)n);
    return inflate_some(io);
}

static bool has_input(struct io *io)
{
    return io->used < io->input.len || (io->compress != NULL && !io->eof && inflate_some(io) == IO_OK);
}

enum io_status io_wait(struct io *io, int other, int timeout_ms)
{
    struct pollfd p[2] = { { .fd = io->in, .events = POLLIN }, { .fd = other, .events = POLLIN } };
    const int64_t deadline = io_now_ms() + timeout_ms;
    for (;;) {
        if (has_input(io))
            return IO_OK;
        if (io->eof || io->failed)
            return IO_EOF;
        io_flush(io);
        about_to_wait(io);
        const int64_t left = deadline - io_now_ms();
        const int n = wait_for_input(io, p, other >= 0 ? 2 : 1, left > 0 ? (int)left : 0);
        if (n < 0)
            return IO_EOF;               /* a signal that we catch means: end */
        if (n == 0)
            return IO_TIMEOUT;
        if (p[0].revents == 0)
            return IO_OTHER;
        if (io->compress == NULL)
            return IO_OK;
        (void)read_some(io);             /* octets that are the end of a block, perhaps, and no input */
    }
}

static enum io_status fill(struct io *io, int timeout_ms)
{
    const int64_t deadline = io_now_ms() + timeout_ms;
    if (io->used > 0) {
        buf_drop(&io->input, io->used);
        io->used = 0;
    }
    if (io->compress != NULL && has_input(io))
        return IO_OK;
    for (;;) {
        if (io->eof || io->failed)
            return IO_EOF;
        io_flush(io);
        about_to_wait(io);
        struct pollfd p = { .fd = io->in, .events = POLLIN };
        const int64_t left = deadline - io_now_ms();
        const int ready = wait_for_input(io, &p, 1, left > 0 ? (int)left : 0);
        if (ready <= 0)
            return ready == 0 ? IO_TIMEOUT : IO_EOF;
        const enum io_status status = read_some(io);
        if (status != IO_OTHER)
            return status;
    }
}

bool io_compress_ends(struct io *io, int timeout_ms)
{
    const int64_t deadline = io_now_ms() + timeout_ms;
    char wire[CHUNK];
    while (io->compress != NULL && io->used == io->input.len) {
        const enum compress_status status = compress_in_ends(io->compress);
        if (status != COMPRESS_MORE)
            return status == COMPRESS_END;
        struct pollfd p = { .fd = io->in, .events = POLLIN };
        const int64_t left = deadline - io_now_ms();
        if (io->eof || left <= 0 || wait_for_input(io, &p, 1, (int)left) <= 0)
            return false;
        const ssize_t n = read(io->in, wire, sizeof wire);
        if (n <= 0)
            return false;
        compress_feed(io->compress, wire, (size_t)n);
    }
    return io->compress == NULL;
}

void io_decompress(struct io *io)
{
    struct buf wire = { 0 };
    io_flush(io);
    if (io->compress == NULL)
        return;
    const struct str rest = compress_end(io->compress, &wire);
    write_all(io, wire.data, wire.len);
    buf_clear(&io->input);
    io->used = 0;
    buf_add(&io->input, rest.p, rest.n);
    compress_free(io->compress);
    io->compress = NULL;
    buf_free(&wire);
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
    const size_t before = line->len;     /* a literal, perhaps, whose last octet is no end of this line */
    bool long_line = false;
    size_t passed = 0;
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
            passed += n;
            keep_tail(io, p, n);
        }
        if (passed > PASSED_MOST) {      /* little on the wire can become a line without end */
            io->damaged = io->eof = true;
            return IO_EOF;
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
    if (line->len > before && line->data[line->len - 1] == '\r')
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
