/*
 * The settings file (imapd.conf(5)), read with inih. One table row for each setting: name, kind, place in the struct,
 * default in the syntax of the file, so that defaults go through the same code as what an administrator writes. A name that
 * is not in the table, a value that does not parse, or a line too long for inih is an error with file and line: a setting
 * that was silently ignored is how a server becomes open to the world.
 */
#include "base/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/mechanisms.h"
#include "base/xmalloc.h"

enum kind { K_STRING, K_LIST, K_ADDRESSES, K_MECHANISMS, K_BOOL, K_UNSIGNED, K_U32, K_U64, K_UID, K_QUOTING, K_EXPUNGE_ON };

struct setting {
    const char *name, *initial;
    enum kind kind;
    size_t offset;
};
#define AT(field) offsetof(struct config, field)
static const struct setting settings[] = {
    { "passwd-file", NULL, K_STRING, AT(passwd_file) },
    { "system-users", "yes", K_BOOL, AT(system_users) },
    { "first-uid", "1000", K_UID, AT(first_uid) },
    { "plaintext-login", "no", K_BOOL, AT(plaintext_login) },
    { "proxy-from", NULL, K_ADDRESSES, AT(proxy_from) },
    { "secure-from", NULL, K_ADDRESSES, AT(secure_from) },
    { "login-attempts", "3", K_UNSIGNED, AT(login_attempts) },
    { "login-delay", "2000", K_UNSIGNED, AT(login_delay_ms) },
    { "login-octets", "1M", K_U64, AT(login_octets) },
    { "login-timeout", "60", K_UNSIGNED, AT(login_timeout) },
    { "mechanisms", NULL, K_MECHANISMS, AT(mechanisms) },
    { "administrators", NULL, K_LIST, AT(administrators) },
    { "anonymous-user", NULL, K_STRING, AT(anonymous_user) },
    { "pam-service", NULL, K_STRING, AT(pam_service) },
    { "gssapi-keytab", NULL, K_STRING, AT(gssapi_keytab) },
    { "gssapi-service", "imap", K_STRING, AT(gssapi_service) },
    { "tls-certificate", NULL, K_LIST, AT(tls_certificate) },
    { "tls-key", NULL, K_LIST, AT(tls_key) },
    { "tls-ticket-key", NULL, K_STRING, AT(tls_ticket_key) },
    { "tls-client-ca", NULL, K_STRING, AT(tls_client_ca) },
    { "tls-client-required", "no", K_BOOL, AT(tls_client_required) },
    { "tls-client-name", "cn", K_STRING, AT(tls_client_name) },
    { "tls-linger", "60", K_UNSIGNED, AT(tls_linger) },
    { "oauth-keys", NULL, K_STRING, AT(oauth_keys) },
    { "oauth-issuer", NULL, K_STRING, AT(oauth_issuer) },
    { "oauth-audience", NULL, K_STRING, AT(oauth_audience) },
    { "oauth-scope", NULL, K_STRING, AT(oauth_scope) },
    { "oauth-user-claim", "sub", K_STRING, AT(oauth_user_claim) },
    { "state-file", "/run/imapd/state", K_STRING, AT(state_file) },
    { "max-sessions-per-user", "50", K_UNSIGNED, AT(max_sessions_per_user) },
    { "max-connections-per-address", "1000", K_UNSIGNED, AT(max_connections_per_address) },
    { "greeter-user", "imapd", K_STRING, AT(greeter_user) },
    { "greeter-root", "/run/imapd/empty", K_STRING, AT(greeter_root) },
    { "require-sandbox", "no", K_BOOL, AT(require_sandbox) },
    { "session-sockets", "no", K_BOOL, AT(session_sockets) },
    { "inbox", "/var/mail/%u", K_STRING, AT(inbox) },
    { "mail-root", "", K_STRING, AT(mail_root) },
    { "index-dir", "%h/.imapd", K_STRING, AT(index_dir) },
    { "journal-dir", "", K_STRING, AT(journal_dir) },
    { "spool-group", "mail", K_STRING, AT(spool_group) },
    { "quoting", "mboxrd", K_QUOTING, AT(quoting) },
    { "expunge-on", "", K_EXPUNGE_ON, AT(expunge_on) },
    { "append-limit", "2147483647", K_U64, AT(append_limit) },
    { "line-limit", "65536", K_U32, AT(line_limit) },
    { "literal-limit", "1048576", K_U32, AT(literal_limit) },
    { "idle-timeout", "1800", K_UNSIGNED, AT(idle_timeout) },
    { "progress-interval", "10", K_UNSIGNED, AT(progress_interval) },
    { "message-limit", "0", K_U32, AT(message_limit) },
    { "lock-timeout", "10", K_UNSIGNED, AT(lock_timeout) },
    { "seal-limit", "4194304", K_U64, AT(seal_limit) },
    { "list-depth", "16", K_UNSIGNED, AT(list_depth) },
    { "list-count", "100000", K_U32, AT(list_count) },
    { "durable-flags", "no", K_BOOL, AT(durable_flags) },
    { "unauthenticate", "no", K_BOOL, AT(unauthenticate) },
    { "language", "i-default", K_STRING, AT(language) },
    { "hostname", NULL, K_STRING, AT(hostname) },
    { "admin", NULL, K_STRING, AT(admin) },
};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

struct reading {
    struct config *config;
    FILE *file;
    bool too_long;
    int line;
    const struct setting *last;        /* an indented line continues it: lists may be long */
    char what[240];                    /* the first error */
};

/* What a value may be, for whoever wrote another. */
static const char *const allowed[] = {
    [K_ADDRESSES] = "addresses, or networks as address/bits", [K_MECHANISMS] = "names of mechanisms, as in imapd.conf(5)",
    [K_BOOL] = "yes or no", [K_UNSIGNED] = "a number up to 1000000000", [K_U32] = "a number up to 4294967295; K, M, G may follow",
    [K_U64] = "a number of octets; K, M, G may follow", [K_UID] = "the number of a user", [K_QUOTING] = "mboxrd or mboxo",
    [K_EXPUNGE_ON] = "select, check, logout or none"
};

static int fail(struct reading *r, const char *what, const char *name, const char *value)
{
    if (r->what[0] == '\0')
        snprintf(r->what, sizeof r->what, "%s: %.40s = %.60s", what, name, value);
    return 0;
}

/* A list that is a string still. */
static bool is_list(enum kind kind)
{
    return kind == K_LIST || kind == K_ADDRESSES || kind == K_MECHANISMS;
}

/* What the kind asks of each word; one that names nothing would be passed over in silence later. */
static bool list_fits(enum kind kind, const char *value)
{
    char word[80];
    unsigned char network[ADDRESS_OCTETS];
    unsigned bits;
    for (const char *p = value + strspn(value, " \t,"); (kind == K_ADDRESSES || kind == K_MECHANISMS) && *p != '\0'; p += strspn(p, " \t,")) {
        const size_t n = strcspn(p, " \t,");
        snprintf(word, sizeof word, "%.*s", n < sizeof word ? (int)n : 0, p);
        if (kind == K_ADDRESSES ? !address_network(word, network, &bits) : mechanism_offer(p, n) == 0)
            return false;
        p += n;
    }
    return true;
}

static int bad_value(struct reading *r, const struct setting *s, const char *value)
{
    const bool first = r->what[0] == '\0';
    fail(r, "bad value", s->name, value);
    const size_t n = strlen(r->what);
    if (first)
        snprintf(r->what + n, sizeof r->what - n, " (it must be %s)", allowed[s->kind]);
    return 0;
}

static bool parse_bool(const char *value, bool *out)
{
    if (strcasecmp(value, "yes") == 0 || strcasecmp(value, "true") == 0 || strcasecmp(value, "on") == 0 ||
        strcmp(value, "1") == 0)
        *out = true;
    else if (strcasecmp(value, "no") == 0 || strcasecmp(value, "false") == 0 || strcasecmp(value, "off") == 0 ||
             strcmp(value, "0") == 0)
        *out = false;
    else
        return false;
    return true;
}

/* A number with an optional factor K, M or G (of 1024), at most max. */
static bool parse_number(const char *value, uint64_t max, uint64_t *out)
{
    if (!isdigit((unsigned char)value[0]))
        return false;
    char *end;
    errno = 0;
    uint64_t n = strtoull(value, &end, 10);
    if (errno != 0)
        return false;
    unsigned shift = 0;
    switch (*end) {
    case 'k': case 'K': shift = 10; end++; break;
    case 'm': case 'M': shift = 20; end++; break;
    case 'g': case 'G': shift = 30; end++; break;
    default: break;
    }
    if (*end != '\0' || n > max >> shift)
        return false;
    *out = n << shift;
    return true;
}

static bool parse_expunge_on(const char *value, unsigned *out)
{
    static const struct { const char *name; unsigned bit; } words[] = {
        { "select", EXPUNGE_ON_SELECT }, { "check", EXPUNGE_ON_CHECK }, { "logout", EXPUNGE_ON_LOGOUT }, { "none", 0 }
    };
    *out = 0;
    for (const char *p = value; *p != '\0';) {
        const size_t n = strcspn(p, " ,\t");
        size_t i = 0;
        while (i < 4 && !(strlen(words[i].name) == n && strncasecmp(p, words[i].name, n) == 0))
            i++;
        if (n > 0 && i == 4)
            return false;
        if (n > 0)
            *out |= words[i].bit;
        p += n;
        p += strspn(p, " ,\t");
    }
    return true;
}

static void set_string(char **field, const char *value)
{
    free(*field);
    *field = value != NULL ? xstrdup(value) : NULL;
}

static void extend_list(char **field, const char *value)
{
    char *joined;
    if (asprintf(&joined, "%s %s", *field != NULL ? *field : "", value) < 0)
        abort();
    free(*field);
    *field = joined;
}

static bool set(struct config *c, const struct setting *s, const char *value)
{
    void *field = (char *)c + s->offset;
    uint64_t n;
    bool ok = true;
    switch (s->kind) {
    case K_STRING:
    case K_LIST:
    case K_ADDRESSES:
    case K_MECHANISMS:
        ok = list_fits(s->kind, value);
        set_string(field, value);
        break;
    case K_BOOL:
        ok = parse_bool(value, field);
        break;
    case K_UNSIGNED:
        if ((ok = parse_number(value, 1000u * 1000u * 1000u, &n)))
            *(unsigned *)field = (unsigned)n;
        break;
    case K_U32:
        if ((ok = parse_number(value, UINT32_MAX, &n)))
            *(uint32_t *)field = (uint32_t)n;
        break;
    case K_U64:
        if ((ok = parse_number(value, UINT64_MAX / 2, &n)))
            *(uint64_t *)field = n;
        break;
    case K_UID:
        if ((ok = parse_number(value, UINT32_MAX - 1, &n)))
            *(uid_t *)field = (uid_t)n;
        break;
    case K_QUOTING:
        ok = strcasecmp(value, "mboxrd") == 0 || strcasecmp(value, "mboxo") == 0;
        *(enum config_quoting *)field = strcasecmp(value, "mboxo") == 0 ? QUOTING_MBOXO : QUOTING_MBOXRD;
        break;
    case K_EXPUNGE_ON:
        ok = parse_expunge_on(value, field);
        break;
    }
    return ok;
}

static int on_setting(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    if (section[0] != '\0')
        return fail(r, "there are no sections", section, name);
    for (size_t i = 0; i < SETTINGS; i++) {
        const struct setting *s = &settings[i];
        if (strcmp(s->name, name) != 0)
            continue;
        if (is_list(s->kind) && r->last == s) {
            if (!list_fits(s->kind, value))
                return bad_value(r, s, value);
            extend_list((char **)(void *)((char *)r->config + s->offset), value);
        } else if (!set(r->config, s, value)) {
            return bad_value(r, s, value);
        }
        r->last = s;
        return 1;
    }
    return fail(r, "unknown setting", name, value);
}

/* fgets for inih, which would take the rest of a line that is too long for its buffer for another line. */
static char *next_line(char *line, int size, void *stream)
{
    struct reading *r = stream;
    char *p = fgets(line, size, r->file);
    if (p == NULL)
        return NULL;
    r->line++;
    if (strchr(p, '\n') == NULL && !feof(r->file)) {
        r->too_long = true;
        return NULL;
    }
    return p;
}

static void defaults(struct config *c)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].initial != NULL && !set(c, &settings[i], settings[i].initial))
            abort();
}

static void default_hostname(struct config *c)
{
    char name[256];
    if (c->hostname != NULL)
        return;
    if (gethostname(name, sizeof name) != 0)
        name[0] = '\0';
    name[sizeof name - 1] = '\0';
    c->hostname = xstrdup(name[0] != '\0' ? name : "localhost");
}

/* NULL, or what is wrong. A scope is one scope-token of RFC 6749 section 3.3, which goes into JSON as it is. */
static const char *check_oauth(const struct config *c)
{
    if (c->oauth_keys == NULL)
        return NULL;
    if (c->oauth_keys[0] != '/')
        return "oauth-keys must be an absolute path";
    if (c->oauth_issuer == NULL || c->oauth_issuer[0] == '\0' || c->oauth_audience == NULL || c->oauth_audience[0] == '\0')
        return "oauth-keys needs oauth-issuer and oauth-audience";
    if (c->oauth_user_claim[0] == '\0')
        return "oauth-user-claim must not be empty";
    for (const char *p = c->oauth_scope; p != NULL && *p != '\0'; p++)
        if (!isgraph((unsigned char)*p) || *p == '"' || *p == '\\')
            return "oauth-scope must be one word without quotes";
    return c->oauth_scope != NULL && c->oauth_scope[0] == '\0' ? "oauth-scope must not be empty" : NULL;
}

/* What no single setting can tell. NULL, or what is wrong. */
static const char *check(const struct config *c)
{
    if (c->inbox[0] != '/' && strncmp(c->inbox, "%h/", 3) != 0)
        return "inbox must be an absolute path";
    if (c->index_dir[0] != '/' && strncmp(c->index_dir, "%h/", 3) != 0)
        return "index-dir must be an absolute path";
    if (c->journal_dir[0] != '\0' && c->journal_dir[0] != '/' && strncmp(c->journal_dir, "%h/", 3) != 0)
        return "journal-dir must be an absolute path";
    if (c->mail_root[0] == '/' || strstr(c->mail_root, "..") != NULL)
        return "mail-root must be a directory below the home";
    if (c->login_attempts == 0 || c->login_timeout == 0 || c->idle_timeout == 0)
        return "login-attempts, login-timeout and idle-timeout must not be 0";
    if (c->line_limit < 1024)
        return "line-limit must be at least 1024";
    if (strcmp(c->language, "i-default") != 0 && strcmp(c->language, "en") != 0 && strcmp(c->language, "de") != 0)
        return "language must be i-default, en or de";
    if (strcmp(c->tls_client_name, "cn") != 0 && strcmp(c->tls_client_name, "email") != 0 && strcmp(c->tls_client_name, "email-local") != 0)
        return "tls-client-name must be cn, email or email-local";
    if (c->tls_client_required && c->tls_client_ca == NULL)
        return "tls-client-required needs tls-client-ca";
    if (c->tls_certificate == NULL && (c->tls_key != NULL || c->tls_client_ca != NULL))
        return "tls-key and tls-client-ca need tls-certificate";
    for (const char *p = c->hostname; *p != '\0'; p++)
        if (!isgraph((unsigned char)*p))
            return "hostname must be printable";
    for (const char *p = c->admin; p != NULL && *p != '\0'; p++)
        if (!isgraph((unsigned char)*p))
            return "admin must be a URI";
    return check_oauth(c);
}

int config_read(struct config *c, const char *path, bool optional, char *err, size_t errsize)
{
    struct reading r = { .config = c };
    defaults(c);
    r.file = fopen(path, "re");
    if (r.file == NULL && !(optional && errno == ENOENT)) {
        snprintf(err, errsize, "%s: %s", path, strerror(errno));
        return -1;
    }
    int bad = 0;
    if (r.file != NULL) {
        bad = ini_parse_stream(next_line, &r, on_setting, &r);
        if (ferror(r.file) && bad == 0) {
            bad = r.line + 1;
            snprintf(r.what, sizeof r.what, "read error");
        }
        fclose(r.file);
    }
    if (bad == 0 && r.too_long) {
        bad = r.line;
        snprintf(r.what, sizeof r.what, "line too long (an indented line continues a list)");
    }
    if (bad != 0) {
        snprintf(err, errsize, "%s:%d: %s", path, bad, r.what[0] != '\0' ? r.what : "cannot be read as name = value");
        return -1;
    }
    default_hostname(c);
    const char *what = check(c);
    if (what != NULL)
        snprintf(err, errsize, "%s: %s", path, what);
    return what == NULL ? 0 : -1;
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].kind == K_STRING || is_list(settings[i].kind))
            set_string((char **)(void *)((char *)c + settings[i].offset), NULL);
}

const char *config_setting(size_t i)
{
    return i < SETTINGS ? settings[i].name : NULL;
}

bool config_lists(const char *list, const char *name)
{
    const size_t len = strlen(name);
    for (const char *p = list; p != NULL && *p != '\0';) {
        p += strspn(p, " \t,");
        const size_t n = strcspn(p, " \t,");
        if (n == len && n > 0 && strncasecmp(p, name, n) == 0)
            return true;
        p += n;
    }
    return false;
}

char *config_expand(const char *pattern, const char *user, const char *home)
{
    struct buf b = { 0 };
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p != '%' || (p[1] != 'u' && p[1] != 'h' && p[1] != '%')) {
            buf_addc(&b, *p);
            continue;
        }
        p++;
        if (*p == '%')
            buf_addc(&b, '%');
        else
            buf_puts(&b, *p == 'u' ? user : home);
    }
    buf_addc(&b, '\0');
    return b.data;
}

char *config_index_dir(const struct config *c, const char *user, const char *home)
{
    return config_expand(c->index_dir, user, home);
}

char *config_journal_dir(const struct config *c, const char *user, const char *home)
{
    return config_expand(c->journal_dir[0] != '\0' ? c->journal_dir : c->index_dir, user, home);
}
