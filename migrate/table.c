/*
 * What a mailbox holds, and how it is compared (see table.h).
 */
#include "migrate/table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sha2.h>

#include "base/xmalloc.h"

enum { PIECE = 1 << 16, LOCKED = 64 };       /* so many messages for one lock */

struct look {
    SHA2_CTX sha;
    struct entry *en;
    char before[2];                  /* the last two octets */
};

static void see(struct look *l, const char *p, size_t n)
{
    SHA256Update(&l->sha, (const uint8_t *)p, n);
    for (const char *lf = p; (lf = memchr(lf, '\n', (size_t)(p + n - lf))) != NULL; lf++) {
        const size_t at = (size_t)(lf - p);
        const char one = at > 0 ? p[at - 1] : l->before[1], two = at > 1 ? p[at - 2] : at == 1 ? l->before[1] : l->before[0];
        l->en->lf &= one == '\r' && two != '\r';
        l->en->lines++;
    }
    l->before[0] = n > 1 ? p[n - 2] : l->before[1];
    if (n > 0)
        l->before[1] = p[n - 1];
}

/* 0; 1 it is gone; -1. */
static int read_message(struct mailbox *m, struct entry *en, char *piece, struct store_error *e)
{
    struct message msg;
    struct store_error own = { .code = STORE_OK };
    struct look l = { .en = en };
    if (mailbox_message(m, en->seq, &msg, &own) != 0)
        goto failed;
    *en = (struct entry){ .uid = msg.uid, .seq = en->seq, .flags = msg.flags & ~(unsigned)FLAG_OLD, .keywords = msg.keywords,
                          .date = msg.date, .zone = msg.zone, .size = msg.size, .lf = true };
    SHA256Init(&l.sha);
    for (uint64_t at = 0; at < msg.size;) {
        size_t got;
        if (mailbox_read(m, &msg, at, piece, PIECE, &got, &own) != 0)
            goto failed;
        if (got == 0) {
            store_fail(&own, STORE_CORRUPTION, 0, "message %u is shorter than it was", msg.uid);
            goto failed;
        }
        see(&l, piece, got);
        at += got;
    }
    SHA256Final(en->digest, &l.sha);
    return 0;
failed:
    if (own.code == STORE_EXPUNGED)
        return 1;
    *e = own;
    return -1;
}

int table_read(struct table *t, struct mailbox *m, struct progress *p, struct store_error *e)
{
    const uint32_t n = mailbox_exists(m);
    char *piece = xmalloc(PIECE);
    uint64_t done = 0;
    int rc = 0;
    *t = (struct table){ .list = xcalloc((size_t)n + 1, sizeof *t->list) };
    for (uint32_t seq = 1; rc >= 0 && seq <= n; seq++) {
        if (seq % LOCKED == 1 && mailbox_read_begin(m, e) != 0) {
            rc = -1;
            break;
        }
        struct entry *en = &t->list[t->n];
        en->seq = seq;
        rc = read_message(m, en, piece, e);
        t->n += rc == 0;
        done += en->size;
        if (p != NULL)
            progress_at(p, done);
        if (seq % LOCKED == 0)
            mailbox_read_end(m);
    }
    mailbox_read_end(m);
    free(piece);
    const char *name;
    for (unsigned bit = 0; bit < STORE_KEYWORDS && (name = mailbox_keyword(m, bit)) != NULL; bit++)
        buf_add(&t->keyword_names, name, strlen(name) + 1);
    return rc < 0 ? -1 : 0;
}

void table_free(struct table *t)
{
    free(t->list);
    buf_free(&t->keyword_names);
    *t = (struct table){ 0 };
}

static int by_uid(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    return a->uid < b->uid ? -1 : a->uid > b->uid;
}

const struct entry *table_find(const struct table *t, uint32_t uid)
{
    const struct entry wanted = { .uid = uid };
    return t->n == 0 ? NULL : bsearch(&wanted, t->list, t->n, sizeof *t->list, by_uid);
}

void table_keywords(const struct table *t, const struct entry *en, struct buf *out)
{
    const char *p = t->keyword_names.data, *end = p + t->keyword_names.len;
    for (unsigned bit = 0; p < end && bit < STORE_KEYWORDS; bit++, p += strlen(p) + 1)
        if (en->keywords >> bit & 1)
            buf_add(out, p, strlen(p) + 1);
}

static int digest_sink(void *ctx, const char *p, size_t n)
{
    SHA256Update(ctx, (const uint8_t *)p, n);
    return 0;
}

int item_digest(struct source *s, struct item *it)
{
    SHA2_CTX c;
    SHA256Init(&c);
    const int rc = source_read(s, it, digest_sink, &c);
    SHA256Final(it->digest, &c);
    return rc;
}

static int compare_names(const void *x, const void *y)
{
    return strcasecmp(*(const char *const *)x, *(const char *const *)y);
}

/* A set of keywords in one form: small letters, in order, separated by spaces. */
static void canonical(const struct buf *names, struct buf *out)
{
    const char *list[STORE_KEYWORDS * 4];
    size_t n = 0;
    for (const char *k = names->data; k != NULL && k < names->data + names->len && n < sizeof list / sizeof *list; k += strlen(k) + 1)
        list[n++] = k;
    if (n > 0)
        qsort(list, n, sizeof *list, compare_names);
    for (size_t i = 0; i < n; i++) {
        for (const char *c = list[i]; *c != 0; c++)
            buf_addc(out, tolower((unsigned char)*c));
        buf_addc(out, ' ');
    }
}

static void say(struct buf *out, const char *word)
{
    buf_puts(out, out->len > 0 ? ", " : "");
    buf_puts(out, word);
}

void item_compare(const struct item *it, const struct table *t, const struct entry *en, bool uid, struct buf *out)
{
    struct buf names = { 0 }, ours = { 0 }, theirs = { 0 };
    table_keywords(t, en, &names);
    canonical(&names, &ours);
    canonical(&it->keywords, &theirs);
    if (memcmp(it->digest, en->digest, sizeof en->digest) != 0)
        say(out, "octets");
    if (it->flags != en->flags)
        say(out, "flags");
    if (!str_eq(buf_str(&ours), buf_str(&theirs)))
        say(out, "keywords");
    if (it->date != en->date)
        say(out, "date");
    if (uid && it->uid != 0 && it->uid != en->uid)
        say(out, "UID");
    buf_free(&names);
    buf_free(&ours);
    buf_free(&theirs);
}

void source_digest(const struct source *s, char out[65])
{
    SHA2_CTX c;
    uint8_t digest[32];
    struct buf text = { 0 };
    SHA256Init(&c);
    for (size_t i = 0; i < s->n; i++) {
        const struct item *it = &s->items[i];
        if (it->bad)
            continue;
        buf_clear(&text);
        buf_add(&text, it->digest, sizeof it->digest);
        buf_printf(&text, " %u %lld ", it->flags, (long long)it->date);
        canonical(&it->keywords, &text);
        SHA256Update(&c, (const uint8_t *)text.data, text.len);
    }
    SHA256Final(digest, &c);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    buf_free(&text);
}
