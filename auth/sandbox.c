/*
 * The confinement of a session. It comes after everything that needs privileges or other files, and before the first octet
 * of the session is parsed.
 */
#include "auth/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/filter.h"
#include "auth/landlock.h"
#include "base/log.h"
#include "base/xmalloc.h"

/* Read by the C library: iconv's modules and what they are loaded with, the time zone, random bytes, names of users and groups (for
 * access control lists); and who has locks. */
static const char *const library_files[] = {
    "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/usr/share/locale", "/lib", "/lib64",
    "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/proc/locks",
    "/etc/nsswitch.conf", "/etc/passwd", "/etc/group"
};

int sandbox_begin(void)
{
    const int rules = landlock_new();
    if (rules < 0)
        return -1;
    landlock_allow(rules, "/dev/null", LANDLOCK_WRITE);
    for (size_t i = 0; i < sizeof library_files / sizeof library_files[0]; i++)
        landlock_allow(rules, library_files[i], LANDLOCK_READ);
    return rules;
}

/* The INBOX may not exist yet, so it is its directory that is allowed; in a spool that the user cannot write, only to change
 * files that exist there (whose permissions keep other users' mail apart). */
static void allow_inbox(int rules, const char *inbox)
{
    char *dir = xstrdup(inbox), *slash = strrchr(dir, '/');
    if (slash != NULL) {
        slash[slash == dir ? 1 : 0] = '\0';
        const int writable = faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0;
        landlock_allow(rules, dir, writable ? LANDLOCK_ALL : LANDLOCK_WRITE);
    }
    free(dir);
}

static int confine_files(const struct sandbox *s)
{
    const int rules = s->begun >= 0 ? s->begun : sandbox_begin();
    if (rules < 0)
        return -1;
    landlock_allow(rules, s->home, LANDLOCK_ALL);
    landlock_allow(rules, s->index_dir, LANDLOCK_ALL);
    if (strcmp(s->journal_dir, s->index_dir) != 0)
        landlock_allow(rules, s->journal_dir, LANDLOCK_ALL);
    allow_inbox(rules, s->inbox);
    landlock_allow(rules, "/proc/self", LANDLOCK_READ);      /* its own descriptors: of this process, which may be a new one */
    return landlock_apply(rules);
}

/* The leak check of a build with sanitizers traces its own process. */
#ifdef __SANITIZE_ADDRESS__
enum { DUMPABLE = 1 };
#else
enum { DUMPABLE = 0 };
#endif

/* No more processes; memory of its own is bounded generously: a mailbox of a million messages takes some 50 MiB. A mapped file is
 * not counted, so large messages and indexes are no matter. */
static int limit_resources(void)
{
    const struct rlimit none = { 0, 0 };
#ifdef __SANITIZE_ADDRESS__
    return setrlimit(RLIMIT_CORE, &none);
#else
    enum { GIB = 1 << 30 };
    const struct rlimit data = { (rlim_t)4 * GIB, (rlim_t)4 * GIB };
    return setrlimit(RLIMIT_CORE, &none) == 0 && setrlimit(RLIMIT_NPROC, &none) == 0 ? setrlimit(RLIMIT_DATA, &data) : -1;
#endif
}

int sandbox_session(const struct sandbox *s)
{
    const char *missing = NULL;
    if (limit_resources() != 0 || prctl(PR_SET_DUMPABLE, DUMPABLE, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        missing = "limits";
    else if (confine_files(s) != 0)
        missing = "Landlock";
    const int why = errno;
    if (filter_session(s->sockets) != 0 && missing == NULL)
        missing = "seccomp";
    if (missing == NULL)
        return 0;
    log_warning("session not confined as it should be: %s: %s", missing, strerror(strcmp(missing, "seccomp") == 0 ? errno : why));
    return s->required ? -1 : 0;
}
