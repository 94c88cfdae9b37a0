#ifndef STORE_STORE_H
#define STORE_STORE_H
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"

/* What went wrong, in the store's words. The session maps the code to a response code of RFC 5530. */
enum store_code {
    STORE_OK,
    STORE_NONEXISTENT,   /* no such mailbox, or it is not a mailbox */
    STORE_ALREADYEXISTS,
    STORE_INUSE,         /* lock not had in time; text names the kind and, if known, the holder */
    STORE_NOPERM,        /* EACCES, EPERM, EROFS */
    STORE_OVERQUOTA,     /* ENOSPC, EDQUOT, EFBIG */
    STORE_LIMIT,         /* a bound of ours: keywords, depth, name length */
    STORE_CANNOT,        /* a name or request that can never work here */
    STORE_EXPUNGED,      /* the message is gone */
    STORE_CORRUPTION,    /* the mailbox cannot be read safely */
    STORE_IO             /* another errno */
};
struct store_error {
    enum store_code code;
    int err;             /* errno, or 0 */
    char text[240];      /* names the mailbox and what happened; for the log and the client */
};
/* Fills e (may be NULL) and returns -1. With STORE_IO the code is chosen from errno_value. text is printf-formatted. */
int store_fail(struct store_error *e, enum store_code code, int errno_value, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* e->text with the system's word for e->err behind it, for people at a terminal. Good as long as e is. */
const char *store_why(struct store_error *e);

/* System flags as bits, in the index and in the API. */
enum message_flag {
    FLAG_SEEN = 1, FLAG_ANSWERED = 2, FLAG_FLAGGED = 4, FLAG_DELETED = 8, FLAG_DRAFT = 16,
    FLAG_OLD = 32        /* bookkeeping: Status: O, the message is not \Recent; never set by clients */
};
enum { STORE_KEYWORDS = 64, STORE_KEYWORD_LEN = 64 };   /* keywords of one mailbox, octets of one keyword */

/* One user's mail. */
struct store_settings {
    const char *user, *home;
    const char *inbox_path;        /* absolute, expanded */
    const char *mail_root;         /* below home, "" for home itself */
    const char *index_dir;         /* absolute, expanded */
    const char *journal_dir;       /* likewise; NULL: index_dir */
    bool mboxo;                    /* quote only "From ", never unquote */
    unsigned lock_timeout;         /* seconds */
    uint64_t seal_limit;           /* octets */
    bool durable_flags;
    unsigned list_depth;
    uint32_t list_count;
    int locker_fd;                 /* socket to the locker for INBOX (auth/locker.h), or -1 */
};
struct store;
/* Opens the user's store; the strings of settings must live as long. An index that cannot be had on disk is kept in
 * memory for the session (logged by the caller through warning, which may be NULL). 0 or -1. */
int store_open(struct store **out, const struct store_settings *settings,
               void (*warning)(const char *text), struct store_error *e);
/* A damaged index can make its library fault: from here on (s NULL: before store_open) that goes back to where *back was set
 * (sigsetjmp). The store is not to be used then, not even to close it; store_give_up sets its index aside. back NULL: no
 * more. */
void store_watch(struct store *s, sigjmp_buf *back);
void store_give_up(const struct store_settings *settings);
void store_close(struct store *s);
/* Another number once the index was found damaged, or was made anew. */
unsigned store_index_state(const struct store *s);
/* progress is called during long work (first reading of a mailbox, SEARCH, COPY), often, perhaps while a mailbox is locked: how
 * much is done of how much (in octets or messages). It must not call the store. */
void store_on_progress(struct store *s, void (*progress)(void *ctx, uint64_t done, uint64_t goal), void *ctx);
/* An inotify descriptor that becomes readable when any mailbox, directory, subscription or the index may have changed; inotify
 * -1 makes one, else new directories are added. -1: none can be had. store_watch_clear takes what it says. */
int store_watch_all(struct store *s, int inotify);
void store_watch_clear(int inotify);
const struct store_settings *store_settings_of(const struct store *s);
#endif
