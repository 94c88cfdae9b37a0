#ifndef STORE_INTERN_H
#define STORE_INTERN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* Strings numbered in the order in which they first came: 0, 1, 2, ... Hashed with a key of the day, so that senders of mail
 * cannot choose strings that collide. Zeroed is empty. */
struct intern {
    struct buf text;
    struct intern_entry { uint32_t offset, length; } *entries;
    uint32_t n, *slots;
    size_t entry_room, slot_count;
    uint64_t key[2];
};
/* At most 2^32 octets in all, which the caller sees to by text.len. */
uint32_t intern_add(struct intern *t, struct str s, bool *is_new);   /* is_new may be NULL */
void intern_free(struct intern *t);
#endif
