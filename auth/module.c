/*
 * Runs as root. Loads modules; the names of their directories come from the build and the kernel alone.
 */
#include "auth/module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#ifndef PKGLIBDIR
#define PKGLIBDIR "/usr/lib/imapd"
#endif

enum { PATH_ROOM = 4096 };

/* Beside the executable; false if that is not known. */
static int beside(char *path, const char *file)
{
    const ssize_t n = readlink("/proc/self/exe", path, PATH_ROOM - 1);
    if (n <= 0 || (size_t)n + strlen(file) + 1 >= PATH_ROOM)
        return 0;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return 0;
    memcpy(slash + 1, file, strlen(file) + 1);
    return access(path, F_OK) == 0;
}

const void *module_symbol(const char *file, const char *symbol)
{
    char path[PATH_ROOM];
    if (!beside(path, file))
        snprintf(path, sizeof path, "%s/%s", PKGLIBDIR, file);
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const void *found = module != NULL ? dlsym(module, symbol) : NULL;
    if (found == NULL)
        log_error("module: %s", dlerror());
    return found;
}
