/*
 * Numbered strings: the octets one after another, and a hash table of numbers with linear probing, at most half full.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/xmalloc.h"
#include "store/intern.h"

__extension__ typedef unsigned __int128 wide;

static uint64_t mix(uint64_t a, uint64_t b)
{
    const wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(const struct intern *t, struct str s)
{
    uint64_t h = t->key[0] ^ s.n, word;

    for (; s.n >= sizeof word; s.p += sizeof word, s.n -= sizeof word) {
        memcpy(&word, s.p, sizeof word);
        h = mix(h ^ word, t->key[1]);
    }
    word = 0;
    if (s.n > 0) memcpy(&word, s.p, s.n);
    return mix(mix(h ^ word, t->key[1]), t->key[0] | 1);
}

static struct str entry(const struct intern *t, uint32_t i)
{
    return (struct str){ t->text.data + t->entries[i].offset, t->entries[i].length };
}

/* The slot of s, or the empty one where it belongs. */
static uint32_t *slot_of(const struct intern *t, struct str s)
{
    for (size_t at = (size_t)hash(t, s) & (t->slot_count - 1);; at = (at + 1) & (t->slot_count - 1)) {
        uint32_t *slot = &t->slots[at];
        if (*slot == 0) return slot;
        const struct str have = entry(t, *slot - 1);
        if (have.n == s.n && memcmp(have.p, s.p, s.n) == 0) return slot;
    }
}

static void grow(struct intern *t)
{
    if (t->slot_count == 0) {
        if (getrandom(t->key, sizeof t->key, 0) != (ssize_t)sizeof t->key) abort();
        t->key[1] |= 1;
        buf_room(&t->text, 1);
    }
    t->slot_count = t->slot_count == 0 ? 1024 : t->slot_count * 2;
    free(t->slots);
    t->slots = xcalloc(t->slot_count, sizeof *t->slots);
    for (uint32_t i = 0; i < t->n; i++) *slot_of(t, entry(t, i)) = i + 1;
}

uint32_t intern_add(struct intern *t, struct str s, bool *is_new)
{
    if (s.p == NULL) s.p = "";
    if (t->n >= t->slot_count / 2) grow(t);
    uint32_t *slot = slot_of(t, s);
    if (is_new) *is_new = *slot == 0;
    if (*slot != 0) return *slot - 1;
    if (t->n == t->entry_room) {
        t->entry_room = t->entry_room == 0 ? 512 : t->entry_room * 2;
        t->entries = xreallocarray(t->entries, t->entry_room, sizeof *t->entries);
    }
    t->entries[t->n] = (struct intern_entry){ (uint32_t)t->text.len, (uint32_t)s.n };
    buf_add(&t->text, s.p, s.n);
    *slot = ++t->n;
    return t->n - 1;
}

void intern_free(struct intern *t)
{
    free(t->entries);
    free(t->slots);
    buf_free(&t->text);
    *t = (struct intern){ .n = 0 };
}
