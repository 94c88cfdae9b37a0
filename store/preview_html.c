/*
 * The text of HTML: tags, comments and what is not shown are left out, character references decoded. No more is understood
 * of HTML than a preview needs.
 */
#include <stdlib.h>
#include <string.h>

#include "store/preview.h"
#include "store/preview_private.h"

/* ---- character references --------------------------------------------------------------------------------------------- */

static const char *const latin1[] = {    /* from U+00A0 */
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy", "reg", "macr",
    "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm", "raquo", "frac14", "frac12",
    "frac34", "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc",
    "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash",
    "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring",
    "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve",
    "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
};
static const struct reference { const char *name; uint32_t character; } references[] = {
    { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' }, { "ensp", 0x2002 }, { "emsp", 0x2003 },
    { "thinsp", 0x2009 }, { "zwnj", 0x200c }, { "zwj", 0x200d }, { "lrm", 0x200e }, { "rlm", 0x200f }, { "ndash", 0x2013 },
    { "mdash", 0x2014 }, { "lsquo", 0x2018 }, { "rsquo", 0x2019 }, { "sbquo", 0x201a }, { "ldquo", 0x201c }, { "rdquo", 0x201d },
    { "bdquo", 0x201e }, { "bull", 0x2022 }, { "hellip", 0x2026 }, { "lsaquo", 0x2039 }, { "rsaquo", 0x203a }, { "euro", 0x20ac },
    { "trade", 0x2122 }, { "rarr", 0x2192 }, { "larr", 0x2190 }, { "OElig", 0x152 }, { "oelig", 0x153 }, { "Scaron", 0x160 },
    { "scaron", 0x161 },
};
/* What Windows-1252 has at 0x80: numbers of that range mean these. */
static const uint16_t windows[32] = {
    0x20ac, 0xfffd, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0xfffd, 0x17d, 0xfffd,
    0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0xfffd, 0x17e, 0x178,
};

static uint32_t named(struct str name)
{
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        if (str_eq(name, str_z(references[i].name)))
            return references[i].character;
    for (size_t i = 0; i < sizeof latin1 / sizeof *latin1; i++)
        if (str_eq(name, str_z(latin1[i])))
            return (uint32_t)(0xa0 + i);
    return 0;
}

static uint32_t numbered(struct str digits, unsigned base)
{
    uint32_t c = 0;
    for (size_t i = 0; i < digits.n; i++) {
        const char d = digits.p[i], low = (char)(d | 0x20);
        const unsigned v = d >= '0' && d <= '9' ? (unsigned)(d - '0') : low >= 'a' && low <= 'f' ? (unsigned)(low - 'a') + 10 : 99;
        if (v >= base)
            return 0;
        c = c < 0x110000 ? c * base + v : c;
    }
    if (c >= 0x80 && c < 0xa0)
        return windows[c - 0x80];
    return c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c;
}

/* At '&'. What is no reference is itself. */
static uint32_t take_reference(const char **at, const char *end)
{
    enum { LONGEST = 12 };
    const char *p = *at + 1, *q = p;
    uint32_t c = 0;
    while (q < end && q - p < LONGEST && (*q == '#' || (*q >= '0' && *q <= '9') || ((*q | 0x20) >= 'a' && (*q | 0x20) <= 'z')))
        q++;
    const struct str name = { p, (size_t)(q - p) };
    if (name.n > 2 && p[0] == '#' && (p[1] | 0x20) == 'x')
        c = numbered((struct str){ p + 2, name.n - 2 }, 16);
    else if (name.n > 1 && p[0] == '#')
        c = numbered((struct str){ p + 1, name.n - 1 }, 10);
    else if (name.n > 0)
        c = named(name);
    if (c == 0) {
        *at = p;
        return '&';
    }
    *at = q < end && *q == ';' ? q + 1 : q;
    return c;
}

/* ---- tags ------------------------------------------------------------------------------------------------------------- */

static bool one_of(struct str name, const char *const *list)
{
    for (; *list != NULL; list++)
        if (str_ieq(name, str_z(*list)))
            return true;
    return false;
}

/* Behind the next "</name" and its '>', or the end. */
static const char *skip_element(const char *p, const char *end, struct str name)
{
    while (p < end && (p = memchr(p, '<', (size_t)(end - p))) != NULL) {
        if ((size_t)(end - p) > name.n + 2 && p[1] == '/' && str_ieq((struct str){ p + 2, name.n }, name)) {
            const char *stop = memchr(p, '>', (size_t)(end - p));
            return stop != NULL ? stop + 1 : end;
        }
        p++;
    }
    return end;
}

static const char *skip_comment(const char *p, const char *end)
{
    const char *stop = memmem(p + 4, (size_t)(end - p - 4), "-->", 3);
    return stop != NULL ? stop + 3 : end;
}

/* Behind the '>' that ends the tag; one in an attribute's quotes does not. */
static const char *tag_end(const char *p, const char *end)
{
    char quote = 0;
    for (; p < end; p++) {
        if (quote != 0 ? *p == quote : *p == '>') {
            if (quote == 0)
                return p + 1;
            quote = 0;
        } else if (quote == 0 && (*p == '"' || *p == '\'') && p[-1] == '=') {
            quote = *p;
        }
    }
    return end;
}

/* At '<'. *gap: words on both sides are not one word. NULL: no tag, the '<' is text. */
static const char *skip_tag(const char *p, const char *end, bool *gap)
{
    static const char *const hidden[] = { "style", "script", "title", "template", "noscript", "select", "textarea", NULL };
    static const char *const within[] = { "a", "abbr", "b", "big", "bdi", "bdo", "cite", "code", "em", "font", "i", "ins", "kbd", "mark", "q",
                                          "s", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr", NULL };
    const char *name = p + 1;
    *gap = true;
    if (end - p >= 4 && memcmp(p, "<!--", 4) == 0)
        return *gap = false, skip_comment(p, end);
    if (name < end && (*name == '!' || *name == '?'))
        return tag_end(name, end);
    const bool closing = name < end && *name == '/';
    if (closing)
        name++;
    const char *q = name;
    while (q < end && (((*q | 0x20) >= 'a' && (*q | 0x20) <= 'z') || (q > name && *q >= '0' && *q <= '9')))
        q++;
    if (q == name)
        return NULL;
    const struct str which = { name, (size_t)(q - name) };
    *gap = !one_of(which, within);
    const char *behind = tag_end(q, end);
    if (closing || !one_of(which, hidden) || behind[-1] != '>' || behind[-2] == '/')
        return behind;
    return skip_element(behind, end, which);
}

bool preview_html(struct buf *out, struct str utf8)
{
    struct preview_text t = { .out = out };
    const char *p = utf8.p, *const end = p + utf8.n;
    while (p < end) {
        bool gap = false;
        const char *behind = *p == '<' ? skip_tag(p, end, &gap) : NULL;
        if (behind != NULL) {
            p = behind;
            if (gap)
                preview_add(&t, ' ');
            continue;
        }
        const uint32_t c = *p == '&' ? take_reference(&p, end) : preview_character(&p, end);
        if (!preview_add(&t, c))
            return true;
    }
    return false;
}
