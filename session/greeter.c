/*
 * The commands before login: LOGIN and AUTHENTICATE. Runs in the greeter, which has no privileges and knows no mail.
 */
#include <string.h>

#include "base/base64.h"
#include "session/command.h"

void session_greeting(struct buf *out, const struct config *config, bool preauth, bool plaintext_login)
{
    buf_printf(out, "* %s [CAPABILITY ", preauth ? "PREAUTH" : "OK");
    write_capabilities(out, config, preauth ? STATE_AUTH : STATE_GREET, plaintext_login);
    buf_printf(out, "] %s IMAP4rev1 server ready\r\n", config->hostname != NULL ? config->hostname : "localhost");
}

void greeter_run(const struct greeter_settings *settings, struct greeter_result *result)
{
    struct session s = { .config = settings->config, .state = STATE_GREET, .arena = arena_new(), .greeter = settings, .result = result,
                         .login_deadline = io_now_ms() + (int64_t)settings->config->login_timeout * 1000 };
    io_init(&s.io, settings->in, settings->out, settings->pending);
    if (!settings->greeted)
        session_greeting(&s.io.output, settings->config, false, settings->plaintext_login);
    command_loop(&s);
    if (result->granted) {
        const struct str pending = io_pending(&s.io);
        buf_add(&result->pending, pending.p, pending.n);
    }
    io_free(&s.io);
    arena_free(s.arena);
}

static enum outcome try_login(struct session *s, const char *mechanism, struct str authzid, struct str user, struct str password)
{
    const struct login_service *login = &s->greeter->login;
    if (memchr(user.p, 0, user.n) != NULL || memchr(password.p, 0, password.n) != NULL || user.n == 0)
        return say(s, OUTCOME_NO, "AUTHENTICATIONFAILED", "Authentication failed");
    io_flush(&s->io);
    switch (login->check(login->ctx, mechanism, authzid, user, password)) {
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
        return say(s, OUTCOME_NO, "AUTHENTICATIONFAILED", "Authentication failed");
    case LOGIN_UNAVAILABLE:
        return say(s, OUTCOME_NO, "UNAVAILABLE", "Cannot check the password now");
    case LOGIN_DENIED:
        break;
    }
    return say(s, OUTCOME_NO, "AUTHENTICATIONFAILED", "Authentication failed");
}

static enum outcome no_plaintext(struct session *s)
{
    return say(s, OUTCOME_NO, "PRIVACYREQUIRED", "Passwords are not taken on an unprotected connection");
}

enum outcome cmd_login(struct session *s, struct parse *p)
{
    struct str user, password;
    if (!parse_sp(p) || !parse_astring(p, &user) || !parse_sp(p) || !parse_astring(p, &password) || !parse_end(p))
        return bad_arguments(s, "LOGIN user password");
    if (!s->greeter->plaintext_login)
        return no_plaintext(s);
    return try_login(s, "LOGIN", STR(""), user, password);
}

enum { RESPONSE_MAX = 4096 };

/* One response of the client to "+ prompt", decoded. OK: out is filled; else what to answer, SILENT if the connection ended. */
static enum outcome ask(struct session *s, const char *prompt, struct buf *out)
{
    struct buf line = { 0 };
    io_printf(&s->io, "+ %s\r\n", prompt);
    const int64_t left = s->login_deadline - io_now_ms();
    const enum io_status status = io_line(&s->io, &line, RESPONSE_MAX, left > 0 ? (int)left : 0);
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
    if (line.data != NULL)
        explicit_bzero(line.data, line.len);
    buf_free(&line);
    return outcome;
}

/* RFC 4616: authzid NUL authcid NUL passwd. */
static enum outcome plain(struct session *s, const struct buf *response)
{
    const char *end = response->data + response->len;
    const char *user = response->len > 0 ? memchr(response->data, 0, response->len) : NULL;
    const char *password = user != NULL ? memchr(user + 1, 0, (size_t)(end - user - 1)) : NULL;
    if (password == NULL)
        return say(s, OUTCOME_BAD, NULL, "Not a PLAIN response");
    return try_login(s, "PLAIN", (struct str){ response->data, (size_t)(user - response->data) },
                     (struct str){ user + 1, (size_t)(password - user - 1) }, (struct str){ password + 1, (size_t)(end - password - 1) });
}

static enum outcome authenticate_plain(struct session *s, const struct buf *initial)
{
    struct buf response = { 0 };
    enum outcome outcome = OUTCOME_OK;
    if (initial != NULL)
        buf_add(&response, initial->data, initial->len);
    else
        outcome = ask(s, "", &response);
    if (outcome == OUTCOME_OK)
        outcome = plain(s, &response);
    if (response.data != NULL)
        explicit_bzero(response.data, response.len);
    buf_free(&response);
    return outcome;
}

static enum outcome authenticate_login(struct session *s, const struct buf *initial)
{
    struct buf user = { 0 }, password = { 0 };
    enum outcome outcome = OUTCOME_OK;
    if (initial != NULL)
        buf_add(&user, initial->data, initial->len);
    else
        outcome = ask(s, "VXNlciBOYW1lAA==", &user);             /* "User Name" NUL, as UW imapd asks */
    if (outcome == OUTCOME_OK)
        outcome = ask(s, "UGFzc3dvcmQA", &password);
    if (outcome == OUTCOME_OK)
        outcome = try_login(s, "LOGIN", STR(""), buf_str(&user), buf_str(&password));
    if (password.data != NULL)
        explicit_bzero(password.data, password.len);
    buf_free(&user);
    buf_free(&password);
    return outcome;
}

static const struct mechanism {
    const char *name;
    enum outcome (*run)(struct session *s, const struct buf *initial);
} mechanisms[] = { { "PLAIN", authenticate_plain }, { "LOGIN", authenticate_login } };

void write_mechanisms(struct buf *out)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
        buf_printf(out, " AUTH=%s", mechanisms[i].name);
}

enum outcome cmd_authenticate(struct session *s, struct parse *p)
{
    struct str name, encoded = { NULL, 0 };
    struct buf initial = { 0 };
    if (!parse_sp(p) || !parse_atom(p, &name))
        return bad_arguments(s, "AUTHENTICATE mechanism [initial-response]");
    if (parse_sp(p)) {
        encoded = (struct str){ p->at, (size_t)(p->end - p->at) };
        p->at = p->end;
        if (encoded.n == 0)
            return bad_arguments(s, "AUTHENTICATE mechanism [initial-response]");
    }
    if (!parse_end(p))
        return bad_arguments(s, "AUTHENTICATE mechanism [initial-response]");
    const struct mechanism *m = NULL;
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
        if (str_ieq(name, str_z(mechanisms[i].name)))
            m = &mechanisms[i];
    if (m == NULL)
        return say(s, OUTCOME_NO, NULL, "Unsupported authentication mechanism");
    if (!s->greeter->plaintext_login)
        return no_plaintext(s);
    const bool good = encoded.p == NULL || str_eq(encoded, STR("=")) || base64_decode(&initial, encoded) == 0;
    const enum outcome outcome = good ? m->run(s, encoded.p != NULL ? &initial : NULL) : say(s, OUTCOME_BAD, NULL, "Not base64");
    if (initial.data != NULL)
        explicit_bzero(initial.data, initial.len);
    buf_free(&initial);
    return outcome;
}

enum outcome cmd_starttls(struct session *s, struct parse *p)
{
    if (!parse_end(p))
        return bad_arguments(s, "STARTTLS");
    return say(s, OUTCOME_BAD, NULL, "TLS is not offered here");
}
