/* mime.h: structure, addresses, parameters, dates; each message also an octet at a time, and through the packed form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "store/mime.h"
#include "store/mime_lex.h"

static struct mime_part *parse(struct arena *a, struct str m, size_t step)
{
    struct mime_parser *p = mime_parser_new(a);
    for (size_t i = 0; i < m.n; i += step) mime_parser_feed(p, m.p + i, m.n - i < step ? m.n - i : step);
    return mime_parser_finish(p);
}

/* Parses in pieces of several sizes and packs: all must be the same octets; what unpack gives must pack to them again. */
static struct mime_part *parse_all_ways(struct arena *a, struct str m)
{
    static const size_t steps[] = { 1, 2, 3, 7, 64 };
    struct mime_part *whole = parse(a, m, m.n ? m.n : 1);
    struct buf want = { 0 }, got = { 0 };
    mime_pack(&want, whole);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        buf_clear(&got);
        mime_pack(&got, parse(a, m, steps[i]));
        assert_true(str_eq(buf_str(&want), buf_str(&got)));
    }
    struct mime_part *back = mime_unpack(buf_str(&want), a);
    assert_non_null(back);
    buf_clear(&got);
    mime_pack(&got, back);
    assert_true(str_eq(buf_str(&want), buf_str(&got)));
    for (size_t n = 0; n < want.len; n++) {              /* cut off anywhere: refused */
        char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, want.data, n);
        assert_null(mime_unpack((struct str){ cut, n }, a));
        free(cut);
    }
    buf_free(&want);
    buf_free(&got);
    return whole;
}

static void is(struct str got, const char *want)
{
    if (want == NULL) {
        assert_null(got.p);
        return;
    }
    assert_non_null(got.p);
    if (!str_eq(got, str_z(want))) fail_msg("\"%.*s\" is not \"%s\"", (int)got.n, got.p, want);
}

static void test_plain(void **state)
{
    static const char m[] = "Subject:  a\r\n  b \r\nFrom: x@y\r\nTo: \r\n\r\none\r\ntwo\r\nthree";
    struct arena *a = arena_new();
    struct mime_part *p = parse_all_ways(a, STR(m));
    (void)state;
    is(p->type, "text");
    is(p->subtype, "plain");
    is(p->encoding, "7bit");
    is(p->envelope->subject, "a b");
    is(p->envelope->date, NULL);
    assert_int_equal(p->envelope->to.n, 0);
    is(p->envelope->sender.list[0].mailbox, "x");
    is(p->envelope->reply_to.list[0].host, "y");
    assert_int_equal(p->header_size, sizeof m - 1 - 15);
    assert_int_equal(p->body_offset, p->header_size);
    assert_int_equal(p->body_size, 15);
    assert_int_equal(p->lines, 2);
    arena_free(a);
}

static const char nested[] =
    "Content-Type: multipart/mixed; boundary=\"out\"\r\n\r\npreamble\r\n--out\r\n\r\nfirst\r\n--out\r\n"
    "Content-Type: multipart/digest; boundary=out-in\r\n\r\n--out-in\r\n\r\nSubject: inner\r\n\r\nbody\r\n\r\n--out-in--\r\nepilogue\r\n--out \r\n"
    "Content-Type: application/pdf; name=\"a\\\"b\"; x*0=one; x*1=two\r\nContent-Disposition: attachment; filename*=utf-8''%41\r\n"
    "Content-Language: de, en\r\nContent-ID: <i>\r\nContent-Transfer-Encoding: BASE64\r\n\r\nAAAA\r\n--out--\r\n--out\r\nnot a part\r\n";

static void test_nested(void **state)
{
    struct arena *a = arena_new();
    struct mime_part *p = parse_all_ways(a, STR(nested));
    (void)state;
    assert_int_equal(p->part_count, 3);
    assert_memory_equal(nested + p->parts[0].body_offset, "first\r\n--", 9);
    assert_int_equal(p->parts[0].body_size, 5);
    assert_int_equal(p->parts[0].lines, 0);
    assert_int_equal(p->parts[0].header_size, 2);
    const struct mime_part *digest = &p->parts[1], *pdf = &p->parts[2];
    assert_int_equal(digest->part_count, 1);
    is(digest->parts[0].type, "message");
    assert_int_equal(digest->parts[0].part_count, 1);
    is(digest->parts[0].parts[0].envelope->subject, "inner");
    assert_int_equal(digest->parts[0].parts[0].body_size, 6);
    assert_int_equal(digest->parts[0].body_size, 16 + 2 + 6);
    assert_int_equal(digest->parts[0].lines, 3);
    is(pdf->params[0].value, "a\"b");
    is(pdf->params[1].name, "x");
    is(pdf->params[1].value, "onetwo");
    is(pdf->disp_params[0].name, "filename*");
    is(pdf->disp_params[0].value, "utf-8''%41");
    assert_int_equal(pdf->language_count, 2);
    is(pdf->id, "<i>");
    assert_int_equal(pdf->body_size, 4);
    arena_free(a);
}

/* Deep, many, hostile: bounded, and each octet is somewhere. */
static void test_bounds(void **state)
{
    struct buf m = { 0 };
    struct arena *a = arena_new();
    (void)state;
    for (int i = 0; i < 1000; i++) buf_puts(&m, "Content-Type: message/rfc822\r\n\r\n");
    struct mime_part *p = parse(a, buf_str(&m), m.len);
    int depth = 1;
    for (; p->part_count; p = p->parts) depth++;
    assert_int_equal(depth, MIME_DEPTH);
    buf_clear(&m);
    buf_puts(&m, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for (int i = 0; i < 20000; i++) buf_puts(&m, "--b\r\n\r\n");
    p = parse(a, buf_str(&m), m.len);
    assert_in_range(p->part_count, MIME_PARTS - 2, MIME_PARTS);
    assert_int_equal(p->header_size + p->body_size, m.len);
    buf_clear(&m);
    for (int i = 0; i < 200000; i++) buf_puts(&m, "To: a\r\n");
    p = parse(a, buf_str(&m), 65536);
    assert_int_equal(p->header_size, m.len);
    assert_in_range(p->envelope->to.n, 100000, 200000);
    buf_free(&m);
    arena_free(a);
}

static void test_addresses(void **state)
{
    static const struct { const char *in, *name, *route, *mailbox, *host; } one[] = {
        { "a@b.c", NULL, NULL, "a", "b.c" },
        { "<a@b.c>", NULL, NULL, "a", "b.c" },
        { "John  Q. Public <jqp@x.y>", "John Q. Public", NULL, "jqp", "x.y" },
        { "\"Public, \\\"J\\\"\" <jqp@x.y>", "Public, \"J\"", NULL, "jqp", "x.y" },
        { "a@b (The (nested) Name)", "The (nested) Name", NULL, "a", "b" },
        { "<@r1,@r2:a@b>", NULL, "@r1,@r2", "a", "b" },
        { "\"a b\"@[127.0.0.1]", NULL, NULL, "a b", "[127.0.0.1]" },
        { "a . b @ c . d", NULL, NULL, "a.b", "c.d" },
        { "(x) A\r\n B (y) <(z)a@b(w)>", "A B", NULL, "a", "b" },
        { "J\xc3\xb6rg <j@x>", "J\xc3\xb6rg", NULL, "j", "x" },
        { "root", NULL, NULL, "root", "MISSING_DOMAIN" },
        { "<>", NULL, NULL, "MISSING_MAILBOX", "MISSING_DOMAIN" },
        { ",, a@b ,", NULL, NULL, "a", "b" },
        { "\"open", NULL, NULL, "open", "MISSING_DOMAIN" },
    };
    struct arena *a = arena_new();
    struct mime_addresses l;
    (void)state;
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        mime_addresses_parse(str_z(one[i].in), &l, a);
        if (l.n != 1) fail_msg("%s: %zu", one[i].in, l.n);
        is(l.list[0].name, one[i].name);
        is(l.list[0].route, one[i].route);
        is(l.list[0].mailbox, one[i].mailbox);
        is(l.list[0].host, one[i].host);
    }
    mime_addresses_parse(STR("A group: x@y, Z <z@w>;, b@c"), &l, a);
    assert_int_equal(l.n, 5);
    is(l.list[0].mailbox, "A group");
    is(l.list[0].host, NULL);
    is(l.list[2].name, "Z");
    is(l.list[3].mailbox, NULL);
    is(l.list[4].mailbox, "b");
    mime_addresses_parse(STR("undisclosed-recipients:;"), &l, a);
    assert_int_equal(l.n, 2);
    arena_free(a);
}

/* Cost grows with the length and no faster: 100,000 addresses, deep comments and quotes that never end. */
static void test_linear(void **state)
{
    struct buf b = { 0 };
    struct arena *a = arena_new();
    struct mime_addresses l;
    const clock_t start = clock();
    (void)state;
    for (int i = 0; i < 100000; i++) buf_printf(&b, "Name %d <u%d@example.org>,\r\n ", i, i);
    mime_addresses_parse(buf_str(&b), &l, a);
    assert_int_equal(l.n, 100000);
    for (const char *s = "(\"<@:;,\\"; *s; s++) {
        buf_clear(&b);
        for (int i = 0; i < 300000; i++) buf_addc(&b, *s);
        mime_addresses_parse(buf_str(&b), &l, a);
    }
    assert_true(clock() - start < 10 * CLOCKS_PER_SEC);
    buf_free(&b);
    arena_free(a);
}

static void params(struct arena *a, const char *in, struct mime_param **p, size_t *n)
{
    struct mime_lex x = mime_lex_of(str_z(in));
    mime_params_parse(&x, p, n, a);
}

static void test_params(void **state)
{
    struct arena *a = arena_new();
    struct mime_param *p;
    size_t n;
    (void)state;
    params(a, "; title*0*=us-ascii'en'This%20is; title*1*=%20fun; title*2=\" isn't 5%\"; z=1", &p, &n);
    assert_int_equal(n, 2);
    is(p[0].name, "z");
    is(p[1].name, "title*");
    is(p[1].value, "us-ascii'en'This%20is%20fun isn't 5%25");
    params(a, "; a*1=x; a*0=y; b*1=gap", &p, &n);
    assert_int_equal(n, 2);
    is(p[0].value, "yx");
    is(p[1].name, "b*1");
    params(a, ";; charset = \"utf-8\" (c) ; junk; =x; name=a;b", &p, &n);
    assert_int_equal(n, 2);
    is(mime_param_get(p, n, STR("CHARSET")), "utf-8");
    arena_free(a);
}

static void test_dates(void **state)
{
    static const struct { const char *in; int64_t date; int zone; } good[] = {
        { "Tue, 14 Nov 2023 22:13:20 +0000", 1700000000, 0 },   { "14 Nov 2023 22:13:20 GMT", 1700000000, 0 },
        { "Tue, 14 Nov 2023 23:13:20 +0100 (CET)", 1700000000, 60 }, { "(c) Tue (d) , 14\r\n Nov 23 22:13:20 Z", 1700000000, 0 },
        { "Tue, 14 Nov 2023 17:13:20 EST", 1700000000, -300 },  { "Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -360 },
        { "21 Nov 97 09:55:06 -0600", 880127706, -360 },        { "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880127706, -360 },
        { "Thu, 1 Jan 1970 00:00 -0000", 0, 0 },                { "1 January 1970 00:00:00", 0, 0 },
    };
    static const char *const bad[] = { "", "yesterday", "Tue, 14 Foo 2023 22:13:20", "Tue, 32 Nov 2023 22:13:20", "14 Nov 2023",
                                       "14 Nov 2023 25:00:00 +0000", "Tue," };
    int64_t date;
    int zone;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (mime_date_parse(str_z(good[i].in), &date, &zone) != 0) fail_msg("%s", good[i].in);
        assert_int_equal(date, good[i].date);
        assert_int_equal(zone, good[i].zone);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(mime_date_parse(str_z(bad[i]), &date, &zone), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_nested), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_linear), cmocka_unit_test(test_params),
        cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
