/*
 * The module imapd-tls.so: OpenSSL for the relay process. load() runs as root and reads files that an administrator named;
 * everything after it runs confined, without a way to open anything.
 *
 * What is allowed are OpenSSL's defaults of the day with the system's openssl.cnf, and never less than TLS 1.2: no compression, no
 * renegotiation, no early data. Each certificate file has an SSL_CTX; the name that a client asks for chooses among them by the
 * certificates' own names, the first is for everybody else.
 */
#include "auth/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/tls_io.h"
#include "auth/tls_names.h"
#include "auth/tls_rehearse.h"
#include "auth/tls_ticket.h"

enum { CERTIFICATES = 1000 };
struct state {
    SSL_CTX *contexts[CERTIFICATES];       /* contexts[0]: for clients that name nothing that is here */
    size_t n;
    struct tls_tickets *tickets;
    enum tls_client_name client_name;
    SSL *ssl;
};

/* "what file: why", the why being OpenSSL's first error. */
static void *fail(char *err, const char *what, const char *file)
{
    const unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    snprintf(err, TLS_ERROR_MAX, "%s %s: %s", what, file,
             reason != NULL ? reason : ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : "cannot be used");
    ERR_clear_error();
    return NULL;
}

/* Nobody is there to type a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return 0;
}

/* A key that other users can read is no secret. */
static bool readable_by_all(const char *file)
{
    struct stat st;
    return stat(file, &st) == 0 && (st.st_mode & 007) != 0;
}

static int choose(SSL *ssl, int *alert, void *ctx)
{
    (void)alert;
    const struct state *s = ctx;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    for (size_t i = 0; name != NULL && i < s->n; i++) {
        if (X509_check_host(SSL_CTX_get0_certificate(s->contexts[i]), name, strlen(name), 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, s->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_OK;              /* the first certificate: clients may take it or leave it */
}

static bool set_client_ca(SSL_CTX *ctx, const struct config *c)
{
    if (c->tls_client_ca == NULL)
        return true;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(c->tls_client_ca);
    if (names == NULL || SSL_CTX_load_verify_file(ctx, c->tls_client_ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return false;
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE | (c->tls_client_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    return true;
}

/* A ticket holds the client's certificate, which is not verified again: so it counts only where the same authorities are asked for, and as
 * strictly. OpenSSL takes no ticket of another session ID context. */
static bool set_session_context(SSL_CTX *ctx, const struct config *c)
{
    unsigned char id[EVP_MAX_MD_SIZE], piece[4096] = { (unsigned char)c->tls_client_required };
    unsigned id_n = 0;
    int n = 1;
    BIO *file = c->tls_client_ca != NULL ? BIO_new_file(c->tls_client_ca, "r") : NULL;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool good = (file != NULL || c->tls_client_ca == NULL) && digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;
    while (good && n > 0) {
        good = EVP_DigestUpdate(digest, piece, (size_t)n) == 1;
        n = file != NULL ? BIO_read(file, piece, sizeof piece) : 0;
    }
    good = good && EVP_DigestFinal_ex(digest, id, &id_n) == 1 && SSL_CTX_set_session_id_context(ctx, id, id_n) == 1;
    EVP_MD_CTX_free(digest);
    BIO_free(file);
    return good;
}

static void set_options(SSL_CTX *ctx)
{
    if (SSL_CTX_get_min_proto_version(ctx) < TLS1_2_VERSION)
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    if (SSL_CTX_get_security_level(ctx) < 2)
        SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
                             SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_dh_auto(ctx, 1);
}

static SSL_CTX *make_context(struct state *s, const struct config *c, const char *certificate, const char *key, char *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        return fail(err, "OpenSSL", "");
    set_options(ctx);
    const char *what = NULL, *file = certificate;
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        what = "tls-certificate";
    else if (SSL_CTX_use_PrivateKey_file(ctx, file = key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        what = "tls-key";
    else if (readable_by_all(key)) {
        SSL_CTX_free(ctx);
        snprintf(err, TLS_ERROR_MAX, "tls-key %s: every user can read or write it (chmod o= it)", key);
        return NULL;
    } else if (!set_client_ca(ctx, c)) {
        what = "tls-client-ca";
        file = c->tls_client_ca;
    } else if (s->tickets != NULL && !tls_tickets_use(s->tickets, ctx))
        what = "tls-ticket-key";
    if (what == NULL && !set_session_context(ctx, c))
        what = "OpenSSL";
    if (what == NULL)
        return ctx;
    SSL_CTX_free(ctx);
    return fail(err, what, file);
}

/* The next word of a list. NULL: there is no more. */
static char *next_word(char **rest)
{
    char *word;
    while ((word = strsep(rest, " \t,")) != NULL && *word == '\0')
        continue;
    return word;
}

static bool load_all(struct state *s, const struct config *c, char *err)
{
    char *certificates = strdup(c->tls_certificate), *keys = c->tls_key != NULL ? strdup(c->tls_key) : NULL;
    char *next_certificate = certificates, *next_key = keys, *certificate;
    bool good = certificates != NULL && (keys != NULL || c->tls_key == NULL);
    while (good && (certificate = next_word(&next_certificate)) != NULL) {
        const char *key = keys != NULL ? next_word(&next_key) : certificate;
        if (key == NULL || s->n == CERTIFICATES) {
            snprintf(err, TLS_ERROR_MAX, "%s", key == NULL ? "tls-key names fewer files than tls-certificate" : "too many certificates");
            good = false;
            break;
        }
        s->contexts[s->n] = make_context(s, c, certificate, key, err);
        good = s->contexts[s->n] != NULL;
        s->n += good;
    }
    if (good && s->n == 0) {
        snprintf(err, TLS_ERROR_MAX, "tls-certificate is empty");
        good = false;
    }
    free(certificates);
    free(keys);
    return good;
}

static void *load(const struct config *c, char *err)
{
    struct state *s = calloc(1, sizeof *s);
    if (s == NULL || c->tls_certificate == NULL)
        return NULL;
    s->client_name = strcmp(c->tls_client_name, "cn") == 0 ? TLS_CLIENT_CN : strcmp(c->tls_client_name, "email") == 0 ? TLS_CLIENT_EMAIL : TLS_CLIENT_EMAIL_LOCAL;
    if (c->tls_ticket_key != NULL && (s->tickets = tls_tickets_read(c->tls_ticket_key, err)) == NULL)
        return NULL;
    if (!load_all(s, c, err))
        return NULL;
    SSL_CTX_set_tlsext_servername_callback(s->contexts[0], choose);
    SSL_CTX_set_tlsext_servername_arg(s->contexts[0], s);
    s->ssl = SSL_new(s->contexts[0]);
    unsigned char octet;
    return s->ssl != NULL && RAND_bytes(&octet, 1) == 1 ? s : fail(err, "OpenSSL", "");
}

static void set_nonblocking(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* RFC 9266: with TLS 1.2 only when the extended master secret binds it. */
static void set_bindings(SSL *ssl, struct tls_facts *f)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    const bool safe = SSL_version(ssl) >= TLS1_3_VERSION || SSL_get_extms_support(ssl) == 1;
    if (safe && SSL_export_keying_material(ssl, f->exporter, sizeof f->exporter, label, sizeof label - 1, NULL, 0, 0) == 1)
        f->exporter_n = sizeof f->exporter;
    f->endpoint_n = tls_endpoint(SSL_get_certificate(ssl), f->endpoint, sizeof f->endpoint);
}

static int handshake(void *state, int in, int out, int timeout_ms, struct tls_facts *f, char *err)
{
    struct state *s = state;
    set_nonblocking(in);
    set_nonblocking(out);
    if (SSL_set_rfd(s->ssl, in) != 1 || SSL_set_wfd(s->ssl, out) != 1) {
        snprintf(err, TLS_ERROR_MAX, "descriptors");
        return -1;
    }
    if (tls_accept(s->ssl, in, out, timeout_ms, err) != 0)
        return -1;
    memset(f, 0, sizeof *f);
    f->on = true;
    snprintf(f->version, sizeof f->version, "%s", SSL_get_version(s->ssl));
    snprintf(f->cipher, sizeof f->cipher, "%s", SSL_get_cipher_name(s->ssl));
    if (SSL_get_verify_result(s->ssl) == X509_V_OK)
        tls_client(SSL_get0_peer_certificate(s->ssl), s->client_name, f->client, sizeof f->client);
    set_bindings(s->ssl, f);
    return 0;
}

static void rehearse(void *state)
{
    struct state *s = state;
    tls_rehearse(s->contexts[0]);
}

static void pump(void *state, int in, int out, int plain)
{
    struct state *s = state;
    set_nonblocking(plain);
    tls_pump(s->ssl, in, out, plain);
}

__attribute__((visibility("default"))) const struct tls_module imapd_tls = { load, rehearse, handshake, pump };
