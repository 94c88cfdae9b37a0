/*
 * Languages: which one a range finds, and how texts are translated and made printable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "session/language.h"

static void ranges(void **state)
{
    static const struct { const char *range; int range_is, found; } cases[] = {
        { "de", 1, LANGUAGE_DE }, { "DE-at", 1, LANGUAGE_DE }, { "de-x-wien", 1, LANGUAGE_DE }, { "de-1996-x-a-b", 1, LANGUAGE_DE },
        { "en-CA", 1, LANGUAGE_EN }, { "i-default", 1, LANGUAGE_DEFAULT }, { "I-DEFAULT-x", 1, LANGUAGE_DEFAULT },
        { "default", 1, LANGUAGE_DEFAULT }, { "d", 1, -1 }, { "x-de", 1, -1 }, { "deutsch", 1, -1 }, { "fr", 1, -1 }, { "i", 1, -1 },
        { "", 0, -1 }, { "-", 0, -1 }, { "de-", 0, LANGUAGE_DE }, { "d3", 0, -1 }, { "de--at", 0, LANGUAGE_DE }, { "de at", 0, -1 },
        { "abcdefghi", 0, -1 }, { "de-abcdefghi", 0, LANGUAGE_DE }, { "*", 1, -1 } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum language got;
        got = LANGUAGE_DEFAULT;
        assert_int_equal(language_is_range(str_z(cases[i].range)), cases[i].range_is);
        assert_int_equal(language_lookup(str_z(cases[i].range), LANGUAGE_DEFAULT, &got) ? (int)got : -1, cases[i].found);
    }
}

static void texts(void **state)
{
    static const struct { enum language language; const char *text, *becomes; } cases[] = {
        { LANGUAGE_DEFAULT, "No such message", "No such message" }, { LANGUAGE_EN, "No such message", "No such message" },
        { LANGUAGE_DE, "No such message", "Diese Nachricht gibt es nicht" }, { LANGUAGE_DE, "", "" },
        { LANGUAGE_DE, "NOOP completed", "NOOP ausgeführt" }, { LANGUAGE_DE, " completed", " completed" },
        { LANGUAGE_DE, "x is locked by another program (y (z))", "x wird von einem anderen Programm benutzt (y (z))" },
        { LANGUAGE_DE, "a: b: No space left on device", "a: b: Auf dem Datenträger ist kein Platz mehr" },
        { LANGUAGE_DE, "x exists already: odd", "x gibt es schon: odd" }, { LANGUAGE_DE, "nobody's text", "nobody's text" },
        { LANGUAGE_DE, "%s%n exists already", "%s%n gibt es schon" }, { LANGUAGE_DE, "a\r\nb \x80 \xc3 \xc3\xa4 \xc2\x85", "a??b ? ? ä ?" },
        { LANGUAGE_DEFAULT, "\xc3\xa4\x7f", "???" }, { LANGUAGE_EN, "\xc3\xa4\x7f", "ä?" } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = { 0 };
        buf_puts(&out, "|");
        language_text(&out, cases[i].language, cases[i].text);
        assert_string_equal(out.data + 1, cases[i].becomes);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ranges), cmocka_unit_test(texts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
