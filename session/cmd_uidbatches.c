/*
 * UIDBATCHES: the mailbox in ranges of UIDs that hold equally many messages, the newest first (RFC 10022). A range follows from the
 * places of messages in the view: it costs a look at two UIDs, however large the mailbox is. The ranges leave no UID between
 * them, and the last one ends at 1, so that a client sees that it is the last.
 *
 * What was told is not told again before half a batch of messages came or went (section 3.1.1). A client may go through the
 * batches page by page, pages that overlap (section 3.1.5): those that touch are remembered as one. That there are none is told
 * each time (section 3.1.6).
 */
#include "session/command.h"

enum { BATCH_LEAST = 500 };              /* section 3.1.3.2 */

/* SP nz-number [SP nz-number ":" nz-number]; without the last part all batches. */
static bool parse_batches(struct parse *p, struct batches *b)
{
    *b = (struct batches){ .first = 1, .last = UINT32_MAX };
    if (!parse_sp(p) || !parse_nz_number(p, &b->size))
        return false;
    if (parse_sp(p) && (!parse_nz_number(p, &b->first) || !parse_char(p, ':') || !parse_nz_number(p, &b->last)))
        return false;
    return parse_end(p);
}

/* Leaves the batches that there are; first > last: none. */
static void existing(const struct session *s, struct batches *b)
{
    const uint64_t n = ((uint64_t)mailbox_exists(s->mailbox) + b->size - 1) / b->size;
    if (b->last > n)
        b->last = (uint32_t)n;
}

/* Batches of this size were told, and not half a batch came or went since. */
static bool told_still(const struct session *s, uint32_t size)
{
    const struct batches *told = &s->batches_told;
    if (told->size != size)
        return false;
    const uint32_t exists = mailbox_exists(s->mailbox);
    const uint64_t came = exists + 1 - mailbox_seq_from(s->mailbox, told->top + 1), went = told->messages - (exists - came);
    return 2 * came < size && 2 * went < size;
}

static void remember(struct session *s, const struct batches *b)
{
    struct batches *told = &s->batches_told;
    if (told_still(s, b->size) && b->first <= (uint64_t)told->last + 1 && told->first <= (uint64_t)b->last + 1) {
        told->first = b->first < told->first ? b->first : told->first;
        told->last = b->last > told->last ? b->last : told->last;
        return;
    }
    *told = *b;
    told->messages = mailbox_exists(s->mailbox);
    told->top = mailbox_uid(s->mailbox, told->messages);
}

static void write_batches(struct session *s, const struct batches *b)
{
    const uint32_t exists = mailbox_exists(s->mailbox);
    const char *between = " ";
    io_puts(&s->io, "* UIDBATCHES (TAG ");
    write_string(&s->io, s->tag);
    io_puts(&s->io, ")");
    for (uint32_t batch = b->first; batch <= b->last; batch++) {
        const uint32_t above = (batch - 1) * b->size, high = exists - above;
        const bool last = high <= b->size;
        io_puts(&s->io, between);
        io_number(&s->io, above == 0 ? mailbox_uid(s->mailbox, high) : mailbox_uid(s->mailbox, high + 1) - 1);
        io_puts(&s->io, ":");
        io_number(&s->io, last ? 1 : mailbox_uid(s->mailbox, high - b->size + 1));
        between = ",";
    }
    io_puts(&s->io, "\r\n");
}

enum outcome cmd_uidbatches(struct session *s, struct parse *p)
{
    struct batches b;
    if (!parse_batches(p, &b))
        return bad_arguments(s, "UIDBATCHES size [first:last]");
    if (b.first > b.last)
        return say(s, OUTCOME_BAD, "CLIENTBUG", "The lower number of a batch comes first");
    if (b.size < BATCH_LEAST)
        return say(s, OUTCOME_NO, "TOOFEW", "A batch has %d messages or more", BATCH_LEAST);
    existing(s, &b);
    if (b.first <= b.last && told_still(s, b.size) && b.first >= s->batches_told.first && b.last <= s->batches_told.last)
        return say(s, OUTCOME_NO, "LIMIT", "These batches have been told, and have hardly changed");
    write_batches(s, &b);
    if (b.first <= b.last)
        remember(s, &b);
    return OUTCOME_OK;
}
