/* Header fields: going through a header, and what single fields say about a part or a message. */
#include <string.h>
#include "store/date.h"
#include "store/mime_lex.h"

/* Length of the line at p with its LF. */
static size_t line_length(const char *p, const char *end)
{
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    return (size_t)((lf ? lf + 1 : end) - p);
}

static bool is_blank_line(const char *p, size_t n)
{
    return (n == 1 && *p == '\n') || (n == 2 && p[0] == '\r' && p[1] == '\n');
}

void mime_header_each(struct str header, int (*each)(void *ctx, struct str name, struct str value, struct str whole), void *ctx)
{
    const char *p = header.p, *const end = p + header.n;

    while (p < end) {
        size_t n = line_length(p, end);
        if (is_blank_line(p, n)) return;
        const char *colon = memchr(p, ':', n);
        while (p + n < end && (p[n] == ' ' || p[n] == '\t')) n += line_length(p + n, end);
        size_t name = colon ? (size_t)(colon - p) : 0;
        while (name && (p[name - 1] == ' ' || p[name - 1] == '\t')) name--;
        /* "From " may be the From_ line, but "From :" is the field in an obsolete form. */
        const bool from = name >= 6 && (memcmp(p, "From ", 5) == 0 || memcmp(p, ">From ", 6) == 0);
        if (name && !from && *p != ' ' && *p != '\t') {
            size_t value = n - (size_t)(colon + 1 - p);
            if (value && colon[value] == '\n') value--;
            if (value && colon[value] == '\r') value--;
            if (each(ctx, (struct str){ p, name }, (struct str){ colon + 1, value }, (struct str){ p, n })) return;
        }
        p += n;
    }
}

/* ---- fields of a part ------------------------------------------------------------------------------------------------ */

/* A value that is no "type/subtype" counts as none: text/plain (RFC 2045 section 5.2). */
static void content_type(struct mime_part *part, struct str value, struct arena *a)
{
    struct mime_lex x = mime_lex_of(value);
    struct buf type = { 0 }, subtype = { 0 };

    mime_lex_cfws(&x);
    mime_lex_token(&x, &type);
    mime_lex_cfws(&x);
    if (mime_lex_char(&x, '/')) {
        mime_lex_cfws(&x);
        mime_lex_token(&x, &subtype);
    }
    if (type.len && subtype.len) {
        part->type = arena_str(a, buf_str(&type));
        part->subtype = arena_str(a, buf_str(&subtype));
        mime_params_parse(&x, &part->params, &part->param_count, a);
    }
    buf_free(&type);
    buf_free(&subtype);
}

static void disposition(struct mime_part *part, struct str value, struct arena *a)
{
    struct mime_lex x = mime_lex_of(value);
    struct buf b = { 0 };

    mime_lex_cfws(&x);
    mime_lex_token(&x, &b);
    if (b.len) {
        part->disposition = arena_str(a, buf_str(&b));
        mime_params_parse(&x, &part->disp_params, &part->disp_param_count, a);
    }
    buf_free(&b);
}

/* The first token of the value. */
static struct str token(struct str value, struct arena *a)
{
    struct mime_lex x = mime_lex_of(value);
    struct buf b = { 0 };
    struct str out = { NULL, 0 };

    mime_lex_cfws(&x);
    mime_lex_token(&x, &b);
    if (b.len) out = arena_str(a, buf_str(&b));
    buf_free(&b);
    return out;
}

/* Content-Language: tokens separated by commas (RFC 3282). */
static void languages(struct mime_part *part, struct str value, struct arena *a)
{
    enum { LANGUAGES_MAX = 100 };
    struct mime_lex x = mime_lex_of(value);
    struct str list[LANGUAGES_MAX];
    struct buf b = { 0 };
    size_t n = 0;

    while (x.p < x.end && n < LANGUAGES_MAX) {
        mime_lex_cfws(&x);
        buf_clear(&b);
        mime_lex_token(&x, &b);
        if (b.len) list[n++] = arena_str(a, buf_str(&b));
        else if (x.p < x.end) x.p++;
    }
    buf_free(&b);
    if (n == 0) return;
    part->languages = arena_alloc(a, n * sizeof *list);
    memcpy(part->languages, list, n * sizeof *list);
    part->language_count = n;
}

static void once(struct str *field, struct str value, struct arena *a)
{
    if (!field->p) *field = mime_unfold(value, a);
}

void mime_part_field(struct mime_part *part, struct str name, struct str value, struct arena *a)
{
    if (name.n < 10 || !str_ieq((struct str){ name.p, 8 }, STR("content-"))) return;
    const struct str what = { name.p + 8, name.n - 8 };
    if (str_ieq(what, STR("type"))) {
        if (!part->type.p) content_type(part, value, a);
    } else if (str_ieq(what, STR("transfer-encoding"))) {
        if (!part->encoding.p) part->encoding = token(value, a);
    } else if (str_ieq(what, STR("disposition"))) {
        if (!part->disposition.p) disposition(part, value, a);
    } else if (str_ieq(what, STR("language"))) {
        if (!part->languages) languages(part, value, a);
    } else if (str_ieq(what, STR("id"))) {
        once(&part->id, value, a);
    } else if (str_ieq(what, STR("description"))) {
        once(&part->description, value, a);
    } else if (str_ieq(what, STR("md5"))) {
        once(&part->md5, value, a);
    } else if (str_ieq(what, STR("location"))) {
        once(&part->location, value, a);
    }
}

/* ---- fields of a message --------------------------------------------------------------------------------------------- */

void mime_envelope_field(struct mime_envelope *e, struct str name, struct str value, struct arena *a)
{
    const struct {
        struct str name;
        struct str *text;
        struct mime_addresses *list;
    } fields[] = {
        { STR("date"), &e->date, NULL },         { STR("subject"), &e->subject, NULL },
        { STR("from"), NULL, &e->from },         { STR("sender"), NULL, &e->sender },
        { STR("reply-to"), NULL, &e->reply_to }, { STR("to"), NULL, &e->to },
        { STR("cc"), NULL, &e->cc },             { STR("bcc"), NULL, &e->bcc },
        { STR("in-reply-to"), &e->in_reply_to, NULL }, { STR("message-id"), &e->message_id, NULL },
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (name.n != fields[i].name.n || !str_ieq(name, fields[i].name)) continue;
        if (fields[i].text == &e->subject) e->subject = mime_unfold_plain(value, a);
        else if (fields[i].text) *fields[i].text = mime_unfold(value, a);
        /* Twice there counts as one list: else a client could show another sender than a filter saw. */
        else mime_addresses_add(value, fields[i].list, a);
        return;
    }
}

void mime_envelope_finish(struct mime_envelope *e)
{
    if (e->sender.n == 0) e->sender = e->from;
    if (e->reply_to.n == 0) e->reply_to = e->from;
}

struct envelope_context {
    struct mime_envelope *envelope;
    struct arena *arena;
};

static int envelope_each(void *ctx, struct str name, struct str value, struct str whole)
{
    struct envelope_context *c = ctx;
    (void)whole;
    mime_envelope_field(c->envelope, name, value, c->arena);
    return 0;
}

void mime_envelope_parse(struct str header, struct mime_envelope *out, struct arena *a)
{
    struct envelope_context c = { out, a };

    *out = (struct mime_envelope){ .date = { NULL, 0 } };
    mime_header_each(header, envelope_each, &c);
    mime_envelope_finish(out);
}

/* ---- Date ------------------------------------------------------------------------------------------------------------ */

static bool digits(struct mime_lex *x, int min, int max, int *out, int *count)
{
    int n = 0;
    mime_lex_cfws(x);
    for (*out = 0; x->p < x->end && n < max && *x->p >= '0' && *x->p <= '9'; n++) *out = *out * 10 + *x->p++ - '0';
    if (count) *count = n;
    return n >= min;
}

static bool clock_time(struct mime_lex *x, int *hour, int *minute, int *second)
{
    *second = 0;
    if (!digits(x, 1, 2, hour, NULL)) return false;
    mime_lex_cfws(x);
    if ((!mime_lex_char(x, ':') && !mime_lex_char(x, '.')) || !digits(x, 1, 2, minute, NULL)) return false;
    mime_lex_cfws(x);
    if ((mime_lex_char(x, ':') || mime_lex_char(x, '.')) && !digits(x, 1, 2, second, NULL)) return false;
    return *hour < 24 && *minute < 60 && *second <= 60;
}

/* obs-zone: letters that are not known mean -0000. Absent: the same. */
static int date_field_zone(struct mime_lex *x)
{
    int zone = 0;
    mime_lex_cfws(x);
    const char *start = x->p;
    while (x->p < x->end && x->p - start < 6 && (unsigned char)*x->p > ' ' && *x->p != '(') x->p++;
    if (x->p > start && date_zone(start, (size_t)(x->p - start), &zone) != 0) zone = 0;
    return zone;
}

/* Up to the year. */
static bool date_field_day(struct mime_lex *x, int *year, int *month, int *day)
{
    int year_digits;

    mime_lex_cfws(x);
    if (x->p < x->end && (*x->p < '0' || *x->p > '9')) {    /* day of the week */
        while (x->p < x->end && (unsigned char)*x->p > ' ' && *x->p != ',' && *x->p != '(') x->p++;
        mime_lex_cfws(x);
        mime_lex_char(x, ',');
    }
    if (!digits(x, 1, 2, day, NULL)) return false;
    mime_lex_cfws(x);
    mime_lex_char(x, '-');
    if (x->end - x->p < 3 || (*month = date_month(x->p)) == 0) return false;
    while (x->p < x->end && ((*x->p >= 'a' && *x->p <= 'z') || (*x->p >= 'A' && *x->p <= 'Z'))) x->p++;
    mime_lex_cfws(x);
    mime_lex_char(x, '-');
    if (!digits(x, 2, 4, year, &year_digits)) return false;
    if (year_digits == 2) *year += *year < 50 ? 2000 : 1900;
    if (year_digits == 3) *year += 1900;
    return date_valid(*year, *month, *day);
}

int mime_date_parse(struct str value, int64_t *date, int *zone)
{
    struct mime_lex x = mime_lex_of(value);
    int day, month, year, hour, minute, second;

    if (!date_field_day(&x, &year, &month, &day) || !clock_time(&x, &hour, &minute, &second)) return -1;
    *zone = date_field_zone(&x);
    *date = date_seconds(year, month, day, hour, minute, second, *zone);
    return 0;
}

int mime_day_parse(struct str value, int64_t *date)
{
    struct mime_lex x = mime_lex_of(value);
    int day, month, year;

    if (!date_field_day(&x, &year, &month, &day)) return -1;
    *date = date_seconds(year, month, day, 0, 0, 0, 0);
    return 0;
}
