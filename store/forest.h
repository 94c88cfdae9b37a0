#ifndef STORE_FOREST_H
#define STORE_FOREST_H
#include <stdbool.h>
#include <stdint.h>

/* Trees of numbered nodes that are linked and cut in any order, and "in which tree is this?", each in logarithmic time
 * amortised (link-cut trees of splay trees): a chain of 100,000 replies is no slower than as many short threads. */
#define FOREST_NONE UINT32_MAX
struct forest_node { uint32_t parent, left, right; };    /* of the splay trees; a root's parent: of its path */
struct forest { struct forest_node *nodes; };            /* the caller's array, each node set up by forest_init */

void forest_init(struct forest *f, uint32_t node);
void forest_link(struct forest *f, uint32_t root, uint32_t parent);   /* root: the root of a tree, not of parent's */
void forest_cut(struct forest *f, uint32_t node);                     /* from its parent */
uint32_t forest_root(struct forest *f, uint32_t node);
#endif
