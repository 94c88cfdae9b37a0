/*
 * Matching the messages of a scanned file with those of the index, and giving UIDs to those that it does not know.
 *
 * A known message is found by the UID that we wrote into it, or by its content together with the date of its From_ line; both
 * in order. doc/mbox.md says what of a message's own bookkeeping is believed.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/xmalloc.h"
#include "store/refresh_private.h"

/* Places of the old records by fingerprint: an open hash table of (place + 1), older first among equals. */
struct table {
    uint32_t *slots;
    size_t mask;
    const struct message_record *old;
    size_t n;
};

static void table_fill(struct table *t, const struct message_record *old, size_t n)
{
    size_t size = 16;
    while (size < n * 2)
        size *= 2;
    *t = (struct table){ .slots = xcalloc(size, sizeof *t->slots), .mask = size - 1, .old = old, .n = n };
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)(old[i].fingerprint * 0x9e3779b97f4a7c15u >> 20) & t->mask;
        while (t->slots[at] != 0)
            at = (at + 1) & t->mask;
        t->slots[at] = (uint32_t)i + 1;
    }
}

/* The same From_ line? It is written by whoever delivers, not by the sender. A session in another time zone reads a line
 * without zone otherwise. */
static bool same_date(const struct message_record *a, const struct message_record *b)
{
    const int64_t away = a->date > b->date ? a->date - b->date : b->date - a->date;
    return away <= 26 * 3600 && away % 900 == 0;
}

static bool same_message(const struct message_record *a, const struct message_record *b)
{
    return a->fingerprint == b->fingerprint && same_date(a, b);
}

/* The first old record at or behind `from` that is this message; n if there is none. Bounded, so that thousands of equal
 * messages cost no square. */
static size_t table_find(const struct table *t, const struct message_record *r, size_t from)
{
    size_t at = (size_t)(r->fingerprint * 0x9e3779b97f4a7c15u >> 20) & t->mask, best = t->n;
    if (from < t->n && same_message(&t->old[from], r))
        return from;
    for (int steps = 0; t->slots[at] != 0 && steps < 64; steps++, at = (at + 1) & t->mask) {
        const size_t place = t->slots[at] - 1;
        if (place >= from && place < best && same_message(&t->old[place], r))
            best = place;
    }
    return best;
}

/* The old record with this UID, n if there is none. */
static size_t place_of(const struct table *t, uint32_t uid)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (t->old[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->n && t->old[low].uid == uid ? low : t->n;
}

/* Which old record message i of the file is: the one whose UID we wrote into it, else one that is equal. A copy that a
 * sender made of another message's header is delivered at another time. */
static size_t find_place(const struct table *t, const struct scan_result *s, size_t i, size_t from)
{
    const size_t named = s->x_uid[i] != 0 ? place_of(t, s->x_uid[i]) : t->n;
    if (named < t->n && named >= from && (t->old[named].bits & RECORD_BLOCK)
        && t->old[named].fingerprint == s->list[i].fingerprint)
        return named;
    return table_find(t, &s->list[i], from);
}

void match_merge(struct message_record *now, const struct message_record *old, uint64_t modseq)
{
    const unsigned changed = now->mbox_flags ^ old->mbox_flags;
    const uint64_t changed_keywords = now->mbox_keywords ^ old->mbox_keywords;
    now->flags = (uint8_t)((old->flags & ~changed) | (now->mbox_flags & changed));
    now->keywords = (old->keywords & ~changed_keywords) | (now->mbox_keywords & changed_keywords);
    now->uid = old->uid;
    now->date = old->date;
    now->zone = old->zone;
    now->save_date = old->save_date;
    now->modseq = now->flags == old->flags && now->keywords == old->keywords ? old->modseq : modseq;
}

bool match_is_edited(const struct message_record *now, const struct message_record *old)
{
    return now->fingerprint != old->fingerprint || now->size != old->size || now->header_size != old->header_size;
}

/* A UID for a message that the index does not know; those before it end at *last. What the file says is believed up to the
 * last UID of X-IMAPbase, where UIDs ascend, and never for a number that was given before. */
static uint32_t assign_new(struct match *m, size_t i, uint32_t *last)
{
    const uint32_t x = m->found->x_uid[i];
    struct box_record *rec = m->rec;
    if (x > *last && x >= m->believe_from)
        return *last = x;
    if (rec->uidnext <= *last)
        rec->uidnext = *last + 1;
    return *last = rec->uidnext++;
}

/* UIDs of our own begin behind those that the file may name. */
void match_begin_uids(struct match *m)
{
    m->believe_from = m->rec->uidnext;
    if (m->base && m->rec->uidnext <= m->found->base_last)
        m->rec->uidnext = m->found->base_last + 1;
}

/* \Deleted is not believed of a message that no program has given a UID: who delivers it deletes nothing. */
void match_set_new(struct match *m, size_t i, uint32_t *last, int64_t now)
{
    struct message_record *r = &m->found->list[i];
    r->uid = assign_new(m, i, last);
    r->modseq = m->modseq;
    r->save_date = now;
    if (r->uid != m->found->x_uid[i])
        r->flags &= (uint8_t)~(unsigned)FLAG_DELETED;
}

/* A block is ours only with the UID that the message has. */
void match_check_block(const struct match *m, size_t i)
{
    struct message_record *r = &m->found->list[i];
    if (r->uid != m->found->file_uid[i])
        r->bits &= (uint16_t)~(unsigned)RECORD_BLOCK;
}

static void find_places(const struct match *m, size_t *places)
{
    struct table t;
    size_t from = 0, after = m->old_n;
    table_fill(&t, m->old, m->old_n);
    for (size_t i = 0; i < m->found->n; i++) {
        places[i] = find_place(&t, m->found, i, from);
        if (places[i] < m->old_n)
            from = places[i] + 1;
    }
    /* One that another program has edited: its UID in the file, and known ones behind it, where nothing is delivered. */
    for (size_t i = m->found->n; i > 0; i--) {
        const uint32_t x = m->found->x_uid[i - 1];
        if (places[i - 1] == m->old_n && after < m->old_n && x != 0) {
            const size_t place = place_of(&t, x);
            size_t before = i - 1;
            while (before > 0 && places[before - 1] == m->old_n && i - before < 16)
                before--;
            if (place < after && (m->old[place].bits & RECORD_BLOCK) && (before == 0 || places[before - 1] < place))
                places[i - 1] = place;
        }
        if (places[i - 1] < m->old_n)
            after = places[i - 1];
    }
    free(t.slots);
}

/* All of the file against all of the index. A known message behind a new one cannot keep its lower UID. */
void match_everything(struct match *m)
{
    uint32_t last = 0;
    const int64_t now = time(NULL);
    bool *kept = xcalloc(m->old_n + 1, sizeof *kept);
    size_t *places = xreallocarray(NULL, m->found->n + 1, sizeof *places);
    m->gone = xreallocarray(NULL, m->old_n + 1, sizeof *m->gone);
    m->edited = xreallocarray(NULL, m->old_n + 1, sizeof *m->edited);
    find_places(m, places);
    for (size_t i = 0; i < m->found->n; i++) {
        struct message_record *r = &m->found->list[i];
        const size_t place = places[i];
        if (place < m->old_n && m->old[place].uid > last) {
            if (match_is_edited(r, &m->old[place]))
                m->edited[m->edited_n++] = m->old[place].uid;
            match_merge(r, &m->old[place], m->modseq);
            kept[place] = true;
            last = r->uid;
        } else {
            match_set_new(m, i, &last, now);
        }
        match_check_block(m, i);
    }
    for (size_t i = 0; i < m->old_n; i++)
        if (!kept[i])
            m->gone[m->gone_n++] = m->old[i].uid;
    free(kept);
    free(places);
}
