#ifndef STORE_MAILBOX_H
#define STORE_MAILBOX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "store/names.h"
#include "store/store.h"

/* A mailbox as one session sees it: a view with message sequence numbers that change only when mailbox_sync says so.
 * Several sessions may have views of one mailbox. Sequence numbers are 1..mailbox_exists(). All functions that return int
 * give 0, or -1 with the reason in e (may be NULL). No function keeps a lock between calls but mailbox_read_begin. */
struct mailbox;

struct mailbox_status {
    uint32_t exists, recent, unseen, deleted, uidvalidity, uidnext;
    uint32_t first_unseen;         /* sequence number, 0 if none; only from mailbox_info */
    uint64_t highestmodseq, size;  /* size: sum of RFC822.SIZE */
    uint64_t mailbox_id;           /* unique among the user's mailboxes, survives RENAME */
};

/* Opens: brings the index up to date with the file and makes the view. readonly: EXAMINE, \Recent is not claimed. A file
 * that cannot be written is opened read-only anyway (mailbox_readonly). The view is then in step with the index. */
int mailbox_open(struct store *s, const struct mailbox_name *name, bool readonly, struct mailbox **out, struct store_error *e);
/* Forgets the view. Does not write back: call mailbox_checkpoint first where the protocol says so. */
void mailbox_close(struct mailbox *m);
bool mailbox_readonly(const struct mailbox *m);
const char *mailbox_name_of(const struct mailbox *m);
void mailbox_info(struct mailbox *m, struct mailbox_status *out);      /* of the view */
/* STATUS of a mailbox that need not be open; brings the index up to date first. Does not claim \Recent. */
int mailbox_status(struct store *s, const struct mailbox_name *name, struct mailbox_status *out, struct store_error *e);

/* What an EXPUNGE would free: octets of the file that messages with \Deleted take (STATUS DELETED-STORAGE, RFC 9208). Reads the
 * records of those parts of the mailbox that have such messages. */
int mailbox_deleted_storage(struct store *s, const struct mailbox_name *name, uint64_t *octets, struct store_error *e);

uint32_t mailbox_exists(const struct mailbox *m);
uint32_t mailbox_uid(const struct mailbox *m, uint32_t seq);           /* 1 <= seq <= exists */
uint32_t mailbox_seq(const struct mailbox *m, uint32_t uid);           /* 0 if not in the view */
uint32_t mailbox_seq_from(const struct mailbox *m, uint32_t uid);      /* first seq with UID >= uid; exists+1 if none */

/* Keyword names of the mailbox by bit number; NULL past the last. Valid until the next call that may change them. */
const char *mailbox_keyword(const struct mailbox *m, unsigned bit);
bool mailbox_keywords_full(const struct mailbox *m);                   /* no room for another: PERMANENTFLAGS without \* */
/* Bit of a keyword, case-insensitive; with create it is added (STORE_LIMIT if full). -1 if absent or on failure. */
int mailbox_keyword_bit(struct mailbox *m, struct str name, bool create, struct store_error *e);

/* Told by mailbox_sync, in an order that RFC 3501 section 7.4.1 allows. Members may be NULL. */
struct mailbox_listener {
    void (*expunged)(void *ctx, uint32_t seq, uint32_t uid);           /* seq as it is at that moment */
    void (*exists)(void *ctx, uint32_t exists, uint32_t recent);       /* new messages, or recent changed */
    void (*flags)(void *ctx, uint32_t seq);                            /* flags of a message of the view changed */
    void (*keywords)(void *ctx);                                       /* the mailbox has new keywords */
    void *ctx;
};
/* Brings the index up to date with the file, then the view with the index. Without `expunges` messages that are gone
 * stay in the view (reading them gives STORE_EXPUNGED) until a later call with it. Cheap when nothing changed: one fstat
 * and one index look-up. A mailbox whose file has vanished or whose UIDVALIDITY changed: -1, STORE_NONEXISTENT. */
int mailbox_sync(struct mailbox *m, bool expunges, const struct mailbox_listener *l, struct store_error *e);
/* The MODSEQ up to which the client has been told everything (RFC 7162 section 6): lower than the newest while messages that
 * are gone still wait for a mailbox_sync that may tell so (mailbox_expunges_pending). */
uint64_t mailbox_modseq(const struct mailbox *m);
/* The next mailbox_sync does not wait for a lock that another has: it brings the view up to date with the index alone, which has all
 * that sessions have completed; a delivery that is under way is told later. It waits after all if the last 10 s it never got to
 * the file, so that who asks seldom is told everything;
 * and with durable-flags, where nothing is told that is in the index alone. */
void mailbox_hurry(struct mailbox *m);
bool mailbox_expunges_pending(const struct mailbox *m);
/* Leaves those of *n ascending seqs that changed after the MODSEQ `above` (or are gone). Cost follows the blocks that changed. */
int mailbox_changed(struct mailbox *m, uint64_t above, uint32_t *seqs, size_t *n, struct store_error *e);
/* Calls each with the ranges of UIDs, ascending, that went after the MODSEQ `above` and that the view does not show; all UIDs
 * that are not there if that is not remembered so far back (RFC 7162 section 3.2.6). */
int mailbox_vanished(struct mailbox *m, uint64_t above, void (*each)(void *ctx, uint32_t first, uint32_t last), void *ctx,
                     struct store_error *e);
/* Descriptor (inotify) that becomes readable when the file or the index may have changed; -1 if there is none. The caller
 * polls it, calls mailbox_watch_clear, then mailbox_sync. */
int mailbox_watch(struct mailbox *m);
void mailbox_watch_clear(struct mailbox *m);

/* One message, as the index has it. */
struct message {
    uint32_t uid, seq;
    unsigned flags;                /* FLAG_ bits */
    bool recent;
    uint64_t keywords;             /* bits */
    uint64_t modseq;
    uint64_t size;                 /* RFC822.SIZE */
    uint64_t header_size;          /* octets of BODY[HEADER], with its blank line */
    int64_t date, save_date;       /* INTERNALDATE, seconds since 1970 UTC */
    int zone;                      /* minutes east of UTC */
    uint64_t fingerprint;
};
/* STORE_EXPUNGED if it is gone. */
int mailbox_message(struct mailbox *m, uint32_t seq, struct message *out, struct store_error *e);
/* Up to n messages from seq on, one behind the other: as many as are at hand; 0: mailbox_message says why. */
size_t mailbox_messages(struct mailbox *m, uint32_t seq, struct message *out, size_t n);
/* The index counts for blocks of neighbours how many have FLAG_SEEN and FLAG_DELETED. Of the block of seq, up to *last: 1 all that are
 * there have the flag, 0 none, -1 they have to be looked at. */
int mailbox_block_flag(struct mailbox *m, uint32_t seq, uint8_t flag, uint32_t *last);
/* Is each message of the view from seq to the end of its block, *last, there? */
bool mailbox_block_whole(struct mailbox *m, uint32_t seq, uint32_t *last);

/* Reading content. The message as the client sees it: CRLF line ends, bookkeeping fields hidden, quoting undone, NULs as
 * 0x80; offset 0 is its first octet, `size` its length. mailbox_read fills up to n octets from offset; *got is less than n
 * only at the end. The lock is had by mailbox_read_begin (nestable in the sense that a second call is free) and must be
 * given back by mailbox_read_end before waiting for a client; mailbox_read calls begin itself if needed. A message that
 * was expunged in between: STORE_EXPUNGED. Sequential reads of one message cost what they read. */
int mailbox_read_begin(struct mailbox *m, struct store_error *e);
void mailbox_read_end(struct mailbox *m);
int mailbox_read(struct mailbox *m, const struct message *msg, uint64_t offset, char *to, size_t n, size_t *got,
                 struct store_error *e);

/* The whole message, to be looked into: as mailbox_read gives it, but that line ends of the body may be LF alone. Lock and failures
 * as with mailbox_read. What it costs is little more than its size, also for small messages. */
int mailbox_read_text(struct mailbox *m, const struct message *msg, struct buf *out, struct store_error *e);

/* Small derived data kept in the index for a message (parsed ENVELOPE and BODYSTRUCTURE, made by mime_pack). get: *out
 * points into the index and is valid until the next call on the mailbox; n 0 if there is none. put may be delayed until
 * mailbox_cache_flush or the next writing call; failures are not errors. */
void mailbox_cache_get(struct mailbox *m, const struct message *msg, struct str *out);
void mailbox_cache_put(struct mailbox *m, const struct message *msg, struct str blob);
void mailbox_cache_flush(struct mailbox *m);
/* The same for other things that the index keeps of a message: each caller knows what its blob says. */
enum mailbox_note { NOTE_STRUCTURE, NOTE_PREVIEW, NOTE_IDS, NOTE_FIELDS, NOTE_SORT };
void mailbox_note_get(struct mailbox *m, const struct message *msg, enum mailbox_note kind, struct str *out);
void mailbox_note_put(struct mailbox *m, const struct message *msg, enum mailbox_note kind, struct str blob);

/* The session is told of progress (store_on_progress): messages done of so many. */
void mailbox_progress(const struct mailbox *m, uint64_t done, uint64_t goal);

/* STORE. For each seq in seqs: mode 0 replaces, 1 adds, -1 removes. FLAG_OLD is never touched. changed (may be NULL) is
 * called with each seq that exists still, in order, whether or not its flags changed. Own changes are not told again by
 * mailbox_sync. *gone (may be NULL) counts messages expunged meanwhile. */
struct flag_change {
    int mode;
    unsigned flags;
    uint64_t keywords;
    bool conditional;              /* only messages whose MODSEQ is at most unchanged_since; others are left as they are, */
    uint64_t unchanged_since;
    struct buf *failed;            /* and their UIDs (uint32_t) put here */
};
int mailbox_store(struct mailbox *m, const uint32_t *seqs, size_t n, const struct flag_change *c,
                  void (*changed)(void *ctx, uint32_t seq), void *ctx, size_t *gone, struct store_error *e);

/* EXPUNGE: removes the messages that have \Deleted from the file and the index; only those among uids (ascending) if uids
 * is not NULL. Durable. The view learns of it by mailbox_sync. *count (may be NULL) is how many. */
int mailbox_expunge(struct mailbox *m, const uint32_t *uids, size_t n, size_t *count, struct store_error *e);
/* CHECK, and before CLOSE, UNSELECT, LOGOUT and when idle: flags into the file, UIDs where that is cheap; durable. With
 * seal, UIDs whatever it costs. */
int mailbox_checkpoint(struct mailbox *m, bool seal, struct store_error *e);

/* APPEND, streamed: begin, then the octets as they come, then commit (or abort). Nothing is locked or changed in the
 * mailbox before commit: the octets go to an unlinked temporary file (memory while small). One append may hold several
 * messages: call add_message before each. Commit is all or nothing, durable, and gives the UIDs (array of count,
 * ascending, owned by the caller). keywords are names, since the target may not have them yet. */
struct append;
struct append_message {
    unsigned flags;
    const struct str *keywords; size_t keyword_count;
    bool has_date; int64_t date; int zone;       /* else now, local zone */
    int64_t save_date;                            /* 0: now */
};
int append_begin(struct store *s, const struct mailbox_name *name, struct append **out, struct store_error *e);
int append_message(struct append *a, const struct append_message *msg, struct store_error *e);
int append_data(struct append *a, const char *bytes, size_t n, struct store_error *e);
int append_commit(struct append *a, uint32_t *uidvalidity, uint32_t **uids, size_t *count, struct store_error *e);  /* frees a */
void append_abort(struct append *a);
/* REPLACE: commits the one message of a, and the message uid of the view's mailbox m goes, both or none, also when the process or
 * the machine dies. The view learns of it by mailbox_sync. STORE_EXPUNGED: uid is gone already; nothing was appended. Frees a. */
int append_replace(struct append *a, struct mailbox *m, uint32_t uid, uint32_t *uidvalidity, uint32_t *fresh, struct store_error *e);

/* COPY and MOVE of messages of the view to another (or the same) mailbox, flags, keywords and INTERNALDATE kept. All or
 * nothing, durable. *src_uids, *dst_uids: arrays of *count, owned by the caller. MOVE removes the originals after the copies
 * are durable; the view learns of it by mailbox_sync. STORE_NONEXISTENT if there is no target. */
int mailbox_copy(struct mailbox *m, const uint32_t *seqs, size_t n, const struct mailbox_name *to, bool move,
                 uint32_t *uidvalidity, uint32_t **src_uids, uint32_t **dst_uids, size_t *count, struct store_error *e);

/* CREATE, DELETE, RENAME: the file (names.h) and what the index knows of it. RENAME of INBOX moves its messages to the new
 * mailbox and leaves INBOX empty (RFC 3501 section 6.3.5). */
int mailbox_create(struct store *s, const struct mailbox_name *name, bool directory, struct store_error *e);
int mailbox_delete(struct store *s, const struct mailbox_name *name, struct store_error *e);
int mailbox_rename(struct store *s, const struct mailbox_name *from, const struct mailbox_name *to, struct store_error *e);
/* An annotation of the mailbox has changed: its HIGHESTMODSEQ is another from now on (RFC 7162 section 3.2). */
int mailbox_annotated(struct store *s, const struct mailbox_name *name, struct store_error *e);
struct names *store_names(struct store *s);
#endif
