/*
 * STORE, COPY, MOVE, EXPUNGE, and UID, which is the same by UID.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/append.h"
#include "session/command.h"

enum outcome cmd_uid(struct session *s, struct parse *p)
{
    struct str name;
    if (!parse_sp(p) || !parse_atom(p, &name))
        return bad_arguments(s, "UID command ...");
    if (str_ieq(name, STR("FETCH")))
        return run_fetch(s, p, true);
    if (str_ieq(name, STR("STORE")))
        return run_store(s, p, true);
    if (str_ieq(name, STR("SEARCH")))
        return run_search(s, p, true);
    if (str_ieq(name, STR("COPY")))
        return run_copy(s, p, true, false);
    if (str_ieq(name, STR("MOVE")))
        return run_copy(s, p, true, true);
    if (str_ieq(name, STR("REPLACE")))
        return run_replace(s, p, true);
    if (str_ieq(name, STR("EXPUNGE")))
        return run_expunge(s, p, true);
    return say(s, OUTCOME_BAD, NULL, "Unknown UID command");
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
};

static void stored(void *ctx, uint32_t seq)
{
    const struct storing *st = ctx;
    if (!st->silent)
        write_flags_response(st->s, seq, st->uid);
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
    static const char usage[] = "STORE set [+|-]FLAGS[.SILENT] (flags)";
    struct set set;
    struct flags flags;
    struct flag_change change = { .mode = 0 };
    struct storing st = { .s = s, .uid = uid };
    struct store_error e = { .code = STORE_OK };
    uint32_t *seqs;
    size_t n, gone = 0;
    if (!parse_sp(p) || !parse_set(p, &set) || !parse_sp(p))
        return bad_arguments(s, usage);
    change.mode = parse_char(p, '+') ? 1 : parse_char(p, '-') ? -1 : 0;
    st.silent = parse_word(p, "FLAGS.SILENT");
    if ((!st.silent && !parse_word(p, "FLAGS")) || !parse_sp(p) || !parse_flags(p, false, &flags) || !parse_end(p))
        return bad_arguments(s, usage);
    if (mailbox_readonly(s->mailbox))
        return say(s, OUTCOME_NO, NULL, "The mailbox is read-only");
    if (!set_to_seqs(s, &set, uid, &seqs, &n))
        return no_such_message(s);
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
    if (rc != 0)
        return store_no(s, &e);
    return gone == 0 ? OUTCOME_OK : say(s, OUTCOME_NO, "EXPUNGEISSUED", "Some of the messages are gone");
}

static void write_uid_set(struct buf *out, const uint32_t *uids, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t j = i + 1;
        while (j < n && uids[j] == uids[j - 1] + 1)
            j++;
        buf_printf(out, j - i > 1 ? "%s%u:%u" : "%s%u", i > 0 ? "," : "", uids[i], uids[j - 1]);
        i = j;
    }
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
    if (!set_to_seqs(s, &set, uid, &seqs, &n))
        return no_such_message(s);
    if (move && mailbox_readonly(s->mailbox)) {
        free(seqs);
        return say(s, OUTCOME_NO, NULL, "The mailbox is read-only");
    }
    if (!to_store_name(s, wire, &to, NULL)) {
        free(seqs);
        return OUTCOME_NO;
    }
    const int rc = mailbox_copy(s->mailbox, seqs, n, &to, move, &validity, &src, &dst, &count, &e);
    free(seqs);
    if (rc != 0) {
        const enum outcome outcome = store_no(s, &e);
        if (e.code == STORE_NONEXISTENT)
            snprintf(s->code, sizeof s->code, "TRYCREATE");
        return outcome;
    }
    if (count > 0) {
        struct buf code = { 0 };
        buf_printf(&code, "COPYUID %u ", validity);
        write_uid_set(&code, src, count);
        buf_addc(&code, ' ');
        write_uid_set(&code, dst, count);
        io_puts(&s->io, "* OK [");
        if (move || code.len >= sizeof s->code) {      /* RFC 6851: before the EXPUNGEs; a long one does not fit s->code */
            io_add(&s->io, code.data, code.len);
            io_puts(&s->io, "] UIDs of the copies\r\n");
        } else {
            s->io.output.len -= 6;
            snprintf(s->code, sizeof s->code, "%s", code.data);
            snprintf(s->text, sizeof s->text, "COPY completed");
        }
        buf_free(&code);
    }
    free(src);
    free(dst);
    return OUTCOME_OK;
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
        return say(s, OUTCOME_NO, NULL, "The mailbox is read-only");
    if (uid) {
        if (!set_to_seqs(s, &set, true, &seqs, &n))
            return no_such_message(s);
        for (size_t i = 0; i < n; i++)
            seqs[i] = mailbox_uid(s->mailbox, seqs[i]);
    }
    const int rc = mailbox_expunge(s->mailbox, seqs, n, NULL, &e);
    free(seqs);
    return rc == 0 ? OUTCOME_OK : store_no(s, &e);
}
