/*
 * Walking the tree of mailboxes. Directories are read whole and sorted, so that names come in byte order; depth, count and
 * loops of symbolic links are bounded. Only what names.c would open is shown.
 */
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
#include "store/mbox_from.h"
#include "store/names_private.h"

struct place { dev_t dev; ino_t ino; };
struct walk {
    struct names *n;
    bool (*descend)(void *ctx, const char *directory);
    int (*each)(void *ctx, const char *name, unsigned attributes);
    void *ctx;
    uint32_t looked;                 /* files so far */
    bool cut;
    struct place way[64];            /* the directories above */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool shown_name(const char *name)
{
    const size_t n = strlen(name);
    if (name[0] == '.' || (n >= 5 && strcasecmp(name + n - 5, ".lock") == 0))
        return false;
    for (const unsigned char *p = (const unsigned char *)name; *p != 0; p++)
        if (*p < ' ' || *p == 0x7f)
            return false;
    return true;
}

/* The entries of a directory below the root, sorted; NULL-terminated. */
static char **entries(struct walk *w, const char *directory)
{
    const int fd = names_beneath(w->n, directory, O_RDONLY | O_DIRECTORY, 0);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    size_t n = 0, capacity = 16;
    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    char **list = xreallocarray(NULL, capacity, sizeof *list);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (!shown_name(entry->d_name) || (entry->d_type != DT_REG && entry->d_type != DT_DIR && entry->d_type != DT_LNK
                                           && entry->d_type != DT_UNKNOWN))
            continue;
        if (++w->looked > w->n->settings->list_count) {
            w->cut = true;
            break;
        }
        if (n + 2 > capacity) {
            capacity *= 2;
            list = xreallocarray(list, capacity, sizeof *list);
        }
        list[n++] = xstrdup(entry->d_name);
    }
    closedir(d);
    if (n > 0)
        qsort(list, n, sizeof *list, by_name);
    list[n] = NULL;
    return list;
}

static void free_entries(char **list)
{
    for (char **p = list; p != NULL && *p != NULL; p++)
        free(*p);
    free(list);
}

/* 1 a mailbox, 2 a directory, 0 neither. What may not be read, or listed, is not shown (RFC 4314: it has no l right). */
static int kind_of(struct walk *w, const char *path, struct place *place)
{
    struct stat st;
    char first[512];
    int fd = names_beneath(w->n, path, O_PATH, 0);
    if (fd < 0)
        return 0;
    int rc = fstat(fd, &st);
    if (rc == 0 && S_ISDIR(st.st_mode))
        rc = faccessat(fd, "", R_OK | X_OK, AT_EACCESS | AT_EMPTY_PATH);
    close(fd);
    if (rc != 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return 0;
    *place = (struct place){ st.st_dev, st.st_ino };
    if (S_ISDIR(st.st_mode))
        return 2;
    fd = names_beneath(w->n, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return 0;
    const ssize_t got = pread(fd, first, sizeof first, 0);
    close(fd);
    return got >= 0 && mbox_sniff(first, (size_t)got);
}

static bool join(char out[MAILBOX_NAME_MAX], const char *directory, const char *name)
{
    return snprintf(out, MAILBOX_NAME_MAX, "%s%s%s", directory, directory[0] != 0 ? "/" : "", name) < MAILBOX_NAME_MAX;
}

/* Is there anything to show in this directory? Looks one level deep: a directory counts. */
static bool has_children(struct walk *w, const char *directory)
{
    char **list = entries(w, directory), path[MAILBOX_NAME_MAX];
    struct place place;
    bool found = false;
    for (char **p = list; p != NULL && *p != NULL && !found; p++)
        found = join(path, directory, *p) && kind_of(w, path, &place) != 0;
    free_entries(list);
    return found;
}

static bool in_loop(const struct walk *w, unsigned depth, const struct place *place)
{
    for (unsigned i = 0; i < depth; i++)
        if (w->way[i].dev == place->dev && w->way[i].ino == place->ino)
            return true;
    return false;
}

static int walk_directory(struct walk *w, const char *directory, unsigned depth)
{
    char **list = entries(w, directory), path[MAILBOX_NAME_MAX];
    int rc = 0;
    for (char **p = list; p != NULL && *p != NULL && rc == 0; p++) {
        struct place place;
        if (!join(path, directory, *p) || (depth == 0 && strcasecmp(*p, "INBOX") == 0))
            continue;
        const int kind = kind_of(w, path, &place);
        if (kind == 1)
            rc = w->each(w->ctx, path, NAME_SELECTABLE);
        if (kind != 2)
            continue;
        const bool loop = in_loop(w, depth, &place);
        rc = w->each(w->ctx, path, NAME_DIRECTORY | (!loop && has_children(w, path) ? (unsigned)NAME_HAS_CHILDREN : 0));
        if (rc != 0 || loop || (w->descend != NULL && !w->descend(w->ctx, path)))
            continue;
        if (depth + 1 >= w->n->settings->list_depth || depth + 1 >= 64) {
            w->cut = true;
            continue;
        }
        w->way[depth] = place;
        rc = walk_directory(w, path, depth + 1);
    }
    free_entries(list);
    return rc;
}

int names_list(struct names *n, bool (*descend)(void *ctx, const char *directory),
               int (*each)(void *ctx, const char *name, unsigned attributes), void *ctx, bool *cut, struct store_error *e)
{
    struct walk w = { .n = n, .descend = descend, .each = each, .ctx = ctx };
    (void)e;
    int rc = each(ctx, "INBOX", NAME_SELECTABLE);
    if (rc == 0 && names_root(n) >= 0)
        rc = walk_directory(&w, "", 0);
    if (cut != NULL)
        *cut = w.cut;
    return rc;
}
