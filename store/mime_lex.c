/* Lexical parts of structured header fields. Nested comments are counted, not recursed into. */
#include "store/mime_lex.h"
#include <string.h>

struct mime_lex mime_lex_of(struct str value)
{
    return (struct mime_lex){ .p = value.p, .end = value.p + value.n };
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* At '(': the comment's text without the outer parentheses, quoting and line ends undone. */
static void comment(struct mime_lex *x)
{
    size_t depth = 1;

    if (x->comment) buf_clear(x->comment);
    x->has_comment = true;
    for (x->p++; x->p < x->end; x->p++) {
        if (*x->p == '(') depth++;
        else if (*x->p == ')' && --depth == 0) break;
        else if (*x->p == '\\' && x->p + 1 < x->end) x->p++;
        if (x->comment && *x->p != '\r' && *x->p != '\n') buf_addc(x->comment, *x->p);
    }
    if (x->p < x->end) x->p++;
}

void mime_lex_cfws(struct mime_lex *x)
{
    for (; x->p < x->end; ) {
        if (is_space(*x->p)) x->p++;
        else if (*x->p == '(') comment(x);
        else break;
    }
}

void mime_lex_quoted(struct mime_lex *x, struct buf *out)
{
    for (x->p++; x->p < x->end && *x->p != '"'; x->p++) {
        if (*x->p == '\\' && x->p + 1 < x->end) x->p++;
        if (*x->p != '\r' && *x->p != '\n') buf_addc(out, *x->p);
    }
    if (x->p < x->end) x->p++;
}

void mime_lex_token(struct mime_lex *x, struct buf *out)
{
    static const char tspecials[] = "()<>@,;:\\\"/[]?=";
    const char *start = x->p;

    while (x->p < x->end && (unsigned char)*x->p > ' ' && *x->p != 0x7f && !memchr(tspecials, *x->p, sizeof tspecials - 1)) x->p++;
    buf_add(out, start, (size_t)(x->p - start));
}

bool mime_lex_char(struct mime_lex *x, char c)
{
    if (x->p == x->end || *x->p != c) return false;
    x->p++;
    return true;
}

struct str mime_unfold(struct str value, struct arena *a)
{
    while (value.n && (value.p[0] == ' ' || value.p[0] == '\t')) value.p++, value.n--;
    while (value.n && (value.p[value.n - 1] == '\r' || value.p[value.n - 1] == '\n')) value.n--;
    struct str out = arena_str(a, value);
    char *to = (char *)(uintptr_t)out.p;            /* our own copy */
    if (memchr(to, '\n', out.n) == NULL && memchr(to, '\r', out.n) == NULL) return out;
    size_t n = 0;
    for (size_t i = 0; i < out.n; i++)
        if (to[i] != '\r' && to[i] != '\n') to[n++] = to[i];
    to[n] = '\0';
    return (struct str){ to, n };
}

struct str mime_unfold_plain(struct str value, struct arena *a)
{
    struct str out = mime_unfold(value, a);
    char *to = (char *)(uintptr_t)out.p;
    size_t n = 0;

    for (size_t i = 0; i < out.n; i++) {
        const bool blank = is_space(out.p[i]);
        if (!blank) to[n++] = out.p[i];
        else if (n && to[n - 1] != ' ') to[n++] = ' ';
    }
    while (n && to[n - 1] == ' ') n--;
    to[n] = '\0';
    return (struct str){ to, n };
}
