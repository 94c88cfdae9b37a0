/*
 * Opening a user's store: index and journal in the index directory, in memory where that cannot be had.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mailbox_private.h"

#define NFS_MAGIC 0x6969

/* The directory, made if it is not there; if it is to be local, refused where LMDB's shared memory would be unsafe. -1 with errno. */
static int open_directory(const char *path, bool local)
{
    struct statfs fs;
    int fd;
    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0 && errno == ENOENT && (mkdir(path, 0700) == 0 || errno == EEXIST)) {      /* or another session made it */
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const int parent = fd < 0 ? -1 : openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent >= 0 && (fsync(parent) != 0 || close(parent) != 0))       /* the journal in it must not be lost with it */
            errno = 0;
    }
    if (local && fd >= 0 && fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == NFS_MAGIC) {
        close(fd);
        errno = EREMOTE;
        return -1;
    }
    if (fd >= 0 && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0) {
        close(fd);
        errno = EACCES;
        return -1;
    }
    return fd;
}

/* An index that is not there, or not ours to write, or has no room is done without. Anything else is a passing trouble, or a
 * broken disk: to go on without a journal that may hold an unfinished change would spoil mail. */
static bool done_without(int err)
{
    return err == ENOENT || err == ENOTDIR || err == EACCES || err == EPERM || err == EROFS || err == ENOSPC || err == EDQUOT
        || err == EREMOTE || err == ELOOP || err == EINVAL;
}

/* The journal in a directory of its own, where another host finds it too. text: what the log is to say of it. */
static int open_journal(struct store *s, char *text, size_t size, struct store_error *e)
{
    const char *dir = s->settings->journal_dir;
    s->journal_dirfd = dir == NULL || strcmp(dir, s->settings->index_dir) == 0 ? s->index_dirfd : open_directory(dir, false);
    if (s->journal_dirfd >= 0)
        s->journal = mbox_journal_open(s->journal_dirfd, "journal");
    if (s->journal == NULL && !done_without(errno))
        return store_fail(e, STORE_IO, errno, "journal in %s", dir != NULL ? dir : s->settings->index_dir);
    if (s->journal_dirfd < 0)
        snprintf(text, size, "journal directory %s: %s; journal kept in memory", dir, strerror(errno));
    return 0;
}

static int open_index(struct store *s, struct store_error *e, void (*warning)(const char *text))
{
    char text[400];
    const char *dir = s->settings->index_dir;
    s->index_dirfd = dir != NULL && *dir != 0 ? open_directory(dir, true) : -1;
    if (s->index_dirfd < 0 && dir != NULL && *dir != 0 && !done_without(errno))
        return store_fail(e, STORE_IO, errno, "index directory %s", dir);
    if (s->index_dirfd < 0 && dir != NULL && *dir != 0)
        snprintf(text, sizeof text, "index directory %s: %s; index kept in memory", dir, strerror(errno));
    else
        text[0] = 0;
    if (s->index_dirfd >= 0) {
        if (open_journal(s, text, sizeof text, e) != 0)
            return -1;
        if (index_open(&s->index, dir, warning, e) != 0)
            snprintf(text, sizeof text, "index directory %s: %s; index kept in memory", dir, e->text);
        else if (index_in_memory(s->index))
            snprintf(text, sizeof text, "index directory %s: no space left; a copy of the index is kept in memory", dir);
    }
    if (s->index == NULL)
        index_open(&s->index, NULL, warning, e);
    if (s->journal == NULL)
        s->journal = mbox_journal_memory();
    s->durable_flags = s->settings->durable_flags || index_in_memory(s->index);     /* flags that are nowhere else */
    if (text[0] != 0 && warning != NULL)
        warning(text);
    return s->index != NULL ? 0 : -1;
}

void store_on_progress(struct store *s, void (*progress)(void *ctx, uint64_t done, uint64_t goal), void *ctx)
{
    s->progress = progress;
    s->progress_ctx = ctx;
}

int store_open(struct store **out, const struct store_settings *settings, void (*warning)(const char *text), struct store_error *e)
{
    struct store_error own;
    struct store *s = xcalloc(1, sizeof *s);
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 1 << 20);      /* what a large mailbox needed for a moment goes back to the system */
#endif
    s->settings = settings;
    s->index_dirfd = s->journal_dirfd = -1;
    s->warning = warning;
    s->locks = (struct mbox_lock_session){ .locker_fd = settings->locker_fd, .warning = warning };
    e = e != NULL ? e : &own;
    if (open_index(s, e, warning) != 0 || names_open_root(&s->names, settings, e) != 0) {
        store_close(s);
        return -1;
    }
    *out = s;
    return 0;
}

unsigned store_index_state(const struct store *s)
{
    return index_state(s->index);
}

void store_watch(struct store *s, sigjmp_buf *back)
{
    index_watch(s != NULL ? s->index : NULL, back);
}

void store_give_up(const struct store_settings *settings)
{
    if (settings->index_dir != NULL && settings->index_dir[0] != 0)
        index_set_aside(settings->index_dir);
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    names_close(s->names);
    mbox_journal_close(s->journal);
    index_close(s->index);
    if (s->journal_dirfd >= 0 && s->journal_dirfd != s->index_dirfd)
        close(s->journal_dirfd);
    if (s->index_dirfd >= 0)
        close(s->index_dirfd);
    free(s);
}

const struct store_settings *store_settings_of(const struct store *s)
{
    return s->settings;
}

struct names *store_names(struct store *s)
{
    return s->names;
}
