/* auth/jwt_parse.h and auth/oauth_keys.h: the examples of RFC 7628, RFC 7515 and RFC 8037, and each beginning of a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "auth/jwt_parse.h"
#include "auth/oauth_keys.h"
#include "base/base64.h"

typedef int (*parser)(struct jwt_parse_message *, struct str);

/* In memory of its own and of its own size, so that a sanitizer sees a step beyond it. */
static int parse_copy(parser parse, struct jwt_parse_message *m, struct str text, char **copy)
{
    *copy = malloc(text.n > 0 ? text.n : 1);
    assert_non_null(*copy);
    memcpy(*copy, text.p, text.n);
    return parse(m, (struct str){ *copy, text.n });
}

/* RFC 7628, sections 4.1 and 4.3. */
static void test_rfc7628(void **state)
{
    struct jwt_parse_message m;
    struct buf b = { 0 };
    (void)state;
    assert_int_equal(base64_decode(&b, STR("bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyI"
                                           "HZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB")), 0);
    assert_int_equal(jwt_parse_oauthbearer(&m, buf_str(&b)), 0);
    assert_string_equal(m.name, "user@example.com");
    assert_true(str_eq(m.host, STR("server.example.com")));
    assert_true(str_eq(m.port, STR("143")));
    assert_true(str_eq(m.token, STR("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")));
    assert_int_equal(jwt_parse_xoauth2(&m, buf_str(&b)), -1);
    buf_free(&b);
    assert_int_equal(jwt_parse_oauthbearer(&m, STR("n,a=user@example.com,\1host=server.example.com\1port=143\1auth=\1\1")), 0);
    assert_int_equal(m.token.n, 0);
}

/* No beginning of a message is one, and none is read beyond its end. */
static void test_beginnings(void **state)
{
    static const struct { parser parse; const char *text; } rows[] = {
        { jwt_parse_oauthbearer, "n,a=b=2Co=3Db,\1host=h\1port=1\1x=\t\r\n \1auth=Bearer a.b.c\1\1" },
        { jwt_parse_xoauth2, "user=b,o=b\1x=y\1auth=bearer  a.b.c\1\1" },
    };
    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (size_t n = 0; n <= strlen(rows[i].text); n++) {
            struct jwt_parse_message m;
            char *copy;
            const bool whole = rows[i].text[n] == '\0';
            assert_int_equal(parse_copy(rows[i].parse, &m, (struct str){ rows[i].text, n }, &copy), whole ? 0 : -1);
            if (whole) {
                assert_string_equal(m.name, "b,o=b");
                assert_true(str_eq(m.token, STR("a.b.c")));
            }
            free(copy);
        }
}

static void test_longest_name(void **state)
{
    char text[400];
    struct jwt_parse_message m;
    (void)state;
    for (int n = JWT_PARSE_NAME_MAX - 1; n <= JWT_PARSE_NAME_MAX + 1; n++) {
        const int good = n <= JWT_PARSE_NAME_MAX ? 0 : -1;
        int len = snprintf(text, sizeof text, "n,a=%0*d,\1auth=Bearer x\1\1", n, 0);
        assert_int_equal(jwt_parse_oauthbearer(&m, (struct str){ text, (size_t)len }), good);
        len = snprintf(text, sizeof text, "user=%0*d\1auth=Bearer x\1\1", n, 0);
        assert_int_equal(jwt_parse_xoauth2(&m, (struct str){ text, (size_t)len }), good);
        if (good == 0)
            assert_int_equal(strlen(m.name), n);
    }
}

static void test_base64url(void **state)
{
    static const struct { const char *text, *octets; } good[] = {
        { "", "" }, { "Zg", "f" }, { "Zm8", "fo" }, { "Zm9v", "foo" }, { "Zm9vYg", "foob" }, { "-_-_", "\xfb\xff\xbf" }
    };
    static const char *const bad[] = { "Z", "Zh", "Zm9", "Zg==", "Zm9vZ", "+/+/", "Zm 9", "Zm9\n", "Zm9v\n" };
    char out[8];
    size_t n;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const size_t len = strlen(good[i].octets);
        assert_int_equal(jwt_parse_base64url(str_z(good[i].text), out, len, &n), 0);
        assert_int_equal(n, len);
        assert_memory_equal(out, good[i].octets, len);
        if (len > 0)
            assert_int_equal(jwt_parse_base64url(str_z(good[i].text), out, len - 1, &n), -1);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(jwt_parse_base64url(str_z(bad[i]), out, sizeof out, &n), -1);
}

static void test_shallow(void **state)
{
    char text[4 * JWT_PARSE_DEPTH_MAX];
    (void)state;
    memset(text, '[', sizeof text);
    assert_true(jwt_parse_shallow((struct str){ text, JWT_PARSE_DEPTH_MAX }));
    assert_false(jwt_parse_shallow((struct str){ text, JWT_PARSE_DEPTH_MAX + 1 }));
    text[JWT_PARSE_DEPTH_MAX] = ']';
    assert_true(jwt_parse_shallow((struct str){ text, JWT_PARSE_DEPTH_MAX + 2 }));
    text[0] = '"';
    text[1] = '\\';
    text[2] = '"';
    assert_true(jwt_parse_shallow((struct str){ text, sizeof text }));
    text[2] = '\\';
    text[3] = '"';
    assert_false(jwt_parse_shallow((struct str){ text, sizeof text }));
    assert_true(jwt_parse_shallow(STR("\"\\")));
}

/* NULL, or why not: the token's signature with the one key. */
static const char *verify(const char *jwk, const char *alg, const char *text)
{
    char path[] = "/tmp/unit_jwt.XXXXXX", err[400] = "", octets[600];
    const int fd = mkstemp(path);
    struct jwt_parse_token t;
    size_t n;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, jwk, strlen(jwk)), strlen(jwk));
    close(fd);
    struct oauth_keys *k = oauth_keys_read(path, err, sizeof err);
    unlink(path);
    assert_string_equal(err, "");
    assert_non_null(k);
    assert_int_equal(jwt_parse_token(&t, str_z(text)), 0);
    assert_int_equal(jwt_parse_base64url(t.signature, octets, sizeof octets, &n), 0);
    const char *wrong = oauth_keys_verify(k, alg, "", t.text, (struct str){ octets, n });
    oauth_keys_free(k);
    return wrong;
}

/* RFC 7515 appendix A.3, RFC 8037 appendix A.4; not signed by this program nor its library. */
static void test_signatures(void **state)
{
    static const char ec[] = "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
    static const char okp[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
    static const char es256[] = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    static const char eddsa[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    (void)state;
    assert_null(verify(ec, "ES256", es256));
    assert_null(verify(okp, "EdDSA", eddsa));
    assert_string_equal(verify(ec, "EdDSA", eddsa), "key");
    assert_string_equal(verify(okp, "EdDSA", es256), "signature");
    assert_string_equal(verify(ec, "HS256", es256), "algorithm");
    assert_string_equal(verify(ec, "none", es256), "algorithm");
    assert_string_equal(verify(ec, "", es256), "algorithm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc7628), cmocka_unit_test(test_beginnings), cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_base64url), cmocka_unit_test(test_shallow), cmocka_unit_test(test_signatures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
