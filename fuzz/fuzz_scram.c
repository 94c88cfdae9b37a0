/* base/scram_message.h, auth/scram.h: what a SCRAM client says. The first octet chooses: client-first, client-final, or a whole exchange
 * in which gs2-header and the rest are cut apart where the second octet says, as by a greeter gone wrong; or a verifier. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "auth/scram.h"
#include "base/saslprep.h"
#include "base/scram_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool within(struct str s, const char *p, size_t n)
{
    return s.p >= p && s.n <= n && s.p + s.n <= p + n;
}

static void first(const char *p, size_t n)
{
    struct scram_first f;
    if (scram_parse_first(&f, (struct str){ p, n }) != NULL)
        return;
    if (!within(f.gs2, p, n) || !within(f.bare, p, n) || !within(f.nonce, p, n) || f.gs2.n + f.bare.n != n || f.user[0] == '\0' ||
        strlen(f.user) > SCRAM_NAME_MAX || f.nonce.n == 0 || (f.flag == 'p') != (f.binding.n > 0))
        abort();
}

static void final(const char *p, size_t n)
{
    struct scram_final f;
    if (scram_parse_final(&f, (struct str){ p, n }) == NULL && !within(f.nonce, p, n))
        abort();
    scram_final_free(&f);
}

static void exchange(const char *p, size_t n)
{
    static const struct tls_facts tls = { .on = true, .exporter_n = 32, .endpoint_n = 32 };
    const struct scram_verifier v = { .hash = SCRAM_SHA_256, .iterations = 4096, .salt_n = 4 };
    const size_t at = n > 0 ? (unsigned char)p[0] % n : 0;
    struct scram x = { 0 };
    struct buf server_first = { 0 }, server_final = { 0 };
    const struct scram_begin b = { .mechanism = n % 2 == 0 ? "SCRAM-SHA-256" : "SCRAM-SHA-256-PLUS", .plus_offered = true, .gs2 = { p + 1, at },
                                   .bare = { p + 1 + at, n - at - 1 }, .user = STR("user"), .authzid = STR(""), .tls = &tls, .verifier = &v };
    if (n > 0 && scram_begin(&x, &b, &server_first) == NULL && (server_first.len == 0 || x.auth_message.len <= server_first.len))
        abort();
    if (scram_finish(&x, (struct str){ p, n < 32 ? n : 32 }, &server_final) || x.auth_message.data != NULL)
        abort();
    buf_free(&server_first);
    buf_free(&server_final);
}

/* What is read is written so that it is read again. */
static void verifier(const char *p, size_t n)
{
    struct scram_verifier v, again;
    struct buf text = { 0 }, prepared = { 0 }, twice = { 0 };
    if (scram_verifier_parse(&v, SCRAM_SHA_1, (struct str){ p, n }) == 0) {
        scram_verifier_format(&text, &v);
        if (!str_eq(buf_str(&text), (struct str){ p, n }) || scram_verifier_parse(&again, SCRAM_SHA_1, buf_str(&text)) != 0)
            abort();
    }
    if (saslprep(&prepared, (struct str){ p, n < 2000 ? n : 2000 }, true) == 0 &&
        (prepared.len == 0 || saslprep(&twice, buf_str(&prepared), true) != 0 || !str_eq(buf_str(&prepared), buf_str(&twice))))
        abort();
    buf_free(&text);
    buf_free(&prepared);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const what[])(const char *, size_t) = { first, final, exchange, verifier };
    if (size == 0)
        return 0;
    char *copy = malloc(size);                    /* exactly sized, so that a step beyond is seen */
    if (copy == NULL)
        return 0;
    memcpy(copy, data + 1, size - 1);
    what[data[0] % 4](copy, size - 1);
    free(copy);
    return 0;
}
