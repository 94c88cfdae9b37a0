/*
 * Sorted results that are kept up to date (RFC 5267 section 4.3): what a list needs to become another, as REMOVEFROM and ADDTO.
 *
 * As many results as can be stay where they are: a longest run of those that keep their order. All others are removed, from the
 * end, so that the places before are as the client has them, and added in their new places, from the front.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "session/results.h"

struct place { uint32_t uid, at; };

static int by_uid(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return (x->uid > y->uid) - (x->uid < y->uid);
}

/* Marks in kept[] the members of a longest ascending subsequence of at[0..n), UINT32_MAX being none. */
static void longest_run(const uint32_t *at, size_t n, bool *kept)
{
    uint32_t *tails = xreallocarray(NULL, n + 1, sizeof *tails), *before = xreallocarray(NULL, n + 1, sizeof *before);
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        size_t low = 0, high = length;
        if (at[i] == UINT32_MAX)
            continue;
        while (low < high) {
            const size_t mid = low + (high - low) / 2;
            if (at[tails[mid]] < at[i])
                low = mid + 1;
            else
                high = mid;
        }
        before[i] = low > 0 ? tails[low - 1] : UINT32_MAX;
        tails[low] = (uint32_t)i;
        length = low == length ? length + 1 : length;
    }
    for (uint32_t i = length > 0 ? tails[length - 1] : UINT32_MAX; i != UINT32_MAX; i = before[i])
        kept[i] = true;
    free(tails);
    free(before);
}

void sorted_changes(const uint32_t *was, size_t was_n, const uint32_t *now, size_t now_n,
                    void (*each)(void *ctx, bool added, size_t place, uint32_t uid), void *ctx)
{
    struct place *places = xreallocarray(NULL, now_n + 1, sizeof *places);
    uint32_t *at = xreallocarray(NULL, was_n + 1, sizeof *at);
    bool *kept = xcalloc(was_n + 1, sizeof *kept), *there = xcalloc(now_n + 1, sizeof *there);
    for (size_t i = 0; i < now_n; i++)
        places[i] = (struct place){ now[i], (uint32_t)i };
    qsort(places, now_n, sizeof *places, by_uid);
    for (size_t i = 0; i < was_n; i++) {
        const struct place key = { .uid = was[i] }, *found = bsearch(&key, places, now_n, sizeof key, by_uid);
        at[i] = found != NULL ? found->at : UINT32_MAX;
    }
    longest_run(at, was_n, kept);
    for (size_t i = was_n; i-- > 0;) {
        if (kept[i])
            there[at[i]] = true;
        else
            each(ctx, false, i + 1, was[i]);
    }
    for (size_t i = 0; i < now_n; i++)
        if (!there[i])
            each(ctx, true, i + 1, now[i]);
    free(places);
    free(at);
    free(kept);
    free(there);
}
