/*
 * SCRAM as the greeter sees it.
 *
 *      C: client-first   S: server-first   C: client-final   S: server-final   C: (nothing)   S: the tagged line
 *
 * RFC 3501 has no additional data with OK, so server-final is a challenge of its own, and nobody is in until the client, which may not
 * like it, has answered.
 */
#include "session/sasl_scram.h"

#include <string.h>

#include "base/mechanisms.h"
#include "base/scram_message.h"
#include "session/sasl.h"

static bool is_plus(const char *mechanism)
{
    const size_t n = strlen(mechanism);
    return n > 5 && strcmp(mechanism + n - 5, "-PLUS") == 0;
}

/* Is the -PLUS mechanism with the same hash offered? */
static bool plus_offered(const struct session *s, const char *mechanism)
{
    char plus[40];
    const size_t n = strlen(mechanism);
    if (n + 6 > sizeof plus)
        return false;
    memcpy(plus, mechanism, n);
    memcpy(plus + n, "-PLUS", 6);
    return (s->greeter->offers & mechanism_offer(plus, n + 5)) != 0;
}

/* RFC 5802 section 6. NULL, or what is wrong. */
static const char *binding_refused(const struct session *s, const char *mechanism, const struct scram_first *f)
{
    if (is_plus(mechanism) != (f->flag == 'p'))
        return "Channel binding and mechanism do not fit together";
    if (f->flag == 'p' && !str_eq(f->binding, STR("tls-exporter")) && !str_eq(f->binding, STR("tls-server-end-point")))
        return "Channel binding of this type is not known";
    if (f->flag == 'y' && plus_offered(s, mechanism))
        return "Channel binding is offered: somebody changed the list of mechanisms";
    return NULL;
}

/* client-first. CONTINUE, or *outcome is what to answer. */
static enum login_result ask_first(struct session *s, const char *mechanism, struct str message, struct scram_first *f, struct buf *server_first,
                                   enum outcome *outcome)
{
    const struct login_service *login = &s->greeter->login;
    const char *wrong = scram_parse_first(f, message);
    if (wrong != NULL) {
        *outcome = say(s, OUTCOME_BAD, NULL, "Not a SCRAM client-first-message: %s", wrong);
        return LOGIN_DENIED;
    }
    wrong = binding_refused(s, mechanism, f);
    io_flush(&s->io);
    const enum login_result result = login->scram_first(login->ctx, mechanism, f->gs2, str_z(f->authzid), str_z(f->user), f->bare, server_first);
    if (wrong != NULL && result != LOGIN_TOO_MANY) {             /* the monitor sees the same, counts it and logs it */
        *outcome = say(s, OUTCOME_NO, "AUTHENTICATIONFAILED", "%s", wrong);
        return LOGIN_DENIED;
    }
    if (result != LOGIN_CONTINUE)
        *outcome = sasl_result(s, result);
    return result;
}

/* Is client-final about the same nonce and gs2-header? The binding's data are the monitor's to know: its proof is of them. */
static bool fits(const struct scram_final *final, const struct scram_first *first, const struct buf *server_first)
{
    const size_t n = final->nonce.n;
    if (server_first->len < 2 + n + 1 || memcmp(server_first->data + 2, final->nonce.p, n) != 0 || server_first->data[2 + n] != ',')
        return false;
    return final->binding.len >= first->gs2.n && memcmp(final->binding.data, first->gs2.p, first->gs2.n) == 0 &&
           (first->flag == 'p') == (final->binding.len > first->gs2.n);
}

/* server-final is a challenge, which a client that trusts us answers with nothing. */
static enum outcome finish(struct session *s, enum login_result result, const struct buf *server_final)
{
    const struct login_service *login = &s->greeter->login;
    struct buf answer = { 0 };
    enum outcome outcome = OUTCOME_OK;
    if (server_final->len > 0 && (result == LOGIN_VERIFIED || result == LOGIN_DENIED))
        outcome = sasl_ask(s, buf_str(server_final), &answer);
    const bool empty = answer.len == 0;
    sasl_wipe(&answer);
    if (result != LOGIN_VERIFIED)
        return outcome == OUTCOME_SILENT ? outcome : sasl_result(s, result);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (!empty)
        return say(s, OUTCOME_BAD, NULL, "SCRAM has nothing more to say");
    io_flush(&s->io);
    return sasl_result(s, login->claim(login->ctx));
}

static enum outcome ask_final(struct session *s, struct str message, const struct scram_first *f, const struct buf *server_first)
{
    const struct login_service *login = &s->greeter->login;
    struct scram_final final;
    struct buf server_final = { 0 };
    enum outcome outcome;
    const char *wrong = scram_parse_final(&final, message);
    if (wrong != NULL)
        outcome = say(s, OUTCOME_BAD, NULL, "Not a SCRAM client-final-message: %s", wrong);
    else {
        /* One that does not fit counts as a wrong proof. */
        const struct str proof = fits(&final, f, server_first) ? buf_str(&final.proof) : STR("");
        io_flush(&s->io);
        outcome = finish(s, login->scram_final(login->ctx, proof, &server_final), &server_final);
    }
    scram_final_free(&final);
    buf_free(&server_final);
    return outcome;
}

enum outcome authenticate_scram(struct session *s, const char *mechanism, const struct buf *initial)
{
    struct buf first = { 0 }, last = { 0 }, server_first = { 0 };
    struct scram_first f;
    enum outcome outcome = OUTCOME_OK;
    if (initial == NULL)
        outcome = sasl_ask(s, STR(""), &first);
    else
        buf_add(&first, initial->data, initial->len);
    if (outcome == OUTCOME_OK && ask_first(s, mechanism, buf_str(&first), &f, &server_first, &outcome) == LOGIN_CONTINUE) {
        outcome = sasl_ask(s, buf_str(&server_first), &last);
        if (outcome == OUTCOME_OK)
            outcome = ask_final(s, buf_str(&last), &f, &server_first);
    }
    sasl_wipe(&last);
    buf_free(&first);
    buf_free(&server_first);
    return outcome;
}
