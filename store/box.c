/*
 * One mbox file and its lock: opening, locking, finishing what a crash left, and the file's identity and times.
 * Bringing the index up to date is in refresh.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
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
    if (!s->settings->durable_flags)
        (void)box_remember(b);               /* nobody keeps it up to date */
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

int box_record_of(struct box *b, struct box_record *rec, struct store_error *e)
{
    struct index_txn t;
    if (index_begin(b->store->index, false, &t, e) != 0)
        return -1;
    int rc = b->id != 0 ? 0 : index_find(&t, b->name.text, false, &b->id, e);
    rc = rc == 0 && b->id != 0 ? index_get_box(&t, b->id, rec, e) : rc;
    index_abort(&t);
    return rc;
}

static int acquire_within(struct box *b, enum mbox_lock_kind kind, unsigned ms, struct store_error *e)
{
    for (int i = 0; i < 5; i++) {
        if (b->lock == NULL)
            return store_fail(e, STORE_NONEXISTENT, 0, "%s has vanished", b->name.text);
        if (mbox_lock_acquire(b->lock, kind, ms, e) != 0)
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

static int acquire(struct box *b, enum mbox_lock_kind kind, struct store_error *e)
{
    return acquire_within(b, kind, b->hurried ? 0 : b->store->settings->lock_timeout * 1000, e);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for one lock, then a moment for the other; if that is not to be had, gives the first back and waits for the other. */
enum { SECOND_LOCK = 250 };          /* ms */
static int acquire_both(struct box *a, struct box *b, struct store_error *e)
{
    struct store_error own;
    const int64_t deadline = now_ms() + a->store->settings->lock_timeout * 1000;
    e = e != NULL ? e : &own;
    for (;;) {
        const int64_t left = deadline - now_ms();
        struct box *const other = a;
        if (acquire_within(a, MBOX_LOCK_EXCLUSIVE, left > 0 ? (unsigned)left : 0, e) != 0)
            return -1;
        if (acquire_within(b, MBOX_LOCK_EXCLUSIVE, SECOND_LOCK, e) == 0)
            return 0;
        box_unlock(a);
        if (e->code != STORE_INUSE || left <= 0)
            return -1;
        poll(NULL, 0, (int)(1 + (now_ms() ^ getpid()) % 16));
        a = b;
        b = other;
    }
}

/* ---- recovery ----------------------------------------------------------------------------------------------------- */

static void warn_refused(const struct box *b)
{
    char text[MAILBOX_NAME_MAX + 100];
    snprintf(text, sizeof text, "%s: an interrupted change does not fit the mailbox, which was changed since: set aside", b->name.text);
    if (b->store->warning != NULL)
        b->store->warning(text);
}

/* Opens what a MOVE was about; fd -1 if it is not to be had. -1: that cannot be found out now. */
static int open_part(struct box *b, struct store *s, const char *name, struct store_error *e)
{
    struct mailbox_name parsed;
    struct store_error own;
    e = e != NULL ? e : &own;
    if (names_parse(s->names, str_z(name), &parsed, NULL, e) == 0 && box_open(b, s, &parsed, false, e) == 0)
        return 0;
    *b = (struct box){ .store = s, .fd = -1, .dirfd = -1 };
    return e->code == STORE_IO ? -1 : 0;
}

/* Finishes the MOVE that b was part of; b is not locked. */
static int recover_move(struct box *b, const struct mbox_move_names *names, struct store_error *e)
{
    struct box from, to;
    struct mbox_journal *j = b->store->journal;
    const bool same = strcmp(names->from, names->to) == 0;
    bool refused = false;
    int rc = open_part(&from, b->store, names->from, e);
    if (open_part(&to, b->store, same ? "" : names->to, rc == 0 ? e : NULL) != 0)
        rc = -1;
    if (rc != 0)
        ;                            /* perhaps the next time */
    else if (from.fd >= 0 && to.fd >= 0)
        rc = acquire_both(&from, &to, e);
    else if (from.fd >= 0 || to.fd >= 0)
        rc = acquire(from.fd >= 0 ? &from : &to, MBOX_LOCK_EXCLUSIVE, e);
    if (rc == 0 && (from.fd >= 0 || to.fd >= 0)
        && mbox_journal_pending(j, from.fd >= 0 ? from.fd : to.fd) == MBOX_PENDING_MOVE)
        rc = mbox_move_recover(j, from.fd, same ? from.fd : to.fd, &refused, e);
    if (refused)
        warn_refused(b);
    box_close(&from);
    box_close(&to);
    return rc;
}

/* Finishes a rewrite through a descriptor that can write; b, which has none, is not locked. */
static int recover_for_reader(const struct box *b, bool *refused, struct store_error *e)
{
    struct box own;
    const int rc = open_part(&own, b->store, b->name.text, e) != 0 ? -1 : own.fd < 0 || own.readonly
        ? store_fail(e, STORE_NOPERM, 0, "%s: an interrupted change must be finished first", b->name.text)
        : acquire(&own, MBOX_LOCK_EXCLUSIVE, e) != 0 ? -1 : mbox_journal_recover(b->store->journal, own.fd, refused, e);
    box_close(&own);
    return rc;
}

/* Finishes what a crash interrupted; the lock of this kind is held before and, with 0, after. */
static int recover(struct box *b, enum mbox_lock_kind kind, struct store_error *e)
{
    struct mbox_move_names names;
    struct mbox_journal *j = b->store->journal;
    bool refused = false;
    enum mbox_pending pending;
    for (int i = 0; (pending = mbox_journal_pending(j, b->fd)) != MBOX_PENDING_NONE; i++) {
        const int move = pending == MBOX_PENDING_MOVE ? mbox_move_pending(j, b->fd, &names) : 0;
        if (pending == MBOX_PENDING_UNKNOWN || move < 0)
            return store_fail(e, STORE_IO, errno, "%s: the journal cannot be read", b->name.text);
        if (i == 3)
            return 0;                /* of another file with this inode, which is not to be had now */
        if (move > 0) {
            box_unlock(b);
            if (recover_move(b, &names, e) != 0 || acquire(b, kind, e) != 0)
                return -1;
        } else if (b->readonly) {
            box_unlock(b);
            if (recover_for_reader(b, &refused, e) != 0 || acquire(b, kind, e) != 0)
                return -1;
        } else if (kind == MBOX_LOCK_EXCLUSIVE) {
            if (mbox_journal_recover(j, b->fd, &refused, e) != 0)
                return -1;
        } else if (acquire(b, MBOX_LOCK_EXCLUSIVE, e) != 0 || mbox_journal_recover(j, b->fd, &refused, e) != 0
                   || acquire(b, kind, e) != 0) {
            return -1;
        }
        if (refused)
            warn_refused(b);
    }
    return 0;
}

int box_lock_both(struct box *a, struct box_record *rec_a, struct box *b, struct box_record *rec_b, struct store_error *e)
{
    struct mbox_journal *j = a->store->journal;
    if (a->readonly || b->readonly)
        return store_fail(e, STORE_NOPERM, 0, "%s is read-only", a->readonly ? a->name.text : b->name.text);
    for (int i = 0; i < 5; i++) {
        struct box *const pending = mbox_journal_pending(j, a->fd) != MBOX_PENDING_NONE ? a
            : mbox_journal_pending(j, b->fd) != MBOX_PENDING_NONE ? b : NULL;
        if (pending != NULL && i < 4) {      /* one after the other */
            if (acquire(pending, MBOX_LOCK_EXCLUSIVE, e) != 0)
                return -1;
            const int rc = recover(pending, MBOX_LOCK_EXCLUSIVE, e);
            box_unlock(pending);
            if (rc != 0)
                return -1;
        }
        if (acquire_both(a, b, e) != 0)
            return -1;
        if (i == 4 || (mbox_journal_pending(j, a->fd) == MBOX_PENDING_NONE && mbox_journal_pending(j, b->fd) == MBOX_PENDING_NONE))
            break;
        box_unlock(a);
        box_unlock(b);
    }
    if (box_refresh(a, rec_a, e) == 0 && box_refresh(b, rec_b, e) == 0)
        return 0;
    box_unlock(a);
    box_unlock(b);
    return -1;
}

int box_lock(struct box *b, enum mbox_lock_kind kind, struct box_record *rec, struct store_error *e)
{
    struct box_record own;
    if (kind == MBOX_LOCK_EXCLUSIVE && b->readonly)
        return store_fail(e, STORE_NOPERM, 0, "%s is read-only", b->name.text);
    const int64_t deadline = now_ms() + (b->hurried ? 0 : b->store->settings->lock_timeout * 1000);
    do {
        b->disturbed = false;
        if (acquire(b, kind, e) != 0)
            return -1;
        if (recover(b, kind, e) == 0 && box_refresh(b, rec != NULL ? rec : &own, e) == 0)
            return 0;
        box_unlock(b);
    } while (b->disturbed && now_ms() < deadline);
    return -1;
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
    const char *p = names->len > 0 ? names->data : "", *end = p + names->len;
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
