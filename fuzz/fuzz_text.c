/* Any octets as encoded text: the first two choose charset and encoding. In one piece and octet by octet the decoded text
 * must be the same; folding must not fail; a search must find what it is made of, and the quick way to the same as the exact one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "store/text_private.h"

static void decode(struct buf *out, const uint8_t *data, size_t n, size_t step, enum transfer_kind kind, struct str name)
{
    struct charset_cache cache = { .n = 0 };
    struct charset c;
    struct transfer t = { .kind = kind };
    struct buf mid = { 0 };

    charset_open(&c, &cache, name);
    for (size_t i = 0; i < n; i += step) {
        buf_clear(&mid);
        transfer_feed(&t, &mid, (const char *)data + i, n - i < step ? n - i : step);
        charset_feed(&c, out, mid.data ? mid.data : "", mid.len);
    }
    buf_clear(&mid);
    transfer_end(&t, &mid);
    charset_feed(&c, out, mid.data ? mid.data : "", mid.len);
    charset_end(&c, out);
    charset_cache_free(&cache);
    buf_free(&mid);
}

/* Needles of ASCII: some from what is in the text, some that are near to it. */
static void find(const struct buf *whole, struct str name, const uint8_t *data, size_t n, enum transfer_kind kind, enum collation collation)
{
    static const char *const encodings[] = { "7bit", "base64", "quoted-printable" };
    struct buf octets = { 0 }, folded = { 0 };

    text_decode_transfer(&octets, str_z(encodings[kind]), (struct str){ (const char *)data, n });
    fold_feed(collation, &folded, whole->data ? whole->data : "", whole->len, true);
    for (size_t i = 0; i < folded.len && i < 64; i++) {
        char text[12];
        size_t size = 1 + (i + n) % sizeof text;
        if (size > folded.len - i) size = folded.len - i;
        memcpy(text, folded.data + i, size);
        if (i % 3 == 2) text[size - 1] ^= 1;
        struct text_needle *needle = text_needle_new(collation, (struct str){ text, size });
        if (needle->ascii) {
            const int found = find_in_text(needle, name, octets.data ? octets.data : "", octets.len);
            const bool is_in = needle_in(needle, folded.data, folded.len);
            if (found >= 0 && found != is_in) abort();
            if (kind == TRANSFER_QP && is_in && !may_be_in_qp(needle, name, (const char *)data, n)) abort();
        }
        text_needle_free(needle);
    }
    buf_free(&octets);
    buf_free(&folded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "utf-8", "us-ascii", "unknown-8bit", "iso-8859-15", "iso-2022-jp", "gb2312", "big5", "utf-16", "koi8-r" };
    struct buf whole = { 0 }, pieces = { 0 }, folded = { 0 };

    if (size < 2 || size > 1 << 16) return 0;
    const struct str name = str_z(names[data[0] % (sizeof names / sizeof *names)]);
    const enum transfer_kind kind = (enum transfer_kind)(data[1] % 3);
    decode(&whole, data + 2, size - 2, size, kind, name);
    decode(&pieces, data + 2, size - 2, 1, kind, name);
    if (!str_eq(buf_str(&whole), buf_str(&pieces))) abort();
    const enum collation collation = (enum collation)(data[1] / 3 % 3);
    text_fold(collation, &folded, buf_str(&whole));
    find(&whole, name, data + 2, size - 2, kind, collation);
    struct text_needle *n = text_needle_new(collation, buf_str(&whole));
    if (!needle_in(n, folded.data ? folded.data : "", folded.len)) abort();
    text_needle_free(n);
    buf_free(&whole);
    buf_free(&pieces);
    buf_free(&folded);
    return 0;
}
