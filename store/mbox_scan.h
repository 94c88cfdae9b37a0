#ifndef STORE_MBOX_SCAN_H
#define STORE_MBOX_SCAN_H
#include <stdbool.h>
#include <stdint.h>
#include "store/index.h"
#include "store/mbox_meta.h"

/* Splits an mbox into messages in one pass of large reads, and finds for each what the index wants to know. */
struct scanned {
    struct message_record record;      /* offset absolute; uid, modseq, keywords and save_date not filled */
    const struct meta *meta;           /* what the header says; valid during the call */
};
/* Reads fd from offset `from` (the start of a From_ line, or of blank lines before the first) to offset *end or the end of the
 * file and calls each for every message; non-zero from each stops and is returned. *end is then where reading ended. Octets that are no
 * message (a file that does not begin with a From_ line): STORE_CORRUPTION. -1 on failure. */
int mbox_scan(int fd, uint64_t from, bool mboxo, int (*each)(void *ctx, const struct scanned *message), void *ctx,
              uint64_t *end, struct store_error *e);
/* The same for n octets that are, or will be, the end of a file, at this offset of it. */
int mbox_scan_text(const char *octets, size_t n, uint64_t offset, bool mboxo, int (*each)(void *ctx, const struct scanned *message),
                   void *ctx, struct store_error *e);
enum { MBOX_HEADER_MAX = 16 << 20 };   /* a header beyond this is cut: the rest counts as body */
#endif
