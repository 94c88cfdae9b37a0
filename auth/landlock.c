/*
 * Landlock by raw system calls: the C library has no wrappers, and headers older than the running kernel lack the newer
 * rights, which are defined here. The rights that are handled depend on the kernel's version of the interface; what it does
 * not know it cannot forbid, and a path rule must not name it.
 */
#include "auth/landlock.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 };     /* the same on every architecture */
enum { VERSION_FLAG = 1, RULE_PATH_BENEATH = 1, SCOPE_ABSTRACT_UNIX = 1, NET_BIND_AND_CONNECT = 3 };

enum right {
    EXECUTE = 1 << 0, WRITE_FILE = 1 << 1, READ_FILE = 1 << 2, READ_DIR = 1 << 3, REMOVE_DIR = 1 << 4, REMOVE_FILE = 1 << 5,
    MAKE_CHAR = 1 << 6, MAKE_DIR = 1 << 7, MAKE_REG = 1 << 8, MAKE_SOCK = 1 << 9, MAKE_FIFO = 1 << 10, MAKE_BLOCK = 1 << 11,
    MAKE_SYM = 1 << 12, REFER = 1 << 13, TRUNCATE = 1 << 14, IOCTL_DEV = 1 << 15
};
enum { OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV };

struct ruleset_attr {
    uint64_t fs, net, scoped;
};
struct __attribute__((packed)) path_attr {
    uint64_t allowed;
    int32_t fd;
};

static long version(void)
{
    static long known;
    if (known == 0)
        known = syscall(CREATE_RULESET, NULL, 0, VERSION_FLAG);
    return known;
}

static uint64_t known_rights(long abi)
{
    uint64_t all = (MAKE_SYM << 1) - 1;
    if (abi >= 2)
        all |= REFER;
    if (abi >= 3)
        all |= TRUNCATE;
    if (abi >= 5)
        all |= IOCTL_DEV;
    return all;
}

static uint64_t rights_of(enum landlock_use use)
{
    switch (use) {
    case LANDLOCK_READ: return READ_FILE | READ_DIR;
    case LANDLOCK_WRITE: return READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE;
    case LANDLOCK_ALL:
        return rights_of(LANDLOCK_WRITE) | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER;
    case LANDLOCK_CREATE: return WRITE_FILE | MAKE_REG | REMOVE_FILE;
    }
    return 0;
}

int landlock_new(void)
{
    const long abi = version();
    if (abi < 1)
        return -1;
    const struct ruleset_attr attr = {      /* a kernel that does not know the later fields takes them as long as they are 0 */
        .fs = known_rights(abi),
        .net = abi >= 4 ? NET_BIND_AND_CONNECT : 0,
        .scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX : 0
    };
    return (int)syscall(CREATE_RULESET, &attr, sizeof attr, 0);
}

void landlock_allow_fd(int rules, int fd, enum landlock_use use)
{
    struct stat st;
    struct path_attr attr = { rights_of(use) & known_rights(version()), fd };
    if (fstat(fd, &st) != 0)
        return;
    if (!S_ISDIR(st.st_mode))
        attr.allowed &= OF_FILES;
    (void)syscall(ADD_RULE, rules, RULE_PATH_BENEATH, &attr, 0);   /* failing, it allows less */
}

void landlock_allow(int rules, const char *path, enum landlock_use use)
{
    const int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return;
    landlock_allow_fd(rules, fd, use);
    close(fd);
}

int landlock_apply(int rules)
{
    int result = -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        result = (int)syscall(RESTRICT_SELF, rules, 0);
    close(rules);
    return result;
}
