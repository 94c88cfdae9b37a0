/*
 * SCRAM as the server does it. Runs as root in the monitor, on octets that a greeter brings which is not believed.
 *
 * The monitor makes the nonce, and from that, the client's first message and the channel bindings that it knows itself it builds
 * all of AuthMessage before the client proves anything. Of the client's last message only the proof is looked at: if the client
 * has another nonce in mind, another channel or another first message, its proof is of another AuthMessage, and wrong.
 */
#include "auth/scram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/base64.h"
#include "base/hmac.h"
#include "base/saslprep.h"
#include "base/scram_message.h"

typedef unsigned char key[SCRAM_KEY_MAX];

size_t scram_key_size(enum scram_hash hash)
{
    return hmac_size(hash == SCRAM_SHA_1 ? HMAC_SHA_1 : HMAC_SHA_256);
}

const char *scram_name(enum scram_hash hash)
{
    return hash == SCRAM_SHA_1 ? "SCRAM-SHA-1" : "SCRAM-SHA-256";
}

int scram_mechanism(struct str name, enum scram_hash *hash, bool *plus)
{
    static const enum scram_hash hashes[] = { SCRAM_SHA_1, SCRAM_SHA_256 };
    static const struct str suffix = { "-PLUS", 5 };
    *plus = name.n > suffix.n && str_ieq((struct str){ name.p + name.n - suffix.n, suffix.n }, suffix);
    if (*plus)
        name.n -= suffix.n;
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        *hash = hashes[i];
        if (str_ieq(name, str_z(scram_name(*hash))))
            return 0;
    }
    return -1;
}

static void random_octets(void *out, size_t n)
{
    for (size_t have = 0; have < n;) {
        const ssize_t got = getrandom((char *)out + have, n - have, 0);
        if (got < 0 && errno != EINTR)
            abort();                   /* no nonce that can be guessed */
        have += got > 0 ? (size_t)got : 0;
    }
}

static enum hmac_hash hash_of(enum scram_hash hash)
{
    return hash == SCRAM_SHA_1 ? HMAC_SHA_1 : HMAC_SHA_256;
}

static void hmac(enum scram_hash hash, const unsigned char *k, size_t kn, struct str text, unsigned char *out)
{
    hmac_of(hash_of(hash), k, kn, text.p, text.n, out);
}

static void digest(enum scram_hash hash, const unsigned char *in, unsigned char *out)
{
    hmac_hash_of(hash_of(hash), in, scram_key_size(hash), out);
}

/* StoredKey and ServerKey (RFC 5802 section 3) of a password that is prepared, with the hash, salt and iterations of v. */
static void derive(const struct scram_verifier *v, struct str password, key stored, key server)
{
    key salted, client;
    hmac_pbkdf2(hash_of(v->hash), password.p, password.n, v->salt, v->salt_n, v->iterations, salted);
    hmac(v->hash, salted, scram_key_size(v->hash), STR("Client Key"), client);
    digest(v->hash, client, stored);
    hmac(v->hash, salted, scram_key_size(v->hash), STR("Server Key"), server);
    explicit_bzero(salted, sizeof salted);
    explicit_bzero(client, sizeof client);
}

/* The next part of text up to a comma; the last one has none. */
static bool part(struct str *text, struct str *out)
{
    if (text->p == NULL)
        return false;
    const char *comma = text->n > 0 ? memchr(text->p, ',', text->n) : NULL;
    *out = (struct str){ text->p, comma != NULL ? (size_t)(comma - text->p) : text->n };
    *text = comma != NULL ? (struct str){ comma + 1, text->n - out->n - 1 } : (struct str){ NULL, 0 };
    return true;
}

static bool number(struct str s, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < (i == 0 ? '1' : '0') || s.p[i] > '9' || *out > SCRAM_ITERATIONS_MOST)
            return false;
        *out = *out * 10 + (unsigned)(s.p[i] - '0');
    }
    return *out >= SCRAM_ITERATIONS_LEAST && *out <= SCRAM_ITERATIONS_MOST;
}

/* Base64 of at least least octets and at most most. */
static bool octets(struct str *text, size_t least, size_t most, unsigned char *out, size_t *n)
{
    struct buf b = { 0 };
    struct str s;
    const bool good = part(text, &s) && base64_decode(&b, s) == 0 && b.len >= least && b.len <= most;
    if (good) {
        memcpy(out, b.data, b.len);
        *n = b.len;
    }
    if (b.data != NULL)
        explicit_bzero(b.data, b.len);
    buf_free(&b);
    return good;
}

int scram_verifier_parse(struct scram_verifier *v, enum scram_hash hash, struct str text)
{
    const size_t size = scram_key_size(hash);
    size_t n;
    struct str iterations;
    memset(v, 0, sizeof *v);
    v->hash = hash;
    if (part(&text, &iterations) && number(iterations, &v->iterations) && octets(&text, 1, SCRAM_SALT_MAX, v->salt, &v->salt_n) &&
        octets(&text, size, size, v->stored_key, &n) && octets(&text, size, size, v->server_key, &n) && text.p == NULL)
        return 0;
    explicit_bzero(v, sizeof *v);
    return -1;
}

void scram_verifier_format(struct buf *out, const struct scram_verifier *v)
{
    buf_printf(out, "%u,", v->iterations);
    base64_encode(out, v->salt, v->salt_n);
    buf_addc(out, ',');
    base64_encode(out, v->stored_key, scram_key_size(v->hash));
    buf_addc(out, ',');
    base64_encode(out, v->server_key, scram_key_size(v->hash));
}

static void wipe(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->cap);
    buf_free(b);
}

int scram_verifier_derive(struct scram_verifier *v, struct str password)
{
    struct buf prepared = { 0 };
    const int result = saslprep(&prepared, password, true);
    if (result == 0)
        derive(v, buf_str(&prepared), v->stored_key, v->server_key);
    wipe(&prepared);
    return result;
}

int scram_verifier_make(struct scram_verifier *v, enum scram_hash hash, unsigned iterations, struct str password)
{
    memset(v, 0, sizeof *v);
    v->hash = hash;
    v->iterations = iterations;
    v->salt_n = SCRAM_SALT;
    random_octets(v->salt, v->salt_n);
    return scram_verifier_derive(v, password);
}

void scram_verifier_pretend(struct scram_verifier *v, struct str secret, struct str name)
{
    key salt;
    hmac(SCRAM_SHA_256, (const unsigned char *)secret.p, secret.n, name, salt);
    for (size_t i = 0; i < v->salt_n; i++)
        v->salt[i] = salt[i % sizeof salt];
    random_octets(v->stored_key, sizeof v->stored_key);
    random_octets(v->server_key, sizeof v->server_key);
}

bool scram_check_password(const struct scram_verifier *v, const char *password)
{
    struct buf prepared = { 0 };
    key stored, server;
    const bool good = saslprep(&prepared, str_z(password), false) == 0;
    derive(v, good ? buf_str(&prepared) : str_z(password), stored, server);
    const bool same = hmac_same(stored, v->stored_key, scram_key_size(v->hash));
    explicit_bzero(stored, sizeof stored);
    explicit_bzero(server, sizeof server);
    wipe(&prepared);
    return same && good;
}

/* The data of the channel binding that the client names: empty with 'n' and 'y'. False: not to be had. */
static bool binding(const struct scram_first *f, const struct tls_facts *tls, struct str *data)
{
    *data = STR("");
    if (f->flag != 'p')
        return true;
    if (tls != NULL && str_eq(f->binding, STR("tls-exporter")))
        *data = (struct str){ (const char *)tls->exporter, tls->exporter_n };
    else if (tls != NULL && str_eq(f->binding, STR("tls-server-end-point")))
        *data = (struct str){ (const char *)tls->endpoint, tls->endpoint_n };
    return data->n > 0;
}

/* What the greeter has taken apart, read once more from the client's own octets, which the proof will cover. */
static const char *check(const struct scram_begin *b, struct scram_first *f, struct buf *message, bool plus)
{
    if (b->gs2.n + b->bare.n > SCRAM_MESSAGE_MAX)
        return "syntax";
    buf_add(message, b->gs2.p, b->gs2.n);
    buf_add(message, b->bare.p, b->bare.n);
    if (scram_parse_first(f, buf_str(message)) != NULL || f->gs2.n != b->gs2.n)
        return "syntax";
    if (!str_eq(b->user, str_z(f->user)) || !str_eq(b->authzid, str_z(f->authzid)))
        return "names";
    if (plus != (f->flag == 'p'))
        return "binding";
    return f->flag == 'y' && b->plus_offered ? "downgrade" : NULL;
}

const char *scram_begin_with(struct scram *x, const struct scram_begin *b, struct str s_nonce, struct buf *server_first)
{
    struct scram_first f;
    struct str data;
    struct buf message = { 0 }, c = { 0 };
    enum scram_hash hash;
    bool plus;
    scram_end(x);
    const char *wrong = scram_mechanism(str_z(b->mechanism), &hash, &plus) != 0 || b->verifier->hash != hash ? "mechanism"
                                                                                                              : check(b, &f, &message, plus);
    if (wrong == NULL && !binding(&f, b->tls, &data))
        wrong = "binding";
    if (wrong == NULL) {
        struct buf *const a = &x->auth_message, nonce = { 0 };
        const struct scram_verifier *v = b->verifier;
        x->verifier = *v;
        buf_add(&nonce, f.nonce.p, f.nonce.n);
        buf_add(&nonce, s_nonce.p, s_nonce.n);
        const size_t at = server_first->len;
        buf_printf(server_first, "r=%s,s=", nonce.data);
        base64_encode(server_first, v->salt, v->salt_n);
        buf_printf(server_first, ",i=%u", v->iterations);
        buf_add(&c, f.gs2.p, f.gs2.n);
        buf_add(&c, data.p, data.n);
        buf_add(a, f.bare.p, f.bare.n);
        buf_addc(a, ',');
        buf_add(a, server_first->data + at, server_first->len - at);
        buf_puts(a, ",c=");
        base64_encode(a, c.data, c.len);
        buf_printf(a, ",r=%s", nonce.data);
        buf_free(&nonce);
    }
    buf_free(&message);
    buf_free(&c);
    return wrong;
}

const char *scram_begin(struct scram *x, const struct scram_begin *b, struct buf *server_first)
{
    unsigned char octets_of_nonce[18];
    struct buf nonce = { 0 };
    random_octets(octets_of_nonce, sizeof octets_of_nonce);
    base64_encode(&nonce, octets_of_nonce, sizeof octets_of_nonce);
    const char *wrong = scram_begin_with(x, b, buf_str(&nonce), server_first);
    buf_free(&nonce);
    return wrong;
}

bool scram_finish(struct scram *x, struct str proof, struct buf *server_final)
{
    const struct scram_verifier *v = &x->verifier;
    const size_t size = scram_key_size(v->hash);
    const bool begun = x->auth_message.len > 0, fits = proof.n == size;
    key client = { 0 }, signature, stored;
    if (fits)
        memcpy(client, proof.p, size);
    hmac(v->hash, v->stored_key, size, buf_str(&x->auth_message), signature);
    for (size_t i = 0; i < size; i++)
        client[i] ^= signature[i];
    digest(v->hash, client, stored);
    const bool right = hmac_same(stored, v->stored_key, size) && fits && begun;
    hmac(v->hash, v->server_key, size, buf_str(&x->auth_message), signature);
    if (right) {
        buf_puts(server_final, "v=");
        base64_encode(server_final, signature, size);
    }
    explicit_bzero(client, sizeof client);
    explicit_bzero(signature, sizeof signature);
    scram_end(x);
    return right;
}

void scram_end(struct scram *x)
{
    wipe(&x->auth_message);
    explicit_bzero(&x->verifier, sizeof x->verifier);
}
