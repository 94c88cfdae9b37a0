/*
 * imapd --passwd: an administrator's way to make entries of the passwd-file. Reads the password (from a terminal twice and without
 * echo), makes its hash and its verifiers, and has passwd_file.c put them into the file. Nothing of it is in the arguments, which
 * all users of the host can see.
 */
#include "passwd.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "auth/hash.h"
#include "auth/passwd_line.h"
#include "auth/scram.h"
#include "base/config.h"
#include "base/log.h"
#include "base/saslprep.h"

enum { DONE = 0, NOT_DONE = 1, USAGE = 2, PASSWORD_MAX = 511 };

static const char usage[] =
    "usage: imapd --passwd [--config FILE] [--file FILE] [--uid N] [--gid N] [--home DIR] NAME\n"
    "       imapd --passwd [--config FILE] [--file FILE] --delete | --lock | --unlock NAME\n"
    "\n"
    "Sets the password of NAME in the passwd-file, asked for twice on a terminal, else a line of standard input.\n"
    "\n"
    "  --file FILE     this file, not what the setting passwd-file says\n"
    "  --uid, --gid, --home\n"
    "                  of a new entry (default: as the system knows NAME), or to change one\n"
    "  --delete        remove the entry\n"
    "  --lock          no password is right, until\n"
    "  --unlock        takes that back\n";

bool passwd_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--passwd") == 0)
            return true;
    return false;
}

struct options {
    const char *config, *file;
    struct passwd_change change;
};

static int parse_options(struct options *o, int argc, char **argv)
{
    enum { CONFIG = 1, PASSWD, FILE_NAME, UID, GID, HOME, DELETE, LOCK, UNLOCK, HELP };
    static const struct option names[] = {
        { "config", required_argument, NULL, CONFIG }, { "passwd", no_argument, NULL, PASSWD }, { "file", required_argument, NULL, FILE_NAME },
        { "uid", required_argument, NULL, UID }, { "gid", required_argument, NULL, GID }, { "home", required_argument, NULL, HOME },
        { "delete", no_argument, NULL, DELETE }, { "lock", no_argument, NULL, LOCK }, { "unlock", no_argument, NULL, UNLOCK },
        { "help", no_argument, NULL, HELP }, { NULL, 0, NULL, 0 }
    };
    unsigned tasks = 0;
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case CONFIG: o->config = optarg; break;
        case PASSWD: break;
        case FILE_NAME: o->file = optarg; break;
        case UID: o->change.uid = optarg; break;
        case GID: o->change.gid = optarg; break;
        case HOME: o->change.home = optarg; break;
        case DELETE: o->change.task = PASSWD_DELETE; tasks++; break;
        case LOCK: o->change.task = PASSWD_LOCK; tasks++; break;
        case UNLOCK: o->change.task = PASSWD_UNLOCK; tasks++; break;
        case HELP: fputs(usage, stdout); exit(DONE);
        default: return -1;
        }
    }
    if (optind + 1 != argc || tasks > 1 || (tasks == 1 && (o->change.uid != NULL || o->change.gid != NULL || o->change.home != NULL)))
        return -1;
    o->change.name = argv[optind];
    return 0;
}

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "imapd: %s%s%s\n", what, why != NULL ? ": " : "", why != NULL ? why : "");
    return -1;
}

static bool is_number(const char *s)
{
    char *end;
    if (s == NULL)
        return true;
    errno = 0;
    const unsigned long long n = isdigit((unsigned char)s[0]) ? strtoull(s, &end, 10) : 0;
    return isdigit((unsigned char)s[0]) && *end == '\0' && errno == 0 && n > 0 && n < UINT32_MAX;
}

static bool is_directory(const char *s)
{
    if (s == NULL)
        return true;
    for (const char *p = s; *p != '\0'; p++)
        if (*p == ':' || (unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    return s[0] == '/';
}

/* A name that SASLprep changes would never be found: clients that use SCRAM send it prepared. */
static bool is_name(const char *s)
{
    struct buf b = { 0 };
    const bool good = passwd_name_ok(s) && strchr(s, ':') == NULL && s[0] != '#' && saslprep(&b, str_z(s), true) == 0 && str_eq(buf_str(&b), str_z(s));
    buf_free(&b);
    return good;
}

static int check_options(const struct options *o)
{
    if (!is_name(o->change.name))
        return complain(o->change.name, "not a name for a user");
    if (!is_number(o->change.uid) || !is_number(o->change.gid))
        return complain("--uid and --gid want a number above 0", NULL);
    return is_directory(o->change.home) ? 0 : complain("--home wants a path that begins with / and has no colon", NULL);
}

/* Waits for input, or for a signal that ends the program: it comes when the terminal is as it was. 1 or 0. */
static int await_input(int signals)
{
    struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return 0;
    return fds[1].revents == 0;
}

/* A line without its end. 0, or -1: none, too long, or a NUL in it. */
static int read_line(struct buf *out, int signals)
{
    bool ended = false;
    (void)buf_room(out, PASSWORD_MAX + 2);
    while (!ended && out->len <= PASSWORD_MAX) {
        char c;
        if (signals >= 0 && !await_input(signals))
            return -1;
        const ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || (n == 0 && out->len == 0) || (n == 1 && c == '\0'))
            return -1;
        ended = n == 0 || c == '\n';
        if (!ended)
            buf_addc(out, (unsigned char)c);
    }
    return ended && out->len <= PASSWORD_MAX ? 0 : -1;
}

/* On a terminal, without echo. */
static int ask_once(struct buf *out, const char *prompt, int signals)
{
    struct termios old, quiet;
    if (tcgetattr(STDIN_FILENO, &old) != 0)
        return -1;
    quiet = old;
    quiet.c_lflag = (quiet.c_lflag & ~(tcflag_t)(ECHO | ECHOE | ECHOK)) | ECHONL;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) != 0)
        return -1;
    fputs(prompt, stderr);
    fflush(stderr);
    const int result = read_line(out, signals);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    return result;
}

static void wipe(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buf_free(b);
}

static int ask_twice(struct buf *out)
{
    static const int caught[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
    struct buf again = { 0 };
    sigset_t set, before;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        sigaddset(&set, caught[i]);
    (void)sigprocmask(SIG_BLOCK, &set, &before);
    const int signals = signalfd(-1, &set, SFD_CLOEXEC);
    int result = signals < 0 ? -1 : ask_once(out, "New password: ", signals);
    if (result == 0)
        result = ask_once(&again, "The same again: ", signals);
    if (signals >= 0)
        close(signals);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);         /* a signal that came takes effect here */
    if (result == 0 && !str_eq(buf_str(out), buf_str(&again)))
        result = complain("these are not the same", NULL);
    else if (result != 0)
        complain("no password, or one that is too long", NULL);
    wipe(&again);
    return result;
}

static int ask_password(struct buf *out)
{
    struct buf prepared = { 0 };
    int result = isatty(STDIN_FILENO) ? ask_twice(out) : read_line(out, -1);
    if (result != 0)
        return isatty(STDIN_FILENO) ? -1 : complain("no password on standard input, or one that is too long", NULL);
    if (out->len == 0)
        return complain("an empty password is none", NULL);
    if (saslprep(&prepared, buf_str(out), true) != 0)
        result = complain("the password has characters that must not be in one (RFC 4013), or is not UTF-8", NULL);
    wipe(&prepared);
    return result;
}

static int add_verifier(struct buf *out, enum scram_hash hash, const struct buf *password)
{
    struct scram_verifier v;
    if (scram_verifier_make(&v, hash, SCRAM_ITERATIONS, buf_str(password)) != 0)
        return -1;
    if (out->len > 0)
        buf_addc(out, ' ');
    buf_puts(out, hash == SCRAM_SHA_1 ? "scram-sha-1=" : "scram-sha-256=");
    scram_verifier_format(out, &v);
    explicit_bzero(&v, sizeof v);
    return 0;
}

static int set_password(const char *path, const struct config *c, struct passwd_change *change, struct passwd_result *r)
{
    char hash[HASH_MAX], uid[24], gid[24];
    struct buf password = { 0 }, verifiers = { 0 };
    const int known = passwd_file_has(path, change->name, r);
    const struct passwd *pw = known == 0 ? getpwnam(change->name) : NULL;
    if (pw != NULL && pw->pw_uid != 0 && pw->pw_gid != 0) {
        snprintf(uid, sizeof uid, "%lu", (unsigned long)pw->pw_uid);
        snprintf(gid, sizeof gid, "%lu", (unsigned long)pw->pw_gid);
        change->uid = change->uid != NULL ? change->uid : uid;
        change->gid = change->gid != NULL ? change->gid : gid;
        change->home = change->home != NULL || !is_directory(pw->pw_dir) ? change->home : pw->pw_dir;
    }
    if (known < 0)
        return complain(r->error, NULL);
    if (known == 0 && (change->uid == NULL || change->gid == NULL || change->home == NULL))
        return complain(change->name, "has no entry, and a new one needs --uid, --gid and --home");
    int result = ask_password(&password);
    if (result == 0)
        result = hash_make(password.data, hash);
    if (result == 0)
        result = add_verifier(&verifiers, SCRAM_SHA_256, &password);
    if (result == 0 && (config_lists(c->mechanisms, "SCRAM-SHA-1") || config_lists(c->mechanisms, "SCRAM-SHA-1-PLUS")))
        result = add_verifier(&verifiers, SCRAM_SHA_1, &password);
    wipe(&password);
    change->hash = hash;
    change->verifiers = verifiers.data;
    if (result == 0 && (result = passwd_file_change(path, change, r)) != 0)
        complain(r->error, NULL);
    explicit_bzero(hash, sizeof hash);
    wipe(&verifiers);
    return result;
}

int passwd_main(int argc, char **argv, const char *default_config)
{
    const struct rlimit none = { 0, 0 };
    struct options o = { .change = { .task = PASSWD_SET } };
    struct passwd_result r = { .error = "", .done = "" };
    struct config c;
    char err[400];
    if (getuid() != geteuid() || getgid() != getegid()) {
        complain("imapd must not be installed setuid or setgid", NULL);
        return NOT_DONE;
    }
    if (parse_options(&o, argc, argv) != 0) {
        fputs(usage, stderr);
        return USAGE;
    }
    log_to_stderr();
    (void)umask(077);
    (void)setrlimit(RLIMIT_CORE, &none);          /* a password is in our memory */
    (void)prctl(PR_SET_DUMPABLE, 0);
    if (check_options(&o) != 0)
        return USAGE;
    if (config_read(&c, o.config != NULL ? o.config : default_config, o.config == NULL, err, sizeof err) != 0) {
        complain(err, NULL);
        return NOT_DONE;
    }
    const char *path = o.file != NULL ? o.file : c.passwd_file;
    int result;
    if (path == NULL)
        result = complain("there is no setting passwd-file: say --file FILE", NULL);
    else if (o.change.task == PASSWD_SET)
        result = set_password(path, &c, &o.change, &r);
    else if ((result = passwd_file_change(path, &o.change, &r)) != 0)
        complain(r.error, NULL);
    if (result == 0)
        printf("%s %s\n", o.change.name, r.done);
    config_free(&c);
    return result == 0 ? DONE : NOT_DONE;
}
