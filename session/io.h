#ifndef SESSION_IO_H
#define SESSION_IO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* The client's side: buffered input with time-outs and bounds, buffered output; compressed on the wire or not. */
struct compress;
struct io {
    int in, out;
    struct buf input;                /* octets read and not used yet */
    size_t used;
    struct buf output;
    char tail[32];                   /* the end of a line that was TOO_LONG: it may announce a literal */
    size_t tail_n;
    uint64_t octets_in, octets_out;  /* on the wire */
    uint64_t octets_most;            /* 0: any number; else input ends when octets_in has come to it */
    uint64_t flushes;                /* how often output was written: what is told cannot be taken back */
    bool eof, failed;                /* no more input; output cannot be written */
    bool utf8;                       /* mailbox names are UTF-8, quoted strings may be (RFC 9051, RFC 6855) */
    bool damaged;                    /* eof because what came cannot be inflated, or a line had no end */
    struct compress *compress;       /* NULL: octets go as they are */
    void (*before_wait)(void *ctx);  /* called before anything that may block: gives locks back */
    void (*chore)(void *ctx);        /* called once chore_at (io_now_ms; 0: never) has come and input is waited for */
    int64_t chore_at;
    void *ctx;
};
void io_init(struct io *io, int in, int out, struct str pending);
void io_free(struct io *io);
/* Writes what is waiting as it is; from then on both directions go through c (compress.h), which io_free frees. Input that was
 * read already is c's: it was given to compress_new. */
void io_compress(struct io *io, struct compress *c);
/* Room for n octets of output, written out first when the buffer is large. */
void io_flush(struct io *io);
static inline void io_add(struct io *io, const void *p, size_t n) { buf_add(&io->output, p, n); }
static inline void io_puts(struct io *io, const char *z) { buf_add(&io->output, z, strlen(z)); }
void io_printf(struct io *io, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void io_number(struct io *io, uint64_t n);
/* Writes what is waiting if that can be done at once: it is little, and there is room for it. */
void io_offer(struct io *io);
/* Flushes if more than a bound is waiting. */
void io_relieve(struct io *io);

/* The client's compression ends with the line that was read last: true once all of it has come, then what follows is plain and is
 * io_pending after io_decompress. False: something else came, or nothing in time. True also if there is no compression. */
bool io_compress_ends(struct io *io, int timeout_ms);
/* Ends ours, with what was written. */
void io_decompress(struct io *io);

enum io_status { IO_OK, IO_EOF, IO_TIMEOUT, IO_TOO_LONG, IO_OTHER };
/* One line without its CRLF (or LF), appended to line; at most max octets. TOO_LONG: the rest of the line was
 * passed over, but for its end, in tail. */
enum io_status io_line(struct io *io, struct buf *line, size_t max, int timeout_ms);
/* Up to n octets, at least one. */
enum io_status io_some(struct io *io, char *to, size_t n, size_t *got, int timeout_ms);
/* Waits for input, or for other (-1: none) to become readable: IO_OTHER then. */
enum io_status io_wait(struct io *io, int other, int timeout_ms);
int64_t io_now_ms(void);             /* monotonic clock */
static inline bool io_too_much(const struct io *io) { return io->octets_most != 0 && io->octets_in >= io->octets_most; }
struct str io_pending(const struct io *io);
#endif
