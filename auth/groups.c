/*
 * Runs as root: the groups of a user, just before this process becomes that user.
 */
#include "auth/groups.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/nsswitch.h"
#include "base/xmalloc.h"

struct groups {
    gid_t *list;
    size_t n, room;
};

static void add(struct groups *g, gid_t gid)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->list[i] == gid)
            return;
    if (g->n == g->room) {
        g->room = g->room == 0 ? 32 : g->room * 2;
        g->list = xreallocarray(g->list, g->room, sizeof *g->list);
    }
    g->list[g->n++] = gid;
}

/* "member,member\n" */
static bool names(const char *members, const char *name)
{
    const size_t n = strlen(name);
    for (const char *p = members;; p++) {
        const size_t length = strcspn(p, ",\n");
        if (length == n && memcmp(p, name, n) == 0)
            return true;
        p += length;
        if (*p != ',')
            return false;
    }
}

/* A line of group(5): "name:password:gid:member,member". */
static void take_line(struct groups *g, const char *line, const char *name)
{
    const char *password = strchr(line, ':');
    const char *number = password != NULL ? strchr(password + 1, ':') : NULL;
    char *end;
    if (number == NULL || line[0] == '#' || line[0] == '+' || line[0] == '-' || number[1] < '0' || number[1] > '9')
        return;
    errno = 0;
    const unsigned long gid = strtoul(number + 1, &end, 10);
    if (errno == 0 && *end == ':' && gid == (gid_t)gid && names(end + 1, name))
        add(g, (gid_t)gid);
}

/* 0, or -1: the file cannot be read. */
static int read_file(struct groups *g, const char *name)
{
    FILE *f = fopen("/etc/group", "re");
    char *line = NULL;
    size_t size = 0;
    if (f == NULL)
        return -1;
    while (getline(&line, &size, f) >= 0)
        take_line(g, line, name);
    const int failed = ferror(f) != 0 ? -1 : 0;
    free(line);
    fclose(f);
    return failed;
}

int groups_become(const char *name, gid_t gid)
{
    struct groups g = { 0 };
    int result;
    add(&g, gid);
    if (nsswitch_groups_in_files() && read_file(&g, name) == 0)
        result = setgroups(g.n, g.list);
    else
        result = initgroups(name, gid);
    free(g.list);
    return result;
}
