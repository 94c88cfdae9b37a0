#ifndef STORE_MBOX_META_H
#define STORE_MBOX_META_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* Bookkeeping header fields of an mbox message, and the header as the client sees it (doc/mbox.md). Hidden: Status,
 * X-Status, X-Keywords, X-UID, X-IMAPbase, X-IMAP and our own X-IMAPD-Stored and X-IMAPD-Pad. A message that APPEND brings has its own
 * fields of these names (and Content-Length) stored with "X-Escaped-" before the name; that is undone when it is shown. */
enum meta_field {
    META_NONE, META_STATUS, META_X_STATUS, META_KEYWORDS, META_UID, META_BASE, META_PSEUDO, META_STORED, META_PAD,
    META_ESCAPED,
    META_LENGTH          /* Content-Length, Lines: shown, but no part of the fingerprint */
};
/* Kind of the field that begins with this line (n octets). */
enum meta_field meta_field(const char *line, size_t n);
/* True if a field of this name, brought by APPEND, must be stored escaped. */
bool meta_must_escape(const char *line, size_t n);
#define META_ESCAPE "X-Escaped-"

struct meta {
    unsigned flags;                     /* FLAG_ bits, FLAG_OLD too */
    bool has_uid, has_base, pseudo;
    uint32_t uid, base_validity, base_last;
    bool verbatim, noeol;               /* X-IMAPD-Stored */
    struct buf keywords, base_keywords; /* names, NUL-terminated one after another */
    uint64_t base_offset; uint32_t base_size;      /* of the X-IMAPbase or X-IMAP line, from the header's start */
    uint32_t block_offset, block_size;  /* a block of our layout that ends the header; size 0: there is none */
};
void meta_free(struct meta *m);

struct header_info {
    struct meta meta;
    uint64_t visible;                   /* octets that the client sees */
    uint64_t fingerprint;               /* of the visible fields, by content, whatever the line ends */
    unsigned last_end;                  /* octets of the last visible line's end, as shown: 0 to 2 */
    unsigned last_field_end;            /* the same of the last one that is not blank */
};
/* Goes through a stored header of n octets (with its blank line, if it has one). mboxo: ">From " is not unquoted. last_bare:
 * (header-only message without final line end) the last visible line is shown without its line end. Fills *info (the
 * caller frees info->meta) if not NULL, and appends what the client sees to out if not NULL; verbatim says whether bare LFs
 * stay (known from the record; when info is wanted it is found out). */
void header_convert(const char *raw, size_t n, bool mboxo, bool verbatim, bool last_bare, struct buf *out, struct header_info *info);

/* What a block says. */
struct meta_block {
    unsigned flags;                     /* with FLAG_OLD */
    uint32_t uid;
    struct str keywords;                /* names separated by single spaces */
    bool verbatim, noeol;
    bool base;                          /* with X-IMAPbase */
    uint32_t base_validity, base_last;
    struct str base_keywords;
};
/* Writes a new block, padded for later changes, LF line ends. */
void meta_format(struct buf *out, const struct meta_block *b);
/* What to replace in a stored header of n octets so that its bookkeeping is this block and nothing else: from *start, *del
 * octets, by what is appended to ins; the block then begins *block_at octets behind the start of the header. */
void meta_replace(const char *header, size_t n, const struct meta_block *b, size_t *start, size_t *del, struct buf *ins,
                  size_t *block_at);
/* Changes flags and keywords (and the base line's last UID and keywords, if it has one) within an existing block, keeping
 * every line where it is: a torn write gives old or new values, never a broken line. False: it does not fit, nothing is
 * changed. */
bool meta_update(char *block, size_t n, const struct meta_block *b);
/* The same for a single X-IMAPbase or X-IMAP line; empty keywords leave the names that are there. Numbers are padded as far as
 * there is room. */
bool meta_update_base(char *line, size_t n, uint32_t validity, uint32_t last, struct str keywords);
#endif
