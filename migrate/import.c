/*
 * Mail from other forms into a mailbox, many messages with one change of the file.
 *
 * What a run remembers is the mailbox itself: a message that is there, octet for octet (by SHA-256), is not imported again, as many
 * times as it is there. So a run that was stopped, at whatever moment, is gone on with by the same command, and a second run
 * brings what has come since. A change is all or nothing for its messages (deliver.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <sha2.h>

#include "base/xmalloc.h"
#include "migrate/migrate.h"
#include "migrate/table.h"
#include "store/deliver.h"

enum { BATCH_OCTETS = 64 << 20, BATCH_MESSAGES = 10000 };

struct import {
    struct migration *g;
    struct source *s;
    bool uids;                       /* UIDs and UIDVALIDITY are kept */
    size_t there, added;
    uint64_t done;
};

/* ---- what is there already ---------------------------------------------------------------------------------------- */

static int by_digest(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    const int d = memcmp(a->digest, b->digest, sizeof a->digest);
    return d != 0 ? d : a->uid < b->uid ? -1 : a->uid > b->uid;
}

static void match(struct import *im, struct table *t, bool same_uid)
{
    for (size_t i = 0; i < im->s->n; i++) {
        struct item *it = &im->s->items[i];
        size_t low = 0, high = t->n;
        while (low < high) {
            const size_t mid = (low + high) / 2;
            if (memcmp(t->list[mid].digest, it->digest, sizeof it->digest) < 0)
                low = mid + 1;
            else
                high = mid;
        }
        if (it->bad || it->target != 0)
            continue;
        for (; low < t->n && memcmp(t->list[low].digest, it->digest, sizeof it->digest) == 0; low++) {
            if (t->list[low].taken || (same_uid && t->list[low].uid != it->uid))
                continue;
            t->list[low].taken = true;
            it->target = t->list[low].uid;
            im->there++;
            break;
        }
    }
}

static int find_those_there(struct import *im, struct store_error *e)
{
    struct mailbox *box;
    struct table t = { 0 };
    if (migration_open(im->g, &box, e) != 0)
        return -1;
    const bool any = mailbox_exists(box) > 0;
    struct mailbox_status info;
    mailbox_info(box, &info);
    progress_begin(&im->g->progress, "reading", info.size);
    int rc = any ? table_read(&t, box, &im->g->progress, e) : 0;
    progress_end(&im->g->progress);
    mailbox_close(box);
    if (rc == 0 && any) {
        progress_begin(&im->g->progress, "comparing", im->s->octets);
        for (size_t i = 0; i < im->s->n; i++) {
            (void)item_digest(im->s, &im->s->items[i]);
            progress_at(&im->g->progress, im->done += im->s->items[i].size);
        }
        progress_end(&im->g->progress);
        im->done = 0;
        qsort(t.list, t.n, sizeof *t.list, by_digest);
        if (im->uids)
            match(im, &t, true);
        match(im, &t, false);
    }
    table_free(&t);
    return rc;
}

/* ---- adding ------------------------------------------------------------------------------------------------------- */

struct adding {
    struct delivery *d;
    SHA2_CTX sha;
    bool keep;                       /* the octets go to the spool */
    struct store_error *e;
};

static int add_octets(void *ctx, const char *p, size_t n)
{
    struct adding *a = ctx;
    SHA256Update(&a->sha, (const uint8_t *)p, n);
    if (!a->keep)
        return 0;
    a->d->parcels[a->d->n - 1].size += n;
    return spool_write(&a->d->spool, p, n, a->e);
}

/* A message of an mbox whose quoting is ours goes as it is stored, with its From_ line. 0, 1 unreadable, -1. */
static int add_stored(struct import *im, struct item *it, struct parcel *p, struct delivery *d, struct store_error *e)
{
    const struct message_record *r = &im->s->records[it->number];
    char part[65536];
    p->stored = true;
    p->size = r->raw_size - r->tail;
    p->from_size = r->from_size;
    p->header_size = r->header_raw;
    p->verbatim = r->bits & RECORD_VERBATIM;
    p->noeol = r->bits & RECORD_NOEOL;
    for (uint64_t at = 0; at < p->size;) {
        const ssize_t k = pread(im->s->fd, part, p->size - at < sizeof part ? (size_t)(p->size - at) : sizeof part,
                                (off_t)(r->offset + at));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            source_tell(im->s, NULL, true, "message %zu cannot be read: %s", it->number + 1, k < 0 ? strerror(errno) : "the file is shorter now");
            it->bad = true;
            return 1;
        }
        if (spool_write(&d->spool, part, (size_t)k, e) != 0)
            return -1;
        at += (uint64_t)k;
    }
    return 0;
}

static int add(struct import *im, struct item *it, struct delivery *d, struct store_error *e)
{
    struct parcel *p = delivery_add(d);
    const bool stored = im->s->kind == SOURCE_MBOX && im->s->mboxo == im->g->store->settings->mboxo;
    struct adding a = { .d = d, .keep = !stored, .e = e };
    p->flags = it->flags;
    p->date = it->date;
    p->zone = it->zone;
    p->save_date = time(NULL);
    p->uid = im->uids ? it->uid : 0;
    buf_add(&p->keywords, it->keywords.data, it->keywords.len);
    SHA256Init(&a.sha);
    int rc = source_read(im->s, it, add_octets, &a);
    SHA256Final(it->digest, &a.sha);
    if (rc == 0 && stored)
        rc = add_stored(im, it, p, d, e);
    if (rc == 1) {                   /* its octets stay in the spool and belong to nobody */
        buf_free(&d->parcels[--d->n].keywords);
    }
    return rc;
}

static int commit(struct import *im, struct delivery *d, size_t *which, struct store_error *e)
{
    uint32_t validity, *uids;
    if (d->n == 0)
        return 0;
    if (delivery_commit(d, &validity, &uids, e) != 0)
        return -1;
    for (size_t i = 0; i < d->n; i++)
        im->s->items[which[i]].target = uids[i];
    im->added += d->n;
    free(uids);
    return 0;
}

/* The messages from *at on, as many as make a batch. */
static int batch(struct import *im, size_t *at, struct store_error *e)
{
    struct delivery d;
    size_t *which = xcalloc(BATCH_MESSAGES, sizeof *which);
    int rc = 0;
    delivery_init(&d, im->g->store, &im->g->name);
    for (; rc >= 0 && *at < im->s->n && d.n < BATCH_MESSAGES && d.spool.size < BATCH_OCTETS; (*at)++) {
        struct item *it = &im->s->items[*at];
        if (it->bad || it->target != 0)
            continue;
        rc = add(im, it, &d, e);
        if (rc == 0)
            which[d.n - 1] = *at;
        progress_at(&im->g->progress, im->done += it->size);
    }
    if (rc >= 0)
        rc = commit(im, &d, which, e);
    delivery_free(&d);
    free(which);
    return rc < 0 ? -1 : 0;
}

static int add_all(struct import *im, struct store_error *e)
{
    uint64_t left = 0;
    int rc = 0;
    for (size_t i = 0; i < im->s->n; i++)
        left += im->s->items[i].target == 0 ? im->s->items[i].size : 0;
    progress_begin(&im->g->progress, "adding", left);
    for (size_t at = 0; rc == 0 && at < im->s->n;)
        rc = batch(im, &at, e);
    progress_end(&im->g->progress);
    return rc == 0 && im->uids ? delivery_uidnext(im->g->store, &im->g->name, im->s->uidnext, e) : rc;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/* The mailbox is there, and is not what we read. */
static int prepare(struct import *im, struct store_error *e)
{
    struct stat ours, theirs;
    struct store *store = im->g->store;
    if (!im->g->name.inbox && !(names_look(store->names, &im->g->name, e) & NAME_SELECTABLE)
        && mailbox_create(store, &im->g->name, false, e) != 0)
        return -1;
    const int fd = names_open(store->names, &im->g->name, O_RDWR, e);
    if (fd < 0)
        return -1;
    const bool same = fstat(fd, &ours) == 0 && fstat(im->s->fd, &theirs) == 0 && ours.st_ino == theirs.st_ino
        && ours.st_dev == theirs.st_dev;
    close(fd);
    if (same)
        return store_fail(e, STORE_CANNOT, 0, "%s is the mailbox itself", im->s->path);
    if (im->s->uidvalidity != 0) {
        progress_expect(&im->g->progress, "indexing");
        const int rc = delivery_uidvalidity(store, &im->g->name, im->s->uidvalidity, e);
        progress_end(&im->g->progress);
        if (rc < 0)
            return -1;
        im->uids = rc == 0;
        if (!im->uids)
            printf("%s: the UIDs of %s are not kept: the mailbox has given its own, or they are of the future\n", im->g->label, im->s->path);
    }
    return 0;
}

int import_mailbox(struct migration *g)
{
    struct store_error e = { .text = "" };
    struct source s = migration_source(g);
    struct import im = { .g = g, .s = &s };
    char words[100];
    int status;
    if (source_open(&s, g->m->config->lock_timeout, &e) != 0 || prepare(&im, &e) != 0 || find_those_there(&im, &e) != 0
        || add_all(&im, &e) != 0) {
        status = migration_fail(g, store_why(&e));
    } else {
        snprintf(words, sizeof words, "%zu imported, %zu were there", im.added, im.there);
        status = migration_verify(g, &s, im.uids, words);
    }
    source_close(&s);
    return status;
}
