#ifndef MIGRATE_TABLE_H
#define MIGRATE_TABLE_H
#include "base/progress.h"
#include "migrate/source.h"

/* What a mailbox holds, message by message, and how that is compared with messages elsewhere. */
struct entry {
    uint8_t digest[32];              /* SHA-256 of the octets as a client sees them */
    uint32_t uid, seq;
    unsigned flags;                  /* without FLAG_OLD */
    uint64_t keywords;
    int64_t date;
    int zone;
    uint64_t size;
    bool lf;                         /* LF for each CRLF can be undone: no other LF, no CR before a CRLF */
    uint64_t lines;
    bool taken;                      /* for the user of this header */
};
struct table {
    struct entry *list;              /* ascending UIDs */
    size_t n;
    struct buf keyword_names;        /* NUL-terminated, by bit */
};
/* Reads all messages of the view. p (begun with mailbox_info's size; may be NULL) shows how far. 0 or -1; messages that go meanwhile are
 * left out. */
int table_read(struct table *t, struct mailbox *m, struct progress *p, struct store_error *e);
void table_free(struct table *t);
const struct entry *table_find(const struct table *t, uint32_t uid);
/* The keywords of an entry, NUL-terminated names, appended. */
void table_keywords(const struct table *t, const struct entry *en, struct buf *out);

/* The digest of an item's octets into it->digest. As source_read. */
int item_digest(struct source *s, struct item *it);
/* How an entry differs from an item, in words ("octets, flags"), appended; nothing if it does not. */
void item_compare(const struct item *it, const struct table *t, const struct entry *en, bool uid, struct buf *out);
/* A digest over all items that are not bad, in their order: octets, flags, keywords, date of each. 64 hexadecimal digits. */
void source_digest(const struct source *s, char out[65]);
#endif
