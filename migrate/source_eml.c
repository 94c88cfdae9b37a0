/*
 * Message files: those of a directory named *.eml, or by a number (MH), or a single file. Their date is the newest Received field's,
 * else Date's, else the mtime. Line ends: a file whose first line ends with CRLF is taken as it is. What an export wrote has a list
 * beside it of all that files cannot say:
 *     imapd-export 1 UIDVALIDITY UIDNEXT
 *     UID DATE ZONE FLAGS [KEYWORD ...]          flags as letters of a maildir, or -
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "migrate/source.h"
#include "store/date.h"
#include "store/mime.h"

enum { HEAD = 1 << 16, MANIFEST_MOST = 1 << 29 };

struct dates {
    bool received, dated;
    int64_t date, sent;
    int zone, sent_zone;
};

static int take_field(void *ctx, struct str name, struct str value, struct str whole)
{
    struct dates *d = ctx;
    (void)whole;
    const char *semicolon = memrchr(value.p, ';', value.n);
    if (!d->received && semicolon != NULL && str_ieq(name, STR("Received"))) {
        const struct str rest = { semicolon + 1, (size_t)(value.p + value.n - semicolon - 1) };
        d->received = mime_date_parse(rest, &d->date, &d->zone) == 0;
    } else if (!d->dated && str_ieq(name, STR("Date"))) {
        d->dated = mime_date_parse(value, &d->sent, &d->sent_zone) == 0;
    }
    return d->received;
}

/* What the beginning of the file says. */
static void look(struct item *it, int fd)
{
    char *head = xmalloc(HEAD);
    struct dates d = { 0 };
    const ssize_t n = pread(fd, head, HEAD, 0);
    if (n > 0) {
        const char *lf = memchr(head, '\n', (size_t)n);
        it->exact = lf != NULL && lf > head && lf[-1] == '\r';
        mime_header_each((struct str){ head, (size_t)n }, take_field, &d);
    }
    if (d.received || d.dated) {
        it->date = d.received ? d.date : d.sent;
        it->zone = d.received ? d.zone : d.sent_zone;
    }
    free(head);
}

static void add_file(struct source *s, const char *name, int fd)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        const int err = errno;
        source_tell(s, name, true, "passed over: %s", fd < 0 && err != ELOOP ? strerror(err)
                    : fd < 0 || !S_ISREG(st.st_mode) ? "not a regular file" : "it is empty");
        return;
    }
    struct item *it = source_add(s);
    it->name = xstrdup(name);
    it->size = (uint64_t)st.st_size;
    it->date = st.st_mtim.tv_sec;
    it->zone = date_local_zone(it->date);
    look(it, fd);
}

static bool named_right(const char *name)
{
    const size_t n = strlen(name);
    return name[strspn(name, "0123456789")] == 0 || (n > 4 && strcasecmp(name + n - 4, ".eml") == 0);
}

static int read_directory(struct source *s, struct store_error *e)
{
    const int fd = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return store_fail(e, STORE_IO, errno, "%s", s->path);
    }
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (!named_right(entry->d_name)) {
            source_tell(s, entry->d_name, false, "passed over: neither *.eml nor a number");
            continue;
        }
        const int file = openat(s->fd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        add_file(s, entry->d_name, file);
        if (file >= 0)
            close(file);
    }
    closedir(d);
    return 0;
}

static bool signed_number(struct str *line, int64_t *out)
{
    uint64_t n;
    const bool minus = line->n > 0 && line->p[0] == '-';
    if (minus)
        *line = (struct str){ line->p + 1, line->n - 1 };
    if (!source_number(line, &n) || n > INT64_MAX)
        return false;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return true;
}

static int compare_uids(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    return a->uid < b->uid ? -1 : a->uid > b->uid;
}

static void read_entry(struct source *s, struct str line)
{
    struct item wanted = { 0 };
    uint64_t uid;
    int64_t date, zone;
    if (!source_number(&line, &uid) || uid == 0 || uid > UINT32_MAX || !source_space(&line) || !signed_number(&line, &date)
        || !source_space(&line) || !signed_number(&line, &zone) || zone < -1440 || zone > 1440 || !source_space(&line))
        return;
    wanted.uid = (uint32_t)uid;
    struct item *it = bsearch(&wanted, s->items, s->n, sizeof *s->items, compare_uids);
    if (it == NULL)
        return;
    it->date = date;
    it->zone = (int)zone;
    it->exact = true;
    for (; line.n > 0 && line.p[0] != ' '; line = (struct str){ line.p + 1, line.n - 1 })
        for (size_t i = 0; i < sizeof maildir_letters / sizeof *maildir_letters; i++)
            if (line.p[0] == maildir_letters[i].letter)
                it->flags |= maildir_letters[i].flag;
    while (source_space(&line)) {
        const char *end = memchr(line.p, ' ', line.n);
        const size_t n = end != NULL ? (size_t)(end - line.p) : line.n;
        item_keyword(s, it, (struct str){ line.p, n });
        line = (struct str){ line.p + n, line.n - n };
    }
}

static void read_manifest(struct source *s)
{
    struct buf text = { 0 };
    struct str rest, line;
    uint64_t validity, next, uid;
    static const char magic[] = "imapd-export 1 ";
    if (source_slurp(s, SOURCE_MANIFEST, MANIFEST_MOST, &text) == 0)
        return;
    rest = buf_str(&text);
    if (source_line(&rest, &line) && line.n > sizeof magic - 1 && memcmp(line.p, magic, sizeof magic - 1) == 0) {
        line = (struct str){ line.p + sizeof magic - 1, line.n - sizeof magic + 1 };
        if (source_number(&line, &validity) && source_space(&line) && source_number(&line, &next) && validity <= UINT32_MAX
            && next <= UINT32_MAX) {
            s->uidvalidity = (uint32_t)validity;
            s->uidnext = (uint32_t)next;
        }
        for (size_t i = 0; i < s->n; i++) {
            struct str name = str_z(s->items[i].name);
            if (name.p[0] != '0' && source_number(&name, &uid) && uid <= UINT32_MAX && str_eq(name, STR(".eml")))
                s->items[i].uid = (uint32_t)uid;
        }
        if (s->n > 0)
            qsort(s->items, s->n, sizeof *s->items, compare_uids);
        while (source_line(&rest, &line))
            read_entry(s, line);
    }
    buf_free(&text);
}

int source_eml_open(struct source *s, struct store_error *e)
{
    struct stat st;
    s->fd = open(s->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st) != 0)
        return store_fail(e, STORE_IO, errno, "%s", s->path);
    if (S_ISREG(st.st_mode)) {
        add_file(s, "", s->fd);
        return 0;
    }
    if (!S_ISDIR(st.st_mode))
        return store_fail(e, STORE_CANNOT, 0, "%s is neither a directory nor a file", s->path);
    if (read_directory(s, e) != 0)
        return -1;
    read_manifest(s);
    return 0;
}
