/* Any octets as content with a transfer encoding (the first octet chooses): in one piece, octet by octet and in pieces of a size
 * of its own the decoded octets must be the same, and not more than there were; line ends then are CRLF, and stay so. */
#include <stdint.h>
#include <stdlib.h>
#include "store/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(struct buf *out, enum transfer_kind kind, bool lines, const char *in, size_t n, size_t step)
{
    struct transfer t = { .kind = kind };
    struct line_ends l = { .cr = false };
    struct buf piece = { 0 };
    for (size_t i = 0; i < n; i += step) {
        buf_clear(&piece);
        transfer_feed(&t, &piece, in + i, n - i < step ? n - i : step);
        if (i + step >= n)
            transfer_end(&t, &piece);
        if (piece.len == 0)
            continue;
        if (lines)
            line_ends_feed(&l, out, piece.data, piece.len);
        else
            buf_add(out, piece.data, piece.len);
    }
    buf_free(&piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = { 0 }, pieces = { 0 }, again = { 0 };
    if (size < 2 || size > 1 << 16)
        return 0;
    const enum transfer_kind kind = (enum transfer_kind)(data[0] % 3);
    const char *in = (const char *)data + 1;
    const size_t n = size - 1;
    for (int lines = 0; lines < 2; lines++) {
        buf_clear(&whole);
        decode(&whole, kind, lines, in, n, n);
        for (size_t step = 1; step < 40; step += 1 + data[0] / 8) {
            buf_clear(&pieces);
            decode(&pieces, kind, lines, in, n, step);
            if (!str_eq(buf_str(&whole), buf_str(&pieces)))
                abort();
        }
        if (!lines && whole.len > n)
            abort();
    }
    decode(&again, TRANSFER_NONE, true, whole.len > 0 ? whole.data : "", whole.len, 7);
    if (!str_eq(buf_str(&whole), buf_str(&again)))
        abort();
    buf_free(&whole);
    buf_free(&pieces);
    buf_free(&again);
    return 0;
}
