/*
 * Runs as root: who may come in. Each handler takes what the greeter brings (names, passwords, proofs: octets with bounds), asks a
 * database or a mechanism process, and answers with a verdict. Which mechanisms a connection may try does not depend on what the
 * greeter has told the client.
 *
 * A wrong one is answered login-delay after it came, and that doubles with each that came from the address since somebody came in from
 * there: the answer's time is set by the clock, not by how long the check took.
 */
#include "auth/monitor.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/census.h"
#include "base/log.h"
#include "base/mechanisms.h"
#include "base/record.h"

/* Client octets for a log line whose words a script takes apart: no space, bracket or backslash gets through as it is. */
static const char *safe(char *out, size_t size, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; i < s.n && n + 5 < size; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c > ' ' && c < 0x7f && c != '<' && c != '>' && c != '\\' && c != '=') {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    out[n] = '\0';
    return out;
}

/* Waits until the time `until`, or until the greeter is gone. To the microsecond: a wait of whole milliseconds would end as much later
 * as what came before it took. */
static void hold(const struct monitor *m, int64_t until)
{
    enum { MS = 1000000, SECOND = 1000 * MS };
    struct pollfd gone = { .fd = m->channel, .events = 0 };
    struct timespec t, wait;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        const int64_t left = until * MS - ((int64_t)t.tv_sec * SECOND + t.tv_nsec);
        wait = (struct timespec){ (time_t)(left / SECOND), (long)(left % SECOND) };
        if (left <= 0 || ppoll(&gone, 1, &wait, NULL) > 0)
            return;
    }
}

static int64_t delay_of(const struct monitor *m)
{
    enum { LONGEST = 15000 };           /* clients give up after 30 s */
    const unsigned lately = census_failures(m->config->state_file, m->peer->address), failures = lately > m->attempts ? lately : m->attempts;
    int64_t ms = m->config->login_delay_ms;
    for (unsigned i = 1; i < failures && ms > 0 && ms < LONGEST; i++)
        ms *= 2;
    return ms < LONGEST ? ms : LONGEST;
}

/* An attempt to come in. */
struct attempt {
    int64_t came;                      /* monitor_now() */
    struct str mechanism, user;        /* as the client says */
};

static struct attempt attempt_begins(struct monitor *m, struct str mechanism, struct str user)
{
    login_forget(m);
    return (struct attempt){ monitor_now(), mechanism, user };
}

static int refuse(struct monitor *m, const struct attempt *a, enum users_result result, const char *why, struct str text)
{
    char user[200], mechanism[40];
    struct record r;
    login_forget(m);
    m->attempts++;
    census_fail(m->config->state_file, m->peer->address);
    record_begin(&r, LOG_LEVEL_NOTICE, "login failed");
    record_add_name(&r, "user", safe(user, sizeof user, a->user));
    record_add(&r, "mechanism", "%s", safe(mechanism, sizeof mechanism, a->mechanism));
    record_add(&r, "address", "%s", m->peer->address);
    record_add(&r, "attempt", "%u", m->attempts);
    record_add(&r, "reason", "%s", why);
    record_end(&r);
    hold(m, a->came + delay_of(m));
    if (m->attempts >= m->config->login_attempts) {
        enum { FAREWELL = 5000 };
        m->state = OVER;
        m->deadline = monitor_now() + FAREWELL;
        return channel_answer(m->channel, CHANNEL_TOO_MANY, false, text);
    }
    return channel_answer(m->channel, result == USERS_UNAVAILABLE ? CHANNEL_UNAVAILABLE : CHANNEL_DENIED, false, text);
}

/* Who comes in, by what, from where. */
static void describe(struct record *r, const struct monitor *m, struct str mechanism)
{
    char name[40];
    record_add_name(r, "user", m->account->name);
    record_add(r, "mechanism", "%s", safe(name, sizeof name, mechanism));
    record_add(r, "address", "%s", m->peer->address);
}

/* m->account is who comes in. by: the administrator who acts for the account, or NULL. */
static int grant(struct monitor *m, struct str mechanism, const char *by)
{
    enum { HAND_OVER = 10000 };
    char administrator[200];
    struct record r;
    const struct peer *p = m->peer;
    if (!census_login(m->config->state_file, m->account->name, m->config->max_sessions_per_user)) {
        record_begin(&r, LOG_LEVEL_NOTICE, "login refused");
        describe(&r, m, mechanism);
        record_add(&r, "reason", "max-sessions-per-user");
        record_end(&r);
        login_forget(m);
        m->state = OPEN;
        return channel_answer(m->channel, CHANNEL_LIMIT, false, STR(""));
    }
    record_begin(&r, LOG_LEVEL_INFO, "login");
    describe(&r, m, mechanism);
    if (p->proxy[0] != '\0')
        record_add(&r, "proxy", "%s", p->proxy);
    if (p->tls.on)
        record_add(&r, "tls", "%s,%s", p->tls.version, p->tls.cipher);
    if (by != NULL)
        record_add_name(&r, "by", safe(administrator, sizeof administrator, str_z(by)));
    record_end(&r);
    if (!str_eq(mechanism, STR("ANONYMOUS")))
        census_forgive(m->config->state_file, p->address);
    m->state = GRANTED;
    m->deadline = monitor_now() + HAND_OVER;
    return channel_answer(m->channel, CHANNEL_GRANTED, false, STR(""));
}

/* RFC 4422: the authentication identity has been proved, and its account is m->account; the other one, if any, is whose mail it
 * is to be. */
static enum users_result act_as(struct monitor *m, const char *user, const char *authzid, const char **why)
{
    if (authzid[0] == '\0' || strcmp(authzid, user) == 0)
        return USERS_GRANTED;
    account_free(m->account);
    if (!config_lists(m->config->administrators, user)) {
        *why = "authzid";
        return USERS_DENIED;
    }
    return users_account(m->config, authzid, m->account, why);
}

static void to_z(char *out, struct str s)
{
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
}

static bool offered(const struct monitor *m, unsigned offers)
{
    return (auth_offers(m->config, m->peer) & offers) != 0;
}

int login_password(struct monitor *m, const struct channel_request *r)
{
    char name[CHANNEL_NAME_MAX + 1], authzid[CHANNEL_NAME_MAX + 1], secret[CHANNEL_PASSWORD_MAX + 1];
    const struct attempt a = attempt_begins(m, r->field[0], r->field[2]);
    const char *why = "plaintext";                /* the greeter did not offer it */
    enum users_result result = USERS_DENIED;
    to_z(authzid, r->field[1]);
    to_z(name, r->field[2]);
    to_z(secret, r->field[3]);
    if (offered(m, OFFER_LOGIN_COMMAND | OFFER_PLAIN | OFFER_LOGIN))
        result = users_check(m->config, name, secret, m->peer->address, m->account, &why);
    explicit_bzero(secret, sizeof secret);
    if (result == USERS_GRANTED)
        result = act_as(m, name, authzid, &why);
    if (result != USERS_GRANTED)
        return refuse(m, &a, result, why, STR(""));
    return grant(m, a.mechanism, strcmp(name, m->account->name) != 0 && authzid[0] != '\0' ? name : NULL);
}

/* Someone whom another authority than the password has named: user, who may act as authzid. */
static int identified(struct monitor *m, const struct attempt *a, const char *user, const char *authzid)
{
    const char *why = "unknown";
    enum users_result result = users_account(m->config, user, m->account, &why);
    if (result == USERS_GRANTED)
        result = act_as(m, user, authzid, &why);
    if (result != USERS_GRANTED)
        return refuse(m, a, result, why, STR(""));
    return grant(m, a->mechanism, authzid[0] != '\0' && strcmp(user, authzid) != 0 ? user : NULL);
}

int login_external(struct monitor *m, const struct channel_request *r)
{
    char authzid[CHANNEL_NAME_MAX + 1];
    const struct attempt a = attempt_begins(m, STR("EXTERNAL"), str_z(m->peer->tls.client));
    to_z(authzid, r->field[0]);
    return offered(m, OFFER_EXTERNAL) ? identified(m, &a, m->peer->tls.client, authzid) : refuse(m, &a, USERS_DENIED, "mechanism", STR(""));
}

int login_anonymous(struct monitor *m, const struct channel_request *r)
{
    const struct attempt a = attempt_begins(m, STR("ANONYMOUS"), r->field[0]);
    if (!offered(m, OFFER_ANONYMOUS))
        return refuse(m, &a, USERS_DENIED, "mechanism", STR(""));
    char trace[200];
    log_info("anonymous: trace=<%s> address=%s", safe(trace, sizeof trace, r->field[0]), m->peer->address);
    return identified(m, &a, m->config->anonymous_user, "");
}

/* RFC 5802: the account is known from here on, but nobody is it until the proof is right. */
int login_scram(struct monitor *m, const struct channel_request *r)
{
    enum { LOOK_MS = 20 };             /* to look for a user takes less, but not the same for those who are in one database or another */
    const struct attempt a = attempt_begins(m, r->field[0], r->field[3]);
    const unsigned offers = auth_offers(m->config, m->peer), offer = mechanism_offer(a.mechanism.p, a.mechanism.n);
    const unsigned plus = offer == OFFER_SCRAM_SHA_1 ? OFFER_SCRAM_SHA_1_PLUS : OFFER_SCRAM_SHA_256_PLUS;
    struct scram_verifier verifier;
    struct buf text = { 0 };
    enum scram_hash hash;
    bool bound;
    if ((offers & offer) == 0 || scram_mechanism(a.mechanism, &hash, &bound) != 0)
        return refuse(m, &a, USERS_DENIED, "mechanism", STR(""));
    to_z(m->mechanism, a.mechanism);
    to_z(m->authzid, r->field[2]);
    to_z(m->user, a.user);
    m->user_may = users_verifier(m->config, m->user, hash, &verifier, m->account, &m->user_may_not);
    const struct scram_begin b = { .mechanism = m->mechanism, .plus_offered = (offers & plus) != 0, .gs2 = r->field[1], .authzid = r->field[2],
                                   .user = a.user, .bare = r->field[4], .tls = m->peer->tls.on ? &m->peer->tls : NULL, .verifier = &verifier };
    const char *wrong = m->user_may == USERS_UNAVAILABLE ? m->user_may_not : scram_begin(&m->scram, &b, &text);
    explicit_bzero(&verifier, sizeof verifier);
    if (wrong == NULL) {
        m->state = PROVING;
        hold(m, a.came + LOOK_MS);
    }
    const int outcome = wrong == NULL ? channel_answer(m->channel, CHANNEL_CONTINUE, false, buf_str(&text))
                                      : refuse(m, &a, m->user_may, wrong, STR(""));
    buf_free(&text);
    return outcome;
}

int login_proof(struct monitor *m, const struct channel_request *r)
{
    const struct attempt a = { monitor_now(), str_z(m->mechanism), str_z(m->user) };
    struct buf text = { 0 };
    const char *why = m->user_may_not;
    enum users_result result = m->user_may;
    if (!scram_finish(&m->scram, r->field[0], &text)) {
        why = result == USERS_GRANTED ? "password" : why;
        result = USERS_DENIED;
    }
    if (result == USERS_GRANTED)
        result = act_as(m, m->user, m->authzid, &why);
    m->state = VERIFIED;
    const int outcome = result == USERS_GRANTED ? channel_answer(m->channel, CHANNEL_VERIFIED, false, buf_str(&text))
                                                : refuse(m, &a, result, why, STR(""));
    buf_free(&text);
    return outcome;
}

int login_claim(struct monitor *m, const struct channel_request *r)
{
    (void)r;
    return grant(m, str_z(m->mechanism), strcmp(m->user, m->account->name) != 0 ? m->user : NULL);
}

/* One message to the mechanism process, and what comes of it. */
static int step(struct monitor *m, struct attempt *a, struct str message)
{
    struct mech_result result;
    char *reply = malloc(MECH_REPLY_MAX);
    size_t n = 0;
    int outcome = -1;
    if (reply == NULL)
        return -1;
    switch (mech_step(&m->mech, message.p, message.n, reply, &n, &result)) {
    case MECH_CONTINUE:
        m->state = STEPPING;
        outcome = channel_answer(m->channel, CHANNEL_CONTINUE, false, (struct str){ reply, n });
        break;
    case MECH_DONE:
        mech_end(&m->mech);
        a->user = str_z(result.user);
        outcome = identified(m, a, result.user, result.authzid);
        break;
    case MECH_FAILED:
        outcome = refuse(m, a, USERS_DENIED, result.reason[0] != '\0' ? result.reason : "mechanism", (struct str){ reply, n });
        break;
    }
    free(reply);
    return outcome;
}

int login_mechanism(struct monitor *m, const struct channel_request *r)
{
    struct attempt a = attempt_begins(m, r->field[0], STR(""));
    const unsigned offer = mechanism_offer(a.mechanism.p, a.mechanism.n);
    to_z(m->mechanism, a.mechanism);
    if (!offered(m, offer) || mech_module_of(m->mechanism) == NULL)
        return refuse(m, &a, USERS_DENIED, "mechanism", STR(""));
    if (mech_start(&m->mech, m->config, m->mechanism, m->channel) != 0)
        return refuse(m, &a, USERS_UNAVAILABLE, "mechanism", STR(""));
    return step(m, &a, r->field[1]);
}

int login_step(struct monitor *m, const struct channel_request *r)
{
    struct attempt a = { monitor_now(), str_z(m->mechanism), STR("") };
    m->state = OPEN;
    return step(m, &a, r->field[0]);
}

void login_forget(struct monitor *m)
{
    mech_end(&m->mech);
    scram_end(&m->scram);
    account_free(m->account);
    if (m->state == PROVING || m->state == VERIFIED || m->state == STEPPING)
        m->state = OPEN;
}
