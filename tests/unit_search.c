/* search.h on a mailbox made of strings: each key, their combinations, and that no key reads more of a message than it must.
 * The functions of store/mailbox.h that a search calls are defined here, in place of the real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "store/date.h"
#include "store/search.h"

struct mailbox {
    struct { const char *text; struct message m; bool gone; } list[8];
    uint32_t n;
    unsigned records, octets;                 /* looked up, read */
};

uint32_t mailbox_exists(const struct mailbox *m) { return m->n; }
uint32_t mailbox_uid(const struct mailbox *m, uint32_t seq) { return m->list[seq - 1].m.uid; }
void mailbox_progress(const struct mailbox *m, uint64_t done, uint64_t goal) { (void)m; (void)done; (void)goal; }
void mailbox_read_end(struct mailbox *m) { (void)m; }

uint32_t mailbox_seq_from(const struct mailbox *m, uint32_t uid)
{
    uint32_t seq = 1;
    while (seq <= m->n && mailbox_uid(m, seq) < uid) seq++;
    return seq;
}

int mailbox_keyword_bit(struct mailbox *m, struct str name, bool create, struct store_error *e)
{
    (void)m, (void)create, (void)e;
    return str_ieq(name, STR("work")) ? 3 : -1;
}

int mailbox_message(struct mailbox *m, uint32_t seq, struct message *out, struct store_error *e)
{
    m->records++;
    if (m->list[seq - 1].gone) {
        e->code = STORE_EXPUNGED;
        return -1;
    }
    *out = m->list[seq - 1].m;
    return 0;
}

size_t mailbox_messages(struct mailbox *m, uint32_t seq, struct message *out, size_t n)
{
    size_t k = 0;
    for (; k < n && seq + k <= m->n && !m->list[seq + k - 1].gone; k++) out[k] = m->list[seq + k - 1].m;
    return k;
}

/* Each is looked at: search_flags.test has the rest. */
int mailbox_block_flag(struct mailbox *m, uint32_t seq, uint8_t flag, uint32_t *last)
{
    (void)m, (void)flag;
    *last = seq;
    return -1;
}

bool mailbox_block_whole(struct mailbox *m, uint32_t seq, uint32_t *last)
{
    (void)m;
    *last = seq;
    return false;
}

int mailbox_read(struct mailbox *m, const struct message *msg, uint64_t offset, char *to, size_t n, size_t *got,
                 struct store_error *e)
{
    const char *text = m->list[msg->seq - 1].text;
    const size_t size = strlen(text);
    (void)e;
    *got = offset >= size ? 0 : n < size - offset ? n : size - (size_t)offset;
    memcpy(to, text + offset, *got);
    m->octets += (unsigned)*got;
    return 0;
}

int mailbox_read_text(struct mailbox *m, const struct message *msg, struct buf *out, struct store_error *e)
{
    const char *text = m->list[msg->seq - 1].text;
    (void)e;
    buf_clear(out);
    buf_puts(out, text);
    m->octets += (unsigned)strlen(text);
    return 0;
}

void mailbox_cache_get(struct mailbox *m, const struct message *msg, struct str *out)
{
    (void)m, (void)msg;
    *out = (struct str){ NULL, 0 };
}

void mailbox_note_get(struct mailbox *m, const struct message *msg, enum mailbox_note kind, struct str *out)
{
    (void)m, (void)msg, (void)kind;
    *out = (struct str){ NULL, 0 };
}

void mailbox_note_put(struct mailbox *m, const struct message *msg, enum mailbox_note kind, struct str blob)
{
    (void)m, (void)msg, (void)kind, (void)blob;
}

void mailbox_cache_put(struct mailbox *m, const struct message *msg, struct str blob) { (void)m, (void)msg, (void)blob; }

void mailbox_cache_flush(struct mailbox *m) { (void)m; }

static struct mailbox box(void)
{
    struct mailbox m = { .n = 4 };
    static const char *const texts[4] = {
        "Subject: Test one\r\nFrom: Alex <alex@example.org>\r\nDate: Mon, 1 Jan 2024 23:30:00 -0500\r\n\r\nhello world\r\n",
        "Subject: =?utf-8?q?=C3=84pfel?=\r\nTo: b@c\r\nDate: Tue, 2 Jan 2024 00:00:00 +0000\r\n\r\ntest body\r\n",
        "Subject: another test\r\nX-Empty:\r\nDate: 4 Jan 2024 99:99\r\n\r\n",
        "Subject: gone\r\n\r\nhello\r\n",
    };
    for (uint32_t i = 0; i < m.n; i++) {
        m.list[i].text = texts[i];
        m.list[i].m = (struct message){ .seq = i + 1, .uid = 10 * (i + 1), .size = strlen(texts[i]), .zone = 60,
            .header_size = (uint64_t)(strstr(texts[i], "\r\n\r\n") + 4 - texts[i]), .date = date_seconds(2024, 3, (int)i + 1, 23, 30, 0, 0) };
    }
    m.list[0].m.flags = FLAG_SEEN | FLAG_FLAGGED;
    m.list[1].m.keywords = 1 << 3;
    m.list[2].m.recent = true;
    m.list[3].gone = true;
    return m;
}

static int found(void *ctx, uint32_t seq)
{
    char *s = ctx;
    const size_t n = strlen(s);
    snprintf(s + n, 64 - n, "%u ", seq);
    return 0;
}

static void expect(struct search_key k, const char *want, unsigned octets_at_most)
{
    struct mailbox m = box();
    struct store_error e;
    char got[64] = "";
    assert_int_equal(search_run(&m, &k, found, got, &e), 0);
    assert_string_equal(got, want);
    assert_in_range(m.octets, 0, octets_at_most);
}

static void test_records(void **state)
{
    struct search_range sets[] = { { 2, 2 }, { 3, 9 } }, mixed[] = { { 3, 3 }, { 1, 2 }, { 2, 2 }, { 1, 1 } }, uids[] = { { 5, 20 } }, top[] = { { 25, UINT32_MAX } };
    (void)state;
    expect((struct search_key){ .type = SEARCH_ALL }, "1 2 3 ", 0);
    expect((struct search_key){ .type = SEARCH_SEQ, .ranges = sets, .range_count = 2 }, "2 3 ", 0);
    expect((struct search_key){ .type = SEARCH_SEQ, .ranges = mixed, .range_count = 4 }, "1 2 3 ", 0);
    expect((struct search_key){ .type = SEARCH_UID, .ranges = uids, .range_count = 1 }, "1 2 ", 0);
    expect((struct search_key){ .type = SEARCH_UID, .ranges = top, .range_count = 1 }, "3 ", 0);
    expect((struct search_key){ .type = SEARCH_SEQ }, "", 0);
    expect((struct search_key){ .type = SEARCH_FLAG, .value = FLAG_SEEN }, "1 ", 0);
    expect((struct search_key){ .type = SEARCH_KEYWORD, .text = STR("WORK") }, "2 ", 0);
    expect((struct search_key){ .type = SEARCH_KEYWORD, .text = STR("none") }, "", 0);
    expect((struct search_key){ .type = SEARCH_RECENT }, "3 ", 0);
    expect((struct search_key){ .type = SEARCH_LARGER, .value = 95 }, "1 ", 0);
    expect((struct search_key){ .type = SEARCH_SMALLER, .value = 80 }, "3 ", 0);
    /* 23:30 UTC is the next day in zone +0100 */
    expect((struct search_key){ .type = SEARCH_ON, .day = (int32_t)date_days(2024, 3, 2) }, "1 ", 0);
    expect((struct search_key){ .type = SEARCH_BEFORE, .day = (int32_t)date_days(2024, 3, 3) }, "1 ", 0);
    expect((struct search_key){ .type = SEARCH_SINCE, .day = (int32_t)date_days(2024, 3, 3) }, "2 3 ", 0);
}

static struct search_key header(const char *field, const char *text)
{
    return (struct search_key){ .type = SEARCH_HEADER, .field = str_z(field), .text = str_z(text) };
}

static void test_content(void **state)
{
    enum { HEADERS = 320 };
    (void)state;
    expect(header("subject", "TEST"), "1 3 ", HEADERS);
    expect(header("SUBJECT", "\xc3\xa4PFEL"), "2 ", HEADERS);
    expect(header("x-empty", ""), "3 ", HEADERS);
    expect(header("x-empty", "x"), "", HEADERS);
    expect(header("from", "ALEX@"), "1 ", HEADERS);
    expect((struct search_key){ .type = SEARCH_BODY, .text = STR("Test") }, "2 ", 400);
    expect((struct search_key){ .type = SEARCH_TEXT, .text = STR("Test") }, "1 2 3 ", 400);
    expect((struct search_key){ .type = SEARCH_TEXT, .text = STR("") }, "1 2 3 ", 400);
    expect((struct search_key){ .type = SEARCH_SENTON, .day = (int32_t)date_days(2024, 1, 1) }, "1 ", HEADERS);
    expect((struct search_key){ .type = SEARCH_SENTSINCE, .day = (int32_t)date_days(2024, 1, 2) }, "2 3 ", HEADERS);
    expect((struct search_key){ .type = SEARCH_SENTBEFORE, .day = (int32_t)date_days(2024, 1, 3) }, "1 2 ", HEADERS);
    expect((struct search_key){ .type = SEARCH_SENTON, .day = (int32_t)date_days(2024, 1, 4) }, "3 ", HEADERS);
}

static void test_trees(void **state)
{
    struct search_range second[] = { { 2, 2 } };
    struct search_key and[] = { { .type = SEARCH_TEXT, .text = STR("test") }, { .type = SEARCH_SEQ, .ranges = second, .range_count = 1 } };
    struct search_key or[] = { header("subject", "another"), { .type = SEARCH_FLAG, .value = FLAG_SEEN } };
    struct search_key not[] = { { .type = SEARCH_BODY, .text = STR("hello") } };
    struct search_key nested[] = { { .type = SEARCH_OR, .children = or, .child_count = 2 }, { .type = SEARCH_NOT, .children = not, .child_count = 1 } };
    (void)state;
    /* the set is asked first: only message 2 is read */
    expect((struct search_key){ .type = SEARCH_AND, .children = and, .child_count = 2 }, "2 ", 95);
    expect((struct search_key){ .type = SEARCH_AND }, "1 2 3 ", 0);
    expect((struct search_key){ .type = SEARCH_OR, .children = or, .child_count = 2 }, "1 3 ", 200);
    expect((struct search_key){ .type = SEARCH_NOT, .children = not, .child_count = 1 }, "2 3 ", 400);
    expect((struct search_key){ .type = SEARCH_AND, .children = nested, .child_count = 2 }, "3 ", 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_records), cmocka_unit_test(test_content), cmocka_unit_test(test_trees) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
