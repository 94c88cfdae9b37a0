/*
 * COMPARATOR (RFC 5255 section 4): which collation SEARCH and SORT compare with. i;unicode-casemap is the default; i;ascii-casemap
 * and i;octet are for clients that want to find just what they ask for.
 */
#include "session/command.h"

/* From the widely useful to the narrow: the first one that fits a pattern is taken (RFC 4790 section 3.2). */
static const struct { const char *name; enum collation collation; } comparators[] = {
    { "i;unicode-casemap", COLLATE_CASEMAP }, { "i;ascii-casemap", COLLATE_ASCII }, { "i;octet", COLLATE_OCTET }
};
enum { COMPARATORS = sizeof comparators / sizeof *comparators, DEFAULT_AT = 0, ORDER_MAX = 254 };

static bool is_collation_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == ';' || c == '=' || c == '.';
}

/* collation-order of RFC 4790 section 3.3: a sign perhaps, a name with wildcards, no two of them side by side. */
static bool is_order(struct str s)
{
    const size_t start = s.n > 0 && (s.p[0] == '+' || s.p[0] == '-');
    if (s.n == start || s.n - start > ORDER_MAX || (s.p[start] != '*' && !(is_collation_char(s.p[start]) && (s.p[start] | 0x20) >= 'a')))
        return false;
    for (size_t i = start; i < s.n; i++)
        if (s.p[i] == '*' ? i > start && s.p[i - 1] == '*' : !is_collation_char(s.p[i]))
            return false;
    return true;
}

/* Wildcards stand for any characters, the last one is as long as it must be: a star is tried again from where it was. */
static bool fits(struct str pattern, struct str name)
{
    size_t p = 0, n = 0, star = SIZE_MAX, from = 0;
    while (n < name.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            from = n;
        } else if (p < pattern.n && str_ieq((struct str){ pattern.p + p, 1 }, (struct str){ name.p + n, 1 })) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* A bit for each comparator that the argument means. A descending order ("-") is none that we have: SORT has REVERSE. */
static unsigned matching(struct str order)
{
    unsigned found = 0;
    if (str_ieq(order, STR("default")))
        return 1u << DEFAULT_AT;
    if (order.p[0] == '-')
        return 0;
    if (order.p[0] == '+')
        order = (struct str){ order.p + 1, order.n - 1 };
    for (unsigned i = 0; i < COMPARATORS; i++)
        if (fits(order, str_z(comparators[i].name)))
            found |= 1u << i;
    return found;
}

enum outcome cmd_comparator(struct session *s, struct parse *p)
{
    static const char usage[] = "COMPARATOR [comparator ...]";
    struct str order;
    unsigned all = 0, chosen = COMPARATORS;
    const bool asked = !parse_end(p);
    while (!parse_end(p)) {
        if (!parse_sp(p) || !parse_astring(p, &order) || !is_order(order))
            return bad_arguments(s, usage);
        const unsigned found = matching(order);
        for (unsigned i = 0; chosen == COMPARATORS && i < COMPARATORS; i++)
            if (found >> i & 1)
                chosen = i;
        all |= found;
    }
    if (asked && all == 0)
        return say(s, OUTCOME_NO, "BADCOMPARATOR", "No such comparator");
    if (asked)
        s->collation = comparators[chosen].collation;
    for (unsigned i = 0; i < COMPARATORS; i++)
        if (comparators[i].collation == s->collation)
            io_printf(&s->io, "* COMPARATOR %s", comparators[i].name);
    if (all & (all - 1)) {
        const char *between = " (";
        for (unsigned i = 0; i < COMPARATORS; i++) {
            if (all >> i & 1) {
                io_printf(&s->io, "%s%s", between, comparators[i].name);
                between = " ";
            }
        }
        io_puts(&s->io, ")");
    }
    io_puts(&s->io, "\r\n");
    return OUTCOME_OK;
}
