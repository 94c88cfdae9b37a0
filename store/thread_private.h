#ifndef STORE_THREAD_PRIVATE_H
#define STORE_THREAD_PRIVATE_H
#include "store/forest.h"
#include "store/intern.h"
#include "store/thread.h"

/* A message, or one that only references speak of (seq 0). */
struct thread_item {
    int64_t date;                    /* sent */
    uint32_t seq;
    uint32_t parent, children;       /* as linked; a count */
    uint32_t subject;                /* number of the base subject as its collation has it */
    bool reply;
};
#define NO_ITEM FOREST_NONE
enum { NO_SUBJECT = 0 };    /* NO_SUBJECT: the empty one */
struct threading {
    enum thread_algorithm algorithm;
    enum collation collation;        /* of subjects */
    struct intern ids, subjects;     /* an id's number is its item's, a message without one of its own has an invented one */
    struct thread_item *items;
    size_t item_count, item_room;
    struct forest forest;
    struct charset_cache *charsets;
    struct buf id, subject, collated;    /* scratch */
};
#endif
