/*
 * Lines of the passwd-file. An administrator writes it, but a name from it becomes part of path names (inbox, index-dir), so
 * names that could lead elsewhere are refused.
 */
#include "auth/passwd_line.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool name_ok(const char *s)
{
    if (*s == '\0' || *s == '.' || *s == '-' || strlen(s) > 255)
        return false;
    for (; *s != '\0'; s++)
        if (*s == '/' || (unsigned char)*s <= ' ' || *s == 0x7f)
            return false;
    return true;
}

static bool number(const char *s, uint32_t *out)
{
    char *end;
    if (s == NULL || !isdigit((unsigned char)*s))
        return false;
    errno = 0;
    const unsigned long long n = strtoull(s, &end, 10);
    if (errno != 0 || *end != '\0' || n >= UINT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}

/* Dovecot's files name the scheme in braces before a hash of crypt(3). */
static const char *without_scheme(const char *hash)
{
    static const char *const schemes[] = { "{CRYPT}", "{SHA512-CRYPT}", "{SHA256-CRYPT}", "{BLF-CRYPT}" };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncasecmp(hash, schemes[i], strlen(schemes[i])) == 0)
            return hash + strlen(schemes[i]);
    return hash;
}

int passwd_line_parse(struct passwd_line *e, char *line)
{
    uint32_t uid, gid;
    line[strcspn(line, "\r\n")] = '\0';
    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#')
        return 0;
    const char *name = strsep(&line, ":"), *hash = strsep(&line, ":");
    const char *uid_text = strsep(&line, ":"), *gid_text = strsep(&line, ":");
    (void)strsep(&line, ":");
    const char *home = strsep(&line, ":");
    if (home == NULL || home[0] != '/' || !name_ok(name) || !number(uid_text, &uid) || !number(gid_text, &gid))
        return -1;
    *e = (struct passwd_line){ name, without_scheme(hash), home, uid, gid };
    return 1;
}
