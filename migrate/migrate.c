/*
 * --import and --export: which mailboxes, what is told, and the comparison at the end (see migrate.h).
 */
#include "migrate/migrate.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/xmalloc.h"
#include "migrate/table.h"
#include "session/command.h"

bool migrate_kind(const char *name, enum source_kind *out)
{
    static const char *const kinds[] = { [SOURCE_MAILDIR] = "maildir", [SOURCE_MBOX] = "mbox", [SOURCE_EML] = "eml" };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(name, kinds[i]) == 0) {
            *out = (enum source_kind)i;
            return true;
        }
    }
    return false;
}

/* Names come from files: what could move a terminal's cursor is not shown. */
static void print_name(const char *name)
{
    for (const char *p = name; *p != 0; p++)
        putchar((unsigned char)*p < ' ' || *p == 127 ? '?' : *p);
}

void migration_problem(void *ctx, const char *name, bool damage, const char *text)
{
    struct migration *g = ctx;
    progress_clear(&g->progress);
    print_name(g->path);
    if (name != NULL && name[0] != 0) {
        putchar('/');
        print_name(name);
    }
    fputs(": ", stdout);
    print_name(text);
    putchar('\n');
    g->damaged += damage;
}

int migration_fail(struct migration *g, const char *text)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", g->label, text);
    return 2;
}

void migration_differs(struct migration *g, const char *what, const char *words)
{
    printf("%s: %s: %s\n", g->label, what, words);
    g->differences++;
}

struct source migration_source(struct migration *g)
{
    return (struct source){ .kind = g->m->kind, .path = g->path, .problem = migration_problem, .ctx = g, .fd = -1, .lock_dirfd = -1,
                            .progress = &g->progress,
                            .mboxo = g->m->has_quoting ? g->m->mboxo : g->m->config->quoting == QUOTING_MBOXO };
}

static void compare_item(struct migration *g, const struct item *it, const struct table *t, bool uids, size_t *same)
{
    struct buf words = { 0 };
    char what[64];
    const struct entry *en = table_find(t, it->target);
    snprintf(what, sizeof what, "UID %u", it->target);
    if (en != NULL)
        item_compare(it, t, en, uids, &words);
    if (en == NULL)
        migration_differs(g, what, "is not there (any more)");
    else if (words.len > 0)
        migration_differs(g, what, words.data);
    else
        ++*same;
    if (words.len > 0)
        printf("    from %s, message %zu, other %s\n", it->name != NULL ? it->name : g->path, it->number + 1, words.data);
    buf_free(&words);
}

int migration_open(struct migration *g, struct mailbox **out, struct store_error *e)
{
    progress_expect(&g->progress, "indexing");
    const int rc = mailbox_open(g->store, &g->name, true, out, e);
    progress_end(&g->progress);
    return rc;
}

int migration_verify(struct migration *g, struct source *s, bool uids, const char *what)
{
    struct mailbox *box;
    struct table t = { 0 };
    struct store_error e;
    struct mailbox_status info;
    struct progress progress;
    size_t bad = 0, same = 0;
    char digest[65];
    if (migration_open(g, &box, &e) != 0)
        return migration_fail(g, store_why(&e));
    mailbox_info(box, &info);
    progress_begin(&progress, "verifying", info.size);
    const int rc = table_read(&t, box, &progress, &e);
    progress_end(&progress);
    mailbox_close(box);
    if (rc != 0) {
        table_free(&t);
        return migration_fail(g, store_why(&e));
    }
    for (size_t i = 0; i < s->n; i++) {
        bad += s->items[i].bad;
        if (!s->items[i].bad)
            compare_item(g, &s->items[i], &t, uids, &same);
    }
    table_free(&t);
    source_digest(s, digest);
    printf("%s: %zu messages in %s: %s; %zu of %zu compared and the same (octets, flags, keywords, dates%s)\n", g->label, s->n, g->path,
           what, same, s->n - bad, uids ? ", UIDs" : "");
    if (g->damaged > 0)
        printf("%s: %zu things could not be taken as they are, see above\n", g->label, g->damaged);
    printf("%s: SHA-256 %s\n", g->label, digest);
    return g->damaged > 0 || g->differences > 0;
}

static int one(const struct migrate *m, struct store *store, const char *mailbox, const char *path)
{
    struct migration g = { .m = m, .store = store, .label = mailbox, .path = path };
    struct store_error e;
    if (names_parse(store->names, str_z(mailbox), &g.name, NULL, &e) != 0)
        return migration_fail(&g, store_why(&e));
    store_on_progress(store, progress_told, &g.progress);
    const int status = m->import ? import_mailbox(&g) : export_mailbox(&g);
    store_on_progress(store, NULL, NULL);
    fflush(stdout);
    return status;
}

/* ---- a maildir's folders ------------------------------------------------------------------------------------------ */

struct folders {
    char **names;                    /* ".a.b" */
    size_t n;
};

static int compare_folders(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static int find_folders(struct folders *f, const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL)
        return -1;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;) {
        char *cur = NULL;
        if (entry->d_name[0] != '.' || entry->d_name[1] == 0 || entry->d_name[1] == '.' || entry->d_type == DT_LNK)
            continue;
        if (asprintf(&cur, "%s/%s/cur", path, entry->d_name) >= 0 && access(cur, F_OK) == 0) {
            f->names = xreallocarray(f->names, f->n + 1, sizeof *f->names);
            f->names[f->n++] = xstrdup(entry->d_name);
        }
        free(cur);
    }
    closedir(d);
    if (f->n > 0)
        qsort(f->names, f->n, sizeof *f->names, compare_folders);
    return 0;
}

/* A mailbox cannot be a directory as well: the mail of a folder that has folders goes to one of its own name in it. */
static bool has_folders(const struct folders *f, const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = 0; i < f->n; i++)
        if (strncmp(f->names[i], name, n) == 0 && f->names[i][n] == '.')
            return true;
    return false;
}

/* ".a.b" in modified UTF-7 as "a/b". */
static bool folder_name(const struct folders *f, const char *name, struct buf *out)
{
    buf_clear(out);
    if (utf7_to_utf8(out, str_z(name + 1)) != 0) {
        buf_clear(out);
        buf_puts(out, name + 1);
    }
    if (memchr(out->data, '/', out->len) != NULL)
        return false;
    for (size_t i = 0; i < out->len; i++)
        if (out->data[i] == '.')
            out->data[i] = '/';
    if (has_folders(f, name)) {
        char *whole = xstrdup(out->data), *leaf = strrchr(whole, '/');
        buf_printf(out, "/%s", leaf != NULL ? leaf + 1 : whole);
        free(whole);
    }
    return true;
}

static bool is_empty(const char *path)
{
    bool empty = true;
    for (int i = 0; i < 2; i++) {
        char *sub = NULL;
        DIR *d = asprintf(&sub, "%s/%s", path, i == 0 ? "cur" : "new") < 0 ? NULL : opendir(sub);
        for (const struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
            empty &= entry->d_name[0] == '.';
        if (d != NULL)
            closedir(d);
        free(sub);
    }
    return empty;
}

static int all_folders(const struct migrate *m, struct store *store)
{
    struct folders f = { 0 };
    struct buf name = { 0 };
    int status = one(m, store, m->mailbox, m->path);
    if (find_folders(&f, m->path) != 0)
        status = 2;
    for (size_t i = 0; i < f.n; i++) {
        char *path = NULL;
        int own = 2;
        if (asprintf(&path, "%s/%s", m->path, f.names[i]) < 0)
            abort();
        if (!folder_name(&f, f.names[i], &name))
            fprintf(stderr, "%s: has a / in its name: import it alone, into a mailbox of another name\n", path);
        else
            own = has_folders(&f, f.names[i]) && is_empty(path) ? 0 : one(m, store, name.data, path);
        status = own > status ? own : status;
        free(path);
    }
    while (f.n > 0)
        free(f.names[--f.n]);
    free(f.names);
    buf_free(&name);
    return status;
}

static void warn(const char *text)
{
    log_warning("%s", text);
}

int migrate_run(const struct migrate *m)
{
    const struct config *c = m->config;
    const struct account *a = m->account;
    char *inbox = config_expand(c->inbox, a->name, a->home);
    char *index_dir = config_index_dir(c, a->name, a->home), *journal_dir = config_journal_dir(c, a->name, a->home);
    const struct store_settings settings = {
        .user = a->name, .home = a->home, .inbox_path = inbox, .mail_root = c->mail_root, .index_dir = index_dir,
        .journal_dir = journal_dir, .mboxo = c->quoting == QUOTING_MBOXO, .lock_timeout = c->lock_timeout, .seal_limit = c->seal_limit,
        .durable_flags = c->durable_flags, .list_depth = c->list_depth, .list_count = c->list_count, .locker_fd = m->locker_fd
    };
    struct store *store;
    struct store_error e;
    int status = 2;
    if (store_open(&store, &settings, warn, &e) != 0) {
        fprintf(stderr, "imapd: %s\n", store_why(&e));
    } else {
        status = m->all ? all_folders(m, store) : one(m, store, m->mailbox, m->path);
        store_close(store);
    }
    free(inbox);
    free(index_dir);
    free(journal_dir);
    return fflush(stdout) == 0 ? status : 2;
}
