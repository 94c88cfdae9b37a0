#ifndef BASE_SCRAM_MESSAGE_H
#define BASE_SCRAM_MESSAGE_H
#include "base/buf.h"

/* What a SCRAM client says, by the grammar of RFC 5802 section 7. The greeter parses it to answer the client, the monitor once more
 * because it believes no greeter. */
enum { SCRAM_NAME_MAX = 255, SCRAM_MESSAGE_MAX = 2048 };

/* client-first-message, its pieces pointing into it. */
struct scram_first {
    char flag;                              /* gs2-cbind-flag: 'n', 'y' or 'p' */
    struct str binding;                     /* cb-name with 'p', else empty */
    struct str gs2, bare, nonce;            /* gs2-header with its last comma; client-first-message-bare; c-nonce */
    char user[SCRAM_NAME_MAX + 1];          /* decoded, after SASLprep */
    char authzid[SCRAM_NAME_MAX + 1];       /* the same; "": none */
};
/* NULL, or the server-error-value of what is wrong ("other-error" for a message that the grammar does not know). At most
 * SCRAM_MESSAGE_MAX octets. */
const char *scram_parse_first(struct scram_first *f, struct str message);

/* client-final-message. */
struct scram_final {
    struct buf binding, proof;              /* decoded: of c=, and of p= */
    struct str nonce;                       /* into the message */
};
/* The same. Extensions are refused (there are none yet). The buffers are the caller's, also after an error: scram_final_free. */
const char *scram_parse_final(struct scram_final *f, struct str message);
void scram_final_free(struct scram_final *f);
#endif
