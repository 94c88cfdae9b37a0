/*
 * The session of a user: start, end, what is told of the selected mailbox, and how strings and flags are written.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "session/command.h"

static void on_signal(int number)
{
    (void)number;                        /* ends the poll that waits for the client: the session then writes back and ends */
}

static void give_back(void *ctx)
{
    struct session *s = ctx;
    if (s->mailbox != NULL)
        mailbox_read_end(s->mailbox);
}

static void write_flags_back(void *ctx)
{
    struct session *s = ctx;
    struct store_error e;
    s->io.chore_at = 0;
    if (s->mailbox == NULL || mailbox_readonly(s->mailbox) || mailbox_checkpoint(s->mailbox, false, &e) == 0)
        return;
    log_error("%s: %s: flags could not be written back yet: %s", s->user, mailbox_name_of(s->mailbox), e.text);
    session_flags_changed(s);
}

int session_run(const struct session_settings *settings)
{
    struct session s = { .config = settings->config, .state = STATE_AUTH, .arena = arena_new(), .store = settings->store,
                         .user = settings->user };
    struct sigaction act = { .sa_handler = on_signal };
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_BLOCK, &blocked, NULL);      /* let in by io.c while it waits */
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
    io_init(&s.io, settings->in, settings->out, settings->pending);
    s.io.before_wait = give_back;
    s.io.chore = write_flags_back;
    s.io.ctx = &s;
    if (settings->login_tag.n > 0) {
        io_add(&s.io, settings->login_tag.p, settings->login_tag.n);
        io_puts(&s.io, " OK [CAPABILITY ");
        write_capabilities(&s.io.output, settings->config, STATE_AUTH, false);
        io_puts(&s.io, "] Logged in\r\n");
    } else {
        session_greeting(&s.io.output, settings->config, true, false);
    }
    command_loop(&s);
    if (s.mailbox != NULL && (s.config->expunge_on & EXPUNGE_ON_LOGOUT) && !mailbox_readonly(s.mailbox))
        mailbox_expunge(s.mailbox, NULL, 0, NULL, NULL);
    session_unselect(&s, true);
    io_flush(&s.io);
    io_free(&s.io);
    arena_free(s.arena);
    return 0;
}

void session_flags_changed(struct session *s)
{
    if (s->io.chore_at == 0)
        s->io.chore_at = io_now_ms() + FLAGS_WITHIN;
}

void session_unselect(struct session *s, bool checkpoint)
{
    struct store_error e;
    if (s->mailbox == NULL)
        return;
    if (checkpoint && mailbox_checkpoint(s->mailbox, false, &e) != 0)
        log_error("%s: %s: flags could not be written back: %s", s->user, mailbox_name_of(s->mailbox), e.text);
    mailbox_close(s->mailbox);
    s->mailbox = NULL;
    if (s->state == STATE_SELECTED)
        s->state = STATE_AUTH;
}

/* ---- what changed ------------------------------------------------------------------------------------------------- */

static void on_expunged(void *ctx, uint32_t seq, uint32_t uid)
{
    struct session *s = ctx;
    (void)uid;
    io_puts(&s->io, "* ");
    io_number(&s->io, seq);
    io_puts(&s->io, " EXPUNGE\r\n");
}

static void on_exists(void *ctx, uint32_t exists, uint32_t recent)
{
    struct session *s = ctx;
    io_printf(&s->io, "* %u EXISTS\r\n* %u RECENT\r\n", exists, recent);
}

static void on_flags(void *ctx, uint32_t seq)
{
    write_flags_response(ctx, seq, false);
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
    io_puts(&s->io, "] Flags that are kept\r\n");
}

static void on_keywords(void *ctx)
{
    write_mailbox_flags(ctx);
}

bool session_sync(struct session *s, bool expunges)
{
    const struct mailbox_listener l = { on_expunged, on_exists, on_flags, on_keywords, s };
    struct store_error e;
    if (s->mailbox == NULL || mailbox_sync(s->mailbox, expunges, &l, &e) == 0)
        return true;
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

void write_flags_response(struct session *s, uint32_t seq, bool uid)
{
    struct message msg;
    if (mailbox_message(s->mailbox, seq, &msg, NULL) != 0)
        return;
    io_puts(&s->io, "* ");
    io_number(&s->io, seq);
    io_puts(&s->io, " FETCH (");
    if (uid) {
        io_puts(&s->io, "UID ");
        io_number(&s->io, msg.uid);
        io_puts(&s->io, " ");
    }
    io_puts(&s->io, "FLAGS ");
    write_flags(s, msg.flags, msg.keywords, msg.recent);
    io_puts(&s->io, ")\r\n");
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

void write_flags(struct session *s, unsigned flags, uint64_t keywords, bool recent)
{
    static const struct { unsigned bit; const char *name; } names[] = {
        { FLAG_ANSWERED, "\\Answered" }, { FLAG_FLAGGED, "\\Flagged" }, { FLAG_DELETED, "\\Deleted" }, { FLAG_SEEN, "\\Seen" },
        { FLAG_DRAFT, "\\Draft" } };
    const char *between = "(";
    for (size_t i = 0; i < 5; i++) {
        if (flags & names[i].bit) {
            io_puts(&s->io, between);
            io_puts(&s->io, names[i].name);
            between = " ";
        }
    }
    if (recent) {
        io_puts(&s->io, between);
        io_puts(&s->io, "\\Recent");
        between = " ";
    }
    for (unsigned bit = 0; bit < STORE_KEYWORDS && keywords >> bit != 0; bit++) {
        const char *name = keywords >> bit & 1 ? mailbox_keyword(s->mailbox, bit) : NULL;
        if (name != NULL) {
            io_puts(&s->io, between);
            io_puts(&s->io, name);
            between = " ";
        }
    }
    io_puts(&s->io, *between == '(' ? "()" : ")");
}

enum { QUOTED_MAX = 1000 };

void write_string(struct io *io, struct str text)
{
    bool plain = text.n <= QUOTED_MAX;
    size_t escapes = 0;
    for (size_t i = 0; plain && i < text.n; i++) {
        const unsigned char c = (unsigned char)text.p[i];
        plain = c >= ' ' && c < 0x7f;
        escapes += c == '"' || c == '\\';
    }
    if (!plain) {
        io_printf(io, "{%zu}\r\n", text.n);
        for (size_t i = 0; i < text.n; i++)
            buf_addc(&io->output, text.p[i] != 0 ? text.p[i] : (char)0x80);
        return;
    }
    buf_addc(&io->output, '"');
    if (escapes == 0) {
        io_add(io, text.p, text.n);
    } else {
        for (size_t i = 0; i < text.n; i++) {
            if (text.p[i] == '"' || text.p[i] == '\\')
                buf_addc(&io->output, '\\');
            buf_addc(&io->output, text.p[i]);
        }
    }
    buf_addc(&io->output, '"');
}

void write_nstring(struct io *io, struct str text)
{
    if (text.p == NULL)
        io_puts(io, "NIL");
    else
        write_string(io, text);
}

void write_astring(struct io *io, struct str text)
{
    bool atom = text.n > 0 && !str_ieq(text, STR("NIL"));
    for (size_t i = 0; atom && i < text.n; i++) {
        const unsigned char c = (unsigned char)text.p[i];
        atom = c > ' ' && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
    }
    if (atom)
        io_add(io, text.p, text.n);
    else
        write_string(io, text);
}

void write_mailbox(struct io *io, const char *name)
{
    struct buf wire = { 0 };
    utf8_to_utf7(&wire, str_z(name));
    write_astring(io, buf_str(&wire));
    buf_free(&wire);
}

/* ---- names and numbers -------------------------------------------------------------------------------------------- */

bool to_store_name(struct session *s, struct str wire, struct mailbox_name *out, bool *directory)
{
    struct buf utf8 = { 0 };
    struct store_error e;
    bool good = false, separator_last;           /* some clients put it after every name that may have children */
    if (utf7_to_utf8(&utf8, wire) != 0)
        say(s, OUTCOME_NO, "CANNOT", "The mailbox name is not valid modified UTF-7");
    else if (names_parse(store_names(s->store), buf_str(&utf8), out, directory != NULL ? directory : &separator_last, &e) != 0)
        store_no(s, &e);
    else
        good = true;
    buf_free(&utf8);
    return good;
}

bool take_mailbox(struct session *s, struct parse *p, struct mailbox_name *out, bool *directory)
{
    struct str wire;
    if (!parse_astring(p, &wire)) {
        say(s, OUTCOME_BAD, NULL, "Expected a mailbox name");
        return false;
    }
    return to_store_name(s, wire, out, directory);
}

static int by_first(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

bool set_to_seqs(struct session *s, const struct set *set, bool uid, uint32_t **seqs, size_t *n)
{
    struct mailbox *m = s->mailbox;
    const uint32_t exists = mailbox_exists(m);
    const uint32_t last = uid ? exists > 0 ? mailbox_uid(m, exists) : 0 : exists;
    uint32_t next = 1;
    struct range *list = arena_alloc(s->arena, (set->n + 1) * sizeof *list);
    const bool of_none = exists == 0 && set->n == 1 && set->list[0].last == UINT32_MAX;    /* 1:* of an empty mailbox */
    for (size_t i = 0; i < set->n; i++) {
        struct range r = set->list[i];
        if (r.first == UINT32_MAX)
            r.first = last;
        if (r.last == UINT32_MAX)
            r.last = last;
        if (r.first > r.last)
            r = (struct range){ r.last, r.first };
        if (!uid && !of_none && (r.first == 0 || r.last > exists))
            return false;
        if (uid) {
            const uint32_t from = mailbox_seq_from(m, r.first);
            r.last = r.last == UINT32_MAX ? exists : mailbox_seq_from(m, r.last + 1) - 1;
            r.first = from;
        }
        list[i] = r;
    }
    qsort(list, set->n, sizeof *list, by_first);
    *seqs = malloc(((size_t)exists + 1) * sizeof **seqs);
    *n = 0;
    for (size_t i = 0; *seqs != NULL && i < set->n; i++)
        for (uint32_t seq = list[i].first > next ? list[i].first : next; seq <= list[i].last && seq <= exists; seq++, next = seq)
            (*seqs)[(*n)++] = seq;
    return *seqs != NULL;
}
