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

static bool is(const char *word, size_t n, const char *what)
{
    return n == strlen(what) && memcmp(word, what, n) == 0;
}

/* "files", "compat" and "dns" are in the C library, or rare. "systemd" is asked for nobody who is in /etc/passwd, if it knows no groups. */
static void load_module(const char *name, size_t n)
{
    enum { LONGEST = 32 };
    char path[LONGEST + sizeof "libnss_.so.2"];
    if (n > LONGEST || is(name, n, "files") || is(name, n, "compat") || is(name, n, "dns") || (is(name, n, "systemd") && !nsswitch_systemd_knows()))
        return;
    snprintf(path, sizeof path, "libnss_%.*s.so.2", (int)n, name);
    (void)dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static bool take(void *ctx, const char *word, size_t n)
{
    (void)ctx;
    if (word[0] != '[')
        load_module(word, n);
    return true;
}

static void load_users(void)
{
    static const char *const databases[] = { "passwd", "group", "initgroups", "shadow" };
    char line[512];
    FILE *f = fopen("/etc/nsswitch.conf", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        for (size_t i = 0; i < sizeof databases / sizeof databases[0]; i++)
            (void)nsswitch_line(line, databases[i], take, NULL);
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
