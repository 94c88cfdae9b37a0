/* Parameters of Content-Type and Content-Disposition (RFC 2045 section 5.1), with the continuations of RFC 2231: name*0,
 * name*1* ... become name (or name*, if a piece is percent-encoded; pieces that are not are then encoded to match). A set
 * that does not begin with 0 or has gaps is left as it was written. Joining sorts, so that hostile numbers cost no more. */
#include <stdlib.h>
#include <string.h>
#include "store/mime_lex.h"

enum { PARAMS_MAX = 1000, PIECE_MAX = 999 };       /* parameters of one field; the highest number of a piece */

struct piece {
    struct mime_param raw;
    size_t name_length;              /* of the name without its "*0*" */
    size_t at;                       /* place among all */
    int number;                      /* -1: no continuation */
    bool encoded;
};

/* "name*12*": piece 12, encoded; "name*" is a set of one; "name" is no continuation. */
static void piece_name(struct piece *p)
{
    struct str n = p->raw.name;
    p->number = -1;
    p->encoded = n.n > 0 && n.p[n.n - 1] == '*';
    if (p->encoded) n.n--;
    const char *star = memchr(n.p, '*', n.n);
    if (!star && p->encoded && n.n) {
        p->number = 0;
        p->name_length = n.n;
    }
    if (!star || star == n.p) return;
    const size_t digits = n.n - (size_t)(star + 1 - n.p);
    if (digits == 0 || digits > 3 || (digits > 1 && star[1] == '0')) return;
    int v = 0;
    for (size_t i = 1; i <= digits; i++) {
        if (star[i] < '0' || star[i] > '9') return;
        v = v * 10 + star[i] - '0';
    }
    p->number = v;
    p->name_length = (size_t)(star - n.p);
}

static int by_name(const void *x, const void *y)
{
    const struct piece *a = x, *b = y;
    const size_t n = a->name_length < b->name_length ? a->name_length : b->name_length;
    if ((a->number < 0) != (b->number < 0)) return a->number < 0 ? -1 : 1;
    if (a->number < 0) return a->at < b->at ? -1 : 1;
    const int c = strncasecmp(a->raw.name.p, b->raw.name.p, n);
    if (c) return c;
    if (a->name_length != b->name_length) return a->name_length < b->name_length ? -1 : 1;
    if (a->number != b->number) return a->number - b->number;
    return a->at < b->at ? -1 : 1;
}

/* A piece that was not encoded, among some that are: stays readable, but a '%' in it must not be taken for an encoding. */
static void add_encoded(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%') buf_puts(out, "%25");
        else buf_addc(out, s.p[i]);
    }
}

/* The pieces p[0..n) are one set; true: joined into *to. */
static bool join(const struct piece *p, size_t n, struct mime_param *to, struct arena *a)
{
    bool encoded = false;
    for (size_t i = 0; i < n; i++) {
        if (p[i].number != (int)i) return false;
        encoded |= p[i].encoded;
    }
    struct buf value = { 0 }, name = { 0 };
    buf_add(&name, p[0].raw.name.p, p[0].name_length);
    if (encoded) buf_addc(&name, '*');
    if (encoded && !p[0].encoded) buf_puts(&value, "''");
    for (size_t i = 0; i < n; i++) {
        if (encoded && !p[i].encoded) add_encoded(&value, p[i].raw.value);
        else buf_add(&value, p[i].raw.value.p, p[i].raw.value.n);
    }
    *to = (struct mime_param){ arena_str(a, buf_str(&name)), arena_str(a, buf_str(&value)) };
    buf_free(&name);
    buf_free(&value);
    return true;
}

/* One set of pieces from *i on, which is moved behind it. */
static void add_set(struct piece *pieces, size_t n, size_t *i, struct mime_param *to, size_t *count, struct arena *a)
{
    const struct piece *first = &pieces[*i];
    size_t k = 1;
    while (*i + k < n && first[k].name_length == first->name_length
           && strncasecmp(first[k].raw.name.p, first->raw.name.p, first->name_length) == 0) k++;
    *i += k;
    if (join(first, k, &to[*count], a)) {
        ++*count;
        return;
    }
    for (size_t j = 0; j < k; j++) to[(*count)++] = first[j].raw;
}

/* attribute "=" value; false: there is none. */
static bool parameter(struct mime_lex *x, struct mime_param *out, struct buf *tmp, struct arena *a)
{
    mime_lex_cfws(x);
    buf_clear(tmp);
    mime_lex_token(x, tmp);
    mime_lex_cfws(x);
    if (tmp->len == 0 || !mime_lex_char(x, '=')) return false;
    out->name = arena_str(a, buf_str(tmp));
    mime_lex_cfws(x);
    buf_clear(tmp);
    if (x->p < x->end && *x->p == '"') mime_lex_quoted(x, tmp);
    else
        for (; x->p < x->end && *x->p != ';' && *x->p != '(' && (unsigned char)*x->p > ' '; x->p++) buf_addc(tmp, *x->p);
    out->value = arena_str(a, buf_str(tmp));
    return true;
}

void mime_params_parse(struct mime_lex *x, struct mime_param **params, size_t *count, struct arena *a)
{
    struct buf list = { 0 }, tmp = { 0 };
    size_t n = 0, joined = 0, i = 0;

    for (; n < PARAMS_MAX; ) {
        while (x->p < x->end && *x->p != ';') {        /* what does not belong there */
            if (*x->p == '"') buf_clear(&tmp), mime_lex_quoted(x, &tmp);
            else if (*x->p == '(') mime_lex_cfws(x);
            else x->p++;
        }
        if (!mime_lex_char(x, ';')) break;
        struct piece p = { .at = n };
        if (!parameter(x, &p.raw, &tmp, a)) continue;
        piece_name(&p);
        buf_add(&list, &p, sizeof p);
        n++;
    }
    struct piece *pieces = (struct piece *)(void *)list.data;
    *params = n ? arena_alloc(a, n * sizeof **params) : NULL;
    if (n > 1) qsort(pieces, n, sizeof *pieces, by_name);
    while (i < n) {
        if (pieces[i].number < 0) (*params)[joined++] = pieces[i++].raw;
        else add_set(pieces, n, &i, *params, &joined, a);
    }
    *count = joined;
    buf_free(&list);
    buf_free(&tmp);
}

struct str mime_param_get(const struct mime_param *params, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_ieq(params[i].name, name)) return params[i].value;
    return (struct str){ NULL, 0 };
}
