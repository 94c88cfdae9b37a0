/*
 * The file is read anew on each connection, so that whoever rotates its keys needs to tell nobody. Who has it can read what was
 * said under its tickets (forward secrecy ends with it), so it must be root's alone.
 */
#include "auth/tls_ticket.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/tls.h"

enum { NAME = 16, SECRET = 32, KEY = NAME + 2 * SECRET, KEYS = 16 };
struct tls_tickets {
    unsigned char keys[KEYS][KEY];
    size_t n;
    EVP_CIPHER *cipher;
};

struct tls_tickets *tls_tickets_read(const char *file, char *err)
{
    struct tls_tickets *t = calloc(1, sizeof *t);
    struct stat st;
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = -1;
    const char *why = NULL;
    if (t == NULL || fd < 0 || fstat(fd, &st) != 0 || (got = read(fd, t->keys, sizeof t->keys)) < 0)
        why = strerror(errno);
    else if ((st.st_mode & 077) != 0 || st.st_uid != 0)
        why = "must be root's alone (mode 0600)";
    else if (got == 0 || got % KEY != 0 || st.st_size != got)
        why = "must hold 1 to 16 keys of 80 octets";
    else if ((t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL)) == NULL)
        why = "no AES-256-CBC";
    if (fd >= 0)
        close(fd);
    if (why == NULL) {
        t->n = (size_t)got / KEY;
        return t;
    }
    snprintf(err, TLS_ERROR_MAX, "tls-ticket-key %s: %s", file, why);
    free(t);
    return NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, const unsigned char *secret)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)secret, SECRET),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL's callback: 1 good, 2 good and to be made anew, 0 unknown ticket, -1 error. */
static int key_for(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int making)
{
    const struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    size_t i = 0;
    if (making) {
        memcpy(name, t->keys[0], NAME);
        if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
            return -1;
        return EVP_EncryptInit_ex(cipher, t->cipher, NULL, t->keys[0] + NAME + SECRET, iv) == 1 && set_mac(mac, t->keys[0] + NAME) ? 1 : -1;
    }
    while (i < t->n && memcmp(name, t->keys[i], NAME) != 0)
        i++;
    if (i == t->n)
        return 0;
    if (EVP_DecryptInit_ex(cipher, t->cipher, NULL, t->keys[i] + NAME + SECRET, iv) != 1 || !set_mac(mac, t->keys[i] + NAME))
        return -1;
    return i == 0 ? 1 : 2;
}

bool tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx)
{
    enum { LIFETIME = 7200 };              /* s */
    if (SSL_CTX_set_app_data(ctx, t) != 1 || SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, key_for) != 1)
        return false;
    SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 2);
    SSL_CTX_set_timeout(ctx, LIFETIME);
    return true;
}
