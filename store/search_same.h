#ifndef STORE_SEARCH_SAME_H
#define STORE_SEARCH_SAME_H
#include "store/search.h"

/* Of the children of each AND and OR that say the same, the first one stays, and parentheses around a single key go: however often a
 * client repeats a key, it is asked once for each message. Before search_run prepares the keys. Takes n log n comparisons. */
void search_once(struct search_key *program);
#endif
