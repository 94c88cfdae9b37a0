#ifndef SESSION_NOTIFY_H
#define SESSION_NOTIFY_H
#include "session/command.h"
#include "store/metadata.h"

/* NOTIFY (RFC 5465). s->notify is NULL until the command is used. */
enum notify_event {
    NOTIFY_NEW = 1, NOTIFY_EXPUNGE = 2, NOTIFY_FLAGS = 4, NOTIFY_NAME = 8, NOTIFY_SUBSCRIPTION = 16, NOTIFY_METADATA = 32,
    NOTIFY_SERVER_METADATA = 64
};
struct notify;
void notify_free(struct notify *n);
/* May this event of the selected mailbox be told? */
bool notify_selected(const struct session *s, enum notify_event event);
/* Waits for the client's next command or DONE, telling meanwhile what is to be told. As io_wait; never IO_OTHER. */
enum io_status notify_wait(struct session *s, int timeout_ms);
/* The client's own command made, removed or renamed this: it is not told of it. */
void notify_own_name(struct session *s, const char *name);
/* METADATA responses, names alone, for what is other in `now` than it was, of those that are wanted. */
void notify_metadata(struct session *s, const struct metadata *was, const struct metadata *now,
                     bool (*wanted)(const struct session *s, const char *mailbox));
/* A LIST response with the attributes that the name has now; old (may be NULL): what it was called before. */
void notify_list(struct session *s, const char *name, bool subscribed, const char *old);
/* What MessageNew asks of messages that came, from seq on. */
void notify_new_messages(struct session *s, uint32_t seq);
#endif
