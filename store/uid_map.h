#ifndef STORE_UID_MAP_H
#define STORE_UID_MAP_H
#include <stddef.h>
#include <stdint.h>

/*
 * Message sequence numbers and the UIDs they stand for (RFC 3501, 2.3.1.2), as a view has told its client. Kept as runs of UIDs without a
 * gap: a mailbox of any size from which little was expunged takes a few octets. Sequence numbers begin at 1; UIDs ascend.
 */
struct uid_map;

/* An empty one. The caller frees it. */
struct uid_map *uid_map_new(void);
void uid_map_free(struct uid_map *map);          /* may be NULL */
/* n more messages with the UIDs from `first` on, which is above all others there. */
void uid_map_add(struct uid_map *map, uint32_t first, uint32_t n);
/* The first n, at most all that there are, stay. */
void uid_map_cut(struct uid_map *map, uint32_t n);
/* How many messages there are. */
uint32_t uid_map_count(const struct uid_map *map);
/* The UID of message seq; 0: there is none of that number. */
uint32_t uid_map_uid(struct uid_map *map, uint32_t seq);
/* The first message whose UID is not below uid; behind the last: one more than their count. */
uint32_t uid_map_seq_from(struct uid_map *map, uint32_t uid);
/* How many messages from seq on, at most the rest, have UIDs without a gap. 0: there is no message seq. */
uint32_t uid_map_run(struct uid_map *map, uint32_t seq);
#endif
