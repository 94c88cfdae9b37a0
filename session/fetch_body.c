/*
 * ENVELOPE, BODY and BODYSTRUCTURE as RFC 3501 section 7.4.2 writes them.
 */
#include "session/fetch.h"

static void write_address_list(struct io *io, const struct mime_addresses *a)
{
    if (a->n == 0) {
        io_puts(io, "NIL");
        return;
    }
    io_puts(io, "(");
    for (size_t i = 0; i < a->n; i++) {
        io_puts(io, "(");
        write_nstring(io, a->list[i].name);
        io_puts(io, " ");
        write_nstring(io, a->list[i].route);
        io_puts(io, " ");
        write_nstring(io, a->list[i].mailbox);
        io_puts(io, " ");
        write_nstring(io, a->list[i].host);
        io_puts(io, ")");
    }
    io_puts(io, ")");
}

void write_envelope(struct io *io, const struct mime_envelope *e)
{
    const struct mime_addresses *const lists[] = { &e->from, &e->sender, &e->reply_to, &e->to, &e->cc, &e->bcc };
    io_puts(io, "(");
    write_nstring(io, e->date);
    io_puts(io, " ");
    write_nstring(io, e->subject);
    for (size_t i = 0; i < 6; i++) {
        io_puts(io, " ");
        write_address_list(io, lists[i]);
    }
    io_puts(io, " ");
    write_nstring(io, e->in_reply_to);
    io_puts(io, " ");
    write_nstring(io, e->message_id);
    io_puts(io, ")");
}

static void write_params(struct io *io, const struct mime_param *params, size_t n)
{
    if (n == 0) {
        io_puts(io, "NIL");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        io_puts(io, i == 0 ? "(" : " ");
        write_string(io, params[i].name);
        io_puts(io, " ");
        write_string(io, params[i].value);
    }
    io_puts(io, ")");
}

static void write_extension(struct io *io, const struct mime_part *part)
{
    io_puts(io, " ");
    if (part->disposition.p == NULL) {
        io_puts(io, "NIL");
    } else {
        io_puts(io, "(");
        write_string(io, part->disposition);
        io_puts(io, " ");
        write_params(io, part->disp_params, part->disp_param_count);
        io_puts(io, ")");
    }
    io_puts(io, " ");
    if (part->language_count == 0) {
        io_puts(io, "NIL");
    } else {
        for (size_t i = 0; i < part->language_count; i++) {
            io_puts(io, i == 0 ? "(" : " ");
            write_string(io, part->languages[i]);
        }
        io_puts(io, ")");
    }
    io_puts(io, " ");
    write_nstring(io, part->location);
}

static void write_multipart(struct io *io, const struct mime_part *part, bool extended, bool global)
{
    io_puts(io, "(");
    if (part->part_count == 0)                   /* the grammar wants one: an empty text part, as peers answer */
        io_puts(io, extended ? "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)"
                : "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)");
    for (size_t i = 0; i < part->part_count; i++)
        write_body(io, &part->parts[i], extended, global);
    io_puts(io, " ");
    write_string(io, part->subtype);
    if (extended) {
        io_puts(io, " ");
        write_params(io, part->params, part->param_count);
        write_extension(io, part);
    }
    io_puts(io, ")");
}

void write_body(struct io *io, const struct mime_part *part, bool extended, bool global)
{
    if (str_ieq(part->type, STR("multipart"))) {
        write_multipart(io, part, extended, global);
        return;
    }
    io_puts(io, "(");
    write_string(io, part->type);
    io_puts(io, " ");
    write_string(io, part->subtype);
    io_puts(io, " ");
    write_params(io, part->params, part->param_count);
    io_puts(io, " ");
    write_nstring(io, part->id);
    io_puts(io, " ");
    write_nstring(io, part->description);
    io_puts(io, " ");
    write_string(io, part->encoding);
    io_puts(io, " ");
    io_number(io, part->body_size);
    const bool message = mime_is_message(part) && (global || str_ieq(part->subtype, STR("rfc822"))) && part->part_count == 1
        && part->parts[0].envelope != NULL;
    if (message) {
        io_puts(io, " ");
        write_envelope(io, part->parts[0].envelope);
        io_puts(io, " ");
        write_body(io, &part->parts[0], extended, global);
    }
    if (message || str_ieq(part->type, STR("text"))) {
        io_puts(io, " ");
        io_number(io, part->lines);
    }
    if (extended) {
        io_puts(io, " ");
        write_nstring(io, part->md5);
        write_extension(io, part);
    }
    io_puts(io, ")");
}
