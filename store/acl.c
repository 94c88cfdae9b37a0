/*
 * Access rights as the file system has them. A mailbox is a file: who may read it has l and r, who may write it too has s, w,
 * i, t and e, its owner has a; to remove or rename it (x) is a right on the directory. A directory: who may list it has l, who
 * may make files in it k.
 *
 * Everything is done to an O_PATH descriptor by its name in /proc/self/fd: the owner may set what he cannot read, and no
 * name is looked up twice.
 */
#include "store/acl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/acl.h>
#include <acl/libacl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mailbox.h"
#include "store/names_private.h"

enum perm { PERM_R = 4, PERM_W = 2, PERM_X = 1 };
enum { ENTRIES_MOST = 8192 };          /* the kernel's bound: 64 KiB of 8 octets */

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

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static void place_close(struct place *p)
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
        place_close(p);
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
    place_close(p);
    return not_there(name, e);
}

static unsigned perm_of(acl_entry_t entry)
{
    acl_permset_t set;
    if (acl_get_permset(entry, &set) != 0)
        return 0;
    return (acl_get_perm(set, ACL_READ) > 0 ? (unsigned)PERM_R : 0) | (acl_get_perm(set, ACL_WRITE) > 0 ? (unsigned)PERM_W : 0)
        | (acl_get_perm(set, ACL_EXECUTE) > 0 ? (unsigned)PERM_X : 0);
}

static void set_perm(acl_entry_t entry, unsigned perm)
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

/* Takes the mask into the entries that it masks, so that a wider one gives nothing to those who did not have it. */
static void settle_mask(acl_t acl)
{
    acl_entry_t entry;
    acl_tag_t tag;
    unsigned mask = PERM_R | PERM_W | PERM_X;
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1; rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry))
        if (acl_get_tag_type(entry, &tag) == 0 && tag == ACL_MASK)
            mask = perm_of(entry);
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1; rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry))
        if (acl_get_tag_type(entry, &tag) == 0 && is_masked(tag))
            set_perm(entry, perm_of(entry) & mask);
}

static acl_t load(const struct place *p)
{
    acl_t acl = acl_get_file(p->path, ACL_TYPE_ACCESS);        /* of plain permissions where there is nothing else */
    if (acl != NULL)
        settle_mask(acl);
    return acl;
}

static int read_entries(struct place *p, struct store_error *e)
{
    acl_t acl = load(p);
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
        to->perm = perm_of(entry);
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
    if (p->directory) {
        if ((perm & PERM_R) && (perm & PERM_X))
            rights |= RIGHT_L;
        if ((perm & PERM_W) && (perm & PERM_X))
            rights |= RIGHT_K;
        return rights;
    }
    if (perm & PERM_R)
        rights |= RIGHTS_READ | (perm & PERM_W ? (unsigned)RIGHTS_CHANGE : 0);
    return rights;
}

static unsigned perm_from(const struct place *p, unsigned rights)
{
    unsigned perm = 0;
    if (p->directory) {
        if (rights & RIGHT_L)
            perm |= PERM_R | PERM_X;
        if (rights & RIGHT_K)
            perm |= PERM_W | PERM_X;
        return perm;
    }
    return (rights & RIGHT_R ? (unsigned)PERM_R : 0) | (rights & RIGHT_I ? (unsigned)PERM_W : 0);
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

/* The directory that holds it, with entries; false for INBOX, which is not removed, and what cannot be looked at. */
static bool parent_of(struct place *dir, struct store *s, const struct mailbox_name *name)
{
    const char *leaf;
    *dir = (struct place){ .fd = -1 };
    if (name->inbox || !place_take(dir, names_open_dir(store_names(s), name, &leaf, NULL)))
        return false;
    if (read_entries(dir, NULL) == 0)
        return true;
    place_close(dir);
    return false;
}

static unsigned rights_by_parent(const struct place *dir, const struct place *p, struct who who)
{
    if (!allows(dir, who, PERM_W | PERM_X))
        return 0;
    return dir->st.st_mode & S_ISVTX && (who.kind != WHO_USER || !sticky_lets(dir, p, who.id)) ? 0 : RIGHT_X;
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
        rights = (may(p->fd, R_OK | X_OK) ? (unsigned)RIGHT_L : 0) | (may(p->fd, W_OK | X_OK) ? (unsigned)RIGHT_K : 0);
    else if (may(p->fd, R_OK))
        rights = RIGHTS_READ | (may(p->fd, W_OK) ? (unsigned)RIGHTS_CHANGE : 0);
    if (is_owner(p))
        rights |= RIGHT_A;
    if (p->inbox)
        return rights;
    if ((rights & RIGHT_L) && !is_listed(store_names(s), name))
        rights &= ~(unsigned)RIGHT_L;
    if (place_take(&dir, names_open_dir(store_names(s), name, &leaf, NULL))) {
        if (may(dir.fd, W_OK | X_OK) && sticky_lets(&dir, p, geteuid()))
            rights |= RIGHT_X;
        place_close(&dir);
    }
    return rights;
}

int rights_mine(struct store *s, const struct mailbox_name *name, unsigned *rights, struct store_error *e)
{
    struct place p;
    if (place_open(&p, s, name, e) != 0)
        return -1;
    *rights = own_rights(&p, s, name);
    place_close(&p);
    return *rights != 0 ? 0 : not_there(name, e);
}

/* ---- the list ----------------------------------------------------------------------------------------------------- */

/* Opens for the owner, entries read. */
static int owners_place(struct place *p, struct store *s, const struct mailbox_name *name, struct store_error *e)
{
    if (place_open(p, s, name, e) != 0)
        return -1;
    int rc = 0;
    if (!is_owner(p))
        rc = own_rights(p, s, name) == 0 ? not_there(name, e) : store_fail(e, STORE_NOPERM, 0, "%s belongs to another user", name->text);
    else
        rc = read_entries(p, e);
    if (rc != 0)
        place_close(p);
    return rc;
}

static struct who who_of(const struct entry *x)
{
    if (x->tag == ACL_OTHER)
        return (struct who){ WHO_ANYONE, 0 };
    return (struct who){ x->tag == ACL_GROUP || x->tag == ACL_GROUP_OBJ ? WHO_GROUP : WHO_USER, x->id };
}

static bool same_who(struct who a, struct who b)
{
    return a.kind == b.kind && (a.kind == WHO_ANYONE || a.id == b.id);
}

/* What the entries say of `who`; *there: there is one that is more than the absence of permissions. */
static unsigned entry_rights(const struct place *p, struct who who, bool *there)
{
    unsigned perm = 0;
    *there = false;
    for (size_t i = 0; i < p->n; i++) {
        const struct entry *x = &p->entries[i];
        if (!same_who(who_of(x), who) || (x->tag == ACL_USER && x->id == p->st.st_uid))
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
        if (same_who(who_of(&p->entries[i]), who_of(&p->entries[at])))
            return false;
    return true;
}

int rights_list(struct store *s, const struct mailbox_name *name, struct rights_entry **list, size_t *n, struct store_error *e)
{
    struct place p, dir;
    if (owners_place(&p, s, name, e) != 0)
        return -1;
    const bool by_parent = parent_of(&dir, s, name);
    *list = xreallocarray(NULL, p.n + 1, sizeof **list);
    *n = 0;
    for (size_t i = 0; i < p.n; i++) {
        bool there;
        const struct who who = who_of(&p.entries[i]);
        if (!first_of_its_kind(&p, i))
            continue;
        unsigned rights = entry_rights(&p, who, &there);
        if (who.kind == WHO_USER && who.id == p.st.st_uid)
            rights |= RIGHT_A;
        if (by_parent)
            rights |= rights_by_parent(&dir, &p, who);
        if (there || rights != 0)
            (*list)[(*n)++] = (struct rights_entry){ who, rights };
    }
    if (by_parent)
        place_close(&dir);
    place_close(&p);
    return 0;
}

/* ---- what can be set ---------------------------------------------------------------------------------------------- */

/* A file system without POSIX ACLs has the owner's, the group's and the others' permissions alone. */
static bool keeps(const struct place *p, struct who who)
{
    if (who.kind == WHO_ANYONE || same_who(who, (struct who){ WHO_USER, p->st.st_uid })
        || same_who(who, (struct who){ WHO_GROUP, p->st.st_gid }))
        return true;
    return getxattr(p->path, "system.posix_acl_access", NULL, 0) >= 0 || errno != EOPNOTSUPP;
}

static void choose(const struct place *p, struct store *s, const struct mailbox_name *name, struct who who, struct rights_choice *out)
{
    struct place dir;
    bool there;
    const bool owner = same_who(who, (struct who){ WHO_USER, p->st.st_uid });
    const bool group = same_who(who, (struct who){ WHO_GROUP, p->st.st_gid });
    *out = (struct rights_choice){ .always = owner ? RIGHT_A : 0 };
    if (parent_of(&dir, s, name)) {
        out->always |= rights_by_parent(&dir, p, who);
        place_close(&dir);
    }
    if (p->inbox && owner)
        out->always |= RIGHTS_READ | RIGHTS_CHANGE;            /* mail is delivered as the user, or as this group */
    else if (p->inbox && group)
        out->always |= entry_rights(p, who, &there);
    else if (keeps(p, who)) {
        out->sets[0] = p->directory ? (unsigned)RIGHT_L : (unsigned)RIGHTS_READ;
        out->sets[1] = p->directory ? (unsigned)RIGHT_K : (unsigned)RIGHTS_CHANGE;
        out->n = 2;
    }
}

int rights_choice(struct store *s, const struct mailbox_name *name, struct who who, struct rights_choice *out, struct store_error *e)
{
    struct place p;
    if (owners_place(&p, s, name, e) != 0)
        return -1;
    choose(&p, s, name, who, out);
    place_close(&p);
    return 0;
}

/* ---- setting ------------------------------------------------------------------------------------------------------- */

static int save(const struct place *p, acl_t acl, const struct mailbox_name *name, struct store_error *e)
{
    acl_entry_t entry;
    acl_tag_t tag;
    mode_t mode;
    bool named = false;
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1; rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry))
        named = named || (acl_get_tag_type(entry, &tag) == 0 && (tag == ACL_USER || tag == ACL_GROUP));
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1 && !named; rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry))
        if (acl_get_tag_type(entry, &tag) == 0 && tag == ACL_MASK && acl_delete_entry(acl, entry) == 0)
            break;
    if (named && acl_calc_mask(&acl) != 0)
        return store_fail(e, STORE_IO, errno, "%s", name->text);
    if (acl_set_file(p->path, ACL_TYPE_ACCESS, acl) == 0)
        return 0;
    if (errno == EOPNOTSUPP && acl_equiv_mode(acl, &mode) == 0 && chmod(p->path, (p->st.st_mode & 07000) | mode) == 0)
        return 0;
    if (errno == EOPNOTSUPP || errno == EINVAL)
        return store_fail(e, STORE_CANNOT, 0, "%s: the file system keeps no such entry", name->text);
    return store_fail(e, STORE_IO, errno, "%s", name->text);
}

/* Puts perm into the entry of `who`, or removes it (an entry that every file has is emptied). */
static int change(const struct place *p, const struct mailbox_name *name, struct who who, unsigned perm, bool removing,
                  struct store_error *e)
{
    acl_t acl = load(p);
    acl_entry_t entry, doomed = NULL;
    acl_tag_t tag;
    bool done = false;
    if (acl == NULL)
        return store_fail(e, STORE_IO, errno, "%s", name->text);
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1; rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry)) {
        if (acl_get_tag_type(entry, &tag) != 0 || tag == ACL_MASK)
            continue;
        const struct entry x = { tag, tag == ACL_USER_OBJ ? p->st.st_uid : tag == ACL_GROUP_OBJ ? p->st.st_gid : id_of(entry, tag), 0 };
        if (!same_who(who_of(&x), who))
            continue;
        if ((tag == ACL_USER || tag == ACL_GROUP) && (removing || done))
            doomed = entry;                    /* one at most: the kernel refuses two entries of one name */
        else
            set_perm(entry, perm);
        done = true;
    }
    if (doomed != NULL)
        acl_delete_entry(acl, doomed);
    if (!done && !removing) {
        if (acl_create_entry(&acl, &entry) != 0 || acl_set_tag_type(entry, who.kind == WHO_USER ? ACL_USER : ACL_GROUP) != 0
            || acl_set_qualifier(entry, &who.id) != 0) {
            const int err = errno;
            acl_free(acl);
            return store_fail(e, STORE_IO, err, "%s", name->text);
        }
        set_perm(entry, perm);
    }
    const int rc = done || !removing ? save(p, acl, name, e) : 0;
    acl_free(acl);
    return rc;
}

/* Of wanted, what can be had: whole sets alone, and changing only with reading. */
static unsigned whole_sets(const struct rights_choice *c, unsigned wanted)
{
    unsigned kept = c->always;
    for (size_t i = 0; i < c->n; i++)
        if ((wanted & c->sets[i]) == c->sets[i])
            kept |= c->sets[i];
    if (!(kept & RIGHT_R))
        kept &= ~(unsigned)RIGHTS_CHANGE;
    return kept;
}

static int set(const struct place *p, struct store *s, const struct mailbox_name *name, struct who who, int mode, unsigned rights,
               unsigned *left, struct store_error *e)
{
    struct rights_choice c;
    bool there;
    choose(p, s, name, who, &c);
    const unsigned now = entry_rights(p, who, &there) | c.always, fixed = c.always & (RIGHTS_READ | RIGHTS_CHANGE);
    const unsigned wanted = mode == 0 ? rights : mode > 0 ? now | rights : now & ~rights;
    const unsigned kept = whole_sets(&c, wanted);
    if (mode < 0 ? (rights & c.always) != 0 : mode == 0 && (fixed & ~rights) != 0)
        return store_fail(e, STORE_CANNOT, 0, "%s: these rights cannot be taken from it here", name->text);
    if (mode >= 0 && rights != 0 && (rights & kept) == 0)
        return store_fail(e, STORE_CANNOT, 0, "%s: none of these rights can be given alone (LISTRIGHTS tells which go together)", name->text);
    if (left != NULL)
        *left = mode < 0 ? wanted & ~kept : rights & ~kept;
    if (c.n == 0)
        return (wanted | c.always) == now ? 0 : store_fail(e, STORE_CANNOT, 0, "%s: the file system keeps no such entry", name->text);
    return change(p, name, who, perm_from(p, kept), false, e);
}

int rights_set(struct store *s, const struct mailbox_name *name, struct who who, int mode, unsigned rights, unsigned *left,
               struct store_error *e)
{
    struct place p;
    if (owners_place(&p, s, name, e) != 0)
        return -1;
    const int rc = set(&p, s, name, who, mode, rights, left, e);
    place_close(&p);
    return rc;
}

int rights_delete(struct store *s, const struct mailbox_name *name, struct who who, struct store_error *e)
{
    struct place p;
    if (owners_place(&p, s, name, e) != 0)
        return -1;
    int rc;
    if (same_who(who, (struct who){ WHO_USER, p.st.st_uid }))
        rc = store_fail(e, STORE_CANNOT, 0, "%s: the owner's entry cannot be removed", name->text);
    else if (p.inbox && same_who(who, (struct who){ WHO_GROUP, p.st.st_gid }))
        rc = store_fail(e, STORE_CANNOT, 0, "%s: mail is delivered by this group", name->text);
    else
        rc = change(&p, name, who, 0, true, e);
    place_close(&p);
    return rc;
}

bool rights_inherited(int dir)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
    return getxattr(path, "system.posix_acl_default", NULL, 0) > 0;
}
