/*
 * LIST and LSUB: patterns over the names that are there, and over the subscribed ones.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "session/command.h"

/* '*' matches anything, '%' anything but the delimiter. Linear in both but for backtracking to the last wildcard. */
static bool matches(const char *pattern, const char *name)
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

struct listing {
    struct session *s;
    const char *pattern;             /* reference and pattern, UTF-8, INBOX at its head in capitals */
    struct buf told;                 /* LSUB: parents told already, NUL-terminated */
};

/* May something below this directory match? The fixed part of the pattern decides. */
static bool descend(void *ctx, const char *directory)
{
    const struct listing *l = ctx;
    const char *p = l->pattern;
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

static void write_list(struct session *s, const char *word, const char *attributes, const char *name)
{
    io_printf(&s->io, "* %s (%s) \"/\" ", word, attributes);
    write_mailbox(&s->io, name);
    io_puts(&s->io, "\r\n");
}

static int list_one(void *ctx, const char *name, unsigned attributes)
{
    struct listing *l = ctx;
    if (!matches(l->pattern, name))
        return 0;
    if (attributes & NAME_SELECTABLE)
        write_list(l->s, "LIST", strcmp(name, "INBOX") == 0 ? "\\HasNoChildren" : "\\NoInferiors \\HasNoChildren", name);
    else
        write_list(l->s, "LIST", attributes & NAME_HAS_CHILDREN ? "\\Noselect \\HasChildren" : "\\Noselect \\HasNoChildren", name);
    return 0;
}

/* RFC 3501 section 6.3.9: with '%', the parent of a subscribed name that itself does not match is told as \Noselect. */
static void lsub_parents(struct listing *l, const char *name)
{
    char parent[MAILBOX_NAME_MAX];
    for (const char *slash = strrchr(name, '/'); slash != NULL;) {
        const size_t n = (size_t)(slash - name);
        memcpy(parent, name, n);
        parent[n] = 0;
        if (matches(l->pattern, parent)) {
            for (const char *t = l->told.data; t != NULL && t < l->told.data + l->told.len; t += strlen(t) + 1)
                if (strcmp(t, parent) == 0)
                    return;
            buf_add(&l->told, parent, n + 1);
            write_list(l->s, "LSUB", "\\Noselect", parent);
            return;
        }
        slash = memrchr(name, '/', n);
    }
}

static int lsub_one(void *ctx, const char *name)
{
    struct listing *l = ctx;
    if (strlen(name) >= MAILBOX_NAME_MAX)
        return 0;
    if (matches(l->pattern, name))
        write_list(l->s, "LSUB", "", name);
    else if (strchr(l->pattern, '%') != NULL)
        lsub_parents(l, name);
    return 0;
}

/* The mail-root as a prefix that clients were configured with finds the same names. */
static const char *without_root(const char *pattern, const char *root)
{
    const size_t n = root != NULL ? strlen(root) : 0;
    return n > 0 && strncmp(pattern, root, n) == 0 && pattern[n] == '/' ? pattern + n + 1 : pattern;
}

static enum outcome list(struct session *s, struct parse *p, bool subscribed)
{
    struct str reference, pattern;
    struct buf utf8 = { 0 };
    struct store_error e;
    bool cut = false;
    if (!parse_sp(p) || !parse_astring(p, &reference) || !parse_sp(p) || !parse_list_mailbox(p, &pattern) || !parse_end(p))
        return bad_arguments(s, subscribed ? "LSUB reference pattern" : "LIST reference pattern");
    if (pattern.n == 0 && !subscribed) {
        io_puts(&s->io, "* LIST (\\Noselect) \"/\" \"\"\r\n");
        return OUTCOME_OK;
    }
    if (pattern.n > 0 && pattern.p[0] == '/')
        reference.n = 0;
    if (utf7_to_utf8(&utf8, reference) != 0 || utf7_to_utf8(&utf8, pattern) != 0 || utf8.len >= MAILBOX_NAME_MAX) {
        buf_free(&utf8);
        return OUTCOME_OK;                       /* no such name can be: nothing matches */
    }
    buf_addc(&utf8, 0);
    if (strncasecmp(utf8.data, "inbox", 5) == 0 && strchr("/%*", utf8.data[5]) != NULL)
        memcpy(utf8.data, "INBOX", 5);
    struct listing l = { .s = s, .pattern = without_root(utf8.data, s->config->mail_root) };
    const int rc = subscribed ? subs_list(store_names(s->store), lsub_one, &l, &e)
                              : names_list(store_names(s->store), descend, list_one, &l, &cut, &e);
    if (cut)
        log_warning("%s: LIST was cut at list-depth or list-count", s->user);
    buf_free(&utf8);
    buf_free(&l.told);
    return rc < 0 ? store_no(s, &e) : OUTCOME_OK;
}

enum outcome cmd_list(struct session *s, struct parse *p)
{
    return list(s, p, false);
}

enum outcome cmd_lsub(struct session *s, struct parse *p)
{
    return list(s, p, true);
}
