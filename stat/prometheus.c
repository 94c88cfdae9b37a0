/*
 * imapd --stat --prometheus: the text format that node_exporter's textfile collector reads. Labels are states and users only: what a
 * client chooses, such as a mailbox's name, would make a series of its own each.
 */
#include <string.h>

#include "stat/collect.h"

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP imapd_%s %s\n# TYPE imapd_%s %s\n", name, help, name, type);
}

static void sample(FILE *out, const char *name, const char *label, const char *value, double number)
{
    fprintf(out, "imapd_%s", name);
    if (label != NULL) {
        fprintf(out, "{%s=", label);
        text_label(out, value);
        putc('}', out);
    }
    fprintf(out, " %.15g\n", number);
}

static void states(FILE *out, const struct connections *c)
{
    size_t of[DOINGS] = { 0 }, tls = 0;
    int64_t longest = 0;
    for (size_t i = 0; i < c->n; i++) {
        of[c->list[i].doing]++;
        tls += c->list[i].tls;
        if (is_at_work(&c->list[i]) && c->list[i].command_ms > longest)
            longest = c->list[i].command_ms;
    }
    head(out, "sessions", "gauge", "Connections now, by state; login: not logged in yet, unknown: sessions that tell nothing.");
    for (int d = 0; d < DOINGS; d++)
        sample(out, "sessions", "state", doing_name((enum doing)d), (double)of[d]);
    head(out, "sessions_tls", "gauge", "Sessions over TLS now.");
    sample(out, "sessions_tls", NULL, NULL, (double)tls);
    head(out, "longest_command_seconds", "gauge", "For how long the oldest command that is not IDLE has run; 0: none runs.");
    sample(out, "longest_command_seconds", NULL, NULL, (double)longest / 1000);
}

/* Of all sessions of a user, which stand one after the other. */
static double one(const struct connection *c) { (void)c; return 1; }
static double memory(const struct connection *c) { return (double)c->memory; }
static double cpu(const struct connection *c) { return (double)c->cpu_ms / 1000; }

static void users(FILE *out, const struct connections *c, const char *name, const char *help, double (*value)(const struct connection *c))
{
    head(out, name, "gauge", help);
    for (size_t i = 0; i < c->n;) {
        const char *user = c->list[i].user;
        double sum = 0;
        for (; i < c->n && strcmp(c->list[i].user, user) == 0; i++)
            sum += value(&c->list[i]);
        if (user[0] != '\0')
            sample(out, name, "user", user, sum);
    }
}

static void totals(FILE *out, const struct census_totals *t)
{
    const struct {
        const char *name, *help;
        uint64_t number;
    } rows[] = {
        { "connections_total", "Connections that came.", t->connections },
        { "connections_refused_total", "Connections refused: max-connections-per-address.", t->connections_refused },
        { "logins_total", "Logins.", t->logins },
        { "logins_refused_total", "Logins refused: wrong passwords, max-sessions-per-user.", t->logins_refused },
        { "commands_total", "Commands of sessions.", t->commands },
        { "received_bytes_total", "Octets that sessions have received.", t->octets_in },
        { "sent_bytes_total", "Octets that sessions have sent.", t->octets_out },
        { "messages_fetched_total", "Messages fetched.", t->fetched },
        { "messages_appended_total", "Messages appended or copied.", t->appended },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        head(out, rows[i].name, "counter", rows[i].help);
        sample(out, rows[i].name, NULL, NULL, (double)rows[i].number);
    }
}

void write_prometheus(FILE *out, const struct connections *c)
{
    states(out, c);
    users(out, c, "user_sessions", "Sessions of a user now.", one);
    users(out, c, "user_memory_bytes", "Memory of a user's sessions now, of their own.", memory);
    users(out, c, "user_cpu_seconds", "Processor time that a user's sessions of now have taken.", cpu);
    if (c->has_totals)
        totals(out, &c->totals);
}
