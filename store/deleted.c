/*
 * How much an EXPUNGE would free.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "store/mailbox_private.h"

static int sum(struct index_txn *t, const struct box_record *rec, uint64_t *octets, struct store_error *e)
{
    const struct chunk_info *infos = rec->deleted > 0 ? index_chunks(t, rec) : NULL;
    int rc = 0;
    if (infos == NULL)
        return 0;
    struct chunk_info *copy = memcpy(xreallocarray(NULL, rec->chunk_count, sizeof *copy), infos, rec->chunk_count * sizeof *copy);
    for (uint32_t c = 0; c < rec->chunk_count && rc == 0; c++) {
        const struct message_record *r = copy[c].deleted > 0 ? index_chunk(t, rec->id, &copy[c]) : NULL;
        if (r == NULL && copy[c].deleted > 0)
            rc = store_fail(e, STORE_CORRUPTION, 0, "index: message records are damaged");
        for (uint32_t i = 0; r != NULL && i < copy[c].count; i++)
            *octets += r[i].flags & FLAG_DELETED ? r[i].raw_size : 0;
    }
    free(copy);
    return rc;
}

static int deleted_once(struct store *s, const struct mailbox_name *name, uint64_t *octets, struct store_error *e)
{
    struct box b;
    struct box_record rec;
    struct index_txn t;
    *octets = 0;
    if (box_open(&b, s, name, false, e) != 0)
        return -1;
    int rc = box_refresh(&b, &rec, e);
    if (rc == 0)
        rc = index_begin(s->index, false, &t, e);
    if (rc == 0) {
        rc = sum(&t, &rec, octets, e);
        index_abort(&t);
    }
    box_close(&b);
    return rc;
}

int mailbox_deleted_storage(struct store *s, const struct mailbox_name *name, uint64_t *octets, struct store_error *e)
{
    const int rc = deleted_once(s, name, octets, e);
    return rc != 0 && index_damaged(s->index) ? deleted_once(s, name, octets, e) : rc;
}
