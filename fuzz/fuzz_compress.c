/*
 * What a logged-in client can send once compression is on: any octets through the inflater and io.c, read as lines and as literals.
 * The first octet says how long lines may be and how much is taken at a time.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "session/compress.h"
#include "session/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PATIENCE = 1000, TURNS = 4000, PIPE = 60000 };
    int pair[2];
    if (size < 1 || size > PIPE || pipe2(pair, O_CLOEXEC) != 0)
        return 0;
    const size_t max = 16 + (size_t)(data[0] & 15) * 64, part = 1 + (size_t)(data[0] >> 4) * 100, first = (size - 1) / 3;
    if (write(pair[1], data + 1 + first, size - 1 - first) != (ssize_t)(size - 1 - first))
        abort();
    close(pair[1]);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct io io;
    struct buf line = { 0 };
    char octets[1600];
    size_t got;
    enum io_status status = IO_OK;
    io_init(&io, pair[0], null, (struct str){ (const char *)data + 1, first });
    struct compress *c = compress_new(io_pending(&io));
    if (c == NULL)
        abort();
    io_compress(&io, c);
    for (int i = 0; i < TURNS && (status == IO_OK || status == IO_TOO_LONG); i++) {
        buf_clear(&line);
        if (i % 3 == 2) {
            status = io_some(&io, octets, part, &got, PATIENCE);
            if (status == IO_OK && (got == 0 || got > part))
                abort();
            io_add(&io, octets, status == IO_OK ? got : 0);
        } else {
            status = i % 3 == 1 ? io_wait(&io, -1, PATIENCE) : IO_OK;
            if (status == IO_OK)
                status = io_line(&io, &line, max, PATIENCE);
            if (status == IO_OK && line.len > max)
                abort();
            io_add(&io, line.data, line.len);
        }
    }
    io_flush(&io);
    io_free(&io);
    buf_free(&line);
    close(pair[0]);
    close(null);
    return 0;
}
