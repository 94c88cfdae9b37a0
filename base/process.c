/*
 * Files of /proc. The name of a process may hold anything, so fields are counted from the last parenthesis on.
 */
#include "base/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t process_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Up to size - 1 octets and a NUL. -1: there is no such file, or it may not be read. */
static ssize_t take(pid_t pid, const char *file, char *text, size_t size)
{
    char path[48];
    size_t have = 0;
    ssize_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    while (have < size - 1 && (n = read(fd, text + have, size - 1 - have)) > 0)
        have += (size_t)n;
    close(fd);
    text[have] = '\0';
    return n < 0 ? -1 : (ssize_t)have;
}

static bool take_stat(pid_t pid, struct process *out)
{
    enum { PARENT = 4, USER_TIME = 14, SYSTEM_TIME = 15, BEGAN = 22 };
    char text[1024];
    const int64_t ticks = sysconf(_SC_CLK_TCK);
    if (ticks <= 0 || take(pid, "stat", text, sizeof text) <= 0)
        return false;
    char *open = strchr(text, '('), *p = strrchr(text, ')');
    if (open == NULL || p == NULL || p < open)
        return false;
    const size_t n = (size_t)(p - open) - 1;
    const size_t most = n < sizeof out->name - 1 ? n : sizeof out->name - 1;
    memcpy(out->name, open + 1, most);
    out->name[most] = '\0';
    for (int field = 3; field <= BEGAN; field++) {
        p = strchr(p + 1, ' ');
        if (p == NULL)
            return false;
        if (field == PARENT)
            out->parent = (pid_t)strtol(p + 1, NULL, 10);
        else if (field == USER_TIME || field == SYSTEM_TIME)
            out->cpu_ms += strtoll(p + 1, NULL, 10) * 1000 / ticks;
        else if (field == BEGAN)
            out->began = strtoll(p + 1, NULL, 10) * 1000 / ticks;
    }
    return true;
}

bool process_look(pid_t pid, struct process *out)
{
    char text[4096];
    *out = (struct process){ .pid = pid };
    if (!take_stat(pid, out) || take(pid, "status", text, sizeof text) <= 0)
        return false;
    const char *uid = strstr(text, "\nUid:");
    if (uid == NULL)
        return false;
    out->uid = (uid_t)strtoul(uid + sizeof "\nUid:" - 1, NULL, 10);
    return true;
}

uint64_t process_memory(pid_t pid)
{
    char text[4096];
    uint64_t kib = 0;
    if (take(pid, "smaps_rollup", text, sizeof text) > 0) {
        for (const char *p = text; (p = strstr(p, "\nPrivate_")) != NULL;) {
            p += sizeof "\nPrivate_" - 1;
            const char *colon = strchr(p, ':');
            if (colon != NULL)
                kib += strtoull(colon + 1, NULL, 10);
        }
        return kib * 1024;
    }
    char *at = text;
    if (take(pid, "statm", text, sizeof text) <= 0)
        return 0;
    (void)strtoull(at, &at, 10);
    const uint64_t resident = strtoull(at, &at, 10), shared = strtoull(at, &at, 10);
    return resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

bool process_argument(pid_t pid, const char *const *what)
{
    char text[4096];
    const ssize_t n = take(pid, "cmdline", text, sizeof text);
    for (const char *p = text; n > 0 && p < text + n; p += strlen(p) + 1)
        for (size_t i = 0; what[i] != NULL; i++)
            if (strcmp(p, what[i]) == 0)
                return true;
    return false;
}
