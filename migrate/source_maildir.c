/*
 * A maildir: files in cur/ and new/, flags behind ":2," in their names. What IMAP needs beyond that is in files that Dovecot
 * (dovecot-uidlist, dovecot-keywords) or Courier (courierimapuiddb, courierimapkeywords/:list) keep beside them.
 *
 * The date: the mtime is INTERNALDATE for both servers; the name begins with the time of delivery. A copy made without times has
 * an mtime long after it: then the name is believed.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "migrate/source.h"
#include "store/date.h"

enum { UIDLIST_MOST = 1 << 28, KEYWORDS_MOST = 1 << 20, SLACK = 3600, LETTERS = 26 };

struct letters {
    struct buf text;
    struct str names[LETTERS];
};

/* The octets of a file's name before its flags; *info: behind the comma, or NULL. */
static size_t base_length(const char *leaf, const char **info)
{
    *info = NULL;
    for (const char *p = leaf; *p != 0; p++) {
        if ((*p == ':' || *p == ';' || *p == '!') && p[1] == '2' && p[2] == ',') {
            *info = p + 3;
            return (size_t)(p - leaf);
        }
    }
    return strcspn(leaf, ":");
}

static void read_flags(const struct source *s, struct item *it, const char *info, const struct letters *l)
{
    for (const char *p = info; *p != 0 && *p != ','; p++) {
        if (*p >= 'a' && *p <= 'z' && l->names[*p - 'a'].p != NULL)
            item_keyword(s, it, l->names[*p - 'a']);
        else if (*p >= 'a' && *p <= 'z')
            source_tell(s, it->name, true, "keyword %c is not in dovecot-keywords", *p);
        else if (*p == 'P')
            item_keyword(s, it, STR("$Forwarded"));
        for (size_t i = 0; i < sizeof maildir_letters / sizeof *maildir_letters; i++)
            if (*p == maildir_letters[i].letter)
                it->flags |= maildir_letters[i].flag;
    }
}

/* The number behind `key` ("S=", "W=") in a name's base, as Dovecot and Courier write it. */
static bool name_number(const char *leaf, size_t n, char key, uint64_t *out)
{
    for (size_t i = 0; i + 3 < n; i++) {
        if (leaf[i] == ',' && leaf[i + 1] == key && leaf[i + 2] == '=') {
            struct str rest = { leaf + i + 3, n - i - 3 };
            return source_number(&rest, out);
        }
    }
    return false;
}

static int64_t find_date(const char *leaf, const struct stat *st)
{
    struct str rest = str_z(leaf);
    uint64_t named;
    const int64_t mtime = st->st_mtim.tv_sec;
    const bool known = source_number(&rest, &named) && rest.n > 0 && rest.p[0] == '.' && named < (uint64_t)1 << 34;
    return known && mtime > (int64_t)named + SLACK ? (int64_t)named : mtime;
}

static void add_file(struct source *s, const char *folder, const char *leaf, int dirfd, const struct letters *l)
{
    struct stat st;
    const char *info;
    uint64_t exact;
    char name[600];
    if ((size_t)snprintf(name, sizeof name, "%s/%s", folder, leaf) >= sizeof name)
        return;
    if (fstatat(dirfd, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) {
        source_tell(s, name, true, "passed over: not a regular file");
        return;
    }
    if (st.st_size == 0) {
        source_tell(s, name, true, "passed over: it is empty");
        return;
    }
    struct item *it = source_add(s);
    const size_t n = base_length(leaf, &info);
    it->name = xstrdup(name);
    it->size = (uint64_t)st.st_size;
    it->date = find_date(leaf, &st);
    it->zone = date_local_zone(it->date);
    it->exact = name_number(leaf, n, 'W', &exact) && exact == it->size;      /* as many octets as a client sees */
    if (info != NULL)
        read_flags(s, it, info, l);
    else if (leaf[n] != 0)
        source_tell(s, name, false, "its name has flags in a form that is not known");
}

static int read_folder(struct source *s, const char *folder, const struct letters *l)
{
    const int fd = openat(s->fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        const int err = errno;
        if (fd >= 0)
            close(fd);
        errno = err;
        return -1;
    }
    for (const struct dirent *entry; errno = 0, (entry = readdir(d)) != NULL;)
        if (entry->d_name[0] != '.')
            add_file(s, folder, entry->d_name, dirfd(d), l);
    const int err = errno;
    closedir(d);
    errno = err;
    return err != 0 ? -1 : 0;
}

/* dovecot-keywords: lines of a number and a name; number 0 is the letter a. */
static void read_letters(const struct source *s, struct letters *l)
{
    struct str text, line;
    uint64_t number;
    if (source_slurp(s, "dovecot-keywords", KEYWORDS_MOST, &l->text) == 0)
        return;
    text = buf_str(&l->text);
    while (source_line(&text, &line))
        if (source_number(&line, &number) && number < LETTERS && line.n > 1 && line.p[0] == ' ')
            l->names[number] = (struct str){ line.p + 1, line.n - 1 };
}

/* ---- lists that name files ---------------------------------------------------------------------------------------- */

struct base {
    struct str name;                 /* without flags */
    size_t item;
};

static int compare_bases(const void *x, const void *y)
{
    const struct base *a = x, *b = y;
    const size_t n = a->name.n < b->name.n ? a->name.n : b->name.n;
    const int d = memcmp(a->name.p, b->name.p, n);
    return d != 0 ? d : a->name.n < b->name.n ? -1 : a->name.n > b->name.n;
}

static struct base base_of(const char *leaf, size_t item)
{
    const char *info;
    return (struct base){ { leaf, base_length(leaf, &info) }, item };
}

static struct base *all_bases(const struct source *s)
{
    struct base *list = xreallocarray(NULL, s->n + 1, sizeof *list);
    for (size_t i = 0; i < s->n; i++)
        list[i] = base_of(strchr(s->items[i].name, '/') + 1, i);
    qsort(list, s->n, sizeof *list, compare_bases);
    return list;
}

static struct item *find_item(struct source *s, const struct base *list, struct str name)
{
    char leaf[600];
    if (name.n == 0 || name.n >= sizeof leaf)
        return NULL;
    memcpy(leaf, name.p, name.n);
    leaf[name.n] = 0;
    const struct base wanted = base_of(leaf, 0), *found = bsearch(&wanted, list, s->n, sizeof *list, compare_bases);
    return found != NULL ? &s->items[found->item] : NULL;
}

/* Lines of a UID, perhaps more, and a file's name; colon: what is before the name ends with " :". */
static void read_uids(struct source *s, struct str text, bool colon)
{
    struct base *list = all_bases(s);
    struct str line;
    uint64_t uid;
    while (source_line(&text, &line)) {
        if (!source_number(&line, &uid) || uid == 0 || uid > UINT32_MAX || line.n < 2 || line.p[0] != ' ')
            continue;
        const char *name = colon ? memmem(line.p, line.n, " :", 2) : line.p - 1;
        if (name == NULL)
            continue;
        name += 2;
        struct item *it = find_item(s, list, (struct str){ name, (size_t)(line.p + line.n - name) });
        if (it != NULL && it->uid == 0)
            it->uid = (uint32_t)uid;
    }
    free(list);
}

static void set_validity(struct source *s, uint64_t validity, uint64_t next)
{
    if (validity == 0 || validity > UINT32_MAX || next == 0 || next > UINT32_MAX)
        return;
    s->uidvalidity = (uint32_t)validity;
    s->uidnext = (uint32_t)next;
}

/* Version 3: "3 V<uidvalidity> N<next uid> G<guid>", then "<uid> [fields] :<name>". Version 1: "1 <uidvalidity> <next uid>", then
 * "<uid> <name>". */
static bool read_dovecot(struct source *s)
{
    struct buf text = { 0 };
    uint64_t version, validity = 0, next = 0;
    if (source_slurp(s, "dovecot-uidlist", UIDLIST_MOST, &text) == 0)
        return false;
    struct str rest = buf_str(&text), line = { 0 };
    if (source_line(&rest, &line) && source_number(&line, &version) && (version == 1 || version == 3)) {
        for (int field = 0; line.n > 1; field++) {
            line = (struct str){ line.p + 1, line.n - 1 };
            const char kind = version == 1 ? "VN?"[field < 2 ? field : 2] : line.p[0];
            if (version == 3)
                line = (struct str){ line.p + 1, line.n - 1 };
            if (kind == 'V' || kind == 'N')
                (void)source_number(&line, kind == 'V' ? &validity : &next);
            while (line.n > 0 && line.p[0] != ' ')
                line = (struct str){ line.p + 1, line.n - 1 };
        }
        set_validity(s, validity, next);
        read_uids(s, rest, version == 3);
    } else {
        source_tell(s, "dovecot-uidlist", true, "is not understood: the UIDs are not kept");
    }
    buf_free(&text);
    return true;
}

/* courierimapuiddb: "1 <uidvalidity> <next uid>", then "<uid> <name>". */
static void courier_uids(struct source *s)
{
    struct buf text = { 0 };
    uint64_t version, validity, next;
    if (source_slurp(s, "courierimapuiddb", UIDLIST_MOST, &text) == 0)
        return;
    struct str rest = buf_str(&text), line = { 0 };
    if (source_line(&rest, &line) && source_number(&line, &version) && version == 1 && source_space(&line)
        && source_number(&line, &validity) && source_space(&line) && source_number(&line, &next)) {
        set_validity(s, validity, next);
        read_uids(s, rest, false);
    } else {
        source_tell(s, "courierimapuiddb", true, "is not understood: the UIDs are not kept");
    }
    buf_free(&text);
}

/* courierimapkeywords/:list: the names, a line each; a blank line; then "<file>:<number> <number> ...". */
static void courier_keywords(struct source *s)
{
    enum { NAMES = 1000 };
    struct buf text = { 0 };
    struct str line, *names = xcalloc(NAMES, sizeof *names);
    size_t n = 0;
    uint64_t number;
    if (source_slurp(s, "courierimapkeywords/:list", UIDLIST_MOST, &text) != 0) {
        struct str rest = buf_str(&text);
        struct base *list = all_bases(s);
        while (source_line(&rest, &line) && line.n > 0)
            if (n < NAMES)
                names[n++] = line;
        while (source_line(&rest, &line)) {
            const char *colon = memrchr(line.p, ':', line.n);
            struct item *it = colon == NULL ? NULL : find_item(s, list, (struct str){ line.p, (size_t)(colon - line.p) });
            struct str numbers = colon == NULL ? line : (struct str){ colon + 1, (size_t)(line.p + line.n - colon - 1) };
            while (it != NULL && source_number(&numbers, &number)) {
                if (number < n)
                    item_keyword(s, it, names[number]);
                while (source_space(&numbers)) {}
            }
        }
        free(list);
    }
    buf_free(&text);
    free(names);
}

int source_maildir_open(struct source *s, struct store_error *e)
{
    struct letters l = { 0 };
    read_letters(s, &l);
    const bool cur = read_folder(s, "cur", &l) == 0;
    const int err = errno;
    const bool fresh = read_folder(s, "new", &l) == 0;
    if (!fresh)
        source_tell(s, "new", errno != ENOENT, "cannot be read: %s", strerror(errno));
    buf_free(&l.text);
    if (!cur)
        return err == ENOENT ? store_fail(e, STORE_NONEXISTENT, 0, "%s is not a maildir: there is no cur/", s->path)
                             : store_fail(e, STORE_IO, err, "%s/cur", s->path);
    if (!read_dovecot(s)) {
        courier_uids(s);
        courier_keywords(s);
    }
    return 0;
}
