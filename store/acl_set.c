/*
 * Changing access rights: which can be given, and the entries that give them.
 */
#include "store/acl_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

/* ---- what can be set ---------------------------------------------------------------------------------------------- */

/* A file system without POSIX ACLs has the owner's, the group's and the others' permissions alone. */
static bool keeps(const struct place *p, struct who who)
{
    if (who.kind == WHO_ANYONE || acl_same_who(who, (struct who){ WHO_USER, p->st.st_uid })
        || acl_same_who(who, (struct who){ WHO_GROUP, p->st.st_gid }))
        return true;
    return getxattr(p->path, "system.posix_acl_access", NULL, 0) >= 0 || errno != EOPNOTSUPP;
}

static void choose(const struct place *p, struct store *s, const struct mailbox_name *name, struct who who, struct rights_choice *out)
{
    bool there;
    const bool owner = acl_same_who(who, (struct who){ WHO_USER, p->st.st_uid });
    const bool group = acl_same_who(who, (struct who){ WHO_GROUP, p->st.st_gid });
    *out = (struct rights_choice){ .always = (owner ? (unsigned)RIGHT_A : 0) | acl_rights_by_parent(p, s, name, who) };
    if (p->inbox && owner)
        out->always |= RIGHTS_READ | RIGHTS_CHANGE;            /* mail is delivered as the user, or as this group */
    else if (p->inbox && group)
        out->always |= acl_entry_rights(p, who, &there);
    else if (keeps(p, who)) {
        out->sets[0] = p->directory ? (unsigned)RIGHT_L : (unsigned)RIGHTS_READ;
        out->sets[1] = p->directory ? (unsigned)RIGHT_K : (unsigned)RIGHTS_CHANGE;
        out->n = 2;
    }
}

int rights_choice(struct store *s, const struct mailbox_name *name, struct who who, struct rights_choice *out, struct store_error *e)
{
    struct place p;
    if (acl_place_open(&p, s, name, e) != 0)
        return -1;
    choose(&p, s, name, who, out);
    acl_place_close(&p);
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
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1 && named; rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry))
        if (acl_get_tag_type(entry, &tag) == 0 && tag == ACL_MASK && acl_perm(entry) == 0)
            acl_set_perm(entry, PERM_X);       /* which no entry has: a mask of nothing would switch the list off */
    if (acl_set_file(p->path, ACL_TYPE_ACCESS, acl) == 0)
        return 0;
    if (errno == EOPNOTSUPP && acl_equiv_mode(acl, &mode) == 0 && chmod(p->path, (p->st.st_mode & 07000) | mode) == 0)
        return 0;
    if (errno == EOPNOTSUPP || errno == EINVAL)
        return store_fail(e, STORE_CANNOT, 0, "%s: the file system keeps no such entry", name->text);
    return store_fail(e, STORE_IO, errno, "%s", name->text);
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

/* Puts perm into the entry of `who`, or removes it (an entry that every file has is emptied). */
static int change(const struct place *p, const struct mailbox_name *name, struct who who, unsigned perm, bool removing,
                  struct store_error *e)
{
    acl_t acl = acl_load(p);
    acl_entry_t entry, doomed = NULL;
    acl_tag_t tag;
    bool done = false;
    if (acl == NULL)
        return store_fail(e, STORE_IO, errno, "%s", name->text);
    for (int rc = acl_get_entry(acl, ACL_FIRST_ENTRY, &entry); rc == 1; rc = acl_get_entry(acl, ACL_NEXT_ENTRY, &entry)) {
        if (acl_get_tag_type(entry, &tag) != 0 || tag == ACL_MASK)
            continue;
        if (!acl_same_who(acl_who(p, entry, tag), who))
            continue;
        if ((tag == ACL_USER || tag == ACL_GROUP) && (removing || done))
            doomed = entry;                    /* one at most: the kernel refuses two entries of one name */
        else
            acl_set_perm(entry, perm);
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
        acl_set_perm(entry, perm);
    }
    const int rc = done || !removing ? save(p, acl, name, e) : 0;
    acl_free(acl);
    return rc;
}

/* Of wanted, what can be had: whole sets alone, and changing only with looking. */
static unsigned whole_sets(const struct rights_choice *c, unsigned wanted)
{
    unsigned kept = c->always;
    for (size_t i = 0; i < c->n; i++)
        if ((wanted & c->sets[i]) == c->sets[i])
            kept |= c->sets[i];
    if (!(kept & RIGHT_R))
        kept &= ~(unsigned)RIGHTS_CHANGE;
    if (!(kept & RIGHT_L))
        kept &= ~(unsigned)RIGHT_K;
    return kept;
}

static int set(const struct place *p, struct store *s, const struct mailbox_name *name, struct who who, int mode, unsigned rights,
               unsigned *left, struct store_error *e)
{
    struct rights_choice c;
    bool there;
    choose(p, s, name, who, &c);
    const unsigned now = acl_entry_rights(p, who, &there) | c.always, fixed = c.always & (RIGHTS_READ | RIGHTS_CHANGE);
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
    if (acl_place_open(&p, s, name, e) != 0)
        return -1;
    const int rc = set(&p, s, name, who, mode, rights, left, e);
    acl_place_close(&p);
    return rc;
}

int rights_delete(struct store *s, const struct mailbox_name *name, struct who who, struct store_error *e)
{
    struct place p;
    if (acl_place_open(&p, s, name, e) != 0)
        return -1;
    int rc;
    if (acl_same_who(who, (struct who){ WHO_USER, p.st.st_uid }))
        rc = store_fail(e, STORE_CANNOT, 0, "%s: the owner's entry cannot be removed", name->text);
    else if (p.inbox && acl_same_who(who, (struct who){ WHO_GROUP, p.st.st_gid }))
        rc = store_fail(e, STORE_CANNOT, 0, "%s: mail is delivered by this group", name->text);
    else
        rc = change(&p, name, who, 0, true, e);
    acl_place_close(&p);
    return rc;
}
