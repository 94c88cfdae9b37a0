/*
 * Identifiers of access control lists: names of users and groups, as the system's databases have them. The session's own
 * user is known by the name of the login, also when no database but a passwd-file has it.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/acl.h"

enum { GROUPS = 64, GROUPS_MOST = 65536 };

/* "#" and a decimal number. */
static bool number_of(const char *text, uint32_t *out)
{
    char *end;
    if (text[0] != '#' || text[1] < '0' || text[1] > '9')
        return false;
    errno = 0;
    const unsigned long long value = strtoull(text + 1, &end, 10);
    if (errno != 0 || *end != 0 || value >= UINT32_MAX)          /* the last one means "none" to the kernel */
        return false;
    *out = (uint32_t)value;
    return true;
}

int who_find(const struct store_settings *settings, struct str identifier, struct who *out, struct store_error *e)
{
    char text[WHO_NAME_MAX];
    if (identifier.n == 0 || identifier.n >= sizeof text || memchr(identifier.p, 0, identifier.n) != NULL)
        return store_fail(e, STORE_CANNOT, 0, "there is no such user or group");
    memcpy(text, identifier.p, identifier.n);
    text[identifier.n] = 0;
    *out = (struct who){ WHO_ANYONE, 0 };
    if (strcmp(text, "anyone") == 0)
        return 0;
    if (text[0] == '-')
        return store_fail(e, STORE_CANNOT, 0, "negative rights are not kept: give the user fewer rights than the others have");
    out->kind = text[0] == '$' ? WHO_GROUP : WHO_USER;
    if (number_of(text + (text[0] == '$'), &out->id))
        return 0;
    if (out->kind == WHO_GROUP) {
        const struct group *g = getgrnam(text + 1);
        if (g == NULL)
            return store_fail(e, STORE_CANNOT, 0, "there is no group %s", text + 1);
        out->id = g->gr_gid;
        return 0;
    }
    if (settings->user != NULL && strcmp(text, settings->user) == 0) {
        out->id = geteuid();
        return 0;
    }
    const struct passwd *p = getpwnam(text);
    if (p == NULL)
        return store_fail(e, STORE_CANNOT, 0, "there is no user %s", text);
    out->id = p->pw_uid;
    return 0;
}

/* Would this name be taken for something else, or not come through an answer? */
static bool fit(const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
            return false;
    return n > 0 && n < WHO_NAME_MAX - 1 && strchr("#$-", name[0]) == NULL && strcmp(name, "anyone") != 0;
}

void who_name(const struct store_settings *settings, struct who who, char out[WHO_NAME_MAX])
{
    const char *name = NULL;
    if (who.kind == WHO_ANYONE) {
        snprintf(out, WHO_NAME_MAX, "anyone");
        return;
    }
    if (who.kind == WHO_GROUP) {
        const struct group *g = getgrgid(who.id);
        name = g != NULL ? g->gr_name : NULL;
    } else if (who.id == geteuid() && settings->user != NULL) {
        name = settings->user;
    } else {
        const struct passwd *p = getpwuid(who.id);
        name = p != NULL ? p->pw_name : NULL;
    }
    const char *sign = who.kind == WHO_GROUP ? "$" : "";
    if (name != NULL && fit(name))
        snprintf(out, WHO_NAME_MAX, "%s%s", sign, name);
    else
        snprintf(out, WHO_NAME_MAX, "%s#%lu", sign, (unsigned long)who.id);
}

uint32_t *who_groups(struct who who, size_t *n)
{
    const struct passwd *p = who.kind == WHO_USER ? getpwuid(who.id) : NULL;
    int count = GROUPS;
    *n = 0;
    if (p == NULL)
        return NULL;
    char *name = xstrdup(p->pw_name);
    const gid_t gid = p->pw_gid;
    gid_t *list = xreallocarray(NULL, (size_t)count, sizeof *list);
    int rc = getgrouplist(name, gid, list, &count);
    if (rc < 0 && count > GROUPS && count <= GROUPS_MOST) {
        list = xreallocarray(list, (size_t)count, sizeof *list);
        rc = getgrouplist(name, gid, list, &count);
    }
    free(name);
    if (rc < 0) {
        free(list);
        return NULL;
    }
    *n = (size_t)count;
    return list;
}
