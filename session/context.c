/*
 * CONTEXT: results of SEARCH and SORT that are kept up to date (RFC 5267 section 4.3). A context keeps the program and the UIDs that
 * matched; what changed is asked again, by itself, when the client is told of the change; sorted results are sorted anew.
 * CANCELUPDATE ends one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "session/fetch.h"
#include "session/results.h"

enum { CONTEXTS = 16 };

struct context {
    struct context *next;
    struct arena *arena;                 /* of the program */
    struct search_key program;
    struct str tag;
    struct str items;                    /* what is told of new messages that match, or nothing */
    bool uid, correlators;
    struct sort_key *keys;               /* sorted: the order; else NULL */
    size_t key_count;
    uint32_t *uids;                      /* ascending, or in that order */
    size_t n;
    uint64_t modseq;                     /* up to which changes were asked */
    uint32_t uidnext;                    /* messages from it on are new */
};

bool context_tag_free(struct session *s)
{
    for (const struct context *c = s->contexts; c != NULL; c = c->next) {
        if (str_eq(c->tag, s->tag)) {
            say(s, OUTCOME_BAD, NULL, "This tag is in use by a search that is kept up to date");
            return false;
        }
    }
    return true;
}

static void context_free(struct context *c)
{
    arena_free(c->arena);
    free(c->uids);
    free(c);
}

bool context_add(struct session *s, struct str charset, struct str keys, const struct return_options *r, const struct found *f)
{
    struct arena *const of_command = s->arena;
    enum outcome outcome;
    unsigned count = 0;
    for (const struct context *c = s->contexts; c != NULL; c = c->next)
        count++;
    if (count >= CONTEXTS) {
        io_puts(&s->io, "* NO [NOUPDATE ");
        write_string(&s->io, s->tag);
        io_puts(&s->io, "] ");
        write_text(s, "Too many searches are kept up to date");
        io_puts(&s->io, "\r\n");
        return true;
    }
    struct context *c = xcalloc(1, sizeof *c);
    c->arena = arena_new();
    c->tag = arena_str(c->arena, s->tag);
    c->uid = f->uid;
    c->correlators = f->correlators;
    c->items = arena_str(c->arena, r->update_items);
    if (f->sorted) {
        c->key_count = f->key_count;
        c->keys = memcpy(arena_alloc(c->arena, f->key_count * sizeof *c->keys), f->keys, f->key_count * sizeof *c->keys);
    }
    keys = arena_str(c->arena, keys);
    struct parse p = { .at = keys.p, .end = keys.p + keys.n, .arena = c->arena };
    s->arena = c->arena;                 /* the program lives as long as the context */
    s->numbers_fixed = true;
    const bool good = search_parse(s, &p, arena_str(c->arena, charset), &c->program, &outcome);
    s->numbers_fixed = false;
    s->arena = of_command;
    if (!good) {                         /* cannot be: it was parsed before */
        context_free(c);
        return true;
    }
    c->uids = xreallocarray(NULL, f->n + 1, sizeof *c->uids);
    for (c->n = 0; c->n < f->n; c->n++)
        c->uids[c->n] = mailbox_uid(s->mailbox, f->seqs[c->n]);
    struct mailbox_status st;
    mailbox_info(s->mailbox, &st);
    c->modseq = mailbox_modseq(s->mailbox);
    c->uidnext = st.uidnext;
    c->next = s->contexts;
    s->contexts = c;
    return true;
}

static size_t place_of(const struct context *c, uint32_t uid)
{
    size_t low = 0, high = c->n;
    while (c->keys != NULL && low < c->n && c->uids[low] != uid)
        low++;
    if (c->keys != NULL)
        return low;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (c->uids[mid] < uid)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void write_change(struct session *s, const struct context *c, const char *word, size_t place, const uint32_t *numbers, size_t n)
{
    struct buf set = { 0 };
    if (n == 0)
        return;
    write_number_set(&set, numbers, n);
    write_esearch_head(s, c->tag, c->uid, c->correlators);
    io_printf(&s->io, " %s (%zu ", word, place);
    io_add(&s->io, set.data, set.len);
    io_puts(&s->io, ")\r\n");
    buf_free(&set);
}

bool contexts_numbered(const struct session *s)
{
    for (const struct context *c = s->contexts; c != NULL; c = c->next)
        if (!c->uid)
            return true;
    return false;
}

void contexts_expunged(struct session *s, uint32_t seq, uint32_t uid)
{
    for (struct context *c = s->contexts; c != NULL; c = c->next) {
        const size_t at = place_of(c, uid);
        if (at == c->n || c->uids[at] != uid)
            continue;
        memmove(c->uids + at, c->uids + at + 1, (c->n - at - 1) * sizeof *c->uids);
        c->n--;
        write_change(s, c, "REMOVEFROM", c->keys != NULL ? at + 1 : 0, c->uid ? &uid : &seq, 1);
    }
}

static int on_match(void *ctx, uint32_t seq)
{
    buf_add(ctx, &seq, sizeof seq);
    return 0;
}

/* What UPDATE asked of messages that are new, before it is told that they match (RFC 5465 section 7). */
static void tell_items(struct session *s, const struct context *c, const uint32_t *seqs, size_t n)
{
    size_t first = 0;
    while (first < n && mailbox_uid(s->mailbox, seqs[first]) < c->uidnext)
        first++;
    if (c->items.n > 0)
        fetch_unasked(s, c->items, seqs + first, n - first);
}

/* Asks the program again of the messages seqs, all of them. */
static void ask_again(struct session *s, struct context *c, const uint32_t *seqs, size_t n)
{
    struct search_key both[2] = { { .type = SEARCH_UID }, c->program };
    struct search_key program = { .type = SEARCH_AND, .children = both, .child_count = 2, .collation = c->program.collation };
    struct buf matched = { 0 }, added = { 0 }, added_seqs = { 0 }, removed = { 0 };
    both[0].ranges = xreallocarray(NULL, n, sizeof *both[0].ranges);
    both[0].range_count = n;
    for (size_t i = 0; i < n; i++)
        both[0].ranges[i].first = both[0].ranges[i].last = mailbox_uid(s->mailbox, seqs[i]);
    struct search_range *const ranges = both[0].ranges;
    const int rc = search_run(s->mailbox, &program, on_match, &matched, NULL);
    const uint32_t *now = (const uint32_t *)(const void *)matched.data;
    const size_t now_n = matched.len / sizeof *now;
    c->uids = xreallocarray(c->uids, c->n + now_n + 1, sizeof *c->uids);
    for (size_t i = 0, k = 0; rc == 0 && i < n; i++) {
        const uint32_t uid = mailbox_uid(s->mailbox, seqs[i]), number = c->uid ? uid : seqs[i];
        const bool matches = k < now_n && now[k] == seqs[i];
        const size_t at = place_of(c, uid);
        const bool was = at < c->n && c->uids[at] == uid;
        k += matches;
        if (matches && !was) {
            memmove(c->uids + at + 1, c->uids + at, (c->n++ - at) * sizeof *c->uids);
            c->uids[at] = uid;
            buf_add(&added, &number, sizeof number);
            buf_add(&added_seqs, &seqs[i], sizeof seqs[i]);
        } else if (was && !matches) {
            memmove(c->uids + at, c->uids + at + 1, (--c->n - at) * sizeof *c->uids);
            buf_add(&removed, &number, sizeof number);
        }
    }
    tell_items(s, c, (const uint32_t *)(const void *)added_seqs.data, added_seqs.len / sizeof(uint32_t));
    buf_free(&added_seqs);
    write_change(s, c, "REMOVEFROM", 0, (const uint32_t *)(const void *)removed.data, removed.len / sizeof(uint32_t));
    write_change(s, c, "ADDTO", 0, (const uint32_t *)(const void *)added.data, added.len / sizeof(uint32_t));
    free(ranges);
    buf_free(&matched);
    buf_free(&added);
    buf_free(&removed);
}

struct changing { struct session *s; const struct context *c; };

static void on_sorted_change(void *ctx, bool added, size_t place, uint32_t uid)
{
    const struct changing *x = ctx;
    const uint32_t number = x->c->uid ? uid : mailbox_seq(x->s->mailbox, uid);
    write_change(x->s, x->c, added ? "ADDTO" : "REMOVEFROM", place, &number, 1);
}

/* All of it anew, and what is other than before is told. */
static void sort_again(struct session *s, struct context *c)
{
    struct changing x = { s, c };
    struct buf matched = { 0 };
    if (search_run(s->mailbox, &c->program, on_match, &matched, NULL) == 0) {
        uint32_t *now = (uint32_t *)(void *)matched.data;
        size_t n = matched.len / sizeof *now;
        unsigned char *const scores = sort_relevancy(s, &c->program, c->keys, c->key_count, false);
        if (n == 0 || sort_run(s->mailbox, c->keys, c->key_count, c->program.collation, now, &n, NULL) == 0) {
            for (size_t i = 0; i < n; i++)
                now[i] = mailbox_uid(s->mailbox, now[i]);
            sorted_changes(c->uids, c->n, now, n, on_sorted_change, &x);
            c->uids = xreallocarray(c->uids, n + 1, sizeof *c->uids);
            if (n > 0)
                memcpy(c->uids, now, n * sizeof *now);
            c->n = n;
        }
        free(scores);
    }
    buf_free(&matched);
}

void contexts_changed(struct session *s)
{
    struct mailbox_status st;
    if (s->contexts == NULL || s->mailbox == NULL)
        return;
    mailbox_info(s->mailbox, &st);
    for (struct context *c = s->contexts; c != NULL; c = c->next) {
        const uint64_t modseq = mailbox_modseq(s->mailbox);
        if (c->modseq == modseq && c->uidnext == st.uidnext)
            continue;
        if (c->keys != NULL) {
            sort_again(s, c);
            c->modseq = modseq;
            c->uidnext = st.uidnext;
            continue;
        }
        const uint32_t exists = mailbox_exists(s->mailbox);
        size_t n = exists;
        uint32_t *seqs = xreallocarray(NULL, n + 1, sizeof *seqs);
        for (uint32_t i = 0; i < exists; i++)
            seqs[i] = i + 1;
        if (mailbox_changed(s->mailbox, c->modseq, seqs, &n, NULL) == 0 && n > 0)
            ask_again(s, c, seqs, n);
        free(seqs);
        c->modseq = modseq;
        c->uidnext = st.uidnext;
    }
}

void contexts_end(struct session *s)
{
    while (s->contexts != NULL) {
        struct context *c = s->contexts;
        s->contexts = c->next;
        context_free(c);
    }
}

enum outcome cmd_cancelupdate(struct session *s, struct parse *p)
{
    static const char usage[] = "CANCELUPDATE \"tag\" ...";
    const char *at = p->at;
    struct str tag;
    if (!parse_sp(p))
        return bad_arguments(s, usage);
    do
        if (!parse_string(p, &tag))
            return bad_arguments(s, usage);
    while (parse_sp(p));
    if (!parse_end(p))
        return bad_arguments(s, usage);
    for (p->at = at; parse_sp(p) && parse_string(p, &tag);) {
        for (struct context **c = &s->contexts; *c != NULL; c = &(*c)->next) {
            if (str_eq((*c)->tag, tag)) {
                struct context *gone = *c;
                *c = gone->next;
                context_free(gone);
                break;
            }
        }
    }
    return OUTCOME_OK;
}
