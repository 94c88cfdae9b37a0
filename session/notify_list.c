/*
 * The LIST responses of NOTIFY (RFC 5465 sections 5.4, 5.5): their attributes are those that LIST has, of the moment that they are
 * told in.
 */
#include <string.h>

#include "session/list.h"
#include "session/metadata.h"
#include "session/notify.h"

struct looking { const char *name; unsigned attributes; };

static bool on_the_way(void *ctx, const char *directory)
{
    const struct looking *l = ctx;
    const size_t n = strlen(directory);
    return strncmp(l->name, directory, n) == 0 && l->name[n] == '/';
}

static int on_name(void *ctx, const char *name, unsigned attributes)
{
    struct looking *l = ctx;
    if (strcmp(l->name, name) != 0)
        return 0;
    l->attributes = attributes;
    return 1;
}

/* What is there under the name. Whether a directory holds anything the walk of LIST finds out, which a file does not need. */
static unsigned attributes_of(struct session *s, const char *text)
{
    struct looking l = { .name = text };
    struct mailbox_name name;
    if (names_parse(store_names(s->store), str_z(text), &name, NULL, NULL) != 0)
        return 0;
    const unsigned there = names_look(store_names(s->store), &name, NULL);
    if (there & NAME_DIRECTORY)
        names_list(store_names(s->store), on_the_way, on_name, &l, NULL, NULL);
    return there & NAME_DIRECTORY ? l.attributes : there;
}

void notify_list(struct session *s, const char *name, bool subscribed, const char *old)
{
    struct annotations a;
    struct buf attributes = { 0 };
    list_attributes(name, attributes_of(s, name), &attributes);
    if (subscribed)
        list_add_word(&attributes, "\\Subscribed");
    if (annotations_load(s, true, &a, NULL) == 0)
        list_add_uses(special_uses_of(&a.uses, name), &attributes);
    io_printf(&s->io, "* LIST (%s) \"/\" ", attributes.data);
    write_mailbox(&s->io, name);
    if (old != NULL) {
        io_puts(&s->io, " (\"OLDNAME\" (");
        write_mailbox(&s->io, old);
        io_puts(&s->io, "))");
    }
    io_puts(&s->io, "\r\n");
    buf_free(&attributes);
}
