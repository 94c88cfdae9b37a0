/* Takes the messages of OAUTHBEARER and XOAUTH2 and the tokens in them apart: all of it comes from strangers. Each function
 * reads its text once, from the left, and knows where it ends. */
#include "auth/jwt_parse.h"

#include <string.h>
#include <strings.h>

static bool is_alpha(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

static bool same(struct str a, const char *z, bool any_case)
{
    return a.n == strlen(z) && (any_case ? strncasecmp(a.p, z, a.n) : memcmp(a.p, z, a.n)) == 0;
}

/* Everything before the octet c; in goes on behind it. */
static bool take_until(struct str *in, char c, struct str *out)
{
    const char *end = in->n > 0 ? memchr(in->p, c, in->n) : NULL;
    if (end == NULL)
        return false;
    *out = (struct str){ in->p, (size_t)(end - in->p) };
    in->n -= out->n + 1;
    in->p = end + 1;
    return true;
}

static bool add_to_name(struct jwt_parse_message *m, size_t *n, char c)
{
    if (*n == JWT_PARSE_NAME_MAX || (unsigned char)c < 0x20 || c == 0x7f)
        return false;
    m->name[(*n)++] = c;
    m->name[*n] = '\0';
    return true;
}

/* saslname of RFC 5801 section 4: a comma is =2C, an equals sign =3D. */
static bool read_saslname(struct jwt_parse_message *m, struct str in)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '=') {
            if (in.n - i < 3 || (memcmp(in.p + i, "=2C", 3) != 0 && memcmp(in.p + i, "=3D", 3) != 0))
                return false;
            c = in.p[i + 2] == 'C' ? ',' : '=';
            i += 2;
        }
        if (!add_to_name(m, &n, c))
            return false;
    }
    return n > 0;
}

/* gs2-header: no channel binding ("n", or "y": the client could), then the authzid. Neither mechanism binds to a channel, so
 * "p=" asks for what cannot be had. */
static bool read_gs2_header(struct jwt_parse_message *m, struct str *in)
{
    struct str flag, name;
    if (!take_until(in, ',', &flag) || !take_until(in, ',', &name) || !(same(flag, "n", false) || same(flag, "y", false)))
        return false;
    if (name.n == 0)
        return true;
    return name.n > 2 && memcmp(name.p, "a=", 2) == 0 && read_saslname(m, (struct str){ name.p + 2, name.n - 2 });
}

/* Credentials of RFC 6750 section 2.1: the word Bearer in any case, spaces, the token. */
static bool read_auth(struct str value, struct str *token)
{
    static const char bearer[] = "Bearer ";
    const size_t n = sizeof bearer - 1;
    *token = (struct str){ value.p, 0 };
    if (value.n == 0)
        return true;
    if (value.n < n || strncasecmp(value.p, bearer, n) != 0)
        return false;
    size_t at = n;
    while (at < value.n && value.p[at] == ' ')
        at++;
    *token = (struct str){ value.p + at, value.n - at };
    for (size_t i = 0; i < token->n; i++)
        if (digit_of(token->p[i]) < 0 && memchr(".~+/=", token->p[i], 5) == NULL)
            return false;
    return true;
}

/* value = *(VCHAR / SP / HTAB / CR / LF) */
static bool is_value(struct str v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((v.p[i] < 0x20 || v.p[i] > 0x7e) && memchr("\t\r\n", v.p[i], 3) == NULL)
            return false;
    return true;
}

static bool read_pair(struct str pair, struct str *key, struct str *value)
{
    if (!take_until(&pair, '=', key) || key->n == 0)
        return false;
    for (size_t i = 0; i < key->n; i++)
        if (!is_alpha(key->p[i]))
            return false;
    *value = pair;
    return true;
}

/* *kvpair kvsep up to the end of the message. What is known comes once at most; auth must come. */
static int read_pairs(struct jwt_parse_message *m, struct str in)
{
    struct str pair, key, value;
    bool auth = false;
    for (;;) {
        if (!take_until(&in, '\1', &pair))
            return -1;
        if (pair.n == 0)
            return auth && in.n == 0 ? 0 : -1;
        if (!read_pair(pair, &key, &value) || !is_value(value))
            return -1;
        struct str *const kept = same(key, "host", false) ? &m->host : same(key, "port", false) ? &m->port : NULL;
        if (same(key, "auth", false)) {
            if (auth || !read_auth(value, &m->token))
                return -1;
            auth = true;
        } else if (kept != NULL) {
            if (kept->p != NULL)
                return -1;
            *kept = value;
        }
    }
}

int jwt_parse_oauthbearer(struct jwt_parse_message *m, struct str data)
{
    *m = (struct jwt_parse_message){ .name = "" };
    if (data.n > JWT_PARSE_MESSAGE_MAX || !read_gs2_header(m, &data) || data.n == 0 || data.p[0] != '\1')
        return -1;
    return read_pairs(m, (struct str){ data.p + 1, data.n - 1 });
}

/* user=NAME ^A auth=Bearer TOKEN ^A ^A: pairs as in the other mechanism, but the name in the first, of any characters. */
int jwt_parse_xoauth2(struct jwt_parse_message *m, struct str data)
{
    struct str first, key, value;
    size_t n = 0;
    *m = (struct jwt_parse_message){ .name = "" };
    if (data.n > JWT_PARSE_MESSAGE_MAX || !take_until(&data, '\1', &first) || !read_pair(first, &key, &value) ||
        !same(key, "user", false) || value.n == 0)
        return -1;
    for (size_t i = 0; i < value.n; i++)
        if (!add_to_name(m, &n, value.p[i]))
            return -1;
    return read_pairs(m, data);
}

static bool is_base64url(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (digit_of(s.p[i]) < 0)
            return false;
    return s.n > 0;
}

int jwt_parse_token(struct jwt_parse_token *t, struct str token)
{
    struct str in = token;
    if (!take_until(&in, '.', &t->header) || !take_until(&in, '.', &t->payload))
        return -1;
    t->signature = in;
    t->text = (struct str){ token.p, token.n - in.n - 1 };
    return is_base64url(t->header) && is_base64url(t->payload) && is_base64url(t->signature) ? 0 : -1;
}

int jwt_parse_base64url(struct str in, char *out, size_t size, size_t *n)
{
    uint32_t bits = 0;
    *n = 0;
    if (in.n % 4 == 1 || in.n / 4 * 3 + (in.n % 4 + 1) / 2 > size)
        return -1;
    for (size_t i = 0; i < in.n; i++) {
        const int v = digit_of(in.p[i]);
        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 != 0)
            out[(*n)++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xff);
    }
    return (in.n % 4 == 2 && (bits & 15) != 0) || (in.n % 4 == 3 && (bits & 3) != 0) ? -1 : 0;
}

bool jwt_parse_shallow(struct str json)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < json.n; i++) {
        const char c = json.p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > JWT_PARSE_DEPTH_MAX)
            return false;
        else if (!quoted && (c == '}' || c == ']') && depth > 0)
            depth--;
    }
    return true;
}
