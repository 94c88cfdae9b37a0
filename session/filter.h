#ifndef SESSION_FILTER_H
#define SESSION_FILTER_H
#include "session/command.h"

/* filter-mailboxes of NOTIFY (RFC 5465 section 6) and ESEARCH (RFC 7377 section 2.2): which mailboxes are meant. */
enum filter_kind {
    FILTER_SELECTED, FILTER_DELAYED, FILTER_INBOXES, FILTER_PERSONAL, FILTER_SUBSCRIBED, FILTER_SUBTREE, FILTER_SUBTREE_ONE,
    FILTER_MAILBOXES
};
struct mailbox_filter {
    enum filter_kind kind;
    struct str *wire; size_t n;          /* SUBTREE, SUBTREE_ONE, MAILBOXES: names as they came, in the arena */
};
bool parse_filter(struct session *s, struct parse *p, struct mailbox_filter *out);
/* Calls each with every mailbox (no directory) of a filter other than SELECTED and DELAYED that is there, in order of name; names
 * that cannot be are passed over. Stops when each returns non-zero. 0 or -1. */
int filter_each(struct session *s, const struct mailbox_filter *f, int (*each)(void *ctx, const char *name), void *ctx,
                struct store_error *e);
#endif
