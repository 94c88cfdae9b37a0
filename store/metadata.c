/*
 * ~/.mailboxmeta: its lines, and what they say of a mailbox. metadata_file.c reads and replaces the file.
 */
#include "store/metadata.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool metadata_name_valid(struct str name, bool whole)
{
    size_t components = 0;
    if (name.n > METADATA_NAME)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        const unsigned char c = (unsigned char)name.p[i];
        if (c <= 0x19 || c >= 0x80 || c == '*' || c == '%')
            return false;
        if (c == '/') {
            if (i + 1 == name.n || name.p[i + 1] == '/')
                return false;
            components++;
        }
    }
    static const char *const roots[] = { "/private", "/shared" };
    for (size_t i = 0; i < 2; i++) {
        const size_t r = strlen(roots[i]);
        if (name.n < r || strncasecmp(name.p, roots[i], r) != 0 || (name.n > r && name.p[r] != '/'))
            continue;
        const bool vendor = name.n >= r + 7 && strncasecmp(name.p + r, "/vendor", 7) == 0 && (name.n == r + 7 || name.p[r + 7] == '/');
        return !whole || components >= (vendor ? 4 : 2);
    }
    return false;
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct arena *a, struct str in, struct str *out)
{
    if (str_eq(in, STR("\"\""))) {
        *out = STR("");
        return true;
    }
    char *to = arena_alloc(a, in.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            const int high = i + 2 < in.n ? hex(in.p[i + 1]) : -1, low = i + 2 < in.n ? hex(in.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        to[n++] = c;
    }
    *out = (struct str){ to, n };
    return in.n > 0;
}

static void encode(struct buf *out, struct str in, bool spaces)
{
    static const char digits[] = "0123456789ABCDEF";
    if (in.n == 0)
        buf_puts(out, "\"\"");
    for (size_t i = 0; i < in.n; i++) {
        const unsigned char c = (unsigned char)in.p[i];
        const bool inner_space = c == ' ' && spaces && i > 0 && i + 1 < in.n;
        if ((c > ' ' && c < 0x7f && c != '%' && c != '"') || inner_space) {
            buf_addc(out, c);
            continue;
        }
        buf_addc(out, '%');
        buf_addc(out, digits[c >> 4]);
        buf_addc(out, digits[c & 15]);
    }
}

bool metadata_line_read(struct arena *a, struct str line, struct metadata_entry *out)
{
    const char *end = line.p + line.n, *space = line.n > 0 ? memchr(line.p, ' ', line.n) : NULL;
    const char *second = space != NULL ? memchr(space + 1, ' ', (size_t)(end - space - 1)) : NULL;
    *out = (struct metadata_entry){ .order = 0 };
    if (second == NULL || !decode(a, (struct str){ line.p, (size_t)(space - line.p) }, &out->mailbox)
        || !decode(a, (struct str){ space + 1, (size_t)(second - space - 1) }, &out->name)
        || !decode(a, (struct str){ second + 1, (size_t)(end - second - 1) }, &out->value))
        return false;
    return out->mailbox.n < MAILBOX_NAME_MAX && memchr(out->mailbox.p, 0, out->mailbox.n) == NULL
        && metadata_name_valid(out->name, true);
}

void metadata_line_write(struct buf *out, const struct metadata_entry *entry)
{
    encode(out, entry->mailbox, false);
    buf_addc(out, ' ');
    encode(out, entry->name, false);
    buf_addc(out, ' ');
    encode(out, entry->value, true);
    buf_addc(out, '\n');
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static int compare_bytes(struct str a, struct str b)
{
    const size_t least = a.n < b.n ? a.n : b.n;
    const int order = least > 0 ? memcmp(a.p, b.p, least) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_names(struct str a, struct str b)
{
    const size_t least = a.n < b.n ? a.n : b.n;
    const int order = least > 0 ? strncasecmp(a.p, b.p, least) : 0;      /* no NUL is in them */
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_key(const void *a, const void *b)
{
    const struct metadata_entry *x = a, *y = b;
    int order = compare_bytes(x->mailbox, y->mailbox);
    if (order == 0)
        order = compare_names(x->name, y->name);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

enum { LINE_LEAST = sizeof "a /shared/b c" - 1 };       /* a shorter line is no entry */

void metadata_parse(struct arena *a, struct str text, struct metadata *out)
{
    size_t lines = 1, n = 0;
    const char *end = text.p + text.n;
    for (size_t i = 0, from = 0; i < text.n; i++) {
        if (text.p[i] == '\n') {
            lines += i - from >= LINE_LEAST;
            from = i + 1;
        }
    }
    out->list = arena_alloc(a, lines * sizeof *out->list);
    for (const char *at = text.p; text.n > 0 && at < end;) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf != NULL ? lf : end;
        const size_t length = (size_t)(stop - at) - (stop > at && stop[-1] == '\r');
        if (length >= LINE_LEAST && metadata_line_read(a, (struct str){ at, length }, &out->list[n])) {
            out->list[n].order = n;
            n++;
        }
        at = lf != NULL ? lf + 1 : end;
    }
    qsort(out->list, n, sizeof *out->list, by_key);
    out->n = 0;
    for (size_t i = 0; i < n; i++) {          /* of two lines for one entry, the later */
        const struct metadata_entry *next = i + 1 < n ? &out->list[i + 1] : NULL;
        if (next != NULL && str_eq(out->list[i].mailbox, next->mailbox) && str_ieq(out->list[i].name, next->name))
            continue;
        out->list[out->n++] = out->list[i];
    }
}

const struct metadata_entry *metadata_of(const struct metadata *m, const char *mailbox, size_t *n)
{
    const struct str name = str_z(mailbox);
    size_t low = 0, high = m->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (compare_bytes(m->list[middle].mailbox, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t past = low;
    while (past < m->n && str_eq(m->list[past].mailbox, name))
        past++;
    *n = past - low;
    return *n > 0 ? &m->list[low] : NULL;
}

struct str metadata_get(const struct metadata *m, const char *mailbox, struct str name)
{
    size_t n;
    const struct metadata_entry *list = metadata_of(m, mailbox, &n);
    for (size_t i = 0; i < n; i++)
        if (str_ieq(list[i].name, name))
            return list[i].value;
    return (struct str){ NULL, 0 };
}
