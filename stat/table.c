/*
 * imapd --stat as a table for people: one line a connection, columns as wide as what stands in them.
 */
#include <string.h>
#include <time.h>

#include "stat/collect.h"

enum { CELL = SLOT_MAILBOX };

static void duration(char *out, size_t size, int64_t seconds)
{
    const long long s = seconds > 0 ? seconds : 0;
    if (s < 60)
        snprintf(out, size, "%llds", s);
    else if (s < 3600)
        snprintf(out, size, "%lldm%02llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, size, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
        snprintf(out, size, "%lldd%02lldh", s / 86400, s / 3600 % 24);
}

static void amount(char *out, size_t size, uint64_t n)
{
    static const char units[] = "KMGTPE";
    size_t unit = 0;
    double value = (double)n / 1024;
    if (n < 10000) {
        snprintf(out, size, "%llu", (unsigned long long)n);
        return;
    }
    for (; value >= 9999.5 / 10 && unit + 2 < sizeof units; unit++)
        value /= 1024;
    snprintf(out, size, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

/* The text of a cell; "-" where nothing is known. */
enum column { PID, USER, ADDRESS, TLS, STATE, COMMAND, FOR, LOGIN, COMMANDS, IN, OUT, FETCHED, APPENDED, CPU, MEMORY, MAILBOX, COLUMNS };

static void counted(char *out, const struct connection *c, enum column column)
{
    switch (column) {
    case COMMANDS: snprintf(out, CELL, "%llu", (unsigned long long)c->counts.commands); break;
    case FETCHED: snprintf(out, CELL, "%llu", (unsigned long long)c->counts.fetched); break;
    case APPENDED: snprintf(out, CELL, "%llu", (unsigned long long)c->counts.appended); break;
    case IN: amount(out, CELL, c->counts.octets_in); break;
    case OUT: amount(out, CELL, c->counts.octets_out); break;
    case TLS: strcpy(out, c->tls ? "yes" : "no"); break;
    case ADDRESS: text_plain(out, CELL, c->address); break;
    case COMMAND: text_plain(out, CELL, c->command); break;
    case MAILBOX: text_plain(out, CELL, c->mailbox); break;
    case FOR: duration(out, CELL, c->command_ms / 1000); break;
    default: break;
    }
}

static void cell(char *out, const struct connection *c, enum column column, int64_t now)
{
    out[0] = '\0';
    switch (column) {
    case PID: snprintf(out, CELL, "%d", (int)c->pid); break;
    case USER: text_plain(out, CELL, c->user); break;
    case STATE: strcpy(out, doing_name(c->doing)); break;
    case LOGIN: duration(out, CELL, now - c->at); break;
    case CPU: snprintf(out, CELL, "%lld.%02lld", (long long)c->cpu_ms / 1000, (long long)c->cpu_ms / 10 % 100); break;
    case MEMORY: amount(out, CELL, c->memory); break;
    default:
        if (has_slot(c))
            counted(out, c, column);
    }
    if (out[0] == '\0')
        strcpy(out, "-");
}

/* Code points; most of them are as wide as one another. */
static size_t width(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void put(FILE *out, const char *text, enum column column, size_t wide)
{
    const bool right = column == PID || (column >= FOR && column <= MEMORY);
    const int pad = (int)(wide - width(text));
    if (column > 0)
        putc(' ', out);
    if (right)
        fprintf(out, "%*s%s", pad, "", text);
    else
        fprintf(out, "%s%*s", text, column == MAILBOX ? 0 : pad, "");
}

void write_table(FILE *out, const struct connections *c)
{
    static const char *const heads[COLUMNS] = { "PID", "USER", "ADDRESS", "TLS", "STATE", "COMMAND", "FOR", "SINCE", "COMMANDS", "IN", "OUT",
                                                "FETCHED", "APPENDED", "CPU", "MEMORY", "MAILBOX" };
    const int64_t now = time(NULL);
    size_t wide[COLUMNS];
    char text[CELL];
    for (int k = 0; k < COLUMNS; k++) {
        wide[k] = strlen(heads[k]);
        for (size_t i = 0; i < c->n; i++) {
            cell(text, &c->list[i], (enum column)k, now);
            if (width(text) > wide[k])
                wide[k] = width(text);
        }
    }
    for (int k = 0; k < COLUMNS; k++)
        put(out, heads[k], (enum column)k, wide[k]);
    putc('\n', out);
    for (size_t i = 0; i < c->n; i++) {
        for (int k = 0; k < COLUMNS; k++) {
            cell(text, &c->list[i], (enum column)k, now);
            put(out, text, (enum column)k, wide[k]);
        }
        putc('\n', out);
    }
}
