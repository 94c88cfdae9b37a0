/*
 * STATUS and its items (RFC 3501, RFC 9051; RFC 7162 HIGHESTMODSEQ, RFC 7889 APPENDLIMIT, RFC 8438 SIZE, RFC 8474 MAILBOXID,
 * RFC 9208 DELETED-STORAGE).
 */
#include <string.h>

#include "session/command.h"

enum status_kind { STATUS_32, STATUS_64, STATUS_ID, STATUS_LIMIT, STATUS_STORAGE };

static const struct status_row {
    const char *name;
    enum status_kind kind;
    size_t offset;                       /* in struct mailbox_status */
} status_rows[] = {
    { "MESSAGES", STATUS_32, offsetof(struct mailbox_status, exists) },
    { "RECENT", STATUS_32, offsetof(struct mailbox_status, recent) },
    { "UIDNEXT", STATUS_32, offsetof(struct mailbox_status, uidnext) },
    { "UIDVALIDITY", STATUS_32, offsetof(struct mailbox_status, uidvalidity) },
    { "UNSEEN", STATUS_32, offsetof(struct mailbox_status, unseen) },
    { "DELETED", STATUS_32, offsetof(struct mailbox_status, deleted) },
    { "SIZE", STATUS_64, offsetof(struct mailbox_status, size) },
    { "HIGHESTMODSEQ", STATUS_64, offsetof(struct mailbox_status, highestmodseq) },
    { "MAILBOXID", STATUS_ID, offsetof(struct mailbox_status, mailbox_id) },
    { "APPENDLIMIT", STATUS_LIMIT, 0 },
    { "DELETED-STORAGE", STATUS_STORAGE, 0 },
};
enum { STATUS_ROWS = sizeof status_rows / sizeof *status_rows };

bool parse_status_items(struct session *s, struct parse *p, struct status_items *out)
{
    struct str item;
    *out = (struct status_items){ .n = 0 };
    if (!parse_char(p, '('))
        return false;
    do {
        size_t i = 0;
        if (!parse_atom(p, &item))
            return false;
        while (i < STATUS_ROWS && !str_ieq(item, str_z(status_rows[i].name)))
            i++;
        if (i == STATUS_ROWS || out->n == STATUS_ITEMS) {
            say(s, OUTCOME_BAD, NULL, "Unknown STATUS item");
            return false;
        }
        out->rows[out->n++] = (unsigned char)i;
    } while (parse_sp(p));
    return parse_char(p, ')');
}

static void write_value(struct session *s, const struct status_row *row, const struct mailbox_status *st, uint64_t deleted_storage)
{
    uint32_t narrow;
    uint64_t wide = 0;
    switch (row->kind) {
    case STATUS_32:
        memcpy(&narrow, (const char *)st + row->offset, sizeof narrow);
        io_number(&s->io, narrow);
        break;
    case STATUS_LIMIT:
        io_number(&s->io, s->config->append_limit);
        break;
    case STATUS_STORAGE:
        io_number(&s->io, deleted_storage);      /* octets, as the sum of RFC822.SIZE is that may stand here, too */
        break;
    default:
        memcpy(&wide, (const char *)st + row->offset, sizeof wide);
        if (row->kind == STATUS_64)
            io_number(&s->io, wide);
        else
            io_printf(&s->io, "(" MAILBOXID_FORMAT ")", (unsigned long long)wide);
        break;
    }
}

int write_status(struct session *s, const struct mailbox_name *name, struct str wire, const struct status_items *items,
                 struct store_error *e)
{
    struct mailbox_status st = { 0 };
    bool has_condstore = false;
    uint64_t deleted_storage = 0;
    if (mailbox_status(s->store, name, &st, e) != 0)
        return -1;
    for (size_t i = 0; i < items->n; i++)
        if (status_rows[items->rows[i]].kind == STATUS_STORAGE && st.deleted > 0
            && mailbox_deleted_storage(s->store, name, &deleted_storage, e) != 0)
            return -1;
    io_puts(&s->io, "* STATUS ");
    write_named(s, wire, name->text);
    io_puts(&s->io, " (");
    for (size_t i = 0; i < items->n; i++) {
        const struct status_row *row = &status_rows[items->rows[i]];
        io_printf(&s->io, "%s%s ", i == 0 ? "" : " ", row->name);
        write_value(s, row, &st, deleted_storage);
        has_condstore |= strcmp(row->name, "HIGHESTMODSEQ") == 0;
    }
    io_puts(&s->io, ")\r\n");
    if (has_condstore)                          /* RFC 7162 section 3.1: one of those that switch it on */
        session_use_condstore(s);
    return 0;
}

enum outcome cmd_status(struct session *s, struct parse *p)
{
    struct mailbox_name name;
    struct store_error e;
    struct status_items items;
    struct str wire;
    if (!parse_sp(p) || !parse_astring(p, &wire) || !parse_sp(p) || !parse_status_items(s, p, &items) || !parse_end(p))
        return s->text[0] != 0 ? OUTCOME_BAD : bad_arguments(s, "STATUS mailbox (item ...)");
    if (!to_store_name(s, wire, &name, NULL))
        return OUTCOME_NO;
    return write_status(s, &name, wire, &items, &e) == 0 ? OUTCOME_OK : store_no(s, &e);
}
