/* subject.h: base subjects by the steps of RFC 5256 section 2.1, sent dates by section 2.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "store/date.h"
#include "store/subject.h"

static void expect(struct str value, const char *want, bool want_reply)
{
    struct buf b = { 0 };
    bool reply = !want_reply;

    buf_puts(&b, "kept");
    subject_base(&b, value, &reply, NULL);
    buf_addc(&b, '\0');
    assert_string_equal(b.data + 4, want);
    assert_int_equal(reply, want_reply);
    buf_free(&b);
}

static void test_base(void **state)
{
    static const struct { const char *value, *want; bool reply; } rows[] = {
        { "", "", false }, { "lunch", "lunch", false }, { "  two \t words\t", "two words", false },
        { "Re: lunch", "lunch", true }, { "re:lunch", "lunch", true }, { "RE : lunch", "lunch", true },
        { "Re[2]: lunch", "lunch", true }, { "re [a b] : lunch", "lunch", true }, { "Fw: lunch", "lunch", true },
        { "FWD: lunch", "lunch", true }, { "fwd [x]: lunch", "lunch", true }, { "f: lunch", "f: lunch", false },
        { "Re: Fwd: re: lunch", "lunch", true }, { "rest: lunch", "rest: lunch", false }, { "Re lunch", "Re lunch", false },
        { "AW: lunch", "AW: lunch", false }, { "lunch (fwd)", "lunch", true }, { "lunch (FWD) (fwd)  ", "lunch", true },
        { "lunch (fw)", "lunch (fw)", false }, { "lunch(fwd)", "lunch", true }, { "(fwd)", "", true },
        { "[list] lunch", "lunch", false }, { "[list] Re: lunch", "lunch", true }, { "Re: [list] lunch", "lunch", true },
        { "[a][b] [c] lunch", "lunch", false }, { "[a] [b]", "[b]", false }, { "[a]", "[a]", false }, { "[a] Re: [b]", "[b]", true },
        { "[a] re: [b] fwd: [c] [d] lunch", "lunch", true }, { "[un closed lunch", "[un closed lunch", false },
        { "[nested [blob]] lunch", "[nested [blob]] lunch", false }, { "lunch [at] noon", "lunch [at] noon", false },
        { "[fwd: lunch]", "lunch", true }, { "[Fwd: Re: lunch]", "lunch", true }, { "[fwd: [fwd: lunch (fwd)] ]", "lunch", true },
        { "Re: [fwd: [list] lunch]", "lunch", true }, { "[fwd: lunch] more", "more", false }, { "[fwd:]", "", true },
        { "[fwd: [list]]", "[list]", true }, { "re:", "", true }, { "Re: ", "", true }, { "re: re: (fwd)", "", true }, { "[fwd: a][b]", "[b]", false },
        { "=?utf-8?q?Re:_lunch?=", "lunch", true }, { "=?iso-8859-1?q?[l]_=FCber?= =?utf-8?q?_alles_=28fwd=29?=", "\xc3\xbc" "ber alles", true },
        { "\xfc" "ber", "\xfc" "ber", false },         /* octets that are no UTF-8 stay: RFC 5051 compares them as they are */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) expect(str_z(rows[i].value), rows[i].want, rows[i].reply);
    expect((struct str){ NULL, 0 }, "", false);
    expect(STR("=?utf-8?q?a=09=0D=0A_b?="), "a b", false);
}

/* A megabyte of what the steps take off one by one. */
static void test_long(void **state)
{
    static const char *const pieces[] = { "[a]", "re:", "[fwd:", "[", "[a]re:", "(fwd)", " ", "re[", "[fwd: ]" };
    const clock_t start = clock();
    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct buf value = { 0 }, out = { 0 };
        while (value.len < 1 << 20) buf_puts(&value, pieces[i]);
        subject_base(&out, buf_str(&value), NULL, NULL);
        for (size_t k = 0; k < 1 << 18; k++) buf_addc(&value, ']');
        buf_clear(&out);
        subject_base(&out, buf_str(&value), NULL, NULL);
        buf_free(&value);
        buf_free(&out);
    }
    assert_true(clock() - start < 30 * CLOCKS_PER_SEC);
}

static void test_sent(void **state)
{
    const int64_t internal = 12345, day = date_days(2001, 1, 1) * 86400;
    (void)state;
    assert_int_equal(subject_sent_date(STR("31 Dec 2000 16:01:33 -0800"), internal), day + 93);
    assert_int_equal(subject_sent_date(STR("Mon, 1 Jan 2001 00:01:33 XYZ"), internal), day + 93);     /* no such zone: UTC */
    assert_int_equal(subject_sent_date(STR("Mon, 1 Jan 2001 25:99 +0100"), internal), day);           /* no such time: 00:00 */
    assert_int_equal(subject_sent_date(STR("Mon, 1 Jan 2001"), internal), day);
    assert_int_equal(subject_sent_date(STR("yesterday"), internal), internal);
    assert_int_equal(subject_sent_date(STR(""), internal), internal);
    assert_int_equal(subject_sent_date((struct str){ NULL, 0 }, internal), internal);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_base), cmocka_unit_test(test_long), cmocka_unit_test(test_sent) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
