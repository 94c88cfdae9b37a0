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
    ROOM = 32768
};

struct compress {
    z_stream out, in;
    unsigned stored;             /* slices to store still */
    int level;
    size_t slice_in, slice_out;  /* of the slice under way */
    struct buf raw;              /* received, not inflated yet from used on */
    size_t used;
    bool full;                   /* the inflater had no room for all that it could have given */
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

enum compress_status compress_in(struct compress *c, char *to, size_t n, size_t *got)
{
    *got = 0;
    if (c->over != COMPRESS_SOME)
        return c->over;
    if (c->used == c->raw.len && !c->full)
        return COMPRESS_MORE;
    c->in.next_in = (Bytef *)c->raw.data + c->used;
    c->in.avail_in = (uInt)(c->raw.len - c->used);
    c->in.next_out = (Bytef *)to;
    c->in.avail_out = (uInt)n;
    const int status = inflate(&c->in, Z_SYNC_FLUSH);
    *got = n - c->in.avail_out;
    c->full = c->in.avail_out == 0;
    c->used = c->raw.len - c->in.avail_in;
    if (c->used == c->raw.len) {
        buf_clear(&c->raw);
        c->used = 0;
    }
    if (status == Z_STREAM_END)
        c->over = COMPRESS_END;
    else if (status != Z_OK && status != Z_BUF_ERROR)
        c->over = COMPRESS_DAMAGED;
    if (*got > 0)
        return COMPRESS_SOME;
    return c->over != COMPRESS_SOME ? c->over : COMPRESS_MORE;
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
