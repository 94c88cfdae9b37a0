#ifndef STORE_PREVIEW_PRIVATE_H
#define STORE_PREVIEW_PRIVATE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* A preview being made: white space collapsed, characters counted. */
struct preview_text {
    struct buf *out;
    size_t n;                            /* characters so far */
    bool space;                          /* one comes before the next character */
};
bool preview_add(struct preview_text *t, uint32_t c);                /* one character. False: full */
bool preview_add_text(struct preview_text *t, struct str utf8);
/* The next character, U+FFFD for what is none; *at < end moves on. */
uint32_t preview_character(const char **at, const char *end);
#endif
