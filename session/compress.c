/*
 * COMPRESS=DEFLATE: zlib between the connection and io.c, and the command that puts it there.
 *
 * Mail is mostly text and base64, which even the fast levels shrink well; but a literal may be anything. What does not shrink is
 * stored for a while, then tried again: the output is looked at in slices, so nothing need be known of where literals begin.
 */
#include "session/compress.h"

#include <stdlib.h>
#include <zlib.h>

#include "session/command.h"

enum {
    LEVEL = 4,                   /* of 1 to 9: see tests/compress.test for what it costs and gains */
    SLICE = 65536, GAIN = 32,    /* a slice has to lose 1/GAIN of its length */
    STORED_SLICES = 15,          /* before the next try */
    ROOM = 32768, LAST = 4
};

struct compress {
    z_stream out, in;
    unsigned stored;             /* slices to store still */
    int level;
    size_t slice_in, slice_out;  /* of the slice under way */
    struct buf raw;              /* received, not inflated yet from used on */
    size_t used;
    uint32_t last;               /* the last four octets that were inflated: 00 00 ff ff ends a flush */
    bool full;                   /* the inflater had no room for all that it could have given */
    bool stuck;                  /* it needs more input, whatever it has said before */
    enum compress_status over;   /* END or DAMAGED once the stream is */
};

struct compress *compress_new(struct str received)
{
    struct compress *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->level = LEVEL;
    c->over = COMPRESS_SOME;
    if (inflateInit2(&c->in, -MAX_WBITS) != Z_OK
        || deflateInit2(&c->out, LEVEL, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL - 1, Z_DEFAULT_STRATEGY) != Z_OK) {
        (void)inflateEnd(&c->in);
        free(c);
        return NULL;
    }
    compress_feed(c, received.p, received.n);
    return c;
}

void compress_free(struct compress *c)
{
    if (c == NULL)
        return;
    (void)deflateEnd(&c->out);
    (void)inflateEnd(&c->in);
    buf_free(&c->raw);
    free(c);
}

/* ---- output ------------------------------------------------------------------------------------------------------- */

/* deflate(), or with params deflateParams(), until it has no more to say. */
static void squeeze(struct compress *c, struct buf *wire, int flush, bool params)
{
    int status;
    do {
        c->out.next_out = (Bytef *)buf_room(wire, ROOM);
        c->out.avail_out = ROOM;
        status = params ? deflateParams(&c->out, c->level, Z_DEFAULT_STRATEGY) : deflate(&c->out, flush);
        wire->len += ROOM - c->out.avail_out;
        c->slice_out += ROOM - c->out.avail_out;
    } while (params ? status == Z_BUF_ERROR : c->out.avail_out == 0);
}

static void end_slice(struct compress *c, struct buf *wire)
{
    if (c->stored > 0)
        c->stored--;
    else if (c->slice_out > c->slice_in - c->slice_in / GAIN)
        c->stored = STORED_SLICES;
    c->slice_in = c->slice_out = 0;
    const int level = c->stored > 0 ? Z_NO_COMPRESSION : LEVEL;
    if (level != c->level) {
        c->level = level;
        squeeze(c, wire, Z_NO_FLUSH, true);
    }
}

void compress_out(struct compress *c, struct buf *wire, const char *p, size_t n, bool flush)
{
    while (n > 0) {
        const size_t part = n < SLICE - c->slice_in ? n : SLICE - c->slice_in;
        c->out.next_in = (Bytef *)(uintptr_t)p;      /* zlib does not write to it */
        c->out.avail_in = (uInt)part;
        squeeze(c, wire, Z_NO_FLUSH, false);
        p += part;
        n -= part;
        c->slice_in += part;
        if (c->slice_in == SLICE)
            end_slice(c, wire);
    }
    if (flush)
        squeeze(c, wire, Z_SYNC_FLUSH, false);
}

/* ---- input -------------------------------------------------------------------------------------------------------- */

void compress_feed(struct compress *c, const char *p, size_t n)
{
    if (n > 0)
        buf_add(&c->raw, p, n);
}

/* One block of the stream at most, so that what follows the last one stays where it is. */
static int inflate_block(struct compress *c, char *to, size_t n, size_t *got)
{
    const char *from = c->raw.len > 0 ? c->raw.data + c->used : "";
    c->in.next_in = (Bytef *)(uintptr_t)from;
    c->in.avail_in = (uInt)(c->raw.len - c->used);
    c->in.next_out = (Bytef *)to;
    c->in.avail_out = (uInt)n;
    const int status = inflate(&c->in, Z_BLOCK);
    const size_t taken = c->raw.len - c->used - c->in.avail_in;
    *got = n - c->in.avail_out;
    c->full = c->in.avail_out == 0;
    c->stuck = status == Z_BUF_ERROR;
    for (size_t i = taken < LAST ? 0 : taken - LAST; i < taken; i++)
        c->last = c->last << 8 | (unsigned char)from[i];
    c->used += taken;
    if (c->used == c->raw.len) {
        buf_clear(&c->raw);
        c->used = 0;
    }
    if (status == Z_STREAM_END)
        c->over = COMPRESS_END;
    else if (status != Z_OK && status != Z_BUF_ERROR)
        c->over = COMPRESS_DAMAGED;
    return status;
}

/* Nothing can come of what is here. After the last block the end of the stream is still to be told. */
static bool idle(const struct compress *c)
{
    enum { LAST_BLOCK = 64 };
    return c->used == c->raw.len && !c->full && !(c->in.data_type & LAST_BLOCK);
}

enum compress_status compress_in(struct compress *c, char *to, size_t n, size_t *got)
{
    *got = 0;
    while (*got == 0 && c->over == COMPRESS_SOME) {
        if (idle(c))
            return COMPRESS_MORE;
        if (inflate_block(c, to, n, got) == Z_BUF_ERROR && *got == 0)
            return COMPRESS_MORE;
    }
    return *got > 0 ? COMPRESS_SOME : c->over;
}

enum compress_status compress_in_ends(struct compress *c)
{
    enum { BLOCK_END = 128, UNUSED_BITS = 7, FLUSHED = 0x0000ffff };
    while (c->over == COMPRESS_SOME) {
        char octet;
        size_t got;
        if ((c->in.data_type & BLOCK_END) && !(c->in.data_type & UNUSED_BITS) && c->last == FLUSHED)
            return COMPRESS_END;
        if (idle(c) || (c->used == c->raw.len && c->stuck))
            return COMPRESS_MORE;
        (void)inflate_block(c, &octet, 1, &got);
        if (got > 0)
            return COMPRESS_DAMAGED;
    }
    return c->over;
}

struct str compress_end(struct compress *c, struct buf *wire)
{
    squeeze(c, wire, Z_FINISH, false);
    return (struct str){ c->raw.len > 0 ? c->raw.data + c->used : "", c->raw.len - c->used };
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

/* RFC 4978 section 3. Not before login: the command is one of the authenticated state (its section 5), and what zlib makes of a
 * stranger's octets is no concern of the greeter. */
enum outcome cmd_compress(struct session *s, struct parse *p)
{
    struct str mechanism;
    if (!parse_sp(p) || !parse_atom(p, &mechanism) || !parse_end(p))
        return bad_arguments(s, "COMPRESS DEFLATE");
    if (!str_ieq(mechanism, STR("DEFLATE")))
        return say(s, OUTCOME_BAD, NULL, "Unknown compression mechanism");
    if (s->io.compress != NULL)
        return say(s, OUTCOME_BAD, "COMPRESSIONACTIVE", "DEFLATE is active already");
    struct compress *c = compress_new(io_pending(&s->io));
    if (c == NULL)
        return say(s, OUTCOME_NO, "UNAVAILABLE", "No memory for compression");
    say(s, OUTCOME_OK, NULL, "DEFLATE active");
    write_tagged(s, OUTCOME_OK, "COMPRESS");
    io_compress(&s->io, c);
    return OUTCOME_SILENT;
}
