/*
 * GETMETADATA and SETMETADATA (RFC 5464), the special uses that they show and set (RFC 6154 section 4), and annotations that
 * follow their mailbox through CREATE, DELETE and RENAME.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "session/metadata.h"
#include "session/search_filter.h"

int annotations_load(struct session *s, bool uses, struct annotations *out, struct store_error *e)
{
    *out = (struct annotations){ .metadata = { .n = 0 } };
    if (metadata_load(store_names(s->store), s->arena, &out->metadata, e) != 0)
        return -1;
    if (uses)
        special_uses_load(store_names(s->store), s->arena, &out->metadata, &out->uses);
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static void write_value(struct io *io, struct str value)
{
    if (value.p == NULL || memchr(value.p, 0, value.n) == NULL) {
        write_nstring(io, value);
    } else {
        io_printf(io, "~{%zu}\r\n", value.n);
        io_add(io, value.p, value.n);
    }
    io_relieve(io);
}

/* The entries of a mailbox, or of the server, that have a value: those that are kept, and those that follow from others. */
static struct metadata_entry *entries_of(struct session *s, const struct annotations *a, const char *mailbox, size_t *n)
{
    size_t kept;
    const struct metadata_entry *list = metadata_of(&a->metadata, mailbox, &kept);
    struct metadata_entry *out = arena_alloc(s->arena, (kept + 1) * sizeof *out);
    const unsigned uses = special_uses_of(&a->uses, mailbox);
    *n = 0;
    for (size_t i = 0; i < kept; i++)
        if (mailbox[0] == 0 ? !str_ieq(list[i].name, STR("/shared/admin")) : !str_ieq(list[i].name, STR(SPECIAL_USE_ENTRY)))
            out[(*n)++] = list[i];
    if (mailbox[0] == 0 && s->config->admin != NULL) {
        out[(*n)++] = (struct metadata_entry){ .name = STR("/shared/admin"), .value = str_z(s->config->admin) };
    } else if (mailbox[0] != 0 && uses != 0) {
        struct buf text = { 0 };
        special_use_text(uses, &text);
        out[(*n)++] = (struct metadata_entry){ .name = STR(SPECIAL_USE_ENTRY), .value = arena_str(s->arena, buf_str(&text)) };
        buf_free(&text);
    }
    return out;
}

struct answer {
    struct session *s;
    const char *mailbox;
    bool begun;
};

static void answer_entry(struct answer *a, struct str name, struct str value)
{
    struct io *io = &a->s->io;
    if (!a->begun) {
        io_puts(io, "* METADATA ");
        write_mailbox(io, a->mailbox);
    }
    io_puts(io, a->begun ? " " : " (");
    a->begun = true;
    write_astring(io, name);
    io_puts(io, " ");
    write_value(io, value);
}

static void answer_end(struct answer *a)
{
    if (a->begun)
        io_puts(&a->s->io, ")\r\n");
}

static struct str find(const struct metadata_entry *list, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_ieq(list[i].name, name))
            return list[i].value;
    return (struct str){ NULL, 0 };
}

void write_metadata(struct session *s, const struct annotations *a, const char *mailbox, const struct str *names, size_t n)
{
    size_t count;
    const struct metadata_entry *list = entries_of(s, a, mailbox, &count);
    struct answer answer = { .s = s, .mailbox = mailbox };
    for (size_t i = 0; i < n; i++)
        answer_entry(&answer, names[i], find(list, count, names[i]));
    answer_end(&answer);
}

/* Is the entry the one asked for, or below it as far as the depth goes? */
static bool within(struct str entry, struct str asked, enum metadata_depth depth)
{
    if (entry.n < asked.n || !str_ieq((struct str){ entry.p, asked.n }, asked))
        return false;
    if (entry.n == asked.n)
        return true;
    if (entry.p[asked.n] != '/')
        return false;
    return depth == DEPTH_INFINITY || memchr(entry.p + asked.n + 1, '/', entry.n - asked.n - 1) == NULL;
}

/* Returns the size of the greatest value that was too large, or 0. */
static uint64_t answer_get(struct session *s, const struct annotations *a, const char *mailbox, const struct getmetadata *get)
{
    size_t count;
    uint64_t longest = 0;
    const struct metadata_entry *list = entries_of(s, a, mailbox, &count);
    struct answer answer = { .s = s, .mailbox = mailbox };
    const size_t rounds = get->depth == DEPTH_0 ? get->n : count;
    for (size_t i = 0; i < rounds; i++) {
        bool wanted = get->depth == DEPTH_0;
        for (size_t k = 0; !wanted && k < get->n; k++)
            wanted = within(list[i].name, get->names[k], get->depth);
        if (!wanted)
            continue;
        const struct str name = get->depth == DEPTH_0 ? get->names[i] : list[i].name;
        const struct str value = get->depth == DEPTH_0 ? find(list, count, name) : list[i].value;
        if (value.n <= get->max_size)
            answer_entry(&answer, name, value);
        else if (value.n > longest)
            longest = value.n;
    }
    answer_end(&answer);
    return longest;
}

/* The mailbox that is spoken of: it must be there. The server's name is the empty one. */
static bool take_annotated(struct session *s, struct str wire, struct mailbox_name *name)
{
    struct store_error e;
    name->text[0] = 0;
    name->inbox = false;
    if (wire.n == 0)
        return true;
    bool directory = false;
    if (!to_store_name(s, wire, name, &directory))
        return false;
    if (names_look(store_names(s->store), name, &e) != 0)
        return true;
    store_no(s, &e);
    return false;
}

enum outcome cmd_getmetadata(struct session *s, struct parse *p)
{
    struct getmetadata get;
    struct mailbox_name name;
    struct annotations a;
    struct store_error e;
    char code[60];
    if (!parse_getmetadata(p, &get))
        return bad_arguments(s, "GETMETADATA [(MAXSIZE n DEPTH 0|1|infinity)] mailbox (entry ...)");
    if (!take_annotated(s, get.mailbox, &name))
        return OUTCOME_NO;
    if (annotations_load(s, name.text[0] != 0, &a, &e) != 0)
        return store_no(s, &e);
    const uint64_t longest = answer_get(s, &a, name.text, &get);
    if (longest == 0)
        return OUTCOME_OK;
    snprintf(code, sizeof code, "METADATA LONGENTRIES %llu", (unsigned long long)longest);
    return say(s, OUTCOME_OK, code, "GETMETADATA completed");
}

/* ---- special uses ------------------------------------------------------------------------------------------------- */

bool special_use_allowed(struct session *s, const struct mailbox_name *name, bool directory, unsigned uses, struct str unknown)
{
    struct buf text = { 0 };
    if (unknown.n == 0 && (uses & USES_VIRTUAL) == 0 && (uses == 0 || (!name->inbox && !directory)))
        return true;
    if (unknown.n > 0)
        say(s, OUTCOME_NO, "USEATTR", "%.*s is not known", (int)(unknown.n < 100 ? unknown.n : 100), unknown.p);
    else if (uses & USES_VIRTUAL) {
        special_use_text(uses & USES_VIRTUAL, &text);
        say(s, OUTCOME_NO, "USEATTR", "%s not supported", text.data);
    } else
        say(s, OUTCOME_NO, "USEATTR", "%s cannot have a special use", name->inbox ? "INBOX" : "What holds no messages");
    buf_free(&text);
    return false;
}

/* The changes for a mailbox's uses, behind the n that are there; the mailboxes that lose one go to *losers. */
static size_t add_uses(struct session *s, const struct annotations *a, const char *mailbox, unsigned uses,
                       struct metadata_entry *changes, size_t n, unsigned *losers)
{
    *losers = 0;
    for (unsigned b = 0; b < SPECIAL_USES; b++)
        if (uses & 1U << b && a->uses.mailbox[b].p != NULL && !str_eq(a->uses.mailbox[b], str_z(mailbox)))
            *losers |= 1U << b;
    return n + special_use_changes(&a->uses, &a->metadata, s->arena, mailbox, uses, changes + n);
}

/* RFC 6154 section 5.4: the client learns which mailboxes have another use now because of what it has set. */
static void tell_losers(struct session *s, const struct annotations *before, unsigned losers)
{
    struct annotations after;
    const struct str name = STR(SPECIAL_USE_ENTRY);
    if (losers == 0 || annotations_load(s, true, &after, NULL) != 0)
        return;
    for (unsigned b = 0; b < SPECIAL_USES; b++) {
        bool told = !(losers & 1U << b);
        for (unsigned c = 0; !told && c < b; c++)
            told = losers & 1U << c && str_eq(before->uses.mailbox[c], before->uses.mailbox[b]);
        if (!told)
            write_metadata(s, &after, before->uses.mailbox[b].p, &name, 1);
    }
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* False: NO has been said. *uses: those of the last value for them, *has_uses if there is one. */
static bool check_values(struct session *s, const struct mailbox_name *name, const struct metadata_entry *entries, size_t n,
                         unsigned *uses, bool *has_uses)
{
    char code[40];
    struct str filter;
    *has_uses = false;
    for (size_t i = 0; i < n; i++) {
        const struct str entry = entries[i].name, value = entries[i].value;
        if (value.n > METADATA_VALUE) {
            snprintf(code, sizeof code, "METADATA MAXSIZE %d", METADATA_VALUE);
            say(s, OUTCOME_NO, code, "The value is too large");
            return false;
        }
        if (name->text[0] == 0 && str_ieq(entry, STR("/shared/admin"))) {
            say(s, OUTCOME_NO, "NOPERM", "/shared/admin is set by the administrator");
            return false;
        }
        if (name->text[0] == 0 && value.p != NULL && filter_entry(entry, &filter)
            && (filter.n == 0 || memchr(value.p, 0, value.n) != NULL || !filter_valid(s, value))) {
            say(s, OUTCOME_NO, "CANNOT", filter.n == 0 ? "No filter can have this name" : "These are no search keys");
            return false;
        }
        if (name->text[0] != 0 && str_ieq(entry, STR(SPECIAL_USE_ENTRY))) {
            const bool known = special_use_parse(value, uses);
            *has_uses = true;
            if (!special_use_allowed(s, name, !name->inbox && names_look(store_names(s->store), name, NULL) != NAME_SELECTABLE,
                                     *uses, known ? STR("") : value))
                return false;
        }
    }
    return true;
}

static enum outcome metadata_no(struct session *s, const struct store_error *e)
{
    return e->code == STORE_LIMIT ? say(s, OUTCOME_NO, "METADATA TOOMANY", "%s", e->text) : store_no(s, e);
}

/* RFC 7162 section 3.2: an annotation of a mailbox is part of what its HIGHESTMODSEQ stands for. */
static void raise_modseq(struct session *s, struct str mailbox)
{
    struct mailbox_name name;
    struct store_error e;
    if (mailbox.n > 0 && (names_parse(store_names(s->store), mailbox, &name, NULL, &e) != 0
                          || mailbox_annotated(s->store, &name, &e) != 0))
        log_error("%s: HIGHESTMODSEQ of %.*s: %s", s->user, (int)mailbox.n, mailbox.p, e.text);
}

enum outcome cmd_setmetadata(struct session *s, struct parse *p)
{
    struct str wire;
    struct mailbox_name name;
    struct metadata_entry *entries;
    struct annotations a;
    struct store_error e;
    size_t n, count = 0;
    unsigned uses = 0, losers = 0;
    bool has_uses;
    if (!parse_setmetadata(p, &wire, &entries, &n))
        return bad_arguments(s, "SETMETADATA mailbox (entry value ...)");
    if (!take_annotated(s, wire, &name))
        return OUTCOME_NO;
    if (n > METADATA_ENTRIES)
        return say(s, OUTCOME_NO, "METADATA TOOMANY", "At most %d entries", METADATA_ENTRIES);
    if (!check_values(s, &name, entries, n, &uses, &has_uses))
        return OUTCOME_NO;
    if (annotations_load(s, has_uses, &a, &e) != 0)
        return metadata_no(s, &e);
    struct metadata_entry *changes = arena_alloc(s->arena, (n + SPECIAL_USES + 1) * sizeof *changes);
    for (size_t i = 0; i < n; i++) {
        if (has_uses && str_ieq(entries[i].name, STR(SPECIAL_USE_ENTRY)))
            continue;
        changes[count] = entries[i];
        changes[count++].mailbox = str_z(name.text);
    }
    if (has_uses)
        count = add_uses(s, &a, name.text, uses, changes, count, &losers);
    metadata_watch_tell(s);
    if (metadata_set(store_names(s->store), changes, count, &e) != 0)
        return metadata_no(s, &e);
    metadata_watch_own(s);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || !str_eq(changes[i].mailbox, changes[i - 1].mailbox))
            raise_modseq(s, changes[i].mailbox);
    tell_losers(s, &a, losers);
    return OUTCOME_OK;
}

/* ---- annotations follow their mailbox ----------------------------------------------------------------------------- */

void annotations_deleted(struct session *s, const struct mailbox_name *name)
{
    struct store_error e;
    metadata_watch_tell(s);
    if (metadata_delete(store_names(s->store), name->text, &e) != 0)
        log_error("%s: annotations of %s: %s", s->user, name->text, e.text);
    metadata_watch_own(s);
}

enum outcome annotations_created(struct session *s, const struct mailbox_name *name, const struct create_use *use)
{
    struct annotations a;
    struct store_error e;
    struct metadata_entry changes[SPECIAL_USES + 1];
    unsigned losers;
    annotations_deleted(s, name);
    if (use->uses == 0)
        return OUTCOME_OK;
    if (annotations_load(s, true, &a, &e) == 0
        && metadata_set(store_names(s->store), changes, add_uses(s, &a, name->text, use->uses, changes, 0, &losers), &e) == 0) {
        metadata_watch_own(s);
        return OUTCOME_OK;
    }
    mailbox_delete(s->store, name, NULL);
    return store_no(s, &e);
}

bool annotations_rename(struct session *s, const struct mailbox_name *from, const struct mailbox_name *to, struct store_error *e)
{
    struct metadata_change c;
    struct store_error again;
    metadata_watch_tell(s);
    if (metadata_rename(store_names(s->store), from->text, to->text, from->inbox, &c, e) != 0)
        return false;
    if (mailbox_rename(s->store, from, to, e) != 0) {
        /* it may have its new name all the same, when what failed came after that */
        struct names *n = store_names(s->store);
        if (!from->inbox && names_look(n, from, NULL) == 0 && names_look(n, to, NULL) != 0)
            metadata_commit(&c, NULL);
        else
            metadata_abandon(&c);
        return false;
    }
    const int rc = metadata_commit(&c, e);
    metadata_watch_own(s);
    if (rc < 0 && !from->inbox && mailbox_rename(s->store, to, from, &again) == 0)
        return false;
    if (rc != 0)
        log_error("%s: annotations of %s, now %s: %s", s->user, from->text, to->text, e->text);
    return true;
}
