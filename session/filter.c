/*
 * Which mailboxes NOTIFY and ESEARCH mean: filter-mailboxes of RFC 5465 and RFC 7377.
 */
#include "session/filter.h"

#include <string.h>

static const struct { const char *name; enum filter_kind kind; bool names; } filter_names[] = {
    { "SELECTED-DELAYED", FILTER_DELAYED, false }, { "SELECTED", FILTER_SELECTED, false }, { "INBOXES", FILTER_INBOXES, false },
    { "PERSONAL", FILTER_PERSONAL, false }, { "SUBSCRIBED", FILTER_SUBSCRIBED, false },
    { "SUBTREE-ONE", FILTER_SUBTREE_ONE, true }, { "SUBTREE", FILTER_SUBTREE, true }, { "MAILBOXES", FILTER_MAILBOXES, true },
};

/* one-or-more-mailbox */
static bool parse_names(struct session *s, struct parse *p, struct mailbox_filter *out)
{
    size_t most = 1;
    for (const char *c = p->at; c < p->end; c++)
        most += *c == ' ';
    out->wire = arena_alloc(s->arena, most * sizeof *out->wire);
    if (!parse_char(p, '('))
        return parse_astring(p, &out->wire[out->n++]);
    do
        if (out->n == most || !parse_astring(p, &out->wire[out->n++]))
            return false;
    while (parse_sp(p));
    return parse_char(p, ')');
}

bool parse_filter(struct session *s, struct parse *p, struct mailbox_filter *out)
{
    for (size_t i = 0; i < sizeof filter_names / sizeof *filter_names; i++) {
        if (!parse_word(p, filter_names[i].name))
            continue;
        *out = (struct mailbox_filter){ .kind = filter_names[i].kind };
        return !filter_names[i].names || (parse_sp(p) && parse_names(s, p, out));
    }
    return false;
}

struct walking {
    struct session *s;
    const struct mailbox_filter *filter;
    const char (*roots)[MAILBOX_NAME_MAX];       /* canonical names of the filter */
    size_t n;
    int (*each)(void *ctx, const char *name);
    void *ctx;
};

/* Is the name one of the roots, or below it as far as the filter says? */
static bool is_meant(const struct walking *w, const char *name)
{
    if (w->filter->kind == FILTER_PERSONAL)
        return true;
    for (size_t i = 0; i < w->n; i++) {
        const size_t n = strlen(w->roots[i]);
        if (strncmp(name, w->roots[i], n) != 0 || (name[n] != 0 && name[n] != '/'))
            continue;
        if (name[n] == 0 || w->filter->kind == FILTER_SUBTREE
            || (w->filter->kind == FILTER_SUBTREE_ONE && strchr(name + n + 1, '/') == NULL))
            return true;
    }
    return false;
}

static bool descend(void *ctx, const char *directory)
{
    const struct walking *w = ctx;
    if (w->filter->kind == FILTER_PERSONAL)
        return true;
    for (size_t i = 0; i < w->n; i++) {
        const size_t n = strlen(w->roots[i]), d = strlen(directory);
        if (strncmp(directory, w->roots[i], n < d ? n : d) == 0)
            return true;
    }
    return false;
}

static int on_name(void *ctx, const char *name, unsigned attributes)
{
    const struct walking *w = ctx;
    return (attributes & NAME_SELECTABLE) && is_meant(w, name) ? w->each(w->ctx, name) : 0;
}

static int on_subscribed(void *ctx, const char *text)
{
    const struct walking *w = ctx;
    struct mailbox_name name;
    if (names_parse(store_names(w->s->store), str_z(text), &name, NULL, NULL) != 0
        || !(names_look(store_names(w->s->store), &name, NULL) & NAME_SELECTABLE))
        return 0;
    return w->each(w->ctx, name.text);
}

int filter_each(struct session *s, const struct mailbox_filter *f, int (*each)(void *ctx, const char *name), void *ctx,
                struct store_error *e)
{
    struct walking w = { .s = s, .filter = f, .each = each, .ctx = ctx };
    struct names *const names = store_names(s->store);
    char (*roots)[MAILBOX_NAME_MAX] = arena_alloc(s->arena, (f->n + 1) * sizeof *roots);
    for (size_t i = 0; i < f->n; i++) {
        struct mailbox_name name;
        bool directory;
        if (!to_store_name(s, f->wire[i], &name, &directory)) {
            s->code[0] = s->text[0] = 0;             /* such a mailbox cannot be: as if it were not there */
            continue;
        }
        memcpy(roots[w.n++], name.text, sizeof name.text);
    }
    w.roots = (const char (*)[MAILBOX_NAME_MAX])roots;
    if (f->kind == FILTER_INBOXES)
        return each(ctx, "INBOX") < 0 ? -1 : 0;
    const int rc = f->kind == FILTER_SUBSCRIBED ? subs_list(names, on_subscribed, &w, e)
                                                : names_list(names, descend, on_name, &w, NULL, e);
    return rc < 0 ? -1 : 0;
}
