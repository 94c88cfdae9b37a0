/*
 * NOTIFY's MailboxMetadataChange and ServerMetadataChange (RFC 5465 sections 5.6, 5.7): which annotations are other than before.
 */
#include <string.h>
#include <strings.h>

#include "session/notify.h"

static int compare(struct str a, struct str b, bool ignore_case)
{
    const size_t n = a.n < b.n ? a.n : b.n;
    const int c = n == 0 ? 0 : ignore_case ? strncasecmp(a.p, b.p, n) : memcmp(a.p, b.p, n);
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static int entry_order(const struct metadata_entry *a, const struct metadata_entry *b)
{
    const int c = compare(a->mailbox, b->mailbox, false);
    return c != 0 ? c : compare(a->name, b->name, true);
}

/* The next entry, in order, that is not the same in both; NULL: none. */
static const struct metadata_entry *next_change(const struct metadata *was, size_t *i, const struct metadata *now, size_t *k)
{
    while (*i < was->n || *k < now->n) {
        const int c = *i == was->n ? 1 : *k == now->n ? -1 : entry_order(&was->list[*i], &now->list[*k]);
        if (c < 0)
            return &was->list[(*i)++];
        if (c > 0)
            return &now->list[(*k)++];
        const struct metadata_entry *a = &was->list[(*i)++], *b = &now->list[(*k)++];
        if (compare(a->value, b->value, false) != 0)
            return b;
    }
    return NULL;
}

void notify_metadata(struct session *s, const struct metadata *was, const struct metadata *now,
                     bool (*wanted)(const struct session *s, const char *mailbox))
{
    struct str mailbox = { NULL, 0 };
    bool open = false, tell = false;
    const struct metadata_entry *e;
    for (size_t i = 0, k = 0; (e = next_change(was, &i, now, &k)) != NULL;) {
        if (mailbox.p == NULL || compare(mailbox, e->mailbox, false) != 0) {
            mailbox = e->mailbox;
            const char *name = arena_strndup(s->arena, mailbox.p, mailbox.n);
            if (open)
                io_puts(&s->io, "\r\n");
            open = tell = wanted(s, name);
            if (tell) {
                io_puts(&s->io, "* METADATA ");
                write_mailbox(&s->io, name);
            }
        }
        if (tell) {
            io_puts(&s->io, " ");
            write_astring(&s->io, e->name);
        }
    }
    if (open)
        io_puts(&s->io, "\r\n");
}
