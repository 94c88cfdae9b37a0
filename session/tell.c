/*
 * What a client is told of the selected mailbox without asking: EXISTS, EXPUNGE or VANISHED, FETCH with flags; and of what
 * went while it was away (RFC 7162).
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "session/notify.h"
#include "session/results.h"

/* The result that was saved forgets what is gone (RFC 5182 section 2.1); all at once, for there may be many. */
static void forget_saved(struct session *s)
{
    const size_t n = s->saved.len / sizeof(uint32_t);
    uint32_t *const uids = (uint32_t *)(void *)s->saved.data;
    size_t to = 0;
    for (size_t i = 0; i < n; i++)
        if (mailbox_seq(s->mailbox, uids[i]) != 0)
            uids[to++] = uids[i];
    s->saved.len = to * sizeof *uids;
}

/* What was found gone so far; before anything else is told. */
static void tell_vanished(struct session *s)
{
    struct buf set = { 0 };
    if (s->vanished.len == 0)
        return;
    write_uid_set(&set, (const uint32_t *)(const void *)s->vanished.data, s->vanished.len / sizeof(uint32_t));
    io_puts(&s->io, "* VANISHED ");
    io_add(&s->io, set.data, set.len);
    io_puts(&s->io, "\r\n");
    buf_free(&set);
    buf_clear(&s->vanished);
}

static void on_expunged(void *ctx, uint32_t seq, uint32_t uid)
{
    struct session *s = ctx;
    if (contexts_numbered(s))
        tell_vanished(s);                /* REMOVEFROM counts without those that went before */
    contexts_expunged(s, seq, uid);
    if (qresync(s) || uidonly(s)) {
        buf_add(&s->vanished, &uid, sizeof uid);
        return;
    }
    io_puts(&s->io, "* ");
    io_number(&s->io, seq);
    io_puts(&s->io, " EXPUNGE\r\n");
}

static void on_exists(void *ctx, uint32_t exists, uint32_t recent)
{
    struct session *s = ctx;
    tell_vanished(s);
    io_printf(&s->io, "* %u EXISTS\r\n", exists);
    if (!rev2(s))
        io_printf(&s->io, "* %u RECENT\r\n", recent);
}

static void on_flags(void *ctx, uint32_t seq)
{
    struct session *s = ctx;
    if (!notify_selected(s, NOTIFY_FLAGS) && !s->implies_noop)
        return;
    tell_vanished(s);
    write_flags_response(s, seq, s->by_uid || s->notify != NULL || rev2(s), true);      /* RFC 9051 section 7.5.2 */
}

static void write_flag_names(struct session *s, bool permanent)
{
    struct io *io = &s->io;
    io_puts(io, "(\\Answered \\Flagged \\Deleted \\Seen \\Draft");
    const char *name;
    for (unsigned bit = 0; (name = mailbox_keyword(s->mailbox, bit)) != NULL; bit++) {
        io_puts(io, " ");
        io_puts(io, name);
    }
    if (permanent && !mailbox_keywords_full(s->mailbox))
        io_puts(io, " \\*");
    io_puts(io, ")");
}

void write_mailbox_flags(struct session *s)
{
    io_puts(&s->io, "* FLAGS ");
    write_flag_names(s, false);
    io_puts(&s->io, "\r\n* OK [PERMANENTFLAGS ");
    if (mailbox_readonly(s->mailbox))
        io_puts(&s->io, "()");
    else
        write_flag_names(s, true);
    io_puts(&s->io, "] ");
    write_text(s, "Flags that are kept");
    io_puts(&s->io, "\r\n");
}

static void on_keywords(void *ctx)
{
    write_mailbox_flags(ctx);
}

bool session_sync(struct session *s, bool expunges)
{
    const struct mailbox_listener l = { on_expunged, on_exists, on_flags, on_keywords, s };
    struct store_error e;
    /* a client that does not want to know of new and removed messages keeps the view that it has */
    if (s->mailbox == NULL || (!notify_selected(s, NOTIFY_NEW) && !s->must_tell && !s->implies_noop))
        return true;
    const uint32_t had = mailbox_exists(s->mailbox), last = had > 0 ? mailbox_uid(s->mailbox, had) : 0;
    const int rc = mailbox_sync(s->mailbox, expunges, &l, &e);
    tell_vanished(s);
    if (s->saved.len > 0 && mailbox_seq_from(s->mailbox, last + 1) <= had)    /* some of those that were there are gone */
        forget_saved(s);
    if (rc == 0) {
        contexts_changed(s);
        if (s->notify != NULL)
            notify_new_messages(s, mailbox_seq_from(s->mailbox, last + 1));
        return true;
    }
    if (e.code == STORE_INUSE)
        return false;                    /* a delivery is under way: told with the next command */
    if (e.code == STORE_NONEXISTENT) {
        log_warning("%s: %s", s->user, e.text);
        untagged(s, "BYE [UNAVAILABLE] The selected mailbox has vanished");
        session_unselect(s, false);
        s->state = STATE_LOGOUT;
        return true;
    }
    log_error("%s: %s", s->user, e.text);
    return true;
}

void write_fetch_head(struct session *s, uint32_t seq, uint32_t uid)
{
    io_puts(&s->io, "* ");
    io_number(&s->io, uidonly(s) ? uid : seq);
    io_puts(&s->io, uidonly(s) ? " UIDFETCH (" : " FETCH (");
}

void write_flags_response(struct session *s, uint32_t seq, bool uid, bool flags)
{
    struct message msg;
    const char *between = "";
    if (mailbox_message(s->mailbox, seq, &msg, NULL) != 0)
        return;
    write_fetch_head(s, seq, msg.uid);
    if ((uid || condstore(s)) && !uidonly(s)) {
        io_puts(&s->io, "UID ");
        io_number(&s->io, msg.uid);
        between = " ";
    }
    if (condstore(s)) {
        io_puts(&s->io, between);
        io_puts(&s->io, "MODSEQ (");
        io_number(&s->io, msg.modseq);
        io_puts(&s->io, ")");
        between = " ";
    }
    if (flags) {
        io_puts(&s->io, between);                /* by itself: a format costs more than all the rest of the line */
        io_puts(&s->io, "FLAGS ");
        write_flags(s, msg.flags, msg.keywords, msg.recent);
    }
    io_puts(&s->io, ")\r\n");
}

void session_use_condstore(struct session *s)
{
    if (condstore(s))
        return;
    s->enabled |= ENABLED_CONDSTORE;
    if (s->mailbox != NULL)
        untagged(s, "OK [HIGHESTMODSEQ %llu] CONDSTORE is in use now", (unsigned long long)mailbox_modseq(s->mailbox));
}

bool numbers_allowed(struct session *s, bool uid)
{
    if (uid || !uidonly(s))
        return true;
    say(s, OUTCOME_BAD, "UIDREQUIRED", "Message numbers are not used once UIDONLY is enabled");
    return false;
}

/* ---- what went while the client was away ------------------------------------------------------------------------- */

struct earlier {
    const struct range *ranges;          /* ascending, not overlapping; NULL: everything */
    size_t n, at;
    struct buf set;
};

static void add_range(struct earlier *x, uint32_t first, uint32_t last)
{
    buf_printf(&x->set, first == last ? "%s%u" : "%s%u:%u", x->set.len > 0 ? "," : "", first, last);
}

static void on_vanished(void *ctx, uint32_t first, uint32_t last)
{
    struct earlier *x = ctx;
    if (x->ranges == NULL) {
        add_range(x, first, last);
        return;
    }
    while (x->at < x->n && x->ranges[x->at].last < first)
        x->at++;
    for (size_t i = x->at; i < x->n && x->ranges[i].first <= last; i++)
        add_range(x, x->ranges[i].first > first ? x->ranges[i].first : first, x->ranges[i].last < last ? x->ranges[i].last : last);
}

static int by_first(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* Ascending and joined; '*' is the last UID there is, or was. */
static size_t normal_set(struct session *s, const struct set *set, struct range *out)
{
    const uint32_t exists = mailbox_exists(s->mailbox), last = exists > 0 ? mailbox_uid(s->mailbox, exists) : 0;
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        struct range r = set->list[i];
        if (r.first == UINT32_MAX)               /* "*" alone, or "*:*" */
            r.first = last;
        out[i] = r;                              /* "n:*" goes up to what was there beyond the last */
    }
    qsort(out, set->n, sizeof *out, by_first);
    for (size_t i = 0; i < set->n; i++) {
        if (n > 0 && out[i].first <= (uint64_t)out[n - 1].last + 1)
            out[n - 1].last = out[i].last > out[n - 1].last ? out[i].last : out[n - 1].last;
        else
            out[n++] = out[i];
    }
    return n;
}

int write_vanished_earlier(struct session *s, const struct set *within, uint64_t above, struct store_error *e)
{
    struct earlier x = { .ranges = NULL };
    if (within != NULL && within->saved)         /* "$" names what is there */
        return 0;
    if (within != NULL) {
        struct range *ranges = arena_alloc(s->arena, (within->n + 1) * sizeof *ranges);
        x.n = normal_set(s, within, ranges);
        x.ranges = ranges;
    }
    const int rc = mailbox_vanished(s->mailbox, above, on_vanished, &x, e);
    if (rc == 0 && x.set.len > 0) {
        io_puts(&s->io, "* VANISHED (EARLIER) ");
        io_add(&s->io, x.set.data, x.set.len);
        io_puts(&s->io, "\r\n");
    }
    buf_free(&x.set);
    return rc;
}
