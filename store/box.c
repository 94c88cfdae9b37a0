/*
 * One mbox file and its lock: opening, locking, finishing what a crash left, and the file's identity and times.
 * Bringing the index up to date is in refresh.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mailbox_private.h"

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void identity_of(const struct stat *st, struct file_identity *out)
{
    *out = (struct file_identity){ .inode = st->st_ino, .size = (uint64_t)st->st_size,
                                   .mtime = nanoseconds(st->st_mtim), .ctime = nanoseconds(st->st_ctim) };
}

bool box_same_file(const struct file_identity *a, const struct file_identity *b)
{
    return a->inode == b->inode && a->size == b->size && a->mtime == b->mtime && a->ctime == b->ctime;
}

int box_identity(const struct box *b, struct file_identity *out, struct store_error *e)
{
    struct stat st;
    if (fstat(b->fd, &st) != 0)
        return store_fail(e, STORE_IO, errno, "%s", b->name.text);
    identity_of(&st, out);
    return 0;
}

static int open_file(struct box *b, bool readonly, struct store_error *e)
{
    struct names *n = b->store->names;
    b->readonly = readonly;
    b->fd = readonly ? -1 : names_open(n, &b->name, O_RDWR, e);
    if (b->fd < 0 && (readonly || (e != NULL && e->code == STORE_NOPERM))) {
        b->readonly = true;
        b->fd = names_open(n, &b->name, O_RDONLY, e);
    }
    return b->fd < 0 ? -1 : 0;
}

int box_open(struct box *b, struct store *s, const struct mailbox_name *name, bool readonly, struct store_error *e)
{
    struct store_error own;
    memset(b, 0, sizeof *b);
    b->store = s;
    b->name = *name;
    b->dirfd = -1;
    if (open_file(b, readonly, e != NULL ? e : &own) != 0)
        return -1;
    b->dirfd = names_open_dir(s->names, &b->name, &b->leaf, e);
    if (b->dirfd < 0) {
        close(b->fd);
        b->fd = -1;
        return -1;
    }
    b->lock = mbox_lock_new(b->fd, b->dirfd, b->leaf, b->name.inbox, &s->locks);
    return 0;
}

void box_close(struct box *b)
{
    mbox_lock_free(b->lock);
    b->lock = NULL;
    if (b->fd >= 0)
        close(b->fd);
    if (b->dirfd >= 0)
        close(b->dirfd);
    b->fd = b->dirfd = -1;
}

/* Another program may have put a new file in place of ours. */
static int reopen_if_replaced(struct box *b, struct store_error *e)
{
    struct stat there, ours;
    if (fstatat(b->dirfd, b->leaf, &there, 0) != 0)
        return store_fail(e, errno == ENOENT ? STORE_NONEXISTENT : STORE_IO, errno, "%s", b->name.text);
    if (fstat(b->fd, &ours) == 0 && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
        return 0;
    const int old = b->fd;
    const bool readonly = b->readonly;
    mbox_lock_free(b->lock);
    b->lock = NULL;
    close(old);
    if (open_file(b, readonly, e) != 0) {
        b->fd = -1;
        return -1;
    }
    b->lock = mbox_lock_new(b->fd, b->dirfd, b->leaf, b->name.inbox, &b->store->locks);
    return 1;
}

static int acquire(struct box *b, enum mbox_lock_kind kind, struct store_error *e)
{
    for (int i = 0; i < 5; i++) {
        if (b->lock == NULL)
            return store_fail(e, STORE_NONEXISTENT, 0, "%s has vanished", b->name.text);
        if (mbox_lock_acquire(b->lock, kind, b->store->settings->lock_timeout * 1000, e) != 0)
            return -1;
        const int rc = reopen_if_replaced(b, e);
        if (rc == 0)
            return 0;
        if (rc < 0) {
            if (b->lock != NULL)
                mbox_lock_release(b->lock);
            return -1;
        }
    }
    return store_fail(e, STORE_INUSE, 0, "%s is replaced again and again", b->name.text);
}

/* Finishes a rewrite that a crash interrupted; the lock of this kind is held before and after. */
static int recover(struct box *b, enum mbox_lock_kind kind, struct store_error *e)
{
    if (!mbox_journal_pending(b->store->journal, b->fd))
        return 0;
    if (b->readonly)
        return store_fail(e, STORE_NOPERM, 0, "%s: an interrupted change must be finished first", b->name.text);
    if (kind != MBOX_LOCK_EXCLUSIVE && acquire(b, MBOX_LOCK_EXCLUSIVE, e) != 0)
        return -1;
    if (mbox_journal_pending(b->store->journal, b->fd) && mbox_journal_recover(b->store->journal, b->fd, e) != 0)
        return -1;
    return kind == MBOX_LOCK_EXCLUSIVE ? 0 : acquire(b, kind, e);
}

int box_lock(struct box *b, enum mbox_lock_kind kind, struct box_record *rec, struct store_error *e)
{
    struct box_record own;
    if (kind == MBOX_LOCK_EXCLUSIVE && b->readonly)
        return store_fail(e, STORE_NOPERM, 0, "%s is read-only", b->name.text);
    if (acquire(b, kind, e) != 0)
        return -1;
    if (recover(b, kind, e) != 0 || box_refresh(b, rec != NULL ? rec : &own, e) != 0) {
        box_unlock(b);
        return -1;
    }
    return 0;
}

void box_unlock(struct box *b)
{
    if (b->lock != NULL)
        mbox_lock_release(b->lock);
}

void box_touch(const struct box *b, bool new_mail)
{
    struct timespec now[2];
    clock_gettime(CLOCK_REALTIME, &now[0]);
    now[1] = now[0];
    now[new_mail ? 0 : 1].tv_sec--;          /* new mail: modified after it was last read */
    futimens(b->fd, now);
}

int box_finish(struct box *b, struct index_txn *t, struct box_record *rec, struct store_error *e)
{
    if (box_identity(b, &rec->file, e) != 0)
        return -1;
    return index_put_box(t, rec, e);
}

/* ---- keywords: names, NUL-terminated one after another; the bit is the place ------------------------------------- */

void keywords_text(struct buf *out, const struct buf *names, uint64_t bits)
{
    const char *p = names->data, *end = p + names->len;
    const char *between = "";
    for (unsigned bit = 0; p < end && bits >> bit != 0; bit++, p += strlen(p) + 1) {
        if (bits >> bit & 1) {
            buf_puts(out, between);
            buf_puts(out, p);
            between = " ";
        }
    }
}

void keywords_all(struct buf *out, const struct buf *names)
{
    keywords_text(out, names, UINT64_MAX);
}

int keyword_bit(struct buf *names, struct str name, bool create)
{
    int bit = 0;
    if (name.n == 0 || name.n >= STORE_KEYWORD_LEN)
        return -1;
    for (const char *p = names->data; p != NULL && p < names->data + names->len; p += strlen(p) + 1, bit++)
        if (strlen(p) == name.n && strncasecmp(p, name.p, name.n) == 0)
            return bit;
    if (!create || bit >= STORE_KEYWORDS)
        return -1;
    buf_add(names, name.p, name.n);
    buf_addc(names, 0);
    return bit;
}

int box_edit_records(struct index_txn *t, struct box_record *rec, const struct chunk_edit *edit, struct store_error *e)
{
    const struct chunk_info *have = index_chunks(t, rec);
    if (have == NULL)
        return rec->chunk_count == 0 ? 0 : store_fail(e, STORE_CORRUPTION, 0, "index: chunk directory is damaged");
    struct chunk_info *infos = memcpy(xreallocarray(NULL, rec->chunk_count, sizeof *infos), have,
                                      rec->chunk_count * sizeof *infos);
    struct message_record *part = xmalloc(INDEX_CHUNK * sizeof *part);
    bool any = false;
    int rc = 0;
    for (uint32_t c = 0; rc == 0 && c < rec->chunk_count; c++) {
        if (edit->want != NULL && !edit->want(edit->ctx, &infos[c]))
            continue;
        const struct message_record *r = index_chunk(t, rec->id, &infos[c]);
        if (r == NULL) {
            rc = store_fail(e, STORE_CORRUPTION, 0, "index: message records are damaged");
            break;
        }
        bool changed = false;
        memcpy(part, r, infos[c].count * sizeof *part);
        for (uint32_t i = 0; i < infos[c].count; i++)
            changed |= edit->change(edit->ctx, &part[i], infos[c].base + part[i].offset);
        if (!changed)
            continue;
        const struct chunk_info old = infos[c];
        chunk_count_up(&infos[c], part, old.count);
        rec->unseen += infos[c].unseen - old.unseen;
        rec->deleted += infos[c].deleted - old.deleted;
        rec->dirty += infos[c].dirty - old.dirty;
        rec->unwritten += infos[c].unwritten - old.unwritten;
        rc = index_put_chunk(t, rec->id, infos[c].id, part, old.count, e);
        any = true;
    }
    if (rc == 0 && any)
        rc = index_put_chunks(t, rec->id, infos, rec->chunk_count, e);
    free(part);
    free(infos);
    return rc;
}
