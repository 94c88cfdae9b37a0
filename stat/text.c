/*
 * Names that a client has chosen, written so that they are nothing but names.
 */
#include <string.h>

#include "stat/collect.h"

/* The code point at *p, which is valid UTF-8, and one step on. */
static uint32_t next(const char **p)
{
    const unsigned char *s = (const unsigned char *)*p;
    const unsigned more = s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : 3;
    uint32_t c = more == 0 ? s[0] : s[0] & (0x3fu >> more);
    for (unsigned i = 1; i <= more; i++)
        c = c << 6 | (s[i] & 0x3f);
    *p += more + 1;
    return c;
}

static bool obeyed(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

static bool invisible(uint32_t c)
{
    return c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff
        || c >= 0xe0000;
}

void text_plain(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (const char *p = text; *p != '\0';) {
        const char *from = p;
        const uint32_t c = next(&p);
        const size_t step = (size_t)(p - from);
        if (n + step >= size)
            break;
        if (obeyed(c) || invisible(c)) {
            out[n++] = '?';
            continue;
        }
        memcpy(out + n, from, step);
        n += step;
    }
    out[n] = '\0';
}

void text_json(FILE *out, const char *text)
{
    putc('"', out);
    for (const char *p = text; *p != '\0';) {
        const char *from = p;
        const uint32_t c = next(&p);
        if (obeyed(c) || (invisible(c) && c < 0x10000))
            fprintf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", (int)c);
        else
            fwrite(from, 1, (size_t)(p - from), out);
    }
    putc('"', out);
}

void text_label(FILE *out, const char *text)
{
    putc('"', out);
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\n')
            fputs("\\n", out);
        else if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else
            putc(*p, out);
    }
    putc('"', out);
}
