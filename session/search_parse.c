/*
 * The keys of SEARCH to a program for the store: RFC 3501 section 6.4.4, RFC 9051, and those of RFC 5032 (OLDER, YOUNGER), 5182
 * ("$"), 6203 (FUZZY), 7162 (MODSEQ), 8514 (SAVEDBEFORE ...), 9738 (UIDAFTER, UIDBEFORE).
 */
#include <string.h>

#include "session/command.h"
#include "session/search_filter.h"
#include "store/search.h"

enum argument { ARG_NONE, ARG_TEXT, ARG_DATE, ARG_NUMBER, ARG_INTERVAL, ARG_KEYWORD, ARG_MODSEQ, ARG_OBJECT_ID };

static const struct search_name {
    const char *name;
    enum search_type type;
    enum argument argument;
    uint64_t value;                  /* FLAG_ bit */
    bool negated;
    const char *field;
} search_names[] = {
    { "ALL", SEARCH_ALL, ARG_NONE, 0, false, NULL }, { "ANSWERED", SEARCH_FLAG, ARG_NONE, FLAG_ANSWERED, false, NULL },
    { "BCC", SEARCH_HEADER, ARG_TEXT, 0, false, "Bcc" }, { "BEFORE", SEARCH_BEFORE, ARG_DATE, 0, false, NULL },
    { "BODY", SEARCH_BODY, ARG_TEXT, 0, false, NULL }, { "CC", SEARCH_HEADER, ARG_TEXT, 0, false, "Cc" },
    { "DELETED", SEARCH_FLAG, ARG_NONE, FLAG_DELETED, false, NULL }, { "DRAFT", SEARCH_FLAG, ARG_NONE, FLAG_DRAFT, false, NULL },
    { "EMAILID", SEARCH_EMAILID, ARG_OBJECT_ID, 0, false, NULL },
    { "FLAGGED", SEARCH_FLAG, ARG_NONE, FLAG_FLAGGED, false, NULL }, { "FROM", SEARCH_HEADER, ARG_TEXT, 0, false, "From" },
    { "KEYWORD", SEARCH_KEYWORD, ARG_KEYWORD, 0, false, NULL }, { "LARGER", SEARCH_LARGER, ARG_NUMBER, 0, false, NULL },
    { "MODSEQ", SEARCH_MODSEQ, ARG_MODSEQ, 0, false, NULL },
    { "OLD", SEARCH_RECENT, ARG_NONE, 0, true, NULL }, { "OLDER", SEARCH_OLDER, ARG_INTERVAL, 0, false, NULL },
    { "ON", SEARCH_ON, ARG_DATE, 0, false, NULL },
    { "RECENT", SEARCH_RECENT, ARG_NONE, 0, false, NULL }, { "SEEN", SEARCH_FLAG, ARG_NONE, FLAG_SEEN, false, NULL },
    { "SAVEDBEFORE", SEARCH_SAVEDBEFORE, ARG_DATE, 0, false, NULL }, { "SAVEDON", SEARCH_SAVEDON, ARG_DATE, 0, false, NULL },
    { "SAVEDSINCE", SEARCH_SAVEDSINCE, ARG_DATE, 0, false, NULL }, { "SAVEDATESUPPORTED", SEARCH_ALL, ARG_NONE, 0, false, NULL },
    { "SENTBEFORE", SEARCH_SENTBEFORE, ARG_DATE, 0, false, NULL }, { "SENTON", SEARCH_SENTON, ARG_DATE, 0, false, NULL },
    { "SENTSINCE", SEARCH_SENTSINCE, ARG_DATE, 0, false, NULL }, { "SINCE", SEARCH_SINCE, ARG_DATE, 0, false, NULL },
    { "SMALLER", SEARCH_SMALLER, ARG_NUMBER, 0, false, NULL }, { "SUBJECT", SEARCH_HEADER, ARG_TEXT, 0, false, "Subject" },
    { "TEXT", SEARCH_TEXT, ARG_TEXT, 0, false, NULL }, { "TO", SEARCH_HEADER, ARG_TEXT, 0, false, "To" },
    { "THREADID", SEARCH_THREADID, ARG_OBJECT_ID, 0, false, NULL },
    { "UNANSWERED", SEARCH_FLAG, ARG_NONE, FLAG_ANSWERED, true, NULL }, { "UNDELETED", SEARCH_FLAG, ARG_NONE, FLAG_DELETED, true, NULL },
    { "UNDRAFT", SEARCH_FLAG, ARG_NONE, FLAG_DRAFT, true, NULL }, { "UNFLAGGED", SEARCH_FLAG, ARG_NONE, FLAG_FLAGGED, true, NULL },
    { "UNKEYWORD", SEARCH_KEYWORD, ARG_KEYWORD, 0, true, NULL }, { "UNSEEN", SEARCH_FLAG, ARG_NONE, FLAG_SEEN, true, NULL },
    { "YOUNGER", SEARCH_YOUNGER, ARG_INTERVAL, 0, false, NULL },
};

struct searching {
    struct session *s;
    struct parse *p;
    struct str charset;
    bool charset_known;
    struct filters filters;
    size_t keys;                     /* so far: bounded */
    bool fuzzy;                      /* within FUZZY */
    struct search_range *saved;      /* what "$" stands for, once it was asked for */
    size_t saved_count;
    enum outcome outcome;            /* what to answer when parsing fails */
};
enum { SEARCH_KEYS = 20000 };

static bool parse_key(struct searching *x, struct search_key *out, unsigned depth);

/* A key list, separated by spaces, up to its end. */
static bool parse_keys(struct searching *x, struct search_key *out, unsigned depth)
{
    size_t capacity = 0;
    *out = (struct search_key){ .type = SEARCH_AND };
    do {
        if (out->child_count == capacity) {
            struct search_key *more = arena_alloc(x->s->arena, (capacity * 2 + 4) * sizeof *more);
            if (capacity > 0)
                memcpy(more, out->children, capacity * sizeof *more);
            out->children = more;
            capacity = capacity * 2 + 4;
        }
        if (!parse_key(x, &out->children[out->child_count], depth))
            return false;
        out->child_count++;
    } while (parse_sp(x->p));
    return true;
}

/* "$": the messages that were saved, as UIDs. However often it stands in a command, they are listed once: they may be many. */
static bool take_saved(struct searching *x, struct search_key *out)
{
    const uint32_t *uids = (const uint32_t *)(const void *)x->s->saved.data;
    const size_t n = x->s->saved.len / sizeof *uids;
    struct search_range *list = x->saved;
    if (list == NULL) {
        list = x->saved = arena_alloc(x->s->arena, (n + 1) * sizeof *list);
        for (size_t i = 0; i < n; i++) {
            if (x->saved_count > 0 && list[x->saved_count - 1].last + 1 == uids[i])
                list[x->saved_count - 1].last = uids[i];
            else
                list[x->saved_count++] = (struct search_range){ uids[i], uids[i] };
        }
    }
    out->type = SEARCH_UID;
    out->ranges = list;
    out->range_count = x->saved_count;
    return true;
}

static bool take_set(struct searching *x, struct search_key *out, bool uid)
{
    struct set set;
    struct mailbox *m = x->s->mailbox;
    const uint32_t exists = m != NULL ? mailbox_exists(m) : 0, last = !uid ? exists : exists > 0 ? mailbox_uid(m, exists) : 0;
    if (!parse_set(x->p, &set))
        return false;
    if (set.saved)
        return take_saved(x, out);
    if (!numbers_allowed(x->s, uid)) {
        x->outcome = OUTCOME_BAD;
        return false;
    }
    const bool fixed = !uid && x->s->numbers_fixed;
    if (!uid)                                    /* UID SEARCH by numbers changes none of them (RFC 7162 section 3.2.10.2) */
        x->s->expunge_allowed = false;
    out->type = uid || fixed ? SEARCH_UID : SEARCH_SEQ;
    out->ranges = arena_alloc(x->s->arena, (set.n + 1) * sizeof *out->ranges);
    out->range_count = set.n;
    for (size_t i = 0; i < set.n; i++) {
        uint32_t a = set.list[i].first == UINT32_MAX ? last : set.list[i].first;
        uint32_t b = set.list[i].last == UINT32_MAX ? last : set.list[i].last;
        if (a > b) {
            const uint32_t swap = a;
            a = b;
            b = swap;
        }
        if (fixed && exists > 0) {               /* beyond the end is no error (RFC 7377 section 2), just nothing */
            a = a > exists ? UINT32_MAX : mailbox_uid(m, a > 0 ? a : 1);
            b = b > exists ? mailbox_uid(m, exists) : mailbox_uid(m, b > 0 ? b : 1);
        }
        out->ranges[i] = (struct search_range){ a, b };
    }
    return true;
}

/* UIDAFTER n, UIDBEFORE n (RFC 9738 section 3.2). */
static bool take_bound(struct searching *x, struct search_key *out, bool after)
{
    uint32_t uid;
    if (!parse_sp(x->p) || !parse_nz_number(x->p, &uid))
        return false;
    out->type = SEARCH_UID;
    out->ranges = arena_alloc(x->s->arena, sizeof *out->ranges);
    out->range_count = after ? uid < UINT32_MAX : uid > 1;
    if (out->range_count > 0)
        out->ranges[0] = after ? (struct search_range){ uid + 1, UINT32_MAX } : (struct search_range){ 1, uid - 1 };
    return true;
}

/* [entry SP type SP] mod-sequence-valzer. One MODSEQ for all of a message: the entry is read and passed over. */
static bool take_modseq(struct searching *x, struct search_key *out)
{
    struct str entry;
    if (x->p->at < x->p->end && *x->p->at == '"'
        && (!parse_string(x->p, &entry) || !parse_sp(x->p)
            || !(parse_word(x->p, "all") || parse_word(x->p, "priv") || parse_word(x->p, "shared")) || !parse_sp(x->p)))
        return false;
    return parse_number64(x->p, &out->value);
}

static bool take_text(struct searching *x, struct str *out)
{
    struct str raw;
    struct buf utf8 = { 0 };
    if (!parse_sp(x->p) || !parse_astring(x->p, &raw))
        return false;
    if (!x->charset_known) {
        *out = raw;
        return true;
    }
    if (text_to_utf8(&utf8, x->charset, raw) != 0) {
        buf_free(&utf8);
        return false;
    }
    *out = arena_str(x->s->arena, buf_str(&utf8));
    buf_free(&utf8);
    return true;
}

/* objectid of RFC 8474 section 7. */
static bool parse_object_id(struct parse *p, struct str *out)
{
    if (!parse_atom(p, out) || out->n > 255)
        return false;
    for (size_t i = 0; i < out->n; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", out->p[i]) == NULL)
            return false;
    return true;
}

static bool take_argument(struct searching *x, const struct search_name *row, struct search_key *out)
{
    switch (row->argument) {
    case ARG_NONE:
        return true;
    case ARG_TEXT:
        return take_text(x, &out->text);
    case ARG_DATE:
        return parse_sp(x->p) && parse_date(x->p, &out->day);
    case ARG_NUMBER:
        return parse_sp(x->p) && parse_number64(x->p, &out->value);
    case ARG_INTERVAL: {
        uint32_t seconds;
        if (!parse_sp(x->p) || !parse_nz_number(x->p, &seconds))
            return false;
        out->value = seconds;
        return true;
    }
    case ARG_MODSEQ:
        return parse_sp(x->p) && take_modseq(x, out);
    case ARG_KEYWORD:
        return parse_sp(x->p) && parse_atom(x->p, &out->text);
    case ARG_OBJECT_ID:
        return parse_sp(x->p) && parse_object_id(x->p, &out->text);
    }
    return false;
}

static bool negate(struct searching *x, struct search_key *out)
{
    struct search_key *inner = arena_alloc(x->s->arena, sizeof *inner);
    *inner = *out;
    *out = (struct search_key){ .type = SEARCH_NOT, .children = inner, .child_count = 1 };
    return true;
}

static bool named_key(struct searching *x, struct search_key *out)
{
    for (size_t i = 0; i < sizeof search_names / sizeof *search_names; i++) {
        const struct search_name *row = &search_names[i];
        if (!parse_word(x->p, row->name))
            continue;
        out->type = row->type;
        out->value = row->value;
        out->fuzzy = x->fuzzy;
        if (row->field != NULL)
            out->field = str_z(row->field);
        return take_argument(x, row, out) && (!row->negated || negate(x, out));
    }
    return false;
}

static bool new_key(struct searching *x, struct search_key *out)
{
    struct search_key *both = arena_alloc(x->s->arena, 2 * sizeof *both);
    both[0] = (struct search_key){ .type = SEARCH_RECENT };
    both[1] = (struct search_key){ .type = SEARCH_FLAG, .value = FLAG_SEEN };
    *out = (struct search_key){ .type = SEARCH_AND, .children = both, .child_count = 2 };
    return negate(x, &both[1]);
}

/* FILTER name: the keys that the user keeps under it stand here, as if in parentheses. */
static bool take_filter(struct searching *x, struct search_key *out, unsigned depth)
{
    struct parse text;
    struct searching inner = *x;
    if (!filter_open(x->s, &inner.filters, x->charset, x->p, &text, &x->outcome))
        return false;
    inner.p = &text;
    inner.charset = STR("UTF-8");
    inner.charset_known = true;
    bool good = parse_keys(&inner, out, depth + 1) && parse_end(&text);
    x->keys = inner.keys;
    x->filters.metadata = inner.filters.metadata;
    x->saved = inner.saved;
    x->saved_count = inner.saved_count;
    if (!good)
        x->outcome = inner.outcome != OUTCOME_SILENT ? inner.outcome : filter_broken(x->s, &inner.filters);
    return good;
}

static bool parse_key(struct searching *x, struct search_key *out, unsigned depth)
{
    struct parse *p = x->p;
    *out = (struct search_key){ .type = SEARCH_ALL };
    if (depth >= SEARCH_DEPTH || ++x->keys > SEARCH_KEYS) {
        x->outcome = say(x->s, OUTCOME_NO, "LIMIT", "The search is too large or too deep");
        return false;
    }
    if (parse_char(p, '('))
        return parse_keys(x, out, depth + 1) && parse_char(p, ')');
    if (parse_word(p, "NOT")) {
        struct search_key *inner = arena_alloc(x->s->arena, sizeof *inner);
        *out = (struct search_key){ .type = SEARCH_NOT, .children = inner, .child_count = 1 };
        return parse_sp(p) && parse_key(x, inner, depth + 1);
    }
    if (parse_word(p, "OR")) {
        struct search_key *both = arena_alloc(x->s->arena, 2 * sizeof *both);
        *out = (struct search_key){ .type = SEARCH_OR, .children = both, .child_count = 2 };
        return parse_sp(p) && parse_key(x, &both[0], depth + 1) && parse_sp(p) && parse_key(x, &both[1], depth + 1);
    }
    if (parse_word(p, "FILTER"))
        return take_filter(x, out, depth);
    if (parse_word(p, "NEW"))
        return new_key(x, out);
    if (parse_word(p, "UID"))
        return parse_sp(p) && take_set(x, out, true);
    if (parse_word(p, "UIDAFTER"))
        return take_bound(x, out, true);
    if (parse_word(p, "UIDBEFORE"))
        return take_bound(x, out, false);
    if (parse_word(p, "FUZZY")) {
        const bool outer = x->fuzzy;
        x->fuzzy = true;
        const bool good = parse_sp(p) && parse_key(x, out, depth + 1);
        x->fuzzy = outer;
        return good;
    }
    if (parse_word(p, "HEADER")) {
        struct str field;
        out->type = SEARCH_HEADER;
        out->fuzzy = x->fuzzy;
        if (!parse_sp(p) || !parse_astring(p, &field))
            return false;
        out->field = field;
        return take_text(x, &out->text);
    }
    if (named_key(x, out))
        return true;
    return p->at < p->end && (*p->at == '*' || *p->at == '$' || (*p->at >= '0' && *p->at <= '9')) && take_set(x, out, false);
}

bool search_parse(struct session *s, struct parse *p, struct str charset, struct search_key *program, enum outcome *outcome)
{
    struct searching x = { .s = s, .p = p, .charset = charset, .charset_known = text_charset_known(charset), .outcome = OUTCOME_SILENT };
    if (parse_keys(&x, program, 0) && parse_end(p)) {
        program->collation = s->collation;
        if (!x.charset_known)                    /* only now: with FILTER among the keys it is BAD (RFC 5466 section 3.1) */
            *outcome = say(s, OUTCOME_NO, "BADCHARSET (US-ASCII UTF-8)", "Unknown charset");
        return x.charset_known;
    }
    *outcome = x.outcome != OUTCOME_SILENT ? x.outcome : bad_arguments(s, "search keys");
    return false;
}
