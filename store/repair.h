#ifndef STORE_REPAIR_H
#define STORE_REPAIR_H
#include <stdbool.h>
#include "store/mbox_rewrite.h"
#include "store/verify.h"

/* Mending of an mbox whose exclusive lock the caller holds. */
struct repair {
    struct mbox_journal *journal;
    bool mboxo;
    int dirfd;                       /* where the backup goes */
    const char *leaf;                /* its name, without ".backup-..." */
    void (*did)(void *ctx, const struct finding *f, bool mended);      /* each finding; NULL f->text never */
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);  /* octets; 0 when it begins; may be NULL */
    void (*tick)(void *ctx);         /* about once a step of the rewrite */
    void *ctx;
    char backup[300];                /* out: name of the copy, "" if none was needed */
    bool recovered;                  /* out: an interrupted rewrite was finished */
    size_t mended, left;             /* out */
};
/* A durable copy first, if anything is to be changed; without it nothing is. 0 or -1. */
int repair_run(struct repair *r, int fd, struct store_error *e);
#endif
