/*
 * LANGUAGE (RFC 5255 section 3): what is told to people, in their language. Texts are made in English, everywhere, and
 * translated as they are written, by a table of patterns; response codes and all that a program reads are never touched.
 */
#include "session/language.h"

#include <string.h>
#include <utf8proc.h>

#include "session/command.h"

static const struct { const char *tag; const struct translation *table; } languages[LANGUAGES] = {
    [LANGUAGE_DEFAULT] = { "i-default", NULL }, [LANGUAGE_EN] = { "en", NULL }, [LANGUAGE_DE] = { "de", language_german }
};

const char *language_tag(enum language language)
{
    return languages[language].tag;
}

enum language language_of_tag(struct str tag)
{
    for (int i = 0; i < LANGUAGES; i++)
        if (str_ieq(tag, str_z(languages[i].tag)))
            return (enum language)i;
    return LANGUAGE_DEFAULT;
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool language_is_range(struct str range)
{
    enum { SUBTAG = 8 };
    size_t length = 0;
    bool first = true;
    if (str_eq(range, STR("*")))
        return true;
    for (size_t i = 0; i < range.n; i++) {
        const char c = range.p[i];
        if (c == '-') {
            if (length == 0)
                return false;
            length = 0;
            first = false;
        } else if (++length > SUBTAG || !(is_alpha(c) || (!first && c >= '0' && c <= '9'))) {
            return false;
        }
    }
    return length > 0;
}

/* Subtags are dropped from the end until a language is left that we have, single letters together with what followed them. "default"
 * is the administrator's choice. */
bool language_lookup(struct str range, enum language preferred, enum language *out)
{
    *out = preferred;
    if (str_ieq(range, STR("default")))
        return true;
    while (range.n > 0) {
        *out = language_of_tag(range);
        if (*out != LANGUAGE_DEFAULT || str_ieq(range, str_z(languages[LANGUAGE_DEFAULT].tag)))
            return true;
        while (range.n > 0 && range.p[range.n - 1] != '-')
            range.n--;
        range.n -= range.n > 0;
        if (range.n >= 2 && range.p[range.n - 2] == '-')
            range.n -= 2;
    }
    return false;
}

/* ---- translation -------------------------------------------------------------------------------------------------- */

enum { BLANKS = 4 };

/* Does text fit the pattern? Then what stands for each of its "%s" is in found. */
static bool fits(const char *pattern, struct str text, struct str found[BLANKS])
{
    const char *blank = strstr(pattern, "%s");
    const size_t head = blank != NULL ? (size_t)(blank - pattern) : strlen(pattern);
    size_t n = 0;
    if (text.n < head || memcmp(text.p, pattern, head) != 0)
        return false;
    text = (struct str){ text.p + head, text.n - head };
    while (blank != NULL && n < BLANKS) {
        const char *piece = blank + 2;
        blank = strstr(piece, "%s");
        const size_t k = blank != NULL ? (size_t)(blank - piece) : strlen(piece);
        const char *at = NULL;
        if (blank != NULL)
            at = memmem(text.p, text.n, piece, k);
        else if (text.n >= k && memcmp(text.p + text.n - k, piece, k) == 0)
            at = text.p + text.n - k;
        if (at == NULL || at == text.p)
            return false;
        found[n++] = (struct str){ text.p, (size_t)(at - text.p) };
        text = (struct str){ at + k, text.n - (size_t)(at - text.p) - k };
    }
    return text.n == 0;
}

static bool translate(struct buf *out, const struct translation *table, struct str text)
{
    struct str found[BLANKS];
    for (; table->english != NULL; table++) {
        if (!fits(table->english, text, found))
            continue;
        const char *at = table->other, *blank;
        for (size_t n = 0; (blank = strstr(at, "%s")) != NULL && n < BLANKS; n++, at = blank + 2) {
            buf_add(out, at, (size_t)(blank - at));
            buf_add(out, found[n].p, found[n].n);
        }
        buf_puts(out, at);
        return true;
    }
    return false;
}

/* "what: why" is translated in its halves where it is not known as a whole. */
static void translate_halves(struct buf *out, const struct translation *table, struct str text)
{
    const char *colon = NULL;
    if (translate(out, table, text))
        return;
    for (size_t i = 0; i + 2 < text.n; i++)
        if (text.p[i] == ':' && text.p[i + 1] == ' ')
            colon = text.p + i;
    const struct str what = { text.p, colon != NULL ? (size_t)(colon - text.p) : text.n };
    if (colon == NULL || !translate(out, table, what))
        buf_add(out, what.p, what.n);
    if (colon == NULL)
        return;
    const struct str why = { colon + 2, text.n - what.n - 2 };
    buf_puts(out, ": ");
    if (!translate(out, table, why))
        buf_add(out, why.p, why.n);
}

/* A line of printable characters, whatever a file name in it holds. */
static void add_printable(struct buf *out, struct str text, bool utf8)
{
    for (size_t i = 0; i < text.n;) {
        utf8proc_int32_t c = (unsigned char)text.p[i];
        utf8proc_ssize_t n = 1;
        if (c >= 0x80 && utf8)
            n = utf8proc_iterate((const utf8proc_uint8_t *)text.p + i, (utf8proc_ssize_t)(text.n - i), &c);
        if (n < 1 || c < ' ' || (c >= 0x7f && (!utf8 || c < 0xa0 || c == 0x2028 || c == 0x2029)))
            buf_addc(out, '?');
        else
            buf_add(out, text.p + i, (size_t)n);
        i += n < 1 ? 1 : (size_t)n;
    }
}

void language_text(struct buf *out, enum language language, const char *text)
{
    struct buf other = { 0 };
    const struct translation *table = languages[language].table;
    if (table != NULL)
        translate_halves(&other, table, str_z(text));
    add_printable(out, table != NULL ? buf_str(&other) : str_z(text), language != LANGUAGE_DEFAULT);
    buf_free(&other);
}

void write_text(struct session *s, const char *text)
{
    language_text(&s->io.output, s->language, text);
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

/* RFC 5255 section 3.2. The NAMESPACE response that may follow would say nothing: no name of ours is translated. */
enum outcome cmd_language(struct session *s, struct parse *p)
{
    static const char usage[] = "LANGUAGE [range ...]";
    struct str range;
    const char *set = s->config != NULL ? s->config->language : NULL;
    const enum language preferred = language_of_tag(str_z(set != NULL ? set : ""));
    enum language wanted = preferred;
    bool known = false, any = false;
    const bool asked = !parse_end(p);
    while (!parse_end(p)) {
        if (!parse_sp(p) || !parse_astring(p, &range) || !language_is_range(range))
            return bad_arguments(s, usage);
        if (str_eq(range, STR("*")))
            any = true;                  /* passed over where something else fits */
        else
            known = known || language_lookup(range, preferred, &wanted);
    }
    if (!asked) {
        io_printf(&s->io, "* LANGUAGE (%s %s %s)\r\n", language_tag(LANGUAGE_EN), language_tag(LANGUAGE_DE),
                  language_tag(LANGUAGE_DEFAULT));
        return OUTCOME_OK;
    }
    if (!known && !any)
        return say(s, OUTCOME_NO, NULL, "Unsupported language");
    s->language = known ? wanted : preferred;
    io_printf(&s->io, "* LANGUAGE (%s)\r\n", language_tag(s->language));
    return say(s, OUTCOME_OK, NULL, "Language changed");
}
