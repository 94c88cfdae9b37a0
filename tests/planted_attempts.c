/*
 * What is tried by the planted bugs (planted.c, planted_tls.c).
 */
#include "tests/planted_attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

static int open_path(const char *path)
{
    const int fd = open(path, O_RDONLY);
    char octets[64];
    return fd >= 0 && read(fd, octets, sizeof octets) > 0 ? 0 : -1;
}

static int write_path(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) >= 0 ? 0 : -1;
}

static int internet(int type)
{
    const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    const int fd = socket(AF_INET, type, 0);
    return fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 ? -1 : 0;
}

/* What a user's own systemd, a D-Bus or a container daemon would be reached by. */
static int unix_socket(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    return fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 ? -1 : 0;
}

/* A descriptor that is there already, given another peer; or a datagram to somebody else over it. */
static int other_peer(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int reached = -1;
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    for (int fd = 0; fd < 64; fd++)
        if (sendto(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof to) == 1 || connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
            reached = 0;
    return reached;
}

/* A line of the system log that looks like another process's. */
static int log_line_of_another(void)
{
    static const char line[] = "<13>imapd[1]: planted in the log";
    int sent = -1;
    openlog("imapd", LOG_NDELAY, LOG_MAIL);
    syslog(LOG_NOTICE, "planted in the log");
    for (int fd = 3; fd < 64; fd++)
        if (send(fd, line, sizeof line - 1, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof line - 1)
            sent = 0;
    return sent;
}

/* A signal of one's choice to another process of the same user, by way of a descriptor. */
static int signal_by_descriptor(void)
{
    return fcntl(0, F_SETSIG, SIGKILL) == 0 && fcntl(0, F_SETOWN, getpid()) == 0 ? 0 : -1;
}

static int parent_memory(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/mem", (long)getppid());
    return open_path(path);
}

static int start_shell(void)
{
    char *const argv[] = { (char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)"echo '* PLANT shell runs'", NULL };
    return execve("/bin/sh", argv, NULL);
}

static int new_process(void)
{
    const pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : 0;
}

int planted_attempt(const char *name, const char *path)
{
    if (strcmp(name, "read") == 0) return open_path(path);
    if (strcmp(name, "write") == 0) return write_path(path);
    if (strcmp(name, "tcp") == 0) return internet(SOCK_STREAM);
    if (strcmp(name, "udp") == 0) return internet(SOCK_DGRAM);
    if (strcmp(name, "unix") == 0) return unix_socket(path);
    if (strcmp(name, "peer") == 0) return other_peer(path);
    if (strcmp(name, "pair") == 0) return socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){ 0, 0 });
    if (strcmp(name, "log") == 0) return log_line_of_another();
    if (strcmp(name, "signal") == 0) return signal_by_descriptor();
    if (strcmp(name, "raw") == 0) return socket(AF_PACKET, SOCK_RAW, 0) >= 0 ? 0 : -1;
    if (strcmp(name, "exec") == 0) return start_shell();
    if (strcmp(name, "fork") == 0) return new_process();
    if (strcmp(name, "ptrace") == 0) return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
    if (strcmp(name, "memory") == 0) return parent_memory();
    if (strcmp(name, "kill") == 0) return kill(getppid(), SIGTERM);
    if (strcmp(name, "setuid") == 0) return setuid(0);
    if (strcmp(name, "setgroups") == 0) return (int)syscall(SYS_setgroups, 0, NULL);
    if (strcmp(name, "mount") == 0) return mount("none", "/", "tmpfs", 0, NULL);
    if (strcmp(name, "unshare") == 0) return unshare(CLONE_NEWUSER);
    if (strcmp(name, "chroot") == 0) return chroot("/");
    if (strcmp(name, "code") == 0)
        return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ? 0 : -1;
    if (strcmp(name, "own") == 0) return 0;
    errno = EINVAL;
    return -1;
}
