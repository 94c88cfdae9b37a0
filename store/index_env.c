/*
 * The environment of the index: opening it, its room on disk, and what is done when it is lost or damaged.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/index_private.h"

enum { INDEX_READERS = 1024 };

const char *const index_table_names[TABLE_COUNT] = { "names", "box", "keywords", "chunks", "chunk", "cache", "expunged",
                                                     "preview", "ids", "fields", "sort" };
static const char version_key[] = "version";
static struct {
    sigjmp_buf *back;
    struct index *index;     /* whose map is looked for when there is a fault, not before: that takes time */
    void *lmdb;              /* where its code is loaded */
} watched;

/* LMDB found something that cannot be. */
static void assertion(MDB_env *env, const char *text)
{
    (void)env;
    (void)text;
    if (watched.back != NULL)
        siglongjmp(*watched.back, 1);
}

/* Opens the tables and checks the version; a fresh environment gets its version. MDB_VERSION_MISMATCH if it is another. */
static int open_tables(struct index *x)
{
    static const uint32_t version[2] = { INDEX_VERSION, sizeof(struct message_record) };
    MDB_txn *txn;
    MDB_val k = { sizeof version_key, (void *)(uintptr_t)version_key }, v;
    int rc = mdb_txn_begin(x->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    for (int i = 0; rc == 0 && i < TABLE_COUNT; i++)
        rc = mdb_dbi_open(txn, index_table_names[i], MDB_CREATE, &x->tables[i]);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, &x->main);
    if (rc == 0) {
        rc = mdb_get(txn, x->main, &k, &v);
        if (rc == MDB_NOTFOUND) {
            v = (MDB_val){ sizeof version, (void *)(uintptr_t)version };
            rc = mdb_put(txn, x->main, &k, &v, 0);
        } else if (rc == 0 && (v.mv_size != sizeof version || memcmp(v.mv_data, version, sizeof version) != 0)) {
            rc = MDB_VERSION_MISMATCH;
        }
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

/* The tables of an environment that is as it should be are opened without a writing transaction: the usual case. */
static int open_tables_quickly(struct index *x)
{
    static const uint32_t version[2] = { INDEX_VERSION, sizeof(struct message_record) };
    MDB_txn *txn;
    MDB_val k = { sizeof version_key, (void *)(uintptr_t)version_key }, v;
    int rc = mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    for (int i = 0; rc == 0 && i < TABLE_COUNT; i++)
        rc = mdb_dbi_open(txn, index_table_names[i], 0, &x->tables[i]);
    if (rc == 0)
        rc = mdb_dbi_open(txn, NULL, 0, &x->main);
    if (rc == 0)
        rc = mdb_get(txn, x->main, &k, &v);
    if (rc == 0 && (v.mv_size != sizeof version || memcmp(v.mv_data, version, sizeof version) != 0))
        rc = MDB_VERSION_MISMATCH;
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

/* Room on disk for n octets from `at` on, whatever the size. 0 or errno; a file system that cannot say is taken to have it. */
static int reserve(int fd, off_t at, off_t n)
{
    int rc;
    do
        rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, at, n);
    while (rc != 0 && errno == EINTR);
    return rc == 0 || errno == EOPNOTSUPP ? 0 : errno;
}

/* The lock file is written through a map, where a full disk would be a signal: so its room is had first. */
static int reserve_lock(const char *dir)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/lock.mdb", dir);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    const int rc = fstat(fd, &st) != 0 ? errno : st.st_blocks * 512 >= LOCK_ROOM ? 0 : reserve(fd, 0, LOCK_ROOM);
    close(fd);               /* before LMDB locks it: closing would drop its locks */
    return rc;
}

/* Some pages behind the end are kept on disk, so that flags can be changed and messages expunged when it is full. ENOSPC or
 * EDQUOT: they cannot be had. */
int index_keep_reserve(struct index *x)
{
    MDB_envinfo info;
    mdb_filehandle_t fd;
    struct stat st;
    if (x->dir == NULL || x->memory >= 0 || mdb_env_info(x->env, &info) != 0)
        return 0;
    const off_t used = (off_t)(info.me_last_pgno + 1) * 4096;
    if (x->reserved >= used + RESERVE / 2 || mdb_env_get_fd(x->env, &fd) != 0 || fstat(fd, &st) != 0)
        return 0;
    x->reserved = used + RESERVE;
    const int rc = st.st_blocks * 512 >= used + RESERVE / 2 ? 0 : reserve(fd, used, RESERVE);
    return rc == ENOSPC || rc == EDQUOT ? rc : 0;
}

static int open_environment(struct index *x, const char *path, unsigned flags)
{
    int dead;
    x->openings++;
    free(x->checked);
    x->checked = NULL;
    memset(x->touched, 0, sizeof x->touched);
    x->windows = 0;
    int rc = mdb_env_create(&x->env);
    if (rc != 0)
        return rc;
    mdb_env_set_assert(x->env, assertion);
    mdb_env_set_maxdbs(x->env, TABLE_COUNT);
    mdb_env_set_maxreaders(x->env, INDEX_READERS);
    mdb_env_set_mapsize(x->env, INDEX_MAP);
    rc = mdb_env_open(x->env, path, flags | MDB_NOMETASYNC | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    if (rc == 0 && x->memory < 0)
        rc = mdb_reader_check(x->env, &dead);        /* those of killed sessions would keep old pages for ever */
    if (rc == 0)
        rc = open_tables_quickly(x);
    if (rc == MDB_NOTFOUND) {
        rc = open_tables(x);
        const int dir = rc == 0 && x->memory < 0 ? open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (dir >= 0 && (fsync(dir) != 0 || close(dir) != 0))        /* a new one is not to be lost whole */
            errno = 0;
    }
    if (rc != 0) {
        mdb_env_close(x->env);
        x->env = NULL;
    }
    return rc;
}

static int open_memory(struct index *x)
{
    char path[64];
    x->memory = memfd_create("imapd-index", MFD_CLOEXEC);
    if (x->memory < 0)
        return errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", x->memory);
    return open_environment(x, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC);
}

/* Goes on with a copy in memory: the disk has no room for what a session has to note. What it notes is lost with it, but for
 * what the mailboxes say. */
static int move_to_memory(struct index *x)
{
    char path[64];
    const int fd = memfd_create("imapd-index", MFD_CLOEXEC);
    int rc = fd < 0 ? errno : mdb_env_copyfd(x->env, fd);
    if (rc != 0) {
        if (fd >= 0)
            close(fd);
        return rc;
    }
    mdb_env_close(x->env);
    x->env = NULL;
    x->memory = fd;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open_environment(x, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC);
}

bool index_in_memory(const struct index *x)
{
    return x->memory >= 0;
}

bool index_damaged(const struct index *x)
{
    return x->damaged;
}

unsigned index_state(const struct index *x)
{
    return 2 * x->openings + x->damaged;
}

bool index_is_damage(int rc)
{
    return rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND
        || rc == MDB_INCOMPATIBLE || rc == MDB_MAP_RESIZED || rc == MDB_BAD_TXN || rc == MDB_CURSOR_FULL
        || rc == MDB_PAGE_FULL;
}

int index_open(struct index **out, const char *dir, void (*warning)(const char *text), struct store_error *e)
{
    struct index *x = xcalloc(1, sizeof *x);
    x->warning = warning;
    x->memory = -1;
    int rc;
    if (dir == NULL) {
        rc = open_memory(x);
    } else {
        x->dir = xstrdup(dir);
        rc = reserve_lock(dir);
        if (rc == 0)
            rc = open_environment(x, dir, 0);
        if (index_is_damage(rc)) {
            index_set_aside(dir);
            rc = open_environment(x, dir, 0);
        }
    }
    if (rc == 0 && index_keep_reserve(x) != 0)
        rc = move_to_memory(x);
    if (rc != 0) {
        index_close(x);
        return index_fail(NULL, e, rc, dir != NULL ? dir : "memory");
    }
    *out = x;
    return 0;
}

/* LMDB gives an environment up for good when a page of its own could not be written. */
int index_reopen(struct index *x)
{
    if (x->live > 0 || x->memory >= 0)
        return MDB_PANIC;
    if (x->idle != NULL)
        mdb_txn_abort(x->idle);
    x->idle = NULL;
    if (x->env != NULL)
        mdb_env_close(x->env);
    x->env = NULL;
    x->map = NULL;
    x->reserved = x->least = 0;
    if (mkdir(x->dir, 0700) != 0 && errno != EEXIST)
        return open_memory(x);
    if (x->damaged)
        index_set_aside(x->dir);
    x->damaged = false;
    int rc = reserve_lock(x->dir);
    if (rc == 0)
        rc = open_environment(x, x->dir, 0);
    if (index_is_damage(rc)) {
        index_set_aside(x->dir);
        rc = open_environment(x, x->dir, 0);
    }
    if (rc != 0)
        rc = open_memory(x);
    if (rc == 0 && watched.back != NULL)
        index_watch(x, watched.back);
    return rc;
}

bool index_lost(struct index *x)
{
    mdb_filehandle_t fd;
    struct stat st;
    if (x->memory >= 0 || x->env == NULL)
        return false;
    if (mdb_env_get_fd(x->env, &fd) != 0 || fstat(fd, &st) != 0)
        return false;
    const char *what = x->damaged ? "damaged: set aside" : st.st_nlink == 0 ? "deleted" : st.st_size < x->least ? "cut short" : NULL;
    x->least = st.st_size;
    if (what != NULL && x->warning != NULL) {
        char text[4200];
        snprintf(text, sizeof text, "index in %s: %s; made anew", x->dir, what);
        x->warning(text);
    }
    return what != NULL;
}

void index_close(struct index *x)
{
    if (x == NULL)
        return;
    if (x->idle != NULL)
        mdb_txn_abort(x->idle);
    if (x->env != NULL)
        mdb_env_close(x->env);
    if (x->memory >= 0)
        close(x->memory);
    free(x->dir);
    free(x->checked);
    free(x->chunks_copy);
    free(x->chunk_copy);
    free(x);
}

/* ---- LMDB trusts its pages ---------------------------------------------------------------------------------------- */

static bool is_lmdb(const void *code)
{
    Dl_info of = { .dli_fbase = NULL };
    return dladdr(code, &of) != 0 && of.dli_fbase == watched.lmdb;
}

/* In the map, in LMDB's code, or in a function of libc (memcpy, which keeps nothing on the stack) that LMDB has called. */
static void fault(int signal_number, siginfo_t *info, void *context)
{
    const char *at = info->si_addr;
    const ucontext_t *u = context;
#if defined __x86_64__
    const void *const pc = (void *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP];
    const void *const caller = *(void *const *)(uintptr_t)u->uc_mcontext.gregs[REG_RSP];
#elif defined __aarch64__
    const void *const pc = (void *)(uintptr_t)u->uc_mcontext.pc, *const caller = (void *)(uintptr_t)u->uc_mcontext.regs[30];
#else
    const void *const pc = NULL, *const caller = NULL;
    (void)u;
#endif
    const char *map = watched.index != NULL ? index_map(watched.index) : NULL;
    const bool in_map = signal_number != SIGFPE && (map == NULL || (at >= map && (size_t)(at - map) < INDEX_MAP));
    if (watched.back != NULL && (in_map || is_lmdb(pc) || is_lmdb(caller)))
        siglongjmp(*watched.back, 1);
    signal(signal_number, SIG_DFL);  /* a fault of our own */
}

void index_watch(struct index *x, sigjmp_buf *back)
{
    struct sigaction act = { .sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
    Dl_info code = { .dli_fbase = NULL };
    watched.back = back;
    watched.index = x;
    if (watched.lmdb != NULL || back == NULL)
        return;
    dladdr((void *)(uintptr_t)mdb_env_create, &code);
    watched.lmdb = code.dli_fbase;
    sigemptyset(&act.sa_mask);
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
    sigaction(SIGFPE, &act, NULL);   /* a page size of 0 */
}

void index_set_aside(const char *dir)
{
    char path[4096], aside[4096];
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    snprintf(aside, sizeof aside, "%s/data.mdb.damaged", dir);
    if (rename(path, aside) != 0)
        unlink(path);
    snprintf(path, sizeof path, "%s/lock.mdb", dir);
    unlink(path);
}
