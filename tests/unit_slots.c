/* base/slot.c and auth/slots.c: a reader never takes half a name; a file belongs to a process that lives; damaged files, and a session
 * that reaches for its neighbours. Runs as root only, but for the first ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "auth/census.h"
#include "auth/slots.h"
#include "base/process.h"

static char dir[64], state[80], sessions[96];

static int setup(void **unused)
{
    (void)unused;
    strcpy(dir, "/tmp/unit_slots.XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(state, sizeof state, "%s/state", dir);
    snprintf(sessions, sizeof sessions, "%s.sessions", state);
    return 0;
}

static int teardown(void **unused)
{
    char command[200];
    (void)unused;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void need_root(void)
{
    if (geteuid() != 0)
        skip();
}

static void texts(void **unused)
{
    (void)unused;
    static const struct { const char *in, *out; } rows[] = {
        { "", "" }, { "INBOX", "INBOX" }, { "gr\xc3\xbc\xc3\x9f" "e", "gr\xc3\xbc\xc3\x9f" "e" }, { "\xf0\x9f\x93\xa7", "\xf0\x9f\x93\xa7" },
        { "a\xff" "b", "a?b" }, { "\xc0\x80", "??" }, { "\xed\xa0\x80", "???" }, { "\xf4\x90\x80\x80", "????" }, { "\xe2\x80", "??" },
        { "\x80", "?" }, { "a\nb", "a\nb" }
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[32];
        strcpy(text, rows[i].in);
        slot_clean(text, sizeof text);
        assert_string_equal(text, rows[i].out);
    }
    char full[8];
    memset(full, 'x', sizeof full);
    slot_clean(full, sizeof full);
    assert_string_equal(full, "xxxxxxx");
}

static void long_names_are_cut(void **unused)
{
    (void)unused;
    struct slot s = { 0 };
    char name[2000];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    slot_command(&s, name, 7, &(struct slot_counts){ 1, 2, 3, 4, 5 });
    slot_mailbox(&s, name);
    assert_int_equal(strlen(s.command), SLOT_COMMAND - 1);
    assert_int_equal(strlen(s.mailbox), SLOT_MAILBOX - 1);
    assert_int_equal(s.since, 7);
    assert_int_equal(s.appended, 5);
    assert_int_equal(s.sequence % 2, 0);
    slot_command(NULL, "NOOP", 0, &(struct slot_counts){ 0 });
    slot_mailbox(NULL, "");
    slot_tell(NULL, &(struct slot_counts){ 0 });
}

/* One process writes names of one letter each and numbers that are all the same, another one reads. */
static void never_half(void **unused)
{
    (void)unused;
    enum { READS = 20000 };
    const int fd = memfd_create("slot", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, sizeof(struct slot)), 0);
    struct slot *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(s, MAP_FAILED);
    const pid_t writer = fork();
    if (writer == 0) {
        char name[SLOT_MAILBOX];
        for (uint64_t n = 0;; n++) {
            const size_t length = n % (SLOT_MAILBOX - 1);
            memset(name, 'a' + (int)(n % 26), length);
            name[length] = '\0';
            slot_mailbox(s, name);
            slot_tell(s, &(struct slot_counts){ n, n, n, n, n });
            if (n % 64 == 0)
                usleep(1);             /* else the reader finds it at rest seldom, on some machines */
        }
    }
    unsigned named = 0;
    for (int i = 0; i < READS; i++) {
        struct slot got;
        assert_true(slot_read(fd, 0, &got));
        for (size_t k = 1; k < strlen(got.mailbox); k++)
            assert_int_equal(got.mailbox[k], got.mailbox[0]);
        named += got.mailbox[0] != '\0';
        if (got.mailbox[0] != '\0') {
            assert_int_equal(got.commands, got.appended);
            assert_int_equal(got.octets_in, got.fetched);
        }
    }
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
    assert_true(named > READS / 100);
    munmap(s, sizeof *s);
    close(fd);
}

struct seen {
    unsigned n;
    struct slot_seen last;
};

static void on_slot(void *ctx, const struct slot_seen *s)
{
    struct seen *to = ctx;
    to->n++;
    to->last = *s;
}

static struct seen look(void)
{
    struct seen s = { 0 };
    assert_int_equal(slots_each(state, on_slot, &s), 0);
    return s;
}

/* A process with a slot, which waits to be killed. */
static pid_t session(const char *user, void (*then)(struct slot *))
{
    int ends[2];
    char c;
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct slot *s = slots_take(state, user, "192.0.2.1", true);
        if (s == NULL)
            _exit(9);
        slot_command(s, "FETCH", 100, &(struct slot_counts){ 1, 20, 300, 4000, 50000 });
        slot_mailbox(s, "INBOX");
        if (then != NULL)
            then(s);
        (void)!write(ends[1], "x", 1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &c, 1), 1);
    close(ends[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static unsigned files(void)
{
    unsigned n = 0;
    DIR *d = opendir(sessions);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n;
}

static void a_session(void **unused)
{
    (void)unused;
    need_root();
    struct census_totals t;
    struct stat st;
    assert_int_equal(look().n, 0);
    const pid_t one = session("alice", NULL), two = session("bob", NULL);
    assert_int_equal(look().n, 2);
    assert_int_equal(stat(sessions, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    end(two);
    const struct seen s = look();
    assert_int_equal(s.n, 1);
    assert_int_equal(s.last.pid, one);
    assert_string_equal(s.last.owner.user, "alice");
    assert_string_equal(s.last.owner.address, "192.0.2.1");
    assert_int_equal(s.last.owner.tls, 1);
    assert_string_equal(s.last.slot.command, "FETCH");
    assert_string_equal(s.last.slot.mailbox, "INBOX");
    assert_int_equal(s.last.slot.octets_out, 300);
    end(one);
    assert_int_equal(look().n, 0);
    assert_int_equal(files(), 0);
    assert_int_equal(census_read_totals(state, &t), 0);
    assert_int_equal(t.ended, 2);
    assert_int_equal(t.octets_out, 600);
    assert_int_equal(t.appended, 100000);
    assert_int_equal(look().n, 0);
    assert_int_equal(census_read_totals(state, &t), 0);
    assert_int_equal(t.ended, 2);
}

/* The name says when the session began: a process of that number that is younger is another one. */
static void number_used_again(void **unused)
{
    (void)unused;
    need_root();
    char from[400], to[400], name[256] = "";
    struct process p;
    const pid_t one = session("alice", NULL);
    DIR *d = opendir(sessions);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.')
            snprintf(name, sizeof name, "%s", e->d_name);
    closedir(d);
    assert_true(process_look(one, &p));
    assert_int_equal(strtol(name, NULL, 10), one);
    snprintf(from, sizeof from, "%s/%s", sessions, name);
    snprintf(to, sizeof to, "%s/%d-%lld", sessions, (int)one, (long long)p.began - 1000);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(look().n, 0);
    assert_int_equal(files(), 0);
    end(one);
}

/* A mapping can grow, but over nothing that is another's. */
static sigjmp_buf back;
static void on_fault(int number)
{
    siglongjmp(back, number);
}

static void reach(struct slot *s)
{
    enum { FAR = 1 << 17 };
    volatile char *p = mremap(s, sizeof *s, 2 * FAR, MREMAP_MAYMOVE);
    signal(SIGBUS, on_fault);
    signal(SIGSEGV, on_fault);
    if (p != MAP_FAILED && sigsetjmp(back, 1) == 0) {
        p[FAR] = 'x';
        _exit(8);
    }
}

static void neighbours(void **unused)
{
    (void)unused;
    need_root();
    const pid_t one = session("alice", NULL), two = session("mallory", reach), three = session("bob", NULL);
    assert_int_equal(look().n, 3);
    end(one);
    end(two);
    end(three);
    assert_int_equal(look().n, 0);
}

static void damaged(void **unused)
{
    (void)unused;
    need_root();
    static const char *const names[] = { "x", "1", "-", "1-", "-1-2", "1-x", "99999999999999999999-1", "1-99999999999999999999", "4-5 ", "1-1" };
    char path[200];
    const pid_t one = session("alice", NULL);
    const long long now = process_now();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", sessions, names[i]);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    /* of this process, which lives: empty, a directory, a pipe, a link */
    snprintf(path, sizeof path, "%s/%d-%lld", sessions, (int)getpid(), now);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(look().n, 1);
    assert_int_equal(truncate(path, 300), 0);
    assert_int_equal(look().n, 1);
    assert_int_equal(truncate(path, 1 << 20), 0);
    assert_int_equal(look().n, 1);                       /* of no user */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(look().n, 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_int_equal(look().n, 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(look().n, 1);
    end(one);
    assert_int_equal(chmod(sessions, 0755), 0);
    errno = 0;
    struct seen s = { 0 };
    assert_int_equal(slots_each(state, on_slot, &s), -1);
    assert_int_equal(errno, EPERM);
    assert_null(slots_take(state, "alice", "local", false));
    assert_null(slots_take("", "alice", "local", false));
    assert_int_equal(slots_each(NULL, on_slot, &s), 0);
}

static void a_false_state_file(void **unused)
{
    (void)unused;
    need_root();
    struct census_totals t;
    errno = 0;
    assert_int_equal(census_read_totals(state, &t), -1);
    assert_int_equal(errno, ENOENT);
    close(open(state, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(census_read_totals(state, &t), -1);
    assert_int_equal(truncate(state, 1 << 18), 0);
    assert_int_equal(census_read_totals(state, &t), -1);
    assert_int_equal(unlink(state), 0);
    assert_true(census_arrive(state, "192.0.2.1", 0));
    assert_true(census_login(state, "alice", 0));
    census_fail(state, "192.0.2.1");
    assert_int_equal(census_read_totals(state, &t), 0);
    assert_int_equal(t.connections, 1);
    assert_int_equal(t.logins, 1);
    assert_int_equal(t.logins_refused, 1);
    assert_int_equal(t.connections_refused, 0);
}

/* What sessions leave behind does not grow for ever, though nobody looks. */
static void swept(void **unused)
{
    (void)unused;
    need_root();
    enum { SESSIONS = 1500 };
    for (int i = 0; i < SESSIONS; i++) {
        const pid_t pid = fork();
        if (pid == 0)
            _exit(slots_take(state, "alice", "local", false) != NULL ? 0 : 1);
        int status;
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
    }
    assert_true(files() < SESSIONS);
    assert_int_equal(look().n, 0);
    struct census_totals t;
    assert_int_equal(census_read_totals(state, &t), 0);
    assert_int_equal(t.ended, SESSIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(never_half),
        cmocka_unit_test_setup_teardown(a_session, setup, teardown),
        cmocka_unit_test_setup_teardown(number_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(neighbours, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(a_false_state_file, setup, teardown),
        cmocka_unit_test_setup_teardown(swept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
