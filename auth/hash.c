/*
 * crypt(3): its archive where there is one (CRYPT_LINKED), else loaded when the first password is to be checked: dlopen costs less
 * than what the dynamic linker does for a shared library on each of the connections that come without a password. Runs as root in the monitor. The state of crypt_r holds traces of the password and is wiped.
 */
#include "auth/hash.h"

#include <crypt.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

typedef char *crypt_function(const char *phrase, const char *setting, struct crypt_data *data);
typedef char *gensalt_function(const char *prefix, unsigned long count, const char *random, int n, char *out, int size);

#ifdef CRYPT_LINKED
void hash_load(void)
{
}

static crypt_function *load_crypt(void)
{
    return crypt_r;
}

static gensalt_function *load_gensalt(void)
{
    return crypt_gensalt_rn;
}
#else
static void *find(const char *name)
{
    static const char *const names[] = { "libcrypt.so.1", "libcrypt.so.2" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);   /* again: only counts; never closed */
        void *symbol = lib != NULL ? dlsym(lib, name) : NULL;
        if (symbol != NULL)
            return symbol;
    }
    return NULL;
}

static void *load(const char *name)
{
    void *symbol = find(name);
    if (symbol == NULL)
        log_error("cannot check passwords: %s", dlerror());
    return symbol;
}

void hash_load(void)
{
    (void)find("crypt_r");
}

/* ISO C has no cast from an object pointer to a function. */
static crypt_function *load_crypt(void)
{
    void *symbol = load("crypt_r");
    crypt_function *f;
    memcpy(&f, &symbol, sizeof f);
    return f;
}

static gensalt_function *load_gensalt(void)
{
    void *symbol = load("crypt_gensalt_rn");
    gensalt_function *f;
    memcpy(&f, &symbol, sizeof f);
    return f;
}

#endif

/* Compares without telling by its time how much was equal. */
static bool same(const char *a, const char *b)
{
    const size_t n = strlen(a);
    unsigned char differ = 0;
    if (strlen(b) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

bool hash_usable(const char *hash)
{
    enum { SHORTEST = 13 };                       /* the traditional DES form */
    return hash != NULL && hash[0] != '!' && hash[0] != '*' && strlen(hash) >= SHORTEST;
}

int hash_check(const char *hash, const char *password)
{
    crypt_function *const crypt_it = load_crypt();
    if (crypt_it == NULL)
        return -1;
    if (!hash_usable(hash))
        return 0;
    struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL)
        return -1;
    const char *got = crypt_it(password, hash, data);
    const int right = got != NULL && got[0] != '*' && same(got, hash) ? 1 : 0;
    explicit_bzero(data, sizeof *data);
    free(data);
    return right;
}

int hash_make(const char *password, char out[HASH_MAX])
{
    crypt_function *const crypt_it = load_crypt();
    gensalt_function *const gensalt = load_gensalt();
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (crypt_it == NULL || gensalt == NULL)
        return -1;
    struct crypt_data *data = calloc(1, sizeof *data);
    const char *got = data != NULL && gensalt("$y$", 0, NULL, 0, setting, sizeof setting) != NULL ? crypt_it(password, setting, data) : NULL;
    const bool good = got != NULL && hash_usable(got) && strlen(got) < HASH_MAX;
    if (good)
        memcpy(out, got, strlen(got) + 1);
    else
        log_error("cannot make a yescrypt hash");
    if (data != NULL)
        explicit_bzero(data, sizeof *data);
    free(data);
    return good ? 0 : -1;
}

void hash_spend(const char *like, const char *password)
{
    /* A valid hash of the default cost of crypt_gensalt(3); of no password. */
    static const char yescrypt[] = "$y$j9T$3cG1b5jC3bQhJcGkOZ6dv/$YmiwrXdpQtTJhJJz3wxgkvmkqTCKo1akocu4MWrMT59";
    (void)hash_check(hash_usable(like) ? like : yescrypt, password);
}
