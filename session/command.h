#ifndef SESSION_COMMAND_H
#define SESSION_COMMAND_H
#include <stdbool.h>
#include "session/io.h"
#include "session/parse.h"
#include "session/session.h"
#include "store/mailbox.h"
#include "store/search.h"

/* The command table, and what a handler gets. */
enum state { STATE_GREET = 1, STATE_AUTH = 2, STATE_SELECTED = 4, STATE_LOGOUT = 8 };
enum outcome {
    OUTCOME_OK, OUTCOME_NO, OUTCOME_BAD,
    OUTCOME_SILENT           /* the tagged line was written, or there is none to write */
};
/* What the client has switched on (RFC 5161). */
enum enabled {
    ENABLED_CONDSTORE = 1, ENABLED_QRESYNC = 2 | ENABLED_CONDSTORE, ENABLED_UTF8 = 4, ENABLED_REV2 = 8, ENABLED_UIDONLY = 16
};
struct session {
    struct io io;
    const struct config *config;
    enum state state;
    unsigned enabled;                /* ENABLED_ bits; a test for QRESYNC wants all of its bits */
    struct arena *arena;             /* of the command */
    struct str tag;
    char code[1200], text[400];       /* of the tagged line: response code without brackets ("" none), text ("" default) */
    unsigned bad_in_a_row;
    int64_t login_deadline;          /* before login: monotonic clock in ms */
    /* greeter */
    const struct greeter_settings *greeter;
    struct greeter_result *result;
    /* session */
    struct store *store;
    const char *user;
    struct mailbox *mailbox;
    bool expunge_allowed;            /* by the running command */
    uint32_t exists_told;
};
enum command_flags {
    COMMAND_KEEPS_NUMBERS = 1,       /* no EXPUNGE may be sent while it runs or with its answer (RFC 3501 section 7.4.1) */
    COMMAND_STREAMS = 2              /* takes its literals itself: the line ends before the first one */
};
struct command {
    const char *name;
    unsigned states, flags;
    enum outcome (*run)(struct session *s, struct parse *args);
    const char *capability;          /* advertised where the command is allowed (capability.c); NULL: none of its own */
};
extern const struct command commands[];      /* ends with a NULL name */

/* Outcomes with text. */
enum outcome say(struct session *s, enum outcome outcome, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
enum outcome bad_arguments(struct session *s, const char *usage);
/* A store's failure as NO with its response code; logged where the administrator should know. */
enum outcome store_no(struct session *s, const struct store_error *e);
void untagged(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void write_capabilities(struct buf *out, const struct config *c, unsigned state, bool plaintext_login);
void write_mechanisms(struct buf *out);                      /* " AUTH=name" for each */
/* The loop: reads and runs commands until the state is LOGOUT. */
void command_loop(struct session *s);
/* Does the line end with "{n}" or "{n+}"? A number out of range is the greatest. */
bool ends_with_literal(struct str line, uint64_t *n, bool *synchronising);
/* Reads "{n}" literals of a streaming command: announces if need be. */
enum io_status literal_begin(struct session *s, bool synchronising);
/* Tells what changed in the selected mailbox. */
bool session_sync(struct session *s, bool expunges);    /* false: the mailbox is locked just now, try again */
void session_unselect(struct session *s, bool checkpoint);
/* Flags have changed: they will be in the mailbox file within FLAGS_WITHIN ms, however busy the client is. */
enum { FLAGS_WITHIN = 20000 };
void session_flags_changed(struct session *s);
/* Strings of responses. */
void write_string(struct io *io, struct str text);           /* quoted or literal */
void write_nstring(struct io *io, struct str text);          /* NIL for .p NULL */
void write_astring(struct io *io, struct str text);
void write_mailbox(struct io *io, const char *name);         /* UTF-8 name in modified UTF-7 */
void write_mailbox_flags(struct session *s);                 /* untagged FLAGS and PERMANENTFLAGS */
void write_flags(struct session *s, unsigned flags, uint64_t keywords, bool recent);   /* "(...)" */
/* Name on the wire to the store's. False: say() was called. */
bool take_mailbox(struct session *s, struct parse *p, struct mailbox_name *out, bool *directory);
bool to_store_name(struct session *s, struct str wire, struct mailbox_name *out, bool *directory);
/* Message numbers of a set over the view, ascending, without duplicates; uid: the set holds UIDs. malloc'ed. False: a
 * sequence number that is not there. */
bool set_to_seqs(struct session *s, const struct set *set, bool uid, uint32_t **seqs, size_t *n);

enum outcome cmd_capability(struct session *, struct parse *);
enum outcome cmd_noop(struct session *, struct parse *);
enum outcome cmd_logout(struct session *, struct parse *);
enum outcome cmd_id(struct session *, struct parse *);
enum outcome cmd_login(struct session *, struct parse *);
enum outcome cmd_authenticate(struct session *, struct parse *);
enum outcome cmd_starttls(struct session *, struct parse *);
enum outcome cmd_enable(struct session *, struct parse *);
enum outcome cmd_namespace(struct session *, struct parse *);
enum outcome cmd_select(struct session *, struct parse *);
enum outcome cmd_examine(struct session *, struct parse *);
enum outcome cmd_create(struct session *, struct parse *);
enum outcome cmd_delete(struct session *, struct parse *);
enum outcome cmd_rename(struct session *, struct parse *);
enum outcome cmd_subscribe(struct session *, struct parse *);
enum outcome cmd_unsubscribe(struct session *, struct parse *);
enum outcome cmd_list(struct session *, struct parse *);
enum outcome cmd_lsub(struct session *, struct parse *);
enum outcome cmd_status(struct session *, struct parse *);
enum outcome cmd_append(struct session *, struct parse *);
enum outcome cmd_replace(struct session *, struct parse *);
enum outcome cmd_idle(struct session *, struct parse *);
enum outcome cmd_check(struct session *, struct parse *);
enum outcome cmd_close(struct session *, struct parse *);
enum outcome cmd_unselect(struct session *, struct parse *);
enum outcome cmd_expunge(struct session *, struct parse *);
enum outcome cmd_search(struct session *, struct parse *);
enum outcome cmd_fetch(struct session *, struct parse *);
enum outcome cmd_store(struct session *, struct parse *);
enum outcome cmd_copy(struct session *, struct parse *);
enum outcome cmd_move(struct session *, struct parse *);
enum outcome cmd_uid(struct session *, struct parse *);
/* Search keys up to the end of the command, as search-criteria of RFC 3501 with its extensions; strings are in charset. False:
 * *outcome is what to answer, say() was called. The program lives in the command's arena. */
bool search_parse(struct session *s, struct parse *p, struct str charset, struct search_key *program, enum outcome *outcome);
enum outcome run_search(struct session *s, struct parse *p, bool uid);
enum outcome run_fetch(struct session *s, struct parse *p, bool uid);
enum outcome run_store(struct session *s, struct parse *p, bool uid);
enum outcome run_copy(struct session *s, struct parse *p, bool uid, bool move);
enum outcome run_expunge(struct session *s, struct parse *p, bool uid);
/* FETCH responses of other commands: "* n FETCH (FLAGS (...))", with UID if uid. */
void write_flags_response(struct session *s, uint32_t seq, bool uid);
/* Modified UTF-7 (RFC 3501 section 5.1.3), strict. 0 or -1. */
int utf7_to_utf8(struct buf *out, struct str in);
void utf8_to_utf7(struct buf *out, struct str in);
#endif
