/*
 * CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "session/metadata.h"
#include "session/notify.h"

enum outcome cmd_create(struct session *s, struct parse *p)
{
    struct mailbox_name name;
    struct mailbox_status st;
    struct store_error e;
    struct str wire;
    struct create_use use;
    bool directory = false;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_create_use(p, &use) || !parse_end(p))
        return bad_arguments(s, "CREATE mailbox [(USE (attribute ...))]");
    if (!to_store_name(s, wire, &name, &directory) || !special_use_allowed(s, &name, directory, use.uses, use.unknown))
        return OUTCOME_NO;
    if (mailbox_create(s->store, &name, directory, &e) != 0)
        return store_no(s, &e);
    notify_own_name(s, name.text);
    if (!directory)
        list_normalized(s, wire, name.text, NULL, false);
    const enum outcome outcome = annotations_created(s, &name, &use);
    if (outcome != OUTCOME_OK || directory || mailbox_status(s->store, &name, &st, &e) != 0)
        return outcome;
    char code[80];
    snprintf(code, sizeof code, "MAILBOXID (" MAILBOXID_FORMAT ")", (unsigned long long)st.mailbox_id);
    return say(s, OUTCOME_OK, code, "CREATE completed");
}

/* Is this the selected mailbox, or a directory above it? It is unselected once it is gone. */
static bool is_selected(const struct session *s, const struct mailbox_name *name)
{
    const size_t n = strlen(name->text);
    const char *selected = s->mailbox != NULL ? mailbox_name_of(s->mailbox) : "";
    return s->mailbox != NULL && strncmp(selected, name->text, n) == 0 && (selected[n] == 0 || selected[n] == '/');
}

enum outcome cmd_delete(struct session *s, struct parse *p)
{
    struct mailbox_name name;
    struct store_error e;
    struct str wire;
    bool directory = false;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_end(p))
        return bad_arguments(s, "DELETE mailbox");
    if (!to_store_name(s, wire, &name, &directory))
        return OUTCOME_NO;
    if (name.inbox)
        return say(s, OUTCOME_NO, "CANNOT", "INBOX cannot be deleted");
    if (mailbox_delete(s->store, &name, &e) != 0) {
        const enum outcome outcome = store_no(s, &e);
        if (e.err == ENOTEMPTY || e.err == EEXIST)
            snprintf(s->code, sizeof s->code, "HASCHILDREN");
        return outcome;
    }
    notify_own_name(s, name.text);
    if (!directory)
        list_normalized(s, wire, name.text, "\\NonExistent", false);
    annotations_deleted(s, &name);
    if (is_selected(s, &name))
        session_unselect(s, false);
    return OUTCOME_OK;
}

enum outcome cmd_rename(struct session *s, struct parse *p)
{
    struct mailbox_name from, to;
    struct store_error e;
    struct str wire_from, wire_to;
    bool directory = false;
    if (!parse_sp(p) || !parse_astring(p, &wire_from) || !parse_sp(p) || !parse_astring(p, &wire_to) || !parse_end(p))
        return bad_arguments(s, "RENAME mailbox mailbox");
    if (!to_store_name(s, wire_from, &from, &directory) || !to_store_name(s, wire_to, &to, &directory))
        return OUTCOME_NO;
    const bool selected = !from.inbox && is_selected(s, &from);
    if (selected && mailbox_checkpoint(s->mailbox, false, &e) != 0)
        return store_no(s, &e);
    if (!annotations_rename(s, &from, &to, &e))
        return store_no(s, &e);
    notify_own_name(s, to.text);
    if (!directory)
        list_renamed(s, wire_from, &from, wire_to, &to);
    if (selected)
        session_unselect(s, false);
    return OUTCOME_OK;
}

static enum outcome subscribe(struct session *s, struct parse *p, bool subscribed)
{
    struct mailbox_name name;
    struct store_error e;
    struct str wire;
    bool directory = false;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_end(p))
        return bad_arguments(s, subscribed ? "SUBSCRIBE mailbox" : "UNSUBSCRIBE mailbox");
    if (!to_store_name(s, wire, &name, &directory))
        return OUTCOME_NO;
    if (subs_set(store_names(s->store), &name, subscribed, &e) != 0)
        return store_no(s, &e);
    notify_own_name(s, name.text);
    return OUTCOME_OK;
}

enum outcome cmd_subscribe(struct session *s, struct parse *p)
{
    return subscribe(s, p, true);
}

enum outcome cmd_unsubscribe(struct session *s, struct parse *p)
{
    return subscribe(s, p, false);
}
