/*
 * NOTIFY (RFC 5465): the client is told of changes at any time, in the selected and in other mailboxes.
 *
 * What was told last of each mailbox is kept (its STATUS, its name, the subscriptions). When inotify says that something may
 * have changed, all is looked at again and the differences are told.
 */
#include "session/notify.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "session/fetch.h"
#include "session/filter.h"

enum { GROUPS = 32, WATCHED = 5000, PAUSE = 50, RETRY = 500 };     /* ms between two looks; after one that failed */
enum { MESSAGE_EVENTS = NOTIFY_NEW | NOTIFY_EXPUNGE | NOTIFY_FLAGS };

struct group { struct mailbox_filter filter; unsigned events; };
struct watched {
    char *name;
    unsigned events;
    bool subscribed, there;
    struct mailbox_status st;
};
struct watched_list { struct watched *list; size_t n, capacity; };
struct notify {
    struct arena *arena;
    struct group groups[GROUPS];
    size_t n;
    unsigned selected;                   /* events of the selected mailbox */
    bool has_selected, delayed;
    struct str items;                    /* fetch-atts of MessageNew, with their parentheses; or none */
    int inotify;
    int64_t again_at;                    /* io_now_ms: look again then; 0: when something changes */
    struct watched_list told;
    struct arena *metadata_arena;        /* of metadata, as it was told */
    struct metadata metadata;
    char *own;                           /* a name that the client itself has just changed */
};

static void free_list(struct watched_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->list[i].name);
    free(l->list);
    *l = (struct watched_list){ .list = NULL };
}

void notify_free(struct notify *n)
{
    if (n == NULL)
        return;
    free_list(&n->told);
    if (n->inotify >= 0)
        close(n->inotify);
    arena_free(n->arena);
    if (n->metadata_arena != NULL)
        arena_free(n->metadata_arena);
    free(n->own);
    free(n);
}

bool notify_selected(const struct session *s, enum notify_event event)
{
    return s->notify == NULL || (s->notify->selected & event);
}

void notify_own_name(struct session *s, const char *name)
{
    if (s->notify == NULL)
        return;
    free(s->notify->own);
    s->notify->own = xstrdup(name);
}

void notify_new_messages(struct session *s, uint32_t seq)
{
    const uint32_t exists = mailbox_exists(s->mailbox);
    if (s->notify == NULL || s->notify->items.n == 0 || !(s->notify->selected & NOTIFY_NEW) || seq > exists)
        return;
    uint32_t *seqs = xreallocarray(NULL, exists - seq + 1, sizeof *seqs);
    for (uint32_t i = seq; i <= exists; i++)
        seqs[i - seq] = i;
    fetch_unasked(s, s->notify->items, seqs, exists - seq + 1);
    free(seqs);
}

/* ---- what there is ------------------------------------------------------------------------------------------------ */

struct gathering { struct session *s; struct watched_list *out; unsigned events; bool too_many; };

static struct watched *add(struct gathering *g, const char *name)
{
    for (size_t i = 0; i < g->out->n; i++)
        if (strcmp(g->out->list[i].name, name) == 0)
            return &g->out->list[i];
    if (g->out->n == WATCHED) {
        g->too_many = true;
        return NULL;
    }
    if (g->out->n == g->out->capacity) {
        g->out->capacity = g->out->capacity * 2 + 16;
        g->out->list = xreallocarray(g->out->list, g->out->capacity, sizeof *g->out->list);
    }
    struct watched *w = &g->out->list[g->out->n++];
    *w = (struct watched){ .name = xstrdup(name) };
    return w;
}

static int on_mailbox(void *ctx, const char *name)
{
    struct gathering *g = ctx;
    struct watched *w = add(g, name);
    if (w == NULL)
        return 1;
    w->events |= g->events;
    w->there = true;
    return 0;
}

static int on_subscribed(void *ctx, const char *name)
{
    struct gathering *g = ctx;
    struct watched *w = add(g, name);
    if (w == NULL)
        return 1;
    w->subscribed = true;
    return 0;
}

/* All mailboxes of the groups, their STATUS where message events are wanted, and what is subscribed. 0 or -1; 1: too many. */
static int look(struct session *s, struct watched_list *out, struct store_error *e)
{
    struct notify *n = s->notify;
    struct gathering g = { .s = s, .out = out };
    unsigned wanted = 0;
    for (size_t i = 0; i < n->n; i++) {
        g.events = n->groups[i].events;
        wanted |= g.events;
        if (filter_each(s, &n->groups[i].filter, on_mailbox, &g, e) != 0)
            return -1;
    }
    if ((wanted & NOTIFY_SUBSCRIPTION) && subs_list(store_names(s->store), on_subscribed, &g, e) < 0)
        return -1;
    for (size_t i = 0; i < out->n; i++) {
        struct watched *w = &out->list[i];
        struct mailbox_name name;
        if (!w->there || !(w->events & (MESSAGE_EVENTS | NOTIFY_NAME))
            || names_parse(store_names(s->store), str_z(w->name), &name, NULL, NULL) != 0)
            continue;
        if (mailbox_status(s->store, &name, &w->st, e) != 0) {
            if (e->code == STORE_INUSE)
                return -1;
            w->there = false;
        }
    }
    return g.too_many ? 1 : 0;
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

static bool is_selected(const struct session *s, const char *name)
{
    return s->mailbox != NULL && strcmp(mailbox_name_of(s->mailbox), name) == 0;
}

static void write_notify_status(struct session *s, const struct watched *w, unsigned changed, bool modseq)
{
    const struct mailbox_status *st = &w->st;
    io_puts(&s->io, "* STATUS ");
    write_mailbox(&s->io, w->name);
    io_printf(&s->io, " (UIDVALIDITY %u", st->uidvalidity);
    if (changed & (NOTIFY_NEW | NOTIFY_EXPUNGE))
        io_printf(&s->io, " UIDNEXT %u MESSAGES %u", st->uidnext, st->exists);
    if (changed & NOTIFY_FLAGS)
        io_printf(&s->io, " UNSEEN %u", st->unseen);
    if (modseq)
        io_printf(&s->io, " HIGHESTMODSEQ %llu", (unsigned long long)st->highestmodseq);
    io_puts(&s->io, ")\r\n");
}

static const struct watched *find(const struct watched_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->list[i].name, name) == 0)
            return &l->list[i];
    return NULL;
}

static const struct watched *find_id(const struct watched_list *l, uint64_t id)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->list[i].there && id != 0 && l->list[i].st.mailbox_id == id)
            return &l->list[i];
    return NULL;
}

static bool own(const struct notify *n, const char *name)
{
    const size_t k = n->own != NULL ? strlen(n->own) : 0;
    return k > 0 && strncmp(name, n->own, k) == 0 && (name[k] == 0 || name[k] == '/');
}

/* With a mailbox its parent, which may have no children any more, or is there no more (RFC 5465 section 5.4). Each once: last is the
 * one that was told before, names come in order. */
static void tell_parent(struct session *s, const char *name, char last[MAILBOX_NAME_MAX])
{
    const char *const slash = strrchr(name, '/');
    const size_t n = slash != NULL ? (size_t)(slash - name) : 0;
    if (n == 0 || n >= MAILBOX_NAME_MAX || own(s->notify, name) || (strncmp(last, name, n) == 0 && last[n] == 0))
        return;
    memcpy(last, name, n);
    last[n] = 0;
    notify_list(s, last, false, NULL);
}

static void tell_name(struct session *s, const struct watched *now, const struct watched_list *before, const struct watched_list *after,
                      char parent[MAILBOX_NAME_MAX])
{
    const struct watched *was = find(before, now->name), *old;
    if (was != NULL && was->there)
        return;
    old = find_id(before, now->st.mailbox_id);
    if (old != NULL && find(after, old->name) != NULL)       /* it is still there under that name */
        old = NULL;
    if (!own(s->notify, now->name) && (old == NULL || !own(s->notify, old->name)))
        notify_list(s, now->name, now->subscribed, old != NULL ? old->name : NULL);
    if (old == NULL)
        tell_parent(s, now->name, parent);
}

static void tell_messages(struct session *s, const struct watched *now, const struct watched *was)
{
    unsigned changed = 0;
    const struct mailbox_status *a = &was->st, *b = &now->st;
    if (a->uidvalidity != b->uidvalidity)
        changed = MESSAGE_EVENTS;
    if (a->uidnext != b->uidnext)
        changed |= NOTIFY_NEW;
    if (b->exists != a->exists + (b->uidnext - a->uidnext))
        changed |= NOTIFY_EXPUNGE;
    if (a->unseen != b->unseen || (condstore(s) && a->highestmodseq != b->highestmodseq))
        changed |= NOTIFY_FLAGS;
    changed &= now->events;
    if (changed != 0 && !is_selected(s, now->name))
        write_notify_status(s, now, changed, condstore(s));
}

static void tell_differences(struct session *s, const struct watched_list *before, const struct watched_list *after)
{
    char parent[MAILBOX_NAME_MAX] = "";
    for (size_t i = 0; i < after->n; i++) {
        const struct watched *now = &after->list[i], *was = find(before, now->name);
        if (now->there && (now->events & NOTIFY_NAME))
            tell_name(s, now, before, after, parent);
        if (now->there && was != NULL && was->there)
            tell_messages(s, now, was);
        if ((was != NULL ? was->subscribed : false) != now->subscribed && !own(s->notify, now->name))
            notify_list(s, now->name, now->subscribed, NULL);
    }
    for (size_t i = 0; i < before->n; i++) {
        const struct watched *was = &before->list[i], *now = find(after, was->name);
        const struct watched *renamed = was->there && (now == NULL || !now->there) ? find_id(after, was->st.mailbox_id) : NULL;
        if (was->there && (now == NULL || !now->there) && (was->events & NOTIFY_NAME) && renamed == NULL && !own(s->notify, was->name)) {
            notify_list(s, was->name, now != NULL && now->subscribed, NULL);
            tell_parent(s, was->name, parent);
        }
        if (was->subscribed && now == NULL && !own(s->notify, was->name))
            notify_list(s, was->name, false, NULL);
    }
}

static unsigned all_events(const struct notify *n)
{
    unsigned events = 0;
    for (size_t i = 0; i < n->n; i++)
        events |= n->groups[i].events;
    return events;
}

static bool metadata_wanted(const struct session *s, const char *mailbox)
{
    const struct watched *w = find(&s->notify->told, mailbox);
    if (mailbox[0] == 0)
        return all_events(s->notify) & NOTIFY_SERVER_METADATA;
    return w != NULL && (w->events & NOTIFY_METADATA) && !own(s->notify, mailbox);
}

/* Loads the annotations; tells what is other than before, if something was loaded before. */
static void look_at_metadata(struct session *s)
{
    struct notify *n = s->notify;
    struct arena *arena = arena_new();
    struct metadata now;
    if (!(all_events(n) & (NOTIFY_METADATA | NOTIFY_SERVER_METADATA))
        || metadata_load(store_names(s->store), arena, &now, NULL) != 0) {
        arena_free(arena);
        return;
    }
    if (n->metadata_arena != NULL) {
        notify_metadata(s, &n->metadata, &now, metadata_wanted);
        arena_free(n->metadata_arena);
    }
    n->metadata_arena = arena;
    n->metadata = now;
}

/* More mailboxes than are watched: from now on it is as after NOTIFY NONE (RFC 5465 section 5.8). */
static void overflow(struct session *s)
{
    struct notify *n = s->notify;
    n->n = 0;
    n->selected = 0;
    n->again_at = 0;
    close(n->inotify);
    n->inotify = -1;
    untagged(s, "OK [NOTIFICATIONOVERFLOW] Too much to watch");
}

/* Looks at everything, tells what is different from before. */
static void look_at_all(struct session *s)
{
    struct notify *n = s->notify;
    struct watched_list now = { .list = NULL };
    struct store_error e = { .code = STORE_OK };
    n->again_at = 0;
    store_watch_clear(n->inotify);
    store_watch_all(s->store, n->inotify);
    const int rc = n->n > 0 ? look(s, &now, &e) : 0;
    if (rc != 0) {
        free_list(&now);
        n->again_at = io_now_ms() + RETRY;
        if (rc > 0)
            overflow(s);
        return;
    }
    if (n->n > 0) {
        tell_differences(s, &n->told, &now);
        free_list(&n->told);
        n->told = now;
        look_at_metadata(s);
    }
    free(n->own);
    n->own = NULL;
    if (s->mailbox != NULL && (n->selected & MESSAGE_EVENTS) && !session_sync(s, !n->delayed || s->idling))
        n->again_at = io_now_ms() + PAUSE;
}

/* A client may wait for days: what a look takes of memory does not stay until the next command. */
static void look_again(struct session *s)
{
    struct arena *const of_command = s->arena;
    s->arena = arena_new();
    look_at_all(s);
    arena_free(s->arena);
    s->arena = of_command;
}

enum io_status notify_wait(struct session *s, int timeout_ms)
{
    const int64_t deadline = io_now_ms() + timeout_ms;
    while (s->notify != NULL && s->notify->inotify >= 0 && s->state != STATE_LOGOUT) {
        const int64_t now = io_now_ms();
        if (s->notify->again_at != 0 && now >= s->notify->again_at) {
            look_again(s);
            continue;
        }
        const int64_t until = s->notify->again_at != 0 && s->notify->again_at < deadline ? s->notify->again_at : deadline;
        const int other = s->notify->again_at == 0 ? s->notify->inotify : -1;      /* changes come in bursts */
        const enum io_status status = io_wait(&s->io, other, until > now ? (int)(until - now) : 0);
        if (status == IO_OTHER)
            s->notify->again_at = io_now_ms() + PAUSE;
        else if (status != IO_TIMEOUT || io_now_ms() >= deadline)
            return status;
    }
    return s->state == STATE_LOGOUT ? IO_EOF : IO_OK;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

static const struct { const char *name; enum notify_event event; } event_names[] = {
    { "MessageNew", NOTIFY_NEW }, { "MessageExpunge", NOTIFY_EXPUNGE }, { "FlagChange", NOTIFY_FLAGS }, { "MailboxName", NOTIFY_NAME },
    { "SubscriptionChange", NOTIFY_SUBSCRIPTION }, { "MailboxMetadataChange", NOTIFY_METADATA },
    { "ServerMetadataChange", NOTIFY_SERVER_METADATA },
};

/* One event. Unknown ones are passed over, *unknown says so. */
static bool parse_event(struct session *s, struct parse *p, struct notify *n, bool selected, unsigned *events, bool *unknown)
{
    struct str name;
    if (!parse_atom(p, &name))
        return false;
    size_t i = 0;
    while (i < sizeof event_names / sizeof *event_names && !str_ieq(name, str_z(event_names[i].name)))
        i++;
    if (i == sizeof event_names / sizeof *event_names) {
        *unknown = true;
        return true;
    }
    *events |= event_names[i].event;
    if (event_names[i].event == NOTIFY_NEW && p->end - p->at > 1 && p->at[0] == ' ' && p->at[1] == '(') {
        struct fetch_items *const items = fetch_items_new(s);
        const char *from = ++p->at;
        if (!selected || !fetch_parse(s, p, items))
            return false;
        n->items = arena_str(n->arena, (struct str){ from, (size_t)(p->at - from) });
    }
    return true;
}

static bool events_fit(unsigned events, bool selected)
{
    const bool news = (events & NOTIFY_NEW) != 0, expunges = (events & NOTIFY_EXPUNGE) != 0;
    return news == expunges && (news || !(events & NOTIFY_FLAGS)) && (!selected || !(events & ~(unsigned)MESSAGE_EVENTS));
}

static bool parse_group(struct session *s, struct parse *p, struct notify *n, bool *unknown)
{
    struct mailbox_filter filter;
    unsigned events = 0;
    if (n->n == GROUPS || !parse_char(p, '(') || !parse_filter(s, p, &filter) || !parse_sp(p) || filter.kind == FILTER_SUBTREE_ONE)
        return false;
    const bool selected = filter.kind == FILTER_SELECTED || filter.kind == FILTER_DELAYED;
    if (parse_char(p, '(')) {
        do
            if (!parse_event(s, p, n, selected, &events, unknown))
                return false;
        while (parse_sp(p));
        if (!parse_char(p, ')'))
            return false;
    } else if (!parse_word(p, "NONE")) {
        return false;
    }
    if (!parse_char(p, ')') || (!*unknown && !events_fit(events, selected)))
        return false;
    if (selected && n->has_selected)             /* RFC 5465 section 6.1 */
        return false;
    if (selected) {
        n->has_selected = true;
        n->selected = events;
        n->delayed = filter.kind == FILTER_DELAYED;
        return true;
    }
    struct group *g = &n->groups[n->n++];
    *g = (struct group){ .filter = filter, .events = events };
    g->filter.wire = arena_alloc(n->arena, (filter.n + 1) * sizeof *g->filter.wire);
    for (size_t i = 0; i < filter.n; i++)
        g->filter.wire[i] = arena_str(n->arena, filter.wire[i]);
    return true;
}

static bool parse_notify(struct session *s, struct parse *p, struct notify *n, bool *set, bool *status, bool *unknown)
{
    if (!parse_sp(p))
        return false;
    if (parse_word(p, "NONE"))
        return parse_end(p);
    *set = parse_word(p, "SET");
    if (!*set || !parse_sp(p))
        return false;
    *status = parse_word(p, "STATUS");
    if (*status && !parse_sp(p))
        return false;
    do
        if (!parse_group(s, p, n, unknown))
            return false;
    while (parse_sp(p));
    return parse_end(p);
}

static void tell_statuses(struct session *s)
{
    for (size_t i = 0; i < s->notify->told.n; i++) {
        const struct watched *w = &s->notify->told.list[i];
        if (w->there && (w->events & MESSAGE_EVENTS) && !is_selected(s, w->name))
            write_notify_status(s, w, w->events & (NOTIFY_NEW | NOTIFY_EXPUNGE), condstore(s) || (w->events & NOTIFY_FLAGS));
    }
}

enum outcome cmd_notify(struct session *s, struct parse *p)
{
    static const char bad_event[] = "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange "
        "MailboxMetadataChange ServerMetadataChange)";
    struct notify *n = xcalloc(1, sizeof *n), *const before = s->notify;
    struct store_error e = { .code = STORE_OK };
    bool set = false, status = false, unknown = false;
    n->arena = arena_new();
    n->inotify = -1;
    const bool good = parse_notify(s, p, n, &set, &status, &unknown);
    if (!good || unknown) {
        notify_free(n);
        return good ? say(s, OUTCOME_NO, bad_event, "An event of this kind is not told")
                    : bad_arguments(s, "NOTIFY NONE or NOTIFY SET [STATUS] (mailboxes (events)) ...");
    }
    s->notify = n;
    int rc = 0;
    if (n->n > 0 || n->selected != 0) {
        n->inotify = store_watch_all(s->store, -1);
        rc = n->inotify < 0 ? 1 : n->n > 0 ? look(s, &n->told, &e) : 0;
    }
    if (rc != 0) {
        s->notify = before;
        notify_free(n);
        return rc > 0 ? say(s, OUTCOME_NO, "NOTIFICATIONOVERFLOW", "Too much to watch") : store_no(s, &e);
    }
    look_at_metadata(s);
    notify_free(before);
    if (status)
        tell_statuses(s);
    s->implies_noop = set;                   /* RFC 5465 section 3.1 */
    return OUTCOME_OK;
}
