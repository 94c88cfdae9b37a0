#ifndef SESSION_FETCH_H
#define SESSION_FETCH_H
#include "session/command.h"
#include "store/mime.h"

enum fetch_type {
    FETCH_FLAGS, FETCH_UID, FETCH_MODSEQ, FETCH_SAVEDATE, FETCH_DATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY, FETCH_BODYSTRUCTURE,
    FETCH_PREVIEW, FETCH_EMAILID, FETCH_THREADID,
    FETCH_SECTION, FETCH_BINARY, FETCH_BINARY_SIZE, FETCH_RFC822, FETCH_RFC822_HEADER, FETCH_RFC822_TEXT
};
enum section_text { SECTION_ALL, SECTION_HEADER, SECTION_FIELDS, SECTION_FIELDS_NOT, SECTION_TEXT, SECTION_MIME };
enum { SECTION_DEPTH = 128 };
struct fetch_item {
    enum fetch_type type;
    bool peek;
    bool lazy;                           /* PREVIEW (LAZY) */
    uint32_t *path; size_t depth;        /* part numbers */
    enum section_text text;
    struct str *fields; size_t field_count;
    bool kept;                           /* HEADER.FIELDS of fields that the index keeps */
    bool partial;
    uint64_t from, length;
    struct str label;                    /* "BODY[...]<n>" or "BINARY[...]<n>" as the response names it */
};
struct fetch_items {
    struct fetch_item *list;
    size_t n;
    bool sets_seen, needs_mime, needs_flags, needs_content, needs_fields;     /* needs_fields: for those that are kept */
};
/* Modifiers (RFC 4466, RFC 7162, RFC 9394). */
struct fetch_modifiers {
    bool changed, vanished, some;
    uint64_t since;                      /* CHANGEDSINCE */
    struct partial range;                /* PARTIAL */
};
/* What stands behind "FETCH set ". False: syntax. */
bool fetch_parse(struct session *s, struct parse *p, struct fetch_items *out);
struct fetch_items *fetch_items_new(struct session *s);       /* in the command's arena */
/* Tells the items (text of fetch-atts in parentheses) of these messages. */
void fetch_unasked(struct session *s, struct str items, const uint32_t *seqs, size_t n);
bool fetch_parse_modifiers(struct parse *p, bool uid, struct fetch_modifiers *out);
/* section-spec without brackets, as a URL has it; the whole of p. Only what names the section in item is set. */
bool section_parse(struct parse *p, struct fetch_item *item);
/* The octets of a section (of item->partial of it) to give, in pieces; m is left locked. root may be NULL if item->depth is 0. 1 given,
 * 0 there is no such section, -1 (also when give returned false: e is then as it was). */
int section_octets(struct mailbox *m, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                   bool (*give)(void *ctx, const char *octets, size_t n), void *ctx, struct store_error *e);
void write_envelope(struct io *io, const struct mime_envelope *e);
/* global: message/global has an envelope and a body, as message/rfc822 has (RFC 9051); a client of RFC 3501 expects none. */
void write_body(struct io *io, const struct mime_part *part, bool extended, bool global);
/* One BODY[section] with its name; fields: the message's that are kept, or .p NULL. False: the content could not be read; the response
 * is then unfinished. */
bool write_section(struct session *s, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                   struct str fields, struct store_error *e);
/* The part that a path names (RFC 3501 section 6.4.5); the root for depth 0, NULL if there is none. */
const struct mime_part *find_part(const struct mime_part *root, const struct fetch_item *item);
/* The octets [*from, *from + *size) narrowed to those that the item's <n.m> asks for. */
void narrow_to_partial(const struct fetch_item *item, uint64_t *from, uint64_t *size);

/* BINARY and BINARY.SIZE (RFC 3516; fetch_binary.c). */
bool binary_parse(struct session *s, struct parse *p, struct fetch_item *item);    /* false, p->at as it was: not one of them */
/* False: one of the items wants a part whose transfer encoding is not known. */
bool binary_decodable(const struct fetch_items *items, const struct mime_part *root);
bool write_binary(struct session *s, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                  struct store_error *e);

/* PREVIEW, EMAILID and THREADID (RFC 8970, RFC 8474; fetch_derived.c). */
bool preview_parse(struct parse *p, struct fetch_item *item);
/* structure gives the message's structure (NULL: e says why), and is called if it is needed. */
bool write_preview(struct session *s, const struct message *msg, const struct fetch_item *item,
                   const struct mime_part *(*structure)(void *ctx, const struct message *msg, struct store_error *e), void *ctx,
                   struct store_error *e);
bool write_object_id(struct session *s, const struct message *msg, bool thread, struct store_error *e);

bool fetch_section_part(struct session *s, struct parse *p, struct fetch_item *item);     /* "[" part numbers "]" */
bool fetch_partial(struct parse *p, struct fetch_item *item);                          /* "<n.m>", or nothing */
#endif
