/*
 * Special uses of mailboxes: given by annotation, or by their usual names.
 */
#include "store/special_use.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "store/names_private.h"

static const char *const attributes[SPECIAL_USES] = {
    "\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash" };

/* Names that programs give such mailboxes when nobody chose: the first that is there has the use. */
static const struct usual { unsigned use; const char *name; } usual[] = {
    { 2, "Drafts" }, { 6, "Sent" }, { 6, "Sent Items" }, { 6, "Sent Messages" }, { 6, "sent-mail" }, { 7, "Trash" },
    { 7, "Deleted Messages" }, { 7, "Deleted Items" }, { 5, "Junk" }, { 5, "Spam" }, { 1, "Archive" } };
enum { USUAL = sizeof usual / sizeof *usual };

unsigned special_use_bit(struct str attribute)
{
    for (unsigned i = 0; i < SPECIAL_USES; i++)
        if (str_ieq(attribute, str_z(attributes[i])))
            return 1U << i;
    return 0;
}

bool special_use_parse(struct str value, unsigned *uses)
{
    bool good = true;
    *uses = 0;
    for (size_t at = 0; at < value.n;) {
        size_t end = at;
        while (end < value.n && value.p[end] != ' ')
            end++;
        const unsigned bit = special_use_bit((struct str){ value.p + at, end - at });
        good &= bit != 0;
        *uses |= bit;
        if (end + 1 == value.n)
            good = false;                    /* a space that ends it */
        at = end + 1;
    }
    return good;
}

void special_use_text(unsigned uses, struct buf *out)
{
    const char *between = "";
    for (unsigned i = 0; i < SPECIAL_USES; i++) {
        if (uses & 1U << i) {
            buf_printf(out, "%s%s", between, attributes[i]);
            between = " ";
        }
    }
}

/* A mailbox that can be opened? text has a NUL behind it. */
static bool is_there(struct names *n, struct str text)
{
    struct mailbox_name name;
    return names_parse(n, text, &name, NULL, NULL) == 0 && strcmp(name.text, text.p) == 0
        && (names_look(n, &name, NULL) & NAME_SELECTABLE);
}

static void load_given(struct names *n, const struct metadata *m, struct special_uses *out)
{
    size_t order[SPECIAL_USES] = { 0 };
    for (size_t i = 0; i < m->n; i++) {
        const struct metadata_entry *entry = &m->list[i];
        unsigned uses;
        if (entry->value.n == 0 || !str_ieq(entry->name, STR(SPECIAL_USE_ENTRY)) || entry->mailbox.n == 0)
            continue;
        special_use_parse(entry->value, &uses);
        unsigned wanted = 0;
        for (unsigned b = 0; b < SPECIAL_USES; b++)
            if (uses & 1U << b && (out->mailbox[b].p == NULL || entry->order > order[b]))
                wanted |= 1U << b;
        if (wanted == 0 || !is_there(n, entry->mailbox))
            continue;
        for (unsigned b = 0; b < SPECIAL_USES; b++) {
            if (wanted & 1U << b) {
                out->mailbox[b] = entry->mailbox;
                order[b] = entry->order;
            }
        }
    }
}

/* The names at the top that are usual ones: for each, the first in byte order that is a mailbox and has no annotation. */
static void find_usual(struct names *n, DIR *dir, struct arena *a, const struct metadata *m, struct str found[USUAL])
{
    for (const struct dirent *d; (d = readdir(dir)) != NULL;) {
        for (size_t i = 0; i < USUAL; i++) {
            const struct str name = str_z(d->d_name);
            if (strcasecmp(d->d_name, usual[i].name) != 0 || d->d_type == DT_DIR
                || (found[i].p != NULL && strcmp(found[i].p, name.p) < 0)
                || metadata_get(m, name.p, STR(SPECIAL_USE_ENTRY)).p != NULL || !is_there(n, name))
                continue;
            found[i] = arena_str(a, name);
        }
    }
}

void special_uses_load(struct names *n, struct arena *a, const struct metadata *m, struct special_uses *out)
{
    struct str found[USUAL] = { { NULL, 0 } };
    *out = (struct special_uses){ { { NULL, 0 } } };
    load_given(n, m, out);
    const int fd = names_beneath(n, "", O_RDONLY | O_DIRECTORY, 0);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir != NULL) {
        find_usual(n, dir, a, m, found);
        closedir(dir);
    } else if (fd >= 0) {
        close(fd);
    }
    for (size_t i = 0; i < USUAL; i++)
        if (found[i].p != NULL && out->mailbox[usual[i].use].p == NULL)
            out->mailbox[usual[i].use] = found[i];
}

unsigned special_uses_of(const struct special_uses *u, const char *mailbox)
{
    unsigned uses = 0;
    for (unsigned b = 0; b < SPECIAL_USES; b++)
        if (u->mailbox[b].p != NULL && str_eq(u->mailbox[b], str_z(mailbox)))
            uses |= 1U << b;
    return uses;
}

static struct str text_of(struct arena *a, unsigned uses)
{
    struct buf text = { 0 };
    buf_puts(&text, "");
    special_use_text(uses, &text);
    const struct str out = arena_str(a, buf_str(&text));
    buf_free(&text);
    return out;
}

static bool is_usual(const char *mailbox)
{
    for (size_t i = 0; i < USUAL; i++)
        if (strcasecmp(mailbox, usual[i].name) == 0)
            return true;
    return false;
}

size_t special_use_changes(const struct special_uses *u, const struct metadata *m, struct arena *a, const char *mailbox,
                           unsigned uses, struct metadata_entry *changes)
{
    size_t n = 0;
    unsigned done = 0;
    for (unsigned b = 0; b < SPECIAL_USES; b++) {
        const struct str other = u->mailbox[b];
        if (!(uses & 1U << b) || other.p == NULL || str_eq(other, str_z(mailbox)) || done & 1U << b)
            continue;
        const struct str had = metadata_get(m, other.p, STR(SPECIAL_USE_ENTRY));
        unsigned given;
        special_use_parse(had, &given);
        done |= given;
        if (had.n == 0)
            continue;                        /* by its name alone: it loses the use to a mailbox that is given it */
        changes[n++] = (struct metadata_entry){ .mailbox = other, .name = STR(SPECIAL_USE_ENTRY),
            .value = (given & ~uses) != 0 ? text_of(a, given & ~uses) : (struct str){ NULL, 0 } };
    }
    struct metadata_entry own = { .mailbox = arena_str(a, str_z(mailbox)), .name = STR(SPECIAL_USE_ENTRY) };
    if (uses != 0 || is_usual(mailbox))
        own.value = text_of(a, uses);        /* empty: not even what its name says */
    changes[n++] = own;
    return n;
}
