/*
 * The grammar of RFC 3501 section 9, as far as arguments need it (see parse.h).
 */
#include "session/parse.h"

#include <string.h>
#include <strings.h>

#include "store/date.h"
#include "store/store.h"
#include "store/text.h"

static size_t left(const struct parse *p)
{
    return (size_t)(p->end - p->at);
}

static bool is_atom_char(unsigned char c)
{
    return c > ' ' && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

static bool is_astring_char(unsigned char c)
{
    return is_atom_char(c) || c == ']' || c >= 0x80;      /* 8-bit: sent by clients in the wild, harmless */
}

bool parse_end(const struct parse *p)
{
    return p->at == p->end;
}

bool parse_char(struct parse *p, char c)
{
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

bool parse_sp(struct parse *p)
{
    return parse_char(p, ' ');
}

bool parse_word(struct parse *p, const char *word)
{
    const size_t n = strlen(word);
    if (left(p) < n || strncasecmp(p->at, word, n) != 0 || (left(p) > n && is_atom_char((unsigned char)p->at[n]) && p->at[n] != '['
        && p->at[n] != '<'))
        return false;
    p->at += n;
    return true;
}

static bool take(struct parse *p, bool (*is)(unsigned char c), struct str *out)
{
    const char *from = p->at;
    while (p->at < p->end && is((unsigned char)*p->at))
        p->at++;
    *out = (struct str){ from, (size_t)(p->at - from) };
    return out->n > 0;
}

static bool is_tag_char(unsigned char c)
{
    return (is_atom_char(c) || c == ']') && c != '+';
}

bool parse_tag(struct parse *p, struct str *out)
{
    return take(p, is_tag_char, out);
}

bool parse_atom(struct parse *p, struct str *out)
{
    return take(p, is_atom_char, out);
}

/* The room is that of this string alone: what follows it in the command may be long, and such strings many. */
static bool parse_quoted(struct parse *p, struct str *out)
{
    const char *const from = p->at + 1, *at = from;
    size_t escapes = 0, n = 0;
    for (; at < p->end && *at != '"'; at++) {
        if (*at == '\\') {
            escapes++;
            if (++at == p->end || (*at != '"' && *at != '\\'))
                return false;
        }
        if (*at == 0 || *at == '\r' || *at == '\n')
            return false;
    }
    if (at == p->end)
        return false;
    char *text = arena_alloc(p->arena, (size_t)(at - from) - escapes + 1);
    for (const char *c = from; c < at; c++) {
        if (*c == '\\')
            c++;
        text[n++] = *c;
    }
    if (p->utf8 && !text_is_utf8((struct str){ text, n }))
        return false;
    p->at = at + 1;
    *out = (struct str){ text, n };
    return true;
}

static bool parse_literal(struct parse *p, struct str *out)
{
    const char *at = p->at + 1;
    uint64_t n = 0;
    if (at == p->end || *at < '0' || *at > '9')
        return false;
    for (; at < p->end && *at >= '0' && *at <= '9'; at++) {
        n = n * 10 + (uint64_t)(*at - '0');
        if (n > UINT32_MAX)
            return false;
    }
    if (at < p->end && (*at == '+' || *at == '-'))
        at++;
    if (p->end - at < 3 || memcmp(at, "}\r\n", 3) != 0 || (uint64_t)(p->end - at - 3) < n || memchr(at + 3, 0, (size_t)n) != NULL)
        return false;
    *out = (struct str){ at + 3, (size_t)n };
    p->at = at + 3 + n;
    return true;
}

bool parse_string(struct parse *p, struct str *out)
{
    if (p->at == p->end)
        return false;
    return *p->at == '"' ? parse_quoted(p, out) : *p->at == '{' && parse_literal(p, out);
}

bool parse_astring(struct parse *p, struct str *out)
{
    if (p->at == p->end)
        return false;
    if (*p->at == '"' || *p->at == '{')
        return parse_string(p, out);
    return take(p, is_astring_char, out);
}

static bool is_list_char(unsigned char c)
{
    return is_astring_char(c) || c == '%' || c == '*';
}

bool parse_list_mailbox(struct parse *p, struct str *out)
{
    if (p->at == p->end)
        return false;
    if (*p->at == '"' || *p->at == '{')
        return parse_string(p, out);
    return take(p, is_list_char, out);
}

static bool number_to(struct parse *p, uint64_t max, uint64_t *out)
{
    const char *at = p->at;
    uint64_t n = 0;
    if (at == p->end || *at < '0' || *at > '9')
        return false;
    for (; at < p->end && *at >= '0' && *at <= '9'; at++) {
        const unsigned digit = (unsigned)(*at - '0');
        if (n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    p->at = at;
    *out = n;
    return true;
}

bool parse_number64(struct parse *p, uint64_t *out)
{
    return number_to(p, INT64_MAX, out);
}

bool parse_number(struct parse *p, uint32_t *out)
{
    uint64_t n;
    if (!number_to(p, UINT32_MAX, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

bool parse_nz_number(struct parse *p, uint32_t *out)
{
    const char *at = p->at;
    if (parse_number(p, out) && *out != 0)
        return true;
    p->at = at;
    return false;
}

static bool seq_number(struct parse *p, uint32_t *out)
{
    if (parse_char(p, '*')) {
        *out = UINT32_MAX;
        return true;
    }
    return parse_nz_number(p, out);
}

bool parse_set(struct parse *p, struct set *out)
{
    const char *start = p->at;
    size_t commas = 0;
    for (const char *c = p->at; c < p->end && *c != ' '; c++)
        commas += *c == ',';
    if (commas >= SET_RANGES)
        return false;
    *out = (struct set){ .saved = parse_char(p, '$') };
    if (out->saved)
        return true;
    out->list = arena_alloc(p->arena, (commas + 1) * sizeof *out->list);
    do {
        struct range r = { 0 };
        const bool good = seq_number(p, &r.first);
        r.last = r.first;
        if (!good || (parse_char(p, ':') && !seq_number(p, &r.last))) {
            p->at = start;
            return false;
        }
        if (r.first > r.last)
            r = (struct range){ r.last, r.first };
        out->list[out->n++] = r;
    } while (parse_char(p, ','));
    return true;
}

bool parse_partial(struct parse *p, struct partial *out)
{
    const char *start = p->at;
    const bool minus = parse_char(p, '-');
    uint32_t a, b;
    if (!parse_nz_number(p, &a) || !parse_char(p, ':') || parse_char(p, '-') != minus || !parse_nz_number(p, &b)) {
        p->at = start;
        return false;
    }
    const int64_t first = a < b ? a : b, last = a < b ? b : a;
    *out = (struct partial){ minus ? -first : first, minus ? -last : last, a > b };
    return true;
}

static bool month(struct parse *p, int *out)
{
    *out = left(p) >= 3 ? date_month(p->at) : 0;
    if (*out == 0)
        return false;
    p->at += 3;
    return true;
}

static bool digits(struct parse *p, size_t least, size_t most, int *out)
{
    size_t n = 0;
    *out = 0;
    while (n < most && p->at < p->end && *p->at >= '0' && *p->at <= '9') {
        *out = *out * 10 + (*p->at++ - '0');
        n++;
    }
    return n >= least;
}

static bool date_text(struct parse *p, size_t least, int32_t *day)
{
    int d, m, y;
    if (!digits(p, least, 2, &d) || !parse_char(p, '-') || !month(p, &m) || !parse_char(p, '-') || !digits(p, 4, 4, &y)
        || !date_valid(y, m, d))
        return false;
    *day = (int32_t)date_days(y, m, d);
    return true;
}

bool parse_date(struct parse *p, int32_t *day)
{
    const bool quoted = parse_char(p, '"');
    return date_text(p, 1, day) && (!quoted || parse_char(p, '"'));
}

bool parse_date_time(struct parse *p, int64_t *date, int *zone)
{
    int32_t day;
    int h, m, s, z;
    if (!parse_char(p, '"'))
        return false;
    parse_sp(p);
    if (!date_text(p, 1, &day) || !parse_sp(p) || !digits(p, 2, 2, &h) || !parse_char(p, ':') || !digits(p, 2, 2, &m)
        || !parse_char(p, ':') || !digits(p, 2, 2, &s) || !parse_sp(p) || h > 23 || m > 59 || s > 60)
        return false;
    const bool minus = p->at < p->end && *p->at == '-';
    if (!(parse_char(p, '+') || parse_char(p, '-')) || !digits(p, 4, 4, &z) || z % 100 > 59 || z > 1500 || !parse_char(p, '"'))
        return false;
    *zone = z / 100 * 60 + z % 100;
    if (minus)
        *zone = -*zone;
    *date = (int64_t)day * 86400 + h * 3600 + m * 60 + s - *zone * 60;
    return true;
}

static bool one_flag(struct parse *p, struct flags *out)
{
    static const struct { const char *name; unsigned bit; } system_flags[] = {
        { "Seen", FLAG_SEEN }, { "Answered", FLAG_ANSWERED }, { "Flagged", FLAG_FLAGGED }, { "Deleted", FLAG_DELETED },
        { "Draft", FLAG_DRAFT } };
    struct str name;
    if (!parse_char(p, '\\')) {
        if (!parse_atom(p, &name))
            return false;
        for (size_t i = 0; i < out->n; i++)
            if (str_ieq(out->keywords[i], name))
                return true;
        out->keywords[out->n++] = name;
        return true;
    }
    if (!parse_atom(p, &name))
        return false;
    for (size_t i = 0; i < 5; i++) {
        if (str_ieq(name, str_z(system_flags[i].name))) {
            out->bits |= system_flags[i].bit;
            return true;
        }
    }
    return false;
}

bool parse_flags(struct parse *p, bool parentheses, struct flags *out)
{
    size_t most = 1;
    for (const char *c = p->at; c < p->end; c++)
        most += *c == ' ';
    *out = (struct flags){ .keywords = arena_alloc(p->arena, most * sizeof(struct str)) };
    if (!parse_char(p, '(')) {
        if (parentheses)
            return false;
        do {
            if (!one_flag(p, out))
                return false;
        } while (parse_sp(p));
        return true;
    }
    if (parse_char(p, ')'))
        return true;
    do {
        if (!one_flag(p, out))
            return false;
    } while (parse_sp(p));
    return parse_char(p, ')');
}
