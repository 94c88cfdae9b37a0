/* text.h: charsets, encoded words, transfer encodings, folding, and search; streams also an octet at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <utf8proc.h>
#include "store/text_private.h"

static void is(struct buf *b, const char *want)
{
    if (!str_eq(buf_str(b), str_z(want))) fail_msg("\"%s\" is not \"%s\"", b->data, want);
    buf_clear(b);
}

static void test_charsets(void **state)
{
    struct buf b = { 0 };
    (void)state;
    assert_true(text_charset_known(STR("UTF-8")) && text_charset_known(STR("us-ascii")) && text_charset_known(STR("iso-8859-15")));
    assert_false(text_charset_known(STR("x-none")) || text_charset_known(STR("")) || text_charset_known(STR("UTF-8//TRANSLIT"))
                 || text_charset_known(STR("../../etc/passwd")) || text_charset_known(STR("ISO\0X")));
    assert_int_equal(text_to_utf8(&b, STR("iso-8859-1"), STR("\xe4")), 0);
    is(&b, "\xc3\xa4");
    assert_int_equal(text_to_utf8(&b, STR("iso-2022-jp"), STR("\x1b$B$3\x1b(B")), 0);
    is(&b, "\xe3\x81\x93");
    assert_int_equal(text_to_utf8(&b, STR("UTF-8"), STR("a\xff\xc3")), 0);
    is(&b, "a\xef\xbf\xbd\xef\xbf\xbd");
    assert_int_equal(text_to_utf8(&b, STR("none/such"), STR("x")), -1);
    buf_free(&b);
}

static void test_header(void **state)
{
    static const char *const pairs[][2] = {
        { "plain\r\n text", "plain text" },
        { " =?ISO-8859-1?Q?a_=e4?=", "a \xc3\xa4" },
        { "=?utf-8?B?w6Q=?= =?UTF-8?B?w7Y=?=\r\n x", "\xc3\xa4\xc3\xb6 x" },
        { "=?utf-8?B?ww==?= =?utf-8?B?pA==?=", "\xc3\xa4" },             /* a character across two words */
        { "=?utf-8*de?q?a?= b =?utf-8?q?c?=", "a b c" },
        { "a =?broken?x?y?= =?utf-8?q?unfinished", "a =?broken?x?y?= =?utf-8?q?unfinished" },
        { "=?x-none?q?=C3=A4?=", "\xc3\xa4" },
        { "=?x-none?q?=E4?=", "\xc3\xa4" },
        { "raw \xc3\xa4 \xe4", "raw \xc3\xa4 \xc3\xa4" },
        { "=?utf-8?q?" "?= =?utf-8?b?" "?=", "" },
    };
    struct buf b = { 0 };
    (void)state;
    text_decode_header(&b, (struct str){ NULL, 0 });          /* a field that is not there */
    assert_int_equal(b.len, 0);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        text_decode_header(&b, str_z(pairs[i][0]));
        buf_addc(&b, '.');
        b.len--;
        is(&b, pairs[i][1]);
    }
    buf_free(&b);
}

static void transfer(struct buf *out, enum transfer_kind kind, struct str in, size_t step)
{
    struct transfer t = { .kind = kind };
    buf_clear(out);
    for (size_t i = 0; i < in.n; i += step) transfer_feed(&t, out, in.p + i, in.n - i < step ? in.n - i : step);
    transfer_end(&t, out);
}

static void test_transfer(void **state)
{
    static const struct { enum transfer_kind kind; const char *in, *out; } list[] = {
        { TRANSFER_BASE64, "Zm9v\r\nYmFy", "foobar" },   { TRANSFER_BASE64, "Zg==Zg==", "ff" }, { TRANSFER_BASE64, "Z m 9*v", "foo" },
        { TRANSFER_QP, "a=20b=\r\nc", "a bc" },          { TRANSFER_QP, "x  \r\ny", "x\r\ny" },  { TRANSFER_QP, "=zz=4", "=zz=4" },
        { TRANSFER_QP, "a= \t\r\nb =3d", "ab =" },       { TRANSFER_QP, "=A\r\n.", "=A\r\n." }, { TRANSFER_QP, "=A\n.", "=A\n." },
        { TRANSFER_QP, "a b\rc =", "a b\rc " },          { TRANSFER_NONE, "a=20", "a=20" },     { TRANSFER_QP, "==41", "=A" },
    };
    struct buf b = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        for (size_t step = 1; step < 20; step++) {
            transfer(&b, list[i].kind, str_z(list[i].in), step);
            buf_addc(&b, '.');
            b.len--;
            is(&b, list[i].out);
        }
    buf_free(&b);
}

static void fold_check(enum collation collation, const char *in, const char *want)
{
    struct buf b = { 0 };
    for (size_t step = 1; step < 12; step++) {           /* in pieces, of whole characters or not */
        struct buf left = { 0 };
        const size_t n = strlen(in);
        for (size_t i = 0; i < n; i += step) {
            buf_add(&left, in + i, i + step < n ? step : n - i);
            buf_drop(&left, fold_feed(collation, &b, left.data, left.len, false));
        }
        fold_feed(collation, &b, left.data ? left.data : "", left.len, true);
        buf_free(&left);
        is(&b, want);
    }
    text_fold(collation, &b, str_z(in));
    is(&b, want);
    buf_free(&b);
}

static void test_fold(void **state)
{
    (void)state;
    fold_check(COLLATE_CASEMAP, "Hello, WORLD 0123456789 abcdefghij[`{", "HELLO, WORLD 0123456789 ABCDEFGHIJ[`{");
    fold_check(COLLATE_CASEMAP, "STRASSE stra\xc3\x9f" "e", "STRASSE STRA\xc3\x9f" "E");          /* sharp s has no capital */
    fold_check(COLLATE_CASEMAP, "A\xcc\x88 \xc3\x84 \xc3\xa4", "A\xcc\x88 A\xcc\x88 A\xcc\x88");    /* A + diaeresis, precomposed */
    fold_check(COLLATE_CASEMAP, "e\xcc\x81x", "E\xcc\x81X");
    fold_check(COLLATE_CASEMAP, "\xe4\xb8\xad\xe6\x96\x87 X\xe4\xb8\xad", "\xe4\xb8\xad\xe6\x96\x87 X\xe4\xb8\xad");
    fold_check(COLLATE_CASEMAP, "\xce\xa3\xce\xaf\xcf\x82", "\xce\xa3\xce\x99\xcc\x81\xce\xa3");    /* final sigma */
    fold_check(COLLATE_CASEMAP, "\xc7\x84 \xc7\x85 \xc7\x86", "Dz\xcc\x8c Dz\xcc\x8c Dz\xcc\x8c");   /* the example of RFC 5051 */
    fold_check(COLLATE_CASEMAP, "\xef\xac\x81 \xc2\xbd", "fi 1\xe2\x81\x84" "2");                   /* compatibility */
    fold_check(COLLATE_CASEMAP, "\xd0\xb9\xd1\x91", "\xd0\x98\xcc\x86\xd0\x95\xcc\x88");
    fold_check(COLLATE_CASEMAP, "\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8");            /* Hangul */
    static const char wrong[] = "a\xc3" "a\xff\xd0 \x80\xe4\xb8";           /* no UTF-8 */
    struct buf b = { 0 };
    text_fold(COLLATE_CASEMAP, &b, STR(wrong));
    is(&b, wrong);
    fold_feed(COLLATE_CASEMAP, &b, wrong, sizeof wrong - 1, true);
    is(&b, "A\xc3" "A\xff\xd0 \x80\xe4\xb8");
    buf_free(&b);
    fold_check(COLLATE_ASCII, "Hello, \xc3\xa4 \xc3\x84 0123456789 z", "HELLO, \xc3\xa4 \xc3\x84 0123456789 Z");
    fold_check(COLLATE_OCTET, "Hello, \xc3\xa4 \xff", "Hello, \xc3\xa4 \xff");
}

/* Every character alone, and between others, becomes what the steps of RFC 5051 say. */
static void test_fold_all(void **state)
{
    static const char *const around[][2] = { { "", "" }, { "A", "B" }, { "E", "\xcc\x81" }, { "\xd0\x90", "\xe4\xb8\xad" } };
    (void)state;
    for (utf8proc_int32_t c = 0x80; c < 0x30000; c++) {
        if (c >= 0xd800 && c < 0xe000) continue;
        utf8proc_int32_t parts[32];
        utf8proc_uint8_t octets[4];
        int class = 0;
        const utf8proc_int32_t title = c == 0xdf ? c : utf8proc_totitle(c);
        const utf8proc_ssize_t n = utf8proc_decompose_char(title, parts, 32, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &class);
        assert_in_range(n, 1, 32);
        for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
            struct buf b = { 0 }, in = { 0 }, want = { 0 };
            buf_puts(&in, around[i][0]);
            buf_puts(&want, around[i][0]);
            buf_add(&in, octets, (size_t)utf8proc_encode_char(c, octets));
            for (utf8proc_ssize_t k = 0; k < n; k++) buf_add(&want, octets, (size_t)utf8proc_encode_char(parts[k], octets));
            buf_puts(&in, around[i][1]);
            buf_puts(&want, around[i][1]);
            text_fold(COLLATE_CASEMAP, &b, buf_str(&in));
            if (!str_eq(buf_str(&b), buf_str(&want))) fail_msg("U+%04X, %zu", (unsigned)c, i);
            buf_free(&b);
            buf_free(&in);
            buf_free(&want);
        }
    }
}

struct memory {
    struct str s;
    size_t most;
};

static long read_memory(void *ctx, uint64_t offset, char *to, size_t n)
{
    const struct memory *m = ctx;
    if (offset >= m->s.n) return 0;
    if (n > m->s.n - offset) n = m->s.n - (size_t)offset;
    if (n > m->most) n = m->most;
    memcpy(to, m->s.p + offset, n);
    return (long)n;
}

static const char message[] =
    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    "Der B=E4r tanzt im W=\r\nald.\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    "PHA+TmVlZGxlIGluIMOEdGhlcjwvcD4=\r\n--b\r\nContent-Type: image/png; name=picture.png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    "aGlkZGVu\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?b?w6R0dGFjaGVk?=\r\n\r\nthe inner body\r\n--b--\r\n";

static int find(const char *what, bool headers, size_t most)
{
    struct arena *a = arena_new();
    struct mime_parser *p = mime_parser_new(a);
    mime_parser_feed(p, message, sizeof message - 1);
    struct mime_part *root = mime_parser_finish(p);
    struct memory m = { STR(message), most };
    struct text_needle *n = text_needle_new(COLLATE_CASEMAP, str_z(what));
    const int rc = text_search(root, n, headers, read_memory, &m);
    text_needle_free(n);
    arena_free(a);
    return rc;
}

static void test_search(void **state)
{
    (void)state;
    for (size_t most = 1; most < 100; most += 7) {
        assert_int_equal(find("b\xc3\xa4r TANZT im wald", false, most), 1);
        assert_int_equal(find("NEEDLE in \xc3\xa4ther", false, most), 1);
        assert_int_equal(find("\xc3\xa4ttached", false, most), 1);
        assert_int_equal(find("inner body", false, most), 1);
        assert_int_equal(find("picture.png", true, most), 1);
        assert_int_equal(find("picture.png", false, most), 0);
        assert_int_equal(find("hidden", false, most), 0);
        assert_int_equal(find("gr\xc3\xbc\xc3\x9f" "e", false, most), 0);
        assert_int_equal(find("GR\xc3\x9c\xc3\x9f" "E", true, most), 1);
        assert_int_equal(find("subject: GR", true, most), 1);
        assert_int_equal(find("", false, most), 1);
        assert_int_equal(find("wald.needle", true, most), 0);
    }
}

static void test_needle(void **state)
{
    struct text_needle *n = text_needle_new(COLLATE_CASEMAP, STR("\xc3\x84R"));
    (void)state;
    assert_true(text_needle_in_header(n, STR(" Der =?iso-8859-1?q?B=E4r?="), false));
    assert_true(text_needle_in_header(n, STR("ba\xcc\x88r"), false));
    assert_false(text_needle_in_header(n, STR("bar"), false));
    text_needle_free(n);
    n = text_needle_new(COLLATE_CASEMAP, STR(""));
    assert_true(text_needle_in_header(n, STR(""), false));
    text_needle_free(n);
}

/* Is it found in the value, and in that of a field of phrases? */
static void expect_spaced(const char *needle, const char *value, bool want, bool in_phrase)
{
    struct text_needle *n = text_needle_new(COLLATE_CASEMAP, (struct str){ needle, strlen(needle) });
    const struct str v = { value, strlen(value) };
    assert_int_equal(text_needle_in_header(n, v, false), want);
    assert_int_equal(text_needle_in_header(n, v, true), in_phrase);
    text_needle_free(n);
}

static void test_spaces(void **state)
{
    (void)state;
    expect_spaced("one two", " one\r\n\ttwo\r\n", true, true);
    expect_spaced("one two", " one\n two", true, true);
    expect_spaced("one two", " one\r\n \t two", false, true);
    expect_spaced("one two", " one \r\n two", false, true);
    expect_spaced("one two", " one\ttwo", false, true);
    expect_spaced("one two", " one\r\n\t=?utf-8?q?two?=", true, true);
    expect_spaced("one two", " =?utf-8?q?one?=\r\n\t=?utf-8?q?_two?=", true, true);
    expect_spaced("onetwo", " =?utf-8?q?one?=\r\n\t=?utf-8?q?two?=", true, true);
    expect_spaced("one two", " one\r\ntwo", false, false);              /* no fold */
    expect_spaced("one two three", "one\n\ttwo\n\tthree", true, true);
    expect_spaced("one\ttwo", " one\r\n\ttwo", true, true);             /* as it stands there */
    expect_spaced("one  two", " one  two", true, true);
    expect_spaced("one  two", " one two", false, false);
    expect_spaced("one ", " one\r\n\t", true, true);
    expect_spaced(" ", "", false, false);
}

/* What is ruled out without decoding must not be there: the streaming way, which decodes everything, says the same. */
static void test_ruled_out(void **state)
{
    static const char *const charsets[] = { "utf-8", "iso-8859-1", "koi8-r", "iso-2022-jp", "utf-16", "shift_jis", "us-ascii", "no-such" };
    static const char *const encodings[] = { "quoted-printable", "8bit" };
    static const char body[] =
        "caf=C3=A9 soft=\r\n break caf=E9 =\n=\nend n=61med =1B$B2q5D=1B(B x=1B$B#A#B=1B(Bz =E2=80=A6dots =C5=BCaba a=20b =E0=83=A9 =C3=\n"
        "=A9q \xc3\xa9t\xe9 \xef\xbc\xa1\xef\xbc\xa2 =EF=BC=A1=EF=BC=A2 trailing  \nblank== =4 =\n";
    static const char *const needles[] = { "cafe", "soft break", "softbreak", "named", "xab", "abz", "...dots", "zaba", "a b", "eq", "ab", "end n",
        "trailing", "trailing\n", "blank=", "q", "e", "med ", "absent", "te\x01",
        "a needle that is so long that nothing is ruled out because of it: 65 octets or more of ASCII" };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof charsets / sizeof *charsets; i++) {
        struct buf text = { 0 };
        struct arena *a = arena_new();
        buf_printf(&text, "Content-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s", charsets[i / 2], encodings[i % 2], body);
        struct mime_parser *p = mime_parser_new(a);
        mime_parser_feed(p, text.data, text.len);
        const struct mime_part *root = mime_parser_finish(p);
        for (size_t k = 0; k < sizeof needles / sizeof *needles; k++) {
            struct memory m = { buf_str(&text), 50 };
            struct text_needle *n = text_needle_new(COLLATE_CASEMAP, str_z(needles[k]));
            assert_int_equal(text_search_in(root, n, false, buf_str(&text)), text_search(root, n, false, read_memory, &m));
            text_needle_free(n);
        }
        arena_free(a);
        buf_free(&text);
    }
}

/* Quoted-printable, as it is stored: what has the needle may have it; of what has not, these are seen not to. */
static void test_may_be_in_qp(void **state)
{
    static const struct { const char *charset, *text, *needle; bool may; } list[] = {
        { "utf-8", "a z=\r\nq b", "zq", true }, { "utf-8", "a z= \t\nq b", "zq", true },
        { "utf-8", "=7A=71", "ZQ", true }, { "utf-8", "=\nz=71x", "zqx", true },
        { "utf-8", "k=4Fz", "koz", true }, { "utf-8", "=EF=BD=9A=\nq", "zq", true },
        { "utf-8", "=F0=9D=90=99q", "zq", true }, { "utf-8", "v=C5=BC", "vz", true },
        { "iso-2022-jp", "a=1B$B2q=1B(Bz", "\xe4\xbc\x9az", true }, { "iso-2022-jp", "=1B$B#z=1B(Bq", "zq", true },
        { "koi8-r", "=C1z=\nq", "zq", true }, { "utf-8", "=z=71", "zq", true },
        { "utf-8", "za=C5=BC=\nz=\na", "zq", false }, { "utf-8", "z\nq", "zq", false },
        { "utf-8", "=E2=80=94 =C3=A9 =D0=BF", "zq", false }, { "koi8-r", "=C1=C2 z=20q", "zq", false },
        { "iso-2022-jp", "=1B$B2q5D=1B(B z", "zq", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct text_needle *n = text_needle_new(COLLATE_CASEMAP, str_z(list[i].needle));
        const bool may = !n->ascii || may_be_in_qp(n, str_z(list[i].charset), list[i].text, strlen(list[i].text));
        if (may != list[i].may) fail_msg("\"%s\" in \"%s\"", list[i].needle, list[i].text);
        text_needle_free(n);
    }
}

/* At every place and length, as memmem(3) finds it: in the vectors, across them and in the rest. */
static void test_octets_find(void **state)
{
    static const char *const needles[] = { "?=", "abc", "x", "aab" };
    char text[80];

    (void)state;
    for (size_t k = 0; k < sizeof needles / sizeof *needles; k++) {
        const size_t size = strlen(needles[k]);
        for (size_t n = 0; n <= sizeof text; n++) {
            memset(text, 'a', sizeof text);
            for (size_t at = 0; at + size <= n; at++) {
                memcpy(text + at, needles[k], size);
                assert_ptr_equal(octets_find(text, n, needles[k], size), memmem(text, n, needles[k], size));
                assert_ptr_equal(octets_find(text, n - 1, needles[k], size), memmem(text, n - 1, needles[k], size));
                memset(text + at, 'a', size);
            }
            assert_ptr_equal(octets_find(text, n, needles[k], size), memmem(text, n, needles[k], size));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_charsets), cmocka_unit_test(test_header), cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_fold),     cmocka_unit_test(test_fold_all), cmocka_unit_test(test_search), cmocka_unit_test(test_needle), cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_ruled_out), cmocka_unit_test(test_may_be_in_qp), cmocka_unit_test(test_octets_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
