/*
 * FILTER: named searches (RFC 5466). A filter is one search key, whatever it holds: all of its keys must match.
 */
#include "session/search_filter.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { FILTER_NAME = 100, FILTER_NESTED = 16 };      /* octets; filters within filters */

static const char *const roots[] = { "/private/filters/values/", "/shared/filters/values/" };

/* filter-name: atom characters without "/". */
static bool name_valid(struct str name, struct arena *arena)
{
    struct parse p = { .at = name.p, .end = name.p + name.n, .arena = arena };
    struct str atom;
    return name.n > 0 && name.n <= FILTER_NAME && memchr(name.p, '/', name.n) == NULL && parse_atom(&p, &atom) && parse_end(&p);
}

bool filter_entry(struct str entry, struct str *name)
{
    for (size_t i = 0; i < 2; i++) {
        const size_t n = strlen(roots[i]);
        if (entry.n < n || strncasecmp(entry.p, roots[i], n) != 0)
            continue;
        *name = (struct str){ entry.p + n, entry.n - n };
        if (!name_valid(*name, NULL))
            name->n = 0;
        return true;
    }
    return false;
}

static struct str value_of(const struct metadata *m, struct str name)
{
    char entry[FILTER_NAME + 40];
    struct str value = { NULL, 0 };
    for (size_t i = 0; i < 2 && value.p == NULL; i++) {      /* the private one is before the shared one */
        const int n = snprintf(entry, sizeof entry, "%s%.*s", roots[i], (int)name.n, name.p);
        value = metadata_get(m, "", (struct str){ entry, (size_t)n });
    }
    return value;
}

static enum outcome undefined(struct session *s, struct str name, const char *why)
{
    char code[FILTER_NAME + 40];
    snprintf(code, sizeof code, "UNDEFINED-FILTER %.*s", (int)name.n, name.p);
    return say(s, OUTCOME_NO, code, "%s", why);
}

static bool load(struct session *s, struct filters *f, enum outcome *outcome)
{
    struct store_error e;
    struct metadata *m = arena_alloc(s->arena, sizeof *m);
    if (f->metadata != NULL)
        return true;
    if (metadata_load(store_names(s->store), s->arena, m, &e) != 0) {
        *outcome = store_no(s, &e);
        return false;
    }
    f->metadata = m;
    return true;
}

bool filter_open(struct session *s, struct filters *f, struct str charset, struct parse *p, struct parse *text, enum outcome *outcome)
{
    struct str name, value;
    *outcome = OUTCOME_SILENT;
    if (!parse_sp(p) || !parse_atom(p, &name) || !name_valid(name, s->arena))
        return false;
    if (!str_ieq(charset, STR("UTF-8")) && !str_ieq(charset, STR("US-ASCII"))) {
        *outcome = say(s, OUTCOME_BAD, "BADCHARSET (UTF-8)", "FILTER is for searches in UTF-8");
        return false;
    }
    if (!load(s, f, outcome))
        return false;
    bool loop = f->open != NULL && f->open->depth >= FILTER_NESTED;
    for (const struct filter_frame *in = f->open; in != NULL && !loop; in = in->outer)
        loop = str_ieq(in->name, name);
    value = loop ? (struct str){ NULL, 0 } : value_of(f->metadata, name);
    if (value.p == NULL) {
        *outcome = undefined(s, name, loop ? "The filter is within itself, or within too many others" : "There is no such filter");
        return false;
    }
    struct filter_frame *frame = arena_alloc(s->arena, sizeof *frame);
    *frame = (struct filter_frame){ .name = name, .outer = f->open, .depth = f->open != NULL ? f->open->depth + 1 : 1 };
    f->open = frame;
    *text = (struct parse){ .at = value.p, .end = value.p + value.n, .arena = s->arena };
    return true;
}

enum outcome filter_broken(struct session *s, const struct filters *f)
{
    return say(s, OUTCOME_NO, NULL, "The filter %.*s does not hold search keys", (int)f->open->name.n, f->open->name.p);
}

bool filter_valid(struct session *s, struct str keys)
{
    struct parse p = { .at = keys.p, .end = keys.p + keys.n, .arena = s->arena };
    struct search_key program;
    enum outcome outcome;
    struct mailbox *mailbox = s->mailbox;
    const unsigned enabled = s->enabled;
    s->mailbox = NULL;                       /* what is right does not depend on what is selected */
    const bool good = search_parse(s, &p, STR("UTF-8"), &program, &outcome) || strncmp(s->code, "UNDEFINED-FILTER ", 17) == 0;
    s->mailbox = mailbox;
    s->enabled = enabled;
    s->code[0] = s->text[0] = 0;
    return good;
}
