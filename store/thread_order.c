/*
 * THREAD, what is made of the links: steps 2 to 6 of RFC 5256's REFERENCES. No lists are kept in order on the way: each item
 * has the item above it, and one sort at the end puts siblings side by side. Trees are gone through from their roots by
 * breadth, so that parents come before children, and back; nothing recurses.
 */
#include <stdlib.h>

#include "base/xmalloc.h"
#include "store/thread_private.h"

/* While ordering. NO_ITEM above: a root. */
struct place {
    int64_t date;                    /* what it is sorted by */
    uint32_t seq;                    /* and then; of one that is not there: its first child's */
    uint32_t above, first;           /* first child, as far as a missing one needs it */
    uint32_t children;               /* of one that is not there */
    bool live;                       /* will be told */
};
struct ordering {
    struct threading *t;
    struct place *places;            /* of items, and room for missing ones that join two threads */
    size_t n;
    uint32_t *order;                 /* items, parents before children */
    uint32_t *by_subject;            /* the subject table of step 5 */
};

static bool is_there(const struct ordering *o, size_t i)
{
    return i < o->t->item_count && o->t->items[i].seq != 0;
}

/* Items by breadth. */
static void order_by_breadth(struct ordering *o)
{
    const struct thread_item *items = o->t->items;
    const size_t n = o->t->item_count;
    uint32_t *offsets = xcalloc(n + 2, sizeof *offsets), *children = xcalloc(n + 1, sizeof *children);
    size_t end = 0;

    for (size_t i = 0; i < n; i++)
        if (items[i].parent != NO_ITEM) offsets[items[i].parent + 2]++;
    for (size_t i = 2; i < n + 2; i++) offsets[i] += offsets[i - 1];
    for (uint32_t i = 0; i < n; i++) {
        if (items[i].parent == NO_ITEM) o->order[end++] = i;
        else children[offsets[items[i].parent + 1]++] = i;
    }
    for (size_t at = 0; at < end; at++)
        for (uint32_t c = offsets[o->order[at]]; c < offsets[o->order[at] + 1]; c++) o->order[end++] = children[c];
    free(offsets);
    free(children);
}

/* Steps 2 and 3: what is not there goes, but for roots with two children or more. */
static void prune(struct ordering *o)
{
    const struct thread_item *items = o->t->items;

    for (size_t at = 0; at < o->t->item_count; at++) {
        const uint32_t i = o->order[at], parent = items[i].parent;
        struct place *p = &o->places[i];
        *p = (struct place){ .date = items[i].date, .seq = items[i].seq, .above = parent, .first = NO_ITEM, .live = items[i].seq != 0 };
        if (parent != NO_ITEM && items[parent].seq == 0 && o->places[parent].above != NO_ITEM) p->above = o->places[parent].above;
        if (p->live && p->above != NO_ITEM) o->places[p->above].children++;
    }
    for (size_t i = 0; i < o->t->item_count; i++) {
        struct place *p = &o->places[i];
        if (items[i].seq == 0) p->live = p->above == NO_ITEM && p->children > 1;
        else if (p->above != NO_ITEM && items[p->above].seq == 0 && o->places[p->above].children == 1) p->above = NO_ITEM;
    }
}

static bool before(const struct place *a, const struct place *b)
{
    return a->date != b->date ? a->date < b->date : a->seq < b->seq;
}

/* What is not there is sorted by its first child. */
static void find_firsts(struct ordering *o)
{
    for (size_t i = 0; i < o->n; i++)
        if (!is_there(o, i)) o->places[i].first = NO_ITEM;
    for (uint32_t i = 0; i < o->n; i++) {
        const uint32_t above = o->places[i].above;
        if (!o->places[i].live || above == NO_ITEM || is_there(o, above)) continue;
        struct place *p = &o->places[above];
        if (p->first == NO_ITEM || before(&o->places[i], &o->places[p->first])) p->first = i;
    }
    for (size_t i = 0; i < o->n; i++) {
        struct place *p = &o->places[i];
        if (is_there(o, i) || p->first == NO_ITEM) continue;
        p->date = o->places[p->first].date;
        p->seq = o->places[p->first].seq;
    }
}

/* ---- step 5 ------------------------------------------------------------------------------------------------------------------ */

struct ranked { struct place place; uint32_t item; };

static int compare_ranked(const void *pa, const void *pb)
{
    const struct ranked *a = pa, *b = pb;
    return before(&a->place, &b->place) ? -1 : before(&b->place, &a->place);
}

/* The item whose subject is the thread's. */
static const struct thread_item *speaker(const struct ordering *o, uint32_t root)
{
    return &o->t->items[is_there(o, root) ? root : o->places[root].first];
}

/* 5.B: shall root take the place of what the table has? */
static bool replaces(const struct ordering *o, uint32_t root, uint32_t had)
{
    if (had == NO_ITEM) return true;
    if (!is_there(o, had)) return false;
    return !is_there(o, root) || (o->t->items[had].reply && !o->t->items[root].reply);
}

/* 5.C: root joins the thread that the table has for its subject. */
static void merge(struct ordering *o, uint32_t root, uint32_t *entry)
{
    struct place *p = &o->places[root];
    const uint32_t had = *entry;

    if (had == root) return;
    if (!is_there(o, had)) {
        p->above = had;                            /* not there itself: its children go there, see join_children */
        p->live = is_there(o, root);
    } else if (is_there(o, root) && o->t->items[root].reply && !o->t->items[had].reply) {
        p->above = had;
    } else {
        *entry = (uint32_t)o->n++;
        o->places[*entry] = (struct place){ .above = NO_ITEM, .first = NO_ITEM, .live = true };
        p->above = o->places[had].above = *entry;
    }
}

/* Children of what joined another and is not there itself. */
static void join_children(struct ordering *o)
{
    for (size_t i = 0; i < o->n; i++) {
        struct place *p = &o->places[i];
        if (p->live && p->above != NO_ITEM && !o->places[p->above].live) p->above = o->places[p->above].above;
    }
}

static void gather_subjects(struct ordering *o)
{
    const uint32_t subjects = o->t->subjects.n;
    struct ranked *roots = xcalloc(o->n + 1, sizeof *roots);
    size_t n = 0;

    for (uint32_t i = 0; i < o->n; i++)
        if (o->places[i].live && o->places[i].above == NO_ITEM) roots[n++] = (struct ranked){ o->places[i], i };
    qsort(roots, n, sizeof *roots, compare_ranked);            /* step 4 */
    o->by_subject = xcalloc(subjects, sizeof *o->by_subject);
    for (uint32_t i = 0; i < subjects; i++) o->by_subject[i] = NO_ITEM;
    for (size_t i = 0; i < n; i++) {
        const uint32_t root = roots[i].item, subject = speaker(o, root)->subject;
        if (subject != NO_SUBJECT && replaces(o, root, o->by_subject[subject])) o->by_subject[subject] = root;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t subject = speaker(o, roots[i].item)->subject;
        if (subject != NO_SUBJECT) merge(o, roots[i].item, &o->by_subject[subject]);
    }
    join_children(o);
    free(roots);
    free(o->by_subject);
}

/* ---- the other algorithms ---------------------------------------------------------------------------------------------------- */

/* ORDEREDSUBJECT: above each message is the first of its subject. */
static void order_subjects(struct ordering *o)
{
    const uint32_t subjects = o->t->subjects.n;
    uint32_t *first = xcalloc(subjects, sizeof *first);

    for (uint32_t i = 0; i < subjects; i++) first[i] = NO_ITEM;
    for (uint32_t i = 0; i < o->n; i++) {
        uint32_t *f = &first[o->t->items[i].subject];
        if (*f == NO_ITEM || before(&o->places[i], &o->places[*f])) *f = i;
    }
    for (uint32_t i = 0; i < o->n; i++) {
        const uint32_t f = first[o->t->items[i].subject];
        o->places[i].above = f == i ? NO_ITEM : f;
    }
    free(first);
}

/* REFS: roots are sorted by the latest sent date among all below them. */
static void sort_by_latest(struct ordering *o)
{
    int64_t *latest = xcalloc(o->n + 1, sizeof *latest);

    for (size_t i = 0; i < o->n; i++) latest[i] = is_there(o, i) ? o->t->items[i].date : INT64_MIN;
    for (size_t at = o->t->item_count; at-- > 0;) {            /* children before parents */
        const uint32_t i = o->order[at], above = o->places[i].above;
        if (!o->places[i].live) continue;
        if (above == NO_ITEM) o->places[i].date = latest[i];
        else if (latest[i] > latest[above]) latest[above] = latest[i];
    }
    free(latest);
}

/* ---- the result -------------------------------------------------------------------------------------------------------------- */

/* Roots first, then by what is above, siblings in order. */
static int compare_siblings(const void *pa, const void *pb)
{
    const struct ranked *a = pa, *b = pb;
    const uint32_t x = a->place.above + 1, y = b->place.above + 1;       /* NO_ITEM is 0 */
    return x != y ? (x < y ? -1 : 1) : compare_ranked(pa, pb);
}

static void lay_out(const struct ordering *o, struct threads *out)
{
    struct ranked *list = xcalloc(o->n + 1, sizeof *list);
    uint32_t *node_of = xcalloc(o->n + 1, sizeof *node_of);
    size_t n = 0;

    for (uint32_t i = 0; i < o->n; i++)
        if (o->places[i].live) list[n++] = (struct ranked){ o->places[i], i };
    qsort(list, n, sizeof *list, compare_siblings);
    *out = (struct threads){ .nodes = xcalloc(n + 1, sizeof *out->nodes), .n = n };
    for (uint32_t i = 0; i < n; i++) {
        node_of[list[i].item] = i;
        if (is_there(o, list[i].item)) out->nodes[i].seq = o->t->items[list[i].item].seq;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].place.above == NO_ITEM) {
            out->roots++;
            continue;
        }
        struct thread_node *parent = &out->nodes[node_of[list[i].place.above]];
        if (parent->child_count++ == 0) parent->first_child = i;
    }
    free(list);
    free(node_of);
}

void threading_finish(struct threading *t, struct threads *out)
{
    struct ordering o = { .t = t, .n = t->item_count };

    o.places = xcalloc(t->item_count * 2 + 1, sizeof *o.places);
    o.order = xcalloc(t->item_count + 1, sizeof *o.order);
    order_by_breadth(&o);
    prune(&o);
    find_firsts(&o);
    if (t->algorithm == THREAD_ORDEREDSUBJECT) order_subjects(&o);
    if (t->algorithm == THREAD_REFERENCES) {
        gather_subjects(&o);
        find_firsts(&o);
    }
    if (t->algorithm == THREAD_REFS) sort_by_latest(&o);
    lay_out(&o, out);
    free(o.places);
    free(o.order);
}

void threads_free(struct threads *threads)
{
    free(threads->nodes);
    *threads = (struct threads){ .n = 0 };
}
