/*
 * What is told as words and as fields of the journal. Its protocol ("Native Journal Protocol", systemd.io) is lines NAME=value in one
 * datagram; values with line ends would need another form, but here they are escaped. No library: what loading one costs would be paid
 * by each connection.
 */
#include "base/record.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* All of it or nothing. */
static __attribute__((format(printf, 4, 5))) void append(char *to, size_t room, size_t *n, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int more = vsnprintf(to + *n, room - *n, fmt, args);
    va_end(args);
    if (more >= 0 && (size_t)more < room - *n)
        *n += (size_t)more;
    to[*n] = '\0';
}

static void add_field(struct record *r, const char *name, const char *value)
{
    char capitals[40];
    size_t n = 0;
    for (; name[n] != '\0' && n + 1 < sizeof capitals; n++)
        capitals[n] = (char)(name[n] >= 'a' && name[n] <= 'z' ? name[n] - 'a' + 'A' : name[n] == '-' ? '_' : name[n]);
    capitals[n] = '\0';
    append(r->fields, sizeof r->fields, &r->fields_n, "IMAPD_%s=%s\n", capitals, value);
}

void record_begin(struct record *r, enum log_level level, const char *event)
{
    r->level = level;
    r->shown = log_shows(level);
    r->line_n = r->fields_n = 0;
    if (!r->shown)
        return;
    append(r->line, sizeof r->line, &r->line_n, "%s:", event);
    append(r->fields, sizeof r->fields, &r->fields_n, "PRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=imapd\nSYSLOG_PID=%ld\n",
           log_priority(level), LOG_MAIL >> 3, (long)getpid());
    add_field(r, "event", event);
}

void record_add(struct record *r, const char *name, const char *fmt, ...)
{
    char raw[256], value[600];
    va_list args;
    if (!r->shown)
        return;
    va_start(args, fmt);
    if (vsnprintf(raw, sizeof raw, fmt, args) < 0)
        raw[0] = '\0';
    va_end(args);
    (void)log_escape(value, sizeof value, raw);
    append(r->line, sizeof r->line, &r->line_n, " %s=%s", name, value);
    add_field(r, name, value);
}

void record_add_name(struct record *r, const char *name, const char *value)
{
    char escaped[600];
    if (!r->shown)
        return;
    (void)log_escape(escaped, sizeof escaped, value);
    append(r->line, sizeof r->line, &r->line_n, " %s=<%s>", name, escaped);
    add_field(r, name, escaped);
}

void record_end(struct record *r)
{
    if (!r->shown)
        return;
    append(r->fields, sizeof r->fields, &r->fields_n, "MESSAGE=%s\n", r->line);
    if (!log_journal(r->fields, r->fields_n))
        log_line(r->level, "%s", r->line);
}
