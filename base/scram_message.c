/*
 * The messages of a SCRAM client. Pure functions over memory; the names are those of the grammar (RFC 5802 section 7).
 */
#include "base/scram_message.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

#include "base/base64.h"
#include "base/saslprep.h"

static bool take(struct str *in, const char *literal)
{
    const size_t n = strlen(literal);
    if (in->n < n || memcmp(in->p, literal, n) != 0)
        return false;
    in->p += n;
    in->n -= n;
    return true;
}

/* Octets up to a comma or the end. */
static struct str item(struct str *in)
{
    const char *comma = in->n > 0 ? memchr(in->p, ',', in->n) : NULL;
    const struct str s = { in->p, comma != NULL ? (size_t)(comma - in->p) : in->n };
    in->p += s.n;
    in->n -= s.n;
    return s;
}

static bool is_value(struct str s)
{
    utf8proc_int32_t c;
    bool good = s.n > 0;
    while (good && s.n > 0) {
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.p, (utf8proc_ssize_t)s.n, &c);
        good = n > 0 && c != 0;
        s.p += n;
        s.n -= n > 0 ? (size_t)n : 0;
    }
    return good;
}

/* saslname, decoded and prepared. */
static const char *saslname(char out[SCRAM_NAME_MAX + 1], struct str in)
{
    static const char bad[] = "invalid-username-encoding";
    struct buf raw = { 0 }, name = { 0 };
    const char *error = is_value(in) ? NULL : bad;
    while (error == NULL && in.n > 0)
        if (take(&in, "=2C"))
            buf_addc(&raw, ',');
        else if (take(&in, "=3D"))
            buf_addc(&raw, '=');
        else if (*in.p == '=')
            error = bad;
        else {
            buf_addc(&raw, (unsigned char)*in.p++);
            in.n--;
        }
    if (error == NULL && (saslprep(&name, buf_str(&raw), false) != 0 || name.len > SCRAM_NAME_MAX))
        error = bad;
    if (error == NULL)
        memcpy(out, name.data, name.len + 1);
    buf_free(&raw);
    buf_free(&name);
    return error;
}

static bool cb_name(struct str *in, struct str *out)
{
    *out = (struct str){ in->p, 0 };
    while (in->n > 0 && (isascii(*in->p) && (isalnum((unsigned char)*in->p) || *in->p == '.' || *in->p == '-'))) {
        in->p++;
        in->n--;
        out->n++;
    }
    return out->n > 0;
}

static bool gs2_cbind_flag(struct scram_first *f, struct str *in)
{
    if (in->n == 0)
        return false;
    f->flag = *in->p;
    return take(in, "n") || take(in, "y") || (take(in, "p=") && cb_name(in, &f->binding));
}

/* At least one character; the rest of the nonce is the server's. */
static bool c_nonce(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    return s.n > 0;
}

/* *("," attr-val), unknown ones, to the end. */
static bool extensions(struct str in)
{
    while (take(&in, ",")) {
        struct str s = item(&in);
        if (s.n < 2 || !isascii(s.p[0]) || !isalpha((unsigned char)s.p[0]) || s.p[1] != '=' || s.p[0] == 'm' ||
            !is_value((struct str){ s.p + 2, s.n - 2 }))
            return false;
    }
    return in.n == 0;
}

const char *scram_parse_first(struct scram_first *f, struct str message)
{
    static const char other[] = "other-error";
    const char *error;
    struct str in = message;
    memset(f, 0, sizeof *f);
    f->binding = (struct str){ message.p, 0 };
    if (message.n > SCRAM_MESSAGE_MAX || !gs2_cbind_flag(f, &in) || !take(&in, ","))
        return other;
    if (take(&in, "a=") && (error = saslname(f->authzid, item(&in))) != NULL)
        return error;
    if (!take(&in, ","))
        return other;
    f->gs2 = (struct str){ message.p, (size_t)(in.p - message.p) };
    f->bare = in;
    if (take(&in, "m="))
        return "extensions-not-supported";
    if (!take(&in, "n="))
        return other;
    if ((error = saslname(f->user, item(&in))) != NULL)
        return error;
    if (!take(&in, ",r="))
        return other;
    f->nonce = item(&in);
    return c_nonce(f->nonce) && extensions(in) ? NULL : other;
}

const char *scram_parse_final(struct scram_final *f, struct str message)
{
    static const char other[] = "other-error";
    struct str in = message;
    memset(f, 0, sizeof *f);
    if (message.n > 2 * SCRAM_MESSAGE_MAX || !take(&in, "c=") || base64_decode(&f->binding, item(&in)) != 0 || !take(&in, ",r="))
        return other;
    f->nonce = item(&in);
    if (!c_nonce(f->nonce))
        return other;
    if (in.n >= 2 && in.p[1] == 'm')
        return "extensions-not-supported";
    return take(&in, ",p=") && base64_decode(&f->proof, item(&in)) == 0 && in.n == 0 ? NULL : other;
}

void scram_final_free(struct scram_final *f)
{
    if (f->proof.data != NULL)
        explicit_bzero(f->proof.data, f->proof.len);
    buf_free(&f->proof);
    buf_free(&f->binding);
}
