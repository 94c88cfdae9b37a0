/*
 * AUTHENTICATE: the SASL mechanisms as the client sees them. What they bring is asked of the monitor; nothing is decided here.
 */
#include "session/sasl.h"

#include <string.h>

#include "base/base64.h"
#include "base/mechanisms.h"
#include "session/sasl_scram.h"

enum { LINE_MAX_BASE64 = SASL_MESSAGE_MAX / 3 * 4 + 8, TAG_MOST = 4000 };

void sasl_wipe(struct buf *b)
{
    if (b->data != NULL)
        explicit_bzero(b->data, b->len);
    buf_free(b);
}

bool sasl_tag_ok(const struct session *s)
{
    return s->tag.n <= TAG_MOST;
}

enum outcome sasl_ask(struct session *s, struct str challenge, struct buf *out)
{
    struct buf line = { 0 }, encoded = { 0 };
    base64_encode(&encoded, challenge.p, challenge.n);
    io_puts(&s->io, "+ ");
    io_add(&s->io, encoded.data, encoded.len);
    io_puts(&s->io, "\r\n");
    buf_free(&encoded);
    const int64_t left = s->login_deadline - io_now_ms();
    const enum io_status status = io_line(&s->io, &line, LINE_MAX_BASE64, left > 0 ? (int)left : 0);
    enum outcome outcome = OUTCOME_OK;
    if (status == IO_TOO_LONG)
        outcome = say(s, OUTCOME_BAD, NULL, "Response too long");
    else if (status != IO_OK) {
        s->state = STATE_LOGOUT;
        outcome = OUTCOME_SILENT;
    } else if (line.len == 1 && line.data[0] == '*')
        outcome = say(s, OUTCOME_BAD, NULL, "Authentication cancelled");
    else if (base64_decode(out, buf_str(&line)) != 0)
        outcome = say(s, OUTCOME_BAD, NULL, "Not base64");
    sasl_wipe(&line);
    return outcome;
}

enum outcome sasl_result(struct session *s, enum login_result result)
{
    switch (result) {
    case LOGIN_GRANTED:
        s->result->granted = true;
        buf_add(&s->result->tag, s->tag.p, s->tag.n);
        if (s->language != LANGUAGE_DEFAULT)
            buf_printf(&s->result->tag, " %s", language_tag(s->language));
        s->state = STATE_LOGOUT;
        return OUTCOME_SILENT;
    case LOGIN_TOO_MANY:
        untagged(s, "BYE Too many failures");
        s->state = STATE_LOGOUT;
        break;
    case LOGIN_LIMIT:
        return say(s, OUTCOME_NO, "LIMIT", "Too many sessions of this user");
    case LOGIN_UNAVAILABLE:
        return say(s, OUTCOME_NO, "UNAVAILABLE", "Cannot check the password now");
    case LOGIN_CONTINUE:
    case LOGIN_VERIFIED:
    case LOGIN_DENIED:
        break;
    }
    return say(s, OUTCOME_NO, "AUTHENTICATIONFAILED", "Authentication failed");
}

enum outcome sasl_password(struct session *s, const char *mechanism, struct str authzid, struct str user, struct str password)
{
    const struct login_service *login = &s->greeter->login;
    if (user.n == 0 || memchr(user.p, 0, user.n) != NULL || (password.n > 0 && memchr(password.p, 0, password.n) != NULL))
        return say(s, OUTCOME_NO, "AUTHENTICATIONFAILED", "Authentication failed");
    io_flush(&s->io);
    return sasl_result(s, login->check(login->ctx, mechanism, authzid, user, password));
}

/* The first message: the initial response, or the answer to a first challenge. */
static enum outcome first(struct session *s, const struct buf *initial, struct str challenge, struct buf *out)
{
    if (initial == NULL)
        return sasl_ask(s, challenge, out);
    buf_add(out, initial->data, initial->len);
    return OUTCOME_OK;
}

/* RFC 4616: authzid NUL authcid NUL passwd. */
static enum outcome plain(struct session *s, const struct buf *response)
{
    const char *const begin = response->len > 0 ? response->data : "", *const end = begin + response->len;
    const char *user = memchr(begin, 0, response->len);
    const char *password = user != NULL ? memchr(user + 1, 0, (size_t)(end - user - 1)) : NULL;
    if (password == NULL)
        return say(s, OUTCOME_BAD, NULL, "Not a PLAIN response");
    return sasl_password(s, "PLAIN", (struct str){ begin, (size_t)(user - begin) },
                         (struct str){ user + 1, (size_t)(password - user - 1) },
                         (struct str){ password + 1, (size_t)(end - password - 1) });
}

static enum outcome authenticate_plain(struct session *s, const char *mechanism, const struct buf *initial)
{
    (void)mechanism;
    struct buf response = { 0 };
    enum outcome outcome = first(s, initial, STR(""), &response);
    if (outcome == OUTCOME_OK)
        outcome = plain(s, &response);
    sasl_wipe(&response);
    return outcome;
}

static enum outcome authenticate_login(struct session *s, const char *mechanism, const struct buf *initial)
{
    struct buf user = { 0 }, password = { 0 };
    enum outcome outcome = first(s, initial, STR("User Name\0"), &user);      /* as UW imapd asks */
    if (outcome == OUTCOME_OK)
        outcome = sasl_ask(s, STR("Password\0"), &password);
    if (outcome == OUTCOME_OK)
        outcome = sasl_password(s, mechanism, STR(""), buf_str(&user), buf_str(&password));
    sasl_wipe(&password);
    buf_free(&user);
    return outcome;
}

/* RFC 4422, appendix A: the identity to act as, or nothing. */
static enum outcome authenticate_external(struct session *s, const char *mechanism, const struct buf *initial)
{
    (void)mechanism;
    const struct login_service *login = &s->greeter->login;
    struct buf authzid = { 0 };
    enum outcome outcome = first(s, initial, STR(""), &authzid);
    if (outcome == OUTCOME_OK && authzid.len > 0 && memchr(authzid.data, 0, authzid.len) != NULL)
        outcome = say(s, OUTCOME_BAD, NULL, "Not an authorization identity");
    io_flush(&s->io);
    if (outcome == OUTCOME_OK)
        outcome = sasl_result(s, login->external(login->ctx, buf_str(&authzid)));
    buf_free(&authzid);
    return outcome;
}

/* RFC 4505: trace information, for the log. */
static enum outcome authenticate_anonymous(struct session *s, const char *mechanism, const struct buf *initial)
{
    (void)mechanism;
    const struct login_service *login = &s->greeter->login;
    struct buf trace = { 0 };
    enum outcome outcome = first(s, initial, STR(""), &trace);
    if (outcome == OUTCOME_OK && trace.len > 0 && memchr(trace.data, 0, trace.len) != NULL)
        outcome = say(s, OUTCOME_BAD, NULL, "Not trace information");
    io_flush(&s->io);
    if (outcome == OUTCOME_OK)
        outcome = sasl_result(s, login->anonymous(login->ctx, buf_str(&trace)));
    buf_free(&trace);
    return outcome;
}

/* A refusal may come with a challenge (RFC 7628, section 3.2.2), which the client answers before it is told NO; if it cancels, BAD
 * (RFC 3501 section 6.2.2). */
static enum outcome denied(struct session *s, enum login_result result, const struct buf *challenge)
{
    struct buf ignored = { 0 };
    enum outcome outcome = OUTCOME_OK;
    if (challenge->len > 0 && result != LOGIN_UNAVAILABLE)
        outcome = sasl_ask(s, buf_str(challenge), &ignored);
    sasl_wipe(&ignored);
    return outcome == OUTCOME_SILENT || (outcome == OUTCOME_BAD && result == LOGIN_DENIED) ? outcome : sasl_result(s, result);
}

/* Messages go to the mechanism's process and back until it has decided. */
static enum outcome authenticate_steps(struct session *s, const char *mechanism, const struct buf *initial)
{
    enum { STEPS = 20 };
    const struct login_service *login = &s->greeter->login;
    struct buf message = { 0 }, reply = { 0 };
    enum outcome outcome = first(s, initial, STR(""), &message);
    for (int i = 0; outcome == OUTCOME_OK; i++) {
        io_flush(&s->io);
        buf_clear(&reply);
        const enum login_result result = i < STEPS ? login->step(login->ctx, i == 0 ? mechanism : NULL, buf_str(&message), &reply) : LOGIN_DENIED;
        if (result != LOGIN_CONTINUE) {
            outcome = denied(s, result, &reply);
            break;
        }
        sasl_wipe(&message);
        message = (struct buf){ 0 };
        outcome = sasl_ask(s, buf_str(&reply), &message);
    }
    sasl_wipe(&message);
    buf_free(&reply);
    return outcome;
}

static enum outcome run(struct session *s, const struct mechanism_name *m, const struct buf *initial)
{
    switch (m->offer) {
    case OFFER_SCRAM_SHA_1:
    case OFFER_SCRAM_SHA_1_PLUS:
    case OFFER_SCRAM_SHA_256:
    case OFFER_SCRAM_SHA_256_PLUS: return authenticate_scram(s, m->name, initial);
    case OFFER_PLAIN: return authenticate_plain(s, m->name, initial);
    case OFFER_LOGIN: return authenticate_login(s, m->name, initial);
    case OFFER_EXTERNAL: return authenticate_external(s, m->name, initial);
    case OFFER_ANONYMOUS: return authenticate_anonymous(s, m->name, initial);
    case OFFER_OAUTHBEARER:
    case OFFER_XOAUTH2:
    case OFFER_GSSAPI: return authenticate_steps(s, m->name, initial);
    default: return say(s, OUTCOME_NO, NULL, "Unsupported authentication mechanism");
    }
}

void write_mechanisms(struct buf *out, unsigned offers)
{
    for (size_t i = 0; i < MECHANISMS; i++)
        if (offers & mechanism_names[i].offer)
            buf_printf(out, " AUTH=%s", mechanism_names[i].name);
}

/* One that is not offered now. */
static enum outcome not_offered(struct session *s, unsigned offer)
{
    const bool clear = (offer & (OFFER_PLAIN | OFFER_LOGIN | OFFER_OAUTHBEARER | OFFER_XOAUTH2)) != 0;
    if (clear && (s->greeter->offers & OFFER_LOGIN_COMMAND) == 0)
        return say(s, OUTCOME_NO, "PRIVACYREQUIRED", "Passwords are not taken on an unprotected connection");
    return say(s, OUTCOME_NO, NULL, "Unsupported authentication mechanism");
}

enum outcome cmd_authenticate(struct session *s, struct parse *p)
{
    static const char usage[] = "AUTHENTICATE mechanism [initial-response]";
    struct str name, encoded = { NULL, 0 };
    struct buf initial = { 0 };
    if (!parse_sp(p) || !parse_atom(p, &name))
        return bad_arguments(s, usage);
    if (parse_sp(p)) {
        encoded = (struct str){ p->at, (size_t)(p->end - p->at) };
        p->at = p->end;
        if (encoded.n == 0)
            return bad_arguments(s, usage);
    }
    if (!parse_end(p) || !sasl_tag_ok(s))
        return bad_arguments(s, usage);
    const unsigned offer = mechanism_offer(name.p, name.n);
    const struct mechanism_name *m = NULL;
    for (size_t i = 0; i < MECHANISMS; i++)
        if (offer == mechanism_names[i].offer)
            m = &mechanism_names[i];
    if (m == NULL || (s->greeter->offers & offer) == 0)
        return not_offered(s, offer);
    const bool good = encoded.p == NULL || str_eq(encoded, STR("=")) || base64_decode(&initial, encoded) == 0;
    const enum outcome outcome = good ? run(s, m, encoded.p != NULL ? &initial : NULL) : say(s, OUTCOME_BAD, NULL, "Not base64");
    sasl_wipe(&initial);
    return outcome;
}
