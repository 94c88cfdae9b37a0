/*
 * imapd --stat --json: one object with the sessions and the totals; imapd(8) lists its fields.
 */
#include "stat/collect.h"

static void number(FILE *out, const char *name, uint64_t n)
{
    fprintf(out, ", \"%s\": %llu", name, (unsigned long long)n);
}

static void string(FILE *out, const char *name, const char *text)
{
    fprintf(out, ", \"%s\": ", name);
    if (text[0] != '\0')
        text_json(out, text);
    else
        fputs("null", out);
}

static void milliseconds(FILE *out, const char *name, int64_t ms)
{
    fprintf(out, ", \"%s\": %lld.%03lld", name, (long long)ms / 1000, (long long)ms % 1000);
}

static void connection(FILE *out, const struct connection *c)
{
    fprintf(out, "{\"pid\": %d", (int)c->pid);
    string(out, "user", c->user);
    string(out, "state", doing_name(c->doing));
    number(out, "since", (uint64_t)c->at);
    milliseconds(out, "cpu_seconds", c->cpu_ms);
    number(out, "memory_octets", c->memory);
    if (has_slot(c)) {
        string(out, "address", c->address);
        fprintf(out, ", \"tls\": %s", c->tls ? "true" : "false");
        string(out, "command", c->command);
        milliseconds(out, c->command[0] != '\0' ? "command_seconds" : "waiting_seconds", c->command_ms);
        string(out, "mailbox", c->mailbox);
        number(out, "commands", c->counts.commands);
        number(out, "octets_in", c->counts.octets_in);
        number(out, "octets_out", c->counts.octets_out);
        number(out, "fetched", c->counts.fetched);
        number(out, "appended", c->counts.appended);
    }
    putc('}', out);
}

void write_json(FILE *out, const struct connections *c)
{
    fputs("{\"sessions\": [", out);
    for (size_t i = 0; i < c->n; i++) {
        fputs(i > 0 ? ",\n  " : "\n  ", out);
        connection(out, &c->list[i]);
    }
    fputs(c->n > 0 ? "\n]" : "]", out);
    if (c->has_totals) {
        const struct census_totals *t = &c->totals;
        fprintf(out, ", \"totals\": {\"connections\": %llu", (unsigned long long)t->connections);
        number(out, "connections_refused", t->connections_refused);
        number(out, "logins", t->logins);
        number(out, "logins_refused", t->logins_refused);
        number(out, "commands", t->commands);
        number(out, "octets_in", t->octets_in);
        number(out, "octets_out", t->octets_out);
        number(out, "fetched", t->fetched);
        number(out, "appended", t->appended);
        putc('}', out);
    }
    fputs("}\n", out);
}
