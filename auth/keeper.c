/*
 * Stays root while a session of its connection runs, and parses nothing: what a session says at its end is one octet that asks for
 * another login, and octets to hand on. Whatever the session's process leaves behind becomes the keeper's child: nothing of one
 * user's may be there when the next one logs in.
 */
#include "auth/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum { AGAIN = 'A' };

static void watched(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

/* Until the session's process has ended; the signals that mean "end" are handed on. */
static int wait_for(pid_t session, const sigset_t *set)
{
    int status = -1;
    for (;;) {
        const pid_t got = waitpid(session, &status, WNOHANG);
        if (got == session || (got < 0 && errno != EINTR))
            return got == session ? status : -1;
        const int number = sigwaitinfo(set, NULL);
        if (number == SIGTERM || number == SIGHUP)
            (void)kill(session, number);
    }
}

/* The locker ends by itself, as its session has; anything else has no business to be there. (A TLS relay is init's: relay.c.) */
static bool nobody_left(void)
{
    enum { STEPS = 500 };
    const struct timespec step = { 0, 10000000 };
    for (int i = 0; i < STEPS; i++) {
        pid_t got;
        while ((got = waitpid(-1, NULL, WNOHANG)) > 0)
            continue;
        if (got < 0 && errno == ECHILD)
            return true;
        (void)nanosleep(&step, NULL);
    }
    log_error("processes of a session are left: connection ended");
    return false;
}

static bool take_report(int fd, struct buf *unread)
{
    char octets[KEEPER_UNREAD + 2];
    size_t have = 0;
    ssize_t n;
    while (have < sizeof octets && (n = read(fd, octets + have, sizeof octets - have)) > 0)
        have += (size_t)n;
    if (have < 1 || have > KEEPER_UNREAD + 1 || octets[0] != AGAIN)
        return false;
    buf_add(unread, octets + 1, have - 1);
    return true;
}

static enum keeper keep(pid_t session, int fd, const sigset_t *set, struct buf *unread)
{
    (void)prctl(PR_SET_NAME, "imapd-keeper", 0, 0, 0);
    const int status = wait_for(session, set);
    buf_clear(unread);
    const bool again = status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && take_report(fd, unread) && nobody_left();
    close(fd);
    return again ? KEEPER_AGAIN : KEEPER_OVER;
}

enum keeper keeper_split(int *report, struct buf *unread)
{
    sigset_t set, before;
    int ends[2];
    (void)signal(SIGCHLD, SIG_DFL);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        log_error("keeper: %s", strerror(errno));
        return KEEPER_OVER;
    }
    watched(&set);
    sigprocmask(SIG_BLOCK, &set, &before);
    const pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(ends[0]);
        *report = ends[1];
        return KEEPER_SESSION;
    }
    close(ends[1]);
    enum keeper result = KEEPER_OVER;
    if (pid > 0)
        result = keep(pid, ends[0], &set, unread);
    else
        log_error("fork: %s", strerror(errno));
    (void)prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);       /* a relay that STARTTLS makes now is init's too */
    sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

int keeper_bind(int report)
{
    struct pollfd gone = { .fd = report, .events = 0 };
    return prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0 && poll(&gone, 1, 0) == 0 ? 0 : -1;
}

int keeper_report(int report, struct str unread)
{
    char octets[KEEPER_UNREAD + 1] = { AGAIN };
    if (unread.n > KEEPER_UNREAD)
        return -1;
    if (unread.n > 0)
        memcpy(octets + 1, unread.p, unread.n);
    return write(report, octets, unread.n + 1) == (ssize_t)unread.n + 1 ? 0 : -1;     /* a new pipe takes 64 KiB at once */
}
