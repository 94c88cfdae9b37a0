#ifndef SESSION_METADATA_H
#define SESSION_METADATA_H
#include "session/command.h"
#include "store/special_use.h"

/* Annotations on the wire (RFC 5464, RFC 9590) and the special uses that lie on them (RFC 6154). */
struct annotations {
    struct metadata metadata;
    struct special_uses uses;
};
/* What is there now, in the command's arena; one load serves a whole LIST. 0 or -1 (out is empty then, and good to use). uses:
 * with the special uses, for which the directory at the top is read; else nothing has any. */
int annotations_load(struct session *s, bool uses, struct annotations *out, struct store_error *e);
/* One entry name, or several in parentheses, at most METADATA_ENTRIES; in the arena. False: no entry names, or wrong ones. */
bool parse_entry_names(struct parse *p, struct str **names, size_t *n);
/* Untagged METADATA with the value, or NIL, of each of these entries. mailbox: as the store has it, "" the server. */
void write_metadata(struct session *s, const struct annotations *a, const char *mailbox, const struct str *names, size_t n);

/* ENABLE METADATA (RFC 5464 section 4.4): from now on the client is told, by METADATA responses without values, which annotations
 * others have changed. s->metadata_watch is NULL until then, and the others do nothing. */
void metadata_watch_begin(struct session *s);
/* Tells what others have changed since; before a change of the client's own, too. */
void metadata_watch_tell(struct session *s);
/* The client itself has just changed something: it is not told of that. */
void metadata_watch_own(struct session *s);
void metadata_watch_free(struct metadata_watch *w);

/* Options of GETMETADATA, and what it asks for. */
enum metadata_depth { DEPTH_0, DEPTH_1, DEPTH_INFINITY };
struct getmetadata {
    struct str mailbox;
    uint64_t max_size;               /* UINT64_MAX: any */
    enum metadata_depth depth;
    struct str *names;
    size_t n;
};
bool parse_getmetadata(struct parse *p, struct getmetadata *out);
/* Entries and values of SETMETADATA: entries[i].value.p is NULL for NIL; mailbox and order are not set. At most
 * METADATA_ENTRIES; *n is greater, and *entries not to be used, when there are more. */
bool parse_setmetadata(struct parse *p, struct str *mailbox, struct metadata_entry **entries, size_t *n);

/* CREATE's [SP "(USE (attributes))"]: true also if there is none. */
struct create_use {
    bool given;
    unsigned uses;
    struct str unknown;              /* the first attribute that is none of special_use.h */
};
bool parse_create_use(struct parse *p, struct create_use *out);
/* Can this mailbox have these uses? False: NO [USEATTR] has been said. */
bool special_use_allowed(struct session *s, const struct mailbox_name *name, bool directory, unsigned uses, struct str unknown);
/* The mailbox was made: what was kept under its name goes, and it has its uses. On failure it is taken away again. */
enum outcome annotations_created(struct session *s, const struct mailbox_name *name, const struct create_use *use);
void annotations_deleted(struct session *s, const struct mailbox_name *name);
/* mailbox_rename, and the annotations follow. False: neither has happened. */
bool annotations_rename(struct session *s, const struct mailbox_name *from, const struct mailbox_name *to, struct store_error *e);
#endif
