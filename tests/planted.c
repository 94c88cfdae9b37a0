/*
 * A bug of ours, planted: this file is linked into a copy of imapd in place of the handler of NOOP, and does what somebody would who
 * has taken the process over. Each attempt answers "* PLANT name result errno"; that a process died is for the test to see.
 */
#include <errno.h>
#include <stdio.h>

#undef cmd_noop                  /* the real one has another name in this program: tests/sources.am */
#include "session/command.h"
#include "tests/planted_attempts.h"

enum outcome cmd_noop(struct session *s, struct parse *p)
{
    struct str name, path = STR("");
    char zname[32], zpath[512];
    if (parse_end(p))
        return OUTCOME_OK;
    if (!parse_sp(p) || !parse_astring(p, &name) || (parse_sp(p) && !parse_astring(p, &path)))
        return bad_arguments(s, "NOOP [attempt [path]]");
    snprintf(zname, sizeof zname, "%.*s", (int)name.n, name.p);
    snprintf(zpath, sizeof zpath, "%.*s", (int)path.n, path.p);
    errno = 0;
    const int result = planted_attempt(zname, zpath);
    untagged(s, "PLANT %s %s %d", zname, result == 0 ? "works" : "fails", errno);
    return OUTCOME_OK;
}
