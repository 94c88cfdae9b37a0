/* sort.h on a mailbox made of strings. The functions of store/mailbox.h that a sort calls are defined here, in
 * place of the real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "store/text.h"
#include "store/mime.h"
#include "store/sort.h"

static void expect_key(struct str text, struct str want)
{
    struct buf b = { 0 };
    text_fold(COLLATE_CASEMAP, &b, text);
    assert_int_equal(b.len, want.n);
    assert_memory_equal(b.data ? b.data : "", want.p, want.n);
    buf_free(&b);
}

static void test_collate(void **state)
{
    (void)state;
    expect_key(STR(""), STR(""));
    expect_key(STR("Hello, [World]~{z}"), STR("HELLO, [WORLD]~{Z}"));
    expect_key(STR("a\0b"), STR("A\0B"));
    expect_key(STR("\xc3\xbc"), STR("U\xcc\x88"));                      /* u with diaeresis */
    expect_key(STR("\xc7\x84"), STR("Dz\xcc\x8c"));                     /* RFC 5051: U+01C4 is U+0044 U+007A U+030C */
    expect_key(STR("\xc7\x86"), STR("Dz\xcc\x8c"));
    expect_key(STR("\xc3\x9f"), STR("\xc3\x9f"));                       /* sharp s has no title case of one character */
    expect_key(STR("\xef\xac\x81"), STR("fi"));                         /* a ligature: no title case, but a decomposition */
    expect_key(STR("\xd0\xbc\xd0\xb8\xd1\x80"), STR("\xd0\x9c\xd0\x98\xd0\xa0"));
    expect_key(STR("\xe6\x97\xa5"), STR("\xe6\x97\xa5"));
    expect_key(STR("a\xcc\x81\xcc\xa3"), STR("A\xcc\x81\xcc\xa3"));     /* accents as they are written */
    expect_key(STR("abc\xff" "def"), STR("abc\xff" "def"));             /* no UTF-8: as it is, all of it */
    expect_key(STR("abc\xc3"), STR("abc\xc3"));
    expect_key(STR("\xed\xa0\x80" "x"), STR("\xed\xa0\x80" "x"));       /* half a pair of UTF-16 */
    expect_key(STR("\xc0\xafx"), STR("\xc0\xafx"));
}

struct mailbox {
    const char *headers[8];
    bool gone[8], fails;
    unsigned reads;
};

const char *mailbox_name_of(const struct mailbox *m) { (void)m; return "box"; }
void mailbox_read_end(struct mailbox *m) { (void)m; }
void mailbox_cache_put(struct mailbox *m, const struct message *msg, struct str blob) { (void)m, (void)msg, (void)blob; }

int mailbox_message(struct mailbox *m, uint32_t seq, struct message *out, struct store_error *e)
{
    *out = (struct message){ .seq = seq, .uid = seq, .size = 100 + seq % 3, .header_size = strlen(m->headers[seq - 1]), .date = 1000 - (int64_t)seq };
    return m->gone[seq - 1] ? store_fail(e, STORE_EXPUNGED, 0, "gone") : 0;
}

int mailbox_read(struct mailbox *m, const struct message *msg, uint64_t offset, char *to, size_t n, size_t *got,
                 struct store_error *e)
{
    if (m->fails) return store_fail(e, STORE_CORRUPTION, 0, "cannot be read");
    m->reads++;
    assert_int_equal(offset, 0);
    assert_int_equal(n, msg->header_size);
    *got = n;
    memcpy(to, m->headers[msg->seq - 1], n);
    return 0;
}

/* Message 2's ENVELOPE is kept in the index, and what sorting wants. */
int mailbox_read_text(struct mailbox *m, const struct message *msg, struct buf *out, struct store_error *e)
{
    size_t got;
    buf_clear(out);
    if (mailbox_read(m, msg, 0, buf_room(out, (size_t)msg->size), (size_t)msg->size, &got, e) != 0) return -1;
    out->len = got;
    return 0;
}

void mailbox_note_get(struct mailbox *m, const struct message *msg, enum mailbox_note kind, struct str *out)
{
    static char kept[] = "\1\1........Subject: kept\r\n";
    const int64_t date = 86400;
    (void)m;
    memcpy(kept + 2, &date, sizeof date);
    *out = msg->seq == 2 && kind == NOTE_SORT ? (struct str){ kept, sizeof kept - 1 } : (struct str){ NULL, 0 };
}

void mailbox_note_put(struct mailbox *m, const struct message *msg, enum mailbox_note kind, struct str blob)
{
    (void)m, (void)msg, (void)kind, (void)blob;
}

void mailbox_cache_flush(struct mailbox *m) { (void)m; }

void mailbox_cache_get(struct mailbox *m, const struct message *msg, struct str *out)
{
    static char kept[1000];
    struct mime_envelope e = { .subject = STR("kept"), .date = STR("Fri, 2 Jan 1970 00:00:00 +0000") };
    struct mime_part root = { .type = STR("text"), .subtype = STR("plain"), .encoding = STR("7bit"), .envelope = &e };
    struct buf b = { 0 };
    (void)m;
    *out = (struct str){ NULL, 0 };
    if (msg->seq != 2) return;
    mime_pack(&b, &root);
    memcpy(kept, b.data, b.len);
    *out = (struct str){ kept, b.len };
    buf_free(&b);
}

static struct mailbox box(void)
{
    return (struct mailbox){ .headers = {
        "Subject: Re: b\r\nFrom: \"z\" <c@x>\r\nTo: <b@x>\r\nCc: a@x, b@x\r\nDate: Thu, 1 Jan 1970 00:00:09 +0000\r\n\r\n",
        "never read\r\n\r\n",
        "Subject: a\r\nFrom: =?utf-8?q?y?= <b@x>\r\nTo: c@x\r\nDate: Thu, 1 Jan 1970 00:00:08 +0000\r\n\r\n",
        "Subject: B\r\nFrom: C@y\r\nTo: abcdefgh2@x\r\nDate: Thu, 1 Jan 1970 01:00:08 +0100\r\n\r\n",
        "From: abcdefghi@x\r\nTo: abcdefgh10@x\r\n\r\n",
        "Subject: \xff\r\nTo: abcdefgh@x\r\nFrom: \"\" <a@x>\r\nDate: none\r\n\r\n" } };
}

static void expect(struct mailbox m, const struct sort_key *keys, size_t n, const char *want)
{
    uint32_t seqs[] = { 6, 5, 4, 3, 2, 1 };
    size_t count = 6, at = 0;
    char got[64] = "";
    assert_int_equal(sort_run(&m, keys, n, COLLATE_CASEMAP, seqs, &count, NULL), 0);
    for (size_t i = 0; i < count; i++) at += (size_t)snprintf(got + at, sizeof got - at, "%u", seqs[i]);
    assert_string_equal(got, want);
}

static void test_sort(void **state)
{
    const struct { enum sort_by by; const char *up, *down; } rows[] = {
        { SORT_ARRIVAL, "654321", "123456" }, { SORT_SIZE, "361425", "251436" }, { SORT_DATE, "341652", "256134" },
        { SORT_SUBJECT, "531426", "621435" }, { SORT_FROM, "265314", "143562" }, { SORT_TO, "265413", "314562" },
        { SORT_CC, "234561", "123456" }, { SORT_DISPLAYFROM, "265431", "134562" }, { SORT_DISPLAYTO, "254613", "316452" } };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect(box(), &(struct sort_key){ rows[i].by, false, NULL }, 1, rows[i].up);
        expect(box(), &(struct sort_key){ rows[i].by, true, NULL }, 1, rows[i].down);
    }
    const struct sort_key two[] = { { SORT_CC, false, NULL }, { SORT_ARRIVAL, false, NULL }, { SORT_CC, true, NULL }, { SORT_SIZE, true, NULL } };
    expect(box(), two, 4, "654321");
    expect(box(), two, 0, "123456");
    static const unsigned char scores[] = { 0, 50, 100, 1, 50, 100, 7 };
    expect(box(), &(struct sort_key){ SORT_RELEVANCY, false, scores }, 1, "251463");
    expect(box(), &(struct sort_key){ SORT_RELEVANCY, true, scores }, 1, "361425");
}

static void test_failures(void **state)
{
    struct mailbox m = box();
    uint32_t seqs[] = { 1, 3 };
    size_t n = 2;
    struct store_error e;
    (void)state;
    m.gone[2] = m.gone[0] = true;
    expect(m, &(struct sort_key){ SORT_DATE, false, NULL }, 1, "4652");
    m = box();
    m.fails = true;
    assert_int_equal(sort_run(&m, &(struct sort_key){ SORT_TO, false, NULL }, 1, COLLATE_CASEMAP, seqs, &n, &e), -1);
    assert_int_equal(e.code, STORE_CORRUPTION);
    assert_int_equal(sort_run(&m, &(struct sort_key){ SORT_SIZE, false, NULL }, 1, COLLATE_CASEMAP, seqs, &n, &e), 0);     /* nothing need be read */
    n = 0;
    assert_int_equal(sort_run(&m, &(struct sort_key){ SORT_TO, false, NULL }, 1, COLLATE_CASEMAP, NULL, &n, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_collate), cmocka_unit_test(test_sort), cmocka_unit_test(test_failures) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
