/*
 * Chunks of message records and their directory (see index.h).
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "store/index_private.h"

const struct chunk_info *index_chunks(struct index_txn *t, const struct box_record *box)
{
    unsigned char key[12];
    MDB_val v;
    index_key(key, box->id, 0);
    if (box->chunk_count == 0 || index_get(t, TABLE_CHUNKS, key, 8, &v) != 0
        || v.mv_size != box->chunk_count * sizeof(struct chunk_info)) {
        t->index->damaged = t->index->damaged || box->chunk_count > 0;
        return NULL;
    }
    if ((uintptr_t)v.mv_data % 8 == 0)
        return v.mv_data;
    free(t->index->chunks_copy);
    t->index->chunks_copy = memcpy(xmalloc(v.mv_size), v.mv_data, v.mv_size);
    return t->index->chunks_copy;
}

int index_put_chunks(struct index_txn *t, uint64_t id, const struct chunk_info *infos, size_t n, struct store_error *e)
{
    unsigned char key[12];
    index_key(key, id, 0);
    if (n == 0)
        return index_del(t, TABLE_CHUNKS, key, 8, e);
    return index_put(t, TABLE_CHUNKS, key, 8, infos, n * sizeof *infos, e);
}

const struct message_record *index_chunk(struct index_txn *t, uint64_t id, const struct chunk_info *info)
{
    unsigned char key[12];
    MDB_val v;
    index_key(key, id, info->id);
    if (index_get(t, TABLE_CHUNK, key, sizeof key, &v) != 0 || info->count == 0 || info->count > INDEX_CHUNK
        || v.mv_size != info->count * sizeof(struct message_record)) {
        t->index->damaged = true;
        return NULL;
    }
    if ((uintptr_t)v.mv_data % 8 == 0)
        return v.mv_data;
    if (t->index->chunk_copy == NULL)
        t->index->chunk_copy = xmalloc(INDEX_CHUNK * sizeof *t->index->chunk_copy);
    return memcpy(t->index->chunk_copy, v.mv_data, v.mv_size);
}

int index_put_chunk(struct index_txn *t, uint64_t id, uint32_t chunk, const struct message_record *records, size_t n,
                    struct store_error *e)
{
    unsigned char key[12];
    index_key(key, id, chunk);
    return index_put(t, TABLE_CHUNK, key, sizeof key, records, n * sizeof *records, e);
}

int index_delete_chunk(struct index_txn *t, uint64_t id, uint32_t chunk, struct store_error *e)
{
    unsigned char key[12];
    index_key(key, id, chunk);
    return index_del(t, TABLE_CHUNK, key, sizeof key, e);
}

void chunk_count_up(struct chunk_info *info, const struct message_record *records, size_t n)
{
    info->count = (uint32_t)n;
    info->unseen = info->deleted = info->dirty = info->unwritten = 0;
    info->first_uid = n > 0 ? records[0].uid : 0;
    info->last_uid = n > 0 ? records[n - 1].uid : 0;
    for (size_t i = 0; i < n; i++) {
        const struct message_record *r = &records[i];
        info->unseen += !(r->flags & FLAG_SEEN);
        info->deleted += (r->flags & FLAG_DELETED) != 0;
        info->dirty += r->flags != r->mbox_flags || r->keywords != r->mbox_keywords;
        info->unwritten += !(r->bits & RECORD_BLOCK) || !(r->bits & RECORD_OLD);
        if (r->modseq > info->max_modseq)
            info->max_modseq = r->modseq;
    }
}

/* Removes the chunks that a box has now. */
static int drop_chunks(struct index_txn *t, const struct box_record *box, struct store_error *e)
{
    const struct chunk_info *have = index_chunks(t, box);
    if (have == NULL)
        return 0;
    const size_t bytes = box->chunk_count * sizeof *have;
    struct chunk_info *copy = memcpy(xmalloc(bytes), have, bytes);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < box->chunk_count; i++)
        rc = index_delete_chunk(t, box->id, copy[i].id, e);
    free(copy);
    return rc;
}

int index_put_all(struct index_txn *t, struct box_record *box, const struct message_record *records, size_t n,
                  struct store_error *e)
{
    if (drop_chunks(t, box, e) != 0)
        return -1;
    const size_t chunks = (n + INDEX_CHUNK - 1) / INDEX_CHUNK;
    struct chunk_info *infos = xcalloc(chunks + 1, sizeof *infos);
    struct message_record *part = xmalloc(INDEX_CHUNK * sizeof *part);
    box->exists = box->unseen = box->deleted = box->dirty = box->unwritten = 0;
    box->size_sum = 0;
    int rc = 0;
    for (size_t c = 0; rc == 0 && c < chunks; c++) {
        const struct message_record *from = records + c * INDEX_CHUNK;
        const size_t count = c + 1 < chunks ? INDEX_CHUNK : n - c * INDEX_CHUNK;
        memcpy(part, from, count * sizeof *part);
        infos[c].base = from->offset;
        infos[c].id = box->next_chunk++;
        for (size_t i = 0; i < count; i++) {
            part[i].offset -= infos[c].base;
            box->size_sum += part[i].size;
        }
        chunk_count_up(&infos[c], part, count);
        box->exists += infos[c].count;
        box->unseen += infos[c].unseen;
        box->deleted += infos[c].deleted;
        box->dirty += infos[c].dirty;
        box->unwritten += infos[c].unwritten;
        rc = index_put_chunk(t, box->id, infos[c].id, part, count, e);
    }
    box->chunk_count = (uint32_t)chunks;
    if (rc == 0)
        rc = index_put_chunks(t, box->id, infos, chunks, e);
    free(part);
    free(infos);
    return rc;
}

int index_get_all(struct index_txn *t, const struct box_record *box, struct message_record **out, struct store_error *e)
{
    *out = NULL;
    if (box->exists == 0)
        return 0;
    const struct chunk_info *infos = index_chunks(t, box);
    struct message_record *all = xreallocarray(NULL, box->exists, sizeof *all);
    size_t n = 0;
    for (uint32_t c = 0; infos != NULL && c < box->chunk_count; c++) {
        const struct message_record *r = index_chunk(t, box->id, &infos[c]);
        if (r == NULL || infos[c].count > box->exists - n)
            break;
        memcpy(all + n, r, infos[c].count * sizeof *r);
        for (uint32_t i = 0; i < infos[c].count; i++)
            all[n + i].offset += infos[c].base;
        n += infos[c].count;
    }
    if (n != box->exists) {
        free(all);
        return store_fail(e, STORE_CORRUPTION, 0, "index: message records are damaged");
    }
    *out = all;
    return 0;
}

static void box_account(struct box_record *box, const struct chunk_info *info, int sign)
{
    const uint32_t s = (uint32_t)sign;
    box->exists += s * info->count;
    box->unseen += s * info->unseen;
    box->deleted += s * info->deleted;
    box->dirty += s * info->dirty;
    box->unwritten += s * info->unwritten;
}

int index_append(struct index_txn *t, struct box_record *box, const struct message_record *records, size_t n,
                 bool replace_last, struct store_error *e)
{
    const struct chunk_info *have = index_chunks(t, box);
    if ((have == NULL) != (box->chunk_count == 0))
        return store_fail(e, STORE_CORRUPTION, 0, "index: chunk directory is damaged");
    const size_t most = box->chunk_count + n / INDEX_CHUNK + 2;
    struct chunk_info *infos = xcalloc(most, sizeof *infos);
    struct message_record *part = xmalloc(INDEX_CHUNK * sizeof *part);
    uint32_t c = box->chunk_count > 0 ? box->chunk_count - 1 : 0;
    size_t count = 0, i = 0;
    int rc = 0;
    if (have != NULL) {
        memcpy(infos, have, box->chunk_count * sizeof *infos);
        const struct message_record *r = index_chunk(t, box->id, &infos[c]);
        if (r == NULL) {
            rc = store_fail(e, STORE_CORRUPTION, 0, "index: message records are damaged");
            goto out;
        }
        memcpy(part, r, infos[c].count * sizeof *part);
        count = infos[c].count;
        box_account(box, &infos[c], -1);
        if (replace_last)
            box->size_sum -= part[--count].size;
    }
    while (rc == 0 && (i < n || count > 0)) {
        if (count == 0) {
            infos[c] = (struct chunk_info){ .base = records[i].offset, .id = have != NULL && c + 1 == box->chunk_count
                                            ? infos[c].id : box->next_chunk++ };
        }
        for (; i < n && count < INDEX_CHUNK; i++, count++) {
            part[count] = records[i];
            part[count].offset -= infos[c].base;
            box->size_sum += records[i].size;
        }
        chunk_count_up(&infos[c], part, count);
        box_account(box, &infos[c], 1);
        rc = index_put_chunk(t, box->id, infos[c++].id, part, count, e);
        count = 0;
        have = NULL;
    }
    box->chunk_count = c;
    if (rc == 0)
        rc = index_put_chunks(t, box->id, infos, c, e);
out:
    free(part);
    free(infos);
    return rc;
}
