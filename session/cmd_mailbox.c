/*
 * SELECT, EXAMINE, CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, STATUS, CHECK, CLOSE, UNSELECT, IDLE.
 */
#include <stdio.h>
#include <string.h>

#include "session/command.h"
#include "session/metadata.h"

static enum outcome open_mailbox(struct session *s, struct parse *p, bool readonly)
{
    struct mailbox_name name;
    struct mailbox_status st;
    struct store_error e;
    struct str wire;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_end(p))
        return bad_arguments(s, readonly ? "EXAMINE mailbox" : "SELECT mailbox");
    session_unselect(s, true);
    s->state = STATE_AUTH;
    if (!to_store_name(s, wire, &name, NULL))
        return OUTCOME_NO;
    if (mailbox_open(s->store, &name, readonly, &s->mailbox, &e) != 0) {
        s->mailbox = NULL;
        return store_no(s, &e);
    }
    s->state = STATE_SELECTED;
    if (!mailbox_readonly(s->mailbox) && (s->config->expunge_on & EXPUNGE_ON_SELECT)
        && mailbox_expunge(s->mailbox, NULL, 0, NULL, NULL) == 0)
        mailbox_sync(s->mailbox, true, NULL, NULL);
    mailbox_info(s->mailbox, &st);
    write_mailbox_flags(s);
    untagged(s, "%u EXISTS", st.exists);
    untagged(s, "%u RECENT", st.recent);
    if (st.first_unseen > 0)
        untagged(s, "OK [UNSEEN %u] First unseen message", st.first_unseen);
    untagged(s, "OK [UIDVALIDITY %u] UIDs are valid", st.uidvalidity);
    untagged(s, "OK [UIDNEXT %u] Next UID", st.uidnext);
    return say(s, OUTCOME_OK, mailbox_readonly(s->mailbox) ? "READ-ONLY" : "READ-WRITE", "%s completed",
               readonly ? "EXAMINE" : "SELECT");
}

enum outcome cmd_select(struct session *s, struct parse *p)
{
    return open_mailbox(s, p, false);
}

enum outcome cmd_examine(struct session *s, struct parse *p)
{
    return open_mailbox(s, p, true);
}

enum outcome cmd_create(struct session *s, struct parse *p)
{
    struct mailbox_name name;
    struct store_error e;
    struct str wire;
    struct create_use use;
    bool directory = false;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_create_use(p, &use) || !parse_end(p))
        return bad_arguments(s, "CREATE mailbox [(USE (attribute ...))]");
    if (!to_store_name(s, wire, &name, &directory) || !special_use_allowed(s, &name, directory, use.uses, use.unknown))
        return OUTCOME_NO;
    return mailbox_create(s->store, &name, directory, &e) == 0 ? annotations_created(s, &name, &use) : store_no(s, &e);
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
    if (mailbox_delete(s->store, &name, &e) != 0)
        return store_no(s, &e);
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
    return subs_set(store_names(s->store), &name, subscribed, &e) == 0 ? OUTCOME_OK : store_no(s, &e);
}

enum outcome cmd_subscribe(struct session *s, struct parse *p)
{
    return subscribe(s, p, true);
}

enum outcome cmd_unsubscribe(struct session *s, struct parse *p)
{
    return subscribe(s, p, false);
}

static const struct status_item {
    const char *name;
    size_t offset;
} status_items[] = {
    { "MESSAGES", offsetof(struct mailbox_status, exists) }, { "RECENT", offsetof(struct mailbox_status, recent) },
    { "UIDNEXT", offsetof(struct mailbox_status, uidnext) }, { "UIDVALIDITY", offsetof(struct mailbox_status, uidvalidity) },
    { "UNSEEN", offsetof(struct mailbox_status, unseen) },
};
enum { STATUS_ITEMS = sizeof status_items / sizeof *status_items };

enum outcome cmd_status(struct session *s, struct parse *p)
{
    struct mailbox_name name;
    struct mailbox_status st = { 0 };
    struct store_error e;
    struct str wire, item;
    const struct status_item *asked[STATUS_ITEMS * 4];
    size_t n = 0;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_sp(p) || !parse_char(p, '('))
        return bad_arguments(s, "STATUS mailbox (item ...)");
    do {
        size_t i = 0;
        if (!parse_atom(p, &item))
            return bad_arguments(s, "STATUS mailbox (item ...)");
        while (i < STATUS_ITEMS && !str_ieq(item, str_z(status_items[i].name)))
            i++;
        if (i == STATUS_ITEMS || n == STATUS_ITEMS * 4)
            return say(s, OUTCOME_BAD, NULL, "Unknown STATUS item");
        asked[n++] = &status_items[i];
    } while (parse_sp(p));
    if (!parse_char(p, ')') || !parse_end(p))
        return bad_arguments(s, "STATUS mailbox (item ...)");
    if (!to_store_name(s, wire, &name, NULL))
        return OUTCOME_NO;
    if (mailbox_status(s->store, &name, &st, &e) != 0)
        return store_no(s, &e);
    io_puts(&s->io, "* STATUS ");
    write_astring(&s->io, wire);
    for (size_t i = 0; i < n; i++) {
        uint32_t value;
        memcpy(&value, (const char *)&st + asked[i]->offset, sizeof value);
        io_printf(&s->io, "%s%s %u", i == 0 ? " (" : " ", asked[i]->name, value);
    }
    io_puts(&s->io, ")\r\n");
    return OUTCOME_OK;
}

enum outcome cmd_check(struct session *s, struct parse *p)
{
    struct store_error e;
    if (!parse_end(p))
        return bad_arguments(s, "CHECK");
    if (!mailbox_readonly(s->mailbox) && (s->config->expunge_on & EXPUNGE_ON_CHECK)
        && mailbox_expunge(s->mailbox, NULL, 0, NULL, &e) != 0)
        return store_no(s, &e);
    return mailbox_checkpoint(s->mailbox, false, &e) == 0 ? OUTCOME_OK : store_no(s, &e);
}

enum outcome cmd_close(struct session *s, struct parse *p)
{
    struct store_error e;
    if (!parse_end(p))
        return bad_arguments(s, "CLOSE");
    enum outcome outcome = OUTCOME_OK;
    if (!mailbox_readonly(s->mailbox) && (mailbox_expunge(s->mailbox, NULL, 0, NULL, &e) != 0
                                          || mailbox_checkpoint(s->mailbox, false, &e) != 0))
        outcome = store_no(s, &e);
    if (outcome == OUTCOME_OK)
        session_unselect(s, false);
    return outcome;
}

enum outcome cmd_unselect(struct session *s, struct parse *p)
{
    if (!parse_end(p))
        return bad_arguments(s, "UNSELECT");
    session_unselect(s, true);
    return OUTCOME_OK;
}

/* ---- IDLE (RFC 2177) ---------------------------------------------------------------------------------------------- */

enum { IDLE_RETRY = 20 };            /* ms, after a change while another program still holds the mailbox */

enum outcome cmd_idle(struct session *s, struct parse *p)
{
    struct buf line = { 0 };
    struct store_error e;
    if (!parse_end(p))
        return bad_arguments(s, "IDLE");
    const int timeout = (int)s->config->idle_timeout * 1000;
    if (s->mailbox != NULL)
        mailbox_watch(s->mailbox);
    io_puts(&s->io, "+ idling\r\n");
    bool told = session_sync(s, true);
    if (s->mailbox != NULL && !mailbox_readonly(s->mailbox) && mailbox_checkpoint(s->mailbox, false, &e) != 0)
        store_no(s, &e);                        /* logged; what follows says nothing of it */
    s->code[0] = s->text[0] = 0;
    for (;;) {
        const enum io_status status = io_wait(&s->io, s->mailbox != NULL ? mailbox_watch(s->mailbox) : -1,
                                              told ? timeout : IDLE_RETRY);
        if (s->mailbox != NULL && (status == IO_OTHER || (status == IO_TIMEOUT && !told))) {
            mailbox_watch_clear(s->mailbox);
            told = session_sync(s, true);
            if (s->state == STATE_LOGOUT)
                return OUTCOME_SILENT;
            continue;
        }
        if (status == IO_TIMEOUT)
            untagged(s, "BYE Idle for too long");
        if (status != IO_OK) {
            s->state = STATE_LOGOUT;
            return OUTCOME_SILENT;
        }
        break;
    }
    const enum io_status status = io_line(&s->io, &line, 1000, timeout);
    const bool done = status == IO_OK && str_ieq(buf_str(&line), STR("DONE"));
    buf_free(&line);
    if (status != IO_OK && status != IO_TOO_LONG) {
        s->state = STATE_LOGOUT;
        return OUTCOME_SILENT;
    }
    return done ? OUTCOME_OK : say(s, OUTCOME_BAD, NULL, "Expected DONE");
}
