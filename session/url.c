/*
 * IMAP URLs (see url.h): split at the parameters, decoded after that, so that an encoded ";" or "/" separates nothing.
 */
#include "session/url.h"

#include <string.h>
#include <strings.h>

struct cursor { const char *at, *end; };

static bool skip_word(struct cursor *c, const char *word)
{
    const size_t n = strlen(word);
    if ((size_t)(c->end - c->at) < n || strncasecmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* bchar of RFC 5092 unless it is "%". Octets of UTF-8 are taken as they are, as clients send them. */
static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80
        || (c != 0 && strchr("-._~!$'()*+,&=:@/", c) != NULL);
}

static bool decode(const char *from, const char *end, struct arena *a, struct str *out)
{
    char *text = arena_alloc(a, (size_t)(end - from) + 1);
    size_t n = 0;
    for (; from < end; from++) {
        if (*from == '%') {
            if (end - from < 3 || hex(from[1]) < 0 || hex(from[2]) < 0)
                return false;
            text[n] = (char)(hex(from[1]) * 16 + hex(from[2]));
            if (text[n++] == 0)
                return false;
            from += 2;
        } else if (is_plain(*from)) {
            text[n++] = *from;
        } else {
            return false;
        }
    }
    *out = (struct str){ text, n };
    return n > 0;
}

static bool number(struct cursor *c, uint64_t least, uint64_t most, uint64_t *out)
{
    const char *at = c->at;
    for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        const uint64_t digit = (uint64_t)(*c->at - '0');
        if (*out > (most - digit) / 10)
            return false;
        *out = *out * 10 + digit;
    }
    return c->at > at && *out >= least;
}

static bool number32(struct cursor *c, uint32_t *out)
{
    uint64_t n;
    if (!number(c, 1, UINT32_MAX, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

/* enc-mailbox ends at the first ";", or at the "/" before it. */
static bool mailbox(struct cursor *c, struct arena *a, struct imap_url *out)
{
    const char *semicolon = memchr(c->at, ';', (size_t)(c->end - c->at)), *end = semicolon;
    if (semicolon == NULL || semicolon == c->at)
        return false;
    if (end[-1] == '/')
        end--;
    if (*c->at == '/' || !decode(c->at, end, a, &out->mailbox))
        return false;
    c->at = end;
    if (skip_word(c, ";UIDVALIDITY=") && !number32(c, &out->uidvalidity))
        return false;
    return skip_word(c, "/");
}

/* enc-section ends at the next ";", or at the "/" before it. */
static bool section(struct cursor *c, struct arena *a, struct imap_url *out)
{
    const char *semicolon = memchr(c->at, ';', (size_t)(c->end - c->at)), *end = semicolon != NULL ? semicolon : c->end;
    if (semicolon != NULL && end > c->at && end[-1] == '/')
        end--;
    if (!decode(c->at, end, a, &out->section))
        return false;
    c->at = end;
    return true;
}

static bool range(struct cursor *c, struct imap_url *out)
{
    out->partial = true;
    out->length = UINT64_MAX;
    return number(c, 0, INT64_MAX, &out->from) && (!skip_word(c, ".") || number(c, 1, INT64_MAX, &out->length));
}

/* What is kept as written has URL characters only; brackets are of an IPv6 address. */
static bool is_written(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_plain(text.p[i]) && (text.p[i] == 0 || strchr("%;[]", text.p[i]) == NULL))
            return false;
    return text.n > 0;
}

static bool server(struct cursor *c, struct imap_url *out)
{
    const char *slash = memchr(c->at, '/', (size_t)(c->end - c->at));
    if (slash == NULL || slash == c->at)
        return false;
    out->server = (struct str){ c->at, (size_t)(slash - c->at) };
    c->at = slash + 1;
    return is_written(out->server);
}

bool url_parse(struct str text, struct arena *a, struct imap_url *out)
{
    struct cursor c = { text.p, text.p + text.n };
    *out = (struct imap_url){ .uid = 0 };
    if (text.n == 0)
        return false;
    if (skip_word(&c, "imap://") || skip_word(&c, "//")) {
        if (!server(&c, out) || !mailbox(&c, a, out))
            return false;
    } else if (skip_word(&c, "/")) {
        if (!mailbox(&c, a, out))
            return false;
    }
    if (!skip_word(&c, ";UID=") || !number32(&c, &out->uid))
        return false;
    if (skip_word(&c, "/;SECTION=") && !section(&c, a, out))
        return false;
    if (skip_word(&c, "/;PARTIAL=") && !range(&c, out))
        return false;
    if (c.at < c.end && (skip_word(&c, ";EXPIRE=") || skip_word(&c, ";URLAUTH="))) {
        const char *from = c.at;
        while (*--from != ';')
            ;
        out->rest = (struct str){ from, (size_t)(c.end - from) };
        return is_written(out->rest);
    }
    return c.at == c.end;
}
