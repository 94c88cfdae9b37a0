/*
 * Changing the passwd-file. Run by an administrator, mostly as root; the text of the file is trusted as far as it has entries, and
 * what is not understood is copied.
 *
 * The lock is on the file that has the name, so after waiting for it one has to look whether it still is that file: the one who
 * had the lock has put another in its place. A killed writer leaves nothing but FILE.new, which the next one removes.
 */
#include "passwd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/passwd_line.h"
#include "base/xmalloc.h"

enum { FILE_MAX = 64 << 20, PATIENCE_MS = 30000, FIELDS = 8 };

__attribute__((format(printf, 2, 3))) static int wrong(struct passwd_result *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->error, sizeof r->error, fmt, ap);
    va_end(ap);
    return -1;
}

static void wipe(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buf_free(b);
}

/* The next line with its end; false: none is left. */
static bool next_line(struct str *text, struct str *line)
{
    if (text->n == 0)
        return false;
    const char *end = memchr(text->p, '\n', text->n);
    *line = (struct str){ text->p, end != NULL ? (size_t)(end + 1 - text->p) : text->n };
    text->p += line->n;
    text->n -= line->n;
    return true;
}

/* 1: an entry of that name, 0: something else, -1: it has the name and is none. */
static int is_entry_of(struct str line, const char *name)
{
    struct passwd_line e;
    const size_t n = strlen(name);
    const char *at = line.p;
    size_t left = line.n;
    while (left > 0 && (*at == ' ' || *at == '\t'))
        at++, left--;
    if (left <= n || memcmp(at, name, n) != 0 || at[n] != ':' || memchr(line.p, '\0', line.n) != NULL)
        return 0;
    char *copy = xstrndup(line.p, line.n);
    const int result = passwd_line_parse(&e, copy);
    explicit_bzero(copy, line.n);
    free(copy);
    return result == 1 ? 1 : -1;
}

/* The words of the field extra without the verifiers, then the new ones. */
static void put_extra(struct buf *out, const char *old, const char *verifiers)
{
    const size_t start = out->len;
    for (const char *at = old; *at != '\0';) {
        const size_t n = strcspn(at, " ");
        if (n > 0 && strncmp(at, "scram-", 6) != 0) {
            if (out->len > start)
                buf_addc(out, ' ');
            buf_add(out, at, n);
        }
        at += n + (at[n] == ' ' ? 1 : 0);
    }
    if (verifiers[0] != '\0' && out->len > start)
        buf_addc(out, ' ');
    buf_puts(out, verifiers);
}

/* The hash field with or without a lock before it. */
static int put_lock(struct buf *out, const char *hash, const struct passwd_change *c, struct passwd_result *r)
{
    const char *bare = hash + strspn(hash, "!");
    const bool lock = c->task == PASSWD_LOCK;
    if (!lock && (*bare == '\0' || *bare == '*'))
        return wrong(r, "%s has no password that could be unlocked", c->name);
    r->done = lock ? (hash[0] == '!' ? "was locked already" : "locked") : (hash[0] == '!' ? "unlocked" : "was not locked");
    buf_puts(out, lock ? "!" : "");
    buf_puts(out, bare);
    return 0;
}

/* The line of an entry as it is to be; old without its end. */
static int put_entry(struct buf *out, char *old, const struct passwd_change *c, struct passwd_result *r)
{
    const char *field[FIELDS] = { "", "", "", "", "", "", "", "" };
    const char *rest = NULL;
    size_t n = 0;
    while (old != NULL && n < FIELDS)
        field[n++] = strsep(&old, ":");
    rest = old;
    const bool set = c->task == PASSWD_SET;
    const char *values[] = { NULL, set ? c->hash : NULL, set ? c->uid : NULL, set ? c->gid : NULL, NULL, set ? c->home : NULL, NULL };
    const bool extra = set && c->verifiers != NULL && c->verifiers[0] != '\0';
    const size_t count = extra || n == FIELDS ? FIELDS : n;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_addc(out, ':');
        if (i == 1 && !set) {
            if (put_lock(out, field[1], c, r) != 0)
                return -1;
        } else if (i == FIELDS - 1) {
            if (set && c->verifiers != NULL)
                put_extra(out, field[i], c->verifiers);
            else
                buf_puts(out, field[i]);
        } else
            buf_puts(out, values[i] != NULL ? values[i] : field[i]);
    }
    if (rest != NULL) {
        buf_addc(out, ':');
        buf_puts(out, rest);
    }
    return 0;
}

/* Is what begins at `start` of out, up to its end, an entry of that name? */
static int sound(const struct buf *out, size_t start, const struct passwd_change *c, struct passwd_result *r)
{
    const struct str line = { out->data + start, out->len - start };
    return memchr(line.p, '\n', line.n) == NULL && is_entry_of(line, c->name) == 1 ? 0 : wrong(r, "%s: not an entry that could be read again", c->name);
}

static int change_line(struct buf *out, struct str line, const struct passwd_change *c, struct passwd_result *r)
{
    size_t end = line.n;
    while (end > 0 && (line.p[end - 1] == '\n' || line.p[end - 1] == '\r'))
        end--;
    if (c->task == PASSWD_DELETE) {
        r->done = "deleted";
        return 0;
    }
    char *copy = xstrndup(line.p, end);
    const size_t start = out->len;
    r->done = "changed";
    int result = put_entry(out, copy, c, r);
    if (result == 0)
        result = sound(out, start, c, r);
    buf_add(out, line.p + end, line.n - end);
    explicit_bzero(copy, end);
    free(copy);
    return result;
}

static int add_line(struct buf *out, const struct passwd_change *c, struct passwd_result *r)
{
    if (c->task != PASSWD_SET)
        return wrong(r, "%s has no entry", c->name);
    if (c->hash == NULL || c->uid == NULL || c->gid == NULL || c->home == NULL)
        return wrong(r, "%s has no entry, and a new one needs --uid, --gid and --home", c->name);
    if (out->len > 0 && out->data[out->len - 1] != '\n')
        buf_addc(out, '\n');
    const size_t start = out->len;
    buf_printf(out, "%s:%s:%s:%s::%s:", c->name, c->hash, c->uid, c->gid, c->home);
    if (c->verifiers != NULL && c->verifiers[0] != '\0')
        buf_printf(out, ":%s", c->verifiers);
    r->done = "added";
    const int result = sound(out, start, c, r);
    buf_addc(out, '\n');
    return result;
}

int passwd_text_change(struct buf *out, struct str old, const struct passwd_change *c, struct passwd_result *r)
{
    struct str text = old, line;
    bool found = false;
    (void)buf_room(out, old.n + 2048);
    for (unsigned long number = 1; next_line(&text, &line); number++) {
        const int is = found ? 0 : is_entry_of(line, c->name);
        if (is < 0)
            return wrong(r, "line %lu is to be mended first: it has the name and is no entry", number);
        if (is == 0)
            buf_add(out, line.p, line.n);
        else if (change_line(out, line, c, r) != 0)
            return -1;
        found = found || is == 1;
    }
    return found ? 0 : add_line(out, c, r);
}

/* The directory, the name in it, and the files. */
struct place {
    int directory, old, new;
    char path[PATH_MAX], *base;
    char fresh[NAME_MAX + 1];
    struct stat st;
};

static void place_close(struct place *p)
{
    const int fds[] = { p->directory, p->old, p->new };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* A link is followed: what it leads to is the file. */
static int place_find(struct place *p, const char *path, struct passwd_result *r)
{
    *p = (struct place){ .directory = -1, .old = -1, .new = -1 };
    if (realpath(path, p->path) == NULL) {
        const char *slash = strrchr(path, '/');
        char *directory = slash == NULL ? xstrdup(".") : slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
        char real[PATH_MAX];
        const bool good = errno == ENOENT && realpath(directory, real) != NULL &&
                          snprintf(p->path, sizeof p->path, "%s/%s", real, slash != NULL ? slash + 1 : path) < (int)sizeof p->path;
        free(directory);
        if (!good)
            return wrong(r, "%s: %s", path, strerror(errno));
    }
    p->base = strrchr(p->path, '/');
    *p->base++ = '\0';
    if (snprintf(p->fresh, sizeof p->fresh, "%s.new", p->base) >= (int)sizeof p->fresh || p->base[0] == '\0')
        return wrong(r, "%s: no name for a file", path);
    p->directory = open(p->path[0] != '\0' ? p->path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return p->directory >= 0 ? 0 : wrong(r, "%s: %s", p->path, strerror(errno));
}

/* 1: locked, 0: look again, -1. */
static int try_lock(struct place *p, bool create, struct passwd_result *r)
{
    struct stat now;
    p->old = openat(p->directory, p->base, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | (create ? O_CREAT : 0), 0600);
    if (p->old < 0)
        return wrong(r, "%s/%s: %s", p->path, p->base, strerror(errno));
    if (flock(p->old, LOCK_EX | LOCK_NB) == 0 && fstat(p->old, &p->st) == 0 && fstatat(p->directory, p->base, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
        now.st_dev == p->st.st_dev && now.st_ino == p->st.st_ino)
        return 1;
    close(p->old);
    p->old = -1;
    return 0;
}

static int place_lock(struct place *p, bool create, struct passwd_result *r)
{
    enum { STEP_MS = 10 };
    const struct timespec step = { 0, STEP_MS * 1000000L };
    int locked = 0;
    for (int waited = 0; (locked = try_lock(p, create, r)) == 0 && waited < PATIENCE_MS; waited += STEP_MS)
        (void)nanosleep(&step, NULL);
    if (locked <= 0)
        return locked < 0 ? -1 : wrong(r, "%s/%s is locked by another program", p->path, p->base);
    if (!S_ISREG(p->st.st_mode) || p->st.st_size > FILE_MAX)
        return wrong(r, "%s/%s: no file, or too large", p->path, p->base);
    if ((p->st.st_uid != 0 && p->st.st_uid != geteuid()) || (p->st.st_mode & 022) != 0)
        return wrong(r, "%s/%s must belong to root and be writable by no other", p->path, p->base);
    return 0;
}

static int read_all(int fd, size_t size, struct buf *out)
{
    char *room = buf_room(out, size + 1);
    while (out->len <= size) {
        const ssize_t n = pread(fd, room + out->len, size + 1 - out->len, (off_t)out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -1 : 0;
        out->len += (size_t)n;
    }
    return -1;
}

static int write_all(int fd, struct str text)
{
    while (text.n > 0) {
        const ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        text.p += n;
        text.n -= (size_t)n;
    }
    return 0;
}

/* The new file, whole and on the disk, takes the old one's place. */
static int replace(struct place *p, struct str text, struct passwd_result *r)
{
    (void)unlinkat(p->directory, p->fresh, 0);
    p->new = openat(p->directory, p->fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (p->new < 0)
        return wrong(r, "%s/%s: %s", p->path, p->fresh, strerror(errno));
    const bool owned = geteuid() != 0 || fchown(p->new, p->st.st_uid, p->st.st_gid) == 0;
    if (owned && fchmod(p->new, p->st.st_mode & 07777) == 0 && write_all(p->new, text) == 0 && fsync(p->new) == 0 &&
        renameat(p->directory, p->fresh, p->directory, p->base) == 0) {
        (void)fsync(p->directory);
        return 0;
    }
    (void)wrong(r, "%s/%s: %s", p->path, p->fresh, strerror(errno));
    (void)unlinkat(p->directory, p->fresh, 0);
    return -1;
}

int passwd_file_change(const char *path, const struct passwd_change *c, struct passwd_result *r)
{
    struct place p;
    struct buf old = { 0 }, new = { 0 };
    int result = place_find(&p, path, r);
    if (result == 0)
        result = place_lock(&p, c->task == PASSWD_SET, r);
    if (result == 0 && read_all(p.old, (size_t)p.st.st_size, &old) != 0)
        result = wrong(r, "%s: cannot be read", path);
    if (result == 0)
        result = passwd_text_change(&new, buf_str(&old), c, r);
    if (result == 0)
        result = replace(&p, buf_str(&new), r);
    place_close(&p);
    wipe(&old);
    wipe(&new);
    return result;
}

int passwd_file_has(const char *path, const char *name, struct passwd_result *r)
{
    struct buf text = { 0 };
    struct str rest, line;
    struct stat st;
    int found = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : wrong(r, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX || read_all(fd, (size_t)st.st_size, &text) != 0)
        found = wrong(r, "%s: cannot be read", path);
    rest = buf_str(&text);
    while (found == 0 && next_line(&rest, &line))
        found = is_entry_of(line, name) != 0;
    close(fd);
    wipe(&text);
    return found;
}
