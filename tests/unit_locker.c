/* auth/locker.c: the dotlock of an INBOX in a spool that the user cannot write. Runs as root only, the locker changes its user. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include "auth/locker.h"
#include "store/locker_proto.h"

enum { UID = 61234, SPOOL_GID = 61235 };
static char spool[] = "/tmp/unit_locker.XXXXXX", inbox[64], lock[80];

static struct locker_reply ask(int fd, char request)
{
    struct locker_reply r = { -1, -1, -1 };
    assert_int_equal(write(fd, &request, 1), 1);
    assert_int_equal(recv(fd, &r, sizeof r, MSG_WAITALL), sizeof r);
    return r;
}

static int start(void)
{
    char name[] = "alex", home[] = "/nonexistent";
    const struct account a = { name, home, UID, UID, false };
    return locker_start(&a, SPOOL_GID, inbox);
}

static void stop(int fd)
{
    int status;
    close(fd);
    assert_true(wait(&status) > 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(spool) == NULL || chown(spool, 0, SPOOL_GID) != 0 || chmod(spool, 02775) != 0)
        return -1;
    snprintf(inbox, sizeof inbox, "%s/alex", spool);
    snprintf(lock, sizeof lock, "%s.lock", inbox);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(lock);
    unlink(inbox);
    return rmdir(spool);                          /* fails if anything else was left there */
}

static void test_lock(void **state)
{
    struct stat st;
    (void)state;
    const int a = start(), b = start();
    char content[32] = "";
    assert_true(a >= 0 && b >= 0);
    assert_int_equal(ask(a, LOCKER_TOUCH).err, ENOENT);
    assert_int_equal(ask(a, LOCKER_UNLOCK).err, 0);
    assert_int_equal(ask(a, LOCKER_LOCK).err, 0);
    assert_int_equal(ask(a, LOCKER_LOCK).err, 0);                 /* it has it */
    assert_int_equal(stat(lock, &st), 0);
    assert_int_equal(st.st_uid, UID);
    assert_int_equal(st.st_nlink, 1);
    FILE *f = fopen(lock, "r");
    assert_true(f != NULL && fgets(content, sizeof content, f) != NULL);
    fclose(f);
    assert_int_equal(atoi(content), getpid());
    const struct locker_reply held = ask(b, LOCKER_LOCK);
    assert_int_equal(held.err, EEXIST);
    assert_in_range(held.age_seconds, 0, 5);
    assert_int_equal(ask(b, LOCKER_UNLOCK).err, 0);               /* not his: stays */
    assert_int_equal(access(lock, F_OK), 0);
    assert_int_equal(ask(a, LOCKER_UNLOCK).err, 0);
    assert_int_equal(ask(b, LOCKER_LOCK).err, 0);
    stop(b);                                                      /* ends, and its lock with it */
    assert_int_not_equal(access(lock, F_OK), 0);
    assert_int_equal(ask(a, LOCKER_LOCK).err, 0);
    stop(a);
    assert_int_not_equal(access(lock, F_OK), 0);
    assert_int_equal(stat(inbox, &st), 0);                        /* the missing INBOX was made */
    assert_int_equal(st.st_uid, UID);
    assert_int_equal(st.st_gid, SPOOL_GID);
    assert_int_equal(st.st_mode & 07777, 0660);
}

static void set_age(time_t seconds)
{
    const struct timeval t[2] = { { time(NULL) - seconds, 0 }, { time(NULL) - seconds, 0 } };
    assert_int_equal(utimes(lock, t), 0);
}

static void test_stale(void **state)
{
    struct stat st;
    (void)state;
    const int a = start();
    close(open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    set_age(200);
    const struct locker_reply held = ask(a, LOCKER_LOCK);
    assert_int_equal(held.err, EEXIST);
    assert_in_range(held.age_seconds, 199, 205);
    set_age(400);
    assert_int_equal(ask(a, LOCKER_LOCK).err, 0);
    set_age(250);
    assert_int_equal(ask(a, LOCKER_TOUCH).err, 0);
    assert_int_equal(stat(lock, &st), 0);
    assert_in_range(time(NULL) - st.st_mtime, 0, 5);
    unlink(lock);                                                 /* stolen from us: we know, and leave the thief's alone */
    close(open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_int_equal(ask(a, LOCKER_TOUCH).err, ENOENT);
    assert_int_equal(ask(a, LOCKER_UNLOCK).err, 0);
    assert_int_equal(access(lock, F_OK), 0);
    stop(a);
    assert_int_equal(access(lock, F_OK), 0);
    unlink(lock);
}

static void test_nonsense(void **state)
{
    (void)state;
    const int a = start();
    struct locker_reply r;
    assert_int_equal(write(a, "X", 1), 1);
    assert_int_equal(recv(a, &r, sizeof r, 0), 0);                /* it ends */
    stop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lock), cmocka_unit_test(test_stale), cmocka_unit_test(test_nonsense) };
    if (geteuid() != 0) {
        puts("skipped: needs root");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
