/*
 * CREATE, DELETE and RENAME: the file and what the index knows of it; and what the index notes of annotations.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "store/mailbox_private.h"

int mailbox_create(struct store *s, const struct mailbox_name *name, bool directory, struct store_error *e)
{
    struct index_txn t;
    if (name->inbox)
        return store_fail(e, STORE_ALREADYEXISTS, 0, "INBOX exists always");
    if (names_create(s->names, name, directory, e) != 0)
        return -1;
    /* a mailbox of this name that went without our doing must not lend its UIDs to the new one */
    if (index_begin(s->index, true, &t, e) != 0)
        return -1;
    if (index_delete(&t, name->text, e) != 0) {
        index_abort(&t);
        return -1;
    }
    return index_commit(&t, e);
}

int mailbox_delete(struct store *s, const struct mailbox_name *name, struct store_error *e)
{
    struct index_txn t;
    if (names_delete(s->names, name, e) != 0)
        return -1;
    if (index_begin(s->index, true, &t, e) != 0)
        return -1;
    if (index_delete(&t, name->text, e) != 0) {
        index_abort(&t);
        return -1;
    }
    return index_commit(&t, e);
}

/* All messages of INBOX to a new mailbox. */
static int rename_inbox(struct store *s, const struct mailbox_name *to, struct store_error *e)
{
    struct mailbox *m;
    struct mailbox_name inbox = { .text = "INBOX", .inbox = true };
    uint32_t validity, *src = NULL, *dst = NULL;
    size_t count;
    if (mailbox_create(s, to, false, e) != 0)
        return -1;
    if (mailbox_open(s, &inbox, false, &m, e) != 0)
        return -1;
    const uint32_t n = mailbox_exists(m);
    uint32_t *seqs = xreallocarray(NULL, (size_t)n + 1, sizeof *seqs);
    for (uint32_t i = 0; i < n; i++)
        seqs[i] = i + 1;
    const int rc = n == 0 ? 0 : mailbox_copy(m, seqs, n, to, true, &validity, &src, &dst, &count, e);
    free(seqs);
    free(src);
    free(dst);
    mailbox_close(m);
    return rc;
}

int mailbox_rename(struct store *s, const struct mailbox_name *from, const struct mailbox_name *to, struct store_error *e)
{
    struct index_txn t;
    if (to->inbox)
        return store_fail(e, STORE_ALREADYEXISTS, 0, "INBOX exists always");
    if (from->inbox)
        return rename_inbox(s, to, e);
    if (names_rename(s->names, from, to, e) != 0)
        return -1;
    if (index_begin(s->index, true, &t, e) != 0)
        return -1;
    if (index_delete(&t, to->text, e) != 0 || index_rename(&t, from->text, to->text, e) != 0) {
        index_abort(&t);
        return -1;
    }
    return index_commit(&t, e);
}

int mailbox_annotated(struct store *s, const struct mailbox_name *name, struct store_error *e)
{
    struct index_txn t;
    struct box_record rec;
    uint64_t id = 0;
    if (index_begin(s->index, true, &t, e) != 0)
        return -1;
    int have = index_find(&t, name->text, false, &id, e) != 0 ? -1 : id == 0 ? 0 : index_get_box(&t, id, &rec, e);
    if (have == 1) {
        rec.highestmodseq++;
        have = index_put_box(&t, &rec, e) == 0 ? 1 : -1;
    }
    if (have == 1)
        return index_commit(&t, e);
    index_abort(&t);
    return have;                         /* 0: not in the index yet, so nobody has been told of a MODSEQ */
}
