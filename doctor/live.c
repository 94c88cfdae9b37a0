/*
 * One real session: the server is started on a socket pair, as a super-server or a mail client starts it, and spoken to.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "auth/become.h"
#include "doctor/examine.h"

enum { PATIENCE = 20 };
static const char area[] = "session";

static void __attribute__((noreturn)) serve(const struct patient *p, const struct account *a, int fd)
{
    char home[4200] = "HOME=/", *const environment[] = { home, NULL };
    int locker_fd = -1;
    const char *argv[] = { "imapd", p->config_path != NULL ? "--config" : NULL, p->config_path, NULL };
    const int null = open("/dev/null", O_WRONLY);
    if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || null < 0 || dup2(null, 2) < 0)
        _exit(126);
    if (a != NULL) {
        snprintf(home, sizeof home, "HOME=%s", a->home);
        if (p->root && become_user(p->config, a, &locker_fd) != 0)
            _exit(125);
        if (locker_fd >= 0)
            close(locker_fd);
    }
    execve("/proc/self/exe", (char *const *)(uintptr_t)argv, environment);
    _exit(127);
}

/* Reads until a line begins with the tag ("* " for the first of all). The line is put into out. */
static bool wait_line(int fd, const char *tag, char *out, size_t size)
{
    const time_t end = time(NULL) + PATIENCE;
    size_t n = 0;
    while (time(NULL) < end) {
        struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
        char c;
        if (poll(&poll_fd, 1, 1000) <= 0)
            continue;
        if (read(fd, &c, 1) != 1)
            return false;
        if (c == '\n') {
            out[n > 0 && out[n - 1] == '\r' ? n - 1 : n] = '\0';
            if (strncmp(out, tag, strlen(tag)) == 0)
                return true;
            n = 0;
        } else if (n + 1 < size) {
            out[n++] = c;
        }
        out[n] = '\0';
    }
    return false;
}

static bool command(int fd, const char *text, char *answer, size_t size)
{
    char tag[8];
    snprintf(tag, sizeof tag, "%.1s ", text);
    answer[0] = '\0';
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text) && wait_line(fd, tag, answer, size)
           && strncmp(answer + 2, "OK", 2) == 0;
}

static void speak(const struct patient *p, const struct account *a, int fd)
{
    const char *who = a != NULL ? a->name : "root",
               *fix = "what the log says (facility mail): journalctl -t imapd, or /var/log/mail.log";
    char line[600] = "";
    const bool greeted = wait_line(fd, "* ", line, sizeof line);
    if (!greeted || strncmp(line, a != NULL ? "* PREAUTH" : "* OK", a != NULL ? 9 : 4) != 0) {
        report_found(p->report, MARK_ERROR, area, fix, "started as %s the server says: %.200s", who, greeted ? line : "nothing");
        return;
    }
    if (a != NULL && !command(fd, "a EXAMINE INBOX\r\n", line, sizeof line))
        report_found(p->report, MARK_ERROR, area, "the findings above, or the log", "%s: INBOX cannot be opened: %.200s", who,
                     line);
    else if (!command(fd, "b LOGOUT\r\n", line, sizeof line))
        report_found(p->report, MARK_ERROR, area, a == NULL ? "the findings above (greeter-root, greeter-user), or the log" : fix,
                     "started as %s: no answer to LOGOUT: %.200s", who, line);
    else
        report_found(p->report, MARK_OK, area, NULL,
                     a != NULL ? "%s: greeting, INBOX and LOGOUT" : "%s: greeting and LOGOUT before login", who);
}

void examine_session(const struct patient *p, const struct account *a)
{
    int ends[2], status;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0)
        serve(p, a, ends[1]);
    close(ends[1]);
    if (child > 0)
        speak(p, a, ends[0]);
    close(ends[0]);
    for (int i = 0; child > 0 && i < 100; i++) { /* it ends when its connection does */
        if (waitpid(child, &status, WNOHANG) == child)
            return;
        nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    }
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        report_found(p->report, MARK_WARNING, area, "report it", "the server did not end 5 s after its connection did");
    }
}
