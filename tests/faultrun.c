/*
 * faultrun: runs a program and, at one of its system calls that concern files below given directories, ends it, cuts the
 * call short or lets it fail; or records all of them. For the tests of what survives (crash.test, faults.test).
 *
 * A seccomp filter in the program stops only calls of the table below (SECCOMP_RET_TRACE), so it runs at nearly full speed.
 * The tracer sees each before it is made: it can change its arguments, or skip it (orig_rax = -1) with a result of its own.
 *
 * usage: faultrun --root DIR [--root DIR] [--at N] [--mode MODE] [--sticky] [--faults change|all] [--uid N]
 *                 [--record FILE] [--report FILE] -- PROGRAM [ARGUMENT...]
 *   --at N          the Nth call counted, from 1; 0: none. All processes that the program starts are counted together.
 *   --mode MODE     kill-before, kill-after, torn=OCTETS (a write is cut after so many octets or fewer, where the file offset
 *                   is a multiple of 512, and the program killed when it is done), torn=half, short (half the octets),
 *                   errno=NAME
 *   --sticky        errno: every later call of the kind fails too: ENOSPC and EDQUOT at all that need room, others at all
 *   --faults all    reads and all openings count too
 *   --record FILE   a JSON line for each call, written octets in FILE.data; replies (on standard output) too
 *   --report FILE   a JSON line at the end: calls counted, what was done where
 * Exit status: the program's; 99 if it was killed here; 98 for our own trouble.
 */
#include <stdio.h>
#if !defined(__x86_64__)
int main(void)
{
    puts("faultrun knows the registers of x86-64 alone");
    return 77;
}
#else
#include "tests/faultrun.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum mode { NONE, KILL_BEFORE, KILL_AFTER, TORN, SHORT, FAIL };

static struct {
    unsigned long at;
    enum mode mode;
    uint64_t torn;                     /* UINT64_MAX: half */
    int error;
    bool sticky;
    long uid;
    const char *record, *report;
    char **argv;
} opt = { .uid = -1 };
static struct look_settings seen;
static FILE *record_file;
static int record_data = -1;
static uint64_t record_at;
static unsigned long counted, recorded;
static struct {
    bool fired;
    const char *call;
    char path[PATH_MAX];
    uint64_t len, cut;
} done;

/* What each stopped process waits for: the end of its call. */
static struct waiting {
    pid_t pid;
    struct event *event;
} waiting[64];

static void trouble(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void trouble(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("faultrun: ", stderr);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "%s%s\n", errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    exit(OWN_TROUBLE);
}

/* ---- the record ------------------------------------------------------------------------------------------------------ */

static void json_string(FILE *f, const char *key, const char *text)
{
    fprintf(f, ",\"%s\":\"", key);
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(f, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(f, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, f);
    }
    fputc('"', f);
}

/* Appends the octets that the call wrote to FILE.data; returns where they begin. */
static uint64_t record_octets(const struct event *v, uint64_t n)
{
    static char part[1 << 16];
    const uint64_t begin = record_at;
    for (int i = 0; i < v->iov_n && n > 0; i++) {
        for (uint64_t at = 0, k; at < v->iov[i].iov_len && n > 0; at += k, n -= k) {
            k = v->iov[i].iov_len - at;
            k = k < sizeof part ? k : sizeof part;
            k = k < n ? k : n;
            if (look_peek(v->pid, (uint64_t)(uintptr_t)v->iov[i].iov_base + at, part, (size_t)k) != k
                || write(record_data, part, (size_t)k) != (ssize_t)k)
                trouble("recording octets");
            record_at += k;
        }
    }
    return begin;
}

static void record(const struct event *v, int64_t result)
{
    struct stat st;
    FILE *f = record_file;
    if (v->reply && result <= 0)
        return;
    const bool writes = v->call->kind == WRITE || v->call->kind == WRITEV || v->call->kind == SEND;
    fprintf(f, "{\"i\":%lu,\"n\":%lu,\"pid\":%d,\"call\":\"%s\"", ++recorded, v->counts ? counted : 0, (int)v->pid,
            v->reply ? "reply" : v->call->name);
    if (!v->reply) {
        struct event after = *v;
        if (v->call->kind == OPEN && v->flags & (O_TMPFILE & ~O_DIRECTORY) && result >= 0)
            look_link(after.path, "/proc/%d/fd/%d", (int)v->pid, (int)result);
        const bool there = v->call->kind == OPEN && result >= 0 && look_stat(&after, &st);
        json_string(f, "path", after.path);
        if (v->path2[0] != 0)
            json_string(f, "path2", v->path2);
        fprintf(f, ",\"ino\":%llu", (unsigned long long)(there || (v->ino == 0 && look_stat(&after, &st)) ? st.st_ino : v->ino));
        if (v->call->kind != NAME && look_stat(&after, &st))
            fprintf(f, ",\"size_before\":%llu,\"size_after\":%llu", (unsigned long long)v->size, (unsigned long long)st.st_size);
    }
    fprintf(f, ",\"off\":%llu,\"len\":%llu,\"flags\":%llu,\"ret\":%lld", (unsigned long long)v->off,
            (unsigned long long)(writes && result >= 0 ? (uint64_t)result : v->len), (unsigned long long)v->flags, (long long)result);
    if (writes && result > 0)
        fprintf(f, ",\"data\":%llu", (unsigned long long)record_octets(v, (uint64_t)result));
    fputs("}\n", f);
}

/* ---- doing harm ------------------------------------------------------------------------------------------------------ */

static void set_regs(struct event *v)
{
    if (ptrace(PTRACE_SETREGS, v->pid, 0, &v->regs) != 0)
        trouble("PTRACE_SETREGS");
}

static void finish(void)
{
    if (record_file != NULL && fclose(record_file) != 0)
        trouble("%s", opt.record);
    FILE *f = opt.report != NULL ? fopen(opt.report, "we") : NULL;
    if (f != NULL) {
        fprintf(f, "{\"calls\":%lu,\"fired\":%s", counted, done.fired ? "true" : "false");
        if (done.fired) {
            json_string(f, "call", done.call);
            json_string(f, "path", done.path);
            fprintf(f, ",\"len\":%llu,\"cut\":%llu", (unsigned long long)done.len, (unsigned long long)done.cut);
        }
        fputs("}\n", f);
        fclose(f);
    }
}

/* All of it ends with us (PTRACE_O_EXITKILL), at once: nothing more is done by any of its processes. */
static void kill_all(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(-1, NULL, __WALL | WNOHANG) > 0)
        continue;
    finish();
    waitpid(pid, NULL, __WALL);
    exit(KILLED);
}

/* Leaves `keep` octets of the call: by its length, or that of one of its parts and their number. */
static void cut(struct event *v, uint64_t keep)
{
    if (v->call->kind == WRITE || v->call->kind == READ) {
        v->regs.rdx = keep;
    } else if (v->call->kind == WRITEV) {
        uint64_t left = keep;
        int i = 0;
        while (i < v->iov_n && v->iov[i].iov_len < left)
            left -= v->iov[i++].iov_len;
        const uint64_t at = look_argument(v, 1) + (uint64_t)i * sizeof *v->iov + offsetof(struct iovec, iov_len);
        const struct iovec ours = { &left, sizeof left }, theirs = { (void *)(uintptr_t)at, sizeof left };
        v->iov_changed[0] = at;
        v->iov_changed[1] = v->iov[i].iov_len;
        if (process_vm_writev(v->pid, &ours, 1, &theirs, 1, 0) != (ssize_t)sizeof left)
            trouble("process_vm_writev");
        v->regs.rdx = (unsigned)i + 1;
    }
    set_regs(v);
}

/* Overwriting needs none. */
static bool needs_room(const struct event *v)
{
    if (v->call->kind == WRITE || v->call->kind == WRITEV)
        return v->off + v->len > v->size;
    return (v->call->kind == SIZE && v->call->nr != SYS_ftruncate && !(v->flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE)))
        || (v->call->kind == OPEN && v->flags & O_CREAT && v->ino == 0)
        || (v->call->kind == NAME && strncmp(v->call->name, "unlink", 6) != 0 && strcmp(v->call->name, "rmdir") != 0
            && (strncmp(v->call->name, "mkdir", 5) != 0 || v->ino == 0));
}

/* A full disk refuses what needs room; too many files, what opens; anything else may hit any call. */
static bool can_fail_so(const struct event *v)
{
    switch (opt.error) {
    case ENOSPC: case EDQUOT: return needs_room(v);
    case EMFILE: case ENFILE: return v->call->kind == OPEN;
    default: return true;
    }
}

/* The call is the one, or follows it on a broken disk. */
static void harm(struct event *v)
{
    const bool writes = v->call->kind == WRITE || v->call->kind == WRITEV;
    uint64_t keep = v->len / 2;
    if (!done.fired) {
        done.call = v->call->name;
        snprintf(done.path, sizeof done.path, "%s", v->path);
        done.len = done.cut = v->len;
        done.fired = true;
    }
    switch (opt.mode) {
    case KILL_BEFORE: kill_all(v->pid); break;
    case KILL_AFTER: v->kill_at_exit = true; break;
    case TORN:
        v->kill_at_exit = true;
        if (!writes)
            break;
        if (opt.torn != UINT64_MAX)
            keep = opt.torn < v->len ? opt.torn : v->len;
        keep = (v->off + keep) / 512 * 512;
        keep = keep > v->off ? keep - v->off : 0;
        done.cut = keep;
        if (keep == 0)
            kill_all(v->pid);
        cut(v, keep);
        break;
    case SHORT:
        done.cut = keep;
        if (keep > 0 && (writes || (v->call->kind == READ && v->call->nr != SYS_getdents64 && v->call->nr != SYS_readv)))
            cut(v, keep);
        break;
    case FAIL:
        v->regs.orig_rax = (unsigned long long)-1;
        v->regs.rax = (unsigned long long)-(long long)opt.error;
        v->skipped = true;
        set_regs(v);
        break;
    case NONE: break;
    }
}

/* ---- the tracer ------------------------------------------------------------------------------------------------------ */

static struct waiting *slot_of(pid_t pid)
{
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++)
        if (waiting[i].pid == pid)
            return &waiting[i];
    return NULL;
}

static void before_call(pid_t pid)
{
    struct event *v = calloc(1, sizeof *v);
    struct waiting *slot = slot_of(0);
    if (v == NULL || slot == NULL)
        trouble("too many processes");
    v->pid = pid;
    if (ptrace(PTRACE_GETREGS, pid, 0, &v->regs) != 0 || !look(v, &seen)) {
        free(v);
        ptrace(PTRACE_CONT, pid, 0, 0);
        return;
    }
    const bool possible = v->counts && (opt.mode != FAIL || can_fail_so(v));
    counted += v->counts;
    if (possible && opt.mode != NONE && opt.at != 0
        && (counted == opt.at || (opt.mode == FAIL && opt.sticky && counted > opt.at)))
        harm(v);
    if (record_file == NULL && !v->kill_at_exit && v->iov_changed[0] == 0) {
        free(v);
        ptrace(PTRACE_CONT, pid, 0, 0);
        return;
    }
    if (v->skipped) {                             /* no end to wait for */
        if (record_file != NULL)
            record(v, -(int64_t)opt.error);
        free(v);
        ptrace(PTRACE_CONT, pid, 0, 0);
        return;
    }
    *slot = (struct waiting){ pid, v };
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
}

static void after_call(pid_t pid, struct waiting *slot)
{
    struct user_regs_struct regs;
    struct event *v = slot->event;
    slot->pid = 0;
    if (ptrace(PTRACE_GETREGS, pid, 0, &regs) != 0)
        trouble("PTRACE_GETREGS");
    if (record_file != NULL)
        record(v, (int64_t)regs.rax);
    if (v->kill_at_exit)
        kill_all(pid);
    if (v->iov_changed[0] != 0) {
        const struct iovec ours = { &v->iov_changed[1], 8 }, theirs = { (void *)(uintptr_t)v->iov_changed[0], 8 };
        if (process_vm_writev(pid, &ours, 1, &theirs, 1, 0) != 8)
            trouble("process_vm_writev");
    }
    free(v);
    ptrace(PTRACE_CONT, pid, 0, 0);
}

/* Until the first process ends; returns its wait status. */
static int trace(pid_t first)
{
    int status;
    for (;;) {
        const pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0)
            trouble("waitpid");
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            struct waiting *slot = slot_of(pid);
            if (slot != NULL && slot->event != NULL)
                slot->pid = 0;
            if (pid == first)
                return status;
            continue;
        }
        const int event = status >> 16, sig = WSTOPSIG(status);
        struct waiting *slot = slot_of(pid);
        if (event == PTRACE_EVENT_SECCOMP)
            before_call(pid);
        else if (sig == (SIGTRAP | 0x80) && slot != NULL)
            after_call(pid, slot);
        else if (event == PTRACE_EVENT_STOP && (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU))
            ptrace(PTRACE_LISTEN, pid, 0, 0);
        else
            ptrace(slot != NULL ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0, event != 0 || sig == (SIGTRAP | 0x80) ? 0 : sig);
    }
}

static pid_t start(void)
{
    int gate[2];
    char go;
    if (pipe(gate) != 0)
        trouble("pipe");
    const pid_t pid = fork();
    if (pid < 0)
        trouble("fork");
    if (pid == 0) {
        close(gate[1]);
        if (read(gate[0], &go, 1) != 1)
            _exit(OWN_TROUBLE);
        close(gate[0]);
        if (opt.uid >= 0 && (syscall(SYS_setgroups, 0, NULL) != 0 || setgid((gid_t)opt.uid) != 0 || setuid((uid_t)opt.uid) != 0))
            trouble("setuid");
        if (look_install_filter(seen.all) != 0)
            trouble("seccomp");
        execvp(opt.argv[0], opt.argv);
        trouble("%s", opt.argv[0]);
    }
    close(gate[0]);
    if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK
               | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC) != 0)
        trouble("PTRACE_SEIZE");
    if (write(gate[1], "g", 1) != 1)
        trouble("pipe");
    close(gate[1]);
    look_link(seen.replies, "/proc/self/fd/1");
    return pid;
}

/* ---- options --------------------------------------------------------------------------------------------------------- */

static void parse_mode(const char *text)
{
    static const struct { const char *name; int value; } errors[] = {
        { "ENOSPC", ENOSPC }, { "EDQUOT", EDQUOT }, { "EIO", EIO }, { "EINTR", EINTR }, { "EMFILE", EMFILE }, { "ENFILE", ENFILE },
        { "EROFS", EROFS }, { "EACCES", EACCES }, { "ENOMEM", ENOMEM } };
    if (strcmp(text, "kill-before") == 0)
        opt.mode = KILL_BEFORE;
    else if (strcmp(text, "kill-after") == 0)
        opt.mode = KILL_AFTER;
    else if (strcmp(text, "short") == 0)
        opt.mode = SHORT;
    else if (strncmp(text, "torn=", 5) == 0) {
        opt.mode = TORN;
        opt.torn = strcmp(text + 5, "half") == 0 ? UINT64_MAX : strtoull(text + 5, NULL, 10);
    } else if (strncmp(text, "errno=", 6) == 0) {
        opt.mode = FAIL;
        for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
            if (strcmp(text + 6, errors[i].name) == 0)
                opt.error = errors[i].value;
    }
    if (opt.mode == NONE || (opt.mode == FAIL && opt.error == 0))
        trouble("unknown mode %s", text);
}

static void parse_options(int argc, char **argv)
{
    int i = 1;
    errno = 0;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--sticky") == 0) {
            opt.sticky = true;
            continue;
        }
        i++;
        if (strcmp(name, "--root") == 0 && seen.root_count < ROOTS)
            seen.roots[seen.root_count++] = value;
        else if (strcmp(name, "--at") == 0)
            opt.at = strtoul(value, NULL, 10);
        else if (strcmp(name, "--mode") == 0)
            parse_mode(value);
        else if (strcmp(name, "--faults") == 0)
            seen.all = strcmp(value, "all") == 0;
        else if (strcmp(name, "--uid") == 0)
            opt.uid = strtol(value, NULL, 10);
        else if (strcmp(name, "--record") == 0)
            opt.record = value;
        else if (strcmp(name, "--report") == 0)
            opt.report = value;
        else
            trouble("unknown option %s", name);
    }
    if (seen.root_count == 0 || i + 1 >= argc)
        trouble("usage: faultrun --root DIR [options] -- PROGRAM [ARGUMENT...]");
    opt.argv = argv + i + 1;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    seen.replies_too = opt.record != NULL;
    if (opt.record != NULL) {
        char name[PATH_MAX];
        snprintf(name, sizeof name, "%s.data", opt.record);
        record_file = fopen(opt.record, "we");
        record_data = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (record_file == NULL || record_data < 0)
            trouble("%s", opt.record);
    }
    const pid_t pid = start();
    const int status = trace(pid);
    finish();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
#endif
