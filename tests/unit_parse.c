/*
 * The grammar of arguments: each rule on good and bad text, and on every shorter piece of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "session/command.h"
#include "session/fetch.h"

static struct arena *arena;

static struct parse of(const char *text)
{
    return (struct parse){ .at = text, .end = text + strlen(text), .arena = arena };
}

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void strings(void **state)
{
    static const struct { const char *text, *value; } good[] = {
        { "abc", "abc" }, { "\"a b\"", "a b" }, { "\"a\\\"b\\\\\"", "a\"b\\" }, { "{3}\r\nabc", "abc" }, { "{3+}\r\nabc", "abc" },
        { "{0}\r\n", "" }, { "\"\"", "" }, { "a]b", "a]b" } };
    static const char *const bad[] = { "", "\"a", "\"a\\b\"", "{3}\r\nab", "{}\r\n", "{3}abc", "(", "\"a\rb\"", "{99999999999}\r\nx", "{3" };
    struct str out;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct parse p = of(good[i].text);
        assert_true(parse_astring(&p, &out) && parse_end(&p));
        assert_true(str_eq(out, str_z(good[i].value)));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct parse p = of(bad[i]);
        const char *at = p.at;
        assert_false(parse_astring(&p, &out));
        assert_ptr_equal(p.at, at);
    }
    static const struct { const char *text; bool good; } quoted[] = {
        { "\"Caf\xc3\xa9\"", true }, { "\"Caf\xe9\"", false }, { "\"\xc0\x80\"", false }, { "\"\xed\xa0\x80\"", false },
        { "\"\xf0\x9f\x98\x80\"", true }, { "\"\xf0\x9f\x98\"", false } };
    for (size_t i = 0; i < sizeof quoted / sizeof *quoted; i++) {
        struct parse p = of(quoted[i].text), strict = p;
        strict.utf8 = true;
        assert_true(parse_string(&p, &out));
        assert_int_equal(parse_string(&strict, &out), quoted[i].good);
    }
}

static void sets(void **state)
{
    struct set set;
    (void)state;
    struct parse p = of("9,7:3,*:5,4294967295");
    assert_true(parse_set(&p, &set) && parse_end(&p));
    assert_int_equal(set.n, 4);
    assert_int_equal(set.list[1].first, 3);
    assert_int_equal(set.list[1].last, 7);
    assert_int_equal(set.list[2].first, 5);
    assert_int_equal(set.list[2].last, UINT32_MAX);
    static const char *const bad[] = { "", "0", "1,", ",1", "1:", ":1", "a", "1,0", "4294967296", "-1", "1:*," };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        p = of(bad[i]);
        assert_false(parse_set(&p, &set));
    }
}

static void dates(void **state)
{
    int32_t day;
    int64_t date;
    int zone;
    (void)state;
    struct parse p = of("\"1-Jan-1970\"");
    assert_true(parse_date(&p, &day) && parse_end(&p));
    assert_int_equal(day, 0);
    p = of("\" 1-Jan-1970 01:00:00 +0100\"");
    assert_true(parse_date_time(&p, &date, &zone) && parse_end(&p));
    assert_int_equal(date, 0);
    assert_int_equal(zone, 60);
    static const char *const bad[] = { "\"31-Feb-2020 00:00:00 +0000\"", "\"1-Jan-2020 24:00:00 +0000\"", "\"1-Jan-2020 00:00:00\"",
        "\"1-Jan-20 00:00:00 +0000\"", "1-Jan-2020 00:00:00 +0000", "\"1-Foo-2020 00:00:00 +0000\"", "\"1-Jan-2020 00:00:00 +0060\"" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        p = of(bad[i]);
        assert_false(parse_date_time(&p, &date, &zone));
    }
}

static void flag_lists(void **state)
{
    struct flags flags;
    (void)state;
    struct parse p = of("(\\SEEN \\deleted $Junk $junk)");
    assert_true(parse_flags(&p, true, &flags) && parse_end(&p));
    assert_int_equal(flags.bits, FLAG_SEEN | FLAG_DELETED);
    assert_int_equal(flags.n, 1);
    static const char *const bad[] = { "(\\Recent)", "(\\Foo)", "(", "(\\Seen", "( )", "(\\Seen  \\Draft)", "(\\)", "\\*" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        p = of(bad[i]);
        assert_false(parse_flags(&p, false, &flags) && parse_end(&p));
    }
}

static void fetch_items_(void **state)
{
    static const char *const good[] = { "ALL", "fast", "FULL", "FLAGS", "(FLAGS UID)", "BODY", "BODY[]", "BODY.PEEK[]<0.1>", "BODY[1.2.MIME]",
        "BODY[HEADER.FIELDS (From {2}\r\nTo)]", "BODY[3.HEADER.FIELDS.NOT (\"x\")]<5.6>", "RFC822.HEADER", "(RFC822 RFC822.TEXT BODY[TEXT])" };
    static const char *const bad[] = { "", "()", "(ALL)", "BODY.PEEK", "BODY[", "BODY[0]", "BODY[1.]", "BODY[MIME]", "BODY[]<0.0>", "BODY[]<1>",
        "BODY[HEADER.FIELDS]", "BODY[HEADER.FIELDS ()]", "(FLAGS", "FLAGSX", "(FLAGS  UID)", "RFC822[]", "BODY[1.2.]" };
    struct session s = { .arena = arena };
    struct fetch_items items;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct parse p = of(good[i]);
        assert_true(fetch_parse(&s, &p, &items) && parse_end(&p));
        for (size_t n = 0; n < strlen(good[i]); n++) {              /* every piece of it: no reading beyond */
            p = (struct parse){ .at = good[i], .end = good[i] + n, .arena = arena };
            fetch_parse(&s, &p, &items);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct parse p = of(bad[i]);
        assert_false(fetch_parse(&s, &p, &items) && parse_end(&p));
    }
}

static void modified_utf7(void **state)
{
    static const struct { const char *wire, *utf8; } good[] = {
        { "INBOX", "INBOX" }, { "a&-b", "a&b" }, { "Entw&APw-rfe", "Entw\xc3\xbcrfe" }, { "&U,BTFw-", "\xe5\x8f\xb0\xe5\x8c\x97" },
        { "&2D3eAA-", "\xf0\x9f\x98\x80" } };
    static const char *const bad[] = { "&", "a&b", "&AGE-", "&APw", "&2D0-", "&3gA-", "&APx-", "&APw-&APw-", "&A-" };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct buf utf8 = { 0 }, wire = { 0 };
        assert_int_equal(utf7_to_utf8(&utf8, str_z(good[i].wire)), 0);
        assert_true(str_eq(buf_str(&utf8), str_z(good[i].utf8)));
        utf8_to_utf7(&wire, buf_str(&utf8));
        assert_true(str_eq(buf_str(&wire), str_z(good[i].wire)));
        buf_free(&utf8);
        buf_free(&wire);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf utf8 = { 0 };
        if (utf7_to_utf8(&utf8, str_z(bad[i])) == 0)
            fail_msg("accepted: %s", bad[i]);
        buf_free(&utf8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strings, set_up, tear_down), cmocka_unit_test_setup_teardown(sets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dates, set_up, tear_down), cmocka_unit_test_setup_teardown(flag_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fetch_items_, set_up, tear_down),
        cmocka_unit_test_setup_teardown(modified_utf7, set_up, tear_down) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
