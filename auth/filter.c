/*
 * The lists. They are made BPF by filter_program.c rather than by a library: that costs microseconds on each connection, not a
 * mapped library.
 *
 * Calls that the C library makes in passing and can do without (opening a locale or time zone file, asking whether a
 * descriptor is a terminal) get EPERM, so that a log line or a printf does not end the process.
 *
 * A session calls many libraries, which try this and that: what is on no list gets EPERM there, and only what nothing in a session could want kills.
 */
#include "auth/filter.h"
#include "auth/filter_program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__ && !defined __ILP32__
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#elif defined __i386__
#define FILTER_ARCH AUDIT_ARCH_I386
#elif defined __arm__
#define FILTER_ARCH AUDIT_ARCH_ARM
#elif defined __riscv && __riscv_xlen == 64
#define FILTER_ARCH AUDIT_ARCH_RISCV64
#elif defined __powerpc64__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FILTER_ARCH AUDIT_ARCH_PPC64LE
#elif defined __s390x__
#define FILTER_ARCH AUDIT_ARCH_S390X
#else
#error "add this architecture's AUDIT_ARCH_ constant"
#endif

#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#define MEMORY(call) { call, LACKS, 2, PROT_EXEC }
static const struct filter_row basic[] = {
    { SYS_read, ALWAYS, 0, 0 }, { SYS_write, ALWAYS, 0, 0 }, { SYS_readv, ALWAYS, 0, 0 }, { SYS_writev, ALWAYS, 0, 0 },
#ifdef SYS_poll
    { SYS_poll, ALWAYS, 0, 0 },
#endif
    { SYS_ppoll, ALWAYS, 0, 0 }, { SYS_close, ALWAYS, 0, 0 },
    { SYS_exit_group, ALWAYS, 0, 0 }, { SYS_exit, ALWAYS, 0, 0 },
    { SYS_brk, ALWAYS, 0, 0 }, { SYS_munmap, ALWAYS, 0, 0 }, { SYS_mremap, ALWAYS, 0, 0 }, { SYS_madvise, ALWAYS, 0, 0 },
#ifdef SYS_mmap2
    MEMORY(SYS_mmap2),
#endif
#ifdef SYS_mmap
    MEMORY(SYS_mmap),
#endif
    MEMORY(SYS_mprotect),
    { SYS_clock_gettime, ALWAYS, 0, 0 }, { SYS_gettimeofday, ALWAYS, 0, 0 },
#ifdef SYS_clock_gettime64
    { SYS_clock_gettime64, ALWAYS, 0, 0 },
#endif
#ifdef SYS_ppoll_time64
    { SYS_ppoll_time64, ALWAYS, 0, 0 },
#endif
#ifdef SYS_time
    { SYS_time, ALWAYS, 0, 0 },
#endif
    { SYS_getpid, ALWAYS, 0, 0 }, { SYS_gettid, ALWAYS, 0, 0 }, { SYS_getrandom, ALWAYS, 0, 0 },
    { SYS_rt_sigreturn, ALWAYS, 0, 0 }, { SYS_rt_sigprocmask, ALWAYS, 0, 0 }, { SYS_restart_syscall, ALWAYS, 0, 0 },
    { SYS_futex, ALWAYS, 0, 0 },
    { SYS_sendto, EQUALS, 4, 0 }, { SYS_recvfrom, EQUALS, 4, 0 },     /* on sockets that are connected already */
    { SYS_fcntl, EQUALS, 1, F_GETFL }, { SYS_fcntl, EQUALS, 1, F_SETFL },
};

/* In an empty root there is no file: so libraries are told, which ask for their settings and do without them. */
static const struct filter_row refused[] = {
#ifdef SYS_open
    { SYS_open, REFUSE, 0, ENOENT }, { SYS_access, REFUSE, 0, ENOENT }, { SYS_readlink, REFUSE, 0, ENOENT },
#endif
#ifdef SYS_stat
    { SYS_stat, REFUSE, 0, ENOENT },
#endif
#ifdef SYS_fstat
    { SYS_fstat, REFUSE, 0, 0 },
#endif
    { SYS_newfstatat, REFUSE, 0, ENOENT }, { SYS_statx, REFUSE, 0, ENOENT }, { SYS_openat, REFUSE, 0, ENOENT },
    { SYS_faccessat, REFUSE, 0, ENOENT }, { SYS_faccessat2, REFUSE, 0, ENOENT }, { SYS_readlinkat, REFUSE, 0, ENOENT },
    { SYS_socket, REFUSE, 0, 0 }, { SYS_connect, REFUSE, 0, 0 }, { SYS_ioctl, REFUSE, 0, 0 },
    { SYS_fcntl, REFUSE, 0, 0 }, { SYS_setsockopt, REFUSE, 0, 0 }, { SYS_shutdown, REFUSE, 0, 0 },
    { SYS_lseek, REFUSE, 0, 0 }, { SYS_uname, REFUSE, 0, 0 }, { SYS_rt_sigaction, REFUSE, 0, 0 },
    { SYS_getuid, ALWAYS, 0, 0 }, { SYS_geteuid, ALWAYS, 0, 0 }, { SYS_getgid, ALWAYS, 0, 0 }, { SYS_getegid, ALWAYS, 0, 0 },
};

enum { CREATE_ONLY = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
static const struct filter_row locker[] = {
    { SYS_openat, EQUALS, 2, CREATE_ONLY },
#ifdef O_LARGEFILE
    { SYS_openat, EQUALS, 2, CREATE_ONLY | O_LARGEFILE },
#endif
    { SYS_flock, ALWAYS, 0, 0 }, { SYS_linkat, ALWAYS, 0, 0 }, { SYS_unlinkat, ALWAYS, 0, 0 }, { SYS_utimensat, ALWAYS, 0, 0 },
#ifdef SYS_renameat
    { SYS_renameat, ALWAYS, 0, 0 },
#endif
    { SYS_renameat2, ALWAYS, 0, 0 }, { SYS_newfstatat, ALWAYS, 0, 0 },
#ifdef SYS_fstat
    { SYS_fstat, ALWAYS, 0, 0 },
#endif
    { SYS_statx, ALWAYS, 0, 0 },
};

/* What a session does: its user's files, iconv's modules (mapped executable, never writable at once), names of users, the system log. */
static const struct filter_row session[] = {
    { SYS_pread64, ALWAYS, 0, 0 }, { SYS_pwrite64, ALWAYS, 0, 0 }, { SYS_newfstatat, ALWAYS, 0, 0 }, { SYS_openat, ALWAYS, 0, 0 },
    { SYS_openat2, ALWAYS, 0, 0 }, { SYS_lseek, ALWAYS, 0, 0 }, { SYS_flock, ALWAYS, 0, 0 },
    { SYS_fcntl, EQUALS, 1, F_DUPFD }, { SYS_fcntl, EQUALS, 1, F_DUPFD_CLOEXEC }, { SYS_fcntl, EQUALS, 1, F_GETFD }, { SYS_fcntl, EQUALS, 1, F_SETFD },
    { SYS_fcntl, EQUALS, 1, F_GETLK }, { SYS_fcntl, EQUALS, 1, F_SETLK }, { SYS_fcntl, EQUALS, 1, F_SETLKW },     /* not F_SETOWN: it sends signals */
    { SYS_fcntl, EQUALS, 1, F_OFD_GETLK }, { SYS_fcntl, EQUALS, 1, F_OFD_SETLK }, { SYS_fcntl, EQUALS, 1, F_OFD_SETLKW },
    { SYS_fdatasync, ALWAYS, 0, 0 }, { SYS_fsync, ALWAYS, 0, 0 }, { SYS_fallocate, ALWAYS, 0, 0 }, { SYS_ftruncate, ALWAYS, 0, 0 },
#ifdef SYS_sync_file_range
    { SYS_sync_file_range, ALWAYS, 0, 0 },
#endif
#ifdef SYS_sync_file_range2
    { SYS_sync_file_range2, ALWAYS, 0, 0 },
#endif
    { SYS_fstatfs, ALWAYS, 0, 0 }, { SYS_statfs, ALWAYS, 0, 0 }, { SYS_getdents64, ALWAYS, 0, 0 }, { SYS_statx, ALWAYS, 0, 0 },
    { SYS_mmap, LACKS_ONE, 2, PROT_WRITE | PROT_EXEC }, { SYS_msync, ALWAYS, 0, 0 },
    { SYS_unlinkat, ALWAYS, 0, 0 }, { SYS_linkat, ALWAYS, 0, 0 }, { SYS_mkdirat, ALWAYS, 0, 0 }, { SYS_renameat2, ALWAYS, 0, 0 },
    { SYS_utimensat, ALWAYS, 0, 0 }, { SYS_readlinkat, ALWAYS, 0, 0 }, { SYS_faccessat, ALWAYS, 0, 0 }, { SYS_faccessat2, ALWAYS, 0, 0 },
    { SYS_fchmod, ALWAYS, 0, 0 }, { SYS_fchmodat, ALWAYS, 0, 0 }, { SYS_memfd_create, ALWAYS, 0, 0 }, { SYS_umask, ALWAYS, 0, 0 },
    { SYS_getxattr, ALWAYS, 0, 0 }, { SYS_fgetxattr, ALWAYS, 0, 0 }, { SYS_lgetxattr, ALWAYS, 0, 0 }, { SYS_setxattr, ALWAYS, 0, 0 },
    { SYS_fsetxattr, ALWAYS, 0, 0 }, { SYS_removexattr, ALWAYS, 0, 0 }, { SYS_fremovexattr, ALWAYS, 0, 0 },
    { SYS_inotify_init1, ALWAYS, 0, 0 }, { SYS_inotify_add_watch, ALWAYS, 0, 0 }, { SYS_inotify_rm_watch, ALWAYS, 0, 0 },
    { SYS_rt_sigaction, ALWAYS, 0, 0 }, { SYS_rt_sigpending, ALWAYS, 0, 0 }, { SYS_sigaltstack, ALWAYS, 0, 0 },
    { SYS_clock_nanosleep, ALWAYS, 0, 0 }, { SYS_nanosleep, ALWAYS, 0, 0 }, { SYS_sched_yield, ALWAYS, 0, 0 },
    { SYS_getuid, ALWAYS, 0, 0 }, { SYS_geteuid, ALWAYS, 0, 0 }, { SYS_getgid, ALWAYS, 0, 0 }, { SYS_getegid, ALWAYS, 0, 0 },
    { SYS_getgroups, ALWAYS, 0, 0 }, { SYS_getppid, ALWAYS, 0, 0 }, { SYS_uname, ALWAYS, 0, 0 }, { SYS_sysinfo, ALWAYS, 0, 0 },
    { SYS_getrusage, ALWAYS, 0, 0 }, { SYS_kill, EQUALS, 1, 0 },           /* does the maker of a lock live? */
    { SYS_shutdown, ALWAYS, 0, 0 },
    { SYS_prctl, EQUALS, 0, PR_SET_PDEATHSIG }, { SYS_prctl, EQUALS, 0, PR_SET_NAME },
#ifdef SYS_quotactl_fd
    { SYS_quotactl_fd, ALWAYS, 0, 0 },
#endif
#ifdef SYS_renameat
    { SYS_renameat, ALWAYS, 0, 0 },
#endif
#ifdef SYS_fstat
    { SYS_fstat, ALWAYS, 0, 0 },
#endif
#ifdef SYS_open
    { SYS_open, ALWAYS, 0, 0 }, { SYS_stat, ALWAYS, 0, 0 }, { SYS_lstat, ALWAYS, 0, 0 }, { SYS_access, ALWAYS, 0, 0 },
    { SYS_mkdir, ALWAYS, 0, 0 }, { SYS_rmdir, ALWAYS, 0, 0 }, { SYS_unlink, ALWAYS, 0, 0 }, { SYS_rename, ALWAYS, 0, 0 },
    { SYS_link, ALWAYS, 0, 0 }, { SYS_readlink, ALWAYS, 0, 0 }, { SYS_chmod, ALWAYS, 0, 0 }, { SYS_utimes, ALWAYS, 0, 0 },
#endif
#ifdef SYS_getrlimit
    { SYS_getrlimit, ALWAYS, 0, 0 },
#endif
};

/* For names of users and groups that a daemon knows. Landlock says nothing about sockets: a user's own systemd, or his bus, would start
 * programs for whoever can connect to it as him. */
static const struct filter_row sockets[] = {
    { SYS_socket, EQUALS, 0, AF_UNIX }, { SYS_connect, ALWAYS, 0, 0 }, { SYS_sendmsg, ALWAYS, 0, 0 }, { SYS_recvmsg, ALWAYS, 0, 0 },
    { SYS_sendto, ALWAYS, 0, 0 },
};

#ifndef SANITIZED
/* Nothing in a session has a use for these: who calls them has taken it over. */
static const struct filter_row taken_over[] = {
    { SYS_execve, KILL, 0, 0 }, { SYS_execveat, KILL, 0, 0 }, { SYS_clone, KILL, 0, 0 }, { SYS_ptrace, KILL, 0, 0 },
#ifdef SYS_clone3
    { SYS_clone3, KILL, 0, 0 },
#endif
#ifdef SYS_fork
    { SYS_fork, KILL, 0, 0 }, { SYS_vfork, KILL, 0, 0 },
#endif
    { SYS_setuid, KILL, 0, 0 }, { SYS_setgid, KILL, 0, 0 }, { SYS_setresuid, KILL, 0, 0 }, { SYS_setresgid, KILL, 0, 0 },
    { SYS_setgroups, KILL, 0, 0 }, { SYS_mount, KILL, 0, 0 }, { SYS_umount2, KILL, 0, 0 }, { SYS_chroot, KILL, 0, 0 },
    { SYS_pivot_root, KILL, 0, 0 }, { SYS_unshare, KILL, 0, 0 }, { SYS_setns, KILL, 0, 0 }, { SYS_bpf, KILL, 0, 0 },
    { SYS_process_vm_readv, KILL, 0, 0 }, { SYS_process_vm_writev, KILL, 0, 0 }, { SYS_init_module, KILL, 0, 0 },
    { SYS_finit_module, KILL, 0, 0 }, { SYS_kexec_load, KILL, 0, 0 }, { SYS_perf_event_open, KILL, 0, 0 }, { SYS_userfaultfd, KILL, 0, 0 },
#ifdef SYS_io_uring_setup
    { SYS_io_uring_setup, KILL, 0, 0 },
#endif
};
#endif

#define ADD(p, rows) filter_add(p, rows, sizeof (rows) / sizeof (rows)[0])

static void add_sanitizer_rows(struct filter_program *p)
{
#ifdef SANITIZED
    static const int calls[] = { SYS_openat, SYS_readlinkat, SYS_sigaltstack, SYS_rt_sigaction, SYS_sched_yield,
                                 SYS_getdents64, SYS_lseek, SYS_getppid, SYS_newfstatat, SYS_gettid, SYS_prctl,
#ifdef SYS_readlink
                                 SYS_readlink, SYS_open, SYS_stat,
#endif
#ifdef SYS_fstat
                                 SYS_fstat,
#endif
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        filter_add(p, &(struct filter_row){ calls[i], ALWAYS, 0, 0 }, 1);
#else
    (void)p;
#endif
}

#ifdef SANITIZED
#define KILLS (SECCOMP_RET_ERRNO | EPERM)
#else
#define KILLS SECCOMP_RET_KILL_PROCESS
#endif

/* otherwise: what a call gets that is on no list. */
static int install(struct filter_program *p, uint32_t otherwise)
{
    if (filter_finish(p, FILTER_ARCH, otherwise) != 0)
        return -1;
    struct sock_fprog whole = { .len = p->length, .filter = p->code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0);
}

static void begin(struct filter_program *p)
{
    filter_begin(p);
    filter_add(p, &(struct filter_row){ SYS_tgkill, EQUALS, 0, (uint32_t)getpid() }, 1);   /* abort(3): a bug of ours is to be seen as one */
    ADD(p, basic);
}

int filter_greeter(void)
{
    struct filter_program p;
    begin(&p);
    add_sanitizer_rows(&p);
    ADD(&p, refused);
    return install(&p, KILLS);
}

int filter_relay(void)
{
    struct filter_program p;
    begin(&p);
    filter_add(&p, &(struct filter_row){ SYS_shutdown, ALWAYS, 0, 0 }, 1);
    add_sanitizer_rows(&p);
    ADD(&p, refused);
    return install(&p, KILLS);
}

int filter_warm(void)
{
    static const struct filter_row more[] = {
        { SYS_shutdown, ALWAYS, 0, 0 }, { SYS_accept4, ALWAYS, 0, 0 }, { SYS_listen, ALWAYS, 0, 0 }, { SYS_getsockopt, ALWAYS, 0, 0 },
        { SYS_recvmsg, ALWAYS, 0, 0 }, { SYS_dup3, ALWAYS, 0, 0 }, { SYS_rt_sigaction, ALWAYS, 0, 0 }, { SYS_prlimit64, ALWAYS, 0, 0 },
        { SYS_pipe2, ALWAYS, 0, 0 },
#ifdef SYS_dup2
        { SYS_dup2, ALWAYS, 0, 0 },
#endif
#ifdef SYS_fork
        { SYS_fork, ALWAYS, 0, 0 },
#endif
        { SYS_clone, LACKS, 0, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_VM },
        { SYS_set_robust_list, ALWAYS, 0, 0 },
        { SYS_prctl, EQUALS, 0, PR_SET_NAME }, { SYS_prctl, EQUALS, 0, PR_SET_SECCOMP }, { SYS_prctl, EQUALS, 0, PR_SET_NO_NEW_PRIVS },
    };
    struct filter_program p;
    begin(&p);
    ADD(&p, more);
    add_sanitizer_rows(&p);
    ADD(&p, refused);
    return install(&p, KILLS);
}

int filter_locker(void)
{
    struct filter_program p;
    begin(&p);
    ADD(&p, locker);
    add_sanitizer_rows(&p);
    ADD(&p, refused);
    return install(&p, KILLS);
}

int filter_session(bool with_sockets)
{
    struct filter_program p;
    begin(&p);
    ADD(&p, session);
    if (with_sockets)
        ADD(&p, sockets);
    add_sanitizer_rows(&p);
#ifndef SANITIZED
    ADD(&p, taken_over);
#endif
    return install(&p, SECCOMP_RET_ERRNO | EPERM);      /* a library may try what it can do without */
}
