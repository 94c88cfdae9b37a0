#ifndef STORE_MIME_H
#define STORE_MIME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"

/* MIME structure of one message (RFC 2045-2047, 2183, 2231, 5322), by a push parser: one pass, bounded depth and part
 * count, any size, never fails: a malformed message gets the structure nearest to what its lines say. Offsets and sizes
 * are octets of the message as the client sees it (CRLF), counted from its first octet. A NULL .p in a struct str means
 * NIL (field or parameter absent); .p non-NULL with n 0 is the empty string. Header values are unfolded (CRLF removed,
 * the white space kept; in subject made single spaces) but not decoded: what ENVELOPE gives. */
struct mime_address {
    struct str name, route, mailbox, host;   /* group start: host NIL, mailbox = group name; group end: both NIL */
};
struct mime_addresses { struct mime_address *list; size_t n; };
struct mime_envelope {                        /* RFC 3501 section 7.4.2; the defaulting of sender and reply-to is done */
    struct str date, subject;
    struct mime_addresses from, sender, reply_to, to, cc, bcc;
    struct str in_reply_to, message_id;
};
struct mime_param { struct str name, value; };          /* RFC 2231 continuations joined as RFC 2231 says; charset kept */
struct mime_part {
    struct str type, subtype;                 /* as written (message/rfc822, message/global: in small letters); defaults
                                                 text/plain, message/rfc822 in a digest */
    struct mime_param *params; size_t param_count;        /* of text: with charset, "us-ascii" where none is named */
    struct str id, description, encoding;     /* encoding "7bit" by default */
    struct str md5, disposition;              /* disposition NIL if absent */
    struct mime_param *disp_params; size_t disp_param_count;
    struct str *languages; size_t language_count;
    struct str location;
    uint64_t header_offset, header_size;      /* the part's MIME header with its blank line; of part "" the message header */
    uint64_t body_offset, body_size;
    uint32_t lines;                           /* line ends within the body (an unfinished last line is not counted) */
    struct mime_part *parts; size_t part_count;   /* multipart: its parts; a message: exactly one, the message's root */
    struct mime_envelope *envelope;           /* of the message root and of each message's root part, else NULL */
};
/* Is it message/rfc822 or message/global (RFC 6532 section 3.7)? */
bool mime_is_message(const struct mime_part *part);
enum { MIME_DEPTH = 100, MIME_PARTS = 10000, MIME_HEADER = 1 << 20 };  /* beyond: the rest is taken as body octets; header
                                              fields over MIME_HEADER octets together are cut for the structure only */

struct mime_parser;
struct mime_parser *mime_parser_new(struct arena *a);   /* all results live in a */
void mime_parser_feed(struct mime_parser *p, const char *bytes, size_t n);
struct mime_part *mime_parser_finish(struct mime_parser *p);   /* frees p; the root part, with its envelope */

/* Compact form for the index, and back (strings then point into the blob). unpack gives NULL for a blob that is damaged
 * or of another version: every length is checked. */
void mime_pack(struct buf *out, const struct mime_part *root);
struct mime_part *mime_unpack(struct str blob, struct arena *a);

/* Headers by themselves. header: octets of a header (CRLF or LF). Calls each with the field's name, the raw value behind
 * the colon (folded, without the final CRLF) and the whole field with its CRLF. Lines that are no field are passed over
 * (also passed: a leading ">From " or "From " line). Stops at the blank line. */
void mime_header_each(struct str header, int (*each)(void *ctx, struct str name, struct str value, struct str whole), void *ctx);
void mime_envelope_parse(struct str header, struct mime_envelope *out, struct arena *a);
void mime_addresses_parse(struct str value, struct mime_addresses *out, struct arena *a);
/* Date field of RFC 5322 (with its obsolete forms) to seconds since 1970 UTC and the zone in minutes. 0 or -1. */
int mime_date_parse(struct str value, int64_t *date, int *zone);
/* A Date field whose time cannot be read: 00:00:00 UTC of its day. 0 or -1. */
int mime_day_parse(struct str value, int64_t *date);
#endif
