/*
 * The C library loads its modules at the first question to them, which may take as long as everything else that a login does. What is
 * loaded is loaded once, whoever asks. It stays within what the C library would load by itself: the same names, from the same places.
 */
#include "auth/early.h"

#include <dlfcn.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "auth/hash.h"
#include "auth/nsswitch.h"

/* "files", "compat" and "dns" are in the C library, or rare. "systemd" is asked for nobody who is in /etc/passwd, if it knows no groups. */
static bool load_module(void *ctx, const char *name, size_t n)
{
    enum { LONGEST = 32 };
    char path[LONGEST + sizeof "libnss_.so.2"];
    bool *systemd = ctx;                 /* was met: once is enough, it is looked for in many places */
    if (n > LONGEST || name[0] == '[' || nsswitch_is(name, n, "files") || nsswitch_is(name, n, "compat") || nsswitch_is(name, n, "dns"))
        return true;
    if (nsswitch_is(name, n, "systemd")) {
        const bool again = *systemd;
        *systemd = true;
        if (again || !nsswitch_systemd_knows())
            return true;
    }
    snprintf(path, sizeof path, "libnss_%.*s.so.2", (int)n, name);
    (void)dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return true;
}

static void load_users(void)
{
    static const char *const databases[] = { "passwd", "group", "initgroups", "shadow" };
    char line[512];
    bool systemd = false;
    FILE *f = fopen("/etc/nsswitch.conf", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        for (size_t i = 0; i < sizeof databases / sizeof databases[0]; i++)
            (void)nsswitch_line(line, databases[i], load_module, &systemd);
    if (f != NULL)
        fclose(f);
    (void)getpwnam("root");
}

void early_load(bool system_users, bool hashes)
{
    if (system_users)
        load_users();
    if (hashes)
        hash_load();
}
