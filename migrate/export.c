/*
 * A mailbox written as a maildir, an mbox file or message files, and compared with what was written, read as an import reads it.
 *
 * Nothing is overwritten: the place is new, or empty, or what an export of this mailbox (by its UIDVALIDITY) left there, which is then
 * gone on with. The mailbox is only read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "migrate/migrate.h"
#include "migrate/table.h"

/* What was written says it all: each message of the mailbox is found there by its UID, and nothing else is there. */
static void find_targets(struct migration *g, struct source *s, const struct table *t)
{
    size_t found = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct item *it = &s->items[i];
        char what[64];
        const struct entry *en = table_find(t, it->uid);
        if (en != NULL && !it->bad) {
            it->target = it->uid;
            found++;
            continue;
        }
        it->bad = true;
        snprintf(what, sizeof what, "UID %u of %.40s", it->uid, it->name != NULL ? it->name : "the file");
        migration_differs(g, what, "is no message of the mailbox");
    }
    if (found < t->n) {
        char words[100];
        snprintf(words, sizeof words, "%zu of %zu messages are missing", t->n - found, t->n);
        migration_differs(g, g->path, words);
    }
}

static int verify(struct migration *g, struct table *t, uint32_t uidvalidity, const char *what)
{
    struct store_error e;
    struct progress progress;
    struct source s = migration_source(g);
    uint64_t done = 0;
    s.mboxo = g->m->config->quoting == QUOTING_MBOXO;
    int rc = source_open(&s, g->m->config->lock_timeout, &e);
    if (rc != 0) {
        source_close(&s);
        return migration_fail(g, store_why(&e));
    }
    if (s.n > 0 && s.uidvalidity != uidvalidity)
        migration_differs(g, g->path, "is not of this mailbox, by its UIDVALIDITY");
    progress_begin(&progress, "comparing", s.octets);
    for (size_t i = 0; i < s.n; i++) {
        (void)item_digest(&s, &s.items[i]);
        progress_at(&progress, done += s.items[i].size);
    }
    progress_end(&progress);
    find_targets(g, &s, t);
    const int status = migration_verify(g, &s, true, what);
    source_close(&s);
    return status;
}

int export_mailbox(struct migration *g)
{
    struct store_error e = { .text = "" };
    struct table t = { 0 };
    struct progress progress;
    struct export x = { .g = g, .table = &t };
    int status = 2;
    if (!(names_look(g->store->names, &g->name, &e) & NAME_SELECTABLE) || migration_open(g, &x.box, &e) != 0)
        return migration_fail(g, store_why(&e));
    mailbox_info(x.box, &x.status);
    progress_begin(&progress, "reading", x.status.size);
    int rc = table_read(&t, x.box, &progress, &e);
    progress_end(&progress);
    if (rc == 0)
        rc = g->m->kind == SOURCE_MBOX ? export_mbox(&x, &e) : export_files(&x, &e);
    mailbox_close(x.box);
    status = rc != 0 ? migration_fail(g, store_why(&e)) : verify(g, &t, x.status.uidvalidity, "exported");
    table_free(&t);
    return status;
}
