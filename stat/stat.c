/*
 * Runs as root or as a user: imapd --stat, its options.
 */
#include "stat/stat.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/log.h"
#include "stat/collect.h"

static const char usage[] =
    "usage: imapd --stat [--config FILE] [--json | --prometheus] [USER]\n"
    "\n"
    "Who is connected, doing what, and how much. As root all sessions, or those of USER; as a user your own, without details.\n"
    "\n"
    "  --json         as JSON; also --stat=json\n"
    "  --prometheus   as text for node_exporter's textfile collector; also --stat=prometheus\n"
    "\n"
    "Exit status: 0 all was told, 1 something could not be read or written, 2 the arguments make no sense.\n";

struct options {
    const char *config, *user;
    void (*write)(FILE *out, const struct connections *c);
    bool help;
};

bool stat_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--stat") == 0 || strncmp(argv[i], "--stat=", 7) == 0)
            return true;
    return false;
}

static bool set_form(struct options *o, const char *name)
{
    if (strcmp(name, "json") == 0)
        o->write = write_json;
    else if (strcmp(name, "prometheus") == 0)
        o->write = write_prometheus;
    else if (strcmp(name, "table") == 0)
        o->write = write_table;
    else
        return false;
    return true;
}

static bool parse_options(struct options *o, int argc, char **argv)
{
    enum { STAT = 1, CONFIG, JSON, PROMETHEUS, HELP };
    static const struct option names[] = { { "stat", optional_argument, NULL, STAT },
                                           { "config", required_argument, NULL, CONFIG },
                                           { "json", no_argument, NULL, JSON },
                                           { "prometheus", no_argument, NULL, PROMETHEUS },
                                           { "help", no_argument, NULL, HELP },
                                           { NULL, 0, NULL, 0 } };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case STAT:
            if (optarg != NULL && !set_form(o, optarg))
                return false;
            break;
        case CONFIG: o->config = optarg; break;
        case JSON: o->write = write_json; break;
        case PROMETHEUS: o->write = write_prometheus; break;
        case HELP: o->help = true; break;
        default: return false;
        }
    }
    if (optind < argc)
        o->user = argv[optind++];
    return optind == argc;
}

/* An ordinary user may ask for himself only. */
static bool may_ask(const struct options *o)
{
    const struct passwd *pw = getpwuid(getuid());
    return o->user == NULL || geteuid() == 0 || (pw != NULL && strcmp(pw->pw_name, o->user) == 0);
}

static int tell(const struct options *o, const char *state_file)
{
    struct connections c;
    int status = 0;
    if (collect(&c, state_file, o->user, geteuid() == 0) != 0) {
        fprintf(stderr, "imapd: state-file %s: %s; what follows is only what /proc says\n", state_file, strerror(errno));
        status = 1;
    }
    o->write(stdout, &c);
    collect_free(&c);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "imapd: %s\n", strerror(errno));
        status = 1;
    }
    return status;
}

int stat_main(int argc, char **argv, const char *default_config)
{
    struct options o = { .write = write_table };
    struct config config;
    char err[400];
    if (!parse_options(&o, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (o.help) {
        fputs(usage, stdout);
        return 0;
    }
    if (!may_ask(&o)) {
        fputs("imapd: only root may ask for other users\n", stderr);
        return 2;
    }
    log_to_stderr();
    if (geteuid() != 0)
        return tell(&o, NULL);
    if (config_read(&config, o.config != NULL ? o.config : default_config, o.config == NULL, err, sizeof err) != 0) {
        fprintf(stderr, "imapd: %s\n", err);
        return 2;
    }
    const int status = tell(&o, config.state_file);
    config_free(&config);
    return status;
}
