/*
 * Header fields kept in the index (see fields.h): a version octet, then the fields; those for sorting have the date before them.
 */
#include "store/fields.h"

#include <string.h>

#include "store/mime_lex.h"
#include "store/structure.h"
#include "store/subject.h"

enum { FIELDS_VERSION = 1, FIELDS_MOST = 1 << 16, SORT_HEAD = 2 + sizeof(int64_t) };

bool fields_kept(struct str name)
{
    static const struct str names[] = {
        { "to", 2 }, { "cc", 2 }, { "bcc", 3 }, { "date", 4 }, { "from", 4 }, { "sender", 6 }, { "subject", 7 }, { "list-id", 7 },
        { "reply-to", 8 }, { "priority", 8 }, { "message-id", 10 }, { "references", 10 }, { "newsgroups", 10 }, { "x-priority", 10 },
        { "importance", 10 }, { "in-reply-to", 11 }, { "content-type", 12 }, { "delivered-to", 12 }, { "list-unsubscribe", 16 },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names && names[i].n <= name.n; i++)
        if (names[i].n == name.n && str_ieq(names[i], name))
            return true;
    return false;
}

struct keeping {
    struct buf fields, sort;         /* blobs */
    struct sort_fields found;
};

static int choose(void *ctx, struct str name, struct str value, struct str whole)
{
    struct keeping *k = ctx;
    if (!fields_kept(name))
        return 0;
    buf_add(&k->fields, whole.p, whole.n);
    if (str_ieq(name, STR("subject"))) {
        buf_add(&k->sort, whole.p, whole.n);
    } else if (str_ieq(name, STR("date"))) {          /* of several the last counts, as in ENVELOPE */
        k->found.has_date = subject_date(value, &k->found.date);
    }
    return 0;
}

/* The blobs of a header: `keep`s them, if they are not too large for what they save. */
static void make(struct mailbox *m, const struct message *msg, struct str header, struct keeping *k)
{
    const char head[SORT_HEAD] = { FIELDS_VERSION };
    buf_addc(&k->fields, FIELDS_VERSION);
    buf_add(&k->sort, head, sizeof head);
    mime_header_each(header, choose, k);
    k->sort.data[1] = k->found.has_date;
    memcpy(k->sort.data + 2, &k->found.date, sizeof k->found.date);
    k->found.subjects = (struct str){ k->sort.data + SORT_HEAD, k->sort.len - SORT_HEAD };
    if (k->fields.len <= FIELDS_MOST)
        mailbox_note_put(m, msg, NOTE_FIELDS, buf_str(&k->fields));
    if (k->sort.len <= FIELDS_MOST)
        mailbox_note_put(m, msg, NOTE_SORT, buf_str(&k->sort));
}

static void done(struct keeping *k)
{
    buf_free(&k->fields);
    buf_free(&k->sort);
}

/* Reads the header, and makes of it what is kept. 1, 0 too large, -1 with e. */
static int make_from_header(struct mailbox *m, const struct message *msg, struct arena *a, struct keeping *k, struct store_error *e)
{
    if (msg->header_size > MIME_HEADER)
        return 0;
    const struct str header = message_header(m, msg, a, e);
    if (header.p == NULL)
        return -1;
    make(m, msg, header, k);
    return 1;
}

static bool kept(struct mailbox *m, const struct message *msg, enum mailbox_note kind, size_t least, struct str *out)
{
    mailbox_note_get(m, msg, kind, out);
    return out->n >= least && out->p[0] == FIELDS_VERSION;
}

void message_keep_fields(struct mailbox *m, const struct message *msg, struct str header)
{
    struct keeping k = { .found = { .has_date = false } };
    struct str have;
    if (msg->header_size > MIME_HEADER || kept(m, msg, NOTE_SORT, SORT_HEAD, &have))
        return;
    make(m, msg, header, &k);
    done(&k);
}

int message_fields(struct mailbox *m, const struct message *msg, struct arena *a, struct str *out, struct store_error *e)
{
    struct keeping k = { .found = { .has_date = false } };
    if (kept(m, msg, NOTE_FIELDS, 1, out)) {
        *out = (struct str){ out->p + 1, out->n - 1 };
        return 1;
    }
    const int rc = make_from_header(m, msg, a, &k, e);
    if (rc > 0)
        *out = arena_str(a, (struct str){ k.fields.data + 1, k.fields.len - 1 });
    done(&k);
    return rc;
}

int message_sort_fields(struct mailbox *m, const struct message *msg, struct arena *a, struct sort_fields *out, struct store_error *e)
{
    struct keeping k = { .found = { .has_date = false } };
    struct str blob;
    if (kept(m, msg, NOTE_SORT, SORT_HEAD, &blob)) {
        *out = (struct sort_fields){ .has_date = blob.p[1] != 0, .subjects = { blob.p + SORT_HEAD, blob.n - SORT_HEAD } };
        memcpy(&out->date, blob.p + 2, sizeof out->date);
        return 1;
    }
    const int rc = make_from_header(m, msg, a, &k, e);
    if (rc > 0) {
        *out = k.found;
        out->subjects = arena_str(a, k.found.subjects);
    }
    done(&k);
    return rc;
}

static int last_value(void *ctx, struct str name, struct str value, struct str whole)
{
    (void)name, (void)whole;
    *(struct str *)ctx = value;
    return 0;
}

struct str sort_fields_subject(const struct sort_fields *s, struct arena *a)
{
    struct str value = { NULL, 0 };
    mime_header_each(s->subjects, last_value, &value);
    return value.p != NULL ? mime_unfold_plain(value, a) : value;
}
