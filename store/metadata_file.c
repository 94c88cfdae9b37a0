/*
 * Reading and replacing ~/.mailboxmeta. A change reads the file under the lock, writes the new one beside it, makes it durable
 * and renames it: a reader, and whoever comes after a crash or on a full disk, finds the old one or the new one, whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/metadata.h"
#include "store/names_private.h"

static const char file_name[] = ".mailboxmeta", new_name[] = ".mailboxmeta.new";
enum { LOCK_PAUSE = 10 };            /* ms */

static int open_home(const struct names *n)
{
    return open(n->settings->home, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* 1: there is a file, 0: none, -1. Links are not followed: who wants the file elsewhere would lose it at the next rename. */
static int read_file(int home, struct buf *out, struct store_error *e)
{
    struct stat st;
    const int fd = openat(home, file_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return store_fail(e, errno == ELOOP ? STORE_CANNOT : STORE_IO, errno, "%s", file_name);
    ssize_t got = fstat(fd, &st) == 0 ? 0 : -1;
    if (got == 0 && !S_ISREG(st.st_mode)) {
        close(fd);
        return store_fail(e, STORE_CANNOT, 0, "%s is no regular file", file_name);
    }
    while (got >= 0 && out->len <= METADATA_FILE) {
        got = read(fd, buf_room(out, 65536), 65536);
        if (got == 0)
            break;
        if (got > 0)
            out->len += (size_t)got;
        else if (errno == EINTR)
            got = 0;
    }
    const int err = errno;
    close(fd);
    if (got < 0)
        return store_fail(e, STORE_IO, err, "%s", file_name);
    return out->len <= METADATA_FILE ? 1 : store_fail(e, STORE_LIMIT, 0, "%s is too large", file_name);
}

int metadata_load(const struct names *n, struct arena *a, struct metadata *out, struct store_error *e)
{
    struct buf text = { 0 };
    *out = (struct metadata){ .n = 0 };
    const int home = open_home(n);
    if (home < 0)
        return 0;
    const int rc = read_file(home, &text, e);
    close(home);
    if (rc > 0)
        metadata_parse(a, buf_str(&text), out);
    buf_free(&text);
    return rc < 0 ? -1 : 0;
}

void metadata_stamp(const struct names *n, struct metadata_stamp *out)
{
    struct stat st;
    *out = (struct metadata_stamp){ .inode = 0 };
    const int home = open_home(n);
    if (home < 0)
        return;
    if (fstatat(home, file_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        *out = (struct metadata_stamp){ .inode = st.st_ino, .size = (uint64_t)st.st_size, .seconds = (uint64_t)st.st_mtim.tv_sec,
                                        .nanoseconds = (uint64_t)st.st_mtim.tv_nsec };
    close(home);
}

static int write_all(int fd, const struct buf *text)
{
    for (size_t at = 0; at < text->len;) {
        const ssize_t k = write(fd, text->data + at, text->len - at);
        if (k < 0 && errno != EINTR)
            return -1;
        at += k > 0 ? (size_t)k : 0;
    }
    return fsync(fd);
}

/* The file that is to replace the other, durable but for its name. */
static int write_new(int home, const struct buf *text, struct store_error *e)
{
    unlinkat(home, new_name, 0);             /* of one that was killed: we hold the lock */
    const int fd = openat(home, new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return store_fail(e, STORE_IO, errno, "%s", new_name);
    int rc = write_all(fd, text);
    if (rc != 0)
        store_fail(e, STORE_IO, errno, "%s", new_name);
    if (close(fd) != 0 && rc == 0)
        rc = store_fail(e, STORE_IO, errno, "%s", new_name);
    if (rc != 0)
        unlinkat(home, new_name, 0);
    return rc;
}

/* A descriptor of the home that holds the lock of the file, or -1. */
static int lock_home(const struct names *n, int home, struct store_error *e)
{
    const int dir = openat(home, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return store_fail(e, STORE_IO, errno, "%s", n->settings->home);
    for (unsigned waited = 0; flock(dir, LOCK_EX | LOCK_NB) != 0;) {
        const int err = errno;
        if ((err != EWOULDBLOCK && err != EINTR) || waited >= n->settings->lock_timeout * 1000) {
            close(dir);
            return err == EWOULDBLOCK ? store_fail(e, STORE_INUSE, 0, "%s is locked by another session", file_name)
                                      : store_fail(e, STORE_IO, err, "%s", file_name);
        }
        nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE * 1000000 }, NULL);
        waited += LOCK_PAUSE;
    }
    return dir;
}

/* How a change treats one line of the file: what is to be there instead goes to out. line holds it with its line end, entry is
 * NULL if the line is none of ours. True: it is another than before. */
typedef bool (*line_change)(void *ctx, struct str line, const struct metadata_entry *entry, struct buf *out);

static bool each_line(const struct buf *text, line_change each, void *ctx, struct buf *out)
{
    struct arena *arena = arena_new();
    bool changed = false;
    for (size_t at = 0; at < text->len;) {
        struct metadata_entry entry;
        const char *line = text->data + at, *lf = memchr(line, '\n', text->len - at);
        const size_t whole = lf != NULL ? (size_t)(lf - line) + 1 : text->len - at;
        size_t length = whole - (lf != NULL);
        length -= length > 0 && line[length - 1] == '\r';
        const bool ours = metadata_line_read(arena, (struct str){ line, length }, &entry);
        changed |= each(ctx, (struct str){ line, whole }, ours ? &entry : NULL, out);
        if (lf == NULL && out->len > 0 && out->data[out->len - 1] != '\n')
            buf_addc(out, '\n');
        at += whole;
        arena_reset(arena);
    }
    arena_free(arena);
    return changed;
}

/* Reads, changes and writes the new file under the lock, which c holds then. add (may be NULL) writes what comes behind the
 * lines; it returns 1 if that is something, 0, or -1 to give up. may_begin: the file is made if there is none. */
static int prepare(const struct names *n, bool may_begin, line_change each,
                   int (*add)(void *ctx, struct buf *out, struct store_error *e), void *ctx, struct metadata_change *c, struct store_error *e)
{
    struct buf text = { 0 }, fresh = { 0 };
    bool changed = false;
    *c = (struct metadata_change){ .home = open_home(n), .lock = -1 };
    if (c->home < 0)
        return store_fail(e, STORE_IO, errno, "%s", n->settings->home);
    if (!may_begin && faccessat(c->home, file_name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    c->lock = lock_home(n, c->home, e);
    int rc = c->lock < 0 ? -1 : read_file(c->home, &text, e);
    if (rc >= 0)
        changed = each_line(&text, each, ctx, &fresh);
    if (rc >= 0 && add != NULL) {
        rc = add(ctx, &fresh, e);
        changed |= rc > 0;
    }
    if (rc >= 0 && changed && fresh.len > METADATA_FILE)
        rc = store_fail(e, STORE_LIMIT, 0, "%s would be too large", file_name);
    if (rc >= 0 && changed)
        rc = write_new(c->home, &fresh, e);
    c->written = rc >= 0 && changed;
    buf_free(&text);
    buf_free(&fresh);
    if (rc < 0)
        metadata_abandon(c);
    return rc < 0 ? -1 : 0;
}

void metadata_abandon(struct metadata_change *c)
{
    if (c->written)
        unlinkat(c->home, new_name, 0);
    if (c->lock >= 0)
        close(c->lock);
    if (c->home >= 0)
        close(c->home);
    *c = (struct metadata_change){ .home = -1, .lock = -1 };
}

int metadata_commit(struct metadata_change *c, struct store_error *e)
{
    int rc = 0;
    if (c->written && renameat(c->home, new_name, c->home, file_name) != 0) {
        rc = store_fail(e, STORE_IO, errno, "%s", file_name);
    } else if (c->written) {
        c->written = false;
        if (fsync(c->lock) != 0) {
            store_fail(e, STORE_IO, errno, "%s", file_name);
            rc = 1;
        }
    }
    metadata_abandon(c);
    return rc;
}

static int change(const struct names *n, bool may_begin, line_change each,
                  int (*add)(void *ctx, struct buf *out, struct store_error *e), void *ctx, struct store_error *e)
{
    struct metadata_change c;
    if (prepare(n, may_begin, each, add, ctx, &c, e) != 0)
        return -1;
    return metadata_commit(&c, e) == 0 ? 0 : -1;
}

/* ---- the three changes -------------------------------------------------------------------------------------------- */

enum { CHANGES = 2 * METADATA_ENTRIES };
struct setting {
    const struct metadata_entry *list;
    size_t n;
    unsigned kept[CHANGES];          /* lines of the mailbox of each change that stay */
};

static bool same_entry(const struct metadata_entry *a, const struct metadata_entry *b)
{
    return str_eq(a->mailbox, b->mailbox) && str_ieq(a->name, b->name);
}

static bool set_line(void *ctx, struct str line, const struct metadata_entry *entry, struct buf *out)
{
    struct setting *s = ctx;
    for (size_t i = 0; entry != NULL && i < s->n; i++)
        if (same_entry(entry, &s->list[i]))
            return true;
    for (size_t i = 0; entry != NULL && i < s->n; i++)
        s->kept[i] += str_eq(entry->mailbox, s->list[i].mailbox) ? 1 : 0;
    buf_add(out, line.p, line.n);
    return false;
}

static int set_rest(void *ctx, struct buf *out, struct store_error *e)
{
    struct setting *s = ctx;
    int wrote = 0;
    for (size_t i = 0; i < s->n; i++) {
        bool last = s->list[i].value.p != NULL;
        for (size_t j = i + 1; last && j < s->n; j++)
            last = !same_entry(&s->list[i], &s->list[j]);
        if (!last)
            continue;
        if (s->kept[i] >= METADATA_ENTRIES)
            return store_fail(e, STORE_LIMIT, 0, "too many annotations");
        for (size_t j = i; j < s->n; j++)
            s->kept[j] += str_eq(s->list[i].mailbox, s->list[j].mailbox) ? 1 : 0;
        metadata_line_write(out, &s->list[i]);
        wrote = 1;
    }
    return wrote;
}

int metadata_set(const struct names *n, const struct metadata_entry *changes, size_t count, struct store_error *e)
{
    struct setting s = { .list = changes, .n = count };
    bool any = false;
    if (count > CHANGES)
        return store_fail(e, STORE_LIMIT, 0, "too many annotations at once");
    for (size_t i = 0; i < count; i++)
        any |= changes[i].value.p != NULL;
    return change(n, any, set_line, set_rest, &s, e);
}

struct renaming {
    struct str from, to;
    bool copy;
    struct buf moved;
};

/* What follows from in name, with the '/' that parts them, if name is from or below it; .p NULL if not. */
static struct str below(struct str name, struct str from)
{
    if (name.n < from.n || memcmp(name.p, from.p, from.n) != 0 || (name.n > from.n && name.p[from.n] != '/'))
        return (struct str){ NULL, 0 };
    return (struct str){ name.p + from.n, name.n - from.n };
}

static bool rename_line(void *ctx, struct str line, const struct metadata_entry *entry, struct buf *out)
{
    struct renaming *r = ctx;
    struct buf name = { 0 };
    const struct str rest = entry != NULL ? below(entry->mailbox, r->from) : (struct str){ NULL, 0 };
    if (rest.p != NULL && (!r->copy || rest.n == 0)) {
        struct metadata_entry moved = *entry;
        buf_add(&name, r->to.p, r->to.n);
        buf_add(&name, rest.p, rest.n);
        moved.mailbox = buf_str(&name);
        metadata_line_write(&r->moved, &moved);
        buf_free(&name);
        if (!r->copy)
            return true;
    } else if (entry != NULL && below(entry->mailbox, r->to).p != NULL) {
        return true;                         /* of a mailbox that was taken away by other means */
    }
    buf_add(out, line.p, line.n);
    return false;
}

static int rename_rest(void *ctx, struct buf *out, struct store_error *e)
{
    struct renaming *r = ctx;
    (void)e;
    buf_add(out, r->moved.data, r->moved.len);
    return r->moved.len > 0;
}

int metadata_rename(const struct names *n, const char *from, const char *to, bool copy, struct metadata_change *c,
                    struct store_error *e)
{
    struct renaming r = { .from = str_z(from), .to = str_z(to), .copy = copy };
    const int rc = prepare(n, false, rename_line, rename_rest, &r, c, e);
    buf_free(&r.moved);
    return rc;
}

static bool delete_line(void *ctx, struct str line, const struct metadata_entry *entry, struct buf *out)
{
    if (entry != NULL && str_eq(entry->mailbox, str_z(ctx)))
        return true;
    buf_add(out, line.p, line.n);
    return false;
}

int metadata_delete(const struct names *n, const char *mailbox, struct store_error *e)
{
    char name[MAILBOX_NAME_MAX];
    snprintf(name, sizeof name, "%s", mailbox);
    return change(n, false, delete_line, NULL, name, e);
}
