/*
 * FETCH items that are made from a message's content and kept in the index: PREVIEW (RFC 8970), EMAILID and THREADID
 * (RFC 8474).
 */
#include "session/fetch.h"
#include "store/object_id.h"
#include "store/preview.h"

/* Behind "PREVIEW": [SP "(" preview-mod *(SP preview-mod) ")"]. */
bool preview_parse(struct parse *p, struct fetch_item *item)
{
    item->type = FETCH_PREVIEW;
    item->peek = true;
    const char *at = p->at;
    if (!parse_sp(p) || !parse_char(p, '(')) {
        p->at = at;
        return at == p->end || *at == ' ' || *at == ')';
    }
    do
        if (!parse_word(p, "LAZY"))
            return false;
    while (parse_sp(p));
    item->lazy = true;
    return parse_char(p, ')');
}

bool write_preview(struct session *s, const struct message *msg, const struct fetch_item *item,
                   const struct mime_part *(*structure)(void *ctx, const struct message *msg, struct store_error *e), void *ctx,
                   struct store_error *e)
{
    struct buf text = { 0 };
    bool good = true, there = preview_cached(s->mailbox, msg, &text);
    if (!there && !item->lazy) {
        const struct mime_part *root = structure(ctx, msg, e);
        good = there = root != NULL && preview_make(s->mailbox, msg, root, &text, e) == 0;
    }
    io_puts(&s->io, "PREVIEW ");
    if (there)
        write_string(&s->io, text.len > 0 ? buf_str(&text) : STR(""));
    else
        io_puts(&s->io, "NIL");
    buf_free(&text);
    return good;
}

bool write_object_id(struct session *s, const struct message *msg, bool thread, struct store_error *e)
{
    char email_id[OBJECT_ID], thread_id[OBJECT_ID];
    if (message_object_ids(s->mailbox, msg, email_id, thread_id, !thread, thread, e) != 0)
        return false;
    io_printf(&s->io, "%s (%s)", thread ? "THREADID" : "EMAILID", thread ? thread_id : email_id);
    return true;
}
