#ifndef STORE_CONTENT_H
#define STORE_CONTENT_H
#include <stddef.h>
#include <stdint.h>
#include "store/index.h"

/* The message as the client sees it, read from its stored form: bookkeeping hidden, escapes and quoting undone, CRLF line
 * ends. Remembers where it was, so that reading on costs what is read. */
struct content;
struct content *content_new(void);
void content_free(struct content *c);
void content_forget(struct content *c);
/* Up to n octets from `offset` of the message r, which begins at file offset `start`. The file must be locked and fit the
 * record. *got < n only at the end. 0 or -1. */
int content_read(struct content *c, int fd, const struct message_record *r, uint64_t start, bool mboxo, uint64_t offset,
                 char *to, size_t n, size_t *got, struct store_error *e);
#endif
