/* auth/monitor.c against a greeter that a client has taken over: whatever it sends, nobody gets in without the password. Runs
 * as root only; each scenario is a process, because one that is let in becomes the user for good. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "auth/auth.h"
#include "auth/become.h"
#include "auth/channel.h"
#include "base/hmac.h"

enum { UID = 61234 };
enum outcome { REFUSED, GRANTED, STILL_ROOT };
/* of "firetruck" */
#define HASH "$6$rounds=1000$qwertyui$PcFrIedLMTJ34u.KhtiO9cwY1hpvnjfy.XwVLywXmQE.IuR4wcyRnSheTXpS.pwDtNl7lGyxTlHsxeUZlCJhB1"
#define VERIFIER "scram-sha-256=4096,W22ZaJ0SNY7soEsUEjb6gQ==,PB0yo1muELPzWHsSS5YU9SSn4LzC9/TR9pvFv6+yTzI=,UEZ4sTiu39fXfkz5ToYTHZS3QAOYZlIUnHsCNrDudn8="
#define SALT "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"
static char dir[] = "/tmp/unit_monitor.XXXXXX", users[64], conf[64];

#define FRAME(s) (void)!write(channel, s, sizeof s - 1)
#define LOGIN "L\0\5PLAIN\0\0\0\4alex\0\11firetruck"
#define WRONG "L\0\5PLAIN\0\0\0\4alex\0\5wrong"

static void reply(int channel)
{
    char answer[2];
    if (read(channel, answer, 2) != 2)
        _exit(0);
}

static void honest(int channel)
{
    FRAME(LOGIN);
    reply(channel);
    FRAME("P\0\3abc");
    FRAME("P\0\2de");
    FRAME("D\0\2a1");
}
static void honest_but_stays(int channel)
{
    honest(channel);
    for (;;)
        reply(0);
}
static void second_time_right(int channel)
{
    FRAME(WRONG);
    reply(channel);
    honest(channel);
}
static void only_done(int channel) { FRAME("D\0\2a1"); }
static void only_pending(int channel) { FRAME("P\0\3abc"); reply(channel); }
static void wrong_then_done(int channel)
{
    FRAME(WRONG);
    reply(channel);
    FRAME("D\0\2a1");
}
static void unasked_proxy(int channel) { FRAME("X\0\11192.0.2.1\0\1y"); reply(channel); FRAME(LOGIN); }
static void login_twice(int channel) { FRAME(LOGIN); reply(channel); FRAME(LOGIN); reply(channel); FRAME("D\0\2a1"); }
static void no_tag(int channel) { FRAME(LOGIN); reply(channel); FRAME("D\0\0"); }
static void gone_when_granted(int channel) { FRAME(LOGIN); reply(channel); }
static void empty_frame(int channel) { (void)!write(channel, "", 0); reply(channel); }
static void other_identity(int channel) { FRAME("L\0\5PLAIN\0\3bob\0\4alex\0\11firetruck"); reply(channel); FRAME("D\0\2a1"); }
static void too_large(int channel)
{
    static char frame[CHANNEL_FRAME_MAX + 10];
    memset(frame, 'P', sizeof frame);
    (void)!write(channel, frame, sizeof frame);
    reply(channel);
}
static void endless_pending(int channel)
{
    static char frame[3 + 16000] = { 'P', 16000 >> 8, (char)(16000 & 0xff) };
    FRAME(LOGIN);
    reply(channel);
    for (int i = 0; i < 200; i++)
        if (write(channel, frame, sizeof frame) < 0)
            return;
    FRAME("D\0\2a1");
}
static void many_attempts(int channel)
{
    for (int i = 0; i < 5; i++) {
        FRAME(WRONG);
        reply(channel);
    }
    honest(channel);
}

static void unasked_tls(int channel) { FRAME("T"); reply(channel); honest(channel); }
static void no_certificate(int channel) { FRAME("E\0\4alex"); reply(channel); FRAME("D\0\2a1"); }
static void not_anonymous(int channel) { FRAME("A\0\4alex"); reply(channel); FRAME("D\0\2a1"); }
static void unasked_proof(int channel) { FRAME("F\0\1x"); reply(channel); honest(channel); }
static void unasked_claim(int channel) { FRAME("C"); reply(channel); FRAME("D\0\2a1"); }
static void unasked_step(int channel) { FRAME("N\0\1x"); reply(channel); honest(channel); }
static void no_such_mechanism(int channel) { FRAME("M\0\3XYZ\0\1x"); reply(channel); FRAME("D\0\2a1"); }
static void no_tokens(int channel) { FRAME("M\0\13OAUTHBEARER\0\1x"); reply(channel); honest(channel); }

#define SCRAM(authzid, user, gs2) "S\0\15SCRAM-SHA-256" gs2 authzid user "\0\14n=alex,r=abc"
#define SCRAM_ALEX SCRAM("\0\0", "\0\4alex", "\0\3n,,")

/* As a client does it who knows the password: the proof for what the monitor answers to SCRAM_ALEX. */
static void prove(int channel, unsigned char frame[3 + 32])
{
    char answer[300], message[800], nonce[100];
    unsigned char salted[32], key[32], stored[32], signature[32];
    const ssize_t n = read(channel, answer, sizeof answer - 1);
    if (n < 3 || answer[0] != CHANNEL_CONTINUE)
        _exit(0);
    answer[n] = '\0';
    snprintf(nonce, sizeof nonce, "%.*s", (int)strcspn(answer + 2, ","), answer + 2);
    snprintf(message, sizeof message, "n=alex,r=abc,%s,c=biws,%s", answer + 2, nonce);
    hmac_pbkdf2(HMAC_SHA_256, "firetruck", 9, SALT, 16, 4096, salted);
    hmac_of(HMAC_SHA_256, salted, 32, "Client Key", 10, key);
    hmac_hash_of(HMAC_SHA_256, key, 32, stored);
    hmac_of(HMAC_SHA_256, stored, 32, message, strlen(message), signature);
    memcpy(frame, "F\0\40", 3);
    for (int i = 0; i < 32; i++)
        frame[3 + i] = key[i] ^ signature[i];
}

static void scram(int channel)
{
    unsigned char proof[3 + 32];
    FRAME(SCRAM_ALEX);
    prove(channel, proof);
    (void)!write(channel, proof, sizeof proof);
    reply(channel);
    FRAME("C");
    reply(channel);
    FRAME("P\0\5abcde");
    FRAME("D\0\2a1");
}
static void scram_not_claimed(int channel)
{
    unsigned char proof[3 + 32];
    FRAME(SCRAM_ALEX);
    prove(channel, proof);
    (void)!write(channel, proof, sizeof proof);
    reply(channel);
    FRAME("D\0\2a1");
}
static void scram_again(int channel)
{
    unsigned char proof[3 + 32];
    FRAME(SCRAM_ALEX);
    prove(channel, proof);
    (void)!write(channel, proof, sizeof proof);
    reply(channel);
    FRAME(SCRAM_ALEX);
    reply(channel);
    (void)!write(channel, proof, sizeof proof);
    reply(channel);
    FRAME("C");
    reply(channel);
    FRAME("D\0\2a1");
}
static void scram_wrong(int channel) { FRAME(SCRAM_ALEX); reply(channel); FRAME("F\0\0"); reply(channel); FRAME("C"); reply(channel); FRAME("D\0\2a1"); }
static void scram_not_proved(int channel) { FRAME(SCRAM_ALEX); reply(channel); FRAME("C"); reply(channel); FRAME("D\0\2a1"); }
static void scram_only_done(int channel) { FRAME(SCRAM_ALEX); reply(channel); FRAME("D\0\2a1"); }
/* What the client has said is not what the greeter says: so there is nothing to prove. */
static void scram_for_other(int channel)
{
    unsigned char proof[3 + 32];
    FRAME(SCRAM("\0\3bob", "\0\4alex", "\0\3n,,"));
    prove(channel, proof);
    honest(channel);
}
static void scram_as_other(int channel)
{
    unsigned char proof[3 + 32];
    FRAME(SCRAM("\0\0", "\0\3bob", "\0\3n,,"));
    prove(channel, proof);
    honest(channel);
}
static void scram_then_password(int channel) { FRAME(SCRAM_ALEX); reply(channel); honest(channel); }

static const struct scenario {
    const char *name;
    void (*greeter)(int channel);
    enum outcome outcome;
} scenarios[] = {
#define SCENARIO(f, o) { #f, f, o }
    SCENARIO(honest, GRANTED), SCENARIO(honest_but_stays, GRANTED), SCENARIO(second_time_right, GRANTED),
    SCENARIO(only_done, REFUSED), SCENARIO(only_pending, REFUSED), SCENARIO(wrong_then_done, REFUSED),
    SCENARIO(unasked_proxy, REFUSED), SCENARIO(login_twice, REFUSED), SCENARIO(no_tag, REFUSED),
    SCENARIO(gone_when_granted, REFUSED), SCENARIO(empty_frame, REFUSED), SCENARIO(other_identity, REFUSED),
    SCENARIO(too_large, REFUSED), SCENARIO(endless_pending, REFUSED), SCENARIO(many_attempts, REFUSED),
    SCENARIO(unasked_tls, REFUSED), SCENARIO(no_certificate, REFUSED), SCENARIO(not_anonymous, REFUSED), SCENARIO(unasked_proof, REFUSED),
    SCENARIO(unasked_claim, REFUSED), SCENARIO(unasked_step, REFUSED), SCENARIO(no_such_mechanism, REFUSED), SCENARIO(no_tokens, GRANTED),
    SCENARIO(scram, GRANTED), SCENARIO(scram_not_claimed, REFUSED), SCENARIO(scram_again, REFUSED), SCENARIO(scram_wrong, REFUSED),
    SCENARIO(scram_not_proved, REFUSED), SCENARIO(scram_only_done, REFUSED), SCENARIO(scram_for_other, REFUSED), SCENARIO(scram_as_other, REFUSED),
    SCENARIO(scram_then_password, GRANTED),
};

static void do_nothing(void *ctx)
{
    (void)ctx;
}

static void run_greeter(void *ctx, const struct peer *peer, bool greeted, int in, int out, int channel)
{
    (void)peer;
    (void)greeted;
    (void)in;
    (void)out;
    ((const struct scenario *)ctx)->greeter(channel);
}

/* In a process of its own: what came of it. */
static enum outcome run(const struct scenario *s)
{
    struct config c;
    char err[200];
    struct scenario copy = *s;
    struct peer peer = { .secure = true, .address = "local" };
    struct account account = { 0 };
    struct buf tag = { 0 }, pending = { 0 };
    const struct monitor_hooks hooks = { .greet = run_greeter, .meanwhile = do_nothing, .ctx = &copy };
    int locker = -1;
    if (config_read(&c, conf, false, err, sizeof err) != 0)
        return STILL_ROOT;
    const int result = monitor_ask(&c, &peer, false, true, &hooks, &account, &tag, &pending) == 0 ? become_user(&c, &account, &locker) : -1;
    enum outcome outcome = REFUSED;
    if (result == 0)
        outcome = geteuid() == UID && getuid() == UID && getegid() == UID && setuid(0) != 0 && str_eq(buf_str(&tag), STR("a1")) &&
                  str_eq(buf_str(&pending), STR("abcde")) && strcmp(account.name, "alex") == 0 ? GRANTED : STILL_ROOT;
    account_free(&account);
    buf_free(&tag);
    buf_free(&pending);
    config_free(&c);
    return outcome;
}

static void test_scenarios(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        int status = 0;
        const time_t start = time(NULL);
        const pid_t pid = fork();
        if (pid == 0)
            _exit((int)run(&scenarios[i]));
        assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
        print_message("%s\n", scenarios[i].name);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), scenarios[i].outcome);
        assert_in_range(time(NULL) - start, 0, 8);
    }
}

static void put(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int setup(void **state)
{
    char text[512];
    (void)state;
    if (mkdtemp(dir) == NULL || chmod(dir, 0755) != 0)
        return -1;
    snprintf(users, sizeof users, "%s/users", dir);
    snprintf(conf, sizeof conf, "%s/conf", dir);
    snprintf(text, sizeof text, "alex:" HASH ":%d:%d::/nonexistent::" VERIFIER "\n", UID, UID);
    put(users, text);
    snprintf(text, sizeof text, "passwd-file = %s\nsystem-users = no\nlogin-delay = 10\ninbox = %%h/inbox\ngreeter-root = %s/empty\n",
             users, dir);
    put(conf, text);
    return 0;
}

static int teardown(void **state)
{
    char empty[80];
    (void)state;
    snprintf(empty, sizeof empty, "%s/empty", dir);
    unlink(users);
    unlink(conf);
    rmdir(empty);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_scenarios) };
    if (geteuid() != 0) {
        puts("skipped: needs root");
        return 0;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
