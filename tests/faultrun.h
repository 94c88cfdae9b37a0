#ifndef TESTS_FAULTRUN_H
#define TESTS_FAULTRUN_H
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>

/* What faultrun.c (the tracer) and faultrun_look.c (which understands the calls of the traced program) share. */
enum { OWN_TROUBLE = 98, KILLED = 99, ROOTS = 8, IOV_MOST = 1024 };
enum kind { WRITE, WRITEV, SIZE, SYNC, OPEN, NAME, META, SEND, READ };
/* fd, path: the arguments that name the file; path -1: the descriptor alone; fd -1: the path from the working directory. */
struct call {
    long nr;
    const char *name;
    enum kind kind;
    int fd, path, fd2, path2;
};

/* A call that is stopped before it is made. */
struct event {
    const struct call *call;
    pid_t pid;
    struct user_regs_struct regs;
    char path[PATH_MAX], path2[PATH_MAX];
    uint64_t off, len, flags, ino, size;         /* ino, size: of the file before the call, 0 if there is none */
    struct iovec iov[IOV_MOST];        /* the program's octets, as they will be written */
    int iov_n;
    uint64_t iov_changed[2];           /* an iov_len that was changed in its memory, and what it was */
    bool reply, counts, skipped, kill_at_exit;
};

/* What counts, and what the traced program's standard output is ("socket:[N]"). */
struct look_settings {
    const char *roots[ROOTS];
    int root_count;
    bool all, replies_too;               /* reads and all openings count; replies are of interest */
    char replies[PATH_MAX];
};
/* In the program to be traced: its calls of the table stop it from now on. 0, or -1 with errno. */
int look_install_filter(bool all);
/* Fills the event, whose pid and regs are set; false if it is no call of interest. */
bool look(struct event *v, const struct look_settings *settings);
/* The file that the call names, as it is now. */
bool look_stat(const struct event *v, struct stat *st);
/* n octets of the program's memory; returns how many could be read. */
size_t look_peek(pid_t pid, uint64_t from, void *to, size_t n);
/* The target of a symbolic link (of /proc); "" and false if there is none. */
bool look_link(char to[PATH_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t look_argument(const struct event *v, int n);
#endif
