/*
 * Who listens on ports 143 and 993, and what inetd, xinetd and systemd are told to start there.
 */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/examine.h"

static const char area[] = "listener";

/* ---- the ports ---------------------------------------------------------------------------------------------------- */

/* The inode of a socket that listens on the port, 0: there is none. */
static unsigned long listening(const char *table, unsigned port)
{
    char line[512];
    unsigned long found = 0;
    FILE *f = fopen(table, "re");
    while (f != NULL && found == 0 && fgets(line, sizeof line, f) != NULL) {
        unsigned local, state;
        unsigned long inode;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu", &local, &state, &inode) == 3
            && state == 10 && local == port)
            found = inode;
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static bool has_socket(const char *pid, unsigned long inode)
{
    char path[300], want[64], is[64];
    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    snprintf(want, sizeof want, "socket:[%lu]", inode);
    DIR *d = opendir(path);
    bool found = false;
    for (const struct dirent *e; d != NULL && !found && (e = readdir(d)) != NULL;) {
        const ssize_t n = readlinkat(dirfd(d), e->d_name, is, sizeof is - 1);
        is[n > 0 ? n : 0] = '\0';
        found = strcmp(is, want) == 0;
    }
    if (d != NULL)
        closedir(d);
    return found;
}

static bool holder(unsigned long inode, char *name, size_t size)
{
    DIR *d = opendir("/proc");
    bool found = false;
    for (const struct dirent *e; d != NULL && !found && (e = readdir(d)) != NULL;) {
        if (!isdigit((unsigned char)e->d_name[0]) || !has_socket(e->d_name, inode))
            continue;
        char path[64];
        snprintf(path, sizeof path, "/proc/%.20s/comm", e->d_name);
        FILE *f = fopen(path, "re");
        found = f != NULL && fgets(name, (int)size, f) != NULL;
        name[found ? strcspn(name, "\n") : 0] = '\0';
        if (f != NULL)
            fclose(f);
    }
    if (d != NULL)
        closedir(d);
    return found;
}

/* enabled_for: the super-server that should listen, NULL: none is told to. */
static void port(const struct patient *p, unsigned number, const char *enabled_for)
{
    const char *unit = number == 143 ? "imapd" : "imaps";
    static const char *const ours[] = { "inetd",           "xinetd",    "systemd",  "inetutils-inetd",
                                        "systemd-socket-", "tcpserver", "stunnel4", "stunnel",
                                        "nginx",           "haproxy",   "init" };
    char name[64] = "";
    unsigned long inode = listening("/proc/net/tcp", number);
    inode = inode != 0 ? inode : listening("/proc/net/tcp6", number);
    if (inode == 0 && enabled_for != NULL) {
        const char *fix = strcmp(enabled_for, "systemd") == 0 ? FIX("systemctl restart %s.socket; systemctl status %s.socket", unit, unit)
                          : FIX("service %s restart; and its log, if that does not help", strcmp(enabled_for, "inetd") == 0 ? "openbsd-inetd" : "xinetd");
        report_found(p->report, MARK_WARNING, area, fix, "nobody listens on port %u, though %s is told to", number, enabled_for);
        return;
    }
    if (inode == 0) {
        report_found(p->report, MARK_NOTE, area,
                     FIX("systemctl enable --now %s.socket, or disable = no in /etc/xinetd.d/%s", unit, number == 143 ? "imap" : "imaps"),
                     "nobody listens on port %u", number);
        return;
    }
    if (!holder(inode, name, sizeof name)) {
        report_found(p->report, MARK_NOTE, area, NULL, "port %u is listened on, by whom only root can see", number);
        return;
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(name, ours[i]) == 0) {
            report_found(p->report, MARK_OK, area, NULL, "%s listens on port %u", name, number);
            return;
        }
    report_found(p->report, MARK_ERROR, area, FIX("stop it: systemctl disable --now %s", name),
                 "another server, %s, listens on port %u", name, number);
}

/* ---- super-servers ------------------------------------------------------------------------------------------------ */

/* One way that imapd is started, however it is written down. */
struct service {
    const char *where; /* the file */
    char name[32], user[32], wait[16], type[16], server[256], arguments[256], only[128];
    bool enabled;
};

/* How many services are told to listen on 143 and 993. */
struct enabled {
    unsigned imap, imaps;
};

static void count(struct enabled *n, const char *name)
{
    if (strcmp(name, "imaps") == 0 || strcmp(name, "993") == 0)
        n->imaps++;
    else
        n->imap++;
}

static void look(const struct patient *p, const struct service *s)
{
    struct report *r = p->report;
    unsigned wrong = 0;
    struct stat st;
    if (!s->enabled) {
        report_found(r, MARK_NOTE, area, FIX("to use it: disable = no in %s; service xinetd reload", s->where),
                     "%s: service %s is disabled", s->where, s->name);
        return;
    }
    if (s->server[0] != '/' || stat(s->server, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
        report_found(r, MARK_ERROR, area, FIX("write the path of imapd in %s", s->where), "%s: %s cannot be run", s->where,
                     s->server),
            wrong++;
    if (strcmp(s->user, "root") != 0 && strncmp(s->user, "root.", 5) != 0 && strncmp(s->user, "root:", 5) != 0)
        report_found(r, MARK_ERROR, area, FIX("user root in %s: imapd becomes the user who logs in", s->where),
                     "%s: %s is started as %s, and cannot log anybody in", s->where, s->name, s->user),
            wrong++;
    if (strncmp(s->wait, "no", 2) != 0)
        report_found(
            r, MARK_ERROR, area,
            FIX("%s in %s", strchr(s->where, '.') != NULL && strstr(s->where, "inetd.conf") ? "nowait" : "wait = no", s->where),
            "%s: %s is started with wait", s->where, s->name),
            wrong++;
    if (strcmp(s->type, "stream") != 0)
        report_found(r, MARK_ERROR, area, FIX("socket type stream in %s", s->where), "%s: %s has socket type %s", s->where,
                     s->name, s->type),
            wrong++;
    if (strcmp(s->name, "imaps") == 0 && strstr(s->arguments, "--tls") == NULL && strstr(s->server, "imapd") != NULL)
        report_found(r, MARK_ERROR, area, FIX("the argument --tls in %s", s->where), "%s: imaps is started without --tls",
                     s->where),
            wrong++;
    if (wrong == 0 && strcmp(s->name, "imaps") == 0 && p->config->tls_certificate == NULL && strstr(s->server, "imapd") != NULL)
        report_found(r, MARK_ERROR, area, "tls-certificate = FILE", "%s: imaps is enabled, and tls-certificate is not set",
                     s->where),
            wrong++;
    if (wrong == 0 && strstr(s->server, "imapd") == NULL && strstr(s->arguments, "imapd") == NULL)
        report_found(r, MARK_WARNING, area, FIX("write the path of imapd in %s", s->where), "%s: starts %s for %s, which is not imapd",
                     s->where, s->server, s->name),
            wrong++;
    if (s->only[0] != '\0')
        report_found(r, MARK_NOTE, area, FIX("if others are to come in, change that in %s", s->where), "%s: %s is only for %s", s->where,
                     s->name, s->only);
    if (wrong == 0)
        report_found(r, MARK_OK, area, NULL, "%s: starts %s for %s", s->where, s->server, s->name);
}

static bool ours(const char *name)
{
    return strcmp(name, "imap") == 0 || strcmp(name, "imap2") == 0 || strcmp(name, "imaps") == 0 || strcmp(name, "143") == 0
           || strcmp(name, "993") == 0;
}

static void set_field(struct service *s, const char *key, const char *value)
{
    if (strcmp(key, "disable") == 0)
        s->enabled = strcmp(value, "yes") != 0;
    else if (strcmp(key, "user") == 0)
        snprintf(s->user, sizeof s->user, "%.31s", value);
    else if (strcmp(key, "wait") == 0)
        snprintf(s->wait, sizeof s->wait, "%.15s", value);
    else if (strcmp(key, "socket_type") == 0)
        snprintf(s->type, sizeof s->type, "%.15s", value);
    else if (strcmp(key, "server") == 0)
        snprintf(s->server, sizeof s->server, "%s", value);
    else if (strcmp(key, "server_args") == 0)
        snprintf(s->arguments, sizeof s->arguments, "%s", value);
    else if (strcmp(key, "only_from") == 0 || strcmp(key, "bind") == 0 || strcmp(key, "interface") == 0)
        snprintf(s->only, sizeof s->only, "%.20s %.100s", key, value);
}

static void xinetd_file(const struct patient *p, const char *path, struct enabled *n)
{
    char *text = read_text(path, NULL), *save = text, key[64], value[256];
    struct service s = { .where = path };
    bool in = false;
    for (char *line; text != NULL && (line = strsep(&save, "\n")) != NULL;) {
        value[0] = '\0';
        if (sscanf(line, " service %31s", s.name) == 1) {
            s = (struct service){ .where = path, .enabled = true, .user = "nobody", .wait = "yes", .type = "stream" };
            sscanf(line, " service %31s", s.name);
            in = ours(s.name);
        } else if (in && sscanf(line, " %63[a-z_] = %255[^\n]", key, value) == 2) {
            for (size_t end = strlen(value); end > 0 && isspace((unsigned char)value[end - 1]); end--)
                value[end - 1] = '\0';
            set_field(&s, key, value);
        } else if (in && strchr(line, '}') != NULL) {
            look(p, &s);
            if (s.enabled)
                count(n, s.name);
            in = false;
        }
    }
    free(text);
}

/* What the main file of xinetd keeps its services from. */
static void xinetd_main(const struct patient *p, bool enabled)
{
    static const char path[] = "/etc/xinetd.conf";
    char *text = read_text(path, NULL), *save = text, value[256];
    bool included = false;
    for (char *line; text != NULL && (line = strsep(&save, "\n")) != NULL;) {
        if (sscanf(line, " includedir %255s", value) == 1)
            included |= strncmp(value, "/etc/xinetd.d", 13) == 0;
        else if (enabled && sscanf(line, " disabled = %255[^\n]", value) == 1 && strstr(value, "imap") != NULL)
            report_found(p->report, MARK_ERROR, area, FIX("take it out of that line in %s; service xinetd reload", path),
                         "%s: disabled = %s", path, value);
    }
    if (text != NULL && enabled && !included)
        report_found(p->report, MARK_ERROR, area, FIX("the line: includedir /etc/xinetd.d, in %s; service xinetd reload", path),
                     "%s does not read /etc/xinetd.d", path);
    free(text);
}

static struct enabled xinetd(const struct patient *p)
{
    char path[PATH_MAX];
    struct enabled n = { 0 };
    DIR *d = opendir("/etc/xinetd.d");
    xinetd_file(p, "/etc/xinetd.conf", &n);
    const unsigned in_main = n.imap + n.imaps;
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "/etc/xinetd.d/%s", e->d_name);
        if (strchr(e->d_name, '.') == NULL && strchr(e->d_name, '~') == NULL)
            xinetd_file(p, path, &n);
    }
    if (d != NULL)
        closedir(d);
    xinetd_main(p, n.imap + n.imaps > in_main);
    return n;
}

static struct enabled inetd(const struct patient *p)
{
    static const char path[] = "/etc/inetd.conf";
    char *text = read_text(path, NULL), *save = text;
    struct enabled n = { 0 };
    for (char *line; text != NULL && (line = strsep(&save, "\n")) != NULL;) {
        struct service s = { .where = path, .enabled = true };
        if (line[0] == '#'
            || sscanf(line, "%31s %15s %*s %15s %31s %255s %255[^\n]", s.name, s.type, s.wait, s.user, s.server, s.arguments) < 5
            || !ours(s.name))
            continue;
        look(p, &s);
        count(&n, s.name);
    }
    free(text);
    return n;
}

static bool unit_is_enabled(const char *unit)
{
    char path[300];
    snprintf(path, sizeof path, "/etc/systemd/system/sockets.target.wants/%s.socket", unit);
    return access(path, F_OK) == 0;
}

/* The unit file's name leads to /dev/null: systemd starts it for nobody. */
static bool unit_is_masked(const char *unit)
{
    static const char *const places[] = { "/etc/systemd/system", "/run/systemd/system" };
    char path[300], target[32] = "";
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s", places[i], unit);
        const ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strcmp(target, "/dev/null") == 0)
            return true;
    }
    return false;
}

static bool masked(const struct patient *p, const char *unit, const char *suffix, enum mark mark)
{
    char name[64];
    snprintf(name, sizeof name, "%.40s%s", unit, suffix);
    if (!unit_is_masked(name))
        return false;
    report_found(p->report, mark, area, FIX("systemctl unmask %s", name), "%s is masked: systemd does not start it", name);
    return true;
}

static unsigned systemd_unit(const struct patient *p, const char *unit)
{
    static const char *const places[] = { "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
                                          "/usr/lib/systemd/system", "/lib/systemd/system" };
    char path[300], name[64], server[256] = "";
    if (masked(p, unit, ".socket", unit_is_enabled(unit) ? MARK_ERROR : MARK_NOTE) || !unit_is_enabled(unit))
        return 0;
    if (masked(p, unit, "@.service", MARK_ERROR))
        return 1;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s/%s@.service", places[i], unit);
        char *text = read_text(path, NULL);
        if (text == NULL)
            continue;
        struct service s = { .where = path, .enabled = true, .user = "root", .wait = "no", .type = "stream" };
        const char *exec = strstr(text, "\nExecStart="), *user = strstr(text, "\nUser=");
        snprintf(name, sizeof name, "%s", strcmp(unit, "imaps") == 0 ? "imaps" : "imap");
        snprintf(s.name, sizeof s.name, "%.31s", name);
        if (exec != NULL && sscanf(exec, "\nExecStart=%255s", server) == 1)
            snprintf(s.server, sizeof s.server, "%s", server + strspn(server, "-+@!:"));
        if (exec != NULL)
            sscanf(exec, "\nExecStart=%*s %255[^\n]", s.arguments);
        if (user != NULL)
            sscanf(user, "\nUser=%31s", s.user);
        look(p, &s);
        free(text);
        return 1;
    }
    report_found(p->report, MARK_ERROR, area, FIX("install %s@.service", unit),
                 "%s.socket is enabled, and there is no %s@.service", unit, unit);
    return 1;
}

static void others(const struct patient *p)
{
    static const char *const units[] = { "dovecot.service", "courier-imap.service", "cyrus-imapd.service" };
    char path[300];
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        snprintf(path, sizeof path, "/etc/systemd/system/multi-user.target.wants/%s", units[i]);
        if (access(path, F_OK) == 0)
            report_found(p->report, MARK_NOTE, area, FIX("if it serves IMAP: systemctl disable --now %s", units[i]),
                         "%s is enabled too", units[i]);
    }
}

static void more_than_one(const struct patient *p, const char *where, struct enabled n)
{
    if (n.imap > 1 || n.imaps > 1)
        report_found(p->report, MARK_ERROR, area, FIX("leave one of them in %s", where), "%u services of %s are for port %d: one of them cannot listen",
                     n.imap > 1 ? n.imap : n.imaps, where, n.imap > 1 ? 143 : 993);
}

static const char *listener_of(bool systemd, unsigned xinetd, unsigned inetd)
{
    return systemd ? "systemd" : xinetd > 0 ? "xinetd" : inetd > 0 ? "inetd" : NULL;
}

void examine_listeners(const struct patient *p)
{
    const struct enabled x = xinetd(p), i = inetd(p);
    const bool imap = systemd_unit(p, "imapd") > 0, imaps = systemd_unit(p, "imaps") > 0;
    const bool by_xinetd = x.imap + x.imaps > 0, by_inetd = i.imap + i.imaps > 0, by_systemd = imap || imaps;
    port(p, 143, listener_of(imap, x.imap, i.imap));
    port(p, 993, listener_of(imaps, x.imaps, i.imaps));
    more_than_one(p, "xinetd", x);
    more_than_one(p, "/etc/inetd.conf", i);
    if (by_xinetd + by_inetd + by_systemd > 1)
        report_found(
            p->report, MARK_WARNING, area,
            "leave one: systemctl disable --now imapd.socket imaps.socket, or disable = yes in /etc/xinetd.d, or no line in /etc/inetd.conf",
            "imapd is enabled for %s: one of them cannot listen",
            by_xinetd ? by_systemd ? "xinetd and systemd" : "xinetd and inetd" : "inetd and systemd");
    others(p);
}
