/*
 * Messages outside the mailboxes (see source.h): what the formats share.
 */
#include "migrate/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/decode.h"

enum { PIECE = 1 << 16 };
enum { UID_MOST = 1 << 30 };         /* an X-UID is not believed from here on (doc/mbox.md) */

const struct flag_letter maildir_letters[5] = {
    { 'D', FLAG_DRAFT }, { 'F', FLAG_FLAGGED }, { 'R', FLAG_ANSWERED }, { 'S', FLAG_SEEN }, { 'T', FLAG_DELETED }
};

struct item *source_add(struct source *s)
{
    if (s->n == s->capacity) {
        s->capacity = s->capacity < 64 ? 64 : s->capacity * 2;
        s->items = xreallocarray(s->items, s->capacity, sizeof *s->items);
    }
    struct item *it = &s->items[s->n++];
    *it = (struct item){ .number = s->n - 1 };
    return it;
}

void source_tell(const struct source *s, const char *name, bool damage, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    s->problem(s->ctx, name, damage, text);
}

bool source_keyword(struct str name)
{
    if (name.n == 0 || name.n >= STORE_KEYWORD_LEN)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] >= 127 || strchr("(){%*\"\\]", name.p[i]) != NULL)
            return false;
    return true;
}

void item_keyword(const struct source *s, struct item *it, struct str name)
{
    char text[STORE_KEYWORD_LEN];
    if (!source_keyword(name)) {
        source_tell(s, it->name, true, "a keyword that IMAP cannot name is left out: %.*s", (int)(name.n < 80 ? name.n : 80), name.p);
        return;
    }
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    for (const char *k = it->keywords.data; k != NULL && k < it->keywords.data + it->keywords.len; k += strlen(k) + 1)
        if (strcasecmp(k, text) == 0)
            return;
    buf_add(&it->keywords, text, name.n + 1);
}

int source_slurp(const struct source *s, const char *name, size_t most, struct buf *out)
{
    struct stat st;
    const int fd = openat(s->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    const bool regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    int good = regular && (uint64_t)st.st_size <= most;
    while (good) {
        const ssize_t k = read(fd, buf_room(out, PIECE), PIECE);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0 || out->len + (size_t)k > most) {
            good = k == 0;
            break;
        }
        out->len += (size_t)k;
    }
    if (!good)
        source_tell(s, name, true, "cannot be read: %s", fd < 0 ? strerror(errno) : !regular ? "not a regular file" : "too large");
    if (fd >= 0)
        close(fd);
    return good;
}

bool source_line(struct str *text, struct str *line)
{
    if (text->n == 0)
        return false;
    const char *lf = memchr(text->p, '\n', text->n);
    *line = (struct str){ text->p, lf != NULL ? (size_t)(lf - text->p) : text->n };
    const size_t used = line->n + (lf != NULL);
    text->p += used;
    text->n -= used;
    return true;
}

bool source_number(struct str *text, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    for (; i < text->n && text->p[i] >= '0' && text->p[i] <= '9'; i++) {
        if (*out > (UINT64_MAX - 9) / 10)
            return false;
        *out = *out * 10 + (uint64_t)(text->p[i] - '0');
    }
    text->p += i;
    text->n -= i;
    return i > 0;
}

bool source_space(struct str *text)
{
    if (text->n == 0 || text->p[0] != ' ')
        return false;
    *text = (struct str){ text->p + 1, text->n - 1 };
    return true;
}

/* Those with UIDs first; an mbox's others, and files of the same name, as they came. */
static int by_uid(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    const uint32_t p = a->uid - 1, q = b->uid - 1;       /* none is last */
    if (p != q)
        return p < q ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int by_date(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    if (a->date != b->date)
        return a->date < b->date ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int by_name(const void *x, const void *y)
{
    return strverscmp(((const struct item *)x)->name, ((const struct item *)y)->name);
}

static void sort_items(struct source *s)
{
    const uint32_t none = s->uidvalidity == 0 || s->uidnext > UID_MOST;
    if (s->kind != SOURCE_MBOX && s->n > 0)
        qsort(s->items, s->n, sizeof *s->items, s->kind == SOURCE_EML ? by_name : by_date);
    for (size_t i = 0; i < s->n; i++) {
        if (s->kind != SOURCE_MBOX)
            s->items[i].number = i;
        s->items[i].uid = none || s->items[i].uid >= UID_MOST ? 0 : s->items[i].uid;
        s->octets += s->items[i].size;
    }
    if (none)
        s->uidvalidity = s->uidnext = 0;
    if (s->n > 0)
        qsort(s->items, s->n, sizeof *s->items, by_uid);
    for (size_t i = 0; i < s->n && s->items[i].uid != 0; i++)
        if (s->items[i].uid >= s->uidnext)
            s->uidnext = s->items[i].uid + 1;
}

static bool open_directory(struct source *s)
{
    s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return s->fd >= 0;
}

int source_open(struct source *s, unsigned lock_timeout, struct store_error *e)
{
    int rc = -1;
    s->fd = s->lock_dirfd = -1;
    s->locks = (struct mbox_lock_session){ .locker_fd = -1 };
    if (s->kind == SOURCE_MBOX)
        rc = source_mbox_open(s, lock_timeout, e);
    else if (s->kind == SOURCE_EML)
        rc = source_eml_open(s, e);
    else if (!open_directory(s))
        return store_fail(e, STORE_IO, errno, "%s", s->path);
    else
        rc = source_maildir_open(s, e);
    if (rc == 0)
        sort_items(s);
    return rc;
}

void source_close(struct source *s)
{
    mbox_lock_free(s->lock);
    content_free(s->content);
    for (size_t i = 0; i < s->n; i++) {
        free(s->items[i].name);
        buf_free(&s->items[i].keywords);
    }
    free(s->items);
    free(s->records);
    if (s->fd >= 0)
        close(s->fd);
    if (s->lock_dirfd >= 0)
        close(s->lock_dirfd);
    s->fd = s->lock_dirfd = -1;
}

/* ---- reading a file ----------------------------------------------------------------------------------------------- */

static bool hide_nuls(char *p, size_t n)
{
    const char *const end = p + n;
    bool any = false;
    for (; (p = memchr(p, 0, (size_t)(end - p))) != NULL; any = true)
        *p = (char)0x80;
    return any;
}

static int unreadable(struct source *s, struct item *it, const char *why)
{
    it->bad = true;
    source_tell(s, it->name, true, "cannot be read: %s", why);
    return 1;
}

static int copy_file(struct source *s, struct item *it, int fd, source_sink *sink, void *ctx)
{
    char *piece = xmalloc(PIECE);
    struct line_ends ends = { 0 };
    struct buf lines = { 0 };
    bool nuls = false;
    int rc = 0;
    while (rc == 0) {
        const ssize_t k = read(fd, piece, PIECE);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            rc = unreadable(s, it, strerror(errno));
        if (k <= 0)
            break;
        nuls |= hide_nuls(piece, (size_t)k);
        buf_clear(&lines);
        if (!it->exact)
            line_ends_feed(&ends, &lines, piece, (size_t)k);
        rc = it->exact ? sink(ctx, piece, (size_t)k) : sink(ctx, lines.data, lines.len);
    }
    if (nuls && rc == 0 && !it->nuls)
        source_tell(s, it->name, true, "its NUL octets, which IMAP cannot send, are stored as 0x80");
    it->nuls = nuls;
    buf_free(&lines);
    free(piece);
    return rc;
}

int source_read(struct source *s, struct item *it, source_sink *sink, void *ctx)
{
    struct stat st;
    if (s->kind == SOURCE_MBOX)
        return source_mbox_read(s, it, sink, ctx);
    const int fd = it->name[0] == 0 ? dup(s->fd) : openat(s->fd, it->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return unreadable(s, it, errno == ENOENT ? "it went or was renamed meanwhile; run this again" : strerror(errno));
    int rc = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 0 : unreadable(s, it, "not a regular file");
    if (rc == 0 && it->name[0] == 0)
        rc = lseek(fd, 0, SEEK_SET) == 0 ? 0 : unreadable(s, it, strerror(errno));
    if (rc == 0)
        rc = copy_file(s, it, fd, sink, ctx);
    close(fd);
    return rc;
}
