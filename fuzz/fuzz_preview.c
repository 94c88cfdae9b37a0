/* Any octets as text, plain and HTML: the preview must be UTF-8 on one line, without white space at its ends, of at most
 * PREVIEW_MOST characters. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "store/preview.h"
#include "store/preview_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct buf *out)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t n = 0;
    if (out->len > 0 && (out->data[0] == ' ' || out->data[out->len - 1] == ' '))
        abort();
    for (const char *p = out->data, *end = p + out->len; p != end; n++) {
        const char *start = p;
        const uint32_t c = preview_character(&p, end);
        if (c < 0x20 || (c == 0xfffd && ((size_t)(p - start) != 3 || memcmp(start, replacement, 3) != 0)))
            abort();
    }
    if (n > PREVIEW_MOST)
        abort();
    buf_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = { 0 };
    const struct str text = { (const char *)data, size };
    if (size == 0 || size > 1 << 16)
        return 0;
    preview_plain(&out, text, false);
    check(&out);
    preview_plain(&out, text, true);
    check(&out);
    preview_html(&out, text);
    check(&out);
    return 0;
}
