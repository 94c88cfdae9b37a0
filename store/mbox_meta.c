/*
 * Bookkeeping header fields: recognising, reading, writing, and showing a header without them.
 *
 * Layout of a block of ours, at the end of the header; each line is of fixed length so that a change is in place:
 *     X-IMAPbase: 1700000000 0000000042 keyword names, padded       (first message only)
 *     Status: RO
 *     X-Status: DFAT
 *     X-Keywords: names, padded
 *     X-UID: 0000000012
 *     X-IMAPD-Stored: verbatim noeol                                  (rare, see doc/mbox.md)
 * The last occurrence of a field counts: what a sender wrote comes before what a mail program adds.
 */
#include "store/mbox_meta.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/store.h"

enum { KEYWORD_ROOM = 40, BASE_ROOM = 80 };

static const struct field_name {
    const char *name;
    size_t n;
    enum meta_field field;
} field_names[] = {
    { "Status", 6, META_STATUS }, { "X-Status", 8, META_X_STATUS }, { "X-Keywords", 10, META_KEYWORDS },
    { "X-UID", 5, META_UID }, { "X-IMAPbase", 10, META_BASE }, { "X-IMAP", 6, META_PSEUDO },
    { "X-IMAPD-Stored", 14, META_STORED }, { "X-IMAPD-Pad", 11, META_PAD },
    { "Content-Length", 14, META_LENGTH }, { "Lines", 5, META_LENGTH },
};

/* Is this the field of that name? Blanks before the colon (RFC 5322 section 4.5.8) are none to Dovecot either. */
static bool has_name(const char *line, size_t n, const char *name, size_t length)
{
    enum { CASE = 0x20 };
    if (n <= length || (line[0] | CASE) != (name[0] | CASE) || (line[2] | CASE) != (name[2] | CASE) || strncasecmp(line, name, length) != 0)
        return false;
    while (length < n && (line[length] == ' ' || line[length] == '\t'))
        length++;
    return length < n && line[length] == ':';
}

static enum meta_field plain_field(const char *line, size_t n)
{
    switch (n > 0 ? line[0] : 0) {
    case 'S': case 's': case 'X': case 'x': case 'C': case 'c': case 'L': case 'l':
        break;
    default:
        return META_NONE;
    }
    for (size_t i = 0; i < sizeof field_names / sizeof *field_names; i++)
        if (has_name(line, n, field_names[i].name, field_names[i].n))
            return field_names[i].field;
    return META_NONE;
}

/* The line behind any number of escapes; *escaped says whether there was one. */
static enum meta_field field_behind_escapes(const char *line, size_t n, bool *escaped)
{
    const size_t step = sizeof META_ESCAPE - 1;
    *escaped = false;
    while (n >= step && strncasecmp(line, META_ESCAPE, step) == 0) {
        *escaped = true;
        line += step;
        n -= step;
    }
    const enum meta_field field = plain_field(line, n);
    return field == META_LENGTH && (line[0] == 'L' || line[0] == 'l') ? META_NONE : field;
}

enum meta_field meta_field(const char *line, size_t n)
{
    bool escaped;
    const enum meta_field field = plain_field(line, n);
    if (field != META_NONE || n < sizeof META_ESCAPE || (line[0] != 'X' && line[0] != 'x'))
        return field;
    return field_behind_escapes(line, n, &escaped) != META_NONE && escaped ? META_ESCAPED : META_NONE;
}

bool meta_must_escape(const char *line, size_t n)
{
    bool escaped;
    return field_behind_escapes(line, n, &escaped) != META_NONE;
}

void meta_free(struct meta *m)
{
    buf_free(&m->keywords);
    buf_free(&m->base_keywords);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static bool number(const char **p, const char *end, uint32_t *out)
{
    uint64_t value = 0;
    const char *at = *p;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    const char *digits = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
        if (value > UINT32_MAX)
            return false;
    }
    if (at == digits)
        return false;
    *p = at;
    *out = (uint32_t)value;
    return true;
}

static void words(struct buf *out, const char *p, const char *end)
{
    while (p < end) {
        while (p < end && (unsigned char)*p <= ' ')
            p++;
        const char *word = p;
        while (p < end && (unsigned char)*p > ' ')
            p++;
        if (p > word && p - word < STORE_KEYWORD_LEN && memchr(word, 0, (size_t)(p - word)) == NULL) {
            buf_add(out, word, (size_t)(p - word));
            buf_addc(out, 0);
        }
    }
}

static unsigned letters(const char *p, const char *end, const char *set, const unsigned *bits)
{
    unsigned flags = 0;
    for (; p < end; p++) {
        const char *found = *p != 0 ? strchr(set, *p) : NULL;
        if (found != NULL)
            flags |= bits[found - set];
    }
    return flags;
}

static void read_field(struct meta *m, enum meta_field field, const char *p, const char *end)
{
    static const unsigned status_bits[] = { FLAG_SEEN, FLAG_OLD };
    static const unsigned x_status_bits[] = { FLAG_ANSWERED, FLAG_FLAGGED, FLAG_DELETED, FLAG_DRAFT };
    switch (field) {
    case META_STATUS:
        m->flags = (m->flags & ~(unsigned)(FLAG_SEEN | FLAG_OLD)) | letters(p, end, "RO", status_bits);
        break;
    case META_X_STATUS:
        m->flags = (m->flags & (FLAG_SEEN | FLAG_OLD)) | letters(p, end, "AFDT", x_status_bits);
        break;
    case META_KEYWORDS:
        buf_clear(&m->keywords);
        words(&m->keywords, p, end);
        break;
    case META_UID:
        m->has_uid = number(&p, end, &m->uid) && m->uid != 0;
        break;
    case META_BASE: case META_PSEUDO:
        m->has_base = number(&p, end, &m->base_validity) && number(&p, end, &m->base_last) && m->base_validity != 0;
        m->pseudo = field == META_PSEUDO;
        buf_clear(&m->base_keywords);
        if (m->has_base)
            words(&m->base_keywords, p, end);
        break;
    case META_STORED:
        m->verbatim = memmem(p, (size_t)(end - p), "verbatim", 8) != NULL;
        m->noeol = memmem(p, (size_t)(end - p), "noeol", 5) != NULL;
        break;
    default:
        break;
    }
}

static uint64_t hash_line(uint64_t h, const char *p, size_t n)
{
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t w;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * k;
        h ^= h >> 29;
    }
    w = n;
    memcpy(&w, p, n);
    if (n > 0)
        w ^= (uint64_t)n << 56;
    h = (h ^ w) * k;
    return h ^ (h >> 32);
}

/* Walk of header_convert. */
struct walk {
    const char *raw;
    bool mboxo, verbatim;
    struct buf *out;
    struct header_info *info;
    uint64_t bytes, bare;                 /* visible octets as stored, and bare LFs among them */
    unsigned last_line, last_field;       /* octets of the last visible line's end as shown: 0, 1 or 2; not counting blank ones */
    unsigned block_fields;                /* fields seen since the last visible line */
    uint64_t block_start;
    bool scattered;                       /* a bookkeeping field outside the final run */
    bool internal, delivered;             /* says that it is UW's pseudo message; has a field that delivery adds */
};

static void show_line(struct walk *w, const char *line, size_t n, bool hashed)
{
    const bool lf = n > 0 && line[n - 1] == '\n';
    const bool bare = lf && !(n > 1 && line[n - 2] == '\r');
    w->bytes += n;
    w->bare += bare;
    w->last_line = !lf ? 0 : bare && !w->verbatim ? 2 : 1;
    if (line[0] != '\n' && !(n == 2 && line[0] == '\r' && lf))
        w->last_field = w->last_line;
    if (w->out != NULL) {
        buf_add(w->out, line, bare ? n - 1 : n);
        if (bare)
            buf_add(w->out, &"\r\n"[w->verbatim], w->verbatim ? 1 : 2);
    }
    if (w->info != NULL && hashed)
        w->info->fingerprint = hash_line(w->info->fingerprint, line, n - (size_t)lf - (size_t)(lf && !bare));
}

static size_t quoted(const char *line, size_t n)
{
    size_t run = 0;
    while (run < n && line[run] == '>')
        run++;
    return run > 0 && n - run >= 5 && memcmp(line + run, "From ", 5) == 0;
}

/* A line of a bookkeeping field (or its continuation): hidden. */
static void hide_line(struct walk *w, enum meta_field field, const char *line, size_t n)
{
    struct meta *m = &w->info->meta;
    if (w->block_fields == 0)
        w->block_start = (uint64_t)(line - w->raw);
    w->block_fields |= 1u << field;
    const char *colon = memchr(line, ':', n);
    if (colon != NULL)
        read_field(m, field, colon + 1, line + n);
    if (field == META_BASE || field == META_PSEUDO) {
        m->base_offset = (uint64_t)(line - w->raw);
        m->base_size = (uint32_t)n;
    }
}

static bool begins(const char *line, size_t n, const char *with)
{
    const size_t k = strlen(with);
    return n >= k && strncasecmp(line, with, k) == 0;
}

/* A sender cannot keep delivery from adding one of these, and no program writes them into a pseudo message. */
static void note_origin(struct walk *w, const char *line, size_t n)
{
    switch (line[0] | 0x20) {
    case 's':
        w->internal = w->internal || (begins(line, n, "Subject:") && memmem(line, n, "FOLDER INTERNAL DATA", 20) != NULL);
        break;
    case 'r': case 'd': case 'e': case 'x':
        w->delivered = w->delivered || begins(line, n, "Received:") || begins(line, n, "Return-Path:")
            || begins(line, n, "Delivered-To:") || begins(line, n, "Delivery-Date:") || begins(line, n, "Envelope-To:")
            || begins(line, n, "X-Original-To:");
        break;
    default:
        break;
    }
}

static void one_line(struct walk *w, enum meta_field *field, const char *line, size_t n)
{
    const bool blank = line[0] == '\n' || (n == 2 && line[0] == '\r' && line[1] == '\n');
    const bool continuation = line[0] == ' ' || line[0] == '\t';
    if (!continuation)
        *field = blank ? META_NONE : meta_field(line, n);
    if (*field != META_NONE && *field < META_ESCAPED) {
        if (w->info != NULL && !continuation)
            hide_line(w, *field, line, n);
        else if (w->info != NULL)
            w->scattered = true;          /* folded: not our layout */
        return;
    }
    if (w->info != NULL && !continuation)
        note_origin(w, line, n);
    if (w->block_fields != 0 && !blank) {
        w->scattered = true;
        w->block_fields = 0;
    }
    if (*field == META_ESCAPED && !continuation) {
        line += sizeof META_ESCAPE - 1;
        n -= sizeof META_ESCAPE - 1;
    } else if (line[0] == '>' && !w->mboxo && quoted(line, n)) {
        line++;
        n--;
    }
    show_line(w, line, n, *field != META_LENGTH);
}

/* Does a line that begins so have to be looked at? It may be of a field of ours, escaped, quoted, blank, or go on with a hidden one. */
static bool is_simple(char first, bool after_hidden)
{
    switch (first) {
    case 'S': case 's': case 'X': case 'x': case 'C': case 'c': case 'L': case 'l': case '>': case '\r': case '\n':
        return false;
    case ' ': case '\t':
        return !after_hidden;
    default:
        return true;
    }
}

/* Shows whole lines from p on that need nothing but CRs; returns where they end. */
static const char *show_simple(struct buf *out, const char *p, const char *end, bool verbatim, bool after_hidden)
{
    for (const char *lf; p < end && is_simple(*p, after_hidden) && (lf = memchr(p, '\n', (size_t)(end - p))) != NULL; p = lf + 1) {
        size_t n = (size_t)(lf - p);
        char *to = buf_room(out, n + 2);
        memcpy(to, p, n);
        if (!verbatim && lf[-1] != '\r')
            to[n++] = '\r';
        to[n++] = '\n';
        to[n] = '\0';
        out->len += n;
        after_hidden = false;
    }
    return p;
}

void header_convert(const char *raw, size_t n, bool mboxo, bool verbatim, bool last_bare, struct buf *out, struct header_info *info)
{
    const unsigned whole = 1u << META_STATUS | 1u << META_X_STATUS | 1u << META_KEYWORDS | 1u << META_UID;
    struct walk w = { .raw = raw, .mboxo = mboxo, .verbatim = verbatim, .out = out, .info = info };
    enum meta_field field = META_NONE;
    size_t at = 0, end_of_fields = n;
    if (info != NULL)
        memset(info, 0, sizeof *info);
    while (at < n) {
        if (info == NULL && out != NULL && !last_bare) {
            const size_t before = at;
            at = (size_t)(show_simple(out, raw + at, raw + n, verbatim, field != META_NONE && field < META_ESCAPED) - raw);
            if (at > before) {
                field = META_NONE;
                continue;
            }
        }
        const char *lf = memchr(raw + at, '\n', n - at);
        const size_t length = lf != NULL ? (size_t)(lf - raw) - at + 1 : n - at;
        if (raw[at] == '\n' || (length == 2 && raw[at] == '\r' && raw[at + 1] == '\n'))
            end_of_fields = at;
        one_line(&w, &field, raw + at, length);
        at += length;
    }
    if (last_bare && out != NULL)
        out->len -= w.last_line;
    if (info == NULL)
        return;
    if (info->meta.pseudo && (!w.internal || w.delivered))
        info->meta.pseudo = info->meta.has_base = false;
    info->visible = w.bytes + (info->meta.verbatim ? 0 : w.bare);
    info->last_end = info->meta.verbatim && w.last_line == 2 ? 1 : w.last_line;
    info->last_field_end = info->meta.verbatim && w.last_field == 2 ? 1 : w.last_field;
    if (!w.scattered && (w.block_fields & whole) == whole && end_of_fields - w.block_start <= UINT16_MAX) {
        info->meta.block_offset = (uint32_t)w.block_start;
        info->meta.block_size = (uint32_t)(end_of_fields - w.block_start);
    }
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void pad(struct buf *out, size_t used, size_t room)
{
    for (; used < room; used++)
        buf_addc(out, ' ');
}

static void status_letters(char to[2], unsigned flags)
{
    to[0] = flags & FLAG_SEEN ? 'R' : ' ';
    to[1] = flags & FLAG_OLD ? 'O' : ' ';
    if (to[0] == ' ' && to[1] == 'O') {
        to[0] = 'O';                      /* "O" as others write it, not " O" */
        to[1] = ' ';
    }
}

static void x_status_letters(char to[4], unsigned flags)
{
    size_t n = 0;
    memset(to, ' ', 4);
    if (flags & FLAG_DELETED)
        to[n++] = 'D';
    if (flags & FLAG_FLAGGED)
        to[n++] = 'F';
    if (flags & FLAG_ANSWERED)
        to[n++] = 'A';
    if (flags & FLAG_DRAFT)
        to[n++] = 'T';
}

void meta_format(struct buf *out, const struct meta_block *b)
{
    char status[2], x_status[4];
    status_letters(status, b->flags);
    x_status_letters(x_status, b->flags);
    if (b->base) {
        buf_printf(out, "X-IMAPbase: %010u %010u ", b->base_validity, b->base_last);
        buf_add(out, b->base_keywords.p, b->base_keywords.n);
        pad(out, b->base_keywords.n, b->base_keywords.n < BASE_ROOM ? BASE_ROOM : b->base_keywords.n + BASE_ROOM / 2);
        buf_addc(out, '\n');
    }
    buf_puts(out, "Status: ");
    buf_add(out, status, sizeof status);
    buf_puts(out, "\nX-Status: ");
    buf_add(out, x_status, sizeof x_status);
    buf_puts(out, "\nX-Keywords: ");
    buf_add(out, b->keywords.p, b->keywords.n);
    pad(out, b->keywords.n, b->keywords.n < KEYWORD_ROOM ? KEYWORD_ROOM : b->keywords.n + KEYWORD_ROOM / 2);
    buf_printf(out, "\nX-UID: %010u\n", b->uid);
    if (b->verbatim || b->noeol)
        buf_printf(out, "X-IMAPD-Stored:%s%s\n", b->verbatim ? " verbatim" : "", b->noeol ? " noeol" : "");
}

void meta_replace(const char *header, size_t n, const struct meta_block *b, size_t *start, size_t *del, struct buf *ins,
                  size_t *block_at)
{
    const size_t before = ins->len;
    bool begun = false, hidden = false, unfinished = false;
    size_t at = 0;
    *start = n;
    while (at < n && header[at] != '\n' && !(header[at] == '\r' && at + 1 < n && header[at + 1] == '\n')) {
        const char *lf = memchr(header + at, '\n', n - at);
        const size_t length = lf != NULL ? (size_t)(lf - header) - at + 1 : n - at;
        if (header[at] != ' ' && header[at] != '\t') {
            const enum meta_field field = meta_field(header + at, length);
            hidden = field != META_NONE && field < META_ESCAPED;
        }
        if (hidden && !begun) {
            begun = true;
            *start = at;
        }
        if (begun && !hidden)
            buf_add(ins, header + at, length);
        unfinished = lf == NULL;
        at += length;
    }
    if (!begun)
        *start = at;
    *del = at - *start;
    if (unfinished)                              /* the end of the file, without a line end */
        buf_addc(ins, '\n');
    *block_at = *start + (ins->len - before);
    meta_format(ins, b);
}

/* Puts a value behind the colon and its space in place of the old one, padded; false if it is too long. */
static bool put_value(char *line, size_t n, size_t from, const char *value, size_t size)
{
    if (from >= n || from < 2 || line[from - 2] != ':' || line[from - 1] != ' ')
        return false;                     /* not as we write it */
    size_t room = n - 1 - from;           /* without the LF */
    if (room > 0 && line[n - 2] == '\r')
        room--;
    if (size > room)
        return false;
    memcpy(line + from, value, size);
    memset(line + from + size, ' ', room - size);
    return true;
}

/* Names that stand in a base line already: what lies behind its two numbers. */
static struct str base_names(const char *line, size_t n)
{
    const char *p = memchr(line, ':', n), *const end = line + n;
    uint32_t skipped;
    if (p == NULL || (p++, !number(&p, end, &skipped) || !number(&p, end, &skipped)))
        return STR("");
    while (p < end && *p == ' ')
        p++;
    size_t names = (size_t)(end - p);
    while (names > 0 && (unsigned char)p[names - 1] <= ' ')
        names--;
    return (struct str){ p, names };
}

bool meta_update_base(char *line, size_t n, uint32_t validity, uint32_t last, struct str keywords)
{
    const char *colon = memchr(line, ':', n);
    const struct str names = keywords.n > 0 ? keywords : base_names(line, n);
    bool fits = false;
    for (int padded = 1; colon != NULL && !fits && padded >= 0; padded--) {
        struct buf value = { 0 };
        buf_printf(&value, padded ? "%010u %010u" : "%u %u", validity, last);
        if (names.n > 0) {
            buf_addc(&value, ' ');
            buf_add(&value, names.p, names.n);
        }
        fits = put_value(line, n, (size_t)(colon - line) + 2, value.data, value.len);
        buf_free(&value);
    }
    return fits;
}

static bool update_line(char *line, size_t n, const struct meta_block *b)
{
    char letters_now[4];
    switch (meta_field(line, n)) {
    case META_STATUS:
        status_letters(letters_now, b->flags);
        return put_value(line, n, 8, letters_now, 2);
    case META_X_STATUS:
        x_status_letters(letters_now, b->flags);
        return put_value(line, n, 10, letters_now, 4);
    case META_KEYWORDS:
        return put_value(line, n, 12, b->keywords.p, b->keywords.n);
    case META_BASE:
        return !b->base || meta_update_base(line, n, b->base_validity, b->base_last, b->base_keywords);
    default:
        return true;
    }
}

bool meta_update(char *block, size_t n, const struct meta_block *b)
{
    bool fits = true;
    char *copy = malloc(n + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, block, n);
    for (size_t at = 0; fits && at < n;) {
        const char *lf = memchr(copy + at, '\n', n - at);
        const size_t length = lf != NULL ? (size_t)(lf - copy) - at + 1 : n - at;
        fits = lf != NULL && update_line(copy + at, length, b);
        at += length;
    }
    if (fits)
        memcpy(block, copy, n);
    free(copy);
    return fits;
}
