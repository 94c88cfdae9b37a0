/*
 * Who may come in: the files that hold hashes and keys, the PAM service, and what the process before login needs.
 */
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/passwd_line.h"
#include "base/xmalloc.h"
#include "doctor/examine.h"

static const char area[] = "credentials";

/* A file that root alone should read (secret) or write. False: it cannot be looked into. */
static bool file_ok(const struct patient *p, const char *setting, const char *path, bool secret)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        report_found(p->report, MARK_ERROR, area, FIX("correct the setting %s, or make the file", setting), "%s: %s: %s", setting,
                     path, strerror(errno));
        return false;
    }
    if ((st.st_mode & (secret ? 0027u : 0022u)) != 0)
        report_found(p->report, MARK_ERROR, area, FIX("chmod %s %s", secret ? "640" : "644", path),
                     "%s: %s can be %s by others (mode %03o)", setting, path, secret ? "read or written" : "written",
                     (unsigned)st.st_mode & 0777u);
    if (st.st_uid != 0 && p->root)
        report_found(p->report, MARK_ERROR, area, FIX("chown root %s", path), "%s: %s belongs to user %lu", setting, path,
                     (unsigned long)st.st_uid);
    return access(path, R_OK) == 0;
}

static void passwd_entry(const struct patient *p, int n, const struct passwd_line *e)
{
    const char *path = p->config->passwd_file;
    if (!passwd_name_ok(e->name))
        report_found(p->report, MARK_ERROR, area, FIX("correct line %d of %s", n, path),
                     "%s, line %d: %s may not be a user's name", path, n, e->name);
    else if (e->uid < p->config->first_uid || e->gid == 0)
        report_found(p->report, MARK_WARNING, area,
                     FIX("imapd --passwd --uid UID %s, or first-uid = %lu", e->name, (unsigned long)e->uid),
                     "%s, line %d: %s has uid %lu, below first-uid: no login", path, n, e->name, (unsigned long)e->uid);
    else if (e->hash[0] == '\0'
             || (e->hash[0] != '$' && e->hash[0] != '{' && e->hash[0] != '!' && e->hash[0] != '*' && e->hash[0] != '_'
                 && strlen(e->hash) != 13))
        report_found(p->report, MARK_ERROR, area, FIX("imapd --passwd %s", e->name), "%s, line %d: %s has no hash of a password",
                     path, n, e->name);
    if (!passwd_name_ok(e->name))
        return;
    struct account a = { .name = xstrdup(e->name), .home = xstrdup(e->home), .uid = e->uid, .gid = e->gid };
    examine_inbox(p, &a);
    account_free(&a);
}

static void passwd_file(const struct patient *p)
{
    const char *path = p->config->passwd_file;
    if (!file_ok(p, "passwd-file", path, true))
        return;
    char *text = read_text(path, NULL), *save = text;
    int n = 0, entries = 0;
    for (char *line; text != NULL && (line = strsep(&save, "\n")) != NULL;) {
        struct passwd_line e;
        char *copy = xstrdup(line);
        n++;
        const int rc = passwd_line_parse(&e, copy);
        if (rc < 0)
            report_found(p->report, MARK_ERROR, area,
                         FIX("correct line %d of %s: name:hash:uid:gid::home, or imapd --passwd NAME", n, path),
                         "%s, line %d is not an entry", path, n);
        else if (rc == 1) {
            entries++;
            passwd_entry(p, n, &e);
        }
        explicit_bzero(copy, strlen(line));
        free(copy);
    }
    report_found(p->report, MARK_OK, area, NULL, "%s: %d entries", path, entries);
    free(text);
}

static void keytab(const struct patient *p)
{
    const char *path = p->config->gssapi_keytab;
    if (!file_ok(p, "gssapi-keytab", path, true))
        return;
    size_t n = 0;
    char *text = read_text(path, &n);
    if (text == NULL || n < 2 || text[0] != 5)
        report_found(p->report, MARK_ERROR, area,
                     FIX("kadmin ktadd -k %s %s/%s", path, p->config->gssapi_service, p->config->hostname),
                     "gssapi-keytab: %s is no keytab", path);
    free(text);
}

static void oauth_keys(const struct patient *p)
{
    const char *path = p->config->oauth_keys;
    if (!file_ok(p, "oauth-keys", path, false))
        return;
    char *text = read_text(path, NULL);
    const char *begin = text != NULL ? text + strspn(text, " \t\r\n") : "";
    if (*begin != '{' && strstr(begin, "-----BEGIN ") == NULL)
        report_found(p->report, MARK_ERROR, area, "fetch the issuer's JWK set anew (its jwks_uri)",
                     "oauth-keys: %s has no keys (JWK set or PEM)", path);
    else
        report_found(p->report, MARK_OK, area, NULL, "oauth-keys: %s is there", path);
    free(text);
}

static void ticket_key(const struct patient *p)
{
    struct stat st;
    const char *path = p->config->tls_ticket_key;
    if (file_ok(p, "tls-ticket-key", path, true) && stat(path, &st) == 0
        && (st.st_size == 0 || st.st_size % 80 != 0 || st.st_size > 16 * 80))
        report_found(p->report, MARK_ERROR, area, FIX("openssl rand 80 >%s", path),
                     "tls-ticket-key: %s has %lld octets, not 1 to 16 keys of 80: no TLS", path, (long long)st.st_size);
}

static void pam(const struct patient *p)
{
    static const char *const places[] = { "/etc/pam.d", "/usr/lib/pam.d" };
    const char *service = p->config->pam_service;
    char path[300];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%.200s", places[i], service);
        if (access(path, F_OK) == 0) {
            report_found(p->report, MARK_OK, area, NULL, "PAM service %s", service);
            return;
        }
    }
    report_found(
        p->report, MARK_ERROR, area,
        FIX("make /etc/pam.d/%s (with: @include common-auth, @include common-account), or pam-service = another", service),
        "pam-service: there is no /etc/pam.d/%s", service);
}

void examine_credentials(const struct patient *p)
{
    if (p->config->passwd_file != NULL)
        passwd_file(p);
    if (p->config->gssapi_keytab != NULL)
        keytab(p);
    if (p->config->oauth_keys != NULL)
        oauth_keys(p);
    if (p->config->tls_ticket_key != NULL)
        ticket_key(p);
    if (p->config->pam_service != NULL)
        pam(p);
    else if (p->root && p->config->system_users && access("/etc/shadow", R_OK) != 0)
        report_found(p->report, MARK_ERROR, area, "system-users = no, or pam-service",
                     "/etc/shadow: %s: no password can be checked", strerror(errno));
}

static void greeter_root(const struct patient *p)
{
    const char *path = p->config->greeter_root;
    struct stat st;
    if (lstat(path, &st) != 0)
        return; /* made at the first connection */
    DIR *d = opendir(path);
    unsigned n = 0;
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d != NULL)
        closedir(d);
    if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & 0022) != 0)
        report_found(p->report, MARK_ERROR, "greeter", FIX("chown root:root %s; chmod 555 %s", path, path),
                     "greeter-root: %s must be a directory of root that nobody else can write: no login", path);
    else if (n > 0)
        report_found(p->report, MARK_WARNING, "greeter", FIX("remove what is in %s, or greeter-root = an empty directory", path),
                     "greeter-root: %s is not empty", path);
}

/* auth/slots.h */
static void sessions_directory(const struct patient *p)
{
    struct stat st;
    char *path = NULL;
    if (asprintf(&path, "%s.sessions", p->config->state_file) < 0)
        return;
    if (lstat(path, &st) == 0 && (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & 0077) != 0))
        report_found(p->report, MARK_WARNING, "greeter", FIX("rm -r %s: it is made anew", path),
                     "state-file: %s is not a directory of root alone: imapd --stat sees little", path);
    free(path);
}

static void state_file(const struct patient *p)
{
    const char *path = p->config->state_file;
    struct stat st;
    if (path == NULL || path[0] == '\0')
        return;
    sessions_directory(p);
    if (lstat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 0022) != 0)
            report_found(p->report, MARK_ERROR, "greeter", FIX("rm %s: it is made anew", path),
                         "state-file: %s is not a file of root alone: limits are not kept", path);
        return;
    }
    char *above = xstrdup(path), *slash = strrchr(above, '/');
    for (int up = 0; up < 2 && slash != NULL && slash != above; up++, slash = strrchr(above, '/')) {
        *slash = '\0'; /* the directory above may be missing, not the one above that */
        if (stat(above, &st) == 0 || errno != ENOENT)
            break;
    }
    if (stat(above, &st) != 0 || !S_ISDIR(st.st_mode))
        report_found(p->report, MARK_WARNING, "greeter", "state-file = /run/imapd/state",
                     "state-file: %s cannot be made: limits are not kept", path);
    free(above);
}

void examine_greeter(const struct patient *p)
{
    const char *name = p->config->greeter_user;
    const struct passwd *pw = getpwnam(name);
    if (pw == NULL && strcmp(name, "imapd") == 0)
        report_found(p->report, MARK_NOTE, "greeter", "adduser --system --no-create-home imapd",
                     "there is no user imapd: the process before login runs as nobody");
    else if (pw == NULL || pw->pw_uid == 0)
        report_found(p->report, MARK_ERROR, "greeter",
                     FIX("adduser --system --no-create-home %s, or take the setting greeter-user out", name),
                     "greeter-user: %s %s", name, pw == NULL ? "does not exist" : "is root");
    greeter_root(p);
    state_file(p);
}
