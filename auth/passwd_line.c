/*
 * Lines of the passwd-file, read as root. An administrator writes it, but a name from it becomes part of path names (inbox, index-dir), so
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

#include "auth/hash.h"

bool passwd_name_ok(const char *s)
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
    if (home == NULL || home[0] != '/' || !passwd_name_ok(name) || !number(uid_text, &uid) || !number(gid_text, &gid))
        return -1;
    (void)strsep(&line, ":");
    const char *extra = strsep(&line, ":");
    *e = (struct passwd_line){ name, without_scheme(hash), home, extra != NULL ? extra : "", uid, gid };
    return 1;
}

static const struct scheme {
    const char *scheme, *word;
    enum scram_hash hash;
} schemes[] = { { "{SCRAM-SHA-256}", "scram-sha-256=", SCRAM_SHA_256 }, { "{SCRAM-SHA-1}", "scram-sha-1=", SCRAM_SHA_1 } };

static const struct scheme *scheme_of(const char *hash)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strncasecmp(hash, schemes[i].scheme, strlen(schemes[i].scheme)) == 0)
            return &schemes[i];
    return NULL;
}

bool passwd_is_scram(const char *hash)
{
    return scheme_of(hash) != NULL;
}

int passwd_scram(struct scram_verifier *v, const char *hash)
{
    const struct scheme *s = scheme_of(hash);
    return s != NULL ? scram_verifier_parse(v, s->hash, str_z(hash + strlen(s->scheme))) : -1;
}

int passwd_verifier(struct scram_verifier *v, enum scram_hash hash, const struct passwd_line *e)
{
    const struct scheme *s = scheme_of(e->hash);
    if (s != NULL)
        return s->hash == hash ? passwd_scram(v, e->hash) : -1;
    if (!hash_usable(e->hash))
        return -1;
    for (const char *at = e->extra; *at != '\0'; at += strcspn(at, " "), at += strspn(at, " "))
        for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
            const size_t n = strlen(schemes[i].word);
            if (schemes[i].hash == hash && strncmp(at, schemes[i].word, n) == 0)
                return scram_verifier_parse(v, hash, (struct str){ at + n, strcspn(at + n, " ") });
        }
    return -1;
}
