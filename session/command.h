#ifndef SESSION_COMMAND_H
#define SESSION_COMMAND_H
#include <stdbool.h>
#include "session/io.h"
#include "session/language.h"
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
    ENABLED_CONDSTORE = 1, ENABLED_QRESYNC = 2 | ENABLED_CONDSTORE, ENABLED_UTF8 = 4, ENABLED_REV2 = 8, ENABLED_UIDONLY = 16,
    ENABLED_METADATA = 32
};
/* What UIDBATCHES asks for, and what it told last (cmd_uidbatches.c): batches first to last of this size, 0 for none; of a mailbox that
 * had so many messages then, the last of them with the UID top. */
struct batches { uint32_t size, first, last, messages, top; };
struct session {
    struct io io;
    const struct config *config;
    enum state state;
    unsigned enabled;                /* ENABLED_ bits; a test for QRESYNC wants all of its bits */
    struct arena *arena;             /* of the command */
    struct str tag;
    char code[160], text[400];       /* of the tagged line: response code without brackets ("" none), text ("" default) */
    char *long_code;                 /* in place of code where that has no room; in the arena */
    enum language language;          /* of what people read */
    enum collation collation;        /* the active comparator */
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
    bool by_uid;                     /* a UID command runs: all FETCH responses tell the UID (RFC 9051 section 6.4.9) */
    bool tell_modseq;                /* the tagged OK gets HIGHESTMODSEQ, once all is told */
    struct buf vanished;             /* UIDs (uint32_t) that the running sync found gone: for VANISHED */
    struct notify *notify;           /* NOTIFY is in use (notify.h) */
    struct metadata_watch *metadata_watch;       /* METADATA is enabled (metadata.h) */
    uint32_t limit_uid;              /* message-limit left messages below this one out */
    int64_t began;                   /* io_now_ms: the running command */
    int64_t progress_at;             /* io_now_ms: the next INPROGRESS is due */
    bool responding;                 /* within a response: nothing else can be told now */
    bool idling, must_tell;          /* in IDLE; the running command removed messages of the selected mailbox */
    bool implies_noop;               /* the running command tells all that has gathered, whatever NOTIFY says */
    bool numbers_fixed;              /* search keys: message numbers are to be read as the UIDs that they have now */
    struct context *contexts;        /* results that are kept up to date (results.h) */
    struct buf saved;                /* UIDs (uint32_t, ascending) of SEARCH RETURN (SAVE): "$" (RFC 5182) */
    struct batches batches_told;     /* of the selected mailbox */
    bool *unauthenticated;           /* session.h */
    const char *end;                 /* why the session ends, for the log; NULL: not known yet */
    struct slot *slot;               /* imapd --stat; may be NULL */
    uint64_t commands, fetched, appended;        /* for the log: how much of it there was; messages, copied ones too */
};
static inline bool condstore(const struct session *s) { return (s->enabled & ENABLED_CONDSTORE) != 0; }
static inline bool qresync(const struct session *s) { return (s->enabled & ENABLED_QRESYNC) == ENABLED_QRESYNC; }
static inline bool rev2(const struct session *s) { return (s->enabled & ENABLED_REV2) != 0; }
static inline bool uidonly(const struct session *s) { return (s->enabled & ENABLED_UIDONLY) != 0; }
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
/* The tagged line at once, for a handler that returns SILENT; name is of the command. */
void write_tagged(struct session *s, enum outcome outcome, const char *name);
/* English text, translated: the end of a response that people read. */
void write_text(struct session *s, const char *text);
/* A store's failure as NO with its response code; logged where the administrator should know. */
enum outcome store_no(struct session *s, const struct store_error *e);
void untagged(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void write_capabilities(struct buf *out, const struct config *c, unsigned state, unsigned offers);
void write_mechanisms(struct buf *out, unsigned offers);     /* " AUTH=name" for each */
/* The loop: reads and runs commands until the state is LOGOUT. */
void command_loop(struct session *s);
/* Does the line end with "{n}" or "{n+}"? A number out of range is the greatest. */
bool ends_with_literal(struct str line, uint64_t *n, bool *synchronising);
/* Reads "{n}" literals of a streaming command: announces if need be. */
enum io_status literal_begin(struct session *s, bool synchronising);
/* Tells what changed in the selected mailbox. */
bool session_sync(struct session *s, bool expunges);    /* false: the mailbox is locked just now, try again */
void session_unselect(struct session *s, bool checkpoint);
/* Tells in the slot: the command that runs now, "" for none, or NULL for the same still. */
void session_tell(struct session *s, const char *command, int64_t now_ms);
/* Flags have changed: they will be in the mailbox file within FLAGS_WITHIN ms, however busy the client is. */
enum { FLAGS_WITHIN = 20000 };
void session_flags_changed(struct session *s);
/* Strings of responses. */
void write_string(struct io *io, struct str text);           /* quoted or literal */
void write_nstring(struct io *io, struct str text);          /* NIL for .p NULL */
void write_astring(struct io *io, struct str text);
void write_mailbox(struct io *io, const char *name);         /* UTF-8 name in modified UTF-7 */
/* The mailbox that a command named: as the client wrote it (wire.p NULL: it did not); where names are UTF-8, as it is known here. */
void write_named(struct session *s, struct str wire, const char *name);
void write_mailbox_flags(struct session *s);                 /* untagged FLAGS and PERMANENTFLAGS */
void write_flags(struct session *s, unsigned flags, uint64_t keywords, bool recent);   /* "(...)" */
/* Name on the wire to the store's. False: say() was called. */
bool take_mailbox(struct session *s, struct parse *p, struct mailbox_name *out, bool *directory);
bool to_store_name(struct session *s, struct str wire, struct mailbox_name *out, bool *directory);
/* A use of CONDSTORE switches it on for good (RFC 7162 section 3.1): tells HIGHESTMODSEQ if a mailbox is selected. */
void session_use_condstore(struct session *s);
/* Once UIDONLY is enabled message numbers are refused (RFC 9586). False: say() was called. */
bool numbers_allowed(struct session *s, bool uid);
/* STATUS items, as rows of status.c's table. */
enum { STATUS_ITEMS = 40 };
struct status_items { unsigned char rows[STATUS_ITEMS]; size_t n; };
/* "(" item ... ")". False: syntax, or say() was called. */
bool parse_status_items(struct session *s, struct parse *p, struct status_items *out);
/* One STATUS response; the name as the client wrote it, if wire.p is not NULL. 0 or -1. */
int write_status(struct session *s, const struct mailbox_name *name, struct str wire, const struct status_items *items,
                 struct store_error *e);
/* MAILBOXID (RFC 8474): what stands in the parentheses, of an unsigned long long. */
#define MAILBOXID_FORMAT "M%llx"
/* IMAP4rev2: a LIST response that says which name was made of the one that the client wrote (RFC 9051 section 6.3.9.7); also if they
 * are the same, with always. attributes NULL: those of a mailbox that is there. */
void list_normalized(struct session *s, struct str wire, const char *name, const char *attributes, bool always);
/* The same after RENAME, if either name was made another (RFC 9051 section 6.3.6). INBOX stays, and is not told of. */
void list_renamed(struct session *s, struct str wire_from, const struct mailbox_name *from, struct str wire_to,
                  const struct mailbox_name *to);
/* A mailbox name in UTF-8, quoted if need be. */
void write_utf8(struct io *io, struct str text);
/* "* VANISHED (EARLIER) set" for what of `within` (NULL: anything) went after `above`. 0 or -1. */
int write_vanished_earlier(struct session *s, const struct set *within, uint64_t above, struct store_error *e);
/* Ascending UIDs as a sequence-set; ranges where they follow one another. */
void write_uid_set(struct buf *out, const uint32_t *uids, size_t n);
/* Keeps the last of *n ascending seqs that message-limit allows, and puts them in descending order (RFC 9738 section 3.1). The
 * response code is added when the command is done. True: some were left out. */
bool limit_messages(struct session *s, uint32_t *seqs, size_t *n);
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
enum outcome cmd_compress(struct session *, struct parse *);
enum outcome cmd_language(struct session *, struct parse *);
enum outcome cmd_comparator(struct session *, struct parse *);
enum outcome cmd_unauthenticate(struct session *, struct parse *);
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
enum outcome cmd_getmetadata(struct session *, struct parse *);
enum outcome cmd_setmetadata(struct session *, struct parse *);
enum outcome cmd_append(struct session *, struct parse *);
enum outcome cmd_replace(struct session *, struct parse *);
enum outcome cmd_idle(struct session *, struct parse *);
enum outcome cmd_getacl(struct session *, struct parse *);
enum outcome cmd_setacl(struct session *, struct parse *);
enum outcome cmd_deleteacl(struct session *, struct parse *);
enum outcome cmd_listrights(struct session *, struct parse *);
enum outcome cmd_myrights(struct session *, struct parse *);
enum outcome cmd_getquota(struct session *, struct parse *);
enum outcome cmd_getquotaroot(struct session *, struct parse *);
enum outcome cmd_setquota(struct session *, struct parse *);
enum outcome cmd_check(struct session *, struct parse *);
enum outcome cmd_close(struct session *, struct parse *);
enum outcome cmd_unselect(struct session *, struct parse *);
enum outcome cmd_expunge(struct session *, struct parse *);
enum outcome cmd_cancelupdate(struct session *, struct parse *);
enum outcome cmd_notify(struct session *, struct parse *);
enum outcome cmd_esearch(struct session *, struct parse *);
enum outcome cmd_search(struct session *, struct parse *);
enum outcome cmd_sort(struct session *, struct parse *);
enum outcome cmd_thread(struct session *, struct parse *);
enum outcome cmd_fetch(struct session *, struct parse *);
enum outcome cmd_store(struct session *, struct parse *);
enum outcome cmd_copy(struct session *, struct parse *);
enum outcome cmd_move(struct session *, struct parse *);
enum outcome cmd_uid(struct session *, struct parse *);
enum outcome cmd_uidbatches(struct session *, struct parse *);
/* Search keys up to the end of the command, as search-criteria of RFC 3501 with its extensions; strings are in charset. False:
 * *outcome is what to answer, say() was called. The program lives in the command's arena. */
bool search_parse(struct session *s, struct parse *p, struct str charset, struct search_key *program, enum outcome *outcome);
/* "CHARSET charset " if it is next; else UTF-8. False: *outcome is what to answer. */
bool parse_charset(struct session *s, struct parse *p, struct str *charset, enum outcome *outcome);
enum outcome run_search(struct session *s, struct parse *p, bool uid);
enum outcome run_sort(struct session *s, struct parse *p, bool uid);
enum outcome run_thread(struct session *s, struct parse *p, bool uid);
enum outcome run_fetch(struct session *s, struct parse *p, bool uid);
enum outcome run_store(struct session *s, struct parse *p, bool uid);
enum outcome run_copy(struct session *s, struct parse *p, bool uid, bool move);
enum outcome run_expunge(struct session *s, struct parse *p, bool uid);
/* FETCH responses of other commands: "* n FETCH (FLAGS (...))", with UID if uid, with UID and MODSEQ once CONDSTORE is in use
 * (RFC 7162 section 3.2.4); without FLAGS if not flags. As UIDFETCH once UIDONLY is. */
void write_flags_response(struct session *s, uint32_t seq, bool uid, bool flags);
/* "* n FETCH (" or "* uid UIDFETCH (". */
void write_fetch_head(struct session *s, uint32_t seq, uint32_t uid);
/* "* MYRIGHTS name rights" of a UTF-8 name as LIST has it (RFC 8440); nothing if it is not there. */
void write_myrights(struct session *s, const char *mailbox);
/* Modified UTF-7 (RFC 3501 section 5.1.3), strict. 0 or -1. */
int utf7_to_utf8(struct buf *out, struct str in);
void utf8_to_utf7(struct buf *out, struct str in);
#endif
