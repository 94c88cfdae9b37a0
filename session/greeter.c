/*
 * Before login: the greeting, LOGIN, STARTTLS (AUTHENTICATE is in sasl.c). Runs in the greeter, which has no privileges and knows no mail.
 */
#include <string.h>

#include "base/mechanisms.h"
#include "session/sasl.h"

void session_greeting(struct buf *out, const struct config *config, bool preauth, unsigned offers)
{
    buf_printf(out, "* %s [CAPABILITY ", preauth ? "PREAUTH" : "OK");
    write_capabilities(out, config, preauth ? STATE_AUTH : STATE_GREET, offers);
    buf_printf(out, "] %s IMAP4rev1 server ready\r\n", config->hostname != NULL ? config->hostname : "localhost");
}

void greeter_run(const struct greeter_settings *settings, struct greeter_result *result)
{
    struct session s = { .config = settings->config, .state = STATE_GREET, .arena = arena_new(), .greeter = settings, .result = result,
                         .login_deadline = io_now_ms() + (int64_t)settings->config->login_timeout * 1000 };
    io_init(&s.io, settings->in, settings->out, settings->pending);
    s.io.octets_most = settings->config->login_octets;
    if (!settings->greeted)
        session_greeting(&s.io.output, settings->config, false, settings->offers);
    command_loop(&s);
    if (result->granted) {
        const struct str pending = io_pending(&s.io);
        buf_add(&result->pending, pending.p, pending.n);
    }
    io_free(&s.io);
    arena_free(s.arena);
}

enum outcome cmd_login(struct session *s, struct parse *p)
{
    struct str user, password;
    if (!parse_sp(p) || !parse_astring(p, &user) || !parse_sp(p) || !parse_astring(p, &password) || !parse_end(p) || !sasl_tag_ok(s))
        return bad_arguments(s, "LOGIN user password");
    if ((s->greeter->offers & OFFER_LOGIN_COMMAND) == 0)
        return say(s, OUTCOME_NO, "PRIVACYREQUIRED", "Passwords are not taken on an unprotected connection");
    return sasl_password(s, "LOGIN", STR(""), user, password);
}

/* After OK the greeter ends, with all that the client has sent before the handshake. */
enum outcome cmd_starttls(struct session *s, struct parse *p)
{
    const struct login_service *login = &s->greeter->login;
    if (!parse_end(p))
        return bad_arguments(s, "STARTTLS");
    if ((s->greeter->offers & OFFER_STARTTLS) == 0)
        return say(s, OUTCOME_BAD, NULL, "TLS is not offered here");
    io_flush(&s->io);
    if (login->starttls(login->ctx) != LOGIN_GRANTED)
        return say(s, OUTCOME_NO, "UNAVAILABLE", "TLS cannot be had now");
    s->state = STATE_LOGOUT;
    return say(s, OUTCOME_OK, NULL, "Begin TLS now");
}
