#ifndef SESSION_APPEND_H
#define SESSION_APPEND_H
#include "session/command.h"

/* Messages on their way from the client to the store: what APPEND and REPLACE have in common. A command's lines are read one after
 * another, each up to its literal; message octets go to the store as they come. Nothing is changed before the commit. */
enum step {
    STEP_GOOD,
    STEP_BAD,                        /* syntax */
    STEP_REFUSED,                    /* say() was called; outcome has what it gave */
    STEP_GONE                        /* the client is gone */
};
enum {
    UPLOAD_TEXT = 1 << 20,           /* octets of a command beside its literals */
    UPLOAD_MESSAGES = 10000,
    UPLOAD_URL = 16384               /* octets of a URL or mailbox name sent as a literal */
};
struct literal { uint64_t n; bool synchronising, binary; };
struct upload {
    struct session *s;
    const char *usage;
    struct parse p;                  /* the line, from where it is to be read on; arena: reset for each message and each part */
    const char *start;               /* of the line */
    struct buf line;                 /* the line, but for the first */
    uint64_t text;                   /* octets of lines so far */
    struct str mailbox;              /* the target as the client wrote it */
    struct append *to;               /* NULL until the first message */
    unsigned messages;
    uint64_t size;                   /* of the message under way */
    struct mailbox *source;          /* of the last URL, or NULL; not locked between parts */
    struct mailbox_name source_name;
    enum outcome outcome;
    struct store_error e;
};
void upload_init(struct upload *u, struct session *s, struct parse *p, const char *usage);
/* Ends the command with what step says: passes over what the client has sent without being asked, so that the next line is the next
 * command, and frees u. Not for STEP_GOOD. */
enum outcome upload_fail(struct upload *u, enum step step);
void upload_free(struct upload *u);
/* It was appended: tells which mailbox the client's name stands for, if that is another name (RFC 9051 section 6.3.12). */
void upload_told(struct upload *u);
enum step upload_refuse(struct upload *u, enum outcome outcome);
/* The store's answer as NO; a target that is not there: TRYCREATE. */
enum step upload_store_no(struct upload *u, bool target);
/* The next line, behind a literal. */
enum step upload_line(struct upload *u);
/* "{n}", "{n+}", "~{n}" or "~{n+}" at the end of the line. False: not moved. */
bool upload_literal_head(struct upload *u, struct literal *out);
/* Its octets to the store; then the line behind them is the current one. */
enum step upload_literal(struct upload *u, const struct literal *lit);
/* astring, which may be a literal that is yet to come. */
enum step upload_astring(struct upload *u, struct str *out);
/* Room for n octets more of this message? */
enum step upload_room(struct upload *u, uint64_t n);
/* append-message of RFC 4466: SP [flags SP] [date SP] literal, or one of its extensions. */
enum step upload_message(struct upload *u);
/* "URL" of CATENATE: the octets that it names to the store. */
enum step catenate_url(struct upload *u, struct str url);
enum outcome run_replace(struct session *s, struct parse *p, bool uid);
#endif
