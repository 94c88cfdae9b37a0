#ifndef STORE_VERIFY_H
#define STORE_VERIFY_H
#include <stddef.h>
#include <stdint.h>
#include "store/index.h"

/* What is wrong with an mbox file. Reads it once, in bounded memory, and changes nothing. */
struct finding {
    uint64_t offset;                 /* in the file */
    uint32_t message;                /* from 1; 0: of the file as a whole */
    const char *text;                /* valid during the call */
    bool fixable;                    /* by replacing del octets at fix_at by fix: nothing of a message is lost */
    uint64_t fix_at, del;
    const char *fix;                 /* a constant */
};
struct verify {
    bool mboxo;
    void (*found)(void *ctx, const struct finding *f);
    void (*seen)(void *ctx, uint64_t octets);            /* progress; may be NULL */
    void *ctx;
    const struct message_record *index;  /* records that the file should have (absolute offsets), or NULL; borrowed */
    size_t index_n;
    uint64_t messages, octets;       /* out */
};
/* Findings in the order in which they are met; those of one message after its reading. The caller holds a lock on the file.
 * 0, or -1 if the file could not be read. */
int verify_run(struct verify *v, int fd, struct store_error *e);
#endif
