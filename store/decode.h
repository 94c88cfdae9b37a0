#ifndef STORE_DECODE_H
#define STORE_DECODE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "store/mailbox.h"
#include "store/mime.h"

/* Transfer encodings (RFC 2045 section 6) as a stream: octets in pieces of any size, what they give is appended. Lenient: no
 * input is refused, what is not encoded right is passed over (base64) or taken as it stands (quoted-printable). */
enum transfer_kind { TRANSFER_NONE, TRANSFER_BASE64, TRANSFER_QP };
struct transfer {
    enum transfer_kind kind;
    unsigned bits, count;            /* base64: 6 bits each */
    size_t pending_n;                /* qp: what a line end or another octet will decide about */
    char pending[96];
};
enum transfer_kind transfer_kind_of(struct str encoding);            /* NONE: nothing to decode, or unknown */
bool transfer_known(struct str encoding);                            /* one of the five of RFC 2045 */
void transfer_feed(struct transfer *t, struct buf *out, const char *in, size_t n);
void transfer_end(struct transfer *t, struct buf *out);

/* Lone LF octets to CRLF, as a stream; zero-initialised is the beginning. CR LF stays. */
struct line_ends { bool cr; };
void line_ends_feed(struct line_ends *l, struct buf *out, const char *in, size_t n);

/* The decoded octets of a part of a message, piece by piece; memory is bounded by the size of a piece. */
struct part_stream {
    struct mailbox *m;
    const struct message *msg;
    uint64_t at, left;               /* octets of the message not read yet */
    struct transfer transfer;
    bool text, ended;                /* text: line ends are to be CRLF */
    struct line_ends ends;
    char *window;
    struct buf decoded, lines;
};
/* False: the part's encoding is not known. Multiparts have none of their own (RFC 2045 section 6.4) and are always known. */
bool part_decodable(const struct mime_part *part);
/* Begins with the body of a part; with part NULL the message from its first octet to its last, not decoded. m and msg must
 * outlive the stream. crlf: lone LF of text parts becomes CRLF (RFC 9051 section 7.5.2). */
void part_stream_begin(struct part_stream *p, struct mailbox *m, const struct message *msg, const struct mime_part *part, bool crlf);
/* 1 and the next octets (may be none, valid until the next call), 0 at the end, -1 with e. */
int part_stream_next(struct part_stream *p, struct str *out, struct store_error *e);
void part_stream_end(struct part_stream *p);
#endif
