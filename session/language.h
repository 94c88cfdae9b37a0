#ifndef SESSION_LANGUAGE_H
#define SESSION_LANGUAGE_H
#include <stdbool.h>
#include "base/buf.h"

/* The languages of the text that people read (RFC 5255 section 3). DEFAULT is i-default: English, and ASCII only. */
enum language { LANGUAGE_DEFAULT, LANGUAGE_EN, LANGUAGE_DE, LANGUAGES };
const char *language_tag(enum language language);
/* The language of a tag as language_tag gives it, any case; DEFAULT if there is none. */
enum language language_of_tag(struct str tag);
/* Lookup (RFC 4647 section 3.4) of one range in our languages; preferred: what "default" stands for. False: none of them. */
bool language_lookup(struct str range, enum language preferred, enum language *out);
/* Is it a language-range of RFC 4647 (or "*", or "default")? */
bool language_is_range(struct str range);
/* Appends text, a line of English as say() makes it, in the language: what has no translation stays as it is. Control
 * characters become '?', as do octets that are no UTF-8, and all that is not ASCII where only that may be told. */
void language_text(struct buf *out, enum language language, const char *text);

/* English and its translation. "%s" stands for anything, and for the same thing in both, in the same order. The first row that
 * fits is taken. Ends with NULL. */
struct translation { const char *english, *other; };
extern const struct translation language_german[];
#endif
