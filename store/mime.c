/*
 * The structure of a message, found in one pass over octets that come in pieces of any size.
 *
 * The parser goes line by line. The parts that are open lie on a stack, the message's root at the bottom; a multipart there
 * has its boundary. In a header, octets are collected and interpreted at the blank line. In a body, a line that does not
 * begin with '-' is only passed over (memchr for its end); of one that does, the first octets are kept until its end and
 * compared with the boundaries on the stack. A boundary closes all parts above its multipart; the line end before it is the
 * boundary's. A part's line count is the difference of one counter between its beginning and end.
 *
 * Children are chained while the tree grows, and laid out in arrays at the end. Depth and number are bounded, so the
 * recursion there is too.
 */
#include "store/mime.h"
#include <stdlib.h>
#include <string.h>
#include "base/octets.h"
#include "base/xmalloc.h"
#include "store/mime_lex.h"

enum { BOUNDARY_MAX = 200, HEAD_MAX = BOUNDARY_MAX + 8 };     /* RFC 2046: 70 */

struct node {
    struct mime_part part;
    struct node *first, *last, *next;
    size_t children;
};

struct open_part {
    struct node *node;
    struct str boundary;            /* n 0: not (or no longer) looked for */
    uint64_t lines;                 /* line ends before its body */
};

struct mime_parser {
    struct arena *arena;
    struct node *root;
    size_t depth;                   /* of open */
    size_t parts, boundaries;       /* made so far; on the stack */
    bool in_header, for_search, lf_is_crlf;
    bool part_due;                  /* a boundary was the last line: a part begins if anything follows */
    struct buf header;              /* of the part on top */
    size_t header_at_line;          /* header.len when the line began */
    uint64_t line_start, lines;     /* offset of the line; line ends before it */
    uint64_t line_size;             /* what has come of it */
    unsigned line_more;             /* 1: it counts as one octet more, its CR */
    unsigned previous_end;          /* octets of the line end before it: 0, 1, 2 */
    char last;                      /* octet before the next */
    bool keep_head;
    size_t head_size;
    /* From here on as far as depth and head_size say; the rest is not set. */
    struct open_part open[MIME_DEPTH];
    char head[HEAD_MAX];            /* first octets of the line */
};

static struct node *node_new(struct mime_parser *p, uint64_t offset, bool message)
{
    struct node *n = arena_alloc(p->arena, sizeof *n);
    n->part.header_offset = offset;
    if (message) n->part.envelope = arena_alloc(p->arena, sizeof *n->part.envelope);
    p->parts++;
    return n;
}

/* Opens a new part whose header begins at offset. */
static void push(struct mime_parser *p, uint64_t offset, bool message)
{
    struct node *n = node_new(p, offset, message);
    if (p->depth > 0) {
        struct node *parent = p->open[p->depth - 1].node;
        if (parent->last) parent->last->next = n;
        else parent->first = n;
        parent->last = n;
        parent->children++;
    } else {
        p->root = n;
    }
    p->open[p->depth++] = (struct open_part){ .node = n };
    p->in_header = true;
    buf_clear(&p->header);
}

struct mime_parser *mime_parser_new(struct arena *a)
{
    struct mime_parser *p = xmalloc(sizeof *p);
    memset(p, 0, offsetof(struct mime_parser, open));
    p->arena = a;
    push(p, 0, true);
    return p;
}

void mime_parser_for_search(struct mime_parser *p)
{
    p->for_search = true;
}

void mime_parser_lf_is_crlf(struct mime_parser *p)
{
    p->lf_is_crlf = true;
}

uint64_t mime_parser_size(const struct mime_parser *p)
{
    return p->line_start + p->line_size;
}

static int header_field(void *ctx, struct str name, struct str value, struct str whole)
{
    struct mime_parser *p = ctx;
    struct mime_part *part = &p->open[p->depth - 1].node->part;
    (void)whole;
    mime_part_field(part, name, value, p->arena);
    if (part->envelope && !p->for_search) mime_envelope_field(part->envelope, name, value, p->arena);
    return 0;
}

static int one_field(void *ctx, struct str name, struct str value, struct str whole)
{
    header_field(ctx, name, value, whole);
    return 1;
}

/* The fields that a search asks for begin with "Content-". */
static void content_fields(struct mime_parser *p)
{
    const char *line = p->header.data, *const end = line + p->header.len;

    while (line && line < end) {
        if ((*line | 0x20) == 'c') mime_header_each((struct str){ line, (size_t)(end - line) }, one_field, p);
        line = octets_find_line(line, (size_t)(end - line), 'c');
    }
}

/* Text that names no charset is said to be in us-ascii (RFC 2045 section 5.2), as clients of other servers see it. */
static void default_charset(struct mime_part *part, struct arena *a)
{
    if (mime_param_get(part->params, part->param_count, STR("charset")).p) return;
    struct mime_param *params = arena_alloc(a, (part->param_count + 1) * sizeof *params);
    if (part->param_count) memcpy(params, part->params, part->param_count * sizeof *params);
    params[part->param_count++] = (struct mime_param){ STR("charset"), STR("us-ascii") };
    part->params = params;
}

bool mime_is_message(const struct mime_part *part)
{
    return str_ieq(part->type, STR("message")) && (str_ieq(part->subtype, STR("rfc822")) || str_ieq(part->subtype, STR("global")));
}

/* What RFC 2045 section 5.2 and RFC 2046 section 5.1.5 say of fields that are not there. */
static void defaults(struct mime_parser *p, struct mime_part *part)
{
    const struct mime_part *parent = p->depth > 1 ? &p->open[p->depth - 2].node->part : NULL;
    const bool digest = parent && str_ieq(parent->type, STR("multipart")) && str_ieq(parent->subtype, STR("digest"));

    if (!part->type.p) {
        part->type = digest ? STR("message") : STR("text");
        part->subtype = digest ? STR("rfc822") : STR("plain");
    }
    if (!part->encoding.p) part->encoding = STR("7bit");
    if (str_ieq(part->type, STR("text"))) default_charset(part, p->arena);
    if (part->envelope) mime_envelope_finish(part->envelope);
}

/* The header on top ends at offset `end`, where the body begins; line_ends are before that. */
static void header_end(struct mime_parser *p, uint64_t end, uint64_t line_ends)
{
    struct open_part *top = &p->open[p->depth - 1];
    struct mime_part *part = &top->node->part;

    if (p->for_search) content_fields(p);
    else mime_header_each(buf_str(&p->header), header_field, p);
    defaults(p, part);
    part->header_size = end - part->header_offset;
    part->body_offset = end;
    top->lines = line_ends;
    p->in_header = false;
    buf_clear(&p->header);
    if (p->depth == MIME_DEPTH || p->parts >= MIME_PARTS) return;
    if (str_ieq(part->type, STR("multipart"))) {
        top->boundary = mime_param_get(part->params, part->param_count, STR("boundary"));
        if (top->boundary.n > BOUNDARY_MAX) top->boundary.n = BOUNDARY_MAX;
        if (top->boundary.n) p->boundaries++;
    } else if (mime_is_message(part)) {
        part->type = STR("message");
        part->subtype = str_ieq(part->subtype, STR("global")) ? STR("global") : STR("rfc822");
        push(p, end, true);
    }
}

/* Closes the part on top, whose body ends at offset `end`; line_ends are before that. */
static void pop(struct mime_parser *p, uint64_t end, uint64_t line_ends)
{
    const struct open_part *top = &p->open[--p->depth];
    struct mime_part *part = &top->node->part;

    if (top->boundary.n) p->boundaries--;
    part->body_size = end > part->body_offset ? end - part->body_offset : 0;
    const uint64_t lines = part->body_size && line_ends > top->lines ? line_ends - top->lines : 0;
    part->lines = lines > UINT32_MAX ? UINT32_MAX : (uint32_t)lines;
}

/* The boundary that the line is, as an index of open; -1: none. The beginning of the line decides (RFC 2046 section 5.1.1),
 * the innermost and, of several that fit, the longest or the one that fits exactly. */
static int boundary_find(const struct mime_parser *p, bool *closing)
{
    const char *line = p->head + 2;
    size_t n = p->head_size - 2, seen;
    int best = -1;

    while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
    for (seen = n; seen && (line[seen - 1] == ' ' || line[seen - 1] == '\t'); ) seen--;
    for (size_t i = p->depth; i-- > 0; ) {
        const struct str b = p->open[i].boundary;
        if (b.n == 0 || b.n > n || memcmp(b.p, line, b.n) != 0) continue;
        if (best >= 0 && b.n <= p->open[best].boundary.n) continue;
        best = (int)i;
        if (n == b.n || seen == b.n || (seen == b.n + 2 && line[seen - 1] == '-' && line[seen - 2] == '-')) break;
    }
    if (best < 0) return -1;
    const size_t b = p->open[best].boundary.n;
    *closing = n >= b + 2 && line[b] == '-' && line[b + 1] == '-';
    return best;
}

/* The line that has just ended is the boundary of open[level]. */
static void boundary(struct mime_parser *p, size_t level, bool closing)
{
    const uint64_t end = p->line_start - p->previous_end, line_ends = p->lines - (p->previous_end ? 1 : 0);

    while (p->in_header) header_end(p, p->line_start, p->lines);
    while (p->depth > level + 1) pop(p, end, line_ends);
    if (!closing && p->parts < MIME_PARTS) {
        p->part_due = true;
        return;
    }
    p->open[level].boundary.n = 0;
    p->boundaries--;
}

static bool is_blank(const struct mime_parser *p)
{
    return p->head_size == p->line_size
           && ((p->head_size == 1 && p->head[0] == '\n') || (p->head_size == 2 && memcmp(p->head, "\r\n", 2) == 0));
}

/* A line is complete (or the last). */
static void line_end(struct mime_parser *p)
{
    bool closing;
    int level = -1;

    if (p->keep_head && p->boundaries && p->head_size > 2 && memcmp(p->head, "--", 2) == 0) level = boundary_find(p, &closing);
    if (level >= 0) {
        if (p->in_header && p->header.len > p->header_at_line) p->header.len = p->header_at_line;
        boundary(p, (size_t)level, closing);
    } else if (p->in_header && is_blank(p)) {
        header_end(p, p->line_start + p->line_size + p->line_more, p->lines + 1);
    }
}

/* Octets of the current line, the last of which is its LF if there is one. */
static void line_part(struct mime_parser *p, const char *bytes, size_t n)
{
    if (p->part_due) {
        push(p, p->line_start, false);
        p->part_due = false;
    }
    if (p->line_size == 0) {
        p->keep_head = p->in_header || (p->boundaries && *bytes == '-');
        p->head_size = 0;
        p->header_at_line = p->header.len;
    }
    if (p->keep_head && p->head_size < HEAD_MAX) {
        const size_t k = n < HEAD_MAX - p->head_size ? n : HEAD_MAX - p->head_size;
        memcpy(p->head + p->head_size, bytes, k);
        p->head_size += k;
    }
    if (p->in_header && p->header.len < MIME_HEADER)
        buf_add(&p->header, bytes, n < MIME_HEADER - p->header.len ? n : MIME_HEADER - p->header.len);
    p->line_size += n;
}

/* Counts whole lines, which are neither boundaries nor blank ones of a header. */
static void count_lines(struct mime_parser *p, const char *bytes, size_t n)
{
    const size_t lines = p->for_search && !p->lf_is_crlf ? 1 : octets_count(bytes, n, '\n');      /* a search asks for none */
    size_t bare = 0;

    if (p->lf_is_crlf) {
        bare = lines;
        for (const char *cr = bytes, *const end = bytes + n; (cr = memchr(cr, '\r', (size_t)(end - cr))) != NULL; cr++)
            bare -= cr + 1 < end && cr[1] == '\n';
        bare -= n > 0 && bytes[0] == '\n' && p->last == '\r';
    }
    p->lines += lines;
    p->line_start += n + bare;
    p->previous_end = (n > 1 ? bytes[n - 2] : p->last) == '\r' || p->lf_is_crlf ? 2 : 1;
    p->last = '\n';
}

/* Passes lines of a body none of which can be a boundary. At the beginning of a line; returns how many octets they are: up to the
 * beginning of another. */
static size_t pass_lines(struct mime_parser *p, const char *bytes, size_t n)
{
    const char *stop = p->boundaries && *bytes == '-' ? bytes : NULL;

    if (!stop && p->boundaries && (stop = octets_find(bytes, n, "\n--", 3)) != NULL) stop++;
    if (!stop && (stop = memrchr(bytes, '\n', n)) != NULL) stop++;
    if (!stop || stop == bytes) return 0;
    count_lines(p, bytes, (size_t)(stop - bytes));
    return (size_t)(stop - bytes);
}

/* Takes lines of a header where no boundary is looked for, up to the blank line, as far as they are kept. At the beginning of a line;
 * returns how many octets. */
static size_t take_lines(struct mime_parser *p, const char *bytes, size_t n)
{
    const size_t room = p->header.len < MIME_HEADER ? MIME_HEADER - p->header.len : 0;
    const char *line = bytes, *lf, *const end = bytes + (n < room ? n : room);

    while (line < end && *line != '\n' && *line != '\r' && (lf = memchr(line, '\n', (size_t)(end - line))) != NULL) line = lf + 1;
    if (line == bytes) return 0;
    buf_add(&p->header, bytes, (size_t)(line - bytes));
    count_lines(p, bytes, (size_t)(line - bytes));
    return (size_t)(line - bytes);
}

void mime_parser_feed(struct mime_parser *p, const char *bytes, size_t n)
{
    const char *const end = bytes + n;

    while (bytes < end) {
        if (p->line_size == 0 && !p->part_due) {
            if (!p->in_header) bytes += pass_lines(p, bytes, (size_t)(end - bytes));
            else if (!p->boundaries) bytes += take_lines(p, bytes, (size_t)(end - bytes));
        }
        if (bytes == end) break;
        const char *lf = memchr(bytes, '\n', (size_t)(end - bytes));
        const size_t size = (size_t)((lf ? lf + 1 : end) - bytes);
        line_part(p, bytes, size);
        if (lf) {
            const char before = lf > bytes ? lf[-1] : p->last;
            const bool cr = p->line_size > 1 && before == '\r';
            p->line_more = p->lf_is_crlf && !cr;
            line_end(p);
            p->previous_end = cr || p->line_more ? 2 : 1;
            p->line_start += p->line_size + p->line_more;
            p->line_size = p->line_more = 0;
            p->lines++;
        }
        bytes += size;
        p->last = bytes[-1];
    }
}

/* Lays out the children of n, and theirs, in arrays. */
static void arrange(struct mime_part *to, const struct node *n, struct arena *a)
{
    size_t i = 0;

    *to = n->part;
    to->part_count = n->children;
    if (n->children == 0) return;
    to->parts = arena_alloc(a, n->children * sizeof *to->parts);
    for (const struct node *child = n->first; child; child = child->next) arrange(&to->parts[i++], child, a);
}

struct mime_part *mime_parser_finish(struct mime_parser *p)
{
    struct mime_part *root = arena_alloc(p->arena, sizeof *root);

    if (p->line_size) {
        line_end(p);
        p->line_start += p->line_size;
    }
    while (p->in_header) header_end(p, p->line_start, p->lines);
    while (p->depth) pop(p, p->line_start, p->lines);
    arrange(root, p->root, p->arena);
    buf_free(&p->header);
    free(p);
    return root;
}
