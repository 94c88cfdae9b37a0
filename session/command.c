/*
 * The command table and the loop: read a command whole (its literals too, unless it streams them), find its row, check the
 * state, run it, tell what changed in the mailbox, write the one tagged line.
 */
#include "session/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "session/metadata.h"
#include "session/notify.h"

enum {
    ANY = STATE_GREET | STATE_AUTH | STATE_SELECTED, IN = STATE_AUTH | STATE_SELECTED,
    GREET_LINE = 24576, GREET_LITERAL = 4096, LITERALS = 64, SWALLOW = 1 << 26, BAD_MOST = 50
};

const struct command commands[] = {
    { "CAPABILITY", ANY, 0, cmd_capability, NULL },
    { "NOOP", ANY, 0, cmd_noop, NULL },
    { "LOGOUT", ANY, 0, cmd_logout, NULL },
    { "ID", ANY, 0, cmd_id, "ID" },
    { "LANGUAGE", ANY, 0, cmd_language, "LANGUAGE" },
    { "LOGIN", STATE_GREET, 0, cmd_login, NULL },
    { "AUTHENTICATE", STATE_GREET, 0, cmd_authenticate, NULL },
    { "STARTTLS", STATE_GREET, 0, cmd_starttls, NULL },
    { "ENABLE", STATE_AUTH, 0, cmd_enable, "ENABLE" },
    { "COMPRESS", IN, 0, cmd_compress, "COMPRESS=DEFLATE" },
    { "COMPARATOR", IN, 0, cmd_comparator, "I18NLEVEL=2" },
    { "UNAUTHENTICATE", IN, 0, cmd_unauthenticate, "UNAUTHENTICATE" },
    { "SELECT", IN, 0, cmd_select, NULL },
    { "EXAMINE", IN, 0, cmd_examine, NULL },
    { "CREATE", IN, 0, cmd_create, NULL },
    { "DELETE", IN, 0, cmd_delete, NULL },
    { "RENAME", IN, 0, cmd_rename, NULL },
    { "SUBSCRIBE", IN, 0, cmd_subscribe, NULL },
    { "UNSUBSCRIBE", IN, 0, cmd_unsubscribe, NULL },
    { "LIST", IN, 0, cmd_list, "CHILDREN LIST-EXTENDED LIST-STATUS SPECIAL-USE LIST-METADATA LIST-MYRIGHTS" },
    { "LSUB", IN, 0, cmd_lsub, NULL },
    { "NAMESPACE", IN, 0, cmd_namespace, "NAMESPACE" },
    { "STATUS", IN, 0, cmd_status, NULL },
    { "GETMETADATA", IN, 0, cmd_getmetadata, "METADATA" },
    { "SETMETADATA", IN, 0, cmd_setmetadata, NULL },
    { "APPEND", IN, COMMAND_STREAMS, cmd_append, "UIDPLUS" },
    { "IDLE", IN, 0, cmd_idle, "IDLE" },
    { "NOTIFY", IN, 0, cmd_notify, "NOTIFY" },
    { "GETACL", IN, 0, cmd_getacl, "ACL" },
    { "SETACL", IN, 0, cmd_setacl, NULL },
    { "DELETEACL", IN, 0, cmd_deleteacl, NULL },
    { "LISTRIGHTS", IN, 0, cmd_listrights, "RIGHTS=kxte" },
    { "MYRIGHTS", IN, 0, cmd_myrights, NULL },
    { "GETQUOTA", IN, 0, cmd_getquota, "QUOTA" },
    { "GETQUOTAROOT", IN, 0, cmd_getquotaroot, "QUOTA=RES-STORAGE" },
    { "SETQUOTA", IN, 0, cmd_setquota, NULL },
    { "CHECK", STATE_SELECTED, 0, cmd_check, NULL },
    { "CLOSE", STATE_SELECTED, 0, cmd_close, NULL },
    { "UNSELECT", STATE_SELECTED, 0, cmd_unselect, "UNSELECT" },
    { "EXPUNGE", STATE_SELECTED, 0, cmd_expunge, NULL },
    { "SEARCH", STATE_SELECTED, COMMAND_KEEPS_NUMBERS, cmd_search, "ESEARCH SEARCHRES WITHIN PARTIAL SEARCH=FUZZY" },
    { "ESEARCH", IN, COMMAND_KEEPS_NUMBERS, cmd_esearch, "MULTISEARCH" },
    { "CANCELUPDATE", STATE_SELECTED, 0, cmd_cancelupdate, "CONTEXT=SEARCH" },
    { "SORT", STATE_SELECTED, COMMAND_KEEPS_NUMBERS, cmd_sort, "SORT ESORT CONTEXT=SORT" },
    { "THREAD", STATE_SELECTED, COMMAND_KEEPS_NUMBERS, cmd_thread, NULL },
    { "FETCH", STATE_SELECTED, COMMAND_KEEPS_NUMBERS, cmd_fetch, NULL },
    { "STORE", STATE_SELECTED, COMMAND_KEEPS_NUMBERS, cmd_store, NULL },
    { "COPY", STATE_SELECTED, 0, cmd_copy, NULL },
    { "MOVE", STATE_SELECTED, 0, cmd_move, "MOVE" },
    { "REPLACE", STATE_SELECTED, COMMAND_STREAMS, cmd_replace, "REPLACE" },
    { "UID", STATE_SELECTED, 0, cmd_uid, NULL },
    { "UIDBATCHES", STATE_SELECTED, 0, cmd_uidbatches, "UIDBATCHES" },
    { NULL, 0, 0, NULL, NULL }
};

/* ---- answers ------------------------------------------------------------------------------------------------------ */

enum outcome say(struct session *s, enum outcome outcome, const char *code, const char *fmt, ...)
{
    va_list args;
    snprintf(s->code, sizeof s->code, "%s", code != NULL ? code : "");
    va_start(args, fmt);
    vsnprintf(s->text, sizeof s->text, fmt, args);
    va_end(args);
    return outcome;
}

enum outcome bad_arguments(struct session *s, const char *usage)
{
    return say(s, OUTCOME_BAD, NULL, "Expected: %s", usage);
}

enum outcome store_no(struct session *s, const struct store_error *e)
{
    static const char *const codes[] = {
        [STORE_OK] = "", [STORE_NONEXISTENT] = "NONEXISTENT", [STORE_ALREADYEXISTS] = "ALREADYEXISTS", [STORE_INUSE] = "INUSE",
        [STORE_NOPERM] = "NOPERM", [STORE_OVERQUOTA] = "OVERQUOTA", [STORE_LIMIT] = "LIMIT", [STORE_CANNOT] = "CANNOT",
        [STORE_EXPUNGED] = "EXPUNGEISSUED", [STORE_CORRUPTION] = "CORRUPTION", [STORE_IO] = "UNAVAILABLE" };
    if (e->code >= STORE_OVERQUOTA && e->code != STORE_CANNOT && e->code != STORE_EXPUNGED && e->code != STORE_LIMIT)
        log_error("%s: %s: %s", s->user != NULL ? s->user : "", e->text, e->err != 0 ? strerror(e->err) : codes[e->code]);
    return say(s, OUTCOME_NO, codes[e->code], "%s%s%s", e->text, e->err != 0 ? ": " : "", e->err != 0 ? strerror(e->err) : "");
}

/* Where the text for people begins in an untagged response: behind "OK [code] "; the end, if there is none. */
static const char *before_text(const char *response)
{
    const size_t word = strcspn(response, " ");
    const bool status = (word == 2 && (strncmp(response, "OK", 2) == 0 || strncmp(response, "NO", 2) == 0))
        || (word == 3 && (strncmp(response, "BAD", 3) == 0 || strncmp(response, "BYE", 3) == 0));
    if (!status || response[word] == 0)
        return response + strlen(response);
    const char *at = response + word + 1, *end = *at == '[' ? strstr(at, "] ") : NULL;
    return end != NULL ? end + 2 : at;
}

void untagged(struct session *s, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    io_puts(&s->io, "* ");
    const char *words = before_text(text);
    io_add(&s->io, text, (size_t)(words - text));
    if (*words != 0)
        write_text(s, words);
    io_puts(&s->io, "\r\n");
}

void write_tagged(struct session *s, enum outcome outcome, const char *name)
{
    static const char *const words[] = { "OK", "NO", "BAD" };
    struct io *io = &s->io;
    if (outcome == OUTCOME_SILENT)
        return;
    if (s->tag.n == 0)
        io_puts(io, "*");
    io_add(io, s->tag.p, s->tag.n);
    io_printf(io, " %s ", words[outcome]);
    if (s->long_code != NULL) {
        io_puts(io, "[");
        io_puts(io, s->long_code);
        io_puts(io, "] ");
    } else if (s->code[0] != 0) {
        io_printf(io, "[%s] ", s->code);
    }
    if (s->text[0] != 0)
        write_text(s, s->text);
    else {
        snprintf(s->text, sizeof s->text, "%s %s", name, outcome == OUTCOME_OK ? "completed" : "failed");
        write_text(s, s->text);
    }
    io_puts(io, "\r\n");
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

bool ends_with_literal(struct str line, uint64_t *n, bool *synchronising)
{
    const char *end = line.p + line.n, *p;
    if (line.n < 3 || end[-1] != '}')
        return false;
    p = end - 2;
    *synchronising = *p != '+';
    if (!*synchronising)
        p--;
    const char *last = p;
    while (p > line.p && *p >= '0' && *p <= '9')
        p--;
    if (*p != '{' || p == last)
        return false;
    *n = strtoull(p + 1, NULL, 10);              /* beyond its range: the greatest, which is refused */
    return true;
}

static const struct command *find_command(struct str name)
{
    for (const struct command *c = commands; c->name != NULL; c++)
        if (str_ieq(name, str_z(c->name)))
            return c;
    return NULL;
}

/* Tag and command of the line so far. */
static const struct command *look(struct session *s, const struct buf *line, struct str *tag, struct parse *rest)
{
    struct str name;
    *rest = (struct parse){ .at = line->data, .end = line->data + line->len, .arena = s->arena, .utf8 = s->io.utf8 };
    *tag = (struct str){ NULL, 0 };
    if (!parse_tag(rest, tag) || !parse_sp(rest)) {
        *tag = (struct str){ NULL, 0 };
        return NULL;
    }
    if (!parse_atom(rest, &name))
        return NULL;
    return find_command(name);
}

static int timeout_of(const struct session *s)
{
    if (s->state != STATE_GREET)
        return (int)s->config->idle_timeout * 1000;
    const int64_t left = s->login_deadline - io_now_ms();
    return left > 0 ? (int)left : 0;
}

static void good_bye(struct session *s, const char *why)
{
    untagged(s, "BYE %s", why);
    s->state = STATE_LOGOUT;
}

static enum io_status swallow(struct session *s, uint64_t n)
{
    char part[8192];
    size_t got;
    while (n > 0) {
        const enum io_status status = io_some(&s->io, part, n < sizeof part ? (size_t)n : sizeof part, &got, timeout_of(s));
        if (status != IO_OK)
            return status;
        n -= got;
    }
    return IO_OK;
}

enum io_status literal_begin(struct session *s, bool synchronising)
{
    if (synchronising && !s->io.eof) {
        io_puts(&s->io, "+ ");
        write_text(s, "Ready for literal");
        io_puts(&s->io, "\r\n");
        io_flush(&s->io);
    }
    return IO_OK;
}

enum read_result { READ_COMMAND, READ_REFUSED, READ_OVER };

/* A literal of the client's making that is not taken. What was sent without asking is passed over, within a bound. */
static enum read_result refuse_literal(struct session *s, uint64_t n, bool synchronising)
{
    struct buf rest = { 0 };
    say(s, OUTCOME_BAD, "TOOBIG", "Literal too large");
    s->tag = arena_str(s->arena, s->tag);
    for (uint64_t total = 0; !synchronising;) {
        if (n > SWALLOW - total || s->state == STATE_GREET) {
            good_bye(s, "[TOOBIG] Literal too large");
            break;
        }
        total += n + 1;
        buf_clear(&rest);
        enum io_status status = swallow(s, n);
        if (status == IO_OK)
            status = io_line(&s->io, &rest, s->config->line_limit, timeout_of(s));
        if (status == IO_TOO_LONG) {
            buf_clear(&rest);
            buf_add(&rest, s->io.tail, s->io.tail_n);
        } else if (status != IO_OK) {
            s->state = STATE_LOGOUT;
            break;
        }
        if (!ends_with_literal(buf_str(&rest), &n, &synchronising))
            break;
    }
    buf_free(&rest);
    return s->state == STATE_LOGOUT ? READ_OVER : READ_REFUSED;
}

static enum read_result over(struct session *s, enum io_status status)
{
    if (s->end == NULL)
        s->end = status == IO_TIMEOUT ? "idle" : NULL;
    if (status == IO_TIMEOUT)
        good_bye(s, s->state == STATE_GREET ? "Too slow to log in" : "Idle for too long");
    else if (io_too_much(&s->io))
        good_bye(s, "Too much before login");
    else
        s->state = STATE_LOGOUT;
    return READ_OVER;
}

/* The command's name; of UID, which of the commands that go by UID it is. */
static struct str name_of(const struct command *c, const struct parse *rest)
{
    struct parse p = *rest;
    struct str name;
    return c->run == cmd_uid && parse_sp(&p) && parse_atom(&p, &name) ? name : str_z(c->name);
}

/* UID REPLACE streams as REPLACE does. */
static bool streams(const struct command *c, const struct parse *rest)
{
    return c->flags & COMMAND_STREAMS || str_ieq(name_of(c, rest), STR("REPLACE"));
}

/* Is the literal that ends the line the first argument? APPEND's is its mailbox, which is read as any other. */
static bool is_first_argument(const struct parse *rest)
{
    const size_t n = (size_t)(rest->end - rest->at);
    return n > 2 && rest->at[0] == ' ' && rest->at[1] == '{' && memchr(rest->at, '\n', n) == NULL;
}

/* The whole command into line; for one that streams, up to its first literal. */
static enum read_result read_command(struct session *s, struct buf *line)
{
    const size_t line_max = s->state == STATE_GREET ? GREET_LINE : s->config->line_limit;
    const uint64_t literal_max = s->state == STATE_GREET ? GREET_LITERAL : s->config->literal_limit;
    size_t literals = 0, budget = line_max;
    for (int parts = 0;; parts++) {
        struct parse rest;
        uint64_t n;
        bool synchronising;
        const size_t before = line->len;
        const enum io_status status = io_line(&s->io, line, before + budget, timeout_of(s));
        if (status == IO_TOO_LONG) {
            look(s, line, &s->tag, &rest);
            const bool more = ends_with_literal((struct str){ s->io.tail, s->io.tail_n }, &n, &synchronising) && !synchronising;
            const enum read_result result = more ? refuse_literal(s, n, false) : READ_REFUSED;
            say(s, OUTCOME_BAD, "TOOBIG", "Command line too long");
            return result;
        }
        if (status != IO_OK)
            return over(s, status);
        budget -= line->len - before;
        /* behind the last literal: what that one ends with announces nothing */
        if (!ends_with_literal((struct str){ line->data + before, line->len - before }, &n, &synchronising))
            return READ_COMMAND;
        const struct command *c = look(s, line, &s->tag, &rest);
        if (c != NULL && streams(c, &rest) && (c->states & s->state) && !is_first_argument(&rest))
            return READ_COMMAND;
        literals += (size_t)(n < literal_max ? n : literal_max);
        if (n > literal_max || literals > literal_max || parts >= LITERALS)
            return refuse_literal(s, n, synchronising);
        literal_begin(s, synchronising);
        buf_add(line, "\r\n", 2);
        for (size_t got; n > 0; n -= got) {
            const enum io_status part = io_some(&s->io, buf_room(line, (size_t)n), (size_t)n, &got, timeout_of(s));
            if (part != IO_OK)
                return over(s, part);
            line->len += got;
        }
    }
}

/* ---- the loop ----------------------------------------------------------------------------------------------------- */

/* Does it only read? Then it may be run again if it failed since the index was damaged. Not where "$" is something: a search that fails
 * empties it, and the next would find nothing in it. */
static bool repeatable(const struct session *s, const struct command *c, const struct parse *args)
{
    static const char *const names[] = { "FETCH", "SEARCH", "SORT", "THREAD" };
    if (s->store == NULL || s->saved.len > 0)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_ieq(name_of(c, args), str_z(names[i])))
            return true;
    return false;
}

static enum outcome run_command(struct session *s, const struct buf *line, const struct command **found)
{
    struct parse args, again;
    struct str name;
    const struct command *c = look(s, line, &s->tag, &args);
    *found = c;
    if (s->tag.n == 0)
        return say(s, OUTCOME_BAD, NULL, "Expected a tag and a command");
    s->tag = arena_str(s->arena, s->tag);
    if (c == NULL) {
        args = (struct parse){ .at = line->data + s->tag.n, .end = line->data + line->len };
        return say(s, OUTCOME_BAD, NULL, parse_sp(&args) && parse_atom(&args, &name) ? "Unknown command" : "Expected a command");
    }
    if (!(c->states & s->state))
        return say(s, OUTCOME_BAD, NULL, s->state == STATE_GREET ? "Log in first" : c->states == STATE_GREET ? "Already logged in"
                   : c->states & STATE_SELECTED && s->state == STATE_AUTH ? "Select a mailbox first" : "Not in this state");
    s->expunge_allowed = !(c->flags & COMMAND_KEEPS_NUMBERS);
    session_tell(s, c->name, s->began);
    again = args;
    const bool may_repeat = repeatable(s, c, &args);
    const unsigned index = may_repeat ? store_index_state(s->store) : 0;
    const enum outcome outcome = c->run(s, &args);
    if (outcome != OUTCOME_NO || !may_repeat || store_index_state(s->store) == index)
        return outcome;
    session_sync(s, false);                      /* with the index as it is now */
    if (s->state == STATE_LOGOUT)
        return outcome;
    s->code[0] = s->text[0] = 0;
    s->long_code = NULL;
    return c->run(s, &again);
}

/* RFC 7162 sections 3.2.7 and 6: after messages went, and while it is still untold that some did. */
static void tell_highestmodseq(struct session *s, enum outcome outcome)
{
    const unsigned long long modseq = mailbox_modseq(s->mailbox);
    if (s->tell_modseq && outcome == OUTCOME_OK && s->code[0] == 0)
        snprintf(s->code, sizeof s->code, "HIGHESTMODSEQ %llu", modseq);
    else if (condstore(s) && outcome != OUTCOME_BAD && (s->tell_modseq || mailbox_expunges_pending(s->mailbox)))
        untagged(s, "OK [HIGHESTMODSEQ %llu] As far as all has been told", modseq);
}

/* RFC 9738: beside another response code it goes into an untagged NO. */
static void tell_limit(struct session *s, enum outcome outcome)
{
    const unsigned limit = s->config->message_limit;
    if (s->limit_uid != 0 && s->code[0] == 0 && s->long_code == NULL && outcome == OUTCOME_OK) {
        snprintf(s->code, sizeof s->code, "MESSAGELIMIT %u %u", limit, s->limit_uid);
        snprintf(s->text, sizeof s->text, "Only the last %u messages", limit);
    } else if (s->limit_uid != 0) {
        untagged(s, "NO [MESSAGELIMIT %u %u] Only the last %u messages", limit, s->limit_uid, limit);
    }
}

static void one_command(struct session *s, struct buf *line)
{
    const struct command *c = NULL;
    buf_clear(line);
    arena_reset(s->arena);
    s->tag = (struct str){ NULL, 0 };
    s->code[0] = s->text[0] = 0;
    s->long_code = NULL;
    s->by_uid = s->tell_modseq = s->must_tell = s->implies_noop = false;
    s->limit_uid = 0;
    s->expunge_allowed = true;
    if (s->notify != NULL)
        notify_wait(s, timeout_of(s));           /* what becomes of it, reading finds out */
    if (s->state == STATE_LOGOUT)
        return;
    const enum read_result read = read_command(s, line);
    if (read == READ_OVER)
        return;
    s->commands++;
    s->began = io_now_ms();
    s->progress_at = s->began + (int64_t)s->config->progress_interval * 1000;
    const enum outcome outcome = read == READ_REFUSED ? OUTCOME_BAD : run_command(s, line, &c);
    s->bad_in_a_row = outcome == OUTCOME_BAD ? s->bad_in_a_row + 1 : 0;
    /* one that waited for a lock in vain does not wait again to tell of new mail */
    const bool busy = outcome == OUTCOME_NO && strncmp(s->code, "INUSE", 5) == 0;
    s->progress_at = INT64_MAX;
    if (s->state == STATE_SELECTED && c != NULL && outcome != OUTCOME_BAD && outcome != OUTCOME_SILENT && !busy)
        session_sync(s, s->expunge_allowed);
    if (s->state != STATE_LOGOUT && outcome != OUTCOME_BAD && outcome != OUTCOME_SILENT)
        metadata_watch_tell(s);
    if (s->state == STATE_SELECTED) {
        tell_limit(s, outcome);
        tell_highestmodseq(s, outcome);
    }
    write_tagged(s, outcome, c != NULL ? c->name : "Command");
    if (s->slot != NULL)
        session_tell(s, "", io_now_ms());
    if (s->bad_in_a_row >= BAD_MOST && s->state == STATE_GREET)
        good_bye(s, "Too many bad commands");
    else if (s->state == STATE_GREET && io_too_much(&s->io))
        good_bye(s, "Too much before login");
    if (line->cap > 1 << 20)
        buf_free(line);
}

void command_loop(struct session *s)
{
    struct buf line = { 0 };
    while (s->state != STATE_LOGOUT && !s->io.failed) {
        one_command(s, &line);
        if (s->io.chore_at != 0 && io_now_ms() >= s->io.chore_at)
            s->io.chore(s->io.ctx);
    }
    if (s->io.damaged)
        untagged(s, "BYE What came cannot be read");
    io_flush(&s->io);
    buf_free(&line);
}
