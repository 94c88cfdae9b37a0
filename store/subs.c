/*
 * Subscriptions in ~/.mailboxlist, as UW imapd keeps them: a name a line. The file is replaced whole, by rename, durably.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/names_private.h"

enum { SUBS_MAX = 16 << 20 };
static const char file_name[] = ".mailboxlist", new_name[] = ".mailboxlist.new";

static int open_home(const struct names *n)
{
    return open(n->settings->home, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int read_file(int home, struct buf *out, struct store_error *e)
{
    const int fd = openat(home, file_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : store_fail(e, STORE_IO, errno, "%s", file_name);
    ssize_t n;
    do {
        n = read(fd, buf_room(out, 65536), 65536);
        if (n > 0)
            out->len += (size_t)n;
    } while ((n > 0 && out->len < SUBS_MAX) || (n < 0 && errno == EINTR));
    const int err = errno;
    close(fd);
    return n < 0 ? store_fail(e, STORE_IO, err, "%s", file_name) : 0;
}

/* The next line as a canonical name; false at the end. Lines that are no name are passed over. */
static bool next_name(const struct names *n, const struct buf *text, size_t *at, struct mailbox_name *out)
{
    while (*at < text->len) {
        const char *line = text->data + *at;
        const char *lf = memchr(line, '\n', text->len - *at);
        size_t length = lf != NULL ? (size_t)(lf - line) : text->len - *at;
        *at += length + (lf != NULL);
        if (length > 0 && line[length - 1] == '\r')
            length--;
        bool directory;
        if (length > 0 && names_parse(n, (struct str){ line, length }, out, &directory, NULL) == 0)
            return true;
    }
    return false;
}

int subs_list(struct names *n, int (*each)(void *ctx, const char *name), void *ctx, struct store_error *e)
{
    struct buf text = { 0 };
    struct mailbox_name name;
    size_t at = 0;
    const int home = open_home(n);
    int rc = home < 0 ? 0 : read_file(home, &text, e);
    if (home >= 0)
        close(home);
    while (rc == 0 && next_name(n, &text, &at, &name))
        rc = each(ctx, name.text);
    buf_free(&text);
    return rc;
}

static int write_file(int home, const struct buf *text, struct store_error *e)
{
    unlinkat(home, new_name, 0);
    const int fd = openat(home, new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return store_fail(e, STORE_IO, errno, "%s", new_name);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < text->len;) {
        const ssize_t k = write(fd, text->data + at, text->len - at);
        if (k > 0)
            at += (size_t)k;
        else if (errno != EINTR)
            rc = -1;
    }
    if (rc == 0)
        rc = fsync(fd);
    if (rc != 0)
        store_fail(e, STORE_IO, errno, "%s", new_name);
    close(fd);
    if (rc == 0 && renameat(home, new_name, home, file_name) != 0)
        rc = store_fail(e, STORE_IO, errno, "%s", file_name);
    if (rc != 0)
        unlinkat(home, new_name, 0);
    const int dir = openat(home, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
        fsync(dir);
        close(dir);
    }
    return rc;
}

int subs_set(struct names *n, const struct mailbox_name *name, bool subscribed, struct store_error *e)
{
    struct buf text = { 0 }, fresh = { 0 };
    struct mailbox_name line;
    size_t at = 0;
    bool there = false;
    const int home = open_home(n);
    if (home < 0)
        return store_fail(e, STORE_IO, errno, "%s", n->settings->home);
    const int dir = openat(home, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0)
        flock(dir, LOCK_EX);                 /* two sessions of the user must not lose each other's line */
    int rc = read_file(home, &text, e);
    while (rc == 0 && next_name(n, &text, &at, &line)) {
        const bool same = strcmp(line.text, name->text) == 0;
        there |= same;
        if (!same || subscribed)
            buf_printf(&fresh, "%s\n", line.text);
    }
    if (rc == 0 && subscribed && !there)
        buf_printf(&fresh, "%s\n", name->text);
    if (rc == 0 && there != subscribed)
        rc = write_file(home, &fresh, e);
    if (dir >= 0)
        close(dir);
    close(home);
    buf_free(&text);
    buf_free(&fresh);
    return rc;
}
