/* SCRAM: the examples of RFC 5802 and 7677 octet for octet, SASLprep, the grammar, verifiers, and what must not be taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "auth/passwd_line.h"
#include "auth/scram.h"
#include "base/base64.h"
#include "base/saslprep.h"
#include "base/scram_message.h"

static const struct example {
    enum scram_hash hash;
    const char *mechanism, *gs2, *bare, *s_nonce, *salt, *server_first, *proof, *server_final;
} examples[] = {
    { SCRAM_SHA_1, "SCRAM-SHA-1", "n,,", "n=user,r=fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
      "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096", "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
      "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
    { SCRAM_SHA_256, "SCRAM-SHA-256", "n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==",
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
      "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static struct buf decoded(const char *base64)
{
    struct buf b = { 0 };
    assert_int_equal(base64_decode(&b, str_z(base64)), 0);
    return b;
}

static struct scram_verifier verifier_of(const struct example *e)
{
    struct scram_verifier v = { .hash = e->hash, .iterations = 4096 };
    struct buf salt = decoded(e->salt);
    memcpy(v.salt, salt.data, salt.len);
    v.salt_n = salt.len;
    assert_int_equal(scram_verifier_derive(&v, STR("pencil")), 0);
    buf_free(&salt);
    return v;
}

static struct scram_begin begin_of(const struct example *e, const struct scram_verifier *v)
{
    return (struct scram_begin){ .mechanism = e->mechanism, .gs2 = str_z(e->gs2), .authzid = STR(""), .user = STR("user"),
                                 .bare = str_z(e->bare), .verifier = v };
}

static void test_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const struct example *e = &examples[i];
        const struct scram_verifier v = verifier_of(e);
        const struct scram_begin b = begin_of(e, &v);
        struct scram x = { 0 };
        struct buf first = { 0 }, final = { 0 }, proof = decoded(e->proof);
        assert_null(scram_begin_with(&x, &b, str_z(e->s_nonce), &first));
        assert_string_equal(first.data, e->server_first);
        assert_true(scram_finish(&x, buf_str(&proof), &final));
        assert_string_equal(final.data, e->server_final);
        assert_false(scram_finish(&x, buf_str(&proof), &final));           /* once */
        buf_free(&first);
        buf_free(&final);
        buf_free(&proof);
    }
}

static bool tried(const struct example *e, const struct scram_begin *b, struct str proof)
{
    struct scram x = { 0 };
    struct buf first = { 0 }, final = { 0 };
    const bool begun = scram_begin_with(&x, b, str_z(e->s_nonce), &first) == NULL;
    const bool right = begun && scram_finish(&x, proof, &final);
    assert_true(right || final.len == 0);
    scram_end(&x);
    buf_free(&first);
    buf_free(&final);
    return right;
}

/* Any bit of the proof, any octet of what the client said first, another nonce, another verifier: wrong. */
static void test_flips(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const struct example *e = &examples[i], other = { .s_nonce = "anothernonce" };
        struct scram_verifier v = verifier_of(e);
        struct scram_begin b = begin_of(e, &v);
        struct buf proof = decoded(e->proof), bare = { 0 };
        assert_true(tried(e, &b, buf_str(&proof)));
        assert_false(tried(&other, &b, buf_str(&proof)));
        for (size_t n = 0; n < proof.len; n++)
            assert_false(tried(e, &b, (struct str){ proof.data, n }));
        for (size_t bit = 0; bit < proof.len * 8; bit++) {
            proof.data[bit / 8] = (char)(proof.data[bit / 8] ^ 1 << bit % 8);
            assert_false(tried(e, &b, buf_str(&proof)));
            proof.data[bit / 8] = (char)(proof.data[bit / 8] ^ 1 << bit % 8);
        }
        buf_puts(&bare, e->bare);
        b.bare = buf_str(&bare);
        for (size_t at = 0; at < bare.len; at++)
            for (int bit = 0; bit < 8; bit++) {
                bare.data[at] = (char)(bare.data[at] ^ 1 << bit);
                assert_false(tried(e, &b, buf_str(&proof)));
                bare.data[at] = (char)(bare.data[at] ^ 1 << bit);
            }
        for (size_t n = 0; n < bare.len; n++) {
            b.bare.n = n;
            assert_false(tried(e, &b, buf_str(&proof)));
        }
        b.bare = buf_str(&bare);
        v.stored_key[3] ^= 1;
        assert_false(tried(e, &b, buf_str(&proof)));
        buf_free(&bare);
        buf_free(&proof);
    }
}

static void test_refused(void **state)
{
    const struct scram_verifier v = verifier_of(&examples[1]);
    const struct tls_facts tls = { .on = true, .exporter = "e", .exporter_n = 32, .endpoint = "s", .endpoint_n = 32 };
    const struct row {
        const char *mechanism, *gs2, *authzid, *user, *bare, *wrong;
        bool plus_offered, tls;
    } rows[] = {
        { "SCRAM-SHA-256", "n,,", "", "user", "n=user,r=abc", NULL, false, false },
        { "scram-sha-256", "y,,", "", "user", "n=user,r=abc", NULL, false, true },
        { "SCRAM-SHA-256", "y,,", "", "user", "n=user,r=abc", "downgrade", true, true },
        { "SCRAM-SHA-256", "n,,", "", "user", "n=user,r=abc", NULL, true, true },
        { "SCRAM-SHA-256", "p=tls-exporter,,", "", "user", "n=user,r=abc", "binding", true, true },
        { "SCRAM-SHA-256-PLUS", "n,,", "", "user", "n=user,r=abc", "binding", true, true },
        { "SCRAM-SHA-256-PLUS", "y,,", "", "user", "n=user,r=abc", "binding", true, true },
        { "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", "", "user", "n=user,r=abc", NULL, true, true },
        { "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", "", "user", "n=user,r=abc", NULL, true, true },
        { "SCRAM-SHA-256-PLUS", "p=tls-unique,,", "", "user", "n=user,r=abc", "binding", true, true },
        { "SCRAM-SHA-256-PLUS", "p=tls-exporte,,", "", "user", "n=user,r=abc", "binding", true, true },
        { "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", "", "user", "n=user,r=abc", "binding", true, false },
        { "SCRAM-SHA-256", "n,a=bob,", "bob", "user", "n=user,r=abc", NULL, false, false },
        { "SCRAM-SHA-256", "n,a=bob,", "", "user", "n=user,r=abc", "names", false, false },
        { "SCRAM-SHA-256", "n,,", "bob", "user", "n=user,r=abc", "names", false, false },
        { "SCRAM-SHA-256", "n,a=bob,", "eve", "user", "n=user,r=abc", "names", false, false },
        { "SCRAM-SHA-256", "n,,", "", "other", "n=user,r=abc", "names", false, false },
        { "SCRAM-SHA-256", "n,,n=user,r=x,", "", "user", "n=user,r=abc", "syntax", false, false },
        { "SCRAM-SHA-256", "n,,", "", "user", "m=x,n=user,r=abc", "syntax", false, false },
        { "SCRAM-SHA-256", "", "", "user", "n,,n=user,r=abc", "syntax", false, false },
        { "SCRAM-SHA-512", "n,,", "", "user", "n=user,r=abc", "mechanism", false, false },
        { "SCRAM-SHA-1", "n,,", "", "user", "n=user,r=abc", "mechanism", false, false },     /* the verifier is of another hash */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        const struct scram_begin b = { .mechanism = r->mechanism, .plus_offered = r->plus_offered, .gs2 = str_z(r->gs2), .authzid = str_z(r->authzid),
                                       .user = str_z(r->user), .bare = str_z(r->bare), .tls = r->tls ? &tls : NULL, .verifier = &v };
        struct scram x = { 0 };
        struct buf first = { 0 }, final = { 0 };
        const char *wrong = scram_begin(&x, &b, &first);
        if (r->wrong == NULL)
            assert_null(wrong);
        else {
            assert_non_null(wrong);
            assert_string_equal(wrong, r->wrong);
            assert_int_equal(first.len, 0);
        }
        assert_false(scram_finish(&x, (struct str){ "01234567890123456789012345678901", 32 }, &final));
        scram_end(&x);
        buf_free(&first);
        buf_free(&final);
    }
}

/* The binding's data are in AuthMessage: what a client binds to another channel has another one. */
static void test_binding(void **state)
{
    const struct scram_verifier v = verifier_of(&examples[1]);
    struct tls_facts a = { .on = true, .exporter_n = 32, .endpoint_n = 32 }, b = a;
    struct scram_begin begin = { .mechanism = "SCRAM-SHA-256-PLUS", .gs2 = STR("p=tls-exporter,,"), .authzid = STR(""), .user = STR("user"),
                                 .bare = STR("n=user,r=abc"), .verifier = &v };
    struct scram x = { 0 }, y = { 0 };
    struct buf first = { 0 }, c = { 0 }, want = { 0 };
    (void)state;
    memset(a.exporter, 'a', 32);
    memset(b.exporter, 'b', 32);
    memset(b.endpoint, 'c', 32);
    begin.tls = &a;
    assert_null(scram_begin_with(&x, &begin, STR("N"), &first));
    begin.tls = &b;
    assert_null(scram_begin_with(&y, &begin, STR("N"), &first));
    assert_int_not_equal(str_eq(buf_str(&x.auth_message), buf_str(&y.auth_message)), 1);
    buf_puts(&c, "p=tls-exporter,,");
    buf_add(&c, a.exporter, 32);
    buf_puts(&want, "n=user,r=abc,r=abcN,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=");
    base64_encode(&want, c.data, c.len);
    buf_puts(&want, ",r=abcN");
    assert_string_equal(x.auth_message.data, want.data);
    scram_end(&x);
    scram_end(&y);
    buf_free(&first);
    buf_free(&c);
    buf_free(&want);
}

static void test_nonces(void **state)
{
    const struct scram_verifier v = verifier_of(&examples[1]);
    const struct scram_begin b = begin_of(&examples[1], &v);
    struct buf first[2] = { { 0 }, { 0 } };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct scram x = { 0 };
        assert_null(scram_begin(&x, &b, &first[i]));
        scram_end(&x);
    }
    assert_int_equal(first[0].len, first[1].len);
    assert_string_not_equal(first[0].data, first[1].data);
    buf_free(&first[0]);
    buf_free(&first[1]);
}

static void test_verifier(void **state)
{
    static const char *const bad[] = {
        "", ",", ",,,", "4096", "4095,W22ZaJ0SNY7soEsUEjb6gQ==,A,B", "10000001,W22ZaJ0SNY7soEsUEjb6gQ==,A,B", "99999999999999999999,eA==,,",
        "04096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "4096,,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4g==,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=,",
        "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
    };
    static const char good[] = "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    struct scram_verifier v = verifier_of(&examples[1]), w;
    struct buf text = { 0 };
    (void)state;
    scram_verifier_format(&text, &v);
    assert_string_equal(text.data, good);         /* of "pencil", computed with another library */
    assert_int_equal(scram_verifier_parse(&w, SCRAM_SHA_256, buf_str(&text)), 0);
    assert_memory_equal(&v, &w, sizeof v);
    for (size_t n = 0; n < text.len; n++)
        assert_int_equal(scram_verifier_parse(&w, SCRAM_SHA_256, (struct str){ good, n }), -1);
    assert_int_equal(scram_verifier_parse(&w, SCRAM_SHA_1, buf_str(&text)), -1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(scram_verifier_parse(&w, SCRAM_SHA_256, str_z(bad[i])), -1);
    assert_true(scram_check_password(&v, "pencil"));
    assert_false(scram_check_password(&v, "pencil "));
    assert_false(scram_check_password(&v, ""));
    assert_false(scram_check_password(&v, "penc\xff"));
    assert_true(scram_check_password(&v, "pen\xc2\xad" "cil"));           /* SOFT HYPHEN is nothing */
    assert_int_equal(scram_verifier_make(&v, SCRAM_SHA_256, SCRAM_ITERATIONS, STR("a\tb")), -1);
    assert_int_equal(scram_verifier_make(&v, SCRAM_SHA_256, SCRAM_ITERATIONS, STR("geheim")), 0);
    assert_int_equal(scram_verifier_make(&w, SCRAM_SHA_256, SCRAM_ITERATIONS, STR("geheim")), 0);
    assert_memory_not_equal(v.salt, w.salt, SCRAM_SALT);
    assert_true(scram_check_password(&v, "geheim") && scram_check_password(&w, "geheim"));
    buf_free(&text);
}

static void test_pretend(void **state)
{
    struct scram_verifier a = verifier_of(&examples[1]), b = a, other = a, elsewhere = a;
    (void)state;
    scram_verifier_pretend(&a, STR("secret"), STR("nobody"));
    scram_verifier_pretend(&b, STR("secret"), STR("nobody"));
    scram_verifier_pretend(&other, STR("secret"), STR("nobody2"));
    scram_verifier_pretend(&elsewhere, STR("secret2"), STR("nobody"));
    assert_memory_equal(a.salt, b.salt, a.salt_n);
    assert_memory_not_equal(a.salt, other.salt, a.salt_n);
    assert_memory_not_equal(a.salt, elsewhere.salt, a.salt_n);
    assert_int_equal(a.iterations, 4096);
    assert_false(scram_check_password(&a, "pencil"));
}

static void test_first(void **state)
{
    static const struct row {
        const char *text, *error, *user, *authzid;
    } rows[] = {
        { "n,,n=user,r=abc", NULL, "user", "" }, { "y,,n=user,r=a", NULL, "user", "" }, { "p=x,,n=user,r=a", NULL, "user", "" },
        { "n,a=other,n=user,r=a", NULL, "user", "other" }, { "n,,n=a=2Cb=3Dc,r=a", NULL, "a,b=c", "" }, { "n,a==3D,n==2C,r=a", NULL, ",", "=" },
        { "n,,n=user,r=a,x=1", NULL, "user", "" }, { "n,,n=user,r=a,x=1,y==", NULL, "user", "" },
        { "n,,n=\xc3\xbc,r=a", NULL, "\xc3\xbc", "" }, { "n,,n=u\xcc\x88,r=a", NULL, "\xc3\xbc", "" },
        { "n,,n=user,r=a,x", "other-error", 0, 0 }, { "n,,n=user,r=a,", "other-error", 0, 0 }, { "n,,n=user,r=a,x=", "other-error", 0, 0 },
        { "n,,n=user,r=a,1=x", "other-error", 0, 0 }, { "n,,n=user,r=a,m=x", "other-error", 0, 0 }, { "n,,n=user,r=a b", "other-error", 0, 0 },
        { "n,,n=user,r=", "other-error", 0, 0 }, { "n,,n=user,r=\xc3\xbc", "other-error", 0, 0 }, { "n,,n=user", "other-error", 0, 0 },
        { "n,,r=a,n=user", "other-error", 0, 0 }, { "n,,n=user,x=1,r=a", "other-error", 0, 0 }, { "n,n=user,r=a", "other-error", 0, 0 },
        { "n,x=y,n=user,r=a", "other-error", 0, 0 }, { "N,,n=user,r=a", "other-error", 0, 0 }, { "x,,n=user,r=a", "other-error", 0, 0 },
        { "p,,n=user,r=a", "other-error", 0, 0 }, { "p=,,n=user,r=a", "other-error", 0, 0 }, { "p=a_b,,n=user,r=a", "other-error", 0, 0 },
        { "n=x,,n=user,r=a", "other-error", 0, 0 }, { "", "other-error", 0, 0 }, { "n", "other-error", 0, 0 }, { "n,,", "other-error", 0, 0 },
        { "F,n,,n=user,r=a", "other-error", 0, 0 },
        { "n,,m=x,n=user,r=a", "extensions-not-supported", 0, 0 },
        { "n,,n=,r=a", "invalid-username-encoding", 0, 0 }, { "n,a=,n=u,r=a", "invalid-username-encoding", 0, 0 },
        { "n,,n=a=b,r=a", "invalid-username-encoding", 0, 0 }, { "n,,n=a=2c,r=a", "invalid-username-encoding", 0, 0 },
        { "n,,n=a=,r=a", "invalid-username-encoding", 0, 0 }, { "n,,n=\xff,r=a", "invalid-username-encoding", 0, 0 },
        { "n,,n=\xc2\xad,r=a", "invalid-username-encoding", 0, 0 }, { "n,,n=a\tb,r=a", "invalid-username-encoding", 0, 0 },
        { "n,,n=\xed\xa0\x80,r=a", "invalid-username-encoding", 0, 0 },
    };
    struct scram_first f;
    char name[400];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *error = scram_parse_first(&f, str_z(rows[i].text));
        if (rows[i].error == NULL) {
            assert_null(error);
            assert_string_equal(f.user, rows[i].user);
            assert_string_equal(f.authzid, rows[i].authzid);
            assert_int_equal(f.gs2.n + f.bare.n, strlen(rows[i].text));
        } else {
            assert_non_null(error);
            assert_string_equal(error, rows[i].error);
        }
    }
    assert_non_null(scram_parse_first(&f, STR("n,,n=us\0er,r=abc")));
    assert_non_null(scram_parse_first(&f, STR("n,,n=user,r=a\0bc")));
    snprintf(name, sizeof name, "n,,n=%0255d,r=a", 1);
    assert_null(scram_parse_first(&f, str_z(name)));
    snprintf(name, sizeof name, "n,,n=%0256d,r=a", 1);
    assert_non_null(scram_parse_first(&f, str_z(name)));
}

static void test_final(void **state)
{
    static const struct row { const char *text; bool good; } rows[] = {
        { "c=biws,r=abc,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", true }, { "c=biws,r=abc,p=", true }, { "c=,r=abc,p=AA==", true },
        { "c=biws,r=abc,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts", false }, { "c=biws,r=abc", false }, { "c=biws,r=abc,", false },
        { "c=biws,r=,p=AA==", false }, { "r=abc,c=biws,p=AA==", false }, { "c=biws,r=abc,x=1,p=AA==", false },
        { "c=biws,r=abc,m=1,p=AA==", false }, { "c=biws,r=abc,p=AA==,x=1", false }, { "c=biws,r=abc,p=AA==,", false },
        { "c=bi ws,r=abc,p=AA==", false }, { "m=x,c=biws,r=abc,p=AA==", false }, { "", false }, { "c=", false }, { "c=biws,r=abc,v=AA==", false },
        { "c=biws,r=abc,p=AB==", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scram_final f;
        const char *error = scram_parse_final(&f, str_z(rows[i].text));
        if ((error == NULL) != rows[i].good)
            fail_msg("%s: %s", rows[i].text, error);
        scram_final_free(&f);
    }
}

static void test_saslprep(void **state)
{
    static const struct row { const char *in, *out; bool stored; } rows[] = {
        /* RFC 4013 section 3 */
        { "I\xc2\xadX", "IX", true }, { "user", "user", true }, { "USER", "USER", true }, { "\xc2\xaa", "a", true }, { "\xe2\x85\xa8", "IX", true },
        { "\x07", NULL, true }, { "\xd8\xa7" "1", NULL, true },
        { "\xd8\xa7" "1\xd8\xa7", "\xd8\xa7" "1\xd8\xa7", true }, { "\xd8\xa7" "a\xd8\xa7", NULL, true },
        { "a\xc2\xa0" "b", "a b", true }, { "a\xe3\x80\x80" "b", "a b", true }, { "", NULL, true }, { "\xc2\xad", NULL, true },
        { "\xee\x80\x80", NULL, false }, { "\xef\xbf\xbe", NULL, false }, { "\xe2\x80\x8e" "a", NULL, false }, { "a\xef\xbf\xbd", NULL, false },
        { "a\xf3\xa0\x80\xa1", NULL, false }, { "\xff", NULL, false }, { "a\xc2\x85" "b", NULL, false }, { "a\x7f", NULL, false },
        { "\xcd\xb8", NULL, true }, { "\xcd\xb8", "\xcd\xb8", false },                     /* U+0378 is not assigned */
        { "p\xc3\xa4sswort", "p\xc3\xa4sswort", true }, { "pa\xcc\x88sswort", "p\xc3\xa4sswort", true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = { 0 };
        const int result = saslprep(&out, str_z(rows[i].in), rows[i].stored);
        if ((result == 0) != (rows[i].out != NULL) || (result == 0 && !str_eq(buf_str(&out), str_z(rows[i].out))))
            fail_msg("row %zu: %d %s", i, result, out.len > 0 ? out.data : "");
        buf_free(&out);
    }
}

#define KEYS "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define HASH "$6$qwertyui$abcdefghijkl"

static void test_passwd_line(void **state)
{
    static const struct row { const char *line; bool has; } rows[] = {
        { "u:{SCRAM-SHA-256}" KEYS ":1:1::/h", true }, { "u:{scram-sha-256}" KEYS ":1:1::/h::", true },
        { "u:" HASH ":1:1::/h::scram-sha-256=" KEYS, true }, { "u:" HASH ":1:1::/h:/bin/sh:a=b scram-sha-256=" KEYS "  x", true },
        { "u:" HASH ":1:1::/h", false }, { "u:" HASH ":1:1::/h:scram-sha-256=" KEYS, false }, { "u:" HASH ":1:1::/h::ascram-sha-256=" KEYS, false },
        { "u:!" HASH ":1:1::/h::scram-sha-256=" KEYS, false }, { "u:*:1:1::/h::scram-sha-256=" KEYS, false },
        { "u::1:1::/h::scram-sha-256=" KEYS, false }, { "u:!{SCRAM-SHA-256}" KEYS ":1:1::/h", false },
        { "u:{SCRAM-SHA-256}" KEYS "x:1:1::/h", false }, { "u:{SCRAM-SHA-1}" KEYS ":1:1::/h::scram-sha-256=" KEYS, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct passwd_line e;
        struct scram_verifier v;
        char *line = strdup(rows[i].line);
        assert_int_equal(passwd_line_parse(&e, line), 1);
        if ((passwd_verifier(&v, SCRAM_SHA_256, &e) == 0) != rows[i].has)
            fail_msg("%s", rows[i].line);
        free(line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples), cmocka_unit_test(test_flips), cmocka_unit_test(test_refused), cmocka_unit_test(test_binding),
        cmocka_unit_test(test_nonces), cmocka_unit_test(test_verifier), cmocka_unit_test(test_pretend), cmocka_unit_test(test_first),
        cmocka_unit_test(test_final), cmocka_unit_test(test_saslprep), cmocka_unit_test(test_passwd_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
