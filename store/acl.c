/*
 * Access rights as the file system has them. A mailbox is a file: who may read it has l and r, who may write it too has s, w,
 * i, t and e, its owner has a; to remove or rename it (x) is a right on the directory. A directory: who may list it has l, who
 * may make files in it k.
 *
 * Everything is done to an O_PATH descriptor by its name in /proc/self/fd: the owner may set what he cannot read, and no
 * name is looked up twice.
 */
#include "store/acl_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/xmalloc.h"
#include "store/mailbox.h"
#include "store/names_private.h"

enum { ENTRIES_MOST = 8192 };          /* the kernel's bound: 64 KiB of 8 octets */

/* ---- reading ------------------------------------------------------------------------------------------------------ */

void acl_place_close(struct place *p)
{
    if (p->fd >= 0)
        close(p->fd);
    free(p->entries);
    *p = (struct place){ .fd = -1 };
}

static bool place_take(struct place *p, int fd)
{
    *p = (struct place){ .fd = fd };
    snprintf(p->path, sizeof p->path, "/proc/self/fd/%d", fd);
    if (fd < 0)
        return false;
    if (fstat(fd, &p->st) != 0) {
        const int err = errno;
        acl_place_close(p);
        errno = err;
        return false;
    }
    p->directory = S_ISDIR(p->st.st_mode);
    return true;
}

static int not_there(const struct mailbox_name *name, struct store_error *e)
{
    return store_fail(e, STORE_NONEXISTENT, ENOENT, "%s", name->text);
}

/* Opens what bears the name: a mailbox, or a directory of mailboxes. What can be read and is no mailbox is not there; what
 * cannot be read is told by rights alone. */
static int place_open(struct place *p, struct store *s, const struct mailbox_name *name, struct store_error *e)
{
    struct names *n = store_names(s);
    int fd;
    *p = (struct place){ .fd = -1 };
    if (name->inbox) {
        const int real = names_open(n, name, O_RDONLY, NULL);      /* makes it if need be */
        fd = n->inbox_dir < 0 ? -1 : openat(n->inbox_dir, n->inbox_leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (real >= 0)
            close(real);
    } else {
        fd = names_beneath(n, name->text, O_PATH, 0);
    }
    if (!place_take(p, fd))
        return errno == ENOENT || errno == EACCES ? not_there(name, e) : store_fail(e, STORE_IO, errno, "%s", name->text);
    p->inbox = name->inbox;
    if (p->directory || (S_ISREG(p->st.st_mode) && faccessat(p->fd, "", R_OK, AT_EACCESS | AT_EMPTY_PATH) != 0))
        return 0;
    fd = S_ISREG(p->st.st_mode) ? names_open(n, name, O_RDONLY, e) : -1;
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    acl_place_close(p);
    return not_there(name, e);
}

unsigned acl_perm(acl_entry_t entry)
{
    acl_permset_t set;
    if (acl_get_permset(entry, &set) != 0)
        return 0;
    return (acl_get_perm(set, ACL_READ) > 0 ? (unsigned)PERM_R : 0) | (acl_get_perm(set, ACL_WRITE) > 0 ? (unsigned)PERM_W : 0)
        | (acl_get_perm(set, ACL_EXECUTE) > 0 ? (unsigned)PERM_X : 0);
}

void acl_set_perm(acl_entry_t entry, unsigned perm)
{
    acl_permset_t set;
    if (acl_get_permset(entry, &set) != 0)
        return;
    acl_clear_perms(set);
    if (perm & PERM_R)
        acl_add_perm(set, ACL_READ);
    if (perm & PERM_W)
        acl_add_perm(set, ACL_WRITE);
    if (perm & PERM_X)
        acl_add_perm(set, ACL_EXECUTE);
    acl_set_permset(entry, set);
}

static uint32_t id_of(acl_entry_t entry, acl_tag_t tag)
{
    uint32_t id = UINT32_MAX;
    void *q = tag == ACL_USER || tag == ACL_GROUP ? acl_get_qualifier(entry) : NULL;
    if (q != NULL)
        memcpy(&id, q, sizeof id);
    acl_free(q);
    return id;
}

static bool is_masked(acl_tag_t tag)
{
    return tag == ACL_USER || tag == ACL_GROUP || tag == ACL_GROUP_OBJ;
}

/* A mask of nothing makes Linux pass over the list: its entries of users and groups count for as much as if they were not there. */
static void drop_named(acl_t acl)
{
    acl_entry_t entry;
    acl_tag_t tag;
    int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry);
    while (rc == 1) {
        const bool named = acl_get_tag_type(entry, &tag) == 0 && (tag == ACL_USER || tag == ACL_GROUP);
        if (named && acl_delete_entry(acl, entry) != 0)
            break;
        rc = acl_get_entry(acl, named ? ACL_FIRST_ENTRY : ACL_NEXT_ENTRY, &entry);
    }
}

/* Takes the mask into the entries that it masks, so that a wider one gives nothing to those who did not have it. */
static void settle_mask(acl_t acl)
{
    acl_entry_t entry;
    acl_tag_t tag;
    unsigned mask = PERM_R | PERM_W | PERM_X;
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1; rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry))
        if (acl_get_tag_type(entry, &tag) == 0 && tag == ACL_MASK)
            mask = acl_perm(entry);
    if (mask == 0)
        drop_named(acl);
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1; rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry))
        if (acl_get_tag_type(entry, &tag) == 0 && is_masked(tag))
            acl_set_perm(entry, acl_perm(entry) & mask);
}

acl_t acl_load(const struct place *p)
{
    acl_t acl = acl_get_file(p->path, ACL_TYPE_ACCESS);        /* of plain permissions where there is nothing else */
    if (acl != NULL)
        settle_mask(acl);
    return acl;
}

static int read_entries(struct place *p, struct store_error *e)
{
    acl_t acl = acl_load(p);
    acl_entry_t entry;
    if (acl == NULL)
        return store_fail(e, STORE_IO, errno, "access control list");
    size_t capacity = 8;
    p->entries = xreallocarray(NULL, capacity, sizeof *p->entries);
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1 && p->n < ENTRIES_MOST;
         rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry)) {
        struct entry *to;
        if (p->n == capacity)
            p->entries = xreallocarray(p->entries, capacity *= 2, sizeof *p->entries);
        to = &p->entries[p->n];
        if (acl_get_tag_type(entry, &to->tag) != 0)
            continue;
        to->perm = acl_perm(entry);
        to->id = to->tag == ACL_USER_OBJ ? p->st.st_uid : to->tag == ACL_GROUP_OBJ ? p->st.st_gid : id_of(entry, to->tag);
        p->n += to->tag != ACL_MASK;
    }
    acl_free(acl);
    return 0;
}

static bool is_owner(const struct place *p)
{
    return p->st.st_uid == geteuid();
}

/* ---- from permissions to rights -------------------------------------------------------------------------------- */

static unsigned rights_of(const struct place *p, unsigned perm)
{
    unsigned rights = 0;
    if (p->directory) {                        /* a change to it is synced, for which it is opened */
        if ((perm & PERM_R) && (perm & PERM_X))
            rights |= RIGHT_L | (perm & PERM_W ? (unsigned)RIGHT_K : 0);
        return rights;
    }
    if (perm & PERM_R)
        rights |= RIGHTS_READ | (perm & PERM_W ? (unsigned)RIGHTS_CHANGE : 0);
    return rights;
}

static bool is_member(uint32_t gid, const uint32_t *groups, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (groups[i] == gid)
            return true;
    return false;
}

/* acl(5): the owner's entry, else the user's own, else any of a group that gives all of it, else the others'. */
static bool allows(const struct place *p, struct who who, unsigned wanted)
{
    size_t n = 0;
    uint32_t *groups = NULL;
    bool matched = false, good = false;
    for (size_t i = 0; who.kind == WHO_USER && i < p->n && !matched; i++)
        if ((p->entries[i].tag == ACL_USER_OBJ || p->entries[i].tag == ACL_USER) && p->entries[i].id == who.id) {
            matched = true;
            good = (p->entries[i].perm & wanted) == wanted;
        }
    if (matched)
        return good;
    if (who.kind == WHO_USER)
        groups = who_groups(who, &n);
    else if (who.kind == WHO_GROUP)
        groups = memcpy(xreallocarray(NULL, n = 1, sizeof *groups), &who.id, sizeof who.id);
    for (size_t i = 0; i < p->n; i++)
        if ((p->entries[i].tag == ACL_GROUP_OBJ || p->entries[i].tag == ACL_GROUP) && is_member(p->entries[i].id, groups, n)) {
            matched = true;
            good = good || (p->entries[i].perm & wanted) == wanted;
        }
    for (size_t i = 0; i < p->n && !matched; i++)
        if (p->entries[i].tag == ACL_OTHER)
            good = (p->entries[i].perm & wanted) == wanted;
    free(groups);
    return good;
}

/* In a sticky directory only the owner of a file, or of the directory, removes it. */
static bool sticky_lets(const struct place *dir, const struct place *p, uint32_t uid)
{
    return !(dir->st.st_mode & S_ISVTX) || uid == p->st.st_uid || uid == dir->st.st_uid;
}

/* What is mounted is not removed or renamed where it is mounted. */
static bool is_mount_point(const struct place *p)
{
    struct statx st;
    return statx(p->fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) == 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/* The directory that holds it, with entries; false for INBOX, which is not removed, and what cannot be looked at. */
static bool parent_of(struct place *dir, struct store *s, const struct mailbox_name *name)
{
    const char *leaf;
    *dir = (struct place){ .fd = -1 };
    if (name->inbox || !place_take(dir, names_open_dir(store_names(s), name, &leaf, NULL)))
        return false;
    if (read_entries(dir, NULL) == 0)
        return true;
    acl_place_close(dir);
    return false;
}

static unsigned by_parent(const struct place *dir, const struct place *p, struct who who)
{
    if (is_mount_point(p) || !allows(dir, who, PERM_R | PERM_W | PERM_X))
        return 0;
    return dir->st.st_mode & S_ISVTX && (who.kind != WHO_USER || !sticky_lets(dir, p, who.id)) ? 0 : RIGHT_X;
}

unsigned acl_rights_by_parent(const struct place *p, struct store *s, const struct mailbox_name *name, struct who who)
{
    struct place dir;
    bool there;
    if ((!p->directory && !(acl_entry_rights(p, who, &there) & RIGHT_R)) || !parent_of(&dir, s, name))
        return 0;
    const unsigned rights = by_parent(&dir, p, who);
    acl_place_close(&dir);
    return rights;
}

/* ---- the session's own rights ------------------------------------------------------------------------------------ */

static bool may(int fd, int mode)
{
    return faccessat(fd, "", mode, AT_EACCESS | AT_EMPTY_PATH) == 0;
}

/* LIST shows what is in directories that it can read, from the root down. */
static bool is_listed(struct names *n, const struct mailbox_name *name)
{
    char dir[MAILBOX_NAME_MAX];
    bool good = names_root(n) >= 0 && may(n->root, R_OK | X_OK);
    for (const char *slash = strchr(name->text, '/'); good && slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(dir, sizeof dir, "%.*s", (int)(slash - name->text), name->text);
        const int fd = names_beneath(n, dir, O_PATH, 0);
        good = fd >= 0 && may(fd, R_OK | X_OK);
        if (fd >= 0)
            close(fd);
    }
    return good;
}

static unsigned own_rights(const struct place *p, struct store *s, const struct mailbox_name *name)
{
    unsigned rights = 0;
    struct place dir;
    const char *leaf;
    if (p->directory)
        rights = (may(p->fd, R_OK | X_OK) ? (unsigned)RIGHT_L : 0) | (may(p->fd, R_OK | W_OK | X_OK) ? (unsigned)RIGHT_K : 0);
    else if (may(p->fd, R_OK))
        rights = RIGHTS_READ | (may(p->fd, W_OK) ? (unsigned)RIGHTS_CHANGE : 0);
    if (is_owner(p))
        rights |= RIGHT_A;
    if (p->inbox)
        return rights;
    const bool known = p->directory || rights & RIGHT_R;       /* what cannot be read is no mailbox to DELETE and RENAME */
    if ((rights & RIGHT_L) && !is_listed(store_names(s), name))
        rights &= ~(unsigned)RIGHT_L;
    if (known && place_take(&dir, names_open_dir(store_names(s), name, &leaf, NULL))) {
        if (may(dir.fd, R_OK | W_OK | X_OK) && !is_mount_point(p) && sticky_lets(&dir, p, geteuid()))
            rights |= RIGHT_X;
        acl_place_close(&dir);
    }
    return rights;
}

int rights_mine(struct store *s, const struct mailbox_name *name, unsigned *rights, struct store_error *e)
{
    struct place p;
    if (place_open(&p, s, name, e) != 0)
        return -1;
    *rights = own_rights(&p, s, name);
    acl_place_close(&p);
    return *rights != 0 ? 0 : not_there(name, e);
}

/* ---- the list ----------------------------------------------------------------------------------------------------- */

int acl_place_open(struct place *p, struct store *s, const struct mailbox_name *name, struct store_error *e)
{
    if (place_open(p, s, name, e) != 0)
        return -1;
    int rc = 0;
    if (!is_owner(p))
        rc = own_rights(p, s, name) == 0 ? not_there(name, e) : store_fail(e, STORE_NOPERM, 0, "%s belongs to another user", name->text);
    else
        rc = read_entries(p, e);
    if (rc != 0)
        acl_place_close(p);
    return rc;
}

static struct who who_of(const struct entry *x)
{
    if (x->tag == ACL_OTHER)
        return (struct who){ WHO_ANYONE, 0 };
    return (struct who){ x->tag == ACL_GROUP || x->tag == ACL_GROUP_OBJ ? WHO_GROUP : WHO_USER, x->id };
}

struct who acl_who(const struct place *p, acl_entry_t entry, acl_tag_t tag)
{
    const struct entry x = { tag, tag == ACL_USER_OBJ ? p->st.st_uid : tag == ACL_GROUP_OBJ ? p->st.st_gid : id_of(entry, tag), 0 };
    return who_of(&x);
}

bool acl_same_who(struct who a, struct who b)
{
    return a.kind == b.kind && (a.kind == WHO_ANYONE || a.id == b.id);
}

unsigned acl_entry_rights(const struct place *p, struct who who, bool *there)
{
    unsigned perm = 0;
    *there = false;
    for (size_t i = 0; i < p->n; i++) {
        const struct entry *x = &p->entries[i];
        if (!acl_same_who(who_of(x), who) || (x->tag == ACL_USER && x->id == p->st.st_uid))
            continue;                          /* a named entry of the owner is never looked at */
        perm |= x->perm;
        *there = *there || x->perm != 0 || x->tag == ACL_USER || x->tag == ACL_GROUP;
    }
    return rights_of(p, perm);
}

/* Is this the first entry of its identifier? The owner group may have a named one too. */
static bool first_of_its_kind(const struct place *p, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (acl_same_who(who_of(&p->entries[i]), who_of(&p->entries[at])))
            return false;
    return true;
}

int rights_list(struct store *s, const struct mailbox_name *name, struct rights_entry **list, size_t *n, struct store_error *e)
{
    struct place p, dir;
    if (acl_place_open(&p, s, name, e) != 0)
        return -1;
    const bool has_parent = parent_of(&dir, s, name);
    *list = xreallocarray(NULL, p.n + 1, sizeof **list);
    *n = 0;
    for (size_t i = 0; i < p.n; i++) {
        bool there;
        const struct who who = who_of(&p.entries[i]);
        if (!first_of_its_kind(&p, i))
            continue;
        unsigned rights = acl_entry_rights(&p, who, &there);
        if (who.kind == WHO_USER && who.id == p.st.st_uid)
            rights |= RIGHT_A;
        if (has_parent && (p.directory || rights & RIGHT_R))
            rights |= by_parent(&dir, &p, who);
        if (there || rights != 0)
            (*list)[(*n)++] = (struct rights_entry){ who, rights };
    }
    if (has_parent)
        acl_place_close(&dir);
    acl_place_close(&p);
    return 0;
}

bool rights_inherited(int dir)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
    return getxattr(path, "system.posix_acl_default", NULL, 0) > 0;
}
