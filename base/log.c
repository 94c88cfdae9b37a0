/*
 * One line to the system log, or to stderr. The formatted line is escaped as a whole, so that no client can put a line of
 * its own (or a terminal's control sequence) into the log.
 *
 * syslog(3) keeps the descriptor to syslogd; that is why log_open exists: it connects while /dev/log can still be reached.
 * Where lines go is the one piece of state of the process that is kept here rather than passed to everybody who may fail.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { NOT_TRIED = -2, NONE = -1 };

static bool to_stderr;
static int journal = NOT_TRIED;

void log_to_stderr(void)
{
    to_stderr = true;
}

void log_open(void)
{
    tzset();                           /* syslog(3) writes local time: /etc/localtime must be read before a chroot */
    openlog("imapd", LOG_PID | LOG_NDELAY, LOG_MAIL);
}

void log_close(void)
{
    closelog();
    if (journal >= 0)
        close(journal);
    journal = NONE;
}

size_t log_escape(char *out, size_t size, const char *in)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (; *in != '\0' && n + 5 < size; in++) {
        const unsigned char c = (unsigned char)*in;
        if (c >= 0x20 && c < 0x7f) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    out[n] = '\0';
    return n;
}

int log_priority(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR: return LOG_ERR;
    case LOG_LEVEL_WARNING: return LOG_WARNING;
    case LOG_LEVEL_NOTICE: return LOG_NOTICE;
    case LOG_LEVEL_INFO: return LOG_INFO;
    case LOG_LEVEL_DEBUG: break;
    }
    return LOG_DEBUG;
}

/* On stderr what a person at a terminal has to know; the rest is for a mail.log. */
bool log_shows(enum log_level level)
{
    return !to_stderr || level <= LOG_LEVEL_WARNING;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char raw[1024], line[2048];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(raw, sizeof raw, fmt, args) < 0)
        raw[0] = '\0';
    va_end(args);
    const size_t n = log_escape(line, sizeof line, raw);
    if (!to_stderr) {
        syslog(LOG_MAIL | log_priority(level), "%s", line);
    } else if (log_shows(level)) {
        line[n] = '\n';
        (void)!write(STDERR_FILENO, "imapd: ", 7);
        (void)!write(STDERR_FILENO, line, n + 1);
    }
}

/* systemd makes /dev/log a link to the journal's socket. Where it is another daemon's, a line to the journal would not be in its files. */
static bool journal_has_syslog(void)
{
    struct stat ours, its;
    return stat("/dev/log", &ours) == 0 && stat("/run/systemd/journal/dev-log", &its) == 0 && ours.st_dev == its.st_dev
        && ours.st_ino == its.st_ino;
}

static int open_journal(void)
{
    const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
    const int fd = journal_has_syslog() ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : NONE;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd < 0 ? NONE : fd;
    close(fd);
    return NONE;
}

bool log_journal(const char *fields, size_t n)
{
    if (to_stderr)
        return false;
    if (journal == NOT_TRIED)
        journal = open_journal();
    return journal >= 0 && send(journal, fields, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}
