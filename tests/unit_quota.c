/*
 * Quota roots, with a kernel that says what the test wants: which limit counts, what is no root, names of roots. And what
 * EXPUNGE would free.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mailbox.h"
#include "store/quota.h"

enum { QUOTACTL_FD = 443 };
static struct dqblk user_quota, group_quota;
static int user_error, group_error;

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

/* quotactl_fd(2): the quota of the asker, whatever descriptor. */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number != QUOTACTL_FD)
        return __real_syscall(number, a, b, c, d, e, f);
    const int type = (int)((unsigned long)b & 0xff);
    const int err = type == USRQUOTA ? user_error : group_error;
    assert_int_equal((unsigned)b >> 8, (unsigned)Q_GETQUOTA & 0xffffff);
    if (err == 0 && (unsigned)c == (type == USRQUOTA ? geteuid() : getegid())) {
        memcpy((void *)d, type == USRQUOTA ? &user_quota : &group_quota, sizeof user_quota);
        return 0;
    }
    errno = err != 0 ? err : EPERM;
    return -1;
}

struct world {
    char dir[64], inbox[96], index[96];
    struct store_settings settings;
    struct store *store;
};

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    struct store_error e;
    snprintf(w->dir, sizeof w->dir, "/tmp/unit_quota.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->inbox, sizeof w->inbox, "%s/inbox", w->dir);
    snprintf(w->index, sizeof w->index, "%s/.imapd", w->dir);
    w->settings = (struct store_settings){ .user = "u", .home = w->dir, .inbox_path = w->inbox, .mail_root = "",
        .index_dir = w->index, .lock_timeout = 2, .seal_limit = 1 << 20, .list_depth = 8, .list_count = 1000, .locker_fd = -1 };
    assert_int_equal(store_open(&w->store, &w->settings, NULL, &e), 0);
    user_quota = group_quota = (struct dqblk){ 0 };
    user_error = group_error = 0;
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

static size_t roots_of(struct world *w, const char *mailbox, struct quota_root roots[QUOTA_ROOTS])
{
    struct mailbox_name name;
    struct store_error e;
    size_t n;
    assert_int_equal(names_parse(store_names(w->store), str_z(mailbox), &name, NULL, &e), 0);
    assert_int_equal(quota_of_mailbox(w->store, &name, roots, &n, &e), 0);
    return n;
}

static void no_roots(void **state)
{
    struct quota_root roots[QUOTA_ROOTS];
    struct store_error e;
    assert_int_equal(roots_of(*state, "INBOX", roots), 0);      /* quotas, no limits */
    static const int errors[] = { ENOSYS, ESRCH, EPERM, EINVAL };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        user_error = group_error = errors[i];
        assert_int_equal(roots_of(*state, "INBOX", roots), 0);
        assert_int_equal(roots_of(*state, "a/b/c", roots), 0);
        assert_int_equal(quota_get(((struct world *)*state)->store, STR("home"), &roots[0], &e), -1);
        assert_int_equal(e.code, STORE_CANNOT);
    }
}

static void which_limit(void **state)
{
    struct quota_root roots[QUOTA_ROOTS];
    const uint64_t now = (uint64_t)time(NULL);
    const struct { uint64_t soft, hard, space, until, used, limit; } cases[] = {
        { 0, 100, 0, 0, 0, 100 }, { 0, 100, 1, 0, 1, 100 }, { 0, 100, 1024, 0, 1, 100 }, { 0, 100, 1025, 0, 2, 100 },
        { 50, 100, 1024, 0, 1, 100 }, { 50, 0, 1024, 0, 1, 50 }, { 50, 100, 60 * 1024, now + 1000, 60, 100 },
        { 50, 100, 60 * 1024, now - 10, 60, 50 }, { 50, 100, 60 * 1024, 0, 60, 100 }, { 50, 100, 50 * 1024, now - 10, 50, 100 },
        { 0, UINT64_C(1) << 40, UINT64_C(1) << 49, 0, UINT64_C(1) << 39, UINT64_C(1) << 40 },
    };
    group_error = ESRCH;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        user_quota = (struct dqblk){ .dqb_bsoftlimit = cases[i].soft, .dqb_bhardlimit = cases[i].hard, .dqb_curspace = cases[i].space,
                                     .dqb_btime = cases[i].until };
        assert_int_equal(roots_of(*state, "a/b", roots), 1);
        assert_string_equal(roots[0].name, "home");
        assert_int_equal(roots[0].used, cases[i].used);
        assert_int_equal(roots[0].limit, cases[i].limit);
    }
}

static void names_of_roots(void **state)
{
    struct world *w = *state;
    struct quota_root roots[QUOTA_ROOTS], root;
    struct store_error e;
    user_quota.dqb_bhardlimit = 7;
    group_quota.dqb_bhardlimit = 9;
    assert_int_equal(roots_of(w, "none", roots), 2);
    assert_string_equal(roots[0].name, "home");
    assert_memory_equal(roots[1].name, "home/$", 6);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(quota_get(w->store, str_z(roots[i].name), &root, &e), 0);
        assert_string_equal(root.name, roots[i].name);
        assert_int_equal(root.limit, roots[i].limit);
        assert_int_equal(root.limit, i == 0 ? 7 : 9);
    }
    char spool[QUOTA_NAME_MAX * 2];
    snprintf(spool, sizeof spool, "spool%s", roots[1].name + 4);
    assert_int_equal(quota_get(w->store, str_z(spool), &root, &e), 0);
    static const char *const none[] = { "", "hom", "home/", "home/x", "home/$", "home/$#1x", "$", "/", "folder", "folder/", "folder/x/../..",
                                        "folder//etc", "folder/none", "folder/INBOX", "home/$#4294967295" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(quota_get(w->store, str_z(none[i]), &root, &e), -1);
    char longest[2 * QUOTA_NAME_MAX];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(quota_get(w->store, (struct str){ longest, sizeof longest }, &root, &e), -1);
}

static void deleted_storage(void **state)
{
    struct world *w = *state;
    struct mailbox_name name;
    struct mailbox *m;
    struct store_error e;
    uint64_t octets;
    static const char text[] = "From a@b Mon Nov 23 10:00:00 2026\nSubject: x\n\nbody\n\n";
    FILE *f = fopen(w->inbox, "w");
    for (int i = 0; i < 1000; i++)
        fputs(text, f);
    fclose(f);
    assert_int_equal(names_parse(store_names(w->store), STR("INBOX"), &name, NULL, &e), 0);
    assert_int_equal(mailbox_deleted_storage(w->store, &name, &octets, &e), 0);
    assert_int_equal(octets, 0);
    assert_int_equal(mailbox_open(w->store, &name, false, &m, &e), 0);
    const uint32_t seqs[] = { 1, 300, 301, 1000 };
    const struct flag_change change = { .mode = 1, .flags = FLAG_DELETED };
    assert_int_equal(mailbox_store(m, seqs, 4, &change, NULL, NULL, NULL, &e), 0);
    assert_int_equal(mailbox_deleted_storage(w->store, &name, &octets, &e), 0);
    assert_int_equal(octets, 4 * (sizeof text - 1));
    assert_int_equal(mailbox_expunge(m, NULL, 0, NULL, &e), 0);
    mailbox_close(m);
    assert_int_equal(mailbox_deleted_storage(w->store, &name, &octets, &e), 0);
    assert_int_equal(octets, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_roots, setup, teardown),
        cmocka_unit_test_setup_teardown(which_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(names_of_roots, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_storage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
