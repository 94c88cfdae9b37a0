#ifndef STORE_CONTENT_H
#define STORE_CONTENT_H
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
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

/* A whole message for looking into, into out: its header as content_read gives it, its body with the line ends that are stored
 * (LF alone, where content_read gives CRLF). One that is at most CONTENT_AHEAD octets in the file is read together with those behind
 * it, which are kept until content_unlocked. 0 or -1. */
enum { CONTENT_AHEAD = 1 << 18 };
int content_text(struct content *c, int fd, const struct message_record *r, uint64_t start, bool mboxo, struct buf *out,
                 struct store_error *e);
/* The lock is given back: the file may change. */
void content_unlocked(struct content *c);
/* Before reading: what the file is now. Nothing is remembered of what it was. */
void content_file(struct content *c, const struct file_identity *now);
#endif
