/* From_ lines: every shape that UW imapd lists and Dovecot accepts, and what must not split a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "store/date.h"
#include "store/mbox_from.h"

static const char *const shapes[] = {
    "Wed Dec  2 05:53 1992", "Wed Dec  2 05:53 PST 1992", "Wed Dec  2 05:53:22 1992", "Wed Dec  2 05:53:22 PST 1992",
    "Wed Dec  2 05:53 1992 PST", "Wed Dec  2 05:53:22 1992 PST", "Wed Dec  2 05:53 1992 -0700", "Wed Dec  2 05:53:22 1992 -0700",
    "Wed Dec  2 05:53 -0700 1992", "Wed Dec  2 05:53:22 -0700 1992",
    "Wed, 2 Dec 1992 05:53:22", "Wed, 02 Dec 1992 05:53:22 +0100", "Wed Dec 2 05:53:22 1992", "wed DEC 02 05:53:22 1992",
    "Wed Dec  2 05:53:22 CEST 1992", "Wed ???  2 05:53:22 1992",
};
static const char *const senders[] = { "user@host", "\"a b\"@host", "a b c", "", "MAILER-DAEMON", "x From y", "Wed Dec  2 x", "-" };

static void test_shapes(void **state)
{
    static const char *const ends[] = { "", "\r", " remote from uucp", " remote from uucp\r", " " };
    char line[300];
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t j = 0; j < sizeof senders / sizeof *senders; j++)
            for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
                int64_t date;
                int zone;
                const int n = snprintf(line, sizeof line, "From %s %s%s", senders[j], shapes[i], ends[k]);
                if (!mbox_from_parse(line, (size_t)n, &date, &zone)) fail_msg("%s", line);
                assert_true(mbox_sniff(line, (size_t)n));
            }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "From here on it is easy", "From ", "From x", "From x Wed Dec  2 05:53:22 92", "From x Wed Dec 32 05:53:22 1992",
        "From x Wed Feb 30 05:53:22 1992", "From x Wed Dec  2 25:53:22 1992", "From x Wed Dec  2 05:60:22 1992",
        "From x Wed Dec  2 05:53:22 1992 and then some", "From x We Dec  2 05:53:22 1992", "From x Wed Foo  2 05:53:22 1992",
        "From x Wed Dec  2 05:53:22 1992 PST 1992", "From x Wed Dec  2 05:53:22 PST 1992 PST", "From x Wed Dec  2 1992",
        "From x Wed Dec  2 05:53:22 19920", "from x Wed Dec  2 05:53:22 1992", "From x Wed Dec  2 05:53:22 1992 +01000",
        "From x Wed Dec  2 5:3:22 1992", "From:x Wed Dec  2 05:53:22 1992",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (mbox_from_parse(bad[i], strlen(bad[i]), NULL, NULL)) fail_msg("%s", bad[i]);
}

static void check_time(const char *line, int64_t want, int want_zone)
{
    int64_t date = 0;
    int zone = 99;
    assert_true(mbox_from_parse(line, strlen(line), &date, &zone));
    assert_int_equal(date, want);
    assert_int_equal(zone, want_zone);
}

static void test_times(void **state)
{
    (void)state;
    check_time("From x Thu Jan  1 00:00:00 1970 +0000", 0, 0);
    check_time("From x Thu Jan  1 01:00:00 1970 +0100", 0, 60);
    check_time("From x Wed Dec 31 16:00:00 PST 1969", 0, -480);
    check_time("From x Tue, 29 Feb 2000 12:00:00 -0330", 951838200, -210);
    check_time("From x Tue Nov 14 22:13:20 UTC 2023", 1700000000, 0);
    check_time("From x Tue Nov 14 23:13:20 2023", 1700000000, 60);           /* local: Berlin, see main */
    check_time("From x Fri Jul 14 04:40:00 2017", 1500000000, 120);
}

static void test_format(void **state)
{
    static const int zones[] = { 0, 60, 120, -480, 345, 840, -720 };
    (void)state;
    for (int64_t t = -86400 * 400; t < INT64_C(4000000000); t += 7777777)
        for (size_t z = 0; z < sizeof zones / sizeof *zones; z++) {
            struct buf b = { 0 };
            int64_t date;
            int zone;
            mbox_from_format(&b, "a b\nFrom c", t, zones[z]);
            assert_true(b.len > 20 && b.data[b.len - 1] == '\n' && memchr(b.data, '\n', b.len) == b.data + b.len - 1);
            assert_true(mbox_from_parse(b.data, b.len - 1, &date, &zone));
            assert_int_equal(date, t);
            assert_int_equal(zone, zones[z]);
            buf_free(&b);
        }
    struct buf b = { 0 };
    mbox_from_format(&b, "u@h", 1700000000, 60);
    assert_string_equal(b.data, "From u@h Tue Nov 14 23:13:20 2023\n");
    buf_clear(&b);
    mbox_from_format(&b, "", 1700000000, 0);
    assert_string_equal(b.data, "From MAILER-DAEMON Tue Nov 14 22:13:20 2023 +0000\n");
    buf_clear(&b);
    mbox_from_format(&b, "x", 1698539400, 120);           /* 02:30 on the day that has it twice */
    assert_true(b.len > 0);
    int64_t date;
    int zone;
    assert_true(mbox_from_parse(b.data, b.len - 1, &date, &zone));
    assert_int_equal(date, 1698539400);
    buf_free(&b);
}

static void test_calendar(void **state)
{
    (void)state;
    int64_t days = date_days(1600, 1, 1);
    for (int y = 1600; y < 2500; y++)
        for (int m = 1; m <= 12; m++)
            for (int d = 1; date_valid(y, m, d); d++) {
                int y2, m2, d2;
                assert_int_equal(date_days(y, m, d), days);
                date_civil(days++, &y2, &m2, &d2);
                assert_true(y == y2 && m == m2 && d == d2);
            }
    assert_int_equal(date_days(1970, 1, 1), 0);
    assert_int_equal(date_day_of(-1, 0), -1);
    assert_int_equal(date_day_of(-86400, 0), -1);
    assert_int_equal(date_day_of(-86401, 0), -2);
    assert_int_equal(date_day_of(86399, 1), 1);
}

static void test_sniff(void **state)
{
    (void)state;
    assert_true(mbox_sniff("", 0));
    assert_true(mbox_sniff("\n\r\n", 3));
    assert_true(mbox_sniff(STR("\n\nFrom x Wed Dec  2 05:53:22 1992\nSubject: x\n").p, 45));
    assert_false(mbox_sniff("Subject: x\n", 11));
    assert_true(mbox_sniff("\0\0", 2));              /* an APPEND to an empty mailbox is under way, or was cut off */
    assert_true(mbox_sniff("\0rom x", 6));
    assert_false(mbox_sniff("\0x", 2));
    assert_false(mbox_sniff("From me to you\n\n", 16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes), cmocka_unit_test(test_refused),  cmocka_unit_test(test_times),
        cmocka_unit_test(test_format), cmocka_unit_test(test_calendar), cmocka_unit_test(test_sniff),
    };
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
