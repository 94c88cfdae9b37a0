/*
 * Into a maildir as Dovecot reads it (dovecot-uidlist, dovecot-keywords, the mtime for INTERNALDATE), or into files UID.eml.
 *
 * Files are made in tmp/ (a directory of ours in the case of eml), some hundreds of them, then all are synced, then they get their
 * names: whatever has a name is whole. The list SOURCE_MANIFEST is there from the beginning and says whose export this is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "migrate/migrate.h"
#include "migrate/table.h"

enum { BATCH = 500, LETTERS = 26, PIECE = 1 << 16, NAME = 300 };

struct files {
    struct export *x;
    bool maildir;
    int dir, tmp, cur;
    char **list;                     /* names that cur has, sorted */
    size_t n;
    char letters[STORE_KEYWORDS];    /* of the mailbox's keywords; 0: none */
    struct { char name[NAME]; } batch[BATCH];
    size_t waiting;
};

static int fail(const struct files *f, const char *what, struct store_error *e)
{
    return store_fail(e, STORE_IO, errno, "%s/%s", f->x->g->path, what);
}

/* ---- the place ---------------------------------------------------------------------------------------------------- */

static int open_sub(const struct files *f, const char *name, struct store_error *e)
{
    if (mkdirat(f->dir, name, 0700) != 0 && errno != EEXIST)
        return fail(f, name, e);
    const int fd = openat(f->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 ? fd : fail(f, name, e);
}

/* A file that is being written. */
static const char part[] = ".imapd-part";

/* But for what an export that was killed left there before it wrote its first file whole. */
static bool is_empty(int dir)
{
    const int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    bool empty = d != NULL;
    for (const struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;)
        empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || strcmp(entry->d_name, part) == 0;
    if (d != NULL)
        closedir(d);
    return empty;
}

/* A whole small file, in one step. */
static int put_file(const struct files *f, const char *name, const struct buf *text, struct store_error *e)
{
    (void)unlinkat(f->dir, part, 0);
    const int fd = openat(f->dir, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(f, name, e);
    bool good = true;
    for (size_t at = 0; good && at < text->len;) {
        const ssize_t k = write(fd, text->data + at, text->len - at);
        good = k > 0 || (k < 0 && errno == EINTR);
        at += k > 0 ? (size_t)k : 0;
    }
    const int rc = good && fsync(fd) == 0 && renameat(f->dir, part, f->dir, name) == 0 ? 0 : fail(f, name, e);
    close(fd);
    return rc;
}

/* Ours already, or nobody's. */
static int claim(const struct files *f, struct store_error *e)
{
    struct source s = migration_source(f->x->g);
    struct buf text = { 0 };
    char first[100];
    s.fd = f->dir;
    const int known = source_slurp(&s, SOURCE_MANIFEST, 1 << 29, &text);
    snprintf(first, sizeof first, "imapd-export 1 %u ", f->x->status.uidvalidity);
    int rc = 0;
    if (known && (text.len < strlen(first) || memcmp(text.data, first, strlen(first)) != 0))
        rc = store_fail(e, STORE_ALREADYEXISTS, 0, "%s has an export of another mailbox", f->x->g->path);
    else if (!known && !is_empty(f->dir))
        rc = store_fail(e, STORE_ALREADYEXISTS, 0, "%s is not empty", f->x->g->path);
    else if (!known) {
        buf_printf(&text, "%s%u\n", first, f->x->status.uidnext);
        rc = put_file(f, SOURCE_MANIFEST, &text, e);
    }
    buf_free(&text);
    return rc;
}

static int open_place(struct files *f, struct store_error *e)
{
    const char *path = f->x->g->path;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return store_fail(e, STORE_IO, errno, "%s", path);
    f->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dir < 0)
        return store_fail(e, STORE_IO, errno, "%s", path);
    if (claim(f, e) != 0)
        return -1;
    f->tmp = open_sub(f, f->maildir ? "tmp" : ".tmp", e);
    if (f->tmp < 0)
        return -1;
    f->cur = f->maildir ? open_sub(f, "cur", e) : dup(f->dir);
    if (f->cur < 0)
        return -1;
    const int fresh = f->maildir ? open_sub(f, "new", e) : 0;
    if (fresh > 0)
        close(fresh);
    return fresh < 0 ? -1 : 0;
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static void choose_letters(struct files *f)
{
    uint64_t used = 0;
    int next = 0;
    for (size_t i = 0; i < f->x->table->n; i++)
        used |= f->x->table->list[i].keywords;
    for (unsigned bit = 0; bit < STORE_KEYWORDS; bit++)
        if (used >> bit & 1 && next < LETTERS)
            f->letters[bit] = (char)('a' + next++);
}

/* A maildir has LF where that can be undone; S= is the size of the file, W= what a client sees. */
static uint64_t stored_size(const struct files *f, const struct entry *en)
{
    return f->maildir && en->lf ? en->size - en->lines : en->size;
}

static void base_name(const struct files *f, const struct entry *en, char *out)
{
    if (!f->maildir)
        snprintf(out, NAME, "%u.eml", en->uid);
    else
        snprintf(out, NAME, "%lld.U%uV%u.imapd,S=%llu,W=%llu", (long long)(en->date > 0 ? en->date : 0), en->uid,
                 f->x->status.uidvalidity, (unsigned long long)stored_size(f, en), (unsigned long long)en->size);
}

static void flag_letters(const struct entry *en, char *out)
{
    for (size_t i = 0; i < sizeof maildir_letters / sizeof *maildir_letters; i++)
        if (en->flags & maildir_letters[i].flag)
            *out++ = maildir_letters[i].letter;
    *out = 0;
}

static void whole_name(const struct files *f, const struct entry *en, char *out)
{
    base_name(f, en, out);
    if (!f->maildir)
        return;
    strcat(out, ":2,");
    flag_letters(en, out + strlen(out));
    for (char letter = 'a'; letter <= 'z'; letter++)
        for (unsigned bit = 0; bit < STORE_KEYWORDS; bit++)
            if (en->keywords >> bit & 1 && f->letters[bit] == letter)
                snprintf(out + strlen(out), 2, "%c", letter);
}

static int compare_names(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static int list_there(struct files *f, struct store_error *e)
{
    const int fd = openat(f->cur, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    size_t capacity = 0;
    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return fail(f, "cur", e);
    }
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (f->n == capacity) {
            capacity = capacity < 64 ? 64 : capacity * 2;
            f->list = xreallocarray(f->list, capacity, sizeof *f->list);
        }
        f->list[f->n++] = xstrdup(entry->d_name);
    }
    closedir(d);
    if (f->n > 0)
        qsort(f->list, f->n, sizeof *f->list, compare_names);
    return 0;
}

/* The file of this message, whatever its flags were; NULL if there is none. */
static const char *find_there(const struct files *f, const char *base)
{
    const size_t length = strlen(base);
    size_t low = 0, high = f->n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (strcmp(f->list[mid], base) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < f->n && strncmp(f->list[low], base, length) == 0 && (f->list[low][length] == 0 || f->list[low][length] == ':')
        ? f->list[low] : NULL;
}

/* ---- messages ----------------------------------------------------------------------------------------------------- */

static int write_octets(int fd, const char *p, size_t n)
{
    while (n > 0) {
        const ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return -1;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* CRLF to LF in place; *owed: a CR at the end of the piece before. Room for one octet more is needed. */
static size_t without_cr(char *to, const char *p, size_t n, bool *owed)
{
    char *out = to;
    for (size_t i = 0; i < n; i++) {
        if (*owed && p[i] != '\n')
            *out++ = '\r';
        *owed = p[i] == '\r';
        if (!*owed)
            *out++ = p[i];
    }
    return (size_t)(out - to);
}

static int write_message(struct files *f, const struct entry *en, int fd, struct store_error *e)
{
    struct message msg;
    const bool lf = f->maildir && en->lf;
    bool owed = false;
    char *piece = xmalloc(PIECE), *text = xmalloc(PIECE + 1);
    int rc = mailbox_message(f->x->box, en->seq, &msg, e);
    for (uint64_t at = 0; rc == 0 && at < msg.size;) {
        size_t got;
        rc = mailbox_read(f->x->box, &msg, at, piece, PIECE, &got, e);
        if (rc == 0 && got == 0)
            rc = store_fail(e, STORE_CORRUPTION, 0, "message %u is shorter than it was", en->uid);
        if (rc != 0)
            break;
        const size_t n = lf ? without_cr(text, piece, got, &owed) : got;
        rc = write_octets(fd, lf ? text : piece, n) == 0 ? 0 : fail(f, "tmp", e);
        at += got;
    }
    if (rc == 0 && owed && write_octets(fd, "\r", 1) != 0)
        rc = fail(f, "tmp", e);
    mailbox_read_end(f->x->box);
    free(piece);
    free(text);
    return rc;
}

static int name_batch(struct files *f, struct store_error *e)
{
    if (f->waiting == 0)
        return 0;
    if (syncfs(f->tmp) != 0)
        return fail(f, "tmp", e);
    for (size_t i = 0; i < f->waiting; i++)
        if (renameat(f->tmp, f->batch[i].name, f->cur, f->batch[i].name) != 0)
            return fail(f, f->batch[i].name, e);
    f->waiting = 0;
    return 0;
}

static int put_message(struct files *f, const struct entry *en, struct store_error *e)
{
    char base[NAME], *name = f->batch[f->waiting].name;
    struct stat st;
    const struct timespec times[2] = { { .tv_sec = en->date }, { .tv_sec = en->date } };
    base_name(f, en, base);
    whole_name(f, en, name);
    const char *old = find_there(f, base);
    if (old != NULL && fstatat(f->cur, old, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)
        && (uint64_t)st.st_size == stored_size(f, en))
        return strcmp(old, name) == 0 || renameat(f->cur, old, f->cur, name) == 0 ? 0 : fail(f, name, e);
    (void)unlinkat(f->tmp, name, 0);
    const int fd = openat(f->tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(f, name, e);
    int rc = write_message(f, en, fd, e);
    if (rc == 0 && futimens(fd, times) != 0)
        rc = fail(f, name, e);
    close(fd);
    if (rc == 0 && ++f->waiting == BATCH)
        rc = name_batch(f, e);
    return rc;
}

static int put_messages(struct files *f, struct store_error *e)
{
    struct progress progress;
    uint64_t done = 0;
    int rc = 0;
    progress_begin(&progress, "writing", f->x->status.size);
    for (size_t i = 0; rc == 0 && i < f->x->table->n; i++) {
        const struct entry *en = &f->x->table->list[i];
        rc = put_message(f, en, e);
        progress_at(&progress, done += en->size);
    }
    progress_end(&progress);
    return rc == 0 ? name_batch(f, e) : rc;
}

/* ---- lists -------------------------------------------------------------------------------------------------------- */

static int put_lists(struct files *f, struct store_error *e)
{
    const struct table *t = f->x->table;
    struct buf list = { 0 }, uids = { 0 }, keywords = { 0 }, names = { 0 };
    char base[NAME];
    buf_printf(&list, "imapd-export 1 %u %u\n", f->x->status.uidvalidity, f->x->status.uidnext);
    buf_printf(&uids, "3 V%u N%u\n", f->x->status.uidvalidity, f->x->status.uidnext);
    for (size_t i = 0; i < t->n; i++) {
        const struct entry *en = &t->list[i];
        char flags[8];
        flag_letters(en, flags);
        buf_printf(&list, "%u %lld %d %s", en->uid, (long long)en->date, en->zone, flags[0] != 0 ? flags : "-");
        buf_clear(&names);
        table_keywords(t, en, &names);
        for (const char *k = names.data; k != NULL && k < names.data + names.len; k += strlen(k) + 1)
            buf_printf(&list, " %s", k);
        buf_addc(&list, '\n');
        base_name(f, en, base);
        buf_printf(&uids, "%u :%s\n", en->uid, base);
    }
    const char *k = t->keyword_names.data;
    for (unsigned bit = 0; k != NULL && k < t->keyword_names.data + t->keyword_names.len && bit < STORE_KEYWORDS; bit++, k += strlen(k) + 1)
        if (f->letters[bit] != 0)
            buf_printf(&keywords, "%d %s\n", f->letters[bit] - 'a', k);
    int rc = put_file(f, SOURCE_MANIFEST, &list, e);
    if (rc == 0 && f->maildir)
        rc = put_file(f, "dovecot-uidlist", &uids, e) != 0 || put_file(f, "dovecot-keywords", &keywords, e) != 0 ? -1 : 0;
    buf_free(&list);
    buf_free(&uids);
    buf_free(&keywords);
    buf_free(&names);
    return rc;
}

static int sync_place(const struct files *f, struct store_error *e)
{
    if (!f->maildir)
        (void)unlinkat(f->dir, ".tmp", AT_REMOVEDIR);
    return fsync(f->cur) != 0 || fsync(f->dir) != 0 ? fail(f, "", e) : 0;
}

int export_files(struct export *x, struct store_error *e)
{
    struct files *f = xcalloc(1, sizeof *f);
    *f = (struct files){ .x = x, .maildir = x->g->m->kind == SOURCE_MAILDIR, .dir = -1, .tmp = -1, .cur = -1 };
    choose_letters(f);
    const int rc = open_place(f, e) != 0 || list_there(f, e) != 0 || put_messages(f, e) != 0 || put_lists(f, e) != 0
        || sync_place(f, e) != 0 ? -1 : 0;
    const int fds[] = { f->dir, f->tmp, f->cur };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    for (size_t i = 0; i < f->n; i++)
        free(f->list[i]);
    free(f->list);
    free(f);
    return rc;
}
