/*
 * The session of a user: start and end, and how strings, flags and sets are read and written.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/octets.h"
#include "base/log.h"
#include "base/record.h"
#include "session/metadata.h"
#include "session/notify.h"
#include "session/results.h"

static volatile sig_atomic_t ended_by_signal;

static void on_signal(int number)
{
    ended_by_signal = number;            /* ends the poll that waits for the client: the session then writes back and ends */
}

static void give_back(void *ctx)
{
    struct session *s = ctx;
    session_tell(s, NULL, 0);
    if (s->mailbox != NULL)
        mailbox_read_end(s->mailbox);
}

void session_tell(struct session *s, const char *command, int64_t now_ms)
{
    const struct slot_counts counts = { s->commands, s->io.octets_in, s->io.octets_out, s->fetched, s->appended };
    if (command != NULL)
        slot_command(s->slot, command, now_ms, &counts);
    else
        slot_tell(s->slot, &counts);
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

/* "tag", or "tag language" (session.h). */
static struct str take_login_tag(struct session *s, struct str text)
{
    const char *space = memchr(text.p, ' ', text.n);
    if (space == NULL)
        return text;
    const size_t n = (size_t)(space - text.p);
    s->language = language_of_tag((struct str){ space + 1, text.n - n - 1 });
    return (struct str){ text.p, n };
}

/* RFC 9585: how far a long command is. */
static void on_progress(void *ctx, uint64_t done, uint64_t goal)
{
    struct session *s = ctx;
    if (s->responding || s->tag.n == 0 || io_now_ms() < s->progress_at)
        return;
    s->progress_at = io_now_ms() + (int64_t)s->config->progress_interval * 1000;
    io_puts(&s->io, "* OK [INPROGRESS (");
    write_string(&s->io, s->tag);
    if (goal > UINT32_MAX) {                     /* its numbers have 32 bits */
        done = done * 1000 / goal;
        goal = 1000;
    }
    io_printf(&s->io, " %llu %llu)] ", (unsigned long long)(done < goal ? done : goal), (unsigned long long)goal);
    write_text(s, "Still at it");
    io_puts(&s->io, "\r\n");
    io_offer(&s->io);
}

/* The line that ends what "login:" began. */
static void log_end(const struct session *s, const char *address, int64_t began)
{
    struct rusage use = { .ru_maxrss = 0 };
    struct record r;
    const char *end = s->end != NULL ? s->end : ended_by_signal != 0 ? "signal" : s->io.failed ? "lost" : "eof";
    (void)getrusage(RUSAGE_SELF, &use);
    const long cpu = (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000 + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000;
    record_begin(&r, LOG_LEVEL_INFO, "logout");
    record_add_name(&r, "user", s->user);
    record_add(&r, "address", "%s", address);
    record_add(&r, "reason", "%s", end);
    record_add(&r, "seconds", "%lld", (long long)(io_now_ms() - began) / 1000);
    record_add(&r, "commands", "%llu", (unsigned long long)s->commands);
    record_add(&r, "in", "%llu", (unsigned long long)s->io.octets_in);
    record_add(&r, "out", "%llu", (unsigned long long)s->io.octets_out);
    record_add(&r, "fetched", "%llu", (unsigned long long)s->fetched);
    record_add(&r, "appended", "%llu", (unsigned long long)s->appended);
    record_add(&r, "cpu-ms", "%ld", cpu);
    record_add(&r, "max-kib", "%ld", use.ru_maxrss);
    record_end(&r);
}

int session_run(const struct session_settings *settings)
{
    const int64_t began = io_now_ms();
    struct session s = { .config = settings->config, .state = STATE_AUTH, .arena = arena_new(), .store = settings->store,
                         .user = settings->user, .unauthenticated = settings->unauthenticated, .slot = settings->slot };
    struct sigaction act = { .sa_handler = on_signal };
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_BLOCK, &blocked, NULL);      /* let in by io.c while it waits */
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
    io_init(&s.io, settings->in, settings->out, settings->pending);
    session_tell(&s, "", began);
    s.io.before_wait = give_back;
    s.io.chore = write_flags_back;
    s.io.ctx = &s;
    s.progress_at = INT64_MAX;
    store_on_progress(s.store, on_progress, &s);
    if (settings->login_tag.n > 0) {
        const struct str tag = take_login_tag(&s, settings->login_tag);
        io_add(&s.io, tag.p, tag.n);
        io_puts(&s.io, " OK [CAPABILITY ");
        write_capabilities(&s.io.output, settings->config, STATE_AUTH, 0);
        io_puts(&s.io, "] ");
        write_text(&s, "Logged in");
        io_puts(&s.io, "\r\n");
    } else {
        session_greeting(&s.io.output, settings->config, true, 0);
    }
    command_loop(&s);
    if (s.mailbox != NULL && (s.config->expunge_on & EXPUNGE_ON_LOGOUT) && !mailbox_readonly(s.mailbox))
        mailbox_expunge(s.mailbox, NULL, 0, NULL, NULL);
    session_unselect(&s, true);
    io_flush(&s.io);
    if (s.unauthenticated != NULL && *s.unauthenticated) {
        io_decompress(&s.io);
        const struct str unread = io_pending(&s.io);
        buf_add(settings->unread, unread.p, unread.n);
        s.end = "unauthenticate";
    }
    session_tell(&s, "", io_now_ms());
    log_end(&s, settings->address, began);
    io_free(&s.io);
    notify_free(s.notify);
    metadata_watch_free(s.metadata_watch);
    buf_free(&s.vanished);
    buf_free(&s.saved);
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
    slot_mailbox(s->slot, "");
    buf_clear(&s->saved);
    s->batches_told.size = 0;
    contexts_end(s);
    if (s->state == STATE_SELECTED)
        s->state = STATE_AUTH;
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
    if (recent && !rev2(s)) {
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

/* Printable ASCII that needs no escapes: what may stand between quotes as it is. */
static bool plain_text(struct str text)
{
    size_t i = 0;
    for (; i + sizeof(vector) <= text.n; i += sizeof(vector)) {
        vector v;
        memcpy(&v, text.p + i, sizeof v);
        const vector64 bad = (vector64)((v - ' ' >= 0x7f - ' ') | (v == '"') | (v == '\\'));
        if (bad[0] | bad[1])
            return false;
    }
    for (; i < text.n; i++)
        if (text.p[i] < ' ' || text.p[i] == 0x7f || text.p[i] == '"' || text.p[i] == '\\' || (unsigned char)text.p[i] >= 0x80)
            return false;
    return true;
}

static void write_escaped(struct io *io, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            buf_addc(&io->output, '\\');
        buf_addc(&io->output, text.p[i]);
    }
}

void write_string(struct io *io, struct str text)
{
    const bool plain = text.n <= QUOTED_MAX && plain_text(text);
    bool quotable = text.n <= QUOTED_MAX;
    for (size_t i = 0; !plain && quotable && i < text.n; i++)
        quotable = (unsigned char)text.p[i] >= ' ' && (unsigned char)text.p[i] < 0x7f;
    if (!quotable) {
        io_printf(io, "{%zu}\r\n", text.n);
        for (size_t i = 0; i < text.n; i++)
            buf_addc(&io->output, text.p[i] != 0 ? text.p[i] : (char)0x80);
        return;
    }
    buf_addc(&io->output, '"');
    if (plain)
        io_add(io, text.p, text.n);
    else
        write_escaped(io, text);
    buf_addc(&io->output, '"');
}

/* A mailbox name as the store has it, which is valid UTF-8. */
void write_utf8(struct io *io, struct str text)
{
    bool high = false;
    for (size_t i = 0; i < text.n; i++)
        high |= (unsigned char)text.p[i] >= 0x80;
    if (!high || text.n > QUOTED_MAX) {
        write_astring(io, text);
        return;
    }
    buf_addc(&io->output, '"');
    write_escaped(io, text);
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
    if (io->utf8) {
        write_utf8(io, str_z(name));
        return;
    }
    utf8_to_utf7(&wire, str_z(name));
    write_astring(io, buf_str(&wire));
    buf_free(&wire);
}

void write_named(struct session *s, struct str wire, const char *name)
{
    if (wire.p != NULL && !s->io.utf8)
        write_astring(&s->io, wire);
    else
        write_mailbox(&s->io, name);
}

/* ---- names and numbers -------------------------------------------------------------------------------------------- */

bool to_store_name(struct session *s, struct str wire, struct mailbox_name *out, bool *directory)
{
    struct buf utf8 = { 0 };
    struct store_error e;
    bool good = false, separator_last;           /* some clients put it after every name that may have children */
    if (s->io.utf8)
        buf_add(&utf8, wire.p, wire.n);
    if (!s->io.utf8 && utf7_to_utf8(&utf8, wire) != 0)
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

bool limit_messages(struct session *s, uint32_t *seqs, size_t *n)
{
    const size_t most = s->config->message_limit;
    if (most == 0 || *n <= most)
        return false;
    memmove(seqs, seqs + *n - most, most * sizeof *seqs);
    *n = most;
    s->limit_uid = mailbox_uid(s->mailbox, seqs[0]);
    for (size_t i = 0; i < most / 2; i++) {
        const uint32_t swap = seqs[i];
        seqs[i] = seqs[most - 1 - i];
        seqs[most - 1 - i] = swap;
    }
    return true;
}

/* "$": what was saved and is there still. */
static bool saved_to_seqs(struct session *s, uint32_t **seqs, size_t *n)
{
    const uint32_t *uids = (const uint32_t *)(const void *)s->saved.data;
    const size_t most = s->saved.len / sizeof *uids;
    *seqs = malloc((most + 1) * sizeof **seqs);
    *n = 0;
    for (size_t i = 0; *seqs != NULL && i < most; i++) {
        const uint32_t seq = mailbox_seq(s->mailbox, uids[i]);
        if (seq != 0)
            (*seqs)[(*n)++] = seq;
    }
    return *seqs != NULL;
}

bool set_to_seqs(struct session *s, const struct set *set, bool uid, uint32_t **seqs, size_t *n)
{
    struct mailbox *m = s->mailbox;
    const uint32_t exists = mailbox_exists(m);
    if (set->saved)
        return saved_to_seqs(s, seqs, n);
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
