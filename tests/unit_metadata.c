/*
 * ~/.mailboxmeta: names, lines, what the file says, and changes to it.
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
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/special_use.h"

struct world {
    char dir[64], inbox[96], file[96];
    struct store_settings settings;
    struct names *names;
    struct arena *arena;
    struct metadata m;
};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/unit_metadata.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->inbox, sizeof w->inbox, "%s/inbox", w->dir);
    snprintf(w->file, sizeof w->file, "%s/.mailboxmeta", w->dir);
    w->settings = (struct store_settings){ .user = "u", .home = w->dir, .inbox_path = w->inbox, .mail_root = "", .lock_timeout = 1 };
    assert_int_equal(names_open_root(&w->names, &w->settings, NULL), 0);
    w->arena = arena_new();
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
    names_close(w->names);
    arena_free(w->arena);
    free(w);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void file_holds(const struct world *w, const char *want)
{
    char got[4096] = "";
    FILE *f = fopen(w->file, "r");
    if (f != NULL) {
        got[fread(got, 1, sizeof got - 1, f)] = 0;
        fclose(f);
    }
    assert_string_equal(got, want);
}

static void load(struct world *w)
{
    struct store_error e = { 0 };
    if (metadata_load(w->names, w->arena, &w->m, &e) != 0)
        fail_msg("metadata_load: %s", e.text);
}

static int set(struct world *w, const char *mailbox, const char *name, struct str value, struct store_error *e)
{
    const struct metadata_entry change = { .mailbox = str_z(mailbox), .name = str_z(name), .value = value };
    return metadata_set(w->names, &change, 1, e);
}

static void has(struct world *w, const char *mailbox, const char *name, const char *want)
{
    load(w);
    const struct str got = metadata_get(&w->m, mailbox, str_z(name));
    if (want == NULL)
        assert_null(got.p);
    else
        assert_true(got.p != NULL && str_eq(got, str_z(want)));
}

static void test_names(void **state)
{
    static const char *const good[] = { "/private/comment", "/SHARED/a", "/private/vendor/a/b", "/shared/a b", "/private/vendors" };
    static const char *const above[] = { "/private", "/shared", "/private/vendor", "/private/vendor/a" };
    static const char *const bad[] = { "", "/", "comment", "/comment", "/privat/a", "/privates/a", "/private/", "/private//a", "/private/a/",
                                       "/private/a*", "/private/%", "/private/\x7f\x80", "/private/\n", "private/a" };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(metadata_name_valid(str_z(good[i]), true) && metadata_name_valid(str_z(good[i]), false));
    for (size_t i = 0; i < sizeof above / sizeof *above; i++)
        assert_true(!metadata_name_valid(str_z(above[i]), true) && metadata_name_valid(str_z(above[i]), false));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(metadata_name_valid(str_z(bad[i]), false));
    char longest[METADATA_NAME + 2] = "/private/";
    memset(longest + 9, 'x', sizeof longest - 9);
    assert_true(metadata_name_valid((struct str){ longest, METADATA_NAME }, true));
    assert_false(metadata_name_valid((struct str){ longest, METADATA_NAME + 1 }, true));
}

static void test_lines(void **state)
{
    struct world *w = *state;
    char octets[256];
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (char)i;
    const struct str values[] = { { octets, sizeof octets }, STR(""), STR("\"\""), STR(" a b "), STR(" "), STR("%41"), STR("plain text") };
    const struct str boxes[] = { STR(""), STR("\"\""), STR("INBOX"), STR("Entw\xc3\xbcrfe & mehr/100 %") };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        for (size_t k = 0; k < sizeof boxes / sizeof *boxes; k++) {
            struct metadata_entry out, in = { .mailbox = boxes[k], .name = STR("/private/a b"), .value = values[i] };
            struct buf line = { 0 };
            metadata_line_write(&line, &in);
            assert_int_equal(line.data[line.len - 1], '\n');
            for (size_t c = 0; c + 1 < line.len; c++)
                assert_true(line.data[c] >= ' ' && line.data[c] < 0x7f);
            assert_true(metadata_line_read(w->arena, (struct str){ line.data, line.len - 1 }, &out));
            assert_true(str_eq(out.mailbox, in.mailbox) && str_eq(out.name, in.name) && str_eq(out.value, in.value));
            buf_free(&line);
        }
    }
    static const char *const wrong[] = { "", "a", "a /private/b", "a /private/b ", " /private/b c", "a  /private/b c", "a /private c",
                                         "a /private/b %4", "a /private/b %4g", "a%00b /private/b c", "a /private/%2A c", "# a comment" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct metadata_entry out;
        assert_false(metadata_line_read(w->arena, str_z(wrong[i]), &out));
    }
}

static void test_file(void **state)
{
    struct world *w = *state;
    size_t n;
    has(w, "", "/shared/comment", NULL);                     /* no file */
    assert_int_equal(access(w->file, F_OK), -1);
    assert_int_equal(set(w, "", "/shared/comment", (struct str){ NULL, 0 }, NULL), 0);
    assert_int_equal(access(w->file, F_OK), -1);             /* nothing to take away makes none */
    write_file(w->file, "# mine\nb /private/x 1\r\na /private/x 2\na /PRIVATE/X 3\nab /private/x 4\na /private/b 5");
    has(w, "a", "/private/X", "3");                          /* the later line */
    has(w, "b", "/private/x", "1");
    const struct metadata_entry *list = metadata_of(&w->m, "a", &n);
    assert_int_equal(n, 2);
    assert_true(str_eq(list[0].name, STR("/private/b")) && str_eq(list[1].value, STR("3")));
    assert_null(metadata_of(&w->m, "", &n));
    assert_int_equal(set(w, "a", "/private/x", STR("6"), NULL), 0);
    file_holds(w, "# mine\nb /private/x 1\r\nab /private/x 4\na /private/b 5\na /private/x 6\n");
    assert_int_equal(metadata_delete(w->names, "a", NULL), 0);
    file_holds(w, "# mine\nb /private/x 1\r\nab /private/x 4\n");
    struct stat before, after;
    assert_int_equal(stat(w->file, &before), 0);
    assert_int_equal(metadata_delete(w->names, "nosuch", NULL), 0);
    assert_int_equal(stat(w->file, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);           /* what changes nothing writes nothing */
    assert_int_equal(before.st_mode & 0777, 0600);
}

static int renamed(struct world *w, const char *from, const char *to, bool copy)
{
    struct metadata_change c;
    return metadata_rename(w->names, from, to, copy, &c, NULL) == 0 ? metadata_commit(&c, NULL) : -1;
}

static void test_rename(void **state)
{
    struct world *w = *state;
    write_file(w->file, "a /private/x 1\na/b /private/x 2\nab /private/x 3\nc /private/x old\nc/z /private/y old\nINBOX /private/x 4\n");
    assert_int_equal(renamed(w, "a", "c", false), 0);
    file_holds(w, "ab /private/x 3\nINBOX /private/x 4\nc /private/x 1\nc/b /private/x 2\n");
    assert_int_equal(renamed(w, "INBOX", "c/b", true), 0);
    file_holds(w, "ab /private/x 3\nINBOX /private/x 4\nc /private/x 1\nc/b /private/x 4\n");
    assert_int_equal(renamed(w, "none", "ab", false), 0);
    struct metadata_change c;
    assert_int_equal(metadata_rename(w->names, "c", "d", false, &c, NULL), 0);
    assert_int_equal(set(w, "c", "/private/x", STR("5"), NULL), -1);     /* locked */
    metadata_abandon(&c);
    has(w, "c", "/private/x", "1");
    has(w, "ab", "/private/x", NULL);                        /* it was not of the mailbox that has the name now */
}

static void test_limits(void **state)
{
    struct world *w = *state;
    struct store_error e;
    char name[40];
    for (int i = 0; i < METADATA_ENTRIES; i++) {
        snprintf(name, sizeof name, "/private/%d", i);
        assert_int_equal(set(w, "a", name, STR("x"), &e), 0);
    }
    assert_int_equal(set(w, "a", "/private/more", STR("x"), &e), -1);
    assert_int_equal(e.code, STORE_LIMIT);
    assert_int_equal(set(w, "b", "/private/more", STR("x"), &e), 0);
    assert_int_equal(set(w, "a", "/private/7", STR("y"), &e), 0);
    const struct metadata_entry both[] = {
        { .mailbox = STR("a"), .name = STR("/private/more"), .value = STR("z") }, { .mailbox = STR("a"), .name = STR("/private/8") } };
    assert_int_equal(metadata_set(w->names, both, 2, &e), 0);
    has(w, "a", "/private/more", "z");
    has(w, "a", "/private/8", NULL);
    /* larger than the bound: left as it is */
    assert_int_equal(truncate(w->file, METADATA_FILE + 1), 0);
    assert_int_equal(metadata_load(w->names, w->arena, &w->m, &e), -1);
    assert_int_equal(e.code, STORE_LIMIT);
    assert_int_equal(w->m.n, 0);
    assert_int_equal(set(w, "a", "/private/7", STR("y"), &e), -1);
    struct stat st;
    assert_int_equal(stat(w->file, &st), 0);
    assert_int_equal(st.st_size, METADATA_FILE + 1);
    /* and one that would become larger */
    FILE *f = fopen(w->file, "w");
    assert_non_null(f);
    for (long i = 0; i < METADATA_FILE / 64 - 1; i++)
        fprintf(f, "box%-12ld /private/comment %*d\n", i, 31, 0);
    fclose(f);
    assert_int_equal(stat(w->file, &st), 0);
    struct buf value = { 0 };
    memset(buf_room(&value, METADATA_VALUE), 'x', METADATA_VALUE);
    value.len = METADATA_VALUE;
    assert_int_equal(set(w, "a", "/private/7", buf_str(&value), &e), -1);
    assert_int_equal(e.code, STORE_LIMIT);
    buf_free(&value);
    const off_t size = st.st_size;
    assert_int_equal(stat(w->file, &st), 0);
    assert_int_equal(st.st_size, size);
}

static void test_hostile(void **state)
{
    struct world *w = *state;
    struct store_error e;
    char other[96], fresh[96];
    snprintf(other, sizeof other, "%s/elsewhere", w->dir);
    snprintf(fresh, sizeof fresh, "%s/.mailboxmeta.new", w->dir);
    write_file(other, "a /private/x 1\n");
    assert_int_equal(symlink(other, w->file), 0);
    assert_int_equal(metadata_load(w->names, w->arena, &w->m, &e), -1);
    assert_int_equal(set(w, "a", "/private/y", STR("2"), &e), -1);
    unlink(w->file);
    assert_int_equal(mkfifo(w->file, 0600), 0);
    assert_int_equal(metadata_load(w->names, w->arena, &w->m, &e), -1);
    assert_int_equal(e.code, STORE_CANNOT);
    unlink(w->file);
    assert_int_equal(mkdir(w->file, 0700), 0);
    assert_int_equal(metadata_load(w->names, w->arena, &w->m, &e), -1);
    rmdir(w->file);
    /* the file beside it: of one that was killed, or a link */
    assert_int_equal(symlink(other, fresh), 0);
    assert_int_equal(set(w, "a", "/private/y", STR("2"), &e), 0);
    file_holds(w, "a /private/y 2\n");
    /* somebody holds the lock */
    const int dir = open(w->dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(dir, LOCK_EX), 0);
    assert_int_equal(set(w, "a", "/private/y", STR("3"), &e), -1);
    assert_int_equal(e.code, STORE_INUSE);
    close(dir);
    has(w, "a", "/private/y", "2");
}

static unsigned uses(struct world *w, const char *mailbox)
{
    struct special_uses u;
    load(w);
    special_uses_load(w->names, w->arena, &w->m, &u);
    return special_uses_of(&u, mailbox);
}

static void make(struct world *w, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    write_file(path, "");
}

static void test_special_use(void **state)
{
    struct world *w = *state;
    unsigned bits;
    assert_true(special_use_parse(STR("\\drafts \\SENT"), &bits));
    assert_int_equal(bits, USE_DRAFTS | USE_SENT);
    assert_true(special_use_parse(STR(""), &bits) && bits == 0);
    assert_false(special_use_parse(STR("\\Drafts "), &bits));
    assert_false(special_use_parse(STR(" \\Drafts"), &bits));
    assert_false(special_use_parse(STR("\\Drafts  \\Sent"), &bits));
    assert_false(special_use_parse(STR("\\Drafts Sent"), &bits));
    make(w, "sent-mail");
    make(w, "SENT");
    make(w, "Sent");
    make(w, "Deleted Items");
    make(w, "x");
    assert_int_equal(uses(w, "SENT"), USE_SENT);             /* the first of the names, in byte order */
    assert_int_equal(uses(w, "Sent") | uses(w, "sent-mail"), 0);
    assert_int_equal(uses(w, "Deleted Items"), USE_TRASH);
    /* of two lines the later; one whose mailbox is gone counts for nothing; nor does an empty one */
    write_file(w->file, "x /private/specialuse \\Sent \\Trash\nDeleted%20Items /private/specialuse \\Trash\ngone /private/specialuse \\Sent\n");
    assert_int_equal(uses(w, "x"), USE_SENT);
    assert_int_equal(uses(w, "Deleted Items"), USE_TRASH);
    assert_int_equal(uses(w, "SENT"), 0);
    write_file(w->file, "SENT /private/specialuse \"\"\n");
    assert_int_equal(uses(w, "Sent"), USE_SENT);
    char path[128];
    snprintf(path, sizeof path, "%s/Sent", w->dir);
    write_file(path, "no mailbox at all");
    assert_int_equal(uses(w, "Sent"), 0);
    assert_int_equal(uses(w, "sent-mail"), USE_SENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file, setup, teardown), cmocka_unit_test_setup_teardown(test_rename, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown), cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_special_use, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
