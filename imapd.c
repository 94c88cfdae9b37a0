/*
 * imapd: start-up and roles, nothing else.
 *
 * Started as root by inetd, xinetd or a systemd socket unit: greet at once (everything else comes after the greeting, which is
 * on every connection's path), let the monitor find out who the client is (auth/), become that user, serve (session/).
 * Started as an ordinary user: serve that user's own mail, greeted with PREAUTH; but not to the network, unless told so.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/become.h"
#include "auth/channel.h"
#include "auth/early.h"
#include "auth/keeper.h"
#include "auth/sandbox.h"
#include "auth/slots.h"
#include "base/compat.h"
#include "base/config.h"
#include "base/log.h"
#include "base/xmalloc.h"
#include "doctor/doctor.h"
#include "maint.h"
#include "migrate/migrate.h"
#include "passwd.h"
#include "session/session.h"
#include "stat/stat.h"
#include "store/store.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

struct options {
    const char *config;                /* NULL: the default place, which may be empty */
    bool preauth, tls;
    enum maint_task task;
    bool migrating, moving_in, all;    /* --import or --export; --import; --all */
    const char *format, *quoting;      /* of those */
    const char *user, *backup;         /* of the offline tools */
    char **files;
    int n;
};

static const char synopsis[] =
    "usage: imapd [--config FILE] [--preauth | --tls]\n"
    "       imapd [--config FILE] [--user NAME] --check [FILE...]\n"
    "       imapd [--config FILE] [--user NAME] [--backup DIR] --repair FILE...\n"
    "       imapd [--config FILE] [--user NAME] --recover | --seal FILE...\n"
    "       imapd --doctor [--user NAME] ... (see --doctor --help)\n"
    "       imapd --stat [--json | --prometheus] [USER] (see --stat --help)\n"
    "       imapd --passwd ... NAME (see --passwd --help)\n"
    "       imapd [--config FILE] [--user NAME] [--all] [--quoting mboxrd|mboxo] --import maildir|mbox|eml PATH MAILBOX\n"
    "       imapd [--config FILE] [--user NAME] --export maildir|mbox|eml MAILBOX PATH\n"
    "       imapd --version | --help\n";

static const char explanation[] =
    "\n"
    "An IMAP server on standard input and output. As root, by inetd, xinetd or a systemd socket: login, then the user's mail.\n"
    "As an ordinary user: your own mail, already logged in (PREAUTH).\n"
    "\n"
    "  --config FILE   read settings from FILE, not from " SYSCONFDIR "/imapd/imapd.conf; see imapd.conf(5)\n"
    "  --preauth       serve the user's mail without login even on a network connection\n"
    "  --tls           TLS from the first octet on (port 993); without it STARTTLS is offered where tls-certificate is set\n"
    "  --check         say what is wrong in mailboxes (all of the user's without FILE); exit status 0 nothing, 1 something, 2 unread\n"
    "  --repair        mend what can be mended without losing an octet, after a copy (beside the file or in --backup DIR)\n"
    "  --recover       finish a change that a crash interrupted\n"
    "  --seal          write UIDs into the mailbox files\n"
    "  --import FORMAT bring messages from a maildir, an mbox or message files into a mailbox; run again, it goes on\n"
    "  --all           of a maildir: its folders, too\n"
    "  --quoting STYLE how an mbox to be imported quotes From_ lines, if not as the setting says\n"
    "  --export FORMAT write a mailbox as a maildir, an mbox or message files\n"
    "  --user NAME     as root: work as this user\n"
    "  --passwd        make or change an entry of the passwd-file\n"
    "  --doctor        look for what is set up wrongly, and name what mends it\n"
    "  --stat          who is connected, doing what, how much\n"
    "  --version       print the version\n"
    "  --help          print this\n";

static void __attribute__((noreturn)) misused(const char *why, int status)
{
    if (why != NULL)
        fprintf(stderr, "imapd: %s\n", why);
    fputs(synopsis, stderr);
    exit(status);
}

static void set_task(struct options *o, enum maint_task task)
{
    if (o->task != MAINT_NONE || o->migrating)
        misused("one of --check, --repair, --recover, --seal, --import and --export at a time", 2);
    o->task = task;
}

static void set_migration(struct options *o, bool moving_in, const char *format)
{
    set_task(o, MAINT_NONE);
    o->migrating = true;
    o->moving_in = moving_in;
    o->format = format;
}

static bool offline(const struct options *o)
{
    return o->task != MAINT_NONE || o->migrating;
}

static const char *migration_misfit(const struct options *o)
{
    enum source_kind kind;
    if (!migrate_kind(o->format, &kind))
        return "--import and --export take one of maildir, mbox and eml";
    if (o->n != 2)
        return o->moving_in ? "--import needs a path and a mailbox" : "--export needs a mailbox and a path";
    if (o->all && !(o->moving_in && kind == SOURCE_MAILDIR))
        return "--all is for --import maildir";
    if (o->quoting != NULL && !(o->moving_in && kind == SOURCE_MBOX))
        return "--quoting is for --import mbox";
    if (o->quoting != NULL && strcmp(o->quoting, "mboxo") != 0 && strcmp(o->quoting, "mboxrd") != 0)
        return "--quoting takes mboxrd or mboxo";
    return NULL;
}

/* What belongs to a task is there, and nothing that belongs to another: NULL; or what is wrong. */
static const char *misfit(const struct options *o)
{
    if (o->backup != NULL && o->task != MAINT_REPAIR)
        return "--backup is for --repair";
    if (o->migrating)
        return migration_misfit(o);
    if (o->all || o->quoting != NULL)
        return "--all and --quoting are for --import";
    if (o->task == MAINT_NONE && o->user != NULL)
        return "--user is for --check, --repair, --recover, --seal, --import, --export and --doctor";
    if (o->task == MAINT_NONE && o->n > 0)
        return "what is to be done with these files?";
    return o->task != MAINT_NONE && o->task != MAINT_CHECK && o->n == 0 ? "name a mailbox" : NULL;
}

static void parse_options(struct options *o, int argc, char **argv)
{
    enum { CONFIG = 1, PREAUTH, TLS, CHECK, REPAIR, RECOVER, SEAL, USER, BACKUP, IMPORT, EXPORT, ALL, QUOTING,
           VERSION, HELP };
    static const struct option names[] = {
        { "config", required_argument, NULL, CONFIG }, { "preauth", no_argument, NULL, PREAUTH },
        { "tls", no_argument, NULL, TLS },
        { "check", no_argument, NULL, CHECK }, { "repair", no_argument, NULL, REPAIR },
        { "recover", no_argument, NULL, RECOVER }, { "seal", no_argument, NULL, SEAL },
        { "user", required_argument, NULL, USER }, { "backup", required_argument, NULL, BACKUP },
        { "import", required_argument, NULL, IMPORT }, { "export", required_argument, NULL, EXPORT },
        { "all", no_argument, NULL, ALL }, { "quoting", required_argument, NULL, QUOTING },
        { "version", no_argument, NULL, VERSION }, { "help", no_argument, NULL, HELP }, { NULL, 0, NULL, 0 }
    };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case CONFIG: o->config = optarg; break;
        case PREAUTH: o->preauth = true; break;
        case TLS: o->tls = true; break;
        case CHECK: set_task(o, MAINT_CHECK); break;
        case REPAIR: set_task(o, MAINT_REPAIR); break;
        case RECOVER: set_task(o, MAINT_RECOVER); break;
        case SEAL: set_task(o, MAINT_SEAL); break;
        case USER: o->user = optarg; break;
        case BACKUP: o->backup = optarg; break;
        case IMPORT: set_migration(o, true, optarg); break;
        case EXPORT: set_migration(o, false, optarg); break;
        case ALL: o->all = true; break;
        case QUOTING: o->quoting = optarg; break;
        case VERSION: puts("imapd " PACKAGE_VERSION); exit(0);
        case HELP: fputs(synopsis, stdout); fputs(explanation, stdout); exit(0);
        default: misused(NULL, EX_USAGE);
        }
    }
    o->files = argv + optind;
    o->n = argc - optind;
    const char *why = misfit(o);
    if (why != NULL)
        misused(why, offline(o) ? 2 : EX_USAGE);
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        const ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

/* Something is wrong before a session is there to say so: tell the client and the log. */
static int give_up(const char *why)
{
    struct buf line = { 0 };
    log_error("%s", why);
    buf_printf(&line, "* BYE [UNAVAILABLE] %s\r\n", "the server is not set up rightly, its log says more");
    (void)write_all(STDOUT_FILENO, line.data, line.len);
    buf_free(&line);
    return EX_CONFIG;
}

/* The same, where plaintext must not be sent. */
static int give_up_quietly(const char *why)
{
    log_error("%s", why);
    return EX_CONFIG;
}

/* Descriptors 0 to 2 are open, stderr is not the connection (inetd makes it so: a library's message must not get into the
 * protocol), and whatever else the super-server left open is closed. */
static bool tidy_descriptors(bool root)
{
    struct stat in, err;
    const bool has_err = fstat(STDERR_FILENO, &err) == 0;
    if (fstat(STDIN_FILENO, &in) != 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0)
        return false;
    if (!has_err || (S_ISSOCK(in.st_mode) && in.st_dev == err.st_dev && in.st_ino == err.st_ino)) {
        const int null = open("/dev/null", O_RDWR);
        if (null < 0 || (null != STDERR_FILENO && dup2(null, STDERR_FILENO) < 0))
            return false;
    }
    if (root)
        (void)close_range(STDERR_FILENO + 1, ~0u, 0);
    return true;
}

/* The greeter's way to ask the monitor. */
struct greeting {
    const struct config *config;
    struct peer peer;
    bool greeted, implicit_tls;
    bool tls_before;                   /* TLS was on when pending came: what came before a handshake is forgotten at it */
    struct str pending;                /* of the session before, with UNAUTHENTICATE */
    int rules;                         /* of sandbox_begin, for the next session */
};

static enum login_result result_of(enum channel_reply reply)
{
    switch (reply) {
    case CHANNEL_OK:
    case CHANNEL_GRANTED: return LOGIN_GRANTED;
    case CHANNEL_DENIED: return LOGIN_DENIED;
    case CHANNEL_TOO_MANY: return LOGIN_TOO_MANY;
    case CHANNEL_CONTINUE: return LOGIN_CONTINUE;
    case CHANNEL_VERIFIED: return LOGIN_VERIFIED;
    case CHANNEL_LIMIT: return LOGIN_LIMIT;
    case CHANNEL_UNAVAILABLE: break;
    }
    return LOGIN_UNAVAILABLE;
}

static enum login_result ask_check(void *ctx, const char *mechanism, struct str authzid, struct str user, struct str password)
{
    return result_of(channel_login(*(const int *)ctx, mechanism, authzid, user, password));
}

static enum login_result ask(void *ctx, enum channel_type type, const struct str *fields, size_t n, struct buf *text)
{
    return result_of(channel_ask(*(const int *)ctx, type, fields, n, text));
}

static enum login_result ask_external(void *ctx, struct str authzid)
{
    return ask(ctx, CHANNEL_EXTERNAL, &authzid, 1, NULL);
}

static enum login_result ask_anonymous(void *ctx, struct str trace)
{
    return ask(ctx, CHANNEL_ANONYMOUS, &trace, 1, NULL);
}

static enum login_result ask_step(void *ctx, const char *mechanism, struct str message, struct buf *reply)
{
    const struct str fields[] = { mechanism != NULL ? str_z(mechanism) : message, message };
    return mechanism != NULL ? ask(ctx, CHANNEL_MECHANISM, fields, 2, reply) : ask(ctx, CHANNEL_STEP, &message, 1, reply);
}

static enum login_result ask_scram_first(void *ctx, const char *mechanism, struct str gs2, struct str authzid, struct str user,
                                         struct str bare, struct buf *server_first)
{
    const struct str fields[] = { str_z(mechanism), gs2, authzid, user, bare };
    return ask(ctx, CHANNEL_SCRAM, fields, sizeof fields / sizeof *fields, server_first);
}

static enum login_result ask_scram_final(void *ctx, struct str proof, struct buf *server_final)
{
    return ask(ctx, CHANNEL_PROOF, &proof, 1, server_final);
}

static enum login_result ask_claim(void *ctx)
{
    return ask(ctx, CHANNEL_CLAIM, NULL, 0, NULL);
}

static enum login_result ask_starttls(void *ctx)
{
    return ask(ctx, CHANNEL_STARTTLS, NULL, 0, NULL);
}

/* Runs in the confined child (monitor_hooks). */
static void greet(void *ctx, const struct peer *peer, bool greeted, int in, int out, int channel)
{
    const struct greeting *g = ctx;
    if (g->rules >= 0)
        close(g->rules);
    const struct greeter_settings settings = {
        .config = g->config,
        .login = { .check = ask_check, .external = ask_external, .anonymous = ask_anonymous, .step = ask_step,
                   .scram_first = ask_scram_first, .scram_final = ask_scram_final, .claim = ask_claim, .starttls = ask_starttls,
                   .ctx = &channel },
        .offers = auth_offers(g->config, peer),
        .greeted = greeted,
        .pending = peer->tls.on == g->tls_before ? g->pending : STR(""),
        .in = in,
        .out = out
    };
    struct greeter_result result = { 0 };
    greeter_run(&settings, &result);
    if (result.granted)
        channel_hand_over(channel, buf_str(&result.tag), buf_str(&result.pending));
}

/* What a login will need, while the greeter starts and the client thinks (monitor_hooks). */
static void meanwhile(void *ctx)
{
    struct greeting *g = ctx;
    early_load(g->config->system_users, g->config->pam_service == NULL);
    g->rules = sandbox_begin();
}

/* The text of the greeting (monitor_hooks). */
static char *greeting(void *ctx, const struct peer *peer)
{
    const struct greeting *g = ctx;
    struct buf line = { 0 };
    session_greeting(&line, g->config, false, auth_offers(g->config, peer));
    buf_addc(&line, '\0');
    return line.data;
}

static void warn(const char *text)
{
    log_warning("%s", text);
}

/* A damaged index makes its library fault: while nothing was said yet it is made anew; later the client must come again. */
static int run_session(const struct config *c, const struct store_settings *settings, const char *address, struct slot *slot, int report,
                       struct str tag, struct str pending)
{
    static const char bye[] = "* BYE [UNAVAILABLE] The index was damaged and is made anew: please log in again\r\n";
    static volatile bool opened, again;
    struct store_error error;
    struct store *store = NULL;
    struct buf unread = { 0 };
    bool again_login = false;
    sigjmp_buf back;
    if (sigsetjmp(back, 1) != 0) {
        store_watch(NULL, NULL);
        store_give_up(settings);
        warn("the index was damaged: set aside as data.mdb.damaged");
        if (opened || again) {
            write_all(STDOUT_FILENO, bye, sizeof bye - 1);
            return 0;
        }
        again = true;
    }
    store_watch(NULL, &back);
    if (store_open(&store, settings, warn, &error) != 0)
        return give_up(store_why(&error));
    opened = true;
    store_watch(store, &back);
    const struct session_settings session = {
        .config = c, .store = store, .user = settings->user, .address = address, .login_tag = tag, .pending = pending,
        .in = STDIN_FILENO, .out = STDOUT_FILENO, .slot = slot, .unauthenticated = report >= 0 ? &again_login : NULL, .unread = &unread
    };
    int status = session_run(&session);
    store_watch(NULL, NULL);
    store_close(store);
    if (again_login && keeper_report(report, buf_str(&unread)) != 0)
        status = EX_PROTOCOL;
    buf_free(&unread);
    return status;
}

/* The session of a user whom this process is already. rules: as of sandbox_begin, or UNCONFINED. report: where UNAUTHENTICATE is told, -1:
 * not offered. slot: may be NULL. */
enum { UNCONFINED = -2 };
static int serve(const struct config *c, const struct account *a, const char *address, int locker_fd, int rules, struct slot *slot, int report,
                 struct str tag, struct str pending)
{
    char *inbox = config_expand(c->inbox, a->name, a->home);
    char *index_dir = config_index_dir(c, a->name, a->home), *journal_dir = config_journal_dir(c, a->name, a->home);
    const struct store_settings settings = {
        .user = a->name,
        .home = a->home,
        .inbox_path = inbox,
        .mail_root = c->mail_root,
        .index_dir = index_dir,
        .journal_dir = journal_dir,
        .mboxo = c->quoting == QUOTING_MBOXO,
        .lock_timeout = c->lock_timeout,
        .seal_limit = c->seal_limit,
        .durable_flags = c->durable_flags,
        .list_depth = c->list_depth,
        .list_count = c->list_count,
        .locker_fd = locker_fd
    };
    const struct sandbox sandbox = { rules, a->home, inbox, index_dir, journal_dir, c->session_sockets, c->require_sandbox };
    const bool confined = rules == UNCONFINED || sandbox_session(&sandbox) == 0;
    const int status = confined ? run_session(c, &settings, address, slot, report, tag, pending) : give_up("require-sandbox: the kernel cannot confine sessions");
    free(inbox);
    free(index_dir);
    free(journal_dir);
    return status;
}

/* One login, and the session that follows. True: the client said UNAUTHENTICATE, this is the process that stayed root, and g has
 * what the client sent after it, in unread. */
static bool one_user(const struct config *c, struct greeting *g, struct buf *unread, int *status)
{
    const struct monitor_hooks hooks = { .greet = greet, .meanwhile = meanwhile, .greeting = greeting, .ctx = g };
    struct account account = { 0 };
    struct buf tag = { 0 }, pending = { 0 };
    int locker_fd = -1, report = -1;
    enum keeper part = KEEPER_OVER;
    g->tls_before = g->peer.tls.on;
    g->rules = -1;
    if (monitor_ask(c, &g->peer, g->implicit_tls, g->greeted, &hooks, &account, &tag, &pending) == 0)
        part = c->unauthenticate ? keeper_split(&report, unread) : KEEPER_SESSION;
    struct slot *slot = part == KEEPER_SESSION ? slots_take(c->state_file, account.name, g->peer.address, g->peer.tls.on || g->peer.proxy_tls) : NULL;
    if (part == KEEPER_SESSION && become_user(c, &account, &locker_fd) == 0 && (report < 0 || keeper_bind(report) == 0))
        *status = serve(c, &account, g->peer.address, locker_fd, g->rules, slot, report, buf_str(&tag), buf_str(&pending));
    else if (g->rules >= 0)
        close(g->rules);
    account_free(&account);
    buf_free(&tag);
    buf_free(&pending);
    g->pending = buf_str(unread);
    return part == KEEPER_AGAIN;
}

static int run_as_root(struct config *c, bool implicit_tls)
{
    enum { USERS = 1000 };               /* each has login-attempts guesses; who needs more connects again */
    struct greeting g = { .config = c, .implicit_tls = implicit_tls };
    struct buf unread = { 0 };
    int status = 0;
    (void)clearenv();
    if (getppid() == 1)
        c->tls_linger = 0;               /* systemd ends what a service leaves behind */
    peer_find(&g.peer, STDIN_FILENO, c);
    if (implicit_tls && c->tls_certificate == NULL)
        return give_up_quietly("--tls needs the setting tls-certificate");
    if (!implicit_tls && !peer_is_proxy(&g.peer, c)) {
        char *text = greeting(&g, &g.peer);
        const bool written = write_all(STDOUT_FILENO, text, strlen(text));
        free(text);
        if (!written)
            return 0;
        g.greeted = true;
    }
    int users = 1;
    while (one_user(c, &g, &unread, &status)) {
        static const char bye[] = "* BYE Too many users on one connection\r\n";
        g.greeted = true;                /* by a greeter, if a PROXY header came first */
        if (++users > USERS) {
            write_all(STDOUT_FILENO, bye, sizeof bye - 1);
            break;
        }
    }
    buf_free(&unread);
    return status;
}

/* $HOME, if it is the user's own directory (so that a session can be tried on other mail), else what the system says. */
static char *own_home(const struct passwd *pw)
{
    const char *home = getenv("HOME");
    struct stat st;
    if (home != NULL && home[0] == '/' && stat(home, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == getuid())
        return xstrdup(home);
    return xstrdup(pw != NULL ? pw->pw_dir : "/nonexistent");
}

static int run_as_user(const struct config *c, bool network_too)
{
    struct peer peer;
    char number[24];
    peer_find(&peer, STDIN_FILENO, c);
    if (peer.network && !network_too)
        return give_up("started without root on a network connection: no login possible (imapd(8), --preauth)");
    const struct passwd *pw = getpwuid(getuid());
    snprintf(number, sizeof number, "%lu", (unsigned long)getuid());
    struct account account = {
        .name = xstrdup(pw != NULL ? pw->pw_name : number), .home = own_home(pw), .uid = getuid(), .gid = getgid(), .system = true
    };
    struct config own = *c;
    own.unauthenticate = false;          /* there is nobody to become */
    const int status = serve(&own, &account, peer.address, -1, UNCONFINED, NULL, -1, (struct str){ "", 0 }, (struct str){ "", 0 });
    account_free(&account);
    return status;
}

/* root works as the user named, never on a user's files with its own rights: links and names there are the user's. */
static int run_offline(const struct config *c, const struct options *o, bool root)
{
    int locker_fd = -1;
    if (root != (o->user != NULL)) {
        fputs(root ? "imapd: root must say whose mail it is: --user NAME\n" : "imapd: --user is for root\n", stderr);
        return 2;
    }
    const struct passwd *pw = root ? getpwnam(o->user) : getpwuid(getuid());
    char number[24];
    snprintf(number, sizeof number, "%lu", (unsigned long)getuid());
    if (root && (pw == NULL || pw->pw_uid == 0)) {
        fprintf(stderr, "imapd: %s: %s\n", o->user, pw == NULL ? "no such user" : "is root");
        return 2;
    }
    struct account a = {
        .name = xstrdup(pw != NULL ? pw->pw_name : number), .home = root ? xstrdup(pw->pw_dir) : own_home(pw),
        .uid = root ? pw->pw_uid : getuid(), .gid = root ? pw->pw_gid : getgid(), .system = true
    };
    int status = 2;
    if (!root || become_user(c, &a, &locker_fd) == 0) {
        struct migrate g = { .config = c, .account = &a, .import = o->moving_in, .all = o->all, .has_quoting = o->quoting != NULL,
                             .mboxo = o->quoting != NULL && strcmp(o->quoting, "mboxo") == 0, .locker_fd = locker_fd };
        const struct maint m = { .task = o->task, .config = c, .account = &a, .backup_dir = o->backup, .locker_fd = locker_fd,
                                 .files = o->files, .n = o->n };
        if (o->migrating) {
            (void)migrate_kind(o->format, &g.kind);
            g.path = o->files[o->moving_in ? 0 : 1];
            g.mailbox = o->files[o->moving_in ? 1 : 0];
        }
        status = o->migrating ? migrate_run(&g) : maint_run(&m);
    }
    account_free(&a);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = { 0 };
    struct config config;
    char err[400];
    const bool root = geteuid() == 0;
    if (!tidy_descriptors(root))
        return EX_OSERR;
    if (passwd_wanted(argc, argv))
        return passwd_main(argc, argv, SYSCONFDIR "/imapd/imapd.conf");
    if (stat_wanted(argc, argv))
        return stat_main(argc, argv, SYSCONFDIR "/imapd/imapd.conf");
    if (doctor_wanted(argc, argv))
        return doctor_main(argc, argv, SYSCONFDIR "/imapd/imapd.conf");
    parse_options(&options, argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    if (!root || isatty(STDERR_FILENO))
        log_to_stderr();
    if (getuid() != geteuid() || getgid() != getegid())
        return give_up("imapd must not be installed setuid or setgid");
    if (!root && options.tls)
        return give_up_quietly("--tls is for the server that root starts: an ordinary user has no login to protect");
    if (root && options.preauth)
        return give_up("--preauth is for ordinary users: root has no mail to serve");
    const char *path = options.config != NULL ? options.config : SYSCONFDIR "/imapd/imapd.conf";
    int status;
    if (config_read(&config, path, options.config == NULL, err, sizeof err) != 0) {
        if (offline(&options))
            fprintf(stderr, "imapd: %s\n", err);
        status = offline(&options) ? 2 : options.tls ? give_up_quietly(err) : give_up(err);
    } else if (offline(&options))
        status = run_offline(&config, &options, root);
    else
        status = root ? run_as_root(&config, options.tls) : run_as_user(&config, options.preauth);
    config_free(&config);
    return status;
}
