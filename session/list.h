#ifndef SESSION_LIST_H
#define SESSION_LIST_H
#include "session/command.h"

/* LIST's patterns (RFC 3501 section 6.3.8): '*' matches anything, '%' anything but the delimiter. */
struct patterns { const char **list; size_t n; };
bool list_matches(const char *pattern, const char *name);
bool list_matches_any(const struct patterns *p, const char *name);
/* May something below this directory match? */
bool list_descend(const struct patterns *p, const char *directory);
/* Adds reference and pattern of the wire as one pattern in UTF-8; nothing if no name can match it. `to` has room. */
void list_add_pattern(struct session *s, struct patterns *to, struct str reference, struct str pattern);
/* The attributes that tell what a name is, of NAME_ bits, 0 if it does not exist. */
void list_attributes(const char *name, unsigned there, struct buf *out);
/* One more attribute; its special uses, if it has any. */
void list_add_word(struct buf *to, const char *word);
void list_add_uses(unsigned uses, struct buf *to);
#endif
