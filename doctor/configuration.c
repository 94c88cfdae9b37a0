/*
 * The configuration: permissions of the file, every line that is wrong, and settings that are right one by one but not together.
 * config_read ends at the first error; the line is then made empty in a copy, and the copy read again.
 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "doctor/examine.h"

static const char area[] = "configuration";

/* How many octets must be changed to make b of a; names are short. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64];
    const size_t n = strlen(b);
    if (n >= 63)
        return n;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t before = row[0];
        row[0] = i + 1;
        for (size_t j = 1; j <= n; j++) {
            const size_t swap = before + (a[i] != b[j - 1]), drop = row[j] + 1, add = row[j - 1] + 1;
            before = row[j];
            row[j] = swap < drop && swap < add ? swap : drop < add ? drop : add;
        }
    }
    return row[n];
}

static const char *nearest(const char *name)
{
    const char *best = NULL;
    size_t least = strlen(name) / 2 + 1;
    for (size_t i = 0; config_setting(i) != NULL; i++) {
        const size_t d = distance(name, config_setting(i));
        if (d < least) {
            least = d;
            best = config_setting(i);
        }
    }
    return best;
}

static void tell_error(struct report *r, const char *path, int line, const char *what)
{
    static const char unknown[] = "unknown setting: ";
    char name[64];
    const char *meant = NULL;
    if (strncmp(what, unknown, sizeof unknown - 1) == 0) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(what + sizeof unknown - 1, " ="), what + sizeof unknown - 1);
        meant = nearest(name);
    }
    const char *fix = meant != NULL ? FIX("write %s in line %d, or take the line out", meant, line)
                      : line > 0    ? FIX("correct line %d of %s: imapd.conf(5) has the values of each setting", line, path)
                                    : FIX("correct %s: see imapd.conf(5)", path);
    if (line > 0)
        report_found(r, MARK_ERROR, area, fix, "%s, line %d: %s", path, line, what);
    else
        report_found(r, MARK_ERROR, area, fix, "%s: %s", path, what);
}

/* Takes line number line (from 1) out of the text, which keeps its count of lines. */
static void blank(char *text, int line)
{
    for (int i = 1; i < line && text != NULL; i++) {
        text = strchr(text, '\n');
        text = text != NULL ? text + 1 : NULL;
    }
    if (text != NULL && *text != '\0')
        for (; *text != '\n' && *text != '\0'; text++)
            *text = '#';
}

static void read_copy(struct report *r, struct config *c, const char *path, char *text)
{
    char copy[64], err[400];
    for (int errors = 0; errors < 20; errors++) {
        const int fd = memfd_create("imapd.conf", MFD_CLOEXEC);
        const size_t n = strlen(text);
        snprintf(copy, sizeof copy, "/proc/self/fd/%d", fd);
        const int rc = fd >= 0 && write(fd, text, n) == (ssize_t)n ? config_read(c, copy, false, err, sizeof err) : -2;
        if (fd >= 0)
            close(fd);
        if (rc == 0) {
            if (errors == 0)
                report_found(r, MARK_OK, area, NULL, "%s: all settings can be read", path);
            return;
        }
        if (rc == -2)
            break;
        const char *rest = strncmp(err, copy, strlen(copy)) == 0 ? err + strlen(copy) + 1 : err;
        const int line = (int)strtol(rest, NULL, 10);
        const char *what = line > 0 && strchr(rest, ':') != NULL ? strchr(rest, ':') + 2 : rest + strspn(rest, " ");
        tell_error(r, path, line, what);
        if (line <= 0)
            return; /* of settings together: they are kept */
        config_free(c);
        blank(text, line);
    }
    config_read(c, "/dev/null", false, err, sizeof err);
}

/* The name that a line sets, its length; 0: none (a comment, an empty line, the continuation of a list). */
static size_t name_of(const char *line)
{
    if (strchr("#; \t\r\n[", *line) != NULL)
        return 0;
    size_t n = strcspn(line, "=\n");
    if (line[n] != '=')
        return 0;
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    return n;
}

/* A setting that is there twice: the last one counts, which whoever wrote the first may not know. */
static void twice(struct report *r, const char *path, const char *text)
{
    int number = 1;
    for (const char *line = text; line != NULL && *line != '\0'; number++) {
        const size_t n = name_of(line);
        int before = 1;
        for (const char *other = text; n > 0 && other < line; other = strchr(other, '\n') + 1, before++)
            if (name_of(other) == n && memcmp(other, line, n) == 0) {
                report_found(r, MARK_WARNING, area, FIX("take one of the lines %d and %d out of %s", before, number, path),
                             "%s, line %d: %.*s is set in line %d already: the last one counts", path, number, (int)n, line, before);
                break;
            }
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
}

/* Who can write the directory can put another file there. */
static void directory_of(struct report *r, const char *path, bool root)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL || slash == path ? NULL : xstrndup(path, (size_t)(slash - path));
    if (dir != NULL && root && stat(dir, &st) == 0 && (st.st_uid != 0 || ((st.st_mode & 022) != 0 && (st.st_mode & 01000) == 0)))
        report_found(r, MARK_ERROR, area, FIX("chown root %s; chmod 755 %s", dir, dir),
                     "%s, which has %s, can be written by others than root", dir, slash + 1);
    free(dir);
}

void examine_file(struct report *r, struct config *c, const char *path, bool optional, bool root)
{
    struct stat st;
    char err[400];
    char *text = read_text(path, NULL);
    if (text == NULL) {
        if (optional && errno == ENOENT)
            report_found(r, MARK_OK, area, NULL, "%s is not there: the defaults hold", path);
        else
            report_found(r, MARK_ERROR, area, FIX("make it readable: chmod 644 %s", path), "%s: %s", path, strerror(errno));
        config_read(c, "/dev/null", false, err, sizeof err);
        return;
    }
    if (stat(path, &st) == 0) {
        if ((st.st_mode & 022) != 0)
            report_found(r, MARK_ERROR, area, FIX("chmod go-w %s", path),
                         "%s can be written by others than its owner (mode %03o)", path, (unsigned)st.st_mode & 0777u);
        if (st.st_uid != 0 && root)
            report_found(r, MARK_ERROR, area, FIX("chown root %s", path), "%s belongs to user %lu: who can write it becomes root",
                         path, (unsigned long)st.st_uid);
        if ((st.st_mode & 0004) == 0 && root)
            report_found(r, MARK_NOTE, area, FIX("chmod 644 %s, unless only root starts imapd", path),
                         "%s cannot be read by users: imapd does not serve those who start it themselves (tunnels)", path);
    }
    directory_of(r, path, root);
    twice(r, path, text);
    read_copy(r, c, path, text);
    free(text);
}

static void users_exist(const struct patient *p, const char *setting, const char *list)
{
    char *copy = xstrdup(list != NULL ? list : ""), *save = NULL;
    for (const char *name = strtok_r(copy, " \t,", &save); name != NULL; name = strtok_r(NULL, " \t,", &save))
        if (getpwnam(name) == NULL && p->config->passwd_file == NULL)
            report_found(p->report, MARK_WARNING, area,
                         FIX("correct the setting %s, or make the user: adduser %s", setting, name),
                         "%s names %s, and there is no such user", setting, name);
    free(copy);
}

/* An index or a journal is one user's. The directory above it must be there, if it is not the home. */
static void users_directory(const struct patient *p, const char *setting, const char *value)
{
    struct stat st;
    const char *slash = strrchr(value, '/');
    if (value[0] != '/')
        return;
    if (strstr(value, "%u") == NULL && strstr(value, "%h") == NULL) {
        report_found(p->report, MARK_ERROR, area, FIX("%s = %s/%%u", setting, value), "%s = %s is one directory for all users", setting,
                     value);
        return;
    }
    char *above = xstrndup(value, (size_t)(slash - value));
    if (above[0] != '\0' && strchr(above, '%') == NULL && (stat(above, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0))
        report_found(p->report, MARK_WARNING, area, FIX("install -d -o root -g root -m 755 %s", above),
                     "%s: %s is not a directory of root, so nothing can be made in it", setting, above);
    free(above);
}

static void limits(const struct patient *p)
{
    const struct config *c = p->config;
    if (c->idle_timeout < 1800)
        report_found(p->report, MARK_NOTE, area, "idle-timeout = 1800",
                     "idle-timeout = %u: clients may wait for half an hour (RFC 3501) and will lose connections", c->idle_timeout);
    if (c->message_limit > 0 && c->message_limit < 1000)
        report_found(p->report, MARK_WARNING, area, "message-limit = 1000, or 0",
                     "message-limit = %u: clients count on 1000 (RFC 9738)", c->message_limit);
}

void examine_settings(const struct patient *p)
{
    const struct config *c = p->config;
    users_directory(p, "index-dir", c->index_dir);
    users_directory(p, "journal-dir", c->journal_dir);
    limits(p);
    users_exist(p, "administrators", c->administrators);
    users_exist(p, "anonymous-user", c->anonymous_user);
    if (config_lists(c->mechanisms, "ANONYMOUS") && c->anonymous_user == NULL)
        report_found(p->report, MARK_WARNING, area, "set anonymous-user",
                     "mechanisms has ANONYMOUS, but anonymous-user is not set");
    if (c->plaintext_login)
        report_found(p->report, MARK_WARNING, area, "plaintext-login = no, and a certificate in tls-certificate",
                     "plaintext-login = yes: passwords cross the network unprotected");
    if (c->tls_certificate == NULL && c->secure_from == NULL && c->proxy_from == NULL && !c->plaintext_login)
        report_found(p->report, MARK_NOTE, area, "tls-certificate = FILE, or secure-from for stunnel",
                     "no tls-certificate: clients on the network cannot log in with a password");
    if (!c->system_users && c->passwd_file == NULL && c->oauth_keys == NULL && c->gssapi_keytab == NULL)
        report_found(p->report, MARK_ERROR, area, "system-users = yes, or passwd-file = FILE",
                     "system-users = no, and there is no passwd-file: nobody can log in");
    if (strchr(c->hostname, '.') == NULL)
        report_found(p->report, MARK_NOTE, area, "hostname = NAME.DOMAIN", "the host name %s has no domain", c->hostname);
    if (c->inbox[0] == '/' && strstr(c->inbox, "%u") == NULL && strstr(c->inbox, "%h") == NULL)
        report_found(p->report, MARK_ERROR, area, "inbox = /var/mail/%u", "inbox = %s is one file for all users", c->inbox);
}
