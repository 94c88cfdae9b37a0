/* preview.h: the text of plain text and of HTML, its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "store/preview.h"

static void gives(bool html, const char *in, const char *want)
{
    struct buf out = { 0 };
    if (html)
        assert_false(preview_html(&out, str_z(in)));
    else
        assert_int_equal(preview_plain(&out, str_z(in), false), strstr(in, "\n-- \r\n") != NULL);
    if (strcmp(out.len > 0 ? out.data : "", want) != 0)
        fail_msg("\"%s\" gave \"%s\"", in, out.len > 0 ? out.data : "");
    buf_free(&out);
}

static void test_plain(void **state)
{
    (void)state;
    gives(false, "", "");
    gives(false, " \r\n\t\r\n", "");
    gives(false, "Hello,\r\n\r\n  two\twords\xc2\xa0here \r\n", "Hello, two words here");
    gives(false, "On Monday Alex wrote:\r\n\r\n> old\r\n> text\r\n\r\nYes: that.\r\n", "Yes: that.");
    gives(false, "Items:\r\none\r\n", "Items: one");
    gives(false, "text\r\n-- \r\nAlex\r\n", "text");
    gives(false, "\xef\xbb\xbf" "a\xe2\x80\x8b" "b\x01" "c\x7f", "abc");
    gives(false, "\xff\xc3 \xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    gives(false, "\xf0\x9f\x98\x80 \xe2\x82\xac \xc3\xa9", "\xf0\x9f\x98\x80 \xe2\x82\xac \xc3\xa9");
}

static void test_html(void **state)
{
    (void)state;
    gives(true, "<html><head><title>No</title><style>p { a > b }</style></head><body><p>One<br>two</p><p>th<b>r</b>ee</body>", "One two three");
    gives(true, "<!DOCTYPE html><!-- a > b --><SCRIPT>if (a < b) x('</p>');</script >text", "text");
    gives(true, "<a title=\"x > y\" href='>'>link</a>s", "links");
    gives(true, "a &amp; b &lt;c&gt; &eacute;&#233;&#xE9; &nbsp; &hellip; &#150; &copy 1", "a & b <c> \xc3\xa9\xc3\xa9\xc3\xa9 \xe2\x80\xa6 \xe2\x80\x93 \xc2\xa9 1");
    gives(true, "AT&T &unknown; 1 < 2 & &#; &#x; &#xd800;", "AT&T &unknown; 1 < 2 & &#; &#x; \xef\xbf\xbd");
    gives(true, "cut <a hr", "cut");
    gives(true, "cut <style> p {}", "cut");
    gives(true, "<style/>shown", "shown");
    gives(true, "caf\xc3\xa9&zwnj;&shy;\xcd\x8f!", "caf\xc3\xa9!");
}

static void test_bounds(void **state)
{
    struct buf in = { 0 }, out = { 0 };
    (void)state;
    for (int i = 0; i < 300; i++)
        buf_puts(&in, i == 150 ? " \r\n " : "\xe2\x82\xac");
    assert_true(preview_plain(&out, buf_str(&in), false));
    assert_int_equal(out.len, 199 * 3 + 1);
    buf_clear(&out);
    assert_true(preview_html(&out, buf_str(&in)));
    assert_int_equal(out.len, 199 * 3 + 1);
    buf_clear(&out);
    buf_clear(&in);
    for (int i = 0; i < 300; i++)
        buf_puts(&in, "> a\r\n");
    assert_false(preview_plain(&out, buf_str(&in), false));
    assert_int_equal(out.len, 0);
    assert_true(preview_plain(&out, buf_str(&in), true));
    assert_true(out.len <= 200 && out.len >= 199);
    buf_free(&in);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_plain), cmocka_unit_test(test_html), cmocka_unit_test(test_bounds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
