/*
 * LIST with its selection and return options (RFC 5258, RFC 5819, RFC 6154, RFC 8440, RFC 9590, RFC 9051 section 6.3.9).
 *
 * First all names that match a pattern are gathered, with what they are; then those that the selection options leave are told,
 * each with what the return options ask for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "session/list.h"
#include "session/metadata.h"

enum selection { SELECT_SUBSCRIBED = 1, SELECT_REMOTE = 2, SELECT_RECURSIVE = 4, SELECT_USE = 8 };
enum returning { RETURN_SUBSCRIBED = 1, RETURN_CHILDREN = 2, RETURN_STATUS = 4, RETURN_USE = 8, RETURN_METADATA = 16, RETURN_MYRIGHTS = 32 };

struct list_request {
    struct session *s;
    bool extended;
    unsigned selection, returning;
    struct status_items status;
    struct str *metadata; size_t metadata_n;     /* entries that METADATA names */
    struct annotations annotations;              /* once they are needed */
    struct patterns patterns;
};

struct entry {
    const char *name;
    unsigned attributes;             /* NAME_ bits; 0: it does not exist */
    bool selected;                   /* satisfies the selection */
    bool childinfo;                  /* something below satisfies it */
    bool hidden_child;               /* ... that is not told itself */
};
struct entries { struct entry *list; size_t n, capacity; };

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

static bool selection_options(struct parse *p, struct list_request *r)
{
    r->extended = true;
    if (parse_char(p, ')'))
        return true;
    do {
        if (parse_word(p, "SUBSCRIBED"))
            r->selection |= SELECT_SUBSCRIBED;
        else if (parse_word(p, "REMOTE"))
            r->selection |= SELECT_REMOTE;
        else if (parse_word(p, "SPECIAL-USE"))
            r->selection |= SELECT_USE;
        else if (parse_word(p, "RECURSIVEMATCH"))
            r->selection |= SELECT_RECURSIVE;
        else
            return false;
    } while (parse_sp(p));
    /* RECURSIVEMATCH wants something to match besides */
    return parse_char(p, ')') && (!(r->selection & SELECT_RECURSIVE) || (r->selection & ~(unsigned)(SELECT_RECURSIVE | SELECT_REMOTE)));
}

static bool return_options(struct parse *p, struct list_request *r)
{
    r->extended = true;
    if (!parse_char(p, '('))
        return false;
    if (parse_char(p, ')'))
        return true;
    do {
        if (parse_word(p, "SUBSCRIBED"))
            r->returning |= RETURN_SUBSCRIBED;
        else if (parse_word(p, "CHILDREN"))
            r->returning |= RETURN_CHILDREN;
        else if (parse_word(p, "SPECIAL-USE"))
            r->returning |= RETURN_USE;
        else if (parse_word(p, "MYRIGHTS"))
            r->returning |= RETURN_MYRIGHTS;
        else if (parse_word(p, "METADATA") && parse_sp(p) && parse_entry_names(p, &r->metadata, &r->metadata_n))
            r->returning |= RETURN_METADATA;
        else if (parse_word(p, "STATUS") && parse_sp(p) && parse_status_items(r->s, p, &r->status))
            r->returning |= RETURN_STATUS;
        else
            return false;
    } while (parse_sp(p));
    return parse_char(p, ')');
}

/* mbox-or-pat. *empty: the one pattern is "". */
static bool patterns(struct parse *p, struct list_request *r, struct str reference, bool *empty)
{
    struct str pattern;
    size_t most = 1;
    for (const char *c = p->at; c < p->end; c++)
        most += *c == ' ';
    r->patterns.list = arena_alloc(r->s->arena, most * sizeof *r->patterns.list);
    if (!parse_char(p, '(')) {
        if (!parse_list_mailbox(p, &pattern))
            return false;
        *empty = pattern.n == 0;
        list_add_pattern(r->s, &r->patterns, reference, pattern);
        return true;
    }
    r->extended = true;
    do {
        if (r->patterns.n == most || !parse_list_mailbox(p, &pattern))
            return false;
        list_add_pattern(r->s, &r->patterns, reference, pattern);
    } while (parse_sp(p));
    return parse_char(p, ')');
}

/* ---- gathering ---------------------------------------------------------------------------------------------------- */

static struct entry *add_entry(struct session *s, struct entries *to, const char *name)
{
    if (to->n == to->capacity) {
        struct entry *more = arena_alloc(s->arena, (to->capacity * 2 + 64) * sizeof *more);
        if (to->n > 0)
            memcpy(more, to->list, to->n * sizeof *more);
        to->list = more;
        to->capacity = to->capacity * 2 + 64;
    }
    to->list[to->n] = (struct entry){ .name = arena_strndup(s->arena, name, strlen(name)) };
    return &to->list[to->n++];
}

struct gathering {
    struct list_request *r;
    struct entries there, subscribed;
};

static bool descend(void *ctx, const char *directory)
{
    const struct gathering *g = ctx;
    return list_descend(&g->r->patterns, directory);
}

static int on_name(void *ctx, const char *name, unsigned attributes)
{
    struct gathering *g = ctx;
    if (list_matches_any(&g->r->patterns, name))
        add_entry(g->r->s, &g->there, name)->attributes = attributes;
    return 0;
}

static int on_subscribed(void *ctx, const char *name)
{
    struct gathering *g = ctx;
    if (strlen(name) < MAILBOX_NAME_MAX)
        add_entry(g->r->s, &g->subscribed, name);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static struct entry *find(const struct entries *in, const char *name)
{
    const struct entry key = { .name = name };
    return in->n > 0 ? bsearch(&key, in->list, in->n, sizeof key, by_name) : NULL;
}

static void sort(struct entries *x)
{
    if (x->n > 1)
        qsort(x->list, x->n, sizeof *x->list, by_name);
}

/* A name that is subscribed, or an ancestor of one: found among what is there, or new. */
static struct entry *candidate(struct gathering *g, struct entries *out, const char *name)
{
    for (size_t i = out->n; i-- > 0 && i + 64 > out->n;)        /* ancestors of neighbours are told once */
        if (strcmp(out->list[i].name, name) == 0)
            return &out->list[i];
    const struct entry *there = find(&g->there, name);
    struct entry *e = add_entry(g->r->s, out, name);
    e->attributes = there != NULL ? there->attributes : 0;
    return e;
}

/* The names that LIST (SUBSCRIBED) tells; with RECURSIVEMATCH the ancestors too. */
static void select_subscribed(struct gathering *g, struct entries *out)
{
    char parent[MAILBOX_NAME_MAX];
    for (size_t i = 0; i < g->subscribed.n; i++) {
        const char *name = g->subscribed.list[i].name;
        const bool told = list_matches_any(&g->r->patterns, name);
        if (told)
            candidate(g, out, name)->selected = true;
        for (const char *slash = strrchr(name, '/'); (g->r->selection & SELECT_RECURSIVE) && slash != NULL;) {
            const size_t n = (size_t)(slash - name);
            memcpy(parent, name, n);
            parent[n] = 0;
            if (list_matches_any(&g->r->patterns, parent)) {
                struct entry *e = candidate(g, out, parent);
                e->childinfo = true;
                e->hidden_child |= !told;
            }
            slash = memrchr(name, '/', n);
        }
    }
    sort(out);
    size_t to = 0;
    for (size_t i = 0; i < out->n; i++) {
        if (to > 0 && strcmp(out->list[to - 1].name, out->list[i].name) == 0) {
            out->list[to - 1].selected |= out->list[i].selected;
            out->list[to - 1].childinfo |= out->list[i].childinfo;
            out->list[to - 1].hidden_child |= out->list[i].hidden_child;
        } else {
            out->list[to++] = out->list[i];
        }
    }
    out->n = to;
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

void list_add_word(struct buf *to, const char *word)
{
    if (to->len > 0)
        buf_addc(to, ' ');
    buf_puts(to, word);
}

void list_add_uses(unsigned uses, struct buf *to)
{
    if (uses == 0)
        return;
    list_add_word(to, "");
    special_use_text(uses, to);
}

/* What holds messages is a file, and has nothing below it. INBOX is not below the mail root: a directory of its name may be. */
static const char *selectable_attributes(const char *name)
{
    return strcmp(name, "INBOX") == 0 ? "\\HasNoChildren" : "\\NoInferiors \\HasNoChildren";
}

void list_attributes(const char *name, unsigned there, struct buf *out)
{
    if (there == 0)
        list_add_word(out, "\\NonExistent");
    else if (there & NAME_SELECTABLE)
        list_add_word(out, selectable_attributes(name));
    else
        list_add_word(out, there & NAME_HAS_CHILDREN ? "\\Noselect \\HasChildren" : "\\Noselect \\HasNoChildren");
}

/* Plain LIST tells special uses too (RFC 6154 section 2): clients that know no LIST-EXTENDED look for them there. */
static bool tells_uses(const struct list_request *r)
{
    return !r->extended || (r->selection & SELECT_USE) || (r->returning & RETURN_USE);
}

static void attributes_text(const struct gathering *g, const struct entry *e, struct buf *out)
{
    const bool subscribed = (g->r->selection & SELECT_SUBSCRIBED) || (g->r->returning & RETURN_SUBSCRIBED);
    list_attributes(e->name, e->attributes, out);
    if (subscribed && (e->selected || !(g->r->selection & SELECT_SUBSCRIBED)) && find(&g->subscribed, e->name) != NULL)
        list_add_word(out, "\\Subscribed");
    if (tells_uses(g->r))
        list_add_uses(special_uses_of(&g->r->annotations.uses, e->name), out);
}

static void write_list(struct session *s, const char *attributes, const struct entry *e)
{
    io_printf(&s->io, "* LIST (%s) \"/\" ", attributes);
    write_mailbox(&s->io, e->name);
    io_puts(&s->io, e->childinfo ? " (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n" : "\r\n");
}

static void tell(const struct gathering *g, const struct entry *e)
{
    struct session *s = g->r->s;
    struct mailbox_name name;
    struct store_error error;
    struct buf attributes = { 0 };
    attributes_text(g, e, &attributes);
    const size_t start = s->io.output.len;
    write_list(s, attributes.data, e);
    if ((g->r->returning & RETURN_STATUS) && e->selected && (e->attributes & NAME_SELECTABLE)
        && (names_parse(store_names(s->store), str_z(e->name), &name, NULL, &error) != 0
            || write_status(s, &name, (struct str){ NULL, 0 }, &g->r->status, &error) != 0)) {
        s->io.output.len = start;            /* RFC 5819: it cannot be selected, so it says */
        list_add_word(&attributes, "\\Noselect");
        write_list(s, attributes.data, e);
    }
    buf_free(&attributes);
    if ((g->r->returning & RETURN_MYRIGHTS) && (e->attributes & NAME_SELECTABLE))
        write_myrights(s, e->name);
    if ((g->r->returning & RETURN_METADATA) && e->attributes != 0)
        write_metadata(s, &g->r->annotations, e->name, g->r->metadata, g->r->metadata_n);
    io_relieve(&s->io);
}

static enum outcome list(struct list_request *r)
{
    struct session *s = r->s;
    struct gathering g = { .r = r };
    struct entries chosen = { .list = NULL };
    struct store_error e;
    bool cut = false;
    if (r->patterns.n == 0)
        return OUTCOME_OK;                       /* no such name can be: nothing matches */
    if (((r->selection & SELECT_SUBSCRIBED) || (r->returning & RETURN_SUBSCRIBED))
        && subs_list(store_names(s->store), on_subscribed, &g, &e) < 0)
        return store_no(s, &e);
    if (names_list(store_names(s->store), descend, on_name, &g, &cut, &e) < 0)
        return store_no(s, &e);
    const bool uses = tells_uses(r);
    if ((uses || (r->returning & RETURN_METADATA)) && annotations_load(s, uses, &r->annotations, &e) != 0)
        log_warning("%s: %s", s->user, e.text);
    if (cut)
        log_warning("%s: LIST was cut at list-depth or list-count", s->user);
    sort(&g.subscribed);
    if (r->selection & SELECT_SUBSCRIBED) {
        sort(&g.there);
        select_subscribed(&g, &chosen);
    } else {
        chosen = g.there;
    }
    for (size_t i = 0; i < chosen.n; i++) {
        chosen.list[i].selected |= !(r->selection & SELECT_SUBSCRIBED);
        if ((r->selection & SELECT_USE) && special_uses_of(&r->annotations.uses, chosen.list[i].name) == 0)
            continue;
        if (chosen.list[i].selected || chosen.list[i].hidden_child)
            tell(&g, &chosen.list[i]);
    }
    return OUTCOME_OK;
}

enum outcome cmd_list(struct session *s, struct parse *p)
{
    static const char usage[] = "LIST [(selection options)] reference pattern [RETURN (options)]";
    struct list_request r = { .s = s };
    struct str reference;
    bool empty = false;
    if (!parse_sp(p) || (parse_char(p, '(') && (!selection_options(p, &r) || !parse_sp(p))) || !parse_astring(p, &reference)
        || !parse_sp(p) || !patterns(p, &r, reference, &empty)
        || (parse_sp(p) && (!parse_word(p, "RETURN") || !parse_sp(p) || !return_options(p, &r))) || !parse_end(p))
        return s->text[0] != 0 ? OUTCOME_BAD : bad_arguments(s, usage);
    if (empty && !r.extended) {
        io_puts(&s->io, "* LIST (\\Noselect) \"/\" \"\"\r\n");
        return OUTCOME_OK;
    }
    return list(&r);
}

/* attributes NULL: of a mailbox that is there; old.n 0: without OLDNAME. */
static void list_now(struct session *s, const char *name, const char *attributes, struct str old)
{
    io_printf(&s->io, "* LIST (%s) \"/\" ", attributes != NULL ? attributes : selectable_attributes(name));
    write_mailbox(&s->io, name);
    if (old.n > 0) {
        io_puts(&s->io, " (\"OLDNAME\" (");
        write_utf8(&s->io, old);
        io_puts(&s->io, "))");
    }
    io_puts(&s->io, "\r\n");
}

static bool is_other(struct str wire, const char *name)
{
    return wire.n > 0 && !str_eq(wire, str_z(name));
}

void list_normalized(struct session *s, struct str wire, const char *name, const char *attributes, bool always)
{
    const bool other = is_other(wire, name);
    if (rev2(s) && (other || always))
        list_now(s, name, attributes, other ? wire : STR(""));
}

void list_renamed(struct session *s, struct str wire_from, const struct mailbox_name *from, struct str wire_to,
                  const struct mailbox_name *to)
{
    if (rev2(s) && !from->inbox && (is_other(wire_from, from->text) || is_other(wire_to, to->text)))
        list_now(s, to->text, names_look(store_names(s->store), to, NULL) & NAME_SELECTABLE ? NULL : "\\Noselect", wire_from);
}
