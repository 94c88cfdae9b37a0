/*
 * The offline tools: --check, --repair, --recover, --seal. A FILE is a mailbox name or a path; a path within the user's mail
 * is taken for the mailbox, so that its index is held against it.
 */
#include "maint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/progress.h"
#include "base/xmalloc.h"
#include "store/mailbox_private.h"
#include "store/repair.h"

enum { STALE_DOTLOCK = 300 };        /* seconds */

struct target {
    const struct maint *m;
    struct store *store;
    const char *label;
    int fd, dirfd;
    char *leaf;
    bool named;
    struct mailbox_name name;
    struct mbox_lock *lock;
    struct progress progress;
    uint64_t findings;
};

static void __attribute__((format(printf, 2, 3))) finding(struct target *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("%s: ", t->label);
    vprintf(fmt, ap);
    putchar('\n');
    va_end(ap);
    t->findings++;
}

static void print_finding(struct target *t, const struct finding *f, const char *more)
{
    progress_clear(&t->progress);
    if (f->message > 0)
        printf("%s:%" PRIu64 ": message %" PRIu32 ": %s%s\n", t->label, f->offset, f->message, f->text, more);
    else
        printf("%s:%" PRIu64 ": %s%s\n", t->label, f->offset, f->text, more);
    t->findings++;
}

static void found(void *ctx, const struct finding *f)
{
    print_finding(ctx, f, "");
}

static void seen(void *ctx, uint64_t octets)
{
    progress_at(&((struct target *)ctx)->progress, octets);
}

static int fail(const struct target *t, const char *text)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", t->label, text);
    return 2;
}

/* The mailbox that a path leads to, if it is one of the user's. */
static void map_path(struct target *t, const char *path)
{
    const struct store_settings *s = store_settings_of(t->store);
    char real[PATH_MAX], root[PATH_MAX], inbox[PATH_MAX], top[PATH_MAX];
    if (realpath(path, real) == NULL)
        return;
    snprintf(top, sizeof top, "%s/%s", s->home, s->mail_root);
    const char *name = NULL;
    if (realpath(s->inbox_path, inbox) != NULL && strcmp(real, inbox) == 0)
        name = "INBOX";
    else if (realpath(top, root) != NULL && strncmp(real, root, strlen(root)) == 0 && real[strlen(root)] == '/')
        name = real + strlen(root) + 1;
    t->named = name != NULL && names_parse(t->store->names, str_z(name), &t->name, NULL, NULL) == 0;
}

static int open_path(struct target *t, int flags)
{
    struct stat st;
    char *copy = xstrdup(t->label), *again = xstrdup(t->label);
    t->leaf = xstrdup(basename(again));
    t->dirfd = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    free(again);
    t->fd = t->dirfd < 0 ? -1 : openat(t->dirfd, t->leaf, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (t->fd < 0)
        return fail(t, errno == ELOOP ? "is a symbolic link: name the file itself" : strerror(errno));
    if (fstat(t->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return fail(t, "not a regular file");
    map_path(t, t->label);
    return 0;
}

static int open_target(struct target *t, int flags)
{
    struct store_error e;
    const char *leaf;
    if (t->label[0] == '/' || t->label[0] == '.' || access(t->label, F_OK) == 0)
        return open_path(t, flags);
    t->named = true;
    if (names_parse(t->store->names, str_z(t->label), &t->name, NULL, &e) != 0
        || (t->fd = names_open(t->store->names, &t->name, flags, &e)) < 0
        || (t->dirfd = names_open_dir(t->store->names, &t->name, &leaf, &e)) < 0)
        return fail(t, store_why(&e));
    t->leaf = xstrdup(leaf);
    return 0;
}

static void close_target(struct target *t)
{
    mbox_lock_free(t->lock);
    if (t->fd >= 0)
        close(t->fd);
    if (t->dirfd >= 0)
        close(t->dirfd);
    free(t->leaf);
}

static int lock_target(struct target *t, enum mbox_lock_kind kind)
{
    struct store_error e;
    struct stat there, ours;
    t->lock = mbox_lock_new(t->fd, t->dirfd, t->leaf, t->named && t->name.inbox, &t->store->locks);
    if (mbox_lock_acquire(t->lock, kind, t->m->config->lock_timeout * 1000, &e) != 0)
        return fail(t, store_why(&e));
    if (fstatat(t->dirfd, t->leaf, &there, 0) != 0 || fstat(t->fd, &ours) != 0 || there.st_ino != ours.st_ino
        || there.st_dev != ours.st_dev)
        return fail(t, "was replaced meanwhile");
    return 0;
}

static bool stale_dotlock(const struct target *t)
{
    struct stat st;
    char *name = NULL;
    if (asprintf(&name, "%s.lock", t->leaf) < 0)
        return false;
    const bool stale = fstatat(t->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && time(NULL) - st.st_mtime > STALE_DOTLOCK;
    free(name);
    return stale;
}

static void check_file(struct target *t, const struct stat *st)
{
    if (st->st_uid != t->m->account->uid)
        finding(t, "belongs to user %lu", (unsigned long)st->st_uid);
    if ((st->st_mode & 0600) != 0600 || (st->st_mode & S_IWOTH) != 0)
        finding(t, "mode is %03o: %s", (unsigned)st->st_mode & 0777u,
                (st->st_mode & S_IWOTH) != 0 ? "everybody may write" : "its owner may not read and write");
    if (st->st_nlink > 1)
        finding(t, "has %lu hard links", (unsigned long)st->st_nlink);
    if (stale_dotlock(t))
        finding(t, "a stale lock file is beside it: %s.lock", t->leaf);
    if (mbox_journal_pending(t->store->journal, t->fd))
        finding(t, "a change was interrupted and is not finished: imapd --recover");
}

/* The records that the file should have. Mail that came since is no fault, a file changed by others neither: then the index
 * is read anew at the next opening, and nothing is compared. */
static void get_index(struct target *t, const struct stat *st, struct message_record **out, size_t *n, bool *have)
{
    struct index_txn txn;
    struct box_record rec;
    uint64_t id;
    *have = false;
    if (!t->named || index_begin(t->store->index, false, &txn, NULL) != 0)
        return;
    if (index_find(&txn, t->name.text, false, &id, NULL) == 0 && id != 0 && index_get_box(&txn, id, &rec, NULL) == 1
        && rec.file.inode == st->st_ino && rec.file.size == (uint64_t)st->st_size
        && rec.file.mtime == (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec) {
        *have = index_get_all(&txn, &rec, out, NULL) == 0;
        *n = rec.exists;
        if (!*have)
            finding(t, "its index is damaged");
    }
    index_abort(&txn);
}

static int check(struct target *t)
{
    struct stat st;
    struct store_error e;
    struct message_record *records = NULL;
    static const struct message_record none;
    size_t n = 0;
    bool have;
    if (open_target(t, O_RDONLY) != 0 || lock_target(t, MBOX_LOCK_SHARED) != 0)
        return 2;
    if (fstat(t->fd, &st) != 0)
        return fail(t, strerror(errno));
    check_file(t, &st);
    get_index(t, &st, &records, &n, &have);
    struct verify v = { .mboxo = t->m->config->quoting == QUOTING_MBOXO, .found = found, .seen = seen, .ctx = t,
                        .index = !have ? NULL : records != NULL ? records : &none, .index_n = records != NULL ? n : 0 };
    progress_begin(&t->progress, "checking", (uint64_t)st.st_size);
    const int rc = verify_run(&v, t->fd, &e);
    progress_end(&t->progress);
    free(records);
    if (rc != 0)
        return fail(t, store_why(&e));
    printf("%s: %" PRIu64 " messages, %" PRIu64 " octets, %" PRIu64 " findings\n", t->label, v.messages, (uint64_t)st.st_size,
           t->findings);
    return t->findings > 0;
}

static void did(void *ctx, const struct finding *f, bool mended)
{
    print_finding(ctx, f, mended ? ": to be mended" : ": left as it is");
}

static void repairing(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct target *t = ctx;
    if (done == 0) {
        progress_end(&t->progress);
        progress_begin(&t->progress, what, total);
    }
    progress_at(&t->progress, done);
}

static void tick(void *ctx)
{
    mbox_lock_touch(((struct target *)ctx)->lock);
}

static int repair(struct target *t)
{
    struct store_error e;
    struct mailbox_status status;
    if (t->store->index_dirfd < 0)
        return fail(t, "not repaired: the index directory, where a journal would make it safe, cannot be had");
    if (open_target(t, O_RDWR) != 0)
        return 2;
    const bool stale = stale_dotlock(t);
    if (lock_target(t, MBOX_LOCK_EXCLUSIVE) != 0)
        return 2;
    struct repair r = { .journal = t->store->journal, .mboxo = t->m->config->quoting == QUOTING_MBOXO, .leaf = t->leaf,
                        .did = did, .progress = repairing, .tick = tick, .ctx = t };
    r.dirfd = t->m->backup_dir == NULL ? dup(t->dirfd) : open(t->m->backup_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int rc = r.dirfd < 0 ? store_fail(&e, STORE_IO, errno, "backup directory") : repair_run(&r, t->fd, &e);
    progress_end(&t->progress);
    if (r.dirfd >= 0)
        close(r.dirfd);
    if (stale && rc == 0)
        printf("%s: stale lock file removed\n", t->label);
    if (r.recovered)
        printf("%s: interrupted change finished\n", t->label);
    if (rc == 0 && r.backup[0] != 0)
        printf("%s: copy of what was: %s\n", t->label, r.backup);
    mbox_lock_release(t->lock);
    if (rc != 0)
        return fail(t, store_why(&e));
    progress_expect(&t->progress, "indexing");
    const int looked = t->named ? mailbox_status(t->store, &t->name, &status, &e) : 0;
    progress_end(&t->progress);
    if (looked != 0)
        return fail(t, store_why(&e));
    printf("%s: %zu mended, %zu left\n", t->label, r.mended, r.left);
    return r.left > 0;
}

static int recover(struct target *t)
{
    struct store_error e;
    if (t->store->index_dirfd < 0)
        return fail(t, "the index directory, where the journal is, cannot be had");
    if (open_target(t, O_RDWR) != 0 || lock_target(t, MBOX_LOCK_EXCLUSIVE) != 0)
        return 2;
    const enum mbox_pending pending = mbox_journal_pending(t->store->journal, t->fd);
    bool refused = false;
    if (pending == MBOX_PENDING_NONE) {
        printf("%s: nothing to do\n", t->label);
        return 0;
    }
    if (pending == MBOX_PENDING_MOVE) {              /* of two mailboxes, known by name: as a session does it */
        struct box b;
        mbox_lock_release(t->lock);
        if (!t->named || box_open(&b, t->store, &t->name, false, &e) != 0)
            return fail(t, "a MOVE must be finished, by a session of the mailbox's user");
        const int rc = box_lock(&b, MBOX_LOCK_EXCLUSIVE, NULL, &e);
        box_close(&b);
        if (rc != 0)
            return fail(t, store_why(&e));
    } else if (mbox_journal_recover(t->store->journal, t->fd, &refused, &e) != 0) {
        return fail(t, store_why(&e));
    }
    printf(refused ? "%s: the mailbox was changed since: the interrupted change is set aside as journal.refused\n"
                   : "%s: interrupted change finished\n", t->label);
    return 0;
}

static int seal(struct target *t)
{
    struct store_error e;
    struct mailbox *box;
    if (open_target(t, O_RDONLY) != 0)
        return 2;
    if (!t->named)
        return fail(t, "not a mailbox of this user");
    progress_expect(&t->progress, "indexing");
    const int opened = mailbox_open(t->store, &t->name, false, &box, &e);
    progress_end(&t->progress);
    if (opened != 0)
        return fail(t, store_why(&e));
    const int rc = mailbox_readonly(box) ? store_fail(&e, STORE_NOPERM, 0, "is read-only") : mailbox_checkpoint(box, true, &e);
    mailbox_close(box);
    if (rc != 0)
        return fail(t, store_why(&e));
    printf("%s: UIDs are in the file\n", t->label);
    return 0;
}

static int one(const struct maint *m, struct store *s, const char *label)
{
    struct target t = { .m = m, .store = s, .label = label, .fd = -1, .dirfd = -1 };
    int status = 2;
    store_on_progress(s, progress_told, &t.progress);
    switch (m->task) {
    case MAINT_CHECK: status = check(&t); break;
    case MAINT_REPAIR: status = repair(&t); break;
    case MAINT_RECOVER: status = recover(&t); break;
    case MAINT_SEAL: status = seal(&t); break;
    case MAINT_NONE: break;
    }
    close_target(&t);
    store_on_progress(s, NULL, NULL);
    return status;
}

struct all {
    const struct maint *m;
    struct store *store;
    int status;
};

static int each_name(void *ctx, const char *name, unsigned attributes)
{
    struct all *a = ctx;
    const int status = (attributes & NAME_SELECTABLE) != 0 ? one(a->m, a->store, name) : 0;
    a->status = status > a->status ? status : a->status;
    return 0;
}

static void warn(const char *text)
{
    log_warning("%s", text);
}

int maint_run(const struct maint *m)
{
    const struct config *c = m->config;
    const struct account *a = m->account;
    char *inbox = config_expand(c->inbox, a->name, a->home);
    char *index_dir = config_index_dir(c, a->name, a->home), *journal_dir = config_journal_dir(c, a->name, a->home);
    const bool no_index = m->task == MAINT_CHECK && access(index_dir, F_OK) != 0;      /* looking makes none */
    const struct store_settings settings = {
        .user = a->name, .home = a->home, .inbox_path = inbox, .mail_root = c->mail_root,
        .index_dir = no_index ? NULL : index_dir, .journal_dir = no_index ? NULL : journal_dir, .mboxo = c->quoting == QUOTING_MBOXO, .lock_timeout = c->lock_timeout,
        .seal_limit = c->seal_limit, .durable_flags = c->durable_flags, .list_depth = c->list_depth,
        .list_count = c->list_count, .locker_fd = m->locker_fd
    };
    struct all all = { .m = m };
    struct store_error e;
    bool cut = false;
    if (store_open(&all.store, &settings, warn, &e) != 0) {
        fprintf(stderr, "imapd: %s\n", store_why(&e));
        all.status = 2;
    } else {
        for (int i = 0; i < m->n; i++) {
            const int status = one(m, all.store, m->files[i]);
            all.status = status > all.status ? status : all.status;
        }
        if (m->n == 0 && (names_list(all.store->names, NULL, each_name, &all, &cut, &e) != 0 || cut)) {
            fprintf(stderr, "imapd: %s\n", cut ? "not all mailboxes could be listed: list-depth, list-count" : store_why(&e));
            all.status = 2;
        }
        store_close(all.store);
    }
    free(inbox);
    free(index_dir);
    free(journal_dir);
    return fflush(stdout) == 0 ? all.status : 2;
}
