/*
 * An mbox file, read by the scanner and the reader that mailboxes are read with. UIDs are those of X-UID, below the last that
 * X-IMAPbase (or UW imapd's first message) names, as long as they ascend.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "migrate/source.h"

enum { PIECE = 1 << 16, PROGRESS_EACH = 256 };

struct reading {
    struct source *s;
    size_t capacity;
    uint32_t base_last, last_uid;
    bool first;
};

static int take(void *ctx, const struct scanned *found)
{
    struct reading *r = ctx;
    struct source *s = r->s;
    const struct meta *m = found->meta;
    if (!r->first && m->has_base) {
        s->uidvalidity = m->base_validity;
        r->base_last = m->base_last;
        s->uidnext = r->base_last < UINT32_MAX ? r->base_last + 1 : 0;
    }
    r->first = true;
    if (s->progress != NULL && s->n % PROGRESS_EACH == 0)
        progress_at(s->progress, found->record.offset);
    if (m->pseudo)
        return 0;
    if (s->n == r->capacity) {
        r->capacity = r->capacity < 64 ? 64 : r->capacity * 2;
        s->records = xreallocarray(s->records, r->capacity, sizeof *s->records);
    }
    s->records[s->n] = found->record;
    struct item *it = source_add(s);
    it->size = found->record.raw_size;
    it->flags = (m->flags | found->record.flags) & ~(unsigned)FLAG_OLD;
    it->date = found->record.date;
    it->zone = found->record.zone;
    if (m->has_uid && m->uid <= r->base_last && m->uid > r->last_uid)
        it->uid = r->last_uid = m->uid;
    for (const char *k = m->keywords.data; k != NULL && k < m->keywords.data + m->keywords.len; k += strlen(k) + 1)
        item_keyword(s, it, str_z(k));
    s->records[it->number].uid = (uint32_t)s->n;      /* tells content_read one from another */
    return 0;
}

/* A file that may not be written can be locked for reading all the same. */
static int lock(struct source *s, unsigned timeout, struct store_error *e)
{
    char *copy = xstrdup(s->path), *again = xstrdup(s->path);
    s->lock_dirfd = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
    s->lock = mbox_lock_new(s->fd, s->lock_dirfd, basename(again), false, &s->locks);
    free(copy);
    free(again);
    return mbox_lock_acquire(s->lock, MBOX_LOCK_SHARED, timeout * 1000, e);
}

int source_mbox_open(struct source *s, unsigned lock_timeout, struct store_error *e)
{
    struct stat st;
    struct reading r = { .s = s };
    uint64_t end = UINT64_MAX;
    s->fd = open(s->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st) != 0)
        return store_fail(e, STORE_IO, errno, "%s", s->path);
    if (!S_ISREG(st.st_mode))
        return store_fail(e, STORE_CANNOT, 0, "%s is not a regular file", s->path);
    if (lock(s, lock_timeout, e) != 0)
        return -1;
    s->content = content_new();
    if (s->progress != NULL)
        progress_begin(s->progress, "reading", (uint64_t)st.st_size);
    const int rc = st.st_size > 0 && mbox_scan(s->fd, 0, s->mboxo, take, &r, &end, e) < 0 ? -1 : 0;
    if (s->progress != NULL)
        progress_end(s->progress);
    return rc;
}

int source_mbox_read(struct source *s, struct item *it, source_sink *sink, void *ctx)
{
    struct store_error e;
    const struct message_record *r = &s->records[it->number];
    char *piece = xmalloc(PIECE);
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < r->size;) {
        size_t got;
        if (content_read(s->content, s->fd, r, r->offset, s->mboxo, at, piece, PIECE, &got, &e) != 0 || got == 0) {
            it->bad = true;
            source_tell(s, NULL, true, "message %zu cannot be read: %s", it->number + 1, store_why(&e));
            rc = 1;
        } else {
            rc = sink(ctx, piece, got);
            at += got;
        }
    }
    free(piece);
    return rc;
}
