/*
 * SELECT and EXAMINE with their parameters (RFC 4466, RFC 7162), CHECK, CLOSE, UNSELECT.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/command.h"

/* The QRESYNC parameter (RFC 7162 section 3.2.5). */
struct resync {
    bool wanted;
    uint32_t validity;
    uint64_t modseq;
    bool some;                           /* known UIDs were named */
    bool numbers;                        /* there is sequence match data */
    struct set known;
    struct set seqs, uids;               /* sequence match data */
};

/* A set without '*', ascending where the RFC says so. */
static bool known_set(struct parse *p, struct set *out)
{
    if (!parse_set(p, out) || out->saved)
        return false;
    for (size_t i = 0; i < out->n; i++)
        if (out->list[i].last == UINT32_MAX)
            return false;
    return true;
}

/* A MODSEQ of 0 is none (RFC 7162 section 7); clients that know nothing yet say it, and mean that. */
static bool parse_resync(struct parse *p, struct resync *r)
{
    r->wanted = true;
    if (!parse_sp(p) || !parse_char(p, '(') || !parse_nz_number(p, &r->validity) || !parse_sp(p) || !parse_number64(p, &r->modseq))
        return false;
    if (parse_sp(p)) {
        const bool sets = p->at < p->end && *p->at == '(';
        if (!sets && !known_set(p, &r->known))
            return false;
        r->some = !sets;
        r->numbers = sets || (p->at < p->end && *p->at == ' ');
        if ((sets || parse_sp(p)) && (!parse_char(p, '(') || !known_set(p, &r->seqs) || !parse_sp(p) || !known_set(p, &r->uids)
                                      || !parse_char(p, ')')))
            return false;
    }
    return parse_char(p, ')');
}

/* " (" select-param *(SP select-param) ")" or nothing. */
static bool parse_params(struct parse *p, bool *use_condstore, struct resync *r)
{
    if (!parse_sp(p))
        return true;
    if (!parse_char(p, '('))
        return false;
    do {
        if (parse_word(p, "CONDSTORE"))
            *use_condstore = true;
        else if (r->wanted || !parse_word(p, "QRESYNC") || !parse_resync(p, r))
            return false;
    } while (parse_sp(p));
    return parse_char(p, ')');
}

static uint64_t set_size(const struct set *set)
{
    uint64_t n = 0;
    for (size_t i = 0; i < set->n; i++)
        n += (uint64_t)set->list[i].last - set->list[i].first + 1;
    return n;
}

/* The highest UID up to which the client's pairs of number and UID are ours: of expunges below it the client knows. */
static uint32_t matched_up_to(struct session *s, const struct resync *r)
{
    uint32_t matched = 0;
    size_t si = 0, ui = 0;
    uint32_t sat = 0, uat = 0;
    if (set_size(&r->seqs) != set_size(&r->uids))
        return 0;
    while (si < r->seqs.n && ui < r->uids.n) {
        const uint32_t seq = r->seqs.list[si].first + sat, uid = r->uids.list[ui].first + uat;
        if (mailbox_uid(s->mailbox, seq) != uid)
            break;
        matched = uid;
        sat++;
        uat++;
        if (seq == r->seqs.list[si].last) {
            si++;
            sat = 0;
        }
        if (uid == r->uids.list[ui].last) {
            ui++;
            uat = 0;
        }
    }
    return matched;
}

/* What VANISHED is told of: the known UIDs above what the match data vouches for. */
static struct set vanished_set(struct session *s, const struct resync *r, uint32_t uidnext)
{
    const uint32_t matched = matched_up_to(s, r);
    const struct set all = { .list = &(struct range){ 1, uidnext - 1 }, .n = 1 };
    const struct set *from = r->some ? &r->known : &all;
    struct set out = { .list = arena_alloc(s->arena, (from->n + 1) * sizeof(struct range)) };
    for (size_t i = 0; i < from->n; i++) {
        struct range one = from->list[i];
        if (one.last <= matched)
            continue;
        if (one.first <= matched)
            one.first = matched + 1;
        out.list[out.n++] = one;
    }
    return out;
}

static int resync(struct session *s, const struct resync *r, const struct mailbox_status *st, struct store_error *e)
{
    if (r->validity != st->uidvalidity || st->uidnext <= 1)
        return 0;
    /* A MODSEQ that we have not given yet is of another life of the index: as if nothing were known. */
    const uint64_t since = r->modseq > st->highestmodseq ? 0 : r->modseq;
    const struct set known = r->some ? r->known : (struct set){ .list = &(struct range){ 1, st->uidnext - 1 }, .n = 1 };
    const struct set vanished = vanished_set(s, r, st->uidnext);
    uint32_t *seqs;
    size_t n;
    if (write_vanished_earlier(s, &vanished, since, e) != 0 || !set_to_seqs(s, &known, true, &seqs, &n))
        return -1;
    const int rc = mailbox_changed(s->mailbox, since, seqs, &n, e);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        write_flags_response(s, seqs[i], true, true);
        io_relieve(&s->io);
    }
    free(seqs);
    return rc;
}

static void tell_opened(struct session *s, const struct mailbox_status *st)
{
    write_mailbox_flags(s);
    untagged(s, "%u EXISTS", st->exists);
    if (!rev2(s)) {
        untagged(s, "%u RECENT", st->recent);
        if (st->first_unseen > 0 && !uidonly(s))
            untagged(s, "OK [UNSEEN %u] First unseen message", st->first_unseen);
    }
    untagged(s, "OK [UIDVALIDITY %u] UIDs are valid", st->uidvalidity);
    untagged(s, "OK [UIDNEXT %u] Next UID", st->uidnext);
    untagged(s, "OK [HIGHESTMODSEQ %llu] Highest", (unsigned long long)st->highestmodseq);
    io_printf(&s->io, "* OK [MAILBOXID (" MAILBOXID_FORMAT ")] ", (unsigned long long)st->mailbox_id);
    write_text(s, "Object ID");
    io_puts(&s->io, "\r\n");
}

static enum outcome open_mailbox(struct session *s, struct parse *p, bool readonly)
{
    struct mailbox_name name;
    struct mailbox_status st;
    struct store_error e;
    struct str wire;
    struct resync r = { .wanted = false };
    bool use_condstore = false;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_params(p, &use_condstore, &r) || !parse_end(p))
        return bad_arguments(s, readonly ? "EXAMINE mailbox [(parameters)]" : "SELECT mailbox [(parameters)]");
    if (r.wanted && !qresync(s))
        return say(s, OUTCOME_BAD, NULL, "ENABLE QRESYNC first");
    if (!numbers_allowed(s, !r.numbers))
        return OUTCOME_BAD;
    if (s->mailbox != NULL) {
        session_unselect(s, true);
        untagged(s, "OK [CLOSED] The mailbox that was selected is closed");
    }
    s->state = STATE_AUTH;
    if (!to_store_name(s, wire, &name, NULL))
        return OUTCOME_NO;
    if (mailbox_open(s->store, &name, readonly, &s->mailbox, &e) != 0) {
        s->mailbox = NULL;
        return store_no(s, &e);
    }
    s->state = STATE_SELECTED;
    slot_mailbox(s->slot, mailbox_name_of(s->mailbox));
    if (use_condstore)
        s->enabled |= ENABLED_CONDSTORE;
    if (!mailbox_readonly(s->mailbox) && (s->config->expunge_on & EXPUNGE_ON_SELECT)
        && mailbox_expunge(s->mailbox, NULL, 0, NULL, NULL) == 0)
        mailbox_sync(s->mailbox, true, NULL, NULL);
    mailbox_info(s->mailbox, &st);
    tell_opened(s, &st);
    list_normalized(s, wire, name.text, NULL, true);
    if (r.wanted && resync(s, &r, &st, &e) != 0) {
        session_unselect(s, false);
        return store_no(s, &e);
    }
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
