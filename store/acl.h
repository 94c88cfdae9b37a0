#ifndef STORE_ACL_H
#define STORE_ACL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "store/names.h"
#include "store/store.h"

/* Access rights (RFC 4314) as the file system has them: permissions of the mailbox file and, where the file system keeps them,
 * POSIX ACLs. Nothing else is kept, and nothing here gives or denies access: the session runs as its user and the kernel
 * decides. doc/acl.md has the mapping. All functions: 0, or -1 with the reason in e. */
enum right {
    RIGHT_L = 1, RIGHT_R = 2, RIGHT_S = 4, RIGHT_W = 8, RIGHT_I = 16, RIGHT_P = 32, RIGHT_K = 64, RIGHT_X = 128, RIGHT_T = 256,
    RIGHT_E = 512, RIGHT_A = 1024,
    RIGHTS_READ = RIGHT_L | RIGHT_R,                                             /* of a mailbox: file r */
    RIGHTS_CHANGE = RIGHT_S | RIGHT_W | RIGHT_I | RIGHT_T | RIGHT_E              /* of a mailbox: file w */
};
/* Whom an entry is for: a user (by number), a group, or everybody whom no other entry names. */
enum who_kind { WHO_USER, WHO_GROUP, WHO_ANYONE };
struct who { enum who_kind kind; uint32_t id; };
enum { WHO_NAME_MAX = 272 };           /* octets of an identifier, with the final NUL */

/* An identifier: a user's name, "$" and a group's name, "anyone"; "#" or "$#" and a number for what has no name. STORE_CANNOT
 * if there is no such user or group. */
int who_find(const struct store_settings *settings, struct str identifier, struct who *out, struct store_error *e);
void who_name(const struct store_settings *settings, struct who who, char out[WHO_NAME_MAX]);
/* The groups that a user is a member of, as the system has them: malloc'ed, *n of them; NULL with *n 0 if nothing is known. */
uint32_t *who_groups(struct who who, size_t *n);

/* What the session may do now: asked of the kernel. 0 with *rights 0: nothing that RFC 4314 section 3.5 lets MYRIGHTS tell
 * (then the mailbox is to be taken as not there). */
int rights_mine(struct store *s, const struct mailbox_name *name, unsigned *rights, struct store_error *e);

/* The entries, malloc'ed: the owner first, then users and groups as the file system has them, anyone last. STORE_NOPERM for
 * all but the owner, of this function and those that follow; STORE_NONEXISTENT if they may not even know of it. */
struct rights_entry { struct who who; unsigned rights; };
int rights_list(struct store *s, const struct mailbox_name *name, struct rights_entry **list, size_t *n, struct store_error *e);

/* LISTRIGHTS: rights that `who` has whatever is set, and sets that can be given or taken, each as a whole. */
enum { RIGHTS_SETS = 2 };
struct rights_choice {
    unsigned always, sets[RIGHTS_SETS];
    size_t n;
};
int rights_choice(struct store *s, const struct mailbox_name *name, struct who who, struct rights_choice *out, struct store_error *e);

/* SETACL: mode 0 replaces, 1 adds, -1 removes. Only whole sets are given; *left (may be NULL): rights that were asked for and
 * not given, or taken along with others. STORE_CANNOT, and nothing changed, if none of what was asked is possible, or what
 * would go keeps the owner or the delivery agent at work. */
int rights_set(struct store *s, const struct mailbox_name *name, struct who who, int mode, unsigned rights, unsigned *left,
               struct store_error *e);
/* DELETEACL. No entry: nothing to do. */
int rights_delete(struct store *s, const struct mailbox_name *name, struct who who, struct store_error *e);

/* Has the directory (any descriptor of it) a default ACL, which new files take their permissions from? */
bool rights_inherited(int dir);
#endif
