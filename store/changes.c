/*
 * What changed since a MODSEQ that a client remembers (RFC 7162): messages of the view, and UIDs that are gone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "store/mailbox_private.h"

uint64_t mailbox_modseq(const struct mailbox *m)
{
    return m->pending_expunges && m->pending_since < m->modseq ? m->pending_since : m->modseq;
}

void mailbox_progress(const struct mailbox *m, uint64_t done, uint64_t goal)
{
    store_progress(m->box.store, done, goal);
}

bool mailbox_expunges_pending(const struct mailbox *m)
{
    return m->pending_expunges;
}

int mailbox_changed(struct mailbox *m, uint64_t above, uint32_t *seqs, size_t *n, struct store_error *e)
{
    size_t to = 0;
    uint32_t chunk = 0;
    if (mailbox_snapshot(m, e) != 0)
        return -1;
    for (size_t i = 0; i < *n; i++) {
        const uint32_t uid = mailbox_uid(m, seqs[i]);
        uint64_t start;
        while (chunk < m->rec.chunk_count && m->infos[chunk].last_uid < uid)
            chunk++;
        if (chunk == m->rec.chunk_count || m->infos[chunk].max_modseq <= above)
            continue;
        const struct message_record *r = mailbox_record(m, uid, &start, e);
        if (r == NULL || r->modseq > above)          /* NULL: gone, told by whoever reads it */
            seqs[to++] = seqs[i];
    }
    *n = to;
    return 0;
}

struct gathered {
    struct buf ranges;                               /* struct uid_range */
};

static void gather(void *ctx, uint32_t first, uint32_t last)
{
    struct gathered *g = ctx;
    const struct uid_range r = { first, last };
    buf_add(&g->ranges, &r, sizeof r);
}

static int by_first(const void *a, const void *b)
{
    const struct uid_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* One range of what is gone, without what the view still shows. */
static void each_not_shown(const struct mailbox *m, uint32_t first, uint32_t last, void (*each)(void *ctx, uint32_t first, uint32_t last),
                           void *ctx)
{
    uint64_t from = first;
    uint32_t uid;
    for (uint32_t seq = mailbox_seq_from(m, first), n; (n = uid_map_run(m->uids, seq)) > 0 && (uid = mailbox_uid(m, seq)) <= last; seq += n) {
        if (uid > from)
            each(ctx, (uint32_t)from, uid - 1);
        from = (uint64_t)uid + n;
    }
    if (from <= last)
        each(ctx, (uint32_t)from, last);
}

int mailbox_vanished(struct mailbox *m, uint64_t above, void (*each)(void *ctx, uint32_t first, uint32_t last), void *ctx,
                     struct store_error *e)
{
    struct gathered g = { .ranges = { 0 } };
    if (mailbox_snapshot(m, e) != 0)
        return -1;
    if (above < m->rec.history_modseq || above > m->rec.highestmodseq) {       /* not remembered: whatever is not there */
        if (m->uidnext > 1)
            each_not_shown(m, 1, m->uidnext - 1, each, ctx);
        return 0;
    }
    const int rc = index_each_expunged(&m->txn, m->box.id, above, gather, &g, e);
    struct uid_range *r = (struct uid_range *)(void *)g.ranges.data;
    const size_t n = g.ranges.len / sizeof *r;
    if (n > 1)
        qsort(r, n, sizeof *r, by_first);
    for (size_t i = 0; rc == 0 && i < n;) {
        uint32_t last = r[i].last;
        size_t j = i + 1;
        while (j < n && r[j].first <= (uint64_t)last + 1) {
            last = r[j].last > last ? r[j].last : last;
            j++;
        }
        each_not_shown(m, r[i].first, last, each, ctx);
        i = j;
    }
    buf_free(&g.ranges);
    return rc;
}
