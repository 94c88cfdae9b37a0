/*
 * EMAILID and THREADID from the octets of a message.
 */
#include "store/object_id.h"

#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "store/mime.h"

enum { HALF = 16, WINDOW = 1 << 17, HAS_EMAIL = 1, HAS_THREAD = 2 };
struct ids {                             /* as kept in the index */
    unsigned char version, has;
    unsigned char email[HALF], thread[HALF];
};
enum { VERSION = 1 };

static void finish(SHA2_CTX *c, unsigned char out[HALF])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256Final(digest, c);
    memcpy(out, digest, HALF);
}

static void print(char out[OBJECT_ID], char kind, const unsigned char id[HALF])
{
    out[0] = kind;
    for (size_t i = 0; i < HALF; i++)
        snprintf(out + 1 + 2 * i, 3, "%02x", id[i]);
}

static int read_all(struct mailbox *m, const struct message *msg, uint64_t size, SHA2_CTX *c, struct buf *keep, struct store_error *e)
{
    char *window = xmalloc(WINDOW);
    size_t got;
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < size; at += got) {
        const size_t want = size - at < WINDOW ? (size_t)(size - at) : WINDOW;
        rc = mailbox_read(m, msg, at, window, want, &got, e);
        if (rc == 0 && got == 0)
            rc = store_fail(e, STORE_CORRUPTION, 0, "message %u is shorter than it was", msg->uid);
        if (rc == 0 && c != NULL)
            SHA256Update(c, (const uint8_t *)window, got);
        if (rc == 0 && keep != NULL)
            buf_add(keep, window, got);
    }
    free(window);
    return rc;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct thread_fields {
    struct str references, in_reply_to, message_id;
};

static int take_field(void *ctx, struct str name, struct str value, struct str whole)
{
    struct thread_fields *f = ctx;
    struct str *to = str_ieq(name, STR("References")) ? &f->references : str_ieq(name, STR("In-Reply-To")) ? &f->in_reply_to
        : str_ieq(name, STR("Message-ID")) ? &f->message_id : NULL;
    (void)whole;
    if (to != NULL && to->p == NULL)
        *to = value;
    return 0;
}

/* The first <id>. bare: an id without brackets is one, too, as some programs write their own. */
static void first_id(struct buf *out, struct str value, bool bare)
{
    if (value.n == 0)
        return;
    const char *p = value.p, *end = value.p + value.n;
    const char *open = memchr(p, '<', value.n);
    const char *stop = open != NULL ? memchr(open, '>', (size_t)(end - open)) : NULL;
    if (stop != NULL) {
        p = open + 1;
        end = stop;
    } else if (!bare) {
        return;
    }
    for (; p < end; p++)
        if (!is_blank(*p))
            buf_addc(out, *p);
}

void thread_root(struct buf *out, struct str header)
{
    struct thread_fields f = { .references = { NULL, 0 } };
    const size_t start = out->len;
    mime_header_each(header, take_field, &f);
    first_id(out, f.references, false);
    if (out->len == start)
        first_id(out, f.in_reply_to, false);
    if (out->len == start)
        first_id(out, f.message_id, true);
}

static int find_email(struct mailbox *m, const struct message *msg, struct ids *ids, struct store_error *e)
{
    SHA2_CTX c;
    if (ids->has & HAS_EMAIL)
        return 0;
    SHA256Init(&c);
    if (read_all(m, msg, msg->size, &c, NULL, e) != 0)
        return -1;
    /* what never changes of a message must be the same where the EMAILID is (RFC 8474 section 5.1): INTERNALDATE, too */
    for (int i = 56; i >= 0; i -= 8)
        SHA256Update(&c, &(uint8_t){ (uint8_t)((uint64_t)msg->date >> i) }, 1);
    finish(&c, ids->email);
    ids->has |= HAS_EMAIL;
    return 0;
}

static int find_thread(struct mailbox *m, const struct message *msg, struct ids *ids, struct store_error *e)
{
    struct buf header = { 0 }, root = { 0 };
    int rc = read_all(m, msg, msg->header_size < MIME_HEADER ? msg->header_size : MIME_HEADER, NULL, &header, e);
    if (rc == 0)
        thread_root(&root, buf_str(&header));
    if (rc == 0 && root.len > 0) {
        SHA2_CTX c;
        SHA256Init(&c);
        SHA256Update(&c, (const uint8_t *)root.data, root.len);
        finish(&c, ids->thread);
    } else if (rc == 0) {
        rc = find_email(m, msg, ids, e);
        memcpy(ids->thread, ids->email, HALF);
    }
    if (rc == 0)
        ids->has |= HAS_THREAD;
    buf_free(&header);
    buf_free(&root);
    return rc;
}

int message_object_ids(struct mailbox *m, const struct message *msg, char email_id[OBJECT_ID], char thread_id[OBJECT_ID],
                       bool need_email, bool need_thread, struct store_error *e)
{
    struct ids ids = { .version = VERSION };
    struct str blob;
    mailbox_note_get(m, msg, NOTE_IDS, &blob);
    if (blob.n == sizeof ids && (unsigned char)blob.p[0] == VERSION)
        memcpy(&ids, blob.p, sizeof ids);
    const unsigned had = ids.has;
    if (need_email && find_email(m, msg, &ids, e) != 0)
        return -1;
    if (need_thread && !(ids.has & HAS_THREAD) && find_thread(m, msg, &ids, e) != 0)
        return -1;
    if (ids.has != had)
        mailbox_note_put(m, msg, NOTE_IDS, (struct str){ (const char *)&ids, sizeof ids });
    if (need_email)
        print(email_id, 'E', ids.email);
    if (need_thread)
        print(thread_id, 'T', ids.thread);
    return 0;
}
