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
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include "auth/locker.h"
#include "store/dotlock.h"
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

/* The session says that the lock in the way is dead: believed only of the user's own, and of the file that was in the way. */
static void test_seize(void **state)
{
    struct stat st;
    (void)state;
    const int a = start();
    assert_int_equal(ask(a, LOCKER_SEIZE).err, 0);                /* nothing there: as LOCKER_LOCK */
    assert_int_equal(ask(a, LOCKER_UNLOCK).err, 0);
    close(open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_int_equal(ask(a, LOCKER_LOCK).err, EEXIST);
    assert_int_equal(ask(a, LOCKER_SEIZE).err, EEXIST);           /* root's */
    assert_int_equal(chown(lock, UID, UID), 0);
    assert_int_equal(ask(a, LOCKER_LOCK).err, EEXIST);
    const int pinned = open(lock, O_RDONLY | O_CLOEXEC);
    unlink(lock);
    close(open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_int_equal(chown(lock, UID, UID), 0);
    assert_int_equal(ask(a, LOCKER_SEIZE).err, EEXIST);           /* another file by now */
    close(pinned);
    assert_int_equal(ask(a, LOCKER_LOCK).err, EEXIST);
    assert_int_equal(ask(a, LOCKER_SEIZE).err, 0);
    assert_int_equal(stat(lock, &st), 0);
    assert_int_equal(st.st_size > 0 && st.st_nlink == 1, 1);
    assert_int_equal(ask(a, LOCKER_UNLOCK).err, 0);
    assert_int_not_equal(access(lock, F_OK), 0);
    stop(a);
}

static pid_t locker_of(pid_t parent)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *f = fopen(path, "re");
    if (f == NULL || fscanf(f, "%d", &pid) != 1)
        pid = 0;
    if (f != NULL)
        fclose(f);
    return (pid_t)pid;
}

/* A session and its locker both killed leave a lock; the next session need not wait until it is stale. */
static void test_killed(void **state)
{
    int ends[2], status;
    pid_t locker;
    (void)state;
    const int dir = open(spool, O_PATH | O_CLOEXEC), a = start();
    struct dotlock *next = dotlock_new(dir, "alex", a);
    assert_int_equal(pipe(ends), 0);
    const pid_t session = fork();
    if (session == 0) {
        struct dotlock *d = dotlock_new(dir, "alex", start());
        locker = locker_of(getpid());
        if (dotlock_take(d) != DOTLOCK_HAD || write(ends[1], &locker, sizeof locker) != sizeof locker)
            _exit(1);
        pause();
    }
    assert_int_equal(read(ends[0], &locker, sizeof locker), sizeof locker);
    assert_true(locker > 0);
    assert_int_equal(dotlock_take(next), DOTLOCK_BUSY);
    kill(locker, SIGKILL);
    kill(session, SIGKILL);
    assert_int_equal(waitpid(session, &status, 0), session);
    assert_int_equal(access(lock, F_OK), 0);
    for (int i = 0; i < 100 && dotlock_is_busy(next); i++)        /* the locker's end is not ours to wait for */
        usleep(20000);
    assert_int_equal(dotlock_take(next), DOTLOCK_HAD);
    dotlock_free(next);
    assert_int_not_equal(access(lock, F_OK), 0);
    stop(a);
    close(ends[0]);
    close(ends[1]);
    close(dir);
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
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lock), cmocka_unit_test(test_stale), cmocka_unit_test(test_seize),
        cmocka_unit_test(test_killed), cmocka_unit_test(test_nonsense) };
    if (geteuid() != 0) {
        puts("skipped: needs root");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
