/*
 * The pages of LMDB's map: where it is, and giving them back.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/index_private.h"

/* The number at *p in that base, and *p behind it and the octet that ends it. */
static unsigned long number(const char **p, const char *end, unsigned base)
{
    unsigned long n = 0;
    for (; *p < end; ++*p) {
        const char c = **p;
        const unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
        if (digit >= base)
            break;
        n = n * base + digit;
    }
    *p += *p < end;
    return n;
}

/* "start-end perms offset major:minor inode path": the start, if that is a file's beginning. */
static char *map_of_line(const char *p, const char *end, unsigned long inode)
{
    const unsigned long start = number(&p, end, 16);
    (void)number(&p, end, 16);
    p += end - p > 5 ? 5 : end - p;
    const unsigned long offset = number(&p, end, 16);
    (void)number(&p, end, 16);
    (void)number(&p, end, 16);
    return offset == 0 && number(&p, end, 10) == inode ? (char *)start : NULL;
}

/* Where the map begins; LMDB tells it for fixed maps only. Called in a handler of faults too: no library calls but of the system. */
static char *find_map(MDB_env *env)
{
    char text[4096], *found = NULL;
    size_t have = 0;
    ssize_t got;
    struct stat st;
    mdb_filehandle_t fd;
    const int maps = mdb_env_get_fd(env, &fd) == 0 && fstat(fd, &st) == 0 ? open("/proc/self/maps", O_RDONLY | O_CLOEXEC) : -1;
    while (maps >= 0 && found == NULL && (got = read(maps, text + have, sizeof text - have)) > 0) {
        const char *line = text, *end = text + have + (size_t)got, *lf;
        while (found == NULL && (lf = memchr(line, '\n', (size_t)(end - line))) != NULL) {
            found = map_of_line(line, lf, st.st_ino);
            line = lf + 1;
        }
        have = line > text ? (size_t)(end - line) : 0;       /* no line is longer than the buffer: a path has 4096 octets, but not ours */
        memmove(text, line, have);
    }
    if (maps >= 0)
        close(maps);
    return found;
}

char *index_map(struct index *x)
{
    if (x->map == NULL)
        x->map = find_map(x->env);
    return x->map;
}

void index_touched(struct index *x, const void *at)
{
    MDB_envinfo info;
    const size_t window = (uintptr_t)at / WINDOW % (INDEX_MAP / WINDOW);
    uint64_t *const word = &x->touched[window / 64], bit = (uint64_t)1 << window % 64;
    if (*word & bit)
        return;
    if (x->windows == WINDOWS) {
        x->windows = 0;
        memset(x->touched, 0, sizeof x->touched);
        if (index_map(x) != NULL && mdb_env_info(x->env, &info) == 0)
            madvise(x->map, (info.me_last_pgno + 1) * 4096, MADV_DONTNEED);
    }
    *word |= bit;
    x->windows++;
}
