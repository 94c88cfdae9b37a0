/*
 * Arguments of GETMETADATA, SETMETADATA (RFC 5464 section 5) and CREATE's USE (RFC 6154 section 6).
 */
#include <string.h>

#include "session/metadata.h"

static bool entry_name(struct parse *p, bool whole, struct str *out)
{
    return parse_astring(p, out) && metadata_name_valid(*out, whole);
}

/* Names up to one that does not follow a space. */
static bool entry_names(struct parse *p, struct str **names, size_t *n)
{
    *names = arena_alloc(p->arena, METADATA_ENTRIES * sizeof **names);
    *n = 0;
    do {
        if (*n == METADATA_ENTRIES || !entry_name(p, false, &(*names)[*n]))
            return false;
        ++*n;
    } while (parse_sp(p));
    return true;
}

bool parse_entry_names(struct parse *p, struct str **names, size_t *n)
{
    if (parse_char(p, '('))
        return entry_names(p, names, n) && parse_char(p, ')');
    *names = arena_alloc(p->arena, sizeof **names);
    *n = 1;
    return entry_name(p, false, *names);
}

/* "(" options ")"; without moving if what is here is something else. */
static bool options(struct parse *p, struct getmetadata *out)
{
    const struct parse start = *p;
    uint32_t number;
    bool good = parse_char(p, '(');
    while (good) {
        if (parse_word(p, "MAXSIZE") && parse_sp(p) && parse_number(p, &number))
            out->max_size = number;
        else if (parse_word(p, "DEPTH") && parse_sp(p) && (parse_word(p, "0") || parse_word(p, "1") || parse_word(p, "infinity")))
            out->depth = p->at[-1] == '0' ? DEPTH_0 : p->at[-1] == '1' ? DEPTH_1 : DEPTH_INFINITY;
        else
            good = false;
        if (good && !parse_sp(p))
            break;
    }
    if (good && parse_char(p, ')'))
        return true;
    *p = start;
    return false;
}

/* The grammar has the options before the mailbox, its examples have them behind it; the entries are in parentheses there, or
 * not: all this is in use. */
bool parse_getmetadata(struct parse *p, struct getmetadata *out)
{
    *out = (struct getmetadata){ .max_size = UINT64_MAX };
    if (!parse_sp(p) || (options(p, out) && !parse_sp(p)) || !parse_astring(p, &out->mailbox) || !parse_sp(p)
        || (options(p, out) && !parse_sp(p)))
        return false;
    if (p->at < p->end && *p->at == '(')
        return parse_entry_names(p, &out->names, &out->n) && parse_end(p);
    return entry_names(p, &out->names, &out->n) && parse_end(p);
}

/* literal8 of RFC 4466: "~{n}", "~{n+}", any octets. */
static bool literal8(struct parse *p, struct str *out)
{
    uint64_t n;
    const struct parse start = *p;
    if (parse_char(p, '~') && parse_char(p, '{') && parse_number64(p, &n)) {
        parse_char(p, '+');
        if (p->end - p->at >= 3 && memcmp(p->at, "}\r\n", 3) == 0 && (uint64_t)(p->end - p->at - 3) >= n) {
            *out = (struct str){ p->at + 3, (size_t)n };
            p->at += 3 + n;
            return true;
        }
    }
    *p = start;
    return false;
}

bool parse_setmetadata(struct parse *p, struct str *mailbox, struct metadata_entry **entries, size_t *n)
{
    *n = 0;
    *entries = arena_alloc(p->arena, (METADATA_ENTRIES + 1) * sizeof **entries);
    if (!parse_sp(p) || !parse_astring(p, mailbox) || !parse_sp(p) || !parse_char(p, '('))
        return false;
    do {
        struct metadata_entry *entry = &(*entries)[*n <= METADATA_ENTRIES ? *n : METADATA_ENTRIES];
        if (!entry_name(p, true, &entry->name) || !parse_sp(p))
            return false;
        entry->value = (struct str){ NULL, 0 };
        if (!parse_word(p, "NIL") && !parse_string(p, &entry->value) && !literal8(p, &entry->value))
            return false;
        ++*n;
    } while (parse_sp(p));
    return parse_char(p, ')') && parse_end(p);
}

bool parse_create_use(struct parse *p, struct create_use *out)
{
    struct str name;
    *out = (struct create_use){ .given = false };
    if (parse_end(p))
        return true;
    out->given = true;
    if (!parse_sp(p) || !parse_char(p, '(') || !parse_word(p, "USE") || !parse_sp(p) || !parse_char(p, '('))
        return false;
    if (!parse_char(p, ')')) {
        do {
            const char *from = p->at;
            if (!parse_char(p, '\\') || !parse_atom(p, &name))
                return false;
            const struct str attribute = { from, (size_t)(p->at - from) };
            const unsigned bit = special_use_bit(attribute);
            out->uses |= bit;
            if (bit == 0 && out->unknown.p == NULL)
                out->unknown = attribute;
        } while (parse_sp(p));
        if (!parse_char(p, ')'))
            return false;
    }
    return parse_char(p, ')');
}
