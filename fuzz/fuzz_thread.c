/* Any octets as messages to thread: lines of a header, a blank line between two messages. Every message must be in the result
 * once, and the result must be a forest; a base subject gets no longer when it is taken for a subject. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "store/mime_lex.h"
#include "store/subject.h"
#include "store/thread.h"

static void check(const struct threads *t, uint32_t messages)
{
    unsigned char *seen = calloc(messages + 1, 1), *child = calloc(t->n + 1, 1);
    uint32_t count = 0;

    if (!seen || !child) abort();
    for (size_t i = 0; i < t->n; i++) {
        const struct thread_node *node = &t->nodes[i];
        if (node->seq > messages || (node->seq && seen[node->seq]++)) abort();
        if (node->seq == 0 && (i >= t->roots || node->child_count < 2)) abort();
        count += node->seq != 0;
        for (uint32_t c = 0; c < node->child_count; c++) {
            if (node->first_child < t->roots || node->first_child + c >= t->n || child[node->first_child + c]++) abort();
        }
    }
    for (size_t i = t->roots; i < t->n; i++)
        if (!child[i]) abort();
    if (count != messages) abort();
    /* each node but a root is some node's child, once: a ring would be unreachable from the roots */
    uint32_t *stack = calloc(t->n + 1, sizeof *stack), reached = 0;
    size_t depth = 0;
    if (!stack) abort();
    for (uint32_t i = 0; i < t->roots; i++) stack[depth++] = i;
    while (depth > 0) {
        const struct thread_node *node = &t->nodes[stack[--depth]];
        reached++;
        for (uint32_t c = 0; c < node->child_count; c++) stack[depth++] = node->first_child + c;
    }
    if (reached != t->n) abort();
    free(stack);
    free(seen);
    free(child);
}

static void check_subject(struct str value)
{
    struct buf once = { 0 }, twice = { 0 };

    subject_base(&once, value, NULL, NULL);
    subject_base(&twice, buf_str(&once), NULL, NULL);
    if (twice.len > once.len && memmem(once.data, once.len, "=?", 2) == NULL) abort();
    buf_free(&once);
    buf_free(&twice);
}

static int field(void *ctx, struct str name, struct str value, struct str whole)
{
    struct thread_message *m = ctx;
    (void)whole;
    if (name.n != 1) return 0;
    switch (*name.p) {
    case 's': m->subject = value; break;
    case 'd': m->date = value; break;
    case 'i': m->message_id = value; break;
    case 'p': m->in_reply_to = value; break;
    case 'r': m->references = value; break;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct threading *t[3] = { threading_new(THREAD_ORDEREDSUBJECT, COLLATE_CASEMAP), threading_new(THREAD_REFERENCES, COLLATE_CASEMAP), threading_new(THREAD_REFS, COLLATE_CASEMAP) };
    const char *p = (const char *)data, *const end = p + size;
    uint32_t messages = 0;

    while (p < end && size < 1 << 16) {
        const char *blank = memmem(p, (size_t)(end - p), "\n\n", 2);
        const char *next = blank ? blank + 2 : end;
        struct thread_message m = { .seq = ++messages, .arrival = messages % 5 };
        mime_header_each((struct str){ p, (size_t)(next - p) }, field, &m);
        for (unsigned i = 0; i < 3; i++)
            if (threading_add(t[i], &m, NULL) != 0) abort();
        if (m.subject.p) check_subject(m.subject);
        p = next;
    }
    for (unsigned i = 0; i < 3; i++) {
        struct threads threads;
        threading_finish(t[i], &threads);
        check(&threads, messages);
        threads_free(&threads);
        threading_free(t[i]);
    }
    return 0;
}
