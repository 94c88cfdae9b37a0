/*
 * Into an mbox file: each message as it is stored, with the bookkeeping fields that say its UID, flags and keywords now. The
 * file is made under another name and gets its own when it is whole, and on disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/xmalloc.h"
#include "migrate/migrate.h"
#include "migrate/table.h"
#include "store/deliver.h"

enum { BATCH_OCTETS = 64 << 20, BATCH_MESSAGES = 10000 };

static int write_text(int fd, const char *p, uint64_t n, struct store_error *e)
{
    while (n > 0) {
        const ssize_t k = write(fd, p, n < 1 << 24 ? (size_t)n : 1 << 24);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return store_fail(e, STORE_IO, errno, "writing");
        p += k;
        n -= (uint64_t)k;
    }
    return 0;
}

static void spaced(const struct buf *names, struct buf *out)
{
    buf_clear(out);
    for (const char *k = names->data; k != NULL && k < names->data + names->len; k += strlen(k) + 1) {
        buf_puts(out, out->len > 0 ? " " : "");
        buf_puts(out, k);
    }
}

static int write_parcels(struct export *x, struct delivery *d, const uint32_t *uids, bool first, int fd, struct store_error *e)
{
    struct spool text;
    struct buf out = { 0 }, names = { 0 }, all = { 0 };
    const char *octets = spool_view(&d->spool, e), *written;
    int rc = octets != NULL ? 0 : -1;
    spool_init(&text, x->g->store->index_dirfd);
    spaced(&x->table->keyword_names, &all);
    for (size_t i = 0; rc == 0 && i < d->n; i++) {
        struct parcel *p = &d->parcels[i];
        struct meta_block b = { .flags = p->flags & ~(unsigned)FLAG_OLD, .uid = uids[i], .base = first && i == 0,
                                .base_validity = x->status.uidvalidity, .base_last = x->status.uidnext - 1,
                                .base_keywords = buf_str(&all) };
        spaced(&p->keywords, &names);
        b.keywords = buf_str(&names);
        rc = parcel_write(p, octets + p->from, &b, x->g->store->settings->mboxo, &out, &text, i + 1 == d->n, e);
    }
    if (rc == 0 && (written = spool_view(&text, e)) != NULL)
        rc = write_text(fd, written, text.size, e);
    else
        rc = -1;
    spool_free(&text);
    buf_free(&out);
    buf_free(&names);
    buf_free(&all);
    return rc;
}

static int write_all(struct export *x, int fd, struct progress *progress, struct store_error *e)
{
    uint32_t *seqs = xcalloc(BATCH_MESSAGES, sizeof *seqs), *uids = xcalloc(BATCH_MESSAGES, sizeof *uids);
    uint64_t done = 0;
    int rc = 0;
    bool first = true;
    for (size_t at = 0; rc == 0 && at < x->table->n;) {
        struct delivery d;
        size_t n = 0, count;
        for (uint64_t size = 0; at < x->table->n && n < BATCH_MESSAGES && size < BATCH_OCTETS; at++) {
            seqs[n++] = x->table->list[at].seq;
            size += x->table->list[at].size;
            done += x->table->list[at].size;
        }
        delivery_init(&d, x->g->store, &x->g->name);
        rc = delivery_collect(&d, x->box, seqs, n, uids, &count, e);
        if (rc == 0 && count > 0) {
            rc = write_parcels(x, &d, uids, first, fd, e);
            first = false;
        }
        delivery_free(&d);
        progress_at(progress, done);
    }
    free(seqs);
    free(uids);
    return rc;
}

/* Its name, when it is whole. */
static int finish(int dirfd, int fd, const char *part, const char *leaf, const char *path, struct store_error *e)
{
    if (fsync(fd) != 0)
        return store_fail(e, STORE_IO, errno, "%s", path);
    if (renameat2(dirfd, part, dirfd, leaf, RENAME_NOREPLACE) != 0)
        return store_fail(e, STORE_IO, errno, "%s", path);
    const int real = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int rc = real < 0 || fsync(real) != 0 ? store_fail(e, STORE_IO, errno, "%s", path) : 0;
    if (real >= 0)
        close(real);
    return rc;
}

int export_mbox(struct export *x, struct store_error *e)
{
    struct stat st;
    struct progress progress;
    const char *path = x->g->path;
    char *copy = xstrdup(path), *again = xstrdup(path), *leaf = basename(again), *part = NULL;
    int fd = -1, rc = -1;
    const int dirfd = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (asprintf(&part, "%s.imapd-part", leaf) < 0)
        abort();
    if (dirfd < 0) {
        store_fail(e, STORE_IO, errno, "%s", path);
    } else if (fstatat(dirfd, leaf, &st, 0) == 0) {
        rc = 0;                      /* there from before: compared, never changed */
    } else if ((fd = openat(dirfd, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600)) < 0
               || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        store_fail(e, STORE_IO, fd < 0 ? errno : EEXIST, "%s.imapd-part", path);
    } else {
        progress_begin(&progress, "writing", x->status.size);
        rc = write_all(x, fd, &progress, e);
        progress_end(&progress);
        if (rc == 0)
            rc = finish(dirfd, fd, part, leaf, path, e);
        if (rc != 0)
            (void)unlinkat(dirfd, part, 0);
    }
    if (fd >= 0)
        close(fd);
    if (dirfd >= 0)
        close(dirfd);
    free(copy);
    free(again);
    free(part);
    return rc;
}
