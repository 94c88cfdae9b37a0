/*
 * Delivering messages into a mailbox: the common end of APPEND, COPY and MOVE.
 *
 * From the client's octets to the stored form: CRLF becomes LF; a line that would be taken for a From_ line, quoted or not,
 * gets a '>' (mboxrd); fields with the names of bookkeeping fields get their escape. A message with a bare LF keeps all its
 * line ends and is marked verbatim; one that does not end with a line end is marked noeol.
 */
#include "store/deliver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "store/mbox_from.h"

void delivery_init(struct delivery *d, struct store *s, const struct mailbox_name *name)
{
    *d = (struct delivery){ .store = s, .name = *name };
    spool_init(&d->spool, s->index_dirfd);
}

void delivery_free(struct delivery *d)
{
    for (size_t i = 0; i < d->n; i++)
        buf_free(&d->parcels[i].keywords);
    free(d->parcels);
    spool_free(&d->spool);
}

struct parcel *delivery_add(struct delivery *d)
{
    if (d->n == d->capacity) {
        d->capacity = d->capacity < 4 ? 4 : d->capacity * 2;
        d->parcels = xreallocarray(d->parcels, d->capacity, sizeof *d->parcels);
    }
    struct parcel *p = &d->parcels[d->n++];
    *p = (struct parcel){ .from = d->spool.size };
    return p;
}

/* ---- the stored form ---------------------------------------------------------------------------------------------- */

static bool needs_quote(const char *line, size_t n, bool mboxo)
{
    size_t run = 0;
    if (n == 0 || (line[0] != '>' && line[0] != 'F'))
        return false;
    while (run < n && line[run] == '>')
        run++;
    return n - run >= 5 && memcmp(line + run, "From ", 5) == 0 && (run == 0 || !mboxo);
}

/* One line as sent, with its line end if it has one. */
static void store_line(struct buf *out, const char *line, size_t n, bool mboxo, bool verbatim, bool *field_escaped, bool header)
{
    if (header && line[0] != ' ' && line[0] != '\t')
        *field_escaped = meta_must_escape(line, n);
    if (header && *field_escaped && line[0] != ' ' && line[0] != '\t')
        buf_add(out, META_ESCAPE, sizeof META_ESCAPE - 1);
    if (needs_quote(line, n, mboxo))
        buf_addc(out, '>');
    const bool crlf = n >= 2 && line[n - 1] == '\n' && line[n - 2] == '\r';
    if (crlf && !verbatim && !(n >= 3 && line[n - 3] == '\r')) {
        buf_add(out, line, n - 2);
        buf_addc(out, '\n');
    } else {
        buf_add(out, line, n);
    }
}

static bool is_blank(const char *line, size_t n)
{
    return line[0] == '\n' || (n == 2 && line[0] == '\r' && line[1] == '\n');
}

/* Notes what is special about the octets of a message as sent. */
static void look_at(struct parcel *p, const char *octets)
{
    const char *end = octets + p->size;
    p->verbatim = false;
    for (const char *lf = octets; (lf = memchr(lf, '\n', (size_t)(end - lf))) != NULL; lf++) {
        if (lf == octets || lf[-1] != '\r') {
            p->verbatim = true;
            break;
        }
    }
    p->noeol = p->size > 0 && end[-1] != '\n';
}

/* Flushes out into text when it has grown. */
static int drain(struct buf *out, struct spool *text, bool all, struct store_error *e)
{
    if (!all && out->len < 1 << 18)
        return 0;
    const int rc = spool_write(text, out->data, out->len, e);
    buf_clear(out);
    return rc;
}

static int write_sent(const struct parcel *p, const char *octets, struct meta_block *b, bool mboxo, struct buf *out,
                      struct spool *text, struct store_error *e)
{
    const char *at = octets, *end = octets + p->size;
    bool header = true, escaped = false;
    b->verbatim = p->verbatim;
    b->noeol = p->noeol;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const size_t n = lf != NULL ? (size_t)(lf - at) + 1 : (size_t)(end - at);
        if (header && (is_blank(at, n) || (n == 1 && *at == '\r'))) {   /* a last CR will be a blank line when finished */
            header = false;
            meta_format(out, b);
        }
        store_line(out, at, n, mboxo, p->verbatim, &escaped, header);
        at += n;
        if (drain(out, text, false, e) != 0)
            return -1;
    }
    if (p->noeol)
        buf_addc(out, '\n');
    if (header)
        meta_format(out, b);
    return 0;
}

static int write_stored(const struct parcel *p, const char *octets, struct meta_block *b, struct buf *out, struct spool *text,
                        struct store_error *e)
{
    size_t start, del, block_at;
    struct buf ins = { 0 };
    const char *header = octets + p->from_size;
    b->verbatim = p->verbatim;
    b->noeol = p->noeol;
    meta_replace(header, p->header_size, b, &start, &del, &ins, &block_at);
    buf_add(out, octets, p->from_size);
    buf_add(out, header, start);
    buf_add(out, ins.data, ins.len);
    buf_add(out, header + start + del, p->header_size - start - del);
    buf_free(&ins);
    const char *body = header + p->header_size;
    const size_t n = (size_t)(p->size - p->from_size - p->header_size);
    if (drain(out, text, n > 1 << 18, e) != 0)
        return -1;
    if (n > 1 << 18) {
        if (spool_write(text, body, n, e) != 0)
            return -1;
    } else {
        buf_add(out, body, n);
    }
    if (n > 0 ? body[n - 1] != '\n' : out->len > 0 && out->data[out->len - 1] != '\n')
        buf_addc(out, '\n');
    return 0;
}

/* ---- commit ------------------------------------------------------------------------------------------------------- */

struct commit {
    struct delivery *d;
    struct box *b;
    struct box_record rec;
    struct buf names;                /* of the target's keywords */
    struct spool text;               /* what is added to the file */
    uint64_t first;                  /* file offset of the first new From_ line */
    unsigned added;                  /* line ends that finish the old last message */
    struct message_record *list;
    size_t n;
    bool base;
    uint64_t base_offset;
    uint32_t base_size;
};

static uint64_t parcel_keywords(struct commit *c, const struct parcel *p)
{
    uint64_t bits = 0;
    for (const char *k = p->keywords.data; k != NULL && k < p->keywords.data + p->keywords.len; k += strlen(k) + 1) {
        const int bit = keyword_bit(&c->names, str_z(k), true);
        if (bit >= 0)
            bits |= (uint64_t)1 << bit;
    }
    return bits;
}

/* What must come before a From_ line so that the file's end is a blank line. */
static int finish_end(struct commit *c, struct store_error *e)
{
    char last[2] = { '\n', '\n' };
    const uint64_t size = c->rec.file.size;
    if (size == 0)
        return 0;
    const size_t n = size < 2 ? (size_t)size : 2;
    if (pread(c->b->fd, last + 2 - n, n, (off_t)(size - n)) != (ssize_t)n)
        return store_fail(e, STORE_IO, errno, "%s", c->b->name.text);
    bool blank = last[0] == '\n' && last[1] == '\n';
    if (last[0] == '\r' && last[1] == '\n') {
        char more[2] = { 0 };
        blank = size >= 4 && pread(c->b->fd, more, 1, (off_t)(size - 3)) == 1 && more[0] == '\n';
    }
    c->added = last[1] != '\n' ? 2 : blank ? 0 : 1;
    return spool_write(&c->text, "\n\n", c->added, e);
}

static int write_text(struct commit *c, struct store_error *e)
{
    const bool mboxo = c->d->store->settings->mboxo;
    struct buf out = { 0 }, names = { 0 }, all = { 0 };
    int rc = finish_end(c, e);
    const char *octets = rc == 0 ? spool_view(&c->d->spool, e) : NULL;
    c->first = c->rec.file.size + c->added;
    c->base = c->rec.file.size == 0;
    for (size_t i = 0; i < c->d->n; i++)
        parcel_keywords(c, &c->d->parcels[i]);
    keywords_all(&all, &c->names);
    for (size_t i = 0; octets != NULL && rc == 0 && i < c->d->n; i++) {
        struct parcel *p = &c->d->parcels[i];
        struct meta_block b = { .flags = p->flags & ~(unsigned)FLAG_OLD, .uid = c->rec.uidnext + (uint32_t)i,
            .base = c->base && i == 0, .base_validity = c->rec.uidvalidity,
            .base_last = c->rec.uidnext + (uint32_t)c->d->n - 1, .base_keywords = buf_str(&all) };
        buf_clear(&names);
        keywords_text(&names, &c->names, parcel_keywords(c, p));
        b.keywords = buf_str(&names);
        if (p->stored) {
            rc = write_stored(p, octets + p->from, &b, &out, &c->text, e);
        } else {
            look_at(p, octets + p->from);
            mbox_from_format(&out, "MAILER-DAEMON", p->date, p->zone);
            rc = write_sent(p, octets + p->from, &b, mboxo, &out, &c->text, e);
        }
        buf_addc(&out, '\n');
        if (rc == 0)
            rc = drain(&out, &c->text, i + 1 == c->d->n, e);
    }
    buf_free(&out);
    buf_free(&names);
    buf_free(&all);
    return octets == NULL ? -1 : rc;
}

static void tick(void *ctx)
{
    struct box *b = ctx;
    mbox_lock_touch(b->lock);
}

/* The text to the end of the file, and X-IMAPbase's last UID with it. */
static int write_file(struct commit *c, struct store_error *e)
{
    struct mbox_edit edits[2];
    struct buf names = { 0 };
    size_t n = 0;
    char *line = NULL;
    const uint32_t last = c->rec.uidnext + (uint32_t)c->d->n - 1;
    const char *text = spool_view(&c->text, e);
    if (text == NULL)
        return -1;
    if ((c->rec.bits & BOX_SEALED) && c->rec.base_size > 0 && c->rec.base_last < last) {
        line = xmalloc(c->rec.base_size);
        keywords_all(&names, &c->names);
        if (pread(c->b->fd, line, c->rec.base_size, (off_t)c->rec.base_offset) == (ssize_t)c->rec.base_size
            && (meta_update_base(line, c->rec.base_size, c->rec.uidvalidity, last, buf_str(&names))
                || meta_update_base(line, c->rec.base_size, c->rec.uidvalidity, last, STR("")))) {
            edits[n++] = (struct mbox_edit){ c->rec.base_offset, c->rec.base_size, line, c->rec.base_size };
            c->rec.base_last = last;
        }
    }
    edits[n++] = (struct mbox_edit){ c->rec.file.size, 0, text, (size_t)c->text.size };
    const int rc = mbox_rewrite(c->d->store->journal, c->b->fd, edits, n, tick, c->b, e);
    free(line);
    buf_free(&names);
    return rc;
}

static int take_new(void *ctx, const struct scanned *found)
{
    struct commit *c = ctx;
    if (c->n == c->d->n)
        return 1;
    if (found->meta->has_base && c->base && c->n == 0) {
        c->base_offset = found->record.offset + found->record.from_size + found->meta->base_offset;
        c->base_size = found->meta->base_size;
    }
    const struct parcel *p = &c->d->parcels[c->n];
    struct message_record *r = &c->list[c->n++];
    *r = found->record;
    r->uid = c->rec.uidnext + (uint32_t)c->n - 1;
    r->flags = r->mbox_flags = (uint8_t)(p->flags & ~(unsigned)FLAG_OLD);
    r->keywords = r->mbox_keywords = parcel_keywords(c, p);
    r->date = p->date;
    r->zone = (int16_t)p->zone;
    r->save_date = p->save_date;
    r->bits &= (uint16_t)~(unsigned)RECORD_OLD;
    return 0;
}

/* The new records into the index, as a scan of what was written finds them. */
static int write_index(struct commit *c, struct store_error *e)
{
    struct index_txn t;
    struct box_record now;
    uint64_t end;
    c->list = xcalloc(c->d->n + 1, sizeof *c->list);
    if (mbox_scan(c->b->fd, c->first, c->d->store->settings->mboxo, take_new, c, &end, e) < 0)
        return -1;
    if (c->n != c->d->n)
        return store_fail(e, STORE_CORRUPTION, 0, "%s: what was written reads otherwise", c->b->name.text);
    if (index_begin(c->d->store->index, true, &t, e) != 0)
        return -1;
    if (index_get_box(&t, c->b->id, &now, e) != 1)
        goto fail;
    now.highestmodseq++;
    for (size_t i = 0; i < c->n; i++)
        c->list[i].modseq = now.highestmodseq;
    now.uidnext = c->rec.uidnext + (uint32_t)c->n;
    now.base_last = c->rec.base_last;
    if (c->base) {
        now.bits |= BOX_SEALED;
        now.base_offset = c->base_offset;
        now.base_size = c->base_size;
        now.base_last = now.uidnext - 1;
    }
    now.keyword_count = 0;
    for (size_t i = 0; i < c->names.len; i++)
        now.keyword_count += c->names.data[i] == 0;
    if ((c->names.len > 0 && index_put_keywords(&t, c->b->id, buf_str(&c->names), e) != 0)
        || index_append(&t, &now, c->list, c->n, false, e) != 0 || box_finish(c->b, &t, &now, e) != 0)
        goto fail;
    return index_commit(&t, e);
fail:
    index_abort(&t);
    return -1;
}

static bool any_unseen(const struct delivery *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (!(d->parcels[i].flags & FLAG_SEEN))
            return true;
    return false;
}

static int load_names(struct commit *c, struct store_error *e)
{
    struct index_txn t;
    if (index_begin(c->d->store->index, false, &t, e) != 0)
        return -1;
    const int rc = index_get_keywords(&t, c->b->id, &c->names, e);
    index_abort(&t);
    return rc;
}

static int commit_locked(struct commit *c, struct store_error *e)
{
    if (c->rec.uidnext > UINT32_MAX - c->d->n - 1)
        return store_fail(e, STORE_LIMIT, 0, "%s has used up its UIDs", c->b->name.text);
    if (load_names(c, e) != 0 || write_text(c, e) != 0 || write_file(c, e) != 0)
        return -1;
    box_touch(c->b, any_unseen(c->d));
    if (c->added == 0)
        return write_index(c, e);
    /* the old last message grew by its missing line end: let a scan of the tail find everything */
    return box_refresh(c->b, &c->rec, e);
}

int delivery_commit(struct delivery *d, uint32_t *uidvalidity, uint32_t **uids, struct store_error *e)
{
    struct box b;
    struct commit c = { .d = d, .b = &b };
    int rc = -1;
    *uids = NULL;
    if (box_open(&b, d->store, &d->name, false, e) != 0)
        return -1;
    spool_init(&c.text, d->store->index_dirfd);
    if (box_lock(&b, MBOX_LOCK_EXCLUSIVE, &c.rec, e) == 0) {
        const uint32_t first = c.rec.uidnext;
        rc = commit_locked(&c, e);
        box_unlock(&b);
        *uidvalidity = c.rec.uidvalidity;
        if (rc == 0) {
            *uids = xreallocarray(NULL, d->n + 1, sizeof **uids);
            for (size_t i = 0; i < d->n; i++)
                (*uids)[i] = first + (uint32_t)i;
        }
    }
    spool_free(&c.text);
    buf_free(&c.names);
    free(c.list);
    box_close(&b);
    return rc;
}
