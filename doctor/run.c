/*
 * Runs as root: commands of the system, whose answers the doctor reads, and files of the administrator. The directories of the
 * commands are fixed and nothing of the environment is handed on.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "doctor/examine.h"

enum { PATIENCE = 10, LARGEST = 1024 * 1024 };

static bool find_command(const char *name, char *path, size_t size)
{
    static const char *const places[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin" };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if ((size_t)snprintf(path, size, "%s/%s", places[i], name) < size && access(path, X_OK) == 0)
            return true;
    return false;
}

bool have_command(const char *name)
{
    char path[256];
    return find_command(name, path, sizeof path);
}

static void __attribute__((noreturn)) start(const char *path, const char *const argv[], bool both, int out)
{
    char *const environment[] = { (char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)(uintptr_t) "LC_ALL=C",
                                  NULL };
    const int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(both ? out : null, 2) < 0)
        _exit(127);
    (void)signal(SIGPIPE, SIG_DFL);
    execve(path, (char *const *)(uintptr_t)argv, environment);
    _exit(127);
}

static bool gather(int fd, char *out, size_t size)
{
    const time_t end = time(NULL) + PATIENCE;
    size_t n = 0;
    char rest[4096];
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        const time_t left = end - time(NULL);
        if (left <= 0 || poll(&p, 1, (int)left * 1000) <= 0)
            return false;
        const ssize_t got = n + 1 < size ? read(fd, out + n, size - 1 - n) : read(fd, rest, sizeof rest);
        if (got <= 0)
            return got == 0;
        if (n + 1 < size)
            n += (size_t)got;
        out[n] = '\0';
    }
}

int run_command(const char *const argv[], bool both, char *out, size_t size)
{
    char path[256];
    int ends[2], status = 0;
    out[0] = '\0';
    if (!find_command(argv[0], path, sizeof path) || pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0)
        start(path, argv, both, ends[1]);
    close(ends[1]);
    const bool whole = child > 0 && gather(ends[0], out, size);
    close(ends[0]);
    if (child > 0 && !whole)
        kill(child, SIGKILL);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return whole && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *read_text(const char *path, size_t *n)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > LARGEST) {
        close(fd);
        errno = EINVAL;
        return NULL;
    }
    char *text = xcalloc(1, (size_t)st.st_size + 1);
    const ssize_t got = read(fd, text, (size_t)st.st_size);
    close(fd);
    if (got < 0) {
        free(text);
        return NULL;
    }
    if (n != NULL)
        *n = (size_t)got;
    return text;
}
