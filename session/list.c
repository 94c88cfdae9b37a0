/*
 * LIST patterns and LSUB.
 */
#include <string.h>
#include <strings.h>

#include "session/list.h"

bool list_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *star_at = NULL, *percent = NULL, *percent_at = NULL;
    for (;;) {
        if (*pattern == '*') {
            star = ++pattern;
            star_at = name;
            percent = NULL;
        } else if (*pattern == '%') {
            percent = ++pattern;
            percent_at = name;
        } else if (*pattern == *name && *name != 0) {
            pattern++;
            name++;
        } else if (*pattern == 0 && *name == 0) {
            return true;
        } else if (percent != NULL && *percent_at != 0 && *percent_at != '/') {
            name = ++percent_at;
            pattern = percent;
        } else if (star != NULL && *star_at != 0) {
            name = ++star_at;
            pattern = star;
            percent = NULL;
        } else {
            return false;
        }
    }
}

bool list_matches_any(const struct patterns *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (list_matches(p->list[i], name))
            return true;
    return false;
}

/* May something below this directory match? The fixed part of the pattern decides. */
static bool may_match_below(const char *p, const char *directory)
{
    const char *d = directory;
    while (*p != 0 && *p != '*' && *p != '%' && *d != 0 && *p == *d) {
        p++;
        d++;
    }
    if (*p == '*')
        return true;
    if (*p == '%') {
        if (strchr(p, '*') != NULL)
            return true;
        size_t levels = 0, depth = 0;
        for (; *p != 0; p++)
            levels += *p == '/';
        for (; *d != 0; d++)
            depth += *d == '/';
        return levels > depth;
    }
    return *d == 0 && *p == '/';
}

bool list_descend(const struct patterns *p, const char *directory)
{
    for (size_t i = 0; i < p->n; i++)
        if (may_match_below(p->list[i], directory))
            return true;
    return false;
}

/* The mail-root as a prefix that clients were configured with finds the same names. */
static const char *without_root(const char *pattern, const char *root)
{
    const size_t n = root != NULL ? strlen(root) : 0;
    return n > 0 && strncmp(pattern, root, n) == 0 && pattern[n] == '/' ? pattern + n + 1 : pattern;
}

void list_add_pattern(struct session *s, struct patterns *to, struct str reference, struct str pattern)
{
    struct buf utf8 = { 0 };
    bool good = true;
    if (pattern.n > 0 && pattern.p[0] == '/')
        reference.n = 0;
    if (s->io.utf8) {
        buf_add(&utf8, reference.p, reference.n);
        buf_add(&utf8, pattern.p, pattern.n);
    } else {
        good = utf7_to_utf8(&utf8, reference) == 0 && utf7_to_utf8(&utf8, pattern) == 0;
    }
    if (good && utf8.len < MAILBOX_NAME_MAX && (utf8.len == 0 || memchr(utf8.data, 0, utf8.len) == NULL)) {
        char *text = arena_strndup(s->arena, utf8.len > 0 ? utf8.data : "", utf8.len);
        if (strncasecmp(text, "inbox", 5) == 0 && strchr("/%*", text[5]) != NULL)
            memcpy(text, "INBOX", 5);
        to->list[to->n++] = without_root(text, s->config->mail_root);
    }
    buf_free(&utf8);
}

/* ---- LSUB --------------------------------------------------------------------------------------------------------- */

struct lsub {
    struct session *s;
    struct patterns patterns;
    struct buf told;                 /* parents told already, NUL-terminated */
};

static void write_lsub(struct session *s, const char *attributes, const char *name)
{
    io_printf(&s->io, "* LSUB (%s) \"/\" ", attributes);
    write_mailbox(&s->io, name);
    io_puts(&s->io, "\r\n");
}

/* RFC 3501 section 6.3.9: with '%', the parent of a subscribed name that itself does not match is told as \Noselect. */
static void lsub_parents(struct lsub *l, const char *name)
{
    char parent[MAILBOX_NAME_MAX];
    for (const char *slash = strrchr(name, '/'); slash != NULL;) {
        const size_t n = (size_t)(slash - name);
        memcpy(parent, name, n);
        parent[n] = 0;
        if (list_matches_any(&l->patterns, parent)) {
            for (const char *t = l->told.data; t != NULL && t < l->told.data + l->told.len; t += strlen(t) + 1)
                if (strcmp(t, parent) == 0)
                    return;
            buf_add(&l->told, parent, n + 1);
            write_lsub(l->s, "\\Noselect", parent);
            return;
        }
        slash = memrchr(name, '/', n);
    }
}

static int lsub_one(void *ctx, const char *name)
{
    struct lsub *l = ctx;
    if (strlen(name) >= MAILBOX_NAME_MAX)
        return 0;
    if (list_matches_any(&l->patterns, name))
        write_lsub(l->s, "", name);
    else if (l->patterns.n > 0 && strchr(l->patterns.list[0], '%') != NULL)
        lsub_parents(l, name);
    return 0;
}

enum outcome cmd_lsub(struct session *s, struct parse *p)
{
    struct str reference, pattern;
    struct store_error e;
    const char *one[1];
    struct lsub l = { .s = s, .patterns = { .list = one } };
    if (!parse_sp(p) || !parse_astring(p, &reference) || !parse_sp(p) || !parse_list_mailbox(p, &pattern) || !parse_end(p))
        return bad_arguments(s, "LSUB reference pattern");
    list_add_pattern(s, &l.patterns, reference, pattern);
    const int rc = l.patterns.n > 0 ? subs_list(store_names(s->store), lsub_one, &l, &e) : 0;
    buf_free(&l.told);
    return rc < 0 ? store_no(s, &e) : OUTCOME_OK;
}
