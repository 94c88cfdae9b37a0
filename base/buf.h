#ifndef BASE_BUF_H
#define BASE_BUF_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes with a length. Not NUL-terminated, NUL is data. Never owns what it points to. */
struct str {
    const char *p;
    size_t n;
};
#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
struct str str_z(const char *z);                       /* of a NUL-terminated string */
int str_eq(struct str a, struct str b);                /* same bytes */
int str_ieq(struct str a, struct str b);               /* same bytes, ASCII case ignored */

/* A growable byte buffer. Zero-initialised is empty and valid. data[len] is always a NUL once anything was added.
 * Growing beyond memory ends the process with a log line (xmalloc.h): callers bound what they add. */
struct buf {
    char *data;
    size_t len, cap;
};
char *buf_grow(struct buf *b, size_t n);               /* buf_room where there is none */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop(struct buf *b, size_t n);                /* removes the first n bytes */
void buf_clear(struct buf *b);                         /* len = 0, memory kept */
void buf_free(struct buf *b);                          /* memory given back, empty again */
struct str buf_str(const struct buf *b);

/* Room for n more bytes at data+len; the caller adds to len. */
static inline char *buf_room(struct buf *b, size_t n)
{
    return n < b->cap - b->len ? b->data + b->len : buf_grow(b, n);
}

static inline void buf_add(struct buf *b, const void *bytes, size_t n)
{
    char *to = buf_room(b, n);
    if (n) memcpy(to, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
}

static inline void buf_addc(struct buf *b, int c)
{
    *buf_room(b, 1) = (char)c;
    b->data[++b->len] = '\0';
}

static inline void buf_puts(struct buf *b, const char *z)
{
    buf_add(b, z, strlen(z));
}
#endif
