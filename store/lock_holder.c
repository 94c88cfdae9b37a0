/*
 * Who has a lock. An fcntl lock of a process can be asked for; flock and the locks of an open file description (our own
 * other sessions) are only told by /proc/locks, those latter without a process, but their holder has flock too. A dotlock says
 * it itself or does not. All that is only text for people: nothing is decided by it.
 */
#include "store/lock_holder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The process that /proc/locks names for a lock of this kind on the file; 0: none. */
static pid_t listed(int fd, const char *kind)
{
    struct stat st;
    char line[200], is[16];
    pid_t found = 0;
    FILE *f = fstat(fd, &st) == 0 ? fopen("/proc/locks", "re") : NULL;
    while (f != NULL && found == 0 && fgets(line, sizeof line, f) != NULL) {
        int pid;
        unsigned major, minor;
        unsigned long long inode;                /* a line of one who waits has "->" there and does not fit */
        if (sscanf(line, "%*d: %15s %*15s %*15s %d %x:%x:%llu", is, &pid, &major, &minor, &inode) == 5 && strcmp(is, kind) == 0
            && inode == st.st_ino && major == major(st.st_dev) && minor == minor(st.st_dev) && pid > 0 && pid != getpid())
            found = (pid_t)pid;
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static pid_t has_fcntl(int fd)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK && whole.l_pid > 0 ? whole.l_pid : 0;
}

/* " (NAME)", or that there is no such process, or nothing. */
static void program(pid_t pid, char *out, size_t size)
{
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, name, sizeof name - 1) : 0;
    if (fd >= 0)
        close(fd);
    name[n > 0 ? strcspn(name, "\n") : 0] = 0;
    for (char *p = name; *p != 0; p++)
        if (*p <= ' ' || *p > '~' || strchr("()[]\"\\", *p) != NULL)
            *p = '?';
    if (name[0] != 0)
        snprintf(out, size, " (%s)", name);
    else
        snprintf(out, size, "%s", kill(pid, 0) != 0 && errno == ESRCH ? " (none such on this host)" : "");
}

void lock_holder_describe(int fd, const struct dotlock *d, const char *kind, unsigned waited, char *out, size_t size)
{
    struct dotlock_holder h = { .pid = 0 };
    const bool there = d != NULL && dotlock_look(d, &h), dot = strcmp(kind, "dotlock") == 0;
    char name[64] = "", who[100] = "", since[60];
    const pid_t by_fcntl = strcmp(kind, "flock") != 0 ? has_fcntl(fd) : 0, by_flock = by_fcntl == 0 ? listed(fd, "FLOCK") : 0;
    pid_t pid = by_fcntl > 0 ? by_fcntl : by_flock;
    if (!dot || (pid > 0 && pid != h.pid)) {     /* who has the dotlock may himself wait for that one */
        kind = by_fcntl > 0 ? "fcntl" : by_flock > 0 ? "flock" : kind;
    } else {
        pid = h.pid;
    }
    if (pid > 0) {
        program(pid, name, sizeof name);
        snprintf(who, sizeof who, " of process %d%s", (int)pid, name);
    } else if (there && strcmp(kind, "dotlock") == 0) {
        snprintf(who, sizeof who, " of user %u, who wrote no process into it", (unsigned)h.uid);
    }
    const long long age = there ? (long long)(time(NULL) - h.since.tv_sec) : -1;
    if (there && age >= (long long)waited)
        snprintf(since, sizeof since, ", for %lld s", age);
    else
        snprintf(since, sizeof since, ", for at least %u s", waited);
    snprintf(out, size, "%s%s%s%s", kind, strcmp(kind, "dotlock") == 0 ? "" : " lock", who, since);
}
