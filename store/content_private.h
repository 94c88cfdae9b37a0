#ifndef STORE_CONTENT_PRIVATE_H
#define STORE_CONTENT_PRIVATE_H
#include <stdbool.h>
#include "base/buf.h"
#include "store/content.h"

/* What content.c and content_text.c share. */
struct content {
    uint32_t uid;                    /* whose state this is; 0: nobody's */
    uint64_t fingerprint;
    struct file_identity file;       /* what the file was then */
    struct buf header;
    uint64_t raw, seen;              /* position in the stored body, and in what the client sees of it */
    bool line_start, prev_cr, owe_lf;
    const char *window;              /* stored octets of the body from window_at on, in `ahead` */
    uint64_t window_at;
    size_t window_size;
    char *ahead;                     /* stored octets of the file from ahead_at on, of this message and the next */
    uint64_t ahead_at;
    size_t ahead_size, ahead_room;
    uint64_t next;                   /* behind what was asked for last: who goes on there reads on */
};
/* Reads until n octets are there or the file ends; EINTR is passed over. 0 or -1. */
int content_pread(int fd, char *to, size_t n, uint64_t from, size_t *got, struct store_error *e);
/* Octets of the stored body. */
uint64_t content_body_raw(const struct message_record *r);
/* n octets of the file at `from`, valid until the next call. If the last ones asked for end near there, `ahead` octets at least are
 * read, and kept until content_unlocked. NULL with e. */
const char *content_stored(struct content *c, int fd, uint64_t from, size_t n, size_t ahead, struct store_error *e);
#endif
