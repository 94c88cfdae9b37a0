/* thread.h without a mailbox: message ids, each step of REFERENCES, REFS, ORDEREDSUBJECT, and threads as deep as a mailbox
 * is long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "store/thread.h"

/* A message: dates are the numbers in `minute`, seconds after noon. */
struct row { unsigned second; const char *subject, *id, *references, *in_reply_to; };

static struct str or_none(const char *z)
{
    return z != NULL ? str_z(z) : (struct str){ NULL, 0 };
}

/* Recursion is for tests. */
static void show(struct buf *out, const struct threads *t, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        if (count > 1 || first == 0) buf_addc(out, '(');
        if (t->nodes[i].seq != 0) buf_printf(out, "%u", t->nodes[i].seq);
        if (t->nodes[i].seq != 0 && t->nodes[i].child_count > 0) buf_addc(out, ' ');
        show(out, t, t->nodes[i].first_child, t->nodes[i].child_count);
        if (count > 1 || first == 0) buf_addc(out, ')');
    }
}

static void expect(enum thread_algorithm algorithm, const struct row *rows, uint32_t n, const char *want)
{
    struct threading *t = threading_new(algorithm, COLLATE_CASEMAP);
    struct threads threads;
    struct buf out = { 0 };

    for (uint32_t i = 0; i < n; i++) {
        char date[64];
        snprintf(date, sizeof date, "Mon, 1 Jan 2001 12:00:%02u +0000", rows[i].second);
        assert_int_equal(threading_add(t, &(struct thread_message){ .seq = i + 1, .arrival = 1000 - i, .date = str_z(date),
            .subject = or_none(rows[i].subject), .message_id = or_none(rows[i].id), .in_reply_to = or_none(rows[i].in_reply_to),
            .references = or_none(rows[i].references) }, NULL), 0);
    }
    threading_finish(t, &threads);
    show(&out, &threads, 0, (uint32_t)threads.roots);
    buf_addc(&out, '\0');
    assert_string_equal(out.data, want);
    buf_free(&out);
    threads_free(&threads);
    threading_free(t);
}
#define EXPECT(algorithm, rows, want) expect(algorithm, rows, sizeof(rows) / sizeof *(rows), want)

static void test_ids(void **state)
{
    static const struct { const char *value, *want; } rows[] = {
        { "<a@b>", "a@b|" }, { " <a@b> <c@d>\r\n\t<e@f>", "a@b|c@d|e@f|" }, { "<a@b><c@d>", "a@b|c@d|" },
        { "<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>", "01KF8JCEOCBS0045PS@xxx.yyy.com|" }, { "<\"a\\\"b\"@c>", "a\"b@c|" },
        { "", "" }, { "a@b", "" }, { "<nothing>", "" }, { "<@b>", "" }, { "<a@>", "" }, { "<a@b", "" }, { "<<a@b>", "a@b|" },
        { "<a <c@d>", "c@d|" }, { "Your letter of <Monday> <a@b>", "a@b|" }, { "< a @ b >", "a@b|" }, { "<a@[1.2.3.4]>", "a@[1.2.3.4]|" },
        { "<a(comment)@b>", "a@b|" }, { "<a@b@c>", "a@b@c|" }, { "<a\"b@c> <d@e>", "a\"b@c|d@e|" }, { "<A@b> <a@B>", "A@b|a@B|" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct str at = str_z(rows[i].value);
        struct buf out = { 0 };
        while (thread_next_id(&at, &out)) buf_addc(&out, '|');
        buf_addc(&out, '\0');
        assert_string_equal(out.data, rows[i].want);
        buf_free(&out);
    }
}

static void test_links(void **state)
{
    /* RFC 5256 section 4: 6 is one's child, its children 4 and 44 have children */
    const struct row tree[] = { { 1, "a", "<2@x>", NULL, NULL }, { 2, "b", "<3@x>", NULL, NULL }, { 3, "c", "<4@x>", "<3@x> <6@x>", NULL },
        { 4, "d", "<6@x>", NULL, "<3@x>" }, { 5, "e", "<7@x>", "<44@x>", NULL }, { 6, "f", "<23@x>", "<6@x> <4@x>", NULL },
        { 7, "g", "<44@x>", "<6@x>", NULL }, { 8, "h", "<96@x>", "<7@x>", NULL } };
    /* one answers what is not there; two do: their parent is none; a row of such */
    const struct row missing[] = { { 1, "a", "<1@x>", "<no1@x>", NULL }, { 2, "b", "<2@x>", "<no2@x>", NULL }, { 3, "c", "<3@x>", "<no2@x> <no3@x>", NULL },
        { 4, "d", "<4@x>", "<no4@x> <no5@x> <no6@x>", NULL }, { 5, "e", "<5@x>", "<no4@x> <no5@x>", NULL }, { 6, "f", "<6@x>", "<4@x> <no7@x>", NULL } };
    /* loops: two that answer each other, one itself, a ring of three; a second parent is the better one (step 1.B) */
    const struct row loops[] = { { 1, "a", "<1@x>", "<2@x>", NULL }, { 2, "b", "<2@x>", "<1@x>", NULL }, { 3, "c", "<3@x>", "<3@x>", NULL },
        { 4, "d", "<4@x>", "<6@x>", NULL }, { 5, "e", "<5@x>", "<4@x>", NULL }, { 6, "f", "<6@x>", "<5@x>", NULL } };
    const struct row better[] = { { 1, "a", "<1@x>", NULL, NULL }, { 2, "b", "<2@x>", NULL, NULL }, { 3, "c", "<4@x>", "<1@x> <3@x>", NULL },
        { 4, "d", "<3@x>", "<2@x>", NULL }, { 5, "e", "<5@x>", NULL, NULL }, { 6, "f", "<7@x>", "<1@x> <6@x>", NULL }, { 7, "g", "<6@x>", NULL, NULL } };
    /* the same id twice, none, one that is no id; References that hold no id, In-Reply-To that does */
    const struct row ids[] = { { 1, "a", "<1@x>", NULL, NULL }, { 2, "b", "<1@x>", NULL, NULL }, { 3, "c", "<3@x>", "<1@x>", NULL }, { 4, "d", NULL, "<1@x>", NULL },
        { 5, "e", "nothing", NULL, NULL }, { 6, "f", "<6@x>", "lost", "you <1@x> <3@x>" }, { 7, "g", "<\"6\"@x>", NULL, NULL }, { 8, "h", "<8@x>", "<\"6\"@x>", "<1@x>" } };
    (void)state;
    EXPECT(THREAD_REFERENCES, tree, "(1)(2 4 (3 6)(7 5 8))");
    EXPECT(THREAD_REFERENCES, missing, "(1)((2)(3))((4 6)(5))");
    EXPECT(THREAD_REFERENCES, loops, "(2 1)(3)(6 4 5)");
    EXPECT(THREAD_REFERENCES, better, "(1)(2 4 3)(5)(7 6)");
    EXPECT(THREAD_REFERENCES, ids, "(1 (3)(4)(6 8))(2)(5)(7)");
}

static void test_subjects(void **state)
{
    const struct row reply[] = { { 1, "Re: a", "<1@x>", NULL, NULL }, { 2, "a", "<2@x>", NULL, NULL }, { 3, "A", "<3@x>", NULL, NULL }, { 4, "Re: b", NULL, NULL, NULL },
        { 5, "fwd: b", NULL, NULL, NULL }, { 6, "", NULL, NULL, NULL }, { 7, "re:", NULL, NULL, NULL }, { 8, NULL, NULL, NULL, NULL } };
    /* missing parents: both, the first, the second */
    const struct row both[] = { { 1, "a", "<1@x>", "<n1@x>", NULL }, { 2, "z", "<2@x>", "<n1@x>", NULL }, { 3, "a", "<3@x>", "<n2@x>", NULL }, { 4, "y", "<4@x>", "<n2@x>", NULL } };
    const struct row first[] = { { 1, "a", "<1@x>", "<n1@x>", NULL }, { 2, "z", "<2@x>", "<n1@x>", NULL }, { 3, "a", "<3@x>", NULL, NULL } };
    const struct row second[] = { { 1, "a", "<1@x>", NULL, NULL }, { 2, "a", "<2@x>", "<n1@x>", NULL }, { 3, "z", "<3@x>", "<n1@x>", NULL } };
    (void)state;
    EXPECT(THREAD_REFERENCES, reply, "((2 1)(3))((4)(5))(6)(7)(8)");
    EXPECT(THREAD_REFERENCES, both, "((1)(2)(3)(4))");
    EXPECT(THREAD_REFERENCES, first, "((1)(2)(3))");
    EXPECT(THREAD_REFERENCES, second, "((1)(2)(3))");
    EXPECT(THREAD_REFS, reply, "(1)(2)(3)(4)(5)(6)(7)(8)");
    EXPECT(THREAD_ORDEREDSUBJECT, reply, "(1 (2)(3))(4 5)(6 (7)(8))");
}

static void test_order(void **state)
{
    const struct row rows[] = { { 9, "a", "<1@x>", NULL, NULL }, { 2, "b", "<2@x>", NULL, NULL }, { 5, "c", "<3@x>", NULL, "<2@x>" }, { 4, "d", "<4@x>", NULL, "<2@x>" },
        { 5, "e", "<5@x>", NULL, "<2@x>" }, { 3, "f", "<6@x>", NULL, NULL }, { 8, "g", "<7@x>", "<n@x>", NULL }, { 1, "h", "<8@x>", "<n@x>", NULL }, { 30, "i", "<9@x>", NULL, "<6@x>" } };
    (void)state;
    EXPECT(THREAD_REFERENCES, rows, "((8)(7))(2 (4)(3)(5))(6 9)(1)");
    EXPECT(THREAD_REFS, rows, "(2 (4)(3)(5))((8)(7))(1)(6 9)");
    expect(THREAD_REFERENCES, rows, 0, "");
    expect(THREAD_ORDEREDSUBJECT, rows, 1, "(1)");
}

/* order: 0 each answers the one before, 1 the one after, 2 with ten references. */
static void chain(unsigned order)
{
    enum { N = 100000 };
    struct threading *t = threading_new(THREAD_REFERENCES, COLLATE_CASEMAP);
    struct threads threads;
    char id[32], references[400];

    for (uint32_t i = 1; i <= N; i++) {
        size_t n = 0;
        references[0] = '\0';
        snprintf(id, sizeof id, "<%u@x>", i);
        if (order == 1 && i < N) snprintf(references, sizeof references, "<%u@x>", i + 1);
        else if (order != 1)
            for (uint32_t r = order == 0 ? 1 : 10; r > 0; r--)
                if (r < i) n += (size_t)snprintf(references + n, sizeof references - n, "<%u@x> ", i - r);
        assert_int_equal(threading_add(t, &(struct thread_message){ .seq = i, .arrival = i, .message_id = str_z(id), .references = str_z(references) }, NULL), 0);
    }
    threading_finish(t, &threads);
    assert_int_equal(threads.n, N);
    assert_int_equal(threads.roots, 1);
    uint32_t depth = 1;
    for (const struct thread_node *at = threads.nodes; at->child_count == 1; at = &threads.nodes[at->first_child]) depth++;
    assert_int_equal(depth, N);
    threads_free(&threads);
    threading_free(t);
}

static void test_deep(void **state)
{
    const clock_t start = clock();
    (void)state;
    for (unsigned order = 0; order < 3; order++) chain(order);
    assert_true(clock() - start < 30 * CLOCKS_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ids), cmocka_unit_test(test_links), cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_order), cmocka_unit_test(test_deep) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
