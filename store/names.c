/*
 * Mailbox names to files. Everything below the root is reached by openat2(RESOLVE_BENEATH): the kernel refuses each path
 * that would leave it, by "..", an absolute name or a symbolic link, also when it is swapped meanwhile. What is opened is then
 * looked at by descriptor.
 */
#include "store/names_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/compat.h"
#include "base/xmalloc.h"
#include "store/acl.h"
#include "store/mbox_from.h"

enum { SNIFF = 512, COMPONENT_MAX = 250 };       /* NAME_MAX less room for ".lock" */

/* A directory that cannot be opened, or is not there, now may be later. */
static int open_dir(const char *path)
{
    int fd;
    do
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int inbox_dir(struct names *n)
{
    if (n->inbox_dir < 0)
        n->inbox_dir = open_dir(n->inbox_path_dir);
    return n->inbox_dir;
}

int names_open_root(struct names **out, const struct store_settings *settings, struct store_error *e)
{
    struct names *n = xcalloc(1, sizeof *n);
    char dir[4096];
    *n = (struct names){ .settings = settings, .root = -1, .inbox_dir = -1 };
    const char *slash = strrchr(settings->inbox_path, '/');
    if (slash == NULL || (size_t)(slash - settings->inbox_path) >= sizeof dir) {
        free(n);
        return store_fail(e, STORE_CANNOT, 0, "inbox is no absolute path");
    }
    memcpy(dir, settings->inbox_path, (size_t)(slash - settings->inbox_path));
    dir[slash - settings->inbox_path] = 0;
    n->inbox_leaf = slash + 1;
    n->inbox_path_dir = xstrdup(dir[0] != 0 ? dir : "/");
    inbox_dir(n);
    names_root(n);
    *out = n;
    return 0;
}

void names_close(struct names *n)
{
    if (n == NULL)
        return;
    if (n->root >= 0)
        close(n->root);
    if (n->inbox_dir >= 0)
        close(n->inbox_dir);
    free(n->inbox_path_dir);
    free(n);
}

static int open_beneath(int dir, const char *path, int flags, mode_t mode)
{
    struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    if (flags & O_CREAT)
        how.mode = mode;
    long fd;
    do
        fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return (int)fd;
}

int names_root(struct names *n)
{
    if (n->root >= 0)
        return n->root;
    const int home = open_dir(n->settings->home);
    if (home < 0 || n->settings->mail_root == NULL || n->settings->mail_root[0] == 0)
        return n->root = home;
    n->root = open_beneath(home, n->settings->mail_root, O_PATH | O_DIRECTORY, 0);
    const int err = errno;
    close(home);
    errno = err;
    return n->root;
}

int names_beneath(struct names *n, const char *path, int flags, mode_t mode)
{
    const int root = names_root(n);
    return root < 0 ? -1 : open_beneath(root, path[0] != 0 ? path : ".", flags, mode);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static const char *wrong_component(const char *p, size_t n)
{
    if (n == 0)
        return "an empty component";
    if (p[0] == '.')
        return "a component that begins with a dot";
    if (n > COMPONENT_MAX)
        return "a component that is too long";
    if (n >= 5 && strncasecmp(p + n - 5, ".lock", 5) == 0)
        return "the name of a lock file";
    return NULL;
}

static const char *wrong_name(const char *text)
{
    if (text[0] == 0)
        return "nothing";
    if (text[0] == '/' || text[0] == '~')
        return "a path from elsewhere";
    for (const unsigned char *p = (const unsigned char *)text; *p != 0; p++)
        if (*p < ' ' || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
            || (*p == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)))       /* U+2028, U+2029: RFC 6855 section 3 */
            return "a control character";
    for (const char *p = text;;) {
        const size_t n = strcspn(p, "/");
        const char *wrong = wrong_component(p, n);
        if (wrong != NULL || p[n] == 0)
            return wrong;
        p += n + 1;
    }
}

int names_parse(const struct names *n, struct str name, struct mailbox_name *out, bool *directory, struct store_error *e)
{
    utf8proc_uint8_t *nfc = NULL;
    char text[MAILBOX_NAME_MAX];
    if (name.n >= sizeof text)
        return store_fail(e, STORE_LIMIT, 0, "the mailbox name is too long");
    if (memchr(name.p, 0, name.n) != NULL)
        return store_fail(e, STORE_CANNOT, 0, "the mailbox name holds a NUL");
    if (name.n > 0)
        memcpy(text, name.p, name.n);
    text[name.n] = 0;
    if (utf8proc_map((const utf8proc_uint8_t *)text, 0, &nfc, UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE) < 0)
        return store_fail(e, STORE_CANNOT, 0, "the mailbox name is not UTF-8");
    const char *from = (const char *)nfc, *root = n->settings->mail_root;
    const size_t r = root != NULL ? strlen(root) : 0;
    size_t length = strlen(from);
    if (directory != NULL)
        *directory = length > 1 && from[length - 1] == '/';
    if (directory != NULL && *directory)
        length--;
    if (r > 0 && length > r && strncmp(from, root, r) == 0 && from[r] == '/') {
        from += r + 1;
        length -= r + 1;
    }
    if (length >= sizeof out->text) {
        free(nfc);
        return store_fail(e, STORE_LIMIT, 0, "the mailbox name is too long");
    }
    memcpy(out->text, from, length);
    out->text[length] = 0;
    free(nfc);
    out->inbox = strcasecmp(out->text, "INBOX") == 0;
    if (out->inbox)
        memcpy(out->text, "INBOX", 6);
    const char *wrong = wrong_name(out->text);
    return wrong == NULL ? 0 : store_fail(e, STORE_CANNOT, 0, "the mailbox name holds %s", wrong);
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* A regular file that is empty or begins like an mbox? The descriptor is closed if not. INBOX is one whatever it holds: a
 * delivery may have written half a From_ line, and what is wrong is found when it is read under the lock. */
static int only_mailbox(int fd, const struct mailbox_name *box, struct store_error *e)
{
    const char *name = box->text;
    struct stat st;
    char first[SNIFF];
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return store_fail(e, STORE_NONEXISTENT, 0, "%s is not a mailbox", name);
    }
    const ssize_t got = box->inbox ? 0 : pread(fd, first, sizeof first, 0);
    if (got < 0) {
        const int err = errno;
        close(fd);
        return store_fail(e, STORE_IO, err, "%s", name);
    }
    if (!mbox_sniff(first, (size_t)got)) {
        close(fd);
        return store_fail(e, STORE_NONEXISTENT, 0, "%s is not a mailbox", name);
    }
    return fd;
}

/* O_NOATIME is for the owner alone. */
static int open_inbox(struct names *n, int flags)
{
    const int extra = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
    if (inbox_dir(n) < 0)
        return -1;
    int fd = openat(n->inbox_dir, n->inbox_leaf, flags | extra | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(n->inbox_dir, n->inbox_leaf, flags | extra);
    if (fd < 0 && errno == ENOENT)
        fd = openat(n->inbox_dir, n->inbox_leaf, flags | extra | O_CREAT | O_EXCL, 0600);
    return fd;
}

int names_open(struct names *n, const struct mailbox_name *name, int oflags, struct store_error *e)
{
    int fd;
    if (name->inbox) {
        fd = open_inbox(n, oflags);
        if (fd < 0 && errno == EACCES && n->inbox_dir >= 0 && faccessat(n->inbox_dir, n->inbox_leaf, F_OK, 0) != 0)
            return store_fail(e, STORE_NONEXISTENT, 0, "INBOX does not exist and cannot be made");
    } else {
        fd = names_beneath(n, name->text, oflags | O_NONBLOCK | O_NOCTTY | O_NOATIME, 0);
        if (fd < 0 && errno == EPERM)
            fd = names_beneath(n, name->text, oflags | O_NONBLOCK | O_NOCTTY, 0);
        if (fd < 0 && errno == EISDIR)
            return store_fail(e, STORE_NONEXISTENT, 0, "%s is a directory", name->text);
        if (fd < 0 && errno == ENXIO)
            return store_fail(e, STORE_NONEXISTENT, 0, "%s is not a mailbox", name->text);
    }
    if (fd < 0)
        return store_fail(e, STORE_IO, errno, "%s", name->text);
    return only_mailbox(fd, name, e);
}

/* The directory part of a name below the root ("" the root itself) and where the last component begins. */
static const char *split(const char *name, char dir[MAILBOX_NAME_MAX])
{
    const char *slash = strrchr(name, '/');
    const size_t n = slash != NULL ? (size_t)(slash - name) : 0;
    memcpy(dir, name, n);
    dir[n] = 0;
    return slash != NULL ? slash + 1 : name;
}

static int open_parent(struct names *n, const char *name, const char **leaf)
{
    char dir[MAILBOX_NAME_MAX];
    *leaf = split(name, dir);
    return names_beneath(n, dir, O_PATH | O_DIRECTORY, 0);
}

int names_open_dir(struct names *n, const struct mailbox_name *name, const char **leaf, struct store_error *e)
{
    int fd;
    if (name->inbox) {
        *leaf = n->inbox_leaf;
        fd = inbox_dir(n) < 0 ? -1 : fcntl(n->inbox_dir, F_DUPFD_CLOEXEC, 3);
    } else {
        fd = open_parent(n, name->text, leaf);
    }
    return fd < 0 ? store_fail(e, STORE_IO, errno, "%s", name->text) : fd;
}

unsigned names_look(struct names *n, const struct mailbox_name *name, struct store_error *e)
{
    struct stat st;
    if (name->inbox)
        return NAME_SELECTABLE;
    int fd = names_beneath(n, name->text, O_PATH, 0);
    if (fd < 0 || fstat(fd, &st) != 0) {
        const int err = errno;
        if (fd >= 0)
            close(fd);
        store_fail(e, STORE_IO, err, "%s", name->text);
        return 0;
    }
    close(fd);
    if (S_ISDIR(st.st_mode))
        return NAME_DIRECTORY;
    fd = names_open(n, name, O_RDONLY, e);
    if (fd < 0)
        return 0;
    close(fd);
    return NAME_SELECTABLE;
}

/* ---- creating, deleting, renaming ---------------------------------------------------------------------------------- */

static int sync_dir(int pathfd)
{
    const int fd = openat(pathfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Makes the directories of a path below the root, one after the other, each by its parent's descriptor. */
static int make_directories(struct names *n, const char *path, struct store_error *e)
{
    char part[MAILBOX_NAME_MAX];
    if (names_root(n) < 0 && n->settings->mail_root != NULL && n->settings->mail_root[0] != 0) {
        const int home = open(n->settings->home, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (home < 0 || mkdirat(home, n->settings->mail_root, 0700) != 0) {
            const int err = errno;
            if (home >= 0)
                close(home);
            return store_fail(e, STORE_IO, err, "%s", n->settings->mail_root);
        }
        sync_dir(home);
        close(home);
    }
    for (const char *slash = path; *path != 0; slash++) {
        slash = strchrnul(slash, '/');
        memcpy(part, path, (size_t)(slash - path));
        part[slash - path] = 0;
        const char *leaf;
        const int parent = open_parent(n, part, &leaf);
        const int made = parent < 0 ? -1 : mkdirat(parent, leaf, rights_inherited(parent) ? 0777 : 0700);
        const int err = errno;
        if (made == 0)
            sync_dir(parent);
        if (parent >= 0)
            close(parent);
        if (made != 0 && err != EEXIST)
            return store_fail(e, err == ENOTDIR ? STORE_CANNOT : STORE_IO, err, "%s", part);
        if (*slash == 0)
            break;
    }
    const int fd = names_beneath(n, path, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return store_fail(e, errno == ENOTDIR ? STORE_CANNOT : STORE_IO, errno == ENOTDIR ? 0 : errno,
                          errno == ENOTDIR ? "%s is a mailbox and cannot hold others" : "%s", path);
    close(fd);
    return 0;
}

static int make_parent(struct names *n, const char *name, struct store_error *e)
{
    char dir[MAILBOX_NAME_MAX];
    split(name, dir);
    if (dir[0] == 0 && names_root(n) >= 0)
        return 0;
    return make_directories(n, dir, e);
}

int names_create(struct names *n, const struct mailbox_name *name, bool directory, struct store_error *e)
{
    const char *leaf;
    struct stat st;
    if (name->inbox)
        return store_fail(e, STORE_ALREADYEXISTS, 0, "INBOX exists always");
    if (make_parent(n, name->text, e) != 0)
        return -1;
    const int parent = open_parent(n, name->text, &leaf);
    if (parent < 0)
        return store_fail(e, STORE_IO, errno, "%s", name->text);
    int rc;
    if (fstatat(parent, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        close(parent);
        if (directory && S_ISDIR(st.st_mode))
            return 0;
        return store_fail(e, STORE_ALREADYEXISTS, 0, S_ISDIR(st.st_mode) ? "%s is a directory already" : "%s exists already", name->text);
    }
    if (directory) {
        rc = mkdirat(parent, leaf, rights_inherited(parent) ? 0777 : 0700);
    } else {
        const int fd = openat(parent, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                              rights_inherited(parent) ? 0666 : 0600);
        rc = fd < 0 ? -1 : fsync(fd);
        if (fd >= 0)
            close(fd);
    }
    if (rc != 0)
        rc = store_fail(e, STORE_IO, errno, "%s", name->text);
    if (rc == 0 && sync_dir(parent) != 0)
        rc = store_fail(e, STORE_IO, errno, "%s", name->text);
    close(parent);
    return rc;
}

int names_delete(struct names *n, const struct mailbox_name *name, struct store_error *e)
{
    const char *leaf;
    if (name->inbox)
        return store_fail(e, STORE_CANNOT, 0, "INBOX cannot be deleted");
    const unsigned there = names_look(n, name, e);
    if (there == 0)
        return -1;
    const int parent = open_parent(n, name->text, &leaf);
    if (parent < 0)
        return store_fail(e, STORE_IO, errno, "%s", name->text);
    int rc = unlinkat(parent, leaf, there & NAME_DIRECTORY ? AT_REMOVEDIR : 0);
    if (rc != 0)
        rc = errno == ENOTEMPTY || errno == EEXIST ? store_fail(e, STORE_CANNOT, ENOTEMPTY, "%s is a directory that is not empty", name->text)
            : store_fail(e, STORE_IO, errno, "%s", name->text);
    else if (sync_dir(parent) != 0)
        rc = store_fail(e, STORE_IO, errno, "%s", name->text);
    close(parent);
    return rc;
}

int names_rename(struct names *n, const struct mailbox_name *from, const struct mailbox_name *to, struct store_error *e)
{
    const char *old_leaf, *new_leaf;
    const size_t length = strlen(from->text);
    if (from->inbox || to->inbox)
        return store_fail(e, STORE_CANNOT, 0, "INBOX is not renamed by its file");
    if (names_look(n, from, e) == 0)
        return -1;
    if (strncmp(to->text, from->text, length) == 0 && to->text[length] == '/')
        return store_fail(e, STORE_CANNOT, 0, "%s cannot become a part of itself", from->text);
    if (make_parent(n, to->text, e) != 0)
        return -1;
    const int old_dir = open_parent(n, from->text, &old_leaf), new_dir = open_parent(n, to->text, &new_leaf);
    int rc = -1;
    if (old_dir >= 0 && new_dir >= 0)
        rc = renameat2(old_dir, old_leaf, new_dir, new_leaf, RENAME_NOREPLACE);
    if (rc != 0 && errno == EXDEV)
        rc = store_fail(e, STORE_CANNOT, errno, "%s is on another file system than %s", from->text, to->text);
    else if (rc != 0)
        rc = store_fail(e, errno == EEXIST ? STORE_ALREADYEXISTS : STORE_IO, errno == EEXIST ? 0 : errno, errno == EEXIST
                        ? "%s exists already" : "%s", errno == EEXIST ? to->text : from->text);
    else if (sync_dir(new_dir) != 0 || sync_dir(old_dir) != 0)
        rc = store_fail(e, STORE_IO, errno, "%s", to->text);
    if (old_dir >= 0)
        close(old_dir);
    if (new_dir >= 0)
        close(new_dir);
    return rc;
}
