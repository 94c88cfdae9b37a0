/*
 * The C library loads its modules at the first question to them, libnss_systemd (Debian's setting) with two more libraries: as long as
 * everything else that a login does. What is loaded is loaded once, whoever asks. It stays within what the C library would
 * load by itself: the same names, from the same places.
 */
#include "auth/early.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "auth/hash.h"

/* "files", "compat" and "dns" are in the C library, or rare. */
static void load_module(const char *name, size_t n)
{
    enum { LONGEST = 32 };
    char path[LONGEST + sizeof "libnss_.so.2"];
    if (n > LONGEST || (n == 5 && memcmp(name, "files", n) == 0) || (n == 6 && memcmp(name, "compat", n) == 0) ||
        (n == 3 && memcmp(name, "dns", n) == 0))
        return;
    snprintf(path, sizeof path, "libnss_%.*s.so.2", (int)n, name);
    (void)dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* "passwd: files systemd [NOTFOUND=return] sss" */
static void load_modules(const char *line)
{
    static const char *const databases[] = { "passwd:", "group:", "initgroups:", "shadow:" };
    const char *p = line + strspn(line, " \t");
    size_t i = 0;
    while (i < sizeof databases / sizeof databases[0] && strncmp(p, databases[i], strlen(databases[i])) != 0)
        i++;
    if (i == sizeof databases / sizeof databases[0])
        return;
    for (p += strlen(databases[i]); *p != '\0' && *p != '#';) {
        const char *begin = p;
        if (*p == '[')
            p += strcspn(p, "]#");
        else
            while (isalnum((unsigned char)*p) || *p == '_' || *p == '-')
                p++;
        if (p > begin && *begin != '[')
            load_module(begin, (size_t)(p - begin));
        else if (*p != '\0' && *p != '#')
            p++;
    }
}

void early_load(bool hashes)
{
    char line[512];
    FILE *f = fopen("/etc/nsswitch.conf", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        load_modules(line);
    if (f != NULL)
        fclose(f);
    if (hashes)
        hash_load();
}
