/*
 * Keys that say the same. A command has room for 20,000 keys, and each is asked for each message: one that is there a second time
 * adds nothing but that. To find them the children are put in an order, any order in which equal ones are neighbours; those that
 * stay keep the order of the client.
 */
#include "store/search_same.h"

#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"

static int by_number(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_octets(const void *a, size_t a_n, const void *b, size_t b_n)
{
    if (a_n != b_n)
        return a_n < b_n ? -1 : 1;
    return a_n == 0 || a == b ? 0 : memcmp(a, b, a_n);         /* "$" is one list, however often it stands there */
}

/* What matching looks at; 0: they say the same. Recursion is bounded by SEARCH_DEPTH. */
static int compare(const struct search_key *a, const struct search_key *b)
{
    int order = by_number(a->type, b->type);
    if (order == 0)
        order = by_number(a->value, b->value);
    if (order == 0)
        order = by_number((uint32_t)a->day, (uint32_t)b->day);
    if (order == 0)
        order = by_number(a->fuzzy, b->fuzzy);
    if (order == 0)
        order = by_octets(a->field.p, a->field.n, b->field.p, b->field.n);
    if (order == 0)
        order = by_octets(a->text.p, a->text.n, b->text.p, b->text.n);
    if (order == 0)
        order = by_octets(a->ranges, a->range_count * sizeof *a->ranges, b->ranges, b->range_count * sizeof *b->ranges);
    if (order == 0)
        order = by_number(a->child_count, b->child_count);
    for (size_t i = 0; order == 0 && i < a->child_count; i++)
        order = compare(&a->children[i], &b->children[i]);
    return order;
}

/* Equal ones in the order of the client: qsort(3) may change it. */
static int compare_places(const void *pa, const void *pb)
{
    const struct search_key *const *a = pa, *const *b = pb;
    const int order = compare(*a, *b);
    return order != 0 ? order : (*a > *b) - (*a < *b);
}

/* The children of an AND or OR, after which there is at least one. */
static void drop_repeated(struct search_key *k)
{
    const size_t n = k->child_count;
    const struct search_key **places = xreallocarray(NULL, n, sizeof *places);
    bool *again = xreallocarray(NULL, n, sizeof *again);
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        places[i] = &k->children[i];
        again[i] = false;
    }
    qsort(places, n, sizeof *places, compare_places);
    for (size_t i = 1; i < n; i++)
        again[places[i] - k->children] = compare(places[i - 1], places[i]) == 0;
    for (size_t i = 0; i < n; i++)
        if (!again[i])
            k->children[left++] = k->children[i];
    k->child_count = left;
    free(places);
    free(again);
}

static bool is_list(const struct search_key *k)
{
    return k->type == SEARCH_AND || k->type == SEARCH_OR;
}

/* From the leaves up: what is repeated within parentheses makes these no others. */
void search_once(struct search_key *k)
{
    for (size_t i = 0; i < k->child_count; i++) {
        struct search_key *child = &k->children[i];
        search_once(child);
        if (is_list(child) && child->child_count == 1)
            *child = child->children[0];
    }
    if (is_list(k) && k->child_count > 1)
        drop_repeated(k);
}
