/*
 * The mailbox store from outside: what goes in comes out, whatever its octets, through flags, deliveries by others,
 * expunges, a lost index and a new session.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mailbox.h"

struct world {
    char dir[64], inbox[96], index[96];
    struct store_settings settings;
    struct store *store;
    struct mailbox_name name;
};

static void open_world(struct world *w)
{
    struct store_error e = { 0 };
    if (store_open(&w->store, &w->settings, NULL, &e) != 0)
        fail_msg("store_open: %s", e.text);
}

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/unit_store.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->inbox, sizeof w->inbox, "%s/inbox", w->dir);
    snprintf(w->index, sizeof w->index, "%s/.imapd", w->dir);
    w->settings = (struct store_settings){ .user = "u", .home = w->dir, .inbox_path = w->inbox, .mail_root = "",
        .index_dir = w->index, .lock_timeout = 2, .seal_limit = 1 << 20, .list_depth = 8, .list_count = 1000, .locker_fd = -1 };
    open_world(w);
    assert_int_equal(names_parse(store_names(w->store), STR("INBOX"), &w->name, NULL, NULL), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    char command[128];
    store_close(w->store);
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

static void write_file(const char *path, const char *text, const char *mode)
{
    FILE *f = fopen(path, mode);
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct mailbox *open_box(struct world *w)
{
    struct mailbox *m = NULL;
    struct store_error e = { 0 };
    if (mailbox_open(w->store, &w->name, false, &m, &e) != 0)
        fail_msg("mailbox_open: %s", e.text);
    return m;
}

static uint32_t append_one(struct world *w, const char *octets, size_t n, unsigned flags)
{
    struct append *a;
    struct append_message msg = { .flags = flags, .has_date = true, .date = 1717200000, .zone = 120 };
    struct store_error e = { 0 };
    uint32_t validity, *uids, uid;
    size_t count;
    assert_int_equal(append_begin(w->store, &w->name, &a, &e), 0);
    assert_int_equal(append_message(a, &msg, &e), 0);
    for (size_t at = 0; at < n; at += 1000)
        assert_int_equal(append_data(a, octets + at, n - at < 1000 ? n - at : 1000, &e), 0);
    if (append_commit(a, &validity, &uids, &count, &e) != 0)
        fail_msg("append_commit: %s", e.text);
    assert_int_equal(count, 1);
    uid = uids[0];
    free(uids);
    return uid;
}

static char *read_whole(struct mailbox *m, uint32_t seq, size_t step, size_t *n)
{
    struct message msg;
    struct store_error e = { 0 };
    size_t got = 0, k;
    if (mailbox_message(m, seq, &msg, &e) != 0)
        fail_msg("mailbox_message: %s", e.text);
    char *p = xmalloc(msg.size + 1);
    do {
        if (mailbox_read(m, &msg, got, p + got, msg.size - got < step ? msg.size - got : step, &k, &e) != 0)
            fail_msg("mailbox_read: %s", e.text);
        got += k;
    } while (k > 0 && got < msg.size);
    mailbox_read_end(m);
    assert_int_equal(got, msg.size);
    *n = got;
    return p;
}

static void expect_message(struct mailbox *m, uint32_t seq, const char *octets, size_t n)
{
    const size_t steps[] = { 1 << 20, 1000, 7, 1 };
    for (size_t i = 0; i < 4; i++) {
        size_t got;
        char *p = read_whole(m, seq, steps[i], &got);
        if (got != n || memcmp(p, octets, n) != 0) {
            fail_msg("message %u: step %zu: %zu octets \"%.*s\" instead of %zu \"%.*s\"", seq, steps[i], got, (int)got, p,
                     n, (int)n, octets);
        }
        free(p);
    }
}

static const char *const awkward[] = {
    "", "\r\n", "x", "x\r\n", "\r\nbody", "Subject: a\r\n\r\nbody\r\n", "Subject: a\r\n\r\nno end", "Subject: a",
    "Subject: a\r\n", "Subject: a\r\n\r\n", "Subject: a\r\n\r\n\r\n", "Subject: a\r\n\r\n\r\n\r\n",
    "A: b\r\n\r\nFrom me\r\n>From you\r\n>>>From all\r\nFrom a@b Mon Jan  1 00:00:00 2024\r\n",
    "A: b\r\n\r\n>>>>>>>>\r\n>>From", "A: b\r\n\r\nline\nbare\n\nFrom x Mon Jan  1 00:00:00 2024\n", "A: b\nC: d\n\nbody\n",
    "A: b\r\n\r\nlone\rcr\r\r\nand\r", "A: b\r\n\r\n\r", "A: b\r\n\r\n\n", "A: b\r", "A: b\n", "\n", "\r", "\r\r\n", "\n\n\n",
    "Status: RO\r\nX-UID: 99\r\nX-IMAPbase: 1 2\r\nX-Keywords: a b\r\n c\r\nX-Status: D\r\nContent-Length: 3\r\n\r\nhello\r\n",
    "X-Escaped-Status: x\r\nx-escaped-x-escaped-x-uid: y\r\nX-Escaped-Other: z\r\n\r\nb\r\n",
    "X-IMAPD-Stored: verbatim noeol\r\nX-IMAP: 1 2\r\n\r\nb\r\n", "From me\r\nSubject: x\r\n\r\nb\r\n",
    ">From me\r\nSubject: x\r\n\r\nb\r\n", "Subject: x\r\n folded\r\n\tmore\r\n\r\n8-bit \xe9\xff\r\n",
    "From a@b Mon Jan  1 00:00:00 2024\r\n", "Lines: 3\r\nStatus:\r\n\r\n\r\n.\r\n",
};
enum { AWKWARD = sizeof awkward / sizeof *awkward };

static void expect_awkward(struct mailbox *m, uint32_t first)
{
    for (uint32_t i = 0; i < AWKWARD; i++)
        expect_message(m, first + i, awkward[i], strlen(awkward[i]));
}

static void set_flags(struct mailbox *m, uint32_t seq, unsigned flags, uint64_t keywords)
{
    const struct flag_change c = { .flags = flags, .keywords = keywords };
    assert_int_equal(mailbox_store(m, &seq, 1, &c, NULL, NULL, NULL, NULL), 0);
}

static void checkpoint(struct mailbox *m)
{
    struct store_error e = { 0 };
    if (mailbox_checkpoint(m, false, &e) != 0)
        fail_msg("checkpoint: %s", e.text);
}

static void test_awkward_round_trip(void **state)
{
    struct world *w = *state;
    struct store_error e = { 0 };
    for (uint32_t i = 0; i < AWKWARD; i++)
        assert_int_equal(append_one(w, awkward[i], strlen(awkward[i]), i % 2 ? FLAG_SEEN : 0), i + 1);
    struct mailbox *m = open_box(w);
    assert_int_equal(mailbox_exists(m), AWKWARD);
    expect_awkward(m, 1);
    const int bit = mailbox_keyword_bit(m, STR("$Forwarded"), true, &e);
    assert_true(bit >= 0);
    for (uint32_t i = 1; i <= AWKWARD; i += 3)
        set_flags(m, i, FLAG_FLAGGED | FLAG_ANSWERED, (uint64_t)1 << bit);
    checkpoint(m);
    expect_awkward(m, 1);
    write_file(w->inbox, "From mda Mon Jan  1 00:00:00 2024\nSubject: delivered\n\ntext\n\n", "a");
    assert_int_equal(mailbox_sync(m, true, NULL, &e), 0);
    assert_int_equal(mailbox_exists(m), AWKWARD + 1);
    expect_awkward(m, 1);
    checkpoint(m);
    expect_message(m, AWKWARD + 1, "Subject: delivered\r\n\r\ntext\r\n", 28);
    set_flags(m, 1, FLAG_DELETED, 0);
    set_flags(m, 2, FLAG_DELETED, 0);
    set_flags(m, 10, FLAG_DELETED, 0);
    size_t count;
    if (mailbox_expunge(m, NULL, 0, &count, &e) != 0)
        fail_msg("expunge: %s", e.text);
    assert_int_equal(count, 3);
    assert_int_equal(mailbox_sync(m, true, NULL, &e), 0);
    assert_int_equal(mailbox_exists(m), AWKWARD - 2);
    for (uint32_t i = 10; i < AWKWARD; i++)
        expect_message(m, i - 2, awkward[i], strlen(awkward[i]));
    mailbox_close(m);
    store_close(w->store);                               /* a new session without index finds the same by the file alone */
    char command[160];
    snprintf(command, sizeof command, "rm -rf %s", w->index);
    assert_int_equal(system(command), 0);
    open_world(w);
    m = open_box(w);
    assert_int_equal(mailbox_exists(m), AWKWARD - 2);
    for (uint32_t i = 10; i < AWKWARD; i++) {
        assert_int_equal(mailbox_uid(m, i - 2), i + 1);
        expect_message(m, i - 2, awkward[i], strlen(awkward[i]));
    }
    assert_string_equal(mailbox_keyword(m, 0), "$Forwarded");
    struct message msg;
    assert_int_equal(mailbox_message(m, 11 - 0, &msg, &e), 0);
    assert_int_equal(msg.uid, 14);
    mailbox_close(m);
}

static void test_random_round_trip(void **state)
{
    struct world *w = *state;
    static const char *const pieces[] = { "\r\n", "\n", "\r", ">", "From ", "From a Mon Jan  1 00:00:00 2024\r\n", "\r\n\r\n",
        "Status: R\r\n", "x", "Subject: y\r\n", "\r\n>From ", " ", "X-UID: 7\r\n", "\xff", "abc def ghi" };
    enum { COUNT = 300 };
    struct buf all[COUNT] = { { 0 } };
    srandom(7);
    for (int i = 0; i < COUNT; i++) {
        for (long k = random() % 40; k > 0; k--)
            buf_puts(&all[i], pieces[random() % 15]);
        if (i % 50 == 0)
            for (long k = 0; k < 300000; k++)
                buf_addc(&all[i], k % 61 == 60 ? '\n' : k % 61 == 59 ? '\r' : k % 61 == 0 ? '>' : 'a' + (int)(k % 26));
        append_one(w, all[i].len > 0 ? all[i].data : "", all[i].len, 0);
    }
    struct mailbox *m = open_box(w);
    for (uint32_t i = 0; i < COUNT; i++) {
        size_t n;
        char *p = read_whole(m, i + 1, 1 << 16, &n);
        if (n != all[i].len || (n > 0 && memcmp(p, all[i].data, n) != 0))
            fail_msg("message %u: \"%.*s\" became \"%.*s\"", i, (int)all[i].len, all[i].data, (int)n, p);
        free(p);
    }
    mailbox_close(m);
    for (int i = 0; i < COUNT; i++)
        buf_free(&all[i]);
}

static void test_foreign_bookkeeping(void **state)
{
    struct world *w = *state;
    struct message msg;
    write_file(w->inbox, "From a Mon Jan  1 00:00:00 2024\nX-IMAPbase: 1234567890 0000000042 work\nStatus: RO\nX-Status: A\n"
               "X-Keywords: work\nX-UID: 7\nSubject: one\n\n1\n\nFrom b Mon Jan  1 00:00:01 2024\nX-UID: 40\nSubject: two\n\n2\n\n"
               "From c Mon Jan  1 00:00:02 2024\nX-UID: 4000000000\nSubject: forged\n\n3\n\n", "w");
    struct mailbox *m = open_box(w);
    struct mailbox_status st;
    mailbox_info(m, &st);
    assert_int_equal(st.uidvalidity, 1234567890);
    assert_int_equal(st.uidnext, 44);
    assert_int_equal(mailbox_uid(m, 1), 7);
    assert_int_equal(mailbox_uid(m, 2), 40);
    assert_int_equal(mailbox_uid(m, 3), 43);
    assert_int_equal(mailbox_message(m, 1, &msg, NULL), 0);
    assert_int_equal(msg.flags, FLAG_SEEN | FLAG_ANSWERED);
    assert_int_equal(msg.keywords, 1);
    expect_message(m, 1, "Subject: one\r\n\r\n1\r\n", 19);
    mailbox_close(m);
}

static void test_pseudo_message(void **state)
{
    struct world *w = *state;
    write_file(w->inbox, "From MAILER-DAEMON Mon Jan  1 00:00:00 2024\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"
               "X-IMAP: 1111111111 0000000005\nStatus: RO\n\ntext\n\nFrom b Mon Jan  1 00:00:01 2024\nX-UID: 5\nSubject: two\n\n2\n\n", "w");
    struct mailbox *m = open_box(w);
    assert_int_equal(mailbox_exists(m), 1);
    assert_int_equal(mailbox_uid(m, 1), 5);
    set_flags(m, 1, FLAG_DELETED, 0);
    assert_int_equal(mailbox_expunge(m, NULL, 0, NULL, NULL), 0);
    assert_int_equal(mailbox_sync(m, true, NULL, NULL), 0);
    assert_int_equal(mailbox_exists(m), 0);
    mailbox_close(m);
    assert_int_equal(append_one(w, "A: b\r\n\r\nc\r\n", 11, 0), 6);
}

static void test_two_sessions(void **state)
{
    struct world *w = *state;
    struct store_error e = { 0 };
    for (int i = 0; i < 10; i++)
        append_one(w, "A: b\r\n\r\nc\r\n", 11, 0);
    struct mailbox *a = open_box(w), *b = open_box(w);
    struct mailbox_status st;
    mailbox_info(a, &st);
    assert_int_equal(st.recent, 10);
    mailbox_info(b, &st);
    assert_int_equal(st.recent, 0);
    set_flags(a, 3, FLAG_DELETED, 0);
    assert_int_equal(mailbox_expunge(a, NULL, 0, NULL, &e), 0);
    assert_int_equal(mailbox_sync(b, false, NULL, &e), 0);
    assert_int_equal(mailbox_exists(b), 10);
    struct message msg;
    assert_int_equal(mailbox_message(b, 3, &msg, &e), -1);
    assert_int_equal(e.code, STORE_EXPUNGED);
    expect_message(b, 4, "A: b\r\n\r\nc\r\n", 11);
    append_one(w, "A: b\r\n\r\nd\r\n", 11, 0);
    assert_int_equal(mailbox_sync(b, false, NULL, &e), 0);
    assert_int_equal(mailbox_exists(b), 11);
    assert_int_equal(mailbox_sync(b, true, NULL, &e), 0);
    assert_int_equal(mailbox_exists(b), 10);
    assert_int_equal(mailbox_uid(b, 10), 11);
    mailbox_close(a);
    mailbox_close(b);
}

/* What is to be kept of a message is dropped if the file has changed before it is written. */
static void test_note_of_changed_file(void **state)
{
    static const char before[] = "From a@b Mon Nov 23 10:00:00 2026\nSubject: x\n\nbody\n\n",
        after[] = "From a@b Mon Nov 23 10:00:00 2026\nSubject: x\nLines: 1\n\nbody\n\n";
    struct world *w = *state;
    struct message msg;
    struct str kept;
    write_file(w->inbox, before, "w");
    for (int changed = 0; changed < 2; changed++) {
        struct mailbox *m = open_box(w), *other = open_box(w);
        assert_int_equal(mailbox_message(m, 1, &msg, NULL), 0);
        mailbox_note_put(m, &msg, changed ? NOTE_PREVIEW : NOTE_STRUCTURE, STR("note"));
        if (changed) {
            write_file(w->inbox, after, "w");
            assert_int_equal(mailbox_sync(other, true, NULL, NULL), 0);
        }
        mailbox_cache_flush(m);
        mailbox_close(m);
        mailbox_read_end(other);                 /* its snapshot is of before */
        mailbox_note_get(other, &msg, changed ? NOTE_PREVIEW : NOTE_STRUCTURE, &kept);
        assert_int_equal(kept.n, changed ? 0 : 4);
        mailbox_close(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_awkward_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_bookkeeping, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pseudo_message, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_sessions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_note_of_changed_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
