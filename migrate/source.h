#ifndef MIGRATE_SOURCE_H
#define MIGRATE_SOURCE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/progress.h"
#include "store/content.h"
#include "store/mailbox_private.h"

/* Messages outside the mailboxes, read only: a maildir (one folder), an mbox file, or message files in a directory. No symbolic link
 * within a directory is followed, nothing but regular files is opened, and nothing is believed: what is damaged is told and passed
 * over. */
enum source_kind { SOURCE_MAILDIR, SOURCE_MBOX, SOURCE_EML };
#define SOURCE_MANIFEST ".imapd-export"     /* what an export writes beside message files, for what they cannot say */

struct item {
    char *name;                      /* below the directory; NULL in an mbox */
    uint32_t uid;                    /* 0: the source knows none */
    unsigned flags;                  /* FLAG_ bits without FLAG_OLD */
    struct buf keywords;             /* names, NUL-terminated one after another */
    int64_t date;
    int zone;
    uint64_t size;                   /* octets of the file; of an mbox: with the From_ line */
    bool exact;                      /* a file with the octets as they are: a lone LF is one */
    bool bad;                        /* not to be had; was told */
    bool nuls;                       /* has some; was told */
    size_t number;                   /* place in an mbox, from 0 */
    uint8_t digest[32];              /* SHA-256 of the octets, for the user of this header */
    uint32_t target;                 /* UID in the mailbox, 0: not there yet; likewise */
};
/* About what (a name, or NULL for the source itself). Damage is something that is not imported as it was. */
typedef void source_problem(void *ctx, const char *name, bool damage, const char *text);

struct source {
    enum source_kind kind;
    const char *path;
    source_problem *problem;
    void *ctx;
    bool mboxo;                      /* quoting of an mbox */
    struct progress *progress;       /* of its opening; may be NULL */
    int fd;                          /* the file or directory */
    struct item *items;              /* in the order in which they are to be: those with UIDs first, ascending */
    size_t n, capacity;
    uint32_t uidvalidity, uidnext;   /* 0: the source has no UIDs */
    uint64_t octets;                 /* of all items */
    struct message_record *records;  /* of an mbox, by number; offsets absolute */
    struct content *content;
    struct mbox_lock *lock;
    int lock_dirfd;
    struct mbox_lock_session locks;
};
/* kind, path, problem, ctx and mboxo are set. lock_timeout in seconds, for an mbox, which is locked (shared) until source_close.
 * 0, or -1 with e. source_close is right after either. */
int source_open(struct source *s, unsigned lock_timeout, struct store_error *e);
void source_close(struct source *s);
/* The octets of an item as a client is to see them: CRLF line ends (but exact ones), NULs as 0x80, in pieces. 0; 1: cannot be read
 * (told, and marked bad); -1: the sink said so. */
typedef int source_sink(void *ctx, const char *octets, size_t n);
int source_read(struct source *s, struct item *it, source_sink *sink, void *ctx);
/* Whether this can be a keyword: an atom (RFC 9051, flag-keyword) of at most 63 octets. */
bool source_keyword(struct str name);

/* For the formats. */
struct item *source_add(struct source *s);
void source_tell(const struct source *s, const char *name, bool damage, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void item_keyword(const struct source *s, struct item *it, struct str name);
/* A small file of a directory, whole (at most `most` octets), appended. 1 it is there, 0 there is none (or it was told). */
int source_slurp(const struct source *s, const char *name, size_t most, struct buf *out);
/* The next line of text (without LF), which is advanced. False at its end. */
bool source_line(struct str *text, struct str *line);
/* A decimal number at the start of text, which is advanced. False: there is none, or it does not fit. */
bool source_number(struct str *text, uint64_t *out);
/* One space, advanced over. */
bool source_space(struct str *text);
int source_maildir_open(struct source *s, struct store_error *e);
int source_eml_open(struct source *s, struct store_error *e);
int source_mbox_open(struct source *s, unsigned lock_timeout, struct store_error *e);
int source_mbox_read(struct source *s, struct item *it, source_sink *sink, void *ctx);
/* The letters of a maildir's flags: P is $Forwarded, which is a keyword. */
struct flag_letter {
    char letter;
    unsigned flag;
};
extern const struct flag_letter maildir_letters[5];
#endif
