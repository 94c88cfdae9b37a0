/*
 * IMAP URLs of messages and parts: the examples of RFC 4469, RFC 5092 and RFC 8508, and what is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "session/fetch.h"
#include "session/url.h"

static struct arena *arena;

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

static void same(struct str got, const char *want)
{
    if (want == NULL)
        assert_null(got.p);
    else
        assert_true(got.p != NULL && str_eq(got, str_z(want)));
}

static void good(void **state)
{
    static const struct {
        const char *text, *server, *mailbox;
        uint32_t uidvalidity, uid;
        const char *section;
        bool partial;
        uint64_t from, length;
        const char *rest;
    } urls[] = {
        { "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER", NULL, "Drafts", 385759045, 20, "HEADER", false, 0, 0, NULL },
        { "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME", NULL, "Drafts", 385759045, 20, "1.MIME", false, 0, 0, NULL },
        { "/Drafts;UIDVALIDITY=385759045/;UID=30", NULL, "Drafts", 385759045, 30, NULL, false, 0, 0, NULL },
        { "/Drafts/;UID=3002", NULL, "Drafts", 0, 3002, NULL, false, 0, 0, NULL },
        { "/gray-council;uidvalidity=385759045/;uid=20/;PARTIAL=0.1024", NULL, "gray-council", 385759045, 20, NULL, true, 0, 1024, NULL },
        { "/a/b%2Fc%3B/;UID=1/;SECTION=1.2/;PARTIAL=7", NULL, "a/b/c;", 0, 1, "1.2", true, 7, UINT64_MAX, NULL },
        { "/%C3%A4/;UID=4294967295", NULL, "\xc3\xa4", 0, UINT32_MAX, NULL, false, 0, 0, NULL },
        { ";UID=2/;SECTION=HEADER.FIELDS%20(To%20Cc)", NULL, NULL, 0, 2, "HEADER.FIELDS (To Cc)", false, 0, 0, NULL },
        { "imap://michael@example.org/INBOX/;UID=9", "michael@example.org", "INBOX", 0, 9, NULL, false, 0, 0, NULL },
        { "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred:internal:91354a473744909de610943775f92038",
          "joe@example.com", "INBOX", 0, 20, "1.2", false, 0, 0, ";urlauth=submit+fred:internal:91354a473744909de610943775f92038" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct imap_url u;
        assert_true(url_parse(str_z(urls[i].text), arena, &u));
        same(u.server, urls[i].server);
        same(u.mailbox, urls[i].mailbox);
        same(u.section, urls[i].section);
        same(u.rest, urls[i].rest);
        assert_int_equal(u.uidvalidity, urls[i].uidvalidity);
        assert_int_equal(u.uid, urls[i].uid);
        assert_int_equal(u.partial, urls[i].partial);
        assert_int_equal(u.from, urls[i].from);
        assert_true(!u.partial || u.length == urls[i].length);
    }
}

static void bad(void **state)
{
    static const char *const urls[] = {
        "", "/", "/Drafts", "/Drafts/", "Drafts/;UID=1", "/;UID=1", "//host/;UID=1", "imap:/Drafts/;UID=1", "imap:///Drafts/;UID=1",
        "http://example.org/", "/Drafts;UID=1", "/Drafts/;UID=", "/Drafts/;UID=0", "/Drafts/;UID=4294967296", "/Drafts/;UID=1x",
        "/Drafts/;UID=1/", "/Drafts;UIDVALIDITY=0/;UID=1", "/Drafts;UIDVALIDITY=x/;UID=1", "/Drafts;UIDVALIDITY=1;UID=1",
        "/Drafts/;UID=1/;SECTION=", "/Drafts/;UID=1/;SECTION=1 2", "/Drafts/;UID=1/;PARTIAL=", "/Drafts/;UID=1/;PARTIAL=1.0",
        "/Drafts/;UID=1/;PARTIAL=1.", "/Drafts/;UID=1/;PARTIAL=1.2.3", "/Drafts/;UID=1/;PARTIAL=1/;SECTION=1", "/Drafts/;UID=1/;UID=2",
        "/Drafts/;UID=1/;SECTION=1/;SECTION=2", "/Dr%a/;UID=1", "/Dr%zz/;UID=1", "/Dr%00/;UID=1", "/Dr afts/;UID=1", "/Dr\"x/;UID=1",
        "/Drafts?SUBJECT%20x", "/Drafts/;UID=1?x", "/Drafts/;UID=1#x", ";SECTION=1", "/Drafts;FOO=1/;UID=1",
        "imap://a b/Drafts/;UID=1", "/Drafts/;UID=1;URLAUTH=a b", "/Drafts/;UID=99999999999999999999999" };
    struct imap_url u;
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        if (url_parse(str_z(urls[i]), arena, &u))
            fail_msg("taken: %s", urls[i]);
}

static void sections(void **state)
{
    static const struct { const char *text; size_t depth; enum section_text what; } all[] = {
        { "HEADER", 0, SECTION_HEADER }, { "text", 0, SECTION_TEXT }, { "1", 1, SECTION_ALL }, { "1.2.MIME", 2, SECTION_MIME },
        { "3.HEADER.FIELDS (To)", 1, SECTION_FIELDS }, { "HEADER.FIELDS.NOT (To Cc)", 0, SECTION_FIELDS_NOT } };
    static const char *const none[] = { "", "]", "1]", "MIME", "0", "1.", "FOO", "HEADER]", "HEADER.FIELDS", "HEADER.FIELDS ()", "1..2" };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct fetch_item item = { .type = FETCH_SECTION };
        struct parse p = { .at = all[i].text, .end = all[i].text + strlen(all[i].text), .arena = arena };
        assert_true(section_parse(&p, &item));
        assert_int_equal(item.depth, all[i].depth);
        assert_int_equal(item.text, all[i].what);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct fetch_item item = { .type = FETCH_SECTION };
        struct parse p = { .at = none[i], .end = none[i] + strlen(none[i]), .arena = arena };
        if (section_parse(&p, &item))
            fail_msg("taken: %s", none[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sections, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
