/*
 * What a system call of the traced program is about: files, offsets, lengths (see faultrun.h).
 */
#include "tests/faultrun.h"

#if defined(__x86_64__)
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct call calls[] = {
    { SYS_write, "write", WRITE, 0, -1, -1, -1 }, { SYS_pwrite64, "pwrite64", WRITE, 0, -1, -1, -1 },
    { SYS_writev, "writev", WRITEV, 0, -1, -1, -1 }, { SYS_pwritev, "pwritev", WRITEV, 0, -1, -1, -1 },
    { SYS_pwritev2, "pwritev2", WRITEV, 0, -1, -1, -1 },
    { SYS_ftruncate, "ftruncate", SIZE, 0, -1, -1, -1 }, { SYS_truncate, "truncate", SIZE, -1, 0, -1, -1 },
    { SYS_fallocate, "fallocate", SIZE, 0, -1, -1, -1 },
    { SYS_copy_file_range, "copy_file_range", SIZE, 2, -1, -1, -1 }, { SYS_sendfile, "sendfile", SIZE, 0, -1, -1, -1 },
    { SYS_splice, "splice", SIZE, 2, -1, -1, -1 },
    { SYS_fsync, "fsync", SYNC, 0, -1, -1, -1 }, { SYS_fdatasync, "fdatasync", SYNC, 0, -1, -1, -1 },
    { SYS_sync_file_range, "sync_file_range", SYNC, 0, -1, -1, -1 }, { SYS_syncfs, "syncfs", SYNC, 0, -1, -1, -1 },
    { SYS_msync, "msync", SYNC, -1, -1, -1, -1 },
    { SYS_open, "open", OPEN, -1, 0, -1, -1 }, { SYS_openat, "openat", OPEN, 0, 1, -1, -1 },
    { SYS_openat2, "openat2", OPEN, 0, 1, -1, -1 }, { SYS_creat, "creat", OPEN, -1, 0, -1, -1 },
    { SYS_rename, "rename", NAME, -1, 0, -1, 1 }, { SYS_renameat, "renameat", NAME, 0, 1, 2, 3 },
    { SYS_renameat2, "renameat2", NAME, 0, 1, 2, 3 }, { SYS_link, "link", NAME, -1, 0, -1, 1 },
    { SYS_linkat, "linkat", NAME, 0, 1, 2, 3 }, { SYS_unlink, "unlink", NAME, -1, 0, -1, -1 },
    { SYS_unlinkat, "unlinkat", NAME, 0, 1, -1, -1 }, { SYS_symlink, "symlink", NAME, -1, 1, -1, -1 },
    { SYS_symlinkat, "symlinkat", NAME, 1, 2, -1, -1 }, { SYS_mkdir, "mkdir", NAME, -1, 0, -1, -1 },
    { SYS_mkdirat, "mkdirat", NAME, 0, 1, -1, -1 }, { SYS_rmdir, "rmdir", NAME, -1, 0, -1, -1 },
    { SYS_utimensat, "utimensat", META, 0, 1, -1, -1 }, { SYS_fchmod, "fchmod", META, 0, -1, -1, -1 },
    { SYS_fchmodat, "fchmodat", META, 0, 1, -1, -1 }, { SYS_chmod, "chmod", META, -1, 0, -1, -1 },
    { SYS_fchown, "fchown", META, 0, -1, -1, -1 }, { SYS_fchownat, "fchownat", META, 0, 1, -1, -1 },
    { SYS_chown, "chown", META, -1, 0, -1, -1 }, { SYS_fsetxattr, "fsetxattr", META, 0, -1, -1, -1 },
    { SYS_sendto, "sendto", SEND, 0, -1, -1, -1 }, { SYS_sendmsg, "sendmsg", SEND, 0, -1, -1, -1 },
    { SYS_read, "read", READ, 0, -1, -1, -1 }, { SYS_pread64, "pread64", READ, 0, -1, -1, -1 },
    { SYS_readv, "readv", READ, 0, -1, -1, -1 }, { SYS_preadv, "preadv", READ, 0, -1, -1, -1 },
    { SYS_getdents64, "getdents64", READ, 0, -1, -1, -1 },
};
enum { CALLS = sizeof calls / sizeof *calls };

/* ---- the filter, in the program ------------------------------------------------------------------------------------ */

static void add(struct sock_filter *f, size_t *n, unsigned code, unsigned k, unsigned jt, unsigned jf)
{
    f[(*n)++] = (struct sock_filter){ (uint16_t)code, (uint8_t)jt, (uint8_t)jf, k };
}

int look_install_filter(bool all)
{
    struct sock_filter f[CALLS * 6 + 8];
    size_t n = 0;
    const unsigned changing = O_CREAT | O_TRUNC | O_WRONLY | O_RDWR;
    add(f, &n, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    add(f, &n, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    add(f, &n, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    add(f, &n, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    for (size_t i = 0; i < CALLS; i++) {
        const struct call *c = &calls[i];
        if (c->kind == READ && !all)
            continue;
        if ((c->nr == SYS_open || c->nr == SYS_openat) && !all) {       /* not the reading ones */
            const unsigned at = (unsigned)(offsetof(struct seccomp_data, args) + (c->nr == SYS_open ? 1U : 2U) * 8U);
            add(f, &n, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)c->nr, 0, 4);
            add(f, &n, BPF_LD | BPF_W | BPF_ABS, at, 0, 0);
            add(f, &n, BPF_JMP | BPF_JSET | BPF_K, changing, 0, 1);
            add(f, &n, BPF_RET | BPF_K, SECCOMP_RET_TRACE, 0, 0);
            add(f, &n, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
            continue;
        }
        add(f, &n, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)c->nr, 0, 1);
        add(f, &n, BPF_RET | BPF_K, SECCOMP_RET_TRACE, 0, 0);
    }
    add(f, &n, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    const struct sock_fprog program = { (unsigned short)n, f };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return -1;
    return 0;
}

/* ---- looking into the program --------------------------------------------------------------------------------------- */

uint64_t look_argument(const struct event *v, int n)
{
    const struct user_regs_struct *r = &v->regs;
    const unsigned long long args[] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };
    return args[n];
}

size_t look_peek(pid_t pid, uint64_t from, void *to, size_t n)
{
    const struct iovec ours = { to, n }, theirs = { (void *)(uintptr_t)from, n };
    const ssize_t got = process_vm_readv(pid, &ours, 1, &theirs, 1, 0);
    return got > 0 ? (size_t)got : 0;
}

static void peek_string(pid_t pid, uint64_t from, char *to, size_t n)
{
    size_t got = 0;
    while (got < n - 1) {                        /* not beyond its page: the next one may not be there */
        const size_t page = 4096 - (size_t)((from + got) & 4095), want = page < n - 1 - got ? page : n - 1 - got;
        const size_t k = look_peek(pid, from + got, to + got, want);
        if (k == 0 || memchr(to + got, 0, k) != NULL)
            break;
        got += k;
    }
    to[n - 1] = 0;
}

bool look_link(char to[PATH_MAX], const char *fmt, ...)
{
    char name[80];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    const ssize_t n = readlink(name, to, PATH_MAX - 1);
    to[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* The absolute path that a call's arguments mean. */
static void resolve(const struct event *v, int fd_arg, int path_arg, char out[PATH_MAX])
{
    static char text[PATH_MAX], base[PATH_MAX];
    const int fd = fd_arg >= 0 ? (int)look_argument(v, fd_arg) : AT_FDCWD;
    int n, end = 0;
    out[0] = text[0] = 0;
    if (path_arg >= 0 && look_argument(v, path_arg) != 0)
        peek_string(v->pid, look_argument(v, path_arg), text, sizeof text);
    const char *p = text;
    if (sscanf(p, "/proc/self/fd/%d%n", &n, &end) == 1 && end > 0) {
        look_link(base, "/proc/%d/fd/%d", (int)v->pid, n);
        p += end + (p[end] == '/');
    } else if (*p == '/') {
        snprintf(out, PATH_MAX, "%s", p);
        return;
    } else if (fd == AT_FDCWD) {
        look_link(base, "/proc/%d/cwd", (int)v->pid);
    } else {
        look_link(base, "/proc/%d/fd/%d", (int)v->pid, fd);
    }
    while (p[0] == '.' && (p[1] == '/' || p[1] == 0))
        p += p[1] == '/' ? 2 : 1;
    const size_t k = strlen(base);
    if (k + strlen(p) + 2 > PATH_MAX)
        return;
    memcpy(out, base, k + 1);
    if (*p != 0) {
        out[k] = '/';
        strcpy(out + k + 1, p);
    }
}

static bool below_root(const struct look_settings *s, const char *path)
{
    for (int i = 0; i < s->root_count; i++) {
        const size_t n = strlen(s->roots[i]);
        if (strncmp(path, s->roots[i], n) == 0 && (path[n] == '/' || path[n] == 0))
            return true;
    }
    return false;
}

/* One number of /proc/PID/fdinfo/FD ("pos:" decimal, "flags:" octal). */
static uint64_t fd_info(pid_t pid, int fd, const char *key)
{
    char name[64], line[200];
    unsigned long long value = 0;
    snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", (int)pid, fd);
    FILE *f = fopen(name, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtoull(line + strlen(key), NULL, *key == 'f' ? 8 : 10);
    if (f != NULL)
        fclose(f);
    return value;
}

bool look_stat(const struct event *v, struct stat *st)
{
    char name[64];
    if (v->call->path >= 0)
        return lstat(v->path, st) == 0;
    snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)v->pid, (int)look_argument(v, v->call->fd));
    return stat(name, st) == 0;
}

/* ---- understanding a call ------------------------------------------------------------------------------------------- */

static void take_octets(struct event *v)
{
    const uint64_t at = look_argument(v, 1), n = look_argument(v, 2);
    struct msghdr msg;
    if (v->call->kind == WRITE || v->call->nr == SYS_sendto) {
        v->iov[0] = (struct iovec){ (void *)(uintptr_t)at, n };
        v->iov_n = 1;
    } else if (v->call->kind == WRITEV) {
        v->iov_n = (int)(n < IOV_MOST ? n : IOV_MOST);
        v->iov_n = (int)(look_peek(v->pid, at, v->iov, (size_t)v->iov_n * sizeof *v->iov) / sizeof *v->iov);
    } else if (look_peek(v->pid, at, &msg, sizeof msg) == sizeof msg) {
        v->iov_n = (int)(msg.msg_iovlen < IOV_MOST ? msg.msg_iovlen : IOV_MOST);
        v->iov_n = (int)(look_peek(v->pid, (uint64_t)(uintptr_t)msg.msg_iov, v->iov, (size_t)v->iov_n * sizeof *v->iov) / sizeof *v->iov);
    }
    v->len = 0;
    for (int i = 0; i < v->iov_n; i++)
        v->len += v->iov[i].iov_len;
}

static void take_numbers(struct event *v)
{
    struct stat st;
    const int fd = v->call->fd >= 0 ? (int)look_argument(v, v->call->fd) : -1;
    switch (v->call->kind) {
    case WRITE: case WRITEV:
        take_octets(v);
        v->flags = fd_info(v->pid, fd, "flags:");
        if (v->call->nr == SYS_write || v->call->nr == SYS_writev)
            v->off = v->flags & O_APPEND && look_stat(v, &st) ? (uint64_t)st.st_size : fd_info(v->pid, fd, "pos:");
        else
            v->off = look_argument(v, 3);
        break;
    case SEND: take_octets(v); break;
    case SIZE:
        v->len = look_argument(v, v->call->nr == SYS_fallocate ? 3 : v->call->nr == SYS_copy_file_range || v->call->nr == SYS_splice ? 4
                          : v->call->nr == SYS_sendfile ? 3 : 1);
        if (v->call->nr == SYS_fallocate) {
            v->flags = look_argument(v, 1);
            v->off = look_argument(v, 2);
        }
        break;
    case OPEN:
        v->flags = look_argument(v, v->call->nr == SYS_open ? 1 : 2);
        if (v->call->nr == SYS_openat2)          /* struct open_how begins with them */
            look_peek(v->pid, look_argument(v, 2), &v->flags, sizeof v->flags);
        if (v->call->nr == SYS_creat)
            v->flags = O_CREAT | O_TRUNC | O_WRONLY;
        break;
    case READ: v->len = look_argument(v, 2); break;
    case NAME: v->flags = v->call->nr == SYS_renameat2 || v->call->nr == SYS_linkat ? look_argument(v, 4)
                        : v->call->nr == SYS_unlinkat ? look_argument(v, 2) : 0; break;
    case SYNC: case META: break;
    }
}

static bool changes(const struct event *v)
{
    return v->call->kind != READ && (v->call->kind != OPEN || (v->flags & (O_CREAT | O_TRUNC)));
}

bool look(struct event *v, const struct look_settings *settings)
{
    struct stat st;
    size_t i = 0;
    while (i < CALLS && calls[i].nr != (long)v->regs.orig_rax)
        i++;
    if (i == CALLS)
        return false;
    v->call = &calls[i];
    if (v->call->nr == SYS_msync) {
        v->len = look_argument(v, 1);
        v->counts = true;
        return true;
    }
    resolve(v, v->call->fd, v->call->path, v->path);
    if (v->call->path2 >= 0)
        resolve(v, v->call->fd2, v->call->path2, v->path2);
    if (v->call->kind == SEND || v->call->kind == WRITE || v->call->kind == WRITEV)
        v->reply = strcmp(v->path, settings->replies) == 0;
    const bool there = look_stat(v, &st);
    v->ino = there ? st.st_ino : 0;
    v->size = there ? (uint64_t)st.st_size : 0;
    if (v->call->path < 0 && (!there || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) && !v->reply)
        return false;
    if (!v->reply && !below_root(settings, v->path) && !(v->path2[0] != 0 && below_root(settings, v->path2)))
        return false;
    take_numbers(v);
    v->counts = !v->reply && v->call->kind != SEND && (settings->all || changes(v));
    return v->counts || (v->reply && settings->replies_too);
}
#endif
