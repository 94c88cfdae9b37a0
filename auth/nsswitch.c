/*
 * nsswitch.conf(5), read for one purpose: to find out whether a module of the C library can be left alone. libnss_systemd, which Debian
 * names for users and groups, takes two more libraries with it, and it and its questions take as long as everything else that a login
 * does; but on a host without such users it can only say no.
 */
#include "auth/nsswitch.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

bool nsswitch_is(const char *word, size_t n, const char *what)
{
    return n == strlen(what) && memcmp(word, what, n) == 0;
}

bool nsswitch_line(const char *line, const char *database, nsswitch_word *take, void *ctx)
{
    const size_t n = strlen(database);
    const char *p = line + strspn(line, " \t");
    if (strncmp(p, database, n) != 0 || p[n] != ':')
        return false;
    for (p += n + 1; *p != '\0' && *p != '#' && *p != '\n';) {
        const char *begin = p;
        if (*p == '[') {
            p += strcspn(p, "]#\n");
            p += *p == ']';
        } else {
            while (isalnum((unsigned char)*p) || *p == '_' || *p == '-')
                p++;
        }
        if (p == begin)
            p++;
        else if (!take(ctx, begin, (size_t)(p - begin)))
            break;
    }
    return true;
}

static bool directory_knows(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    bool knows = d == NULL && errno != ENOENT;
    while (d != NULL && !knows && (errno = 0, e = readdir(d)) != NULL)
        knows = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, "io.systemd.DynamicUser") != 0;
    if (d != NULL) {
        knows = knows || errno != 0;
        closedir(d);
    }
    return knows;
}

bool nsswitch_systemd_knows(void)
{
    static const char *const places[] = { "/run/systemd/userdb", "/etc/userdb", "/run/userdb", "/run/host/userdb", "/usr/local/lib/userdb",
                                          "/usr/lib/userdb", "/lib/userdb" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (directory_knows(places[i]))
            return true;
    return false;
}

struct group_sources {
    bool files, others;
};

/* An action says what comes after one answer or another; only the one that asks all and joins them is known to change nothing. */
static bool take_group_source(void *ctx, const char *word, size_t n)
{
    struct group_sources *g = ctx;
    if (nsswitch_is(word, n, "files"))
        g->files = true;
    else if (!nsswitch_is(word, n, "[SUCCESS=merge]") && (!nsswitch_is(word, n, "systemd") || nsswitch_systemd_knows()))
        g->others = true;
    return !g->others;
}

bool nsswitch_groups_in_files(void)
{
    char line[512];
    struct group_sources group = { 0 }, initgroups = { 0 };
    bool named = false, cut = false;
    FILE *f = fopen("/etc/nsswitch.conf", "re");
    while (f != NULL && !cut && fgets(line, sizeof line, f) != NULL) {
        cut = strchr(line, '\n') == NULL && !feof(f);
        named = nsswitch_line(line, "initgroups", take_group_source, &initgroups) || named;
        (void)nsswitch_line(line, "group", take_group_source, &group);
    }
    if (f != NULL)
        fclose(f);
    const struct group_sources *g = named ? &initgroups : &group;
    return !cut && g->files && !g->others;
}
