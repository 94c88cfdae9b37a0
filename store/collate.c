/*
 * i;unicode-casemap: each character by itself becomes its title case, and that its compatibility decomposition (RFC 5051
 * section 2; accents stay in the order in which they are written). ASCII, most of what there is, only becomes upper case.
 */
#include <stdbool.h>
#include <utf8proc.h>
#include "store/collate.h"

/* As UnicodeData.txt has it: there the sharp s has none, though utf8proc knows its capital. */
static utf8proc_int32_t title_case(utf8proc_int32_t c)
{
    enum { SHARP_S = 0xdf };
    return c == SHARP_S ? c : utf8proc_totitle(c);
}

static bool add_character(struct buf *out, utf8proc_int32_t c)
{
    enum { MOST = 32 };
    utf8proc_int32_t parts[MOST];
    int unused = 0;
    const utf8proc_ssize_t n = utf8proc_decompose_char(title_case(c), parts, MOST, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &unused);

    if (n < 0 || n > MOST) return false;
    for (utf8proc_ssize_t i = 0; i < n; i++)
        out->len += (size_t)utf8proc_encode_char(parts[i], (utf8proc_uint8_t *)buf_room(out, 4));
    return true;
}

void collate_casemap(struct buf *out, struct str utf8)
{
    const size_t start = out->len;
    char *to = buf_room(out, utf8.n + 1);

    for (size_t i = 0; i < utf8.n;) {
        const char ascii = utf8.p[i];
        utf8proc_int32_t c;
        if (!((unsigned char)ascii & 0x80)) {
            to[0] = (char)(ascii >= 'a' && ascii <= 'z' ? ascii - ('a' - 'A') : ascii);
            to++;
            out->len++;
            i++;
            continue;
        }
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)utf8.p + i, (utf8proc_ssize_t)(utf8.n - i), &c);
        if (n <= 0 || !add_character(out, c)) {
            out->len = start;
            buf_add(out, utf8.p, utf8.n);
            return;
        }
        i += (size_t)n;
        to = buf_room(out, utf8.n - i + 1);
    }
    if (out->data) out->data[out->len] = '\0';
}
