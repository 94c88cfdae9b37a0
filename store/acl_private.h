#ifndef STORE_ACL_PRIVATE_H
#define STORE_ACL_PRIVATE_H
#include <acl/libacl.h>
#include <sys/acl.h>
#include <sys/stat.h>
#include "store/acl.h"

/* What acl.c has for acl_set.c. */
enum perm { PERM_R = 4, PERM_W = 2, PERM_X = 1 };

/* One thing of the file system with its permissions, the mask of POSIX ACLs applied. */
struct entry { acl_tag_t tag; uint32_t id; unsigned perm; };
struct place {
    int fd;
    char path[40];
    struct stat st;
    bool inbox, directory;
    struct entry *entries;
    size_t n;
};
/* Opens a mailbox or directory for its owner, entries read. */
int acl_place_open(struct place *p, struct store *s, const struct mailbox_name *name, struct store_error *e);
void acl_place_close(struct place *p);
/* The list as libacl has it, the mask taken into the entries; the caller's (acl_free). NULL with errno. */
acl_t acl_load(const struct place *p);
unsigned acl_perm(acl_entry_t entry);
void acl_set_perm(acl_entry_t entry, unsigned perm);
struct who acl_who(const struct place *p, acl_entry_t entry, acl_tag_t tag);
bool acl_same_who(struct who a, struct who b);
/* What the entries say of `who`; *there: there is one that is more than the absence of permissions. */
unsigned acl_entry_rights(const struct place *p, struct who who, bool *there);
/* RIGHT_X if the directory that holds it gives that (and `who` can read it), else 0. */
unsigned acl_rights_by_parent(const struct place *p, struct store *s, const struct mailbox_name *name, struct who who);
#endif
