/*
 * Runs of UIDs (see uid_map.h). Most look-ups are for the message after the last one's, so the run found last is tried first.
 */
#include "store/uid_map.h"

#include <stdlib.h>

#include "base/xmalloc.h"

struct run {
    uint32_t seq, uid;       /* of its first message */
};
struct uid_map {
    struct run *runs;
    size_t n, room;
    uint32_t count;          /* messages */
    size_t at;               /* the run found last, */
    struct run last;         /* itself, */
    uint32_t last_n;         /* and how many messages it has; 0: not known */
};

struct uid_map *uid_map_new(void)
{
    return xcalloc(1, sizeof(struct uid_map));
}

void uid_map_free(struct uid_map *map)
{
    if (map == NULL)
        return;
    free(map->runs);
    free(map);
}

/* The number of the message behind run i. */
static uint32_t end_of(const struct uid_map *map, size_t i)
{
    return i + 1 < map->n ? map->runs[i + 1].seq : map->count + 1;
}

void uid_map_add(struct uid_map *map, uint32_t first, uint32_t n)
{
    if (n > UINT32_MAX - 1 - map->count)         /* of a damaged index: numbers must not begin anew */
        n = UINT32_MAX - 1 - map->count;
    if (n == 0)
        return;
    const struct run *last = map->n > 0 ? &map->runs[map->n - 1] : NULL;
    if (last == NULL || first - last->uid != map->count + 1 - last->seq) {
        if (map->n == map->room) {
            map->room = map->room * 2 + 4;
            map->runs = xreallocarray(map->runs, map->room, sizeof *map->runs);
        }
        map->runs[map->n++] = (struct run){ map->count + 1, first };
    }
    map->count += n;
    map->last_n = 0;
}

void uid_map_cut(struct uid_map *map, uint32_t n)
{
    while (map->n > 0 && map->runs[map->n - 1].seq > n)
        map->n--;
    map->count = n;
    map->at = map->last_n = 0;
}

uint32_t uid_map_count(const struct uid_map *map)
{
    return map->count;
}

/* Makes the run of message seq, which exists, the one found last. */
static void find(struct uid_map *map, uint32_t seq)
{
    size_t low = map->at + 1, high = low + 1;        /* the next one: the usual case */
    if (low >= map->n || map->runs[low].seq > seq || end_of(map, low) <= seq)
        for (low = 0, high = map->n; high - low > 1;) {
            const size_t mid = low + (high - low) / 2;
            if (map->runs[mid].seq <= seq)
                low = mid;
            else
                high = mid;
        }
    map->at = low;
    map->last = map->runs[low];
    map->last_n = end_of(map, low) - map->last.seq;
}

uint32_t uid_map_uid(struct uid_map *map, uint32_t seq)
{
    if (seq - map->last.seq >= map->last_n) {
        if (seq == 0 || seq > map->count)
            return 0;
        find(map, seq);
    }
    return map->last.uid + (seq - map->last.seq);
}

uint32_t uid_map_seq_from(struct uid_map *map, uint32_t uid)
{
    size_t low = 0, high = map->n;           /* runs before low begin at or below uid, from high on above it */
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (map->runs[mid].uid <= uid)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0)
        return 1;
    const struct run *r = &map->runs[low - 1];
    const uint32_t end = end_of(map, low - 1);
    return uid - r->uid < end - r->seq ? r->seq + (uid - r->uid) : end;
}

uint32_t uid_map_run(struct uid_map *map, uint32_t seq)
{
    return uid_map_uid(map, seq) == 0 ? 0 : map->last_n - (seq - map->last.seq);
}
