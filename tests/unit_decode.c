/* decode.h and object_id.h: transfer encodings and line ends, in one piece and an octet at a time; where a thread begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "store/decode.h"
#include "store/object_id.h"

static void decode(struct buf *out, struct str encoding, struct str in, size_t step)
{
    struct transfer t = { .kind = transfer_kind_of(encoding) };
    for (size_t i = 0; i < in.n; i += step)
        transfer_feed(&t, out, in.p + i, in.n - i < step ? in.n - i : step);
    transfer_end(&t, out);
}

static void decodes(const char *encoding, struct str in, struct str want)
{
    for (size_t step = 1; step <= in.n + 1; step++) {
        struct buf out = { 0 };
        decode(&out, str_z(encoding), in, step);
        if (out.len != want.n || memcmp(out.len > 0 ? out.data : "", want.p, want.n) != 0)
            fail_msg("%s, steps of %zu: \"%.*s\" gave \"%.*s\"", encoding, step, (int)in.n, in.p, (int)out.len, out.len > 0 ? out.data : "");
        buf_free(&out);
    }
}

static void test_base64(void **state)
{
    (void)state;
    decodes("base64", STR("AAEC/w=="), STR("\0\1\2\xff"));
    decodes("BASE64", STR("b25l\r\nIHR3bw==\r\n"), STR("one two"));
    decodes("base64", STR("b25l!*IHR3bw"), STR("one two"));           /* other octets, and no padding */
    decodes("base64", STR("b25=l"), STR("on"));                       /* '=' ends a text; one character more is nothing */
    decodes("base64", STR("b25lCg==dHdv"), STR("one\ntwo"));          /* two texts joined */
    decodes("base64", STR("===="), STR(""));
    decodes("base64", STR(""), STR(""));
}

/* Lines long enough for many octets at once: every value of a character, in every place, and octets that are none of the alphabet. */
static void test_base64_lines(void **state)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum { OCTETS = 3 * 64 * 9 };
    static unsigned char octets[OCTETS];
    (void)state;
    for (uint32_t i = 0, v = 1; i < OCTETS; i++, v = v * 1103515245U + 12345U)
        octets[i] = (unsigned char)(v >> 16);
    for (unsigned strange = 0; strange < 256; strange += strange < 0x30 || strange > 0x78 ? 1 : 5) {
        struct buf text = { 0 };
        const bool none = strchr(alphabet, (int)strange) == NULL && strange != '=';
        for (size_t i = 0; i < OCTETS; i += 3) {
            const unsigned v = (unsigned)octets[i] << 16 | (unsigned)octets[i + 1] << 8 | octets[i + 2];
            if (i / 3 % 19 == 0) buf_puts(&text, "\r\n");
            for (int shift = 18; shift >= 0; shift -= 6) {
                buf_addc(&text, alphabet[v >> shift & 63]);
                if (none && (i + (unsigned)shift) % 97 == 0) buf_addc(&text, (char)strange);
            }
        }
        for (size_t step = 1; step <= text.len; step = step * 7 + 1) {
            struct buf out = { 0 };
            decode(&out, STR("base64"), buf_str(&text), step);
            assert_int_equal(out.len, OCTETS);
            assert_memory_equal(out.data, octets, OCTETS);
            buf_free(&out);
        }
        buf_free(&text);
    }
}

static void test_quoted_printable(void **state)
{
    (void)state;
    decodes("quoted-printable", STR("caf=C3=A9 =\r\nat=20nine"), STR("caf\xc3\xa9 at nine"));
    decodes("Quoted-Printable", STR("a \t \r\nb\t\r\n"), STR("a\r\nb\r\n"));   /* blanks at line ends are not the text's */
    decodes("quoted-printable", STR("a=  \t\r\nb"), STR("ab"));
    decodes("quoted-printable", STR("=c3=a9"), STR("\xc3\xa9"));
    decodes("quoted-printable", STR("1=2, =ZZ, =4\r\n=4Z=="), STR("1=2, =ZZ, =4\r\n=4Z="));
    decodes("quoted-printable", STR("a=00b"), STR("a\0b"));
    decodes("quoted-printable", STR("end="), STR("end"));
}

static void test_identity(void **state)
{
    (void)state;
    decodes("7bit", STR("a=41 \r\n"), STR("a=41 \r\n"));
    decodes("8BIT", STR("\xff"), STR("\xff"));
    decodes("binary", STR("a\0b"), STR("a\0b"));
    assert_true(transfer_known(STR("7Bit")) && transfer_known(STR("Base64")) && transfer_known(STR("")));
    assert_false(transfer_known(STR("x-uuencode")) || transfer_known(STR("base65")));
}

static void test_line_ends(void **state)
{
    const struct str in = STR("\na\nb\r\nc\rd\r\r\n\n\n"), want = STR("\r\na\r\nb\r\nc\rd\r\r\n\r\n\r\n");
    (void)state;
    for (size_t step = 1; step <= in.n; step++) {
        struct buf out = { 0 };
        struct line_ends l = { .cr = false };
        for (size_t i = 0; i < in.n; i += step)
            line_ends_feed(&l, &out, in.p + i, in.n - i < step ? in.n - i : step);
        assert_true(str_eq(buf_str(&out), want));
        buf_free(&out);
    }
}

static void test_thread_root(void **state)
{
    static const struct { const char *header, *root; } cases[] = {
        { "Message-ID: <a@x>\r\n\r\n", "a@x" },
        { "message-id: a@x \r\n\r\n", "a@x" },
        { "Message-ID: <c@x>\r\nReferences:\r\n <a@x>\r\n <b@x>\r\nIn-Reply-To: <b@x>\r\n\r\n", "a@x" },
        { "In-Reply-To: Your message of Monday <b@x> and\r\n <z@x>\r\nMessage-ID: <c@x>\r\n\r\n", "b@x" },
        { "In-Reply-To: your mail\r\nReferences: none\r\nMessage-ID: <c@x>\r\n\r\n", "c@x" },
        { "References: <a@\r\n x>\r\n\r\n", "a@x" },
        { "References: <>\r\nMessage-ID: <c@x>\r\n\r\n", "c@x" },
        { "Subject: <a@x>\r\n\r\nMessage-ID: <c@x>\r\n", "" },
        { "", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = { 0 };
        thread_root(&out, str_z(cases[i].header));
        assert_string_equal(out.len > 0 ? out.data : "", cases[i].root);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64), cmocka_unit_test(test_base64_lines), cmocka_unit_test(test_quoted_printable), cmocka_unit_test(test_identity),
        cmocka_unit_test(test_line_ends), cmocka_unit_test(test_thread_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
