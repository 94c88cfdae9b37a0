/*
 * Runs as root or as a user: imapd --doctor, its options and the order of what is looked at. What lies in users' hands is looked
 * at by a process that has become the user, and told through a pipe.
 */
#include "doctor/doctor.h"

#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/become.h"
#include "auth/users.h"
#include "base/log.h"
#include "base/xmalloc.h"
#include "doctor/examine.h"

enum { USER_PATIENCE = 60, MOST_USERS = 100000 };

static const char usage[] =
    "usage: imapd --doctor [--config FILE] [--json] [--user NAME | --login NAME]\n"
    "\n"
    "Looks for what is set up wrongly and names what mends it; changes nothing. Root looks at all users' INBOXes.\n"
    "\n"
    "  --user NAME    as root: look at this user's index and locks too, and run a session as this user\n"
    "  --login NAME   the same\n"
    "  --json         the findings as JSON\n"
    "\n"
    "Exit status: 0 nothing is wrong, 1 there are warnings, 2 there are errors.\n";

bool doctor_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--doctor") == 0)
            return true;
    return false;
}

struct options {
    const char *config, *user;
    bool json, help;
};

static bool parse_options(struct options *o, int argc, char **argv)
{
    enum { DOCTOR = 1, CONFIG, USER, JSON, HELP };
    static const struct option names[] = { { "doctor", no_argument, NULL, DOCTOR },
                                           { "config", required_argument, NULL, CONFIG },
                                           { "user", required_argument, NULL, USER },
                                           { "login", required_argument, NULL, USER },
                                           { "json", no_argument, NULL, JSON },
                                           { "help", no_argument, NULL, HELP },
                                           { NULL, 0, NULL, 0 } };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case DOCTOR: break;
        case CONFIG: o->config = optarg; break;
        case USER: o->user = optarg; break;
        case JSON: o->json = true; break;
        case HELP: o->help = true; break;
        default: return false;
        }
    }
    return optind == argc;
}

/* In a process of its own, as that user. */
static void as_user(const struct patient *p, const struct account *a)
{
    int ends[2], status = 0, locker_fd = -1;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        struct report told = { .out = fdopen(ends[1], "w"), .form = REPORT_RECORDS };
        struct patient own = *p;
        own.report = &told;
        close(ends[0]);
        (void)alarm(USER_PATIENCE);
        if (told.out == NULL || (p->root && become_user(p->config, a, &locker_fd) != 0))
            _exit(1);
        examine_index(&own, a, locker_fd);
        fflush(told.out);
        _exit(0);
    }
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    if (in != NULL) {
        report_relay(p->report, in);
        fclose(in);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return;
    if (WIFSIGNALED(status))
        report_found(p->report, MARK_ERROR, "index",
                     FIX("rm -r the index-dir of %s (%s): it is made anew", a->name, p->config->index_dir),
                     WTERMSIG(status) == SIGALRM ? "looking at the index of %s took too long"
                                                 : "the index of %s is damaged: reading it fails",
                     a->name);
    else if (WEXITSTATUS(status) != 0)
        report_found(p->report, MARK_ERROR, "index", "the log", "cannot work as user %s", a->name);
}

static struct account account_of(const struct passwd *pw)
{
    return (struct account){
        .name = xstrdup(pw->pw_name), .home = xstrdup(pw->pw_dir), .uid = pw->pw_uid, .gid = pw->pw_gid, .system = true
    };
}

/* Is there a line for the name in the text of a passwd-file, which then says whose INBOX it is? */
static bool has_entry(const char *text, const char *name)
{
    const size_t n = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, n) == 0 && line[n] == ':')
            return true;
    return false;
}

/* Those of the system's users; examine_credentials looks at those of the passwd-file. */
static void all_inboxes(const struct patient *p)
{
    if (!p->config->system_users)
        return;
    char *overriding = p->config->passwd_file != NULL ? read_text(p->config->passwd_file, NULL) : NULL;
    setpwent();
    for (int i = 0; i < MOST_USERS; i++) {
        const struct passwd *pw = getpwent();
        if (pw == NULL)
            break;
        if (pw->pw_uid < p->config->first_uid || strcmp(pw->pw_name, "nobody") == 0)
            continue;
        struct account a = account_of(pw);
        if (!has_entry(overriding, a.name))
            examine_inbox(p, &a);
        account_free(&a);
    }
    endpwent();
    free(overriding);
}

static void one_user(const struct patient *p, const struct account *a)
{
    as_user(p, a);
    examine_session(p, a);
}

/* Why an account is refused (auth/users.c), and what helps. */
static void refused(const struct patient *p, const char *name, const char *why)
{
    static const struct {
        const char *why, *text, *fix;
    } reasons[] = {
        { "unknown", "is no user of this system or the passwd-file", "name an ordinary user" },
        { "uid", "has a uid below first-uid", "log in as another user, or lower first-uid" },
        { "root", "is root, or of its group", "name an ordinary user" },
        { "locked", "has a password that is locked", "usermod -U NAME, or imapd --passwd --unlock NAME" },
        { "expired", "has an account that has expired", "chage -E -1 NAME" },
        { "password-must-change", "must change the password first", "passwd NAME" },
        { "password-expired", "has a password that has expired", "passwd NAME, or chage -M -1 NAME" },
        { "shell", "has the shell nologin or false", "chsh -s /bin/sh NAME, or an entry in passwd-file" },
        { "home", "has no home directory", "usermod -d DIRECTORY NAME" },
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strcmp(why, reasons[i].why) == 0) {
            report_found(p->report, MARK_ERROR, "session", reasons[i].fix, "%s %s: no login", name, reasons[i].text);
            return;
        }
    report_found(p->report, MARK_ERROR, "session", "the findings above, or the log", "%s cannot log in (%s)", name, why);
}

/* Of a user whom root names: what a login would find. */
static void named_user(const struct patient *p, const char *name)
{
    struct account a = { 0 };
    const char *why = "";
    if (users_account(p->config, name, &a, &why) != USERS_GRANTED) {
        refused(p, name, why);
        const struct passwd *pw = p->config->system_users ? getpwnam(name) : NULL;
        if (pw == NULL || pw->pw_uid == 0)
            return;
        a = account_of(pw);
    }
    one_user(p, &a);
    account_free(&a);
}

/* Of the user who asks. */
static void own_user(const struct patient *p, const struct passwd *pw)
{
    struct account a = account_of(pw);
    const char *home = getenv("HOME");
    struct stat st;
    if (home != NULL && home[0] == '/' && stat(home, &st) == 0 && st.st_uid == getuid()) {
        free(a.home); /* as a session does it */
        a.home = xstrdup(home);
    }
    examine_inbox(p, &a);
    one_user(p, &a);
    account_free(&a);
}

static void server(const struct patient *p)
{
    examine_kernel(p);
    examine_spool(p);
    if (p->root)
        all_inboxes(p);
    examine_locking(p);
    examine_tls(p);
    if (p->root) {
        examine_credentials(p);
        examine_greeter(p);
    }
    examine_listeners(p);
}

static void examine(struct report *r, const struct options *o, const char *path)
{
    struct config config;
    const bool root = geteuid() == 0;
    struct stat st;
    const struct patient p = { .report = r, .config = &config, .config_path = o->config, .root = root };
    examine_file(r, &config, path, o->config == NULL, root);
    examine_settings(&p);
    if (stat("/proc/self/exe", &st) == 0 && ((st.st_mode & 0022) != 0 || (st.st_mode & 06000) != 0))
        report_found(r, MARK_ERROR, "configuration", "chmod 755 the program imapd",
                     "the program imapd has mode %04o: it must not be setuid, setgid, or writable by others",
                     (unsigned)st.st_mode & 07777u);
    server(&p);
    if (root)
        examine_session(&p, NULL);
    const struct passwd *pw = root ? NULL : getpwuid(getuid());
    if (o->user != NULL)
        named_user(&p, o->user);
    else if (pw != NULL)
        own_user(&p, pw);
    config_free(&config);
}

int doctor_main(int argc, char **argv, const char *default_config)
{
    struct options o = { 0 };
    const char *no_color = getenv("NO_COLOR");
    if (!parse_options(&o, argc, argv) || (o.user != NULL && geteuid() != 0)) {
        fputs(usage, stderr);
        return 2;
    }
    if (o.help) {
        fputs(usage, stdout);
        return 0;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    log_to_stderr();
    struct report r = { .out = stdout,
                        .form = o.json ? REPORT_JSON : REPORT_TEXT,
                        .colours = !o.json && isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0') };
    report_begin(&r);
    examine(&r, &o, o.config != NULL ? o.config : default_config);
    report_end(&r);
    return ferror(stdout) != 0 ? 2 : report_status(&r);
}
