/*
 * What the kernel offers: the calls that confine a session, and those that the store is quicker with.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/examine.h"

static const char area[] = "kernel";

static void confinement(const struct patient *p, bool there, const char *what, const char *fix)
{
    const bool must = p->config->require_sandbox;
    report_found(p->report, must ? MARK_ERROR : MARK_NOTE, area, must ? FIX("%s; or require-sandbox = no", fix) : fix, "%s%s",
                 what,
                 there  ? ""
                 : must ? ", and require-sandbox = yes: no session is served"
                        : ": sessions are confined less");
}

/* On the mail's file system, in a file without a name. */
static void collapse_range(const struct patient *p)
{
    char *dir = spool_directory(p->config);
    struct stat st;
    const int fd = dir != NULL ? open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600) : -1;
    if (fd >= 0 && fstat(fd, &st) == 0) {
        const off_t block = st.st_blksize > 0 ? st.st_blksize : 4096;
        const bool can = ftruncate(fd, 4 * block) == 0 && fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, block) == 0;
        report_found(p->report, MARK_OK, area, NULL,
                     can ? "%s: mail can be taken out of the front of a file without copying (COLLAPSE_RANGE)"
                         : "%s: this file system has no COLLAPSE_RANGE: expunging old mail copies what is behind it",
                     dir);
    }
    if (fd >= 0)
        close(fd);
    free(dir);
}

void examine_kernel(const struct patient *p)
{
    struct utsname u;
    const long abi = syscall(444 /* landlock_create_ruleset */, NULL, 0, 1);
    if (abi < 1)
        confinement(p, false, "this kernel has no Landlock", "a kernel from 5.13 on with landlock among lsm=");
    else
        report_found(p->report, MARK_OK, area, NULL, "Landlock, version %ld of its interface", abi);
    if (prctl(PR_GET_SECCOMP) < 0 && access("/proc/sys/kernel/seccomp/actions_avail", F_OK) != 0)
        confinement(p, false, "this kernel has no seccomp", "a kernel with CONFIG_SECCOMP_FILTER");
    else
        report_found(p->report, MARK_OK, area, NULL, "seccomp");
    const int fd = memfd_create("doctor", MFD_CLOEXEC);
    if (fd < 0)
        report_found(p->report, MARK_WARNING, area, "a kernel from 3.17 on", "memfd_create: %s", strerror(errno));
    else
        close(fd);
    if (uname(&u) == 0 && strtol(u.release, NULL, 10) < 5)
        report_found(p->report, MARK_WARNING, area, "a kernel from 5.10 on", "Linux %s is older than what is tested", u.release);
    collapse_range(p);
}
