#ifndef STORE_REFRESH_PRIVATE_H
#define STORE_REFRESH_PRIVATE_H
#include "store/mailbox_private.h"

struct stage;
/* What refresh.c and refresh_match.c share. */
struct scan_result {
    struct message_record *list;
    uint32_t *x_uid, *file_uid;       /* X-UID where it is believed, and as it stands there; 0: none */
    size_t n, capacity;
    const struct store *store;        /* for progress, and of how many octets */
    uint64_t goal;
    unsigned seen;
    struct stage *stage;              /* NULL: all stay in the list */
    struct buf keywords;              /* names, extended as they are met */
    bool mboxo, pseudo, has_base;
    bool base;                        /* and it is believed */
    uint32_t uidvalidity;             /* that the index has; 0: it knows nothing */
    uint32_t base_validity, base_last, base_size;
    unsigned names;                   /* keywords in all */
    uint32_t last_x;                  /* the highest X-UID so far that is believed */
    uint64_t base_offset;
    struct buf base_keywords;
    uint32_t recalled_validity, recalled_last;        /* of a file without X-IMAPbase that the index does not know; 0: none */
};

struct match {
    struct scan_result *found;
    struct box_record *rec;
    struct message_record *old;
    size_t old_n;
    bool base;                        /* X-IMAPbase holds: X-UIDs up to base_last are believed */
    uint64_t modseq;                  /* for what is new or changed */
    uint32_t believe_from;            /* X-UIDs below this were given by us */
    uint32_t *gone, *edited;
    size_t gone_n, edited_n;
};
/* Another program's change, the difference between the file as it was (old) and as it is (now), applied to the index. */
void match_merge(struct message_record *now, const struct message_record *old, uint64_t modseq);
/* Is what the index keeps of the old text no longer true? Content-Length and Lines are no part of the fingerprint. */
bool match_is_edited(const struct message_record *now, const struct message_record *old);
/* UIDs of our own begin behind those that the file may name. Comes before the others. */
void match_begin_uids(struct match *m);
/* Message i of the file is new: UID (above *last, which becomes it), flags, times. */
void match_set_new(struct match *m, size_t i, uint32_t *last, int64_t now);
/* Message i has its UID: is the one in its block the same? */
void match_check_block(const struct match *m, size_t i);
/* All of the file against all of the index; fills gone and edited (UIDs; the caller frees them). */
void match_everything(struct match *m);
#endif
