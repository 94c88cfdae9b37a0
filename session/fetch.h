#ifndef SESSION_FETCH_H
#define SESSION_FETCH_H
#include "session/command.h"
#include "store/mime.h"

enum fetch_type {
    FETCH_FLAGS, FETCH_UID, FETCH_MODSEQ, FETCH_SAVEDATE, FETCH_DATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY, FETCH_BODYSTRUCTURE, FETCH_SECTION,
    FETCH_RFC822, FETCH_RFC822_HEADER, FETCH_RFC822_TEXT
};
enum section_text { SECTION_ALL, SECTION_HEADER, SECTION_FIELDS, SECTION_FIELDS_NOT, SECTION_TEXT, SECTION_MIME };
enum { SECTION_DEPTH = 128 };
struct fetch_item {
    enum fetch_type type;
    bool peek;
    uint32_t *path; size_t depth;        /* part numbers */
    enum section_text text;
    struct str *fields; size_t field_count;
    bool partial;
    uint64_t from, length;
    struct str label;                    /* "BODY[...]<n>" as the response names it */
};
struct fetch_items {
    struct fetch_item *list;
    size_t n;
    bool sets_seen, needs_mime, needs_flags, needs_content;
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
/* Tells the items (text of fetch-atts in parentheses) of all messages of the view from seq on. */
void fetch_from(struct session *s, struct str items, uint32_t seq);
bool fetch_parse_modifiers(struct parse *p, bool uid, struct fetch_modifiers *out);
/* section-spec without brackets, as a URL has it; the whole of p. Only what names the section in item is set. */
bool section_parse(struct parse *p, struct fetch_item *item);
/* The octets of a section (of item->partial of it) to give, in pieces; m is left locked. root may be NULL if item->depth is 0. 1 given,
 * 0 there is no such section, -1 (also when give returned false: e is then as it was). */
int section_octets(struct mailbox *m, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                   bool (*give)(void *ctx, const char *octets, size_t n), void *ctx, struct store_error *e);
void write_envelope(struct io *io, const struct mime_envelope *e);
void write_body(struct io *io, const struct mime_part *part, bool extended);
/* One BODY[section] with its name. False: the content could not be read; the response is then unfinished. */
bool write_section(struct session *s, const struct message *msg, const struct mime_part *root, const struct fetch_item *item,
                   struct store_error *e);
#endif
