/*
 * Charsets. UTF-8 and US-ASCII, which most mail is in, are only checked; the rest is iconv(3)'s. A name from a message is
 * given to iconv only if it looks like a charset's name: '/' would let it choose suffixes and files.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/xmalloc.h"
#include "store/text_private.h"

static const char replacement[] = "\xef\xbf\xbd";      /* U+FFFD */

/* Length of the UTF-8 character at p (RFC 3629); 0: none; -1: its beginning, but it is cut off. */
static int utf8_length(const char *p, size_t n)
{
    const unsigned char *u = (const unsigned char *)p;
    const int need = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;

    for (int i = 1; i < need; i++) {
        if ((size_t)i == n) return -1;
        const unsigned low = i > 1 ? 0x80 : u[0] == 0xe0 ? 0xa0 : u[0] == 0xf0 ? 0x90 : 0x80;
        const unsigned high = i > 1 ? 0xbf : u[0] == 0xed ? 0x9f : u[0] == 0xf4 ? 0x8f : 0xbf;
        if (u[i] < low || u[i] > high) return 0;
    }
    return need;
}

/* Octets at the beginning of p that are ASCII. */
static size_t ascii_run(const char *p, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= n; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        if (word & UINT64_C(0x8080808080808080)) break;
    }
    while (i < n && !((unsigned char)p[i] & 0x80)) i++;
    return i;
}

/* Passes what is UTF-8 on, U+FFFD for the rest (guess: ISO-8859-1 for the rest). Returns octets used. */
static size_t utf8_copy(struct buf *out, const char *in, size_t n, bool guess)
{
    size_t i = 0;

    while (i < n) {
        const size_t run = ascii_run(in + i, n - i);
        if (run) buf_add(out, in + i, run);
        i += run;
        if (i == n) break;
        const int len = utf8_length(in + i, n - i);
        if (len < 0) break;
        if (len > 0) {
            buf_add(out, in + i, (size_t)len);
            i += (size_t)len;
            continue;
        }
        const unsigned char c = (unsigned char)in[i++];
        if (!guess) buf_add(out, replacement, 3);
        else buf_addc(out, 0xc0 | c >> 6), buf_addc(out, 0x80 | (c & 0x3f));
    }
    return i;
}

static size_t iconv_copy(struct buf *out, iconv_t cd, const char *in, size_t n)
{
    char *from = (char *)(uintptr_t)in;              /* iconv does not write there */
    size_t left = n;

    while (left) {
        size_t room = left * 4 + 64;
        char *to = buf_room(out, room), *const start = to;
        const size_t rc = iconv(cd, &from, &left, &to, &room);
        out->len += (size_t)(to - start);
        out->data[out->len] = '\0';
        if (rc != (size_t)-1) break;
        if (errno == EINVAL) break;
        if (errno != E2BIG) {
            buf_add(out, replacement, 3);
            from++;
            left--;
        }
    }
    return n - left;
}

/* The name in capitals as iconv may see it; false: it must not. */
static bool clean_name(struct str name, char out[CHARSET_NAME + 1])
{
    static const struct { const char from[20], to[20]; } aliases[] = {      /* names of mail programs */
        { "GB2312", "GB18030" },       { "GBK", "GB18030" },         { "X-GBK", "GB18030" },    { "X-SJIS", "CP932" },
        { "SHIFT_JIS", "CP932" },      { "SHIFT-JIS", "CP932" },     { "KS_C_5601-1987", "UHC" }, { "KS_C_5601-1989", "UHC" },
        { "EUC-KR", "UHC" },           { "X-UTF-8", "UTF-8" },       { "X-MAC-ROMAN", "MACINTOSH" }, { "MACINTOSH", "MACINTOSH" },
        { "UNICODE-1-1-UTF-7", "UTF-7" }, { "ISO-8859-8-I", "ISO-8859-8" }, { "TIS-620", "CP874" },
    };
    if (name.n == 0 || name.n > CHARSET_NAME) return false;
    for (size_t i = 0; i < name.n; i++) {
        const unsigned char c = (unsigned char)name.p[i];
        if (!isascii(c) || (!isalnum(c) && !strchr("-_.:+", c))) return false;
        out[i] = (char)toupper(c);
    }
    out[name.n] = '\0';
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strncmp(out, aliases[i].from, sizeof aliases[i].from) == 0) {
            memcpy(out, aliases[i].to, sizeof aliases[i].to);
            break;
        }
    return true;
}

static bool is_utf8(const char *name)
{
    static const char names[][20] = { "UTF-8", "UTF8", "US-ASCII", "ASCII", "ANSI_X3.4-1968", "ISO-IR-6", "CP367" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* The entry of a name that is clean. */
static const struct charset_entry *cached(struct charset_cache *cache, const char *name, struct str asked)
{
    for (unsigned i = 0; i < cache->n; i++)
        if (strcmp(cache->entry[i].name, name) == 0) return &cache->entry[i];
    if (cache->n == CHARSET_CACHE) charset_cache_free(cache);
    struct charset_entry *e = &cache->entry[cache->n++];
    memccpy(e->name, name, 0, sizeof e->name);
    memcpy(e->asked, asked.p, asked.n);
    e->asked_n = (unsigned char)asked.n;
    e->cd = is_utf8(name) ? (iconv_t)-1 : iconv_open("UTF-8", name);
    e->kind = is_utf8(name) ? CHARSET_UTF8 : e->cd != (iconv_t)-1 ? CHARSET_ICONV : CHARSET_GUESS;
    return e;
}

void charset_cache_free(struct charset_cache *c)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->entry[i].cd != (iconv_t)-1) iconv_close(c->entry[i].cd);
    c->n = 0;
}

struct charset_cache *charset_cache_new(void)
{
    return xcalloc(1, sizeof(struct charset_cache));
}

void charset_cache_delete(struct charset_cache *c)
{
    if (c) charset_cache_free(c);
    free(c);
}

void charset_open(struct charset *c, struct charset_cache *cache, struct str name)
{
    char clean[CHARSET_NAME + 1];
    const struct charset_entry *e = NULL;

    *c = (struct charset){ .kind = name.p ? CHARSET_GUESS : CHARSET_UTF8, .cd = (iconv_t)-1 };
    if (!name.p) return;
    for (unsigned i = 0; i < cache->n && !e; i++)
        if (cache->entry[i].asked_n == name.n && memcmp(cache->entry[i].asked, name.p, name.n) == 0) e = &cache->entry[i];
    if (!e) {
        if (!clean_name(name, clean)) return;
        e = cached(cache, clean, name);
    }
    c->kind = e->kind;
    c->cd = e->cd;
    if (c->kind == CHARSET_ICONV) iconv(c->cd, NULL, NULL, NULL, NULL);
}

static size_t convert(struct charset *c, struct buf *out, const char *in, size_t n)
{
    return c->kind == CHARSET_ICONV ? iconv_copy(out, c->cd, in, n) : utf8_copy(out, in, n, c->kind == CHARSET_GUESS);
}

void charset_feed(struct charset *c, struct buf *out, const char *in, size_t n)
{
    /* A character that lies across two pieces is completed octet by octet. */
    while (c->pending_n && n) {
        if (c->pending_n == sizeof c->pending) {
            buf_add(out, replacement, 3);
            c->pending_n = 0;
            break;
        }
        c->pending[c->pending_n++] = *in++;
        n--;
        const size_t used = convert(c, out, c->pending, c->pending_n);
        c->pending_n -= used;
        memmove(c->pending, c->pending + used, c->pending_n);
    }
    if (n == 0) return;
    size_t used = convert(c, out, in, n);
    while (n - used > sizeof c->pending) {             /* more than any character has: passed */
        buf_add(out, replacement, 3);
        used++;
        used += convert(c, out, in + used, n - used);
    }
    c->pending_n = n - used;
    memcpy(c->pending, in + used, c->pending_n);
}

void charset_end(struct charset *c, struct buf *out)
{
    for (size_t i = 0; i < c->pending_n; i++) {
        const unsigned char u = (unsigned char)c->pending[i];
        if (c->kind != CHARSET_GUESS) {
            buf_add(out, replacement, 3);
            break;
        }
        buf_addc(out, 0xc0 | u >> 6);
        buf_addc(out, 0x80 | (u & 0x3f));
    }
    if (c->kind == CHARSET_ICONV) {
        size_t room = 64;
        char *to = buf_room(out, room), *const start = to;
        if (iconv(c->cd, NULL, NULL, &to, &room) != (size_t)-1) out->len += (size_t)(to - start);
        out->data[out->len] = '\0';
    }
    c->pending_n = 0;
}

bool text_charset_known(struct str charset)
{
    struct charset_cache cache = { .n = 0 };
    struct charset c;

    charset_open(&c, &cache, charset.p ? charset : STR(""));
    charset_cache_free(&cache);
    return c.kind != CHARSET_GUESS;
}

int text_to_utf8(struct buf *out, struct str charset, struct str in)
{
    struct charset_cache cache = { .n = 0 };
    struct charset c;

    charset_open(&c, &cache, charset.p ? charset : STR(""));
    if (c.kind != CHARSET_GUESS) {
        charset_feed(&c, out, in.p, in.n);
        charset_end(&c, out);
    }
    charset_cache_free(&cache);
    return c.kind == CHARSET_GUESS ? -1 : 0;
}
