/*
 * Link-cut trees: each tree is divided into paths downwards, each path is a splay tree in order of depth. access() makes the
 * path from the root to a node one splay tree with the node on top. The loops go on what other calls made, none recurses.
 */
#include "store/forest.h"

void forest_init(struct forest *f, uint32_t node)
{
    f->nodes[node] = (struct forest_node){ FOREST_NONE, FOREST_NONE, FOREST_NONE };
}

/* Is x the top of its splay tree? */
static bool is_top(const struct forest *f, uint32_t x)
{
    const uint32_t p = f->nodes[x].parent;
    return p == FOREST_NONE || (f->nodes[p].left != x && f->nodes[p].right != x);
}

/* x takes the place of its parent. */
static void rotate(struct forest *f, uint32_t x)
{
    struct forest_node *n = f->nodes;
    const uint32_t p = n[x].parent, above = n[p].parent;
    const bool left = n[p].left == x, top = is_top(f, p);
    const uint32_t inner = left ? n[x].right : n[x].left;

    if (!top && n[above].left == p) n[above].left = x;
    else if (!top) n[above].right = x;
    n[x].parent = above;
    if (left) {
        n[x].right = p;
        n[p].left = inner;
    } else {
        n[x].left = p;
        n[p].right = inner;
    }
    n[p].parent = x;
    if (inner != FOREST_NONE) n[inner].parent = p;
}

static void splay(struct forest *f, uint32_t x)
{
    const struct forest_node *n = f->nodes;

    while (!is_top(f, x)) {
        const uint32_t p = n[x].parent;
        if (!is_top(f, p)) rotate(f, (n[n[p].parent].left == p) == (n[p].left == x) ? p : x);
        rotate(f, x);
    }
}

static void access(struct forest *f, uint32_t x)
{
    uint32_t below = FOREST_NONE;

    for (uint32_t at = x; at != FOREST_NONE; at = f->nodes[at].parent) {
        splay(f, at);
        f->nodes[at].right = below;
        below = at;
    }
    splay(f, x);
}

void forest_link(struct forest *f, uint32_t root, uint32_t parent)
{
    access(f, root);                 /* its path is itself alone: nothing is above it */
    f->nodes[root].parent = parent;
}

void forest_cut(struct forest *f, uint32_t node)
{
    access(f, node);
    const uint32_t above = f->nodes[node].left;
    if (above == FOREST_NONE) return;
    f->nodes[above].parent = FOREST_NONE;
    f->nodes[node].left = FOREST_NONE;
}

uint32_t forest_root(struct forest *f, uint32_t node)
{
    access(f, node);
    while (f->nodes[node].left != FOREST_NONE) node = f->nodes[node].left;
    splay(f, node);
    return node;
}
