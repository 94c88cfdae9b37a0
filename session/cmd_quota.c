/*
 * GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208, and RFC 2087 before it). Quotas are the file system's, and so is the
 * setting of them: SETQUOTA answers NO and QUOTASET is not advertised.
 */
#include <inttypes.h>
#include <string.h>

#include "session/command.h"
#include "store/quota.h"

static void write_quota(struct session *s, const struct quota_root *root)
{
    io_puts(&s->io, "* QUOTA ");
    write_string(&s->io, str_z(root->name));
    io_printf(&s->io, " (STORAGE %" PRIu64 " %" PRIu64 ")\r\n", root->used, root->limit);
}

enum outcome cmd_getquota(struct session *s, struct parse *p)
{
    struct str name;
    struct quota_root root;
    struct store_error e;
    if (!parse_sp(p) || !parse_astring(p, &name) || !parse_end(p))
        return bad_arguments(s, "GETQUOTA root");
    if (quota_get(s->store, name, &root, &e) != 0)
        return store_no(s, &e);
    write_quota(s, &root);
    return OUTCOME_OK;
}

enum outcome cmd_getquotaroot(struct session *s, struct parse *p)
{
    struct str wire;
    struct mailbox_name name;
    struct quota_root roots[QUOTA_ROOTS];
    struct store_error e;
    size_t n;
    bool directory = false;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_end(p))
        return bad_arguments(s, "GETQUOTAROOT mailbox");
    if (!to_store_name(s, wire, &name, &directory))
        return OUTCOME_NO;
    if (quota_of_mailbox(s->store, &name, roots, &n, &e) != 0)
        return store_no(s, &e);
    io_puts(&s->io, "* QUOTAROOT ");
    write_named(s, wire, name.text);
    for (size_t i = 0; i < n; i++) {
        io_puts(&s->io, " ");
        write_string(&s->io, str_z(roots[i].name));
    }
    io_puts(&s->io, "\r\n");
    for (size_t i = 0; i < n; i++)
        write_quota(s, &roots[i]);
    return OUTCOME_OK;
}

enum outcome cmd_setquota(struct session *s, struct parse *p)
{
    struct str name, resource;
    struct quota_root root;
    struct store_error e;
    uint64_t limit;
    if (!parse_sp(p) || !parse_astring(p, &name) || !parse_sp(p) || !parse_char(p, '('))
        return bad_arguments(s, "SETQUOTA root (resource limit ...)");
    for (bool first = true; !parse_char(p, ')'); first = false)
        if ((!first && !parse_sp(p)) || !parse_atom(p, &resource) || !parse_sp(p) || !parse_number64(p, &limit))
            return bad_arguments(s, "SETQUOTA root (resource limit ...)");
    if (!parse_end(p))
        return bad_arguments(s, "SETQUOTA root (resource limit ...)");
    if (quota_get(s->store, name, &root, &e) != 0)
        return store_no(s, &e);
    write_quota(s, &root);
    return say(s, OUTCOME_NO, "NOPERM", "Quotas are the file system's: its administrator sets them");
}
