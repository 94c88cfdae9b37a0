#ifndef BASE_LOG_H
#define BASE_LOG_H
#include <stdbool.h>
#include <stddef.h>

/* One line to syslog (facility mail, ident "imapd[pid]"), or to stderr when log_to_stderr() was called. Control and
 * 8-bit bytes of the formatted line are written as \xNN, so client bytes may be arguments. Never fails. */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
void log_to_stderr(void);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
/* Keeps a connection to syslogd open across chroot and sandboxes; call before confining. */
void log_open(void);
/* For a process that talks to strangers: if it is taken over, it shall not write lines that look like another's. Nothing is logged then. */
void log_close(void);

/* What base/record.h is made of. The octets of "in" as a line has them, cut to the room; the length. */
size_t log_escape(char *out, size_t size, const char *in);
/* False: such a line would not be written at all. */
bool log_shows(enum log_level level);
/* As syslog(3) has it: LOG_INFO, ... */
int log_priority(enum log_level level);
/* One datagram to the journal, in its own protocol. The socket is opened with the first one, and stays, so that must be before confining.
 * False: /dev/log is not the journal's, or it takes nothing now; the line is for syslog then. */
bool log_journal(const char *fields, size_t n);
#endif
