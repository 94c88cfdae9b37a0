/*
 * The arguments of FETCH (RFC 3501 section 6.4.5 and fetch-att of section 9).
 */
#include <string.h>

#include "session/fetch.h"
#include "store/fields.h"

static const struct fetch_name {
    const char *name;
    enum fetch_type type;
} fetch_names[] = {
    { "FLAGS", FETCH_FLAGS }, { "UID", FETCH_UID }, { "MODSEQ", FETCH_MODSEQ }, { "SAVEDATE", FETCH_SAVEDATE },
    { "INTERNALDATE", FETCH_DATE }, { "RFC822.SIZE", FETCH_SIZE },
    { "ENVELOPE", FETCH_ENVELOPE }, { "BODYSTRUCTURE", FETCH_BODYSTRUCTURE }, { "RFC822.HEADER", FETCH_RFC822_HEADER },
    { "RFC822.TEXT", FETCH_RFC822_TEXT }, { "RFC822", FETCH_RFC822 }, { "EMAILID", FETCH_EMAILID }, { "THREADID", FETCH_THREADID },
};
static const struct fetch_macro {
    const char *name;
    enum fetch_type types[5];
    size_t n;
} fetch_macros[] = {
    { "ALL", { FETCH_FLAGS, FETCH_DATE, FETCH_SIZE, FETCH_ENVELOPE }, 4 }, { "FAST", { FETCH_FLAGS, FETCH_DATE, FETCH_SIZE }, 3 },
    { "FULL", { FETCH_FLAGS, FETCH_DATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY }, 5 },
};

static bool header_fields(struct session *s, struct parse *p, struct fetch_item *item)
{
    size_t most = 1;
    for (const char *c = p->at; c < p->end && *c != ']'; c++)
        most += *c == ' ';
    item->fields = arena_alloc(s->arena, most * 2 * sizeof *item->fields);
    if (!parse_sp(p) || !parse_char(p, '('))
        return false;
    do {
        if (item->field_count == most * 2 || !parse_astring(p, &item->fields[item->field_count]) || item->fields[item->field_count].n == 0)
            return false;
        item->field_count++;
    } while (parse_sp(p));
    return parse_char(p, ')');
}

static bool section_text(struct session *s, struct parse *p, struct fetch_item *item)
{
    if (parse_word(p, "HEADER.FIELDS.NOT")) {
        item->text = SECTION_FIELDS_NOT;
        return header_fields(s, p, item);
    }
    if (parse_word(p, "HEADER.FIELDS")) {
        item->text = SECTION_FIELDS;
        return header_fields(s, p, item);
    }
    item->text = parse_word(p, "HEADER") ? SECTION_HEADER : parse_word(p, "TEXT") ? SECTION_TEXT
        : item->depth > 0 && parse_word(p, "MIME") ? SECTION_MIME : SECTION_ALL;
    return item->text != SECTION_ALL;
}

/* Behind "[": section-spec and "]". */
static bool section(struct session *s, struct parse *p, struct fetch_item *item)
{
    if (parse_char(p, ']'))
        return true;
    item->path = arena_alloc(s->arena, SECTION_DEPTH * sizeof *item->path);
    uint32_t number;
    while (parse_nz_number(p, &number)) {
        if (item->depth == SECTION_DEPTH)
            return false;
        item->path[item->depth++] = number;
        if (parse_char(p, ']'))
            return true;
        if (!parse_char(p, '.'))
            return false;
    }
    return section_text(s, p, item) && parse_char(p, ']');
}

bool section_parse(struct parse *p, struct fetch_item *item)
{
    struct session s = { .arena = p->arena };
    char *text = arena_alloc(p->arena, (size_t)(p->end - p->at) + 2);
    const size_t n = (size_t)(p->end - p->at);
    memcpy(text, p->at, n);
    text[n] = ']';
    struct parse bracketed = { .at = text, .end = text + n + 1, .arena = p->arena };
    return n > 0 && section(&s, &bracketed, item) && parse_end(&bracketed);
}

bool fetch_section_part(struct session *s, struct parse *p, struct fetch_item *item)
{
    return parse_char(p, '[') && section(s, p, item) && item->text == SECTION_ALL;
}

bool fetch_partial(struct parse *p, struct fetch_item *item)
{
    if (!parse_char(p, '<'))
        return true;
    uint32_t from, length;
    item->partial = true;
    if (!parse_number(p, &from) || !parse_char(p, '.') || !parse_nz_number(p, &length) || !parse_char(p, '>'))
        return false;
    item->from = from;
    item->length = length;
    return true;
}

static void label(struct session *s, struct fetch_item *item)
{
    static const char *const texts[] = { "", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME" };
    struct buf out = { 0 };
    buf_puts(&out, "BODY[");
    for (size_t i = 0; i < item->depth; i++)
        buf_printf(&out, i > 0 ? ".%u" : "%u", item->path[i]);
    if (item->depth > 0 && item->text != SECTION_ALL)
        buf_addc(&out, '.');
    buf_puts(&out, texts[item->text]);
    for (size_t i = 0; i < item->field_count; i++) {
        struct io io = { .output = out };
        io_puts(&io, i == 0 ? " (" : " ");
        write_astring(&io, item->fields[i]);
        out = io.output;
    }
    buf_puts(&out, item->field_count > 0 ? ")]" : "]");
    if (item->partial)
        buf_printf(&out, "<%llu>", (unsigned long long)item->from);
    item->label = arena_str(s->arena, buf_str(&out));
    buf_free(&out);
}

static bool one_item(struct session *s, struct parse *p, struct fetch_item *item)
{
    const char *at = p->at;
    for (size_t i = 0; i < sizeof fetch_names / sizeof *fetch_names; i++) {
        if (parse_word(p, fetch_names[i].name)) {
            item->type = fetch_names[i].type;
            item->peek = item->type == FETCH_RFC822_HEADER;
            return p->at == p->end || (*p->at != '[' && *p->at != '<');
        }
    }
    if (parse_word(p, "PREVIEW"))
        return preview_parse(p, item);
    if (binary_parse(s, p, item))
        return true;
    item->peek = parse_word(p, "BODY.PEEK");
    if (!item->peek && !parse_word(p, "BODY")) {
        p->at = at;
        return false;
    }
    if (!parse_char(p, '[')) {
        item->type = FETCH_BODY;
        return !item->peek;
    }
    item->type = FETCH_SECTION;
    if (!section(s, p, item) || !fetch_partial(p, item))
        return false;
    label(s, item);
    return true;
}

static void sum_up(struct fetch_items *items)
{
    for (size_t i = 0; i < items->n; i++) {
        struct fetch_item *item = &items->list[i];
        item->kept = item->type == FETCH_SECTION && item->depth == 0 && item->text == SECTION_FIELDS;
        for (size_t k = 0; k < item->field_count; k++)
            item->kept = item->kept && fields_kept(item->fields[k]);
        items->needs_fields |= item->kept;
        items->sets_seen |= (item->type == FETCH_SECTION || item->type == FETCH_BINARY || item->type == FETCH_RFC822 || item->type == FETCH_RFC822_TEXT) && !item->peek;
        items->needs_mime |= item->type == FETCH_ENVELOPE || item->type == FETCH_BODY || item->type == FETCH_BODYSTRUCTURE
            || ((item->type == FETCH_SECTION || item->type == FETCH_BINARY || item->type == FETCH_BINARY_SIZE) && item->depth > 0);
        items->needs_content |= item->type >= FETCH_SECTION && !item->kept;
        items->needs_flags |= item->type == FETCH_FLAGS;
    }
}

bool fetch_parse(struct session *s, struct parse *p, struct fetch_items *out)
{
    size_t most = 6;
    for (const char *c = p->at; c < p->end; c++)
        most += *c == ' ';
    *out = (struct fetch_items){ .list = arena_alloc(s->arena, most * sizeof *out->list) };
    for (size_t i = 0; i < sizeof fetch_macros / sizeof *fetch_macros; i++) {
        if (parse_word(p, fetch_macros[i].name)) {
            for (size_t k = 0; k < fetch_macros[i].n; k++)
                out->list[out->n++].type = fetch_macros[i].types[k];
            sum_up(out);
            return true;
        }
    }
    if (!parse_char(p, '(')) {
        if (!one_item(s, p, &out->list[out->n++]))
            return false;
        sum_up(out);
        return true;
    }
    do {
        if (!one_item(s, p, &out->list[out->n++]))
            return false;
    } while (parse_sp(p));
    sum_up(out);
    return parse_char(p, ')');
}

/* " (" modifier *(SP modifier) ")", or nothing. VANISHED wants CHANGEDSINCE beside it, and UID FETCH, as PARTIAL does. */
bool fetch_parse_modifiers(struct parse *p, bool uid, struct fetch_modifiers *out)
{
    *out = (struct fetch_modifiers){ .changed = false };
    if (!parse_sp(p))
        return true;
    if (!parse_char(p, '('))
        return false;
    do {
        if (parse_word(p, "CHANGEDSINCE")) {
            out->changed = true;
            if (!parse_sp(p) || !parse_number64(p, &out->since))
                return false;
        } else if (uid && parse_word(p, "VANISHED")) {
            out->vanished = true;
        } else if (uid && parse_word(p, "PARTIAL")) {
            out->some = true;
            if (!parse_sp(p) || !parse_partial(p, &out->range))
                return false;
        } else {
            return false;
        }
    } while (parse_sp(p));
    return parse_char(p, ')') && (out->changed || !out->vanished);
}
