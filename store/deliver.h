#ifndef STORE_DELIVER_H
#define STORE_DELIVER_H
#include "store/mailbox_private.h"
#include "store/spool.h"

/* Messages on their way into a mailbox: from a client (as sent) or from another mailbox (as stored). */
struct parcel {
    bool stored;                     /* as in an mbox: From_ line, header with other bookkeeping, body */
    uint64_t from, size;             /* place in the spool */
    unsigned flags;
    struct buf keywords;             /* names, NUL-terminated one after another */
    int64_t date, save_date;
    int zone;
    uint32_t from_size, header_size; /* stored: of the From_ line and the header */
    bool verbatim, noeol;
    uint32_t uid;                    /* wanted, 0: any; had if it is above all that were given before */
};
struct delivery {
    struct store *store;
    struct mailbox_name name;
    struct spool spool;
    struct parcel *parcels;
    size_t n, capacity;
    uint32_t uidnext;                /* UIDNEXT afterwards is at least this */
};
void delivery_init(struct delivery *d, struct store *s, const struct mailbox_name *name);
void delivery_free(struct delivery *d);
struct parcel *delivery_add(struct delivery *d);
/* Parcels of messages of a view, as they are stored; uids (room for n) become those of the *count that are still there. */
int delivery_collect(struct delivery *d, struct mailbox *m, const uint32_t *seqs, size_t n, uint32_t *uids, size_t *count,
                     struct store_error *e);
/* One parcel (its octets) in the stored form, with the block b and the blank line behind it: into out, and from there into text
 * when out has grown or it is the last one. */
int parcel_write(struct parcel *p, const char *octets, struct meta_block *b, bool mboxo, struct buf *out, struct spool *text,
                 bool last, struct store_error *e);
/* Writes all parcels to the mailbox, durably, all or none. *uids: array of d->n, the caller's. */
int delivery_commit(struct delivery *d, uint32_t *uidvalidity, uint32_t **uids, struct store_error *e);
/* For messages that bring their UIDs: makes this the mailbox's UIDVALIDITY, durably. 0: it has it (had it already). 1: it cannot, since
 * the mailbox gave UIDs already, or the number lies more than a day in the future. -1 with e. */
int delivery_uidvalidity(struct store *s, const struct mailbox_name *name, uint32_t uidvalidity, struct store_error *e);
/* Raises UIDNEXT to at least this, so that a UID that was given where the messages come from is given to no other. 0 or -1. */
int delivery_uidnext(struct store *s, const struct mailbox_name *name, uint32_t uidnext, struct store_error *e);
/* As delivery_commit, and takes the messages uids (d->n of them, ascending, a parcel each) from the mailbox `from`, which is not locked:
 * all or nothing. Those that are not there any more are left out, of d and uids. */
int delivery_move(struct delivery *d, struct box *from, uint32_t *uids, uint32_t *uidvalidity, uint32_t **new, struct store_error *e);
#endif
