#ifndef STORE_NAMES_H
#define STORE_NAMES_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "base/buf.h"
#include "store/store.h"

/* Mailbox names and the files behind them (design section 5). A name here is UTF-8 in NFC, delimiter '/', without the
 * mail-root; "INBOX" in any case is the spool. All files are reached by openat2(RESOLVE_BENEATH) below the root, so no
 * name, link or race leads outside it. */
enum { MAILBOX_NAME_MAX = 1000 };          /* octets, with the final NUL */
struct mailbox_name {
    char text[MAILBOX_NAME_MAX];           /* canonical: INBOX in capitals, NFC, mail-root prefix removed */
    bool inbox;
};

struct names;
/* settings must outlive it. 0 or -1. A missing root directory is made when a mailbox is created, not here. */
int names_open_root(struct names **out, const struct store_settings *settings, struct store_error *e);
void names_close(struct names *n);

/* Checks and canonicalises a UTF-8 name. Refuses: empty, invalid UTF-8, control characters, components that are empty,
 * "." or "..", begin with a dot or exceed 255 octets, a leading "/" or "~", names of lock files (*.lock). A trailing
 * "/" is dropped and reported in *directory if that is not NULL, else refused. A leading "mail-root/" is removed.
 * 0, or -1 (STORE_CANNOT, STORE_LIMIT). */
int names_parse(const struct names *n, struct str name, struct mailbox_name *out, bool *directory, struct store_error *e);

/* Opens the file of a mailbox: regular, not a device or FIFO, empty or beginning like an mbox. oflags O_RDONLY or
 * O_RDWR; always O_CLOEXEC|O_NONBLOCK|O_NOCTTY|O_NOATIME where allowed. Returns the descriptor or -1. INBOX that does
 * not exist is created when that is permitted, else STORE_NONEXISTENT. */
int names_open(struct names *n, const struct mailbox_name *name, int oflags, struct store_error *e);

/* A descriptor of the directory that holds the mailbox (O_PATH; the caller closes it) and the leaf name within it (valid
 * as long as *name and n). For lock files, inotify, fsync. -1 if there is none. */
int names_open_dir(struct names *n, const struct mailbox_name *name, const char **leaf, struct store_error *e);

/* CREATE: an empty file of mode 0600 (or as a default ACL of the directory says), with the directories that lead there; durable (directories fsynced). directory:
 * only the directory. */
int names_create(struct names *n, const struct mailbox_name *name, bool directory, struct store_error *e);
/* DELETE: the file, or an empty directory; INBOX: STORE_CANNOT. Durable. */
int names_delete(struct names *n, const struct mailbox_name *name, struct store_error *e);
/* RENAME of a mailbox or a directory with all below it (not INBOX: see mailbox_move_all). renameat2(RENAME_NOREPLACE).
 * Makes missing directories. Durable. */
int names_rename(struct names *n, const struct mailbox_name *from, const struct mailbox_name *to, struct store_error *e);

enum name_attribute {
    NAME_SELECTABLE = 1,       /* a mailbox file */
    NAME_DIRECTORY = 2,        /* a directory: \Noselect */
    NAME_HAS_CHILDREN = 4      /* a directory that holds at least one mailbox or directory shown */
};
/* Calls each with every name below (and INBOX), in byte order, parents before children. `descend` (may be NULL = always)
 * is asked before a directory is opened. Symbolic links that lead outside the root, dot files, *.lock, files that are no
 * mbox are passed over; links that stay inside are followed, loops cut by depth and (dev, inode) of the way there. Stops
 * when each returns non-zero, returning that. list_depth and list_count bound it: beyond, 0 with *cut set. */
int names_list(struct names *n, bool (*descend)(void *ctx, const char *directory),
               int (*each)(void *ctx, const char *name, unsigned attributes), void *ctx, bool *cut, struct store_error *e);
/* What is there under this name: attributes, or 0 with STORE_NONEXISTENT in e. */
unsigned names_look(struct names *n, const struct mailbox_name *name, struct store_error *e);

/* Subscriptions: ~/.mailboxlist, a name a line (UTF-8; contrib/utf8-names makes it of what other servers wrote). The file is
 * replaced atomically and durably. A name need not exist. */
int subs_list(struct names *n, int (*each)(void *ctx, const char *name), void *ctx, struct store_error *e);
int subs_set(struct names *n, const struct mailbox_name *name, bool subscribed, struct store_error *e);
#endif
