/*
 * APPEND, COPY and MOVE.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/deliver.h"
#include "store/mbox_journal.h"

/* ---- APPEND ------------------------------------------------------------------------------------------------------- */

struct append {
    struct delivery d;
};

int append_begin(struct store *s, const struct mailbox_name *name, struct append **out, struct store_error *e)
{
    struct store_error own;
    const unsigned there = names_look(s->names, name, e != NULL ? e : &own);     /* says why it is not */
    if (!(there & NAME_SELECTABLE) && !name->inbox)
        return there == 0 ? -1 : store_fail(e, STORE_CANNOT, 0, "%s is a directory", name->text);
    *out = xcalloc(1, sizeof **out);
    delivery_init(&(*out)->d, s, name);
    return 0;
}

static int local_zone(int64_t date)
{
    const time_t t = (time_t)date;
    struct tm tm;
    return localtime_r(&t, &tm) != NULL ? (int)(tm.tm_gmtoff / 60) : 0;
}

int append_message(struct append *a, const struct append_message *msg, struct store_error *e)
{
    struct parcel *p = delivery_add(&a->d);
    (void)e;
    p->flags = msg->flags;
    p->save_date = msg->save_date != 0 ? msg->save_date : (int64_t)time(NULL);
    p->date = msg->has_date ? msg->date : (int64_t)time(NULL);
    p->zone = msg->has_date ? msg->zone : local_zone(p->date);
    for (size_t i = 0; i < msg->keyword_count; i++) {
        buf_add(&p->keywords, msg->keywords[i].p, msg->keywords[i].n);
        buf_addc(&p->keywords, 0);
    }
    return 0;
}

int append_data(struct append *a, const char *bytes, size_t n, struct store_error *e)
{
    if (memchr(bytes, 0, n) != NULL)
        return store_fail(e, STORE_CANNOT, 0, "a message with NUL octets cannot be stored");
    if (spool_write(&a->d.spool, bytes, n, e) != 0)
        return -1;
    a->d.parcels[a->d.n - 1].size += n;
    return 0;
}

int append_commit(struct append *a, uint32_t *uidvalidity, uint32_t **uids, size_t *count, struct store_error *e)
{
    *count = a->d.n;
    const int rc = delivery_commit(&a->d, uidvalidity, uids, e);
    append_abort(a);
    return rc;
}

void append_abort(struct append *a)
{
    if (a == NULL)
        return;
    delivery_free(&a->d);
    free(a);
}

/* ---- COPY and MOVE ------------------------------------------------------------------------------------------------ */

static int take_octets(struct mailbox *m, struct delivery *d, const struct message_record *r, uint64_t start, struct store_error *e)
{
    char part[65536];
    uint64_t left = r->raw_size - r->tail, from = start;
    char *room = left <= d->spool.most ? spool_room(&d->spool, (size_t)left) : NULL;
    if (room != NULL && file_read(m->box.fd, room, (size_t)left, from) == 0) {
        spool_grow(&d->spool, (size_t)left);
        return 0;
    }
    while (left > 0) {                       /* also to say what is wrong */
        const ssize_t k = pread(m->box.fd, part, left < sizeof part ? (size_t)left : sizeof part, (off_t)from);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return store_fail(e, k < 0 ? STORE_IO : STORE_CORRUPTION, k < 0 ? errno : 0, "%s: reading", m->box.name.text);
        if (spool_write(&d->spool, part, (size_t)k, e) != 0)
            return -1;
        from += (uint64_t)k;
        left -= (uint64_t)k;
    }
    return 0;
}

/* One message of the view into the delivery. 0, 1 it is gone, -1. */
static int take_message(struct mailbox *m, struct delivery *d, uint32_t uid, struct store_error *e)
{
    uint64_t start;
    struct store_error own = { .code = STORE_OK };
    const struct message_record *r = mailbox_record(m, uid, &start, &own);
    if (r == NULL) {
        if (own.code == STORE_OK)
            return 1;
        if (e != NULL)
            *e = own;
        return -1;
    }
    struct parcel *p = delivery_add(d);
    p->stored = true;
    p->size = r->raw_size - r->tail;
    p->flags = r->flags;
    p->date = r->date;
    p->zone = r->zone;
    p->save_date = time(NULL);
    p->from_size = r->from_size;
    p->header_size = r->header_raw;
    p->verbatim = r->bits & RECORD_VERBATIM;
    p->noeol = r->bits & RECORD_NOEOL;
    for (unsigned bit = 0; r->keywords >> bit != 0 && bit < STORE_KEYWORDS; bit++) {
        const char *name = r->keywords >> bit & 1 ? mailbox_keyword(m, bit) : NULL;
        if (name != NULL)
            buf_add(&p->keywords, name, strlen(name) + 1);
        if (bit == STORE_KEYWORDS - 1)
            break;
    }
    return take_octets(m, d, r, start, e);
}

int delivery_collect(struct delivery *d, struct mailbox *m, const uint32_t *seqs, size_t n, uint32_t *uids, size_t *count,
                     struct store_error *e)
{
    *count = 0;
    if (mailbox_read_begin(m, e) != 0)
        return -1;
    int rc = mailbox_snapshot(m, e);
    if (rc == 0)
        rc = mailbox_load_keywords(m, &m->txn, e);
    if (rc == 0 && m->rec.exists > 0)
        spool_expect(&d->spool, m->rec.size_sum / m->rec.exists * n);
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        const uint32_t uid = mailbox_uid(m, seqs[i]);
        rc = take_message(m, d, uid, e);
        if (rc == 0)
            uids[(*count)++] = uid;
        mailbox_progress(m, i + 1, n);
    }
    mailbox_read_end(m);
    return rc < 0 ? -1 : 0;
}

/* MOVE: from the view's mailbox into the one the delivery is for; uids become those that were still there. */
static int move(struct mailbox *m, struct delivery *d, uint32_t *uids, size_t *count, uint32_t *uidvalidity, uint32_t **dst_uids,
                struct store_error *e)
{
    content_forget(m->content);
    mailbox_cache_flush(m);
    mailbox_snapshot_end(m);
    mailbox_unlock(m);
    const int rc = delivery_move(d, &m->box, uids, uidvalidity, dst_uids, e);
    *count = d->n;
    return rc;
}

int append_replace(struct append *a, struct mailbox *m, uint32_t uid, uint32_t *uidvalidity, uint32_t *fresh, struct store_error *e)
{
    uint32_t *uids = NULL;
    size_t count = 0;
    int rc = m->readonly ? store_fail(e, STORE_NOPERM, 0, "%s is read-only", m->box.name.text)
        : move(m, &a->d, &uid, &count, uidvalidity, &uids, e);
    if (rc == 0 && count == 0)
        rc = store_fail(e, STORE_EXPUNGED, 0, "The message to be replaced is gone");
    if (rc == 0)
        *fresh = uids[0];
    free(uids);
    append_abort(a);
    return rc;
}

int mailbox_copy(struct mailbox *m, const uint32_t *seqs, size_t n, const struct mailbox_name *to, bool moving,
                 uint32_t *uidvalidity, uint32_t **src_uids, uint32_t **dst_uids, size_t *count, struct store_error *e)
{
    struct delivery d;
    struct store_error own;
    unsigned there;
    *src_uids = *dst_uids = NULL;
    *count = 0;
    if (moving && m->readonly)
        return store_fail(e, STORE_NOPERM, 0, "%s is read-only", m->box.name.text);
    if (!to->inbox && !((there = names_look(m->box.store->names, to, e != NULL ? e : &own)) & NAME_SELECTABLE))
        return there == 0 ? -1 : store_fail(e, STORE_CANNOT, 0, "%s is a directory", to->text);
    delivery_init(&d, m->box.store, to);
    d.spool.most = SPOOL_COPY;             /* of messages that are here already */
    uint32_t *uids = xreallocarray(NULL, n + 1, sizeof *uids);
    int rc = delivery_collect(&d, m, seqs, n, uids, count, e);
    if (rc == 0 && *count > 0)
        rc = moving ? move(m, &d, uids, count, uidvalidity, dst_uids, e) : delivery_commit(&d, uidvalidity, dst_uids, e);
    delivery_free(&d);
    if (rc != 0) {
        free(uids);
        free(*dst_uids);
        *dst_uids = NULL;
        *count = 0;
        return -1;
    }
    *src_uids = uids;
    return 0;
}
