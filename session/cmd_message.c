/*
 * STORE, COPY, MOVE, EXPUNGE, and UID, which is the same by UID.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/append.h"
#include "session/command.h"

static enum outcome uid_copy(struct session *s, struct parse *p, bool uid)
{
    return run_copy(s, p, uid, false);
}

static enum outcome uid_move(struct session *s, struct parse *p, bool uid)
{
    return run_copy(s, p, uid, true);
}

/* RFC 7377 has no UID ESEARCH in its grammar, but in the examples of section 2; ESEARCH goes by UID anyway. */
static enum outcome uid_esearch(struct session *s, struct parse *p, bool uid)
{
    (void)uid;
    return cmd_esearch(s, p);
}

/* The commands that go by UID, too. */
static enum outcome run_by_uid(struct session *s, struct str name, struct parse *p)
{
    static const struct { const char *name; enum outcome (*run)(struct session *s, struct parse *p, bool uid); } rows[] = {
        { "UID FETCH", run_fetch }, { "UID STORE", run_store }, { "UID SEARCH", run_search }, { "UID SORT", run_sort },
        { "UID THREAD", run_thread }, { "UID EXPUNGE", run_expunge }, { "UID REPLACE", run_replace }, { "UID COPY", uid_copy },
        { "UID MOVE", uid_move }, { "UID ESEARCH", uid_esearch } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (str_ieq(name, str_z(rows[i].name + sizeof "UID"))) {
            session_tell(s, rows[i].name, s->began);
            return rows[i].run(s, p, true);
        }
    return say(s, OUTCOME_BAD, NULL, "Unknown UID command");
}

enum outcome cmd_uid(struct session *s, struct parse *p)
{
    struct str name;
    if (!parse_sp(p) || !parse_atom(p, &name))
        return bad_arguments(s, "UID command ...");
    name = arena_str(s->arena, name);
    s->by_uid = true;
    const enum outcome outcome = run_by_uid(s, name, p);
    if (outcome == OUTCOME_OK && s->text[0] == 0)
        snprintf(s->text, sizeof s->text, "UID %.*s completed", (int)name.n, name.p);
    return outcome;
}

enum outcome cmd_store(struct session *s, struct parse *p)
{
    return run_store(s, p, false);
}

enum outcome cmd_copy(struct session *s, struct parse *p)
{
    return run_copy(s, p, false, false);
}

enum outcome cmd_move(struct session *s, struct parse *p)
{
    return run_copy(s, p, false, true);
}

enum outcome cmd_expunge(struct session *s, struct parse *p)
{
    return run_expunge(s, p, false);
}

static enum outcome no_such_message(struct session *s)
{
    return say(s, OUTCOME_BAD, NULL, "No such message");
}

struct storing {
    struct session *s;
    bool uid, silent;
    struct buf failed;                   /* UIDs (uint32_t) whose MODSEQ is above UNCHANGEDSINCE */
};

static bool has_failed(const struct storing *st, uint32_t uid)
{
    const uint32_t *uids = (const uint32_t *)(const void *)st->failed.data;
    size_t low = 0, high = st->failed.len / sizeof *uids;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (uids[mid] < uid)
            low = mid + 1;
        else
            high = mid;
    }
    return low < st->failed.len / sizeof *uids && uids[low] == uid;
}

/* With CONDSTORE the MODSEQ is told even of a silent STORE, and the flags of a message that failed the test, which the client
 * does not know (RFC 7162 section 3.1.3). */
static void stored(void *ctx, uint32_t seq)
{
    const struct storing *st = ctx;
    const bool failed = st->failed.len > 0 && has_failed(st, mailbox_uid(st->s->mailbox, seq));
    if (!st->silent || failed || condstore(st->s))
        write_flags_response(st->s, seq, st->uid, !st->silent || failed);
    io_relieve(&st->s->io);                      /* all of them are changed by now: many answers need not be kept together */
}

/* MODIFIED set, of UIDs or message numbers. */
static enum outcome tell_modified(struct session *s, struct storing *st, bool some_gone)
{
    uint32_t *uids = (uint32_t *)(void *)st->failed.data;
    size_t n = st->failed.len / sizeof *uids;
    struct buf set = { 0 };
    if (n == 0)
        return some_gone ? say(s, st->uid ? OUTCOME_OK : OUTCOME_NO, "EXPUNGEISSUED", "Some of the messages are gone") : OUTCOME_OK;
    for (size_t i = 0; i < n && !st->uid; i++)
        uids[i] = mailbox_seq(s->mailbox, uids[i]);
    write_uid_set(&set, uids, n);
    buf_addc(&set, 0);
    s->long_code = arena_alloc(s->arena, set.len + 16);
    memcpy(s->long_code, "MODIFIED ", 9);
    memcpy(s->long_code + 9, set.data, set.len);
    buf_free(&set);
    return say(s, some_gone ? OUTCOME_NO : OUTCOME_OK, NULL, "Conditional STORE did not change some of the messages");
}

/* Keyword names to bits; new ones are added when they are to be set. */
static bool keyword_bits(struct session *s, const struct flags *flags, int mode, uint64_t *bits, struct store_error *e)
{
    *bits = 0;
    for (size_t i = 0; i < flags->n; i++) {
        e->code = STORE_OK;
        const int bit = mailbox_keyword_bit(s->mailbox, flags->keywords[i], mode >= 0, e);
        if (bit >= 0)
            *bits |= (uint64_t)1 << bit;
        else if (mode >= 0)
            return false;
    }
    return true;
}

enum outcome run_store(struct session *s, struct parse *p, bool uid)
{
    static const char usage[] = "STORE set [(UNCHANGEDSINCE modseq)] [+|-]FLAGS[.SILENT] (flags)";
    struct set set;
    struct flags flags;
    struct flag_change change = { .mode = 0 };
    struct storing st = { .s = s, .uid = uid };
    struct store_error e = { .code = STORE_OK };
    uint32_t *seqs;
    size_t n, gone = 0;
    if (!parse_sp(p) || !parse_set(p, &set) || !parse_sp(p))
        return bad_arguments(s, usage);
    if (parse_char(p, '(')) {
        if (!parse_word(p, "UNCHANGEDSINCE") || !parse_sp(p) || !parse_number64(p, &change.unchanged_since) || !parse_char(p, ')')
            || !parse_sp(p))
            return bad_arguments(s, usage);
        change.conditional = true;
        change.failed = &st.failed;
    }
    change.mode = parse_char(p, '+') ? 1 : parse_char(p, '-') ? -1 : 0;
    st.silent = parse_word(p, "FLAGS.SILENT");
    if ((!st.silent && !parse_word(p, "FLAGS")) || !parse_sp(p) || !parse_flags(p, false, &flags) || !parse_end(p))
        return bad_arguments(s, usage);
    if (!numbers_allowed(s, uid))
        return OUTCOME_BAD;
    if (change.conditional)
        session_use_condstore(s);
    if (mailbox_readonly(s->mailbox))
        return say(s, OUTCOME_NO, "NOPERM", "The mailbox is read-only");
    if (!set_to_seqs(s, &set, uid, &seqs, &n))
        return no_such_message(s);
    limit_messages(s, seqs, &n);
    const char *last_before = mailbox_keyword(s->mailbox, 0);
    unsigned before = 0;
    for (; last_before != NULL; last_before = mailbox_keyword(s->mailbox, before))
        before++;
    change.flags = flags.bits;
    int rc = keyword_bits(s, &flags, change.mode, &change.keywords, &e) ? 0 : -1;
    if (rc == 0 && mailbox_keyword(s->mailbox, before) != NULL)
        write_mailbox_flags(s);
    if (rc == 0)
        rc = mailbox_store(s->mailbox, seqs, n, &change, stored, &st, &gone, &e);
    session_flags_changed(s);
    free(seqs);
    const enum outcome outcome = rc != 0 ? store_no(s, &e) : tell_modified(s, &st, gone > 0);
    buf_free(&st.failed);
    return outcome;
}

void write_uid_set(struct buf *out, const uint32_t *uids, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t j = i + 1;
        while (j < n && uids[j] == uids[j - 1] + 1)
            j++;
        buf_printf(out, j - i > 1 ? "%s%u:%u" : "%s%u", i > 0 ? "," : "", uids[i], uids[j - 1]);
        i = j;
    }
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static enum outcome too_many(struct session *s)
{
    char code[80];
    snprintf(code, sizeof code, "MESSAGELIMIT %u %u", s->config->message_limit, s->limit_uid);
    s->limit_uid = 0;
    return say(s, OUTCOME_NO, code, "Too many messages at once");
}

enum outcome run_copy(struct session *s, struct parse *p, bool uid, bool move)
{
    struct set set;
    struct str wire;
    struct mailbox_name to;
    struct store_error e = { .code = STORE_OK };
    uint32_t *seqs, validity, *src, *dst;
    size_t n, count;
    if (!parse_sp(p) || !parse_set(p, &set) || !parse_sp(p) || !parse_astring(p, &wire) || !parse_end(p))
        return bad_arguments(s, move ? "MOVE set mailbox" : "COPY set mailbox");
    if (!numbers_allowed(s, uid))
        return OUTCOME_BAD;
    if (!set_to_seqs(s, &set, uid, &seqs, &n))
        return no_such_message(s);
    if (move && mailbox_readonly(s->mailbox)) {
        free(seqs);
        return say(s, OUTCOME_NO, "NOPERM", "The mailbox is read-only");
    }
    if (!to_store_name(s, wire, &to, NULL)) {
        free(seqs);
        return OUTCOME_NO;
    }
    if (limit_messages(s, seqs, &n)) {
        if (!move) {                             /* COPY takes all or none */
            free(seqs);
            return too_many(s);
        }
        qsort(seqs, n, sizeof *seqs, ascending);
    }
    const int rc = mailbox_copy(s->mailbox, seqs, n, &to, move, &validity, &src, &dst, &count, &e);
    free(seqs);
    if (rc != 0) {
        const enum outcome outcome = store_no(s, &e);
        if (e.code == STORE_NONEXISTENT)
            snprintf(s->code, sizeof s->code, "TRYCREATE");
        return outcome;
    }
    s->appended += count;
    if (count > 0) {
        struct buf code = { 0 };
        buf_printf(&code, "COPYUID %u ", validity);
        write_uid_set(&code, src, count);
        buf_addc(&code, ' ');
        write_uid_set(&code, dst, count);
        if (move) {                              /* RFC 6851: before the EXPUNGEs */
            io_puts(&s->io, "* OK [");
            io_add(&s->io, code.data, code.len);
            io_puts(&s->io, "] ");
            write_text(s, "UIDs of the copies");
            io_puts(&s->io, "\r\n");
        } else {
            s->long_code = arena_strndup(s->arena, code.data, code.len);
            snprintf(s->text, sizeof s->text, "COPY completed");
        }
        buf_free(&code);
    }
    free(src);
    free(dst);
    s->must_tell = move && count > 0;
    s->tell_modseq = s->must_tell && qresync(s);
    return OUTCOME_OK;
}

/* message-limit counts what is to be removed. */
static void only_deleted(struct session *s, uint32_t *seqs, size_t *n)
{
    struct message msg;
    size_t to = 0;
    if (s->config->message_limit == 0)
        return;
    for (size_t i = 0; i < *n; i++)
        if (mailbox_message(s->mailbox, seqs[i], &msg, NULL) == 0 && (msg.flags & FLAG_DELETED))
            seqs[to++] = seqs[i];
    *n = to;
}

enum outcome run_expunge(struct session *s, struct parse *p, bool uid)
{
    struct set set;
    struct store_error e;
    uint32_t *seqs = NULL;
    size_t n = 0;
    if (uid && (!parse_sp(p) || !parse_set(p, &set)))
        return bad_arguments(s, "UID EXPUNGE set");
    if (!parse_end(p))
        return bad_arguments(s, uid ? "UID EXPUNGE set" : "EXPUNGE");
    if (mailbox_readonly(s->mailbox))
        return say(s, OUTCOME_NO, "NOPERM", "The mailbox is read-only");
    if (uid) {
        if (!set_to_seqs(s, &set, true, &seqs, &n))
            return no_such_message(s);
        only_deleted(s, seqs, &n);
        if (limit_messages(s, seqs, &n))
            qsort(seqs, n, sizeof *seqs, ascending);
        for (size_t i = 0; i < n; i++)
            seqs[i] = mailbox_uid(s->mailbox, seqs[i]);
    }
    size_t count = 0;
    const int rc = mailbox_expunge(s->mailbox, seqs, n, &count, &e);
    free(seqs);
    s->must_tell = count > 0;
    s->tell_modseq = s->must_tell && qresync(s);
    return rc == 0 ? OUTCOME_OK : store_no(s, &e);
}
