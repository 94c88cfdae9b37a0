#ifndef STORE_THREAD_H
#define STORE_THREAD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "store/mailbox.h"
#include "store/text.h"

/* Threading (RFC 5256 section 3). THREAD_REFS is REFERENCES without its step 5 (no threads are joined by subject), the
 * threads in order of their latest message. Time is n log n in messages and references, whatever they say. */
enum thread_algorithm { THREAD_ORDEREDSUBJECT, THREAD_REFERENCES, THREAD_REFS };

/* What a message gives: values of header fields, unfolded; .p NULL: there is none. */
struct thread_message {
    uint32_t seq;
    int64_t arrival;                 /* INTERNALDATE */
    struct str date, subject, message_id, in_reply_to, references;
};
/* The result: nodes in an array, the threads (roots) first, siblings side by side, in the order in which they are told. */
struct thread_node {
    uint32_t seq;                    /* 0: a message that is not there; only among the roots, with two children or more */
    uint32_t first_child, child_count;
};
struct threads {
    struct thread_node *nodes;
    size_t n, roots;
};
/* Ids and subjects that one THREAD keeps, octets: beyond it fails with STORE_LIMIT. Of one id or subject so much counts. */
enum { THREAD_MEMORY = 1 << 29, THREAD_TEXT = 4096 };

struct threading;
struct threading *threading_new(enum thread_algorithm algorithm, enum collation collation);      /* collation: of subjects */
/* In ascending order of seq. 0, or -1: STORE_LIMIT. The strings are not needed afterwards. */
int threading_add(struct threading *t, const struct thread_message *message, struct store_error *e);
void threading_finish(struct threading *t, struct threads *out);     /* t can only be freed then */
void threading_free(struct threading *t);
void threads_free(struct threads *threads);

/* Threads messages of a view, ascending sequence numbers. Those that are gone drop out. 0 or -1. */
int thread_run(struct mailbox *m, enum thread_algorithm algorithm, enum collation collation, const uint32_t *seqs, size_t n,
               struct threads *out, struct store_error *e);
/* Appends the next message id of *at (the value of Message-ID, In-Reply-To or References), its quoting undone, without angle
 * brackets; *at is then behind it. false: there is none. */
bool thread_next_id(struct str *at, struct buf *out);
#endif
