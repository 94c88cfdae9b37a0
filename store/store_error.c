/*
 * How the functions of the store fail: a code, an errno and a sentence.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/store.h"

static enum store_code code_of(int err)
{
    switch (err) {
    case EACCES: case EPERM: case EROFS:
        return STORE_NOPERM;
    case ENOSPC: case EDQUOT: case EFBIG:
        return STORE_OVERQUOTA;
    case ENOENT: case ENOTDIR: case ELOOP: case EXDEV:
        return STORE_NONEXISTENT;
    case EEXIST:
        return STORE_ALREADYEXISTS;
    case ENAMETOOLONG:
        return STORE_LIMIT;
    default:
        return STORE_IO;
    }
}

int store_fail(struct store_error *e, enum store_code code, int errno_value, const char *fmt, ...)
{
    va_list args;
    if (e == NULL)
        return -1;
    e->code = code == STORE_IO ? code_of(errno_value) : code;
    e->err = errno_value;
    va_start(args, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    return -1;
}

const char *store_why(struct store_error *e)
{
    const char *why = e->err != 0 ? strerror(e->err) : "";
    const size_t n = strlen(e->text);
    if (why[0] != '\0' && strstr(e->text, why) == NULL)
        snprintf(e->text + n, sizeof e->text - n, ": %s", why);
    return e->text;
}
