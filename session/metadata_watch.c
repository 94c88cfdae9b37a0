/*
 * ENABLE METADATA (RFC 5464 section 4.4): the client is told which annotations others have changed. What it may know is kept; when
 * the file is another one, it is read, and the differences are told.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xmalloc.h"
#include "session/metadata.h"
#include "session/notify.h"

struct metadata_watch {
    struct arena *arena;             /* of metadata */
    struct metadata metadata;        /* as the client may know it */
    struct metadata_stamp stamp;     /* of the file that it was read from */
};

/* Reads what is there now into *out. False: it cannot be read now. */
static bool look(struct session *s, struct metadata_watch *out)
{
    *out = (struct metadata_watch){ .arena = arena_new() };
    metadata_stamp(store_names(s->store), &out->stamp);          /* before it is read: a change meanwhile is looked at again */
    if (metadata_load(store_names(s->store), out->arena, &out->metadata, NULL) == 0)
        return true;
    arena_free(out->arena);
    return false;
}

void metadata_watch_begin(struct session *s)
{
    struct metadata_watch now;
    if (s->metadata_watch != NULL || !look(s, &now))
        return;
    s->metadata_watch = xmalloc(sizeof *s->metadata_watch);
    *s->metadata_watch = now;
}

/* Of a mailbox that is gone nothing is told: its annotations went with it. */
static bool is_there(const struct session *s, const char *mailbox)
{
    struct mailbox_name name;
    return mailbox[0] == 0 || (names_parse(store_names(s->store), str_z(mailbox), &name, NULL, NULL) == 0
                               && names_look(store_names(s->store), &name, NULL) != 0);
}

static void catch_up(struct session *s, bool tell)
{
    struct metadata_watch *const w = s->metadata_watch, now;
    struct metadata_stamp stamp;
    if (w == NULL)
        return;
    metadata_stamp(store_names(s->store), &stamp);
    if (memcmp(&stamp, &w->stamp, sizeof stamp) == 0 || !look(s, &now))
        return;
    if (tell && s->notify == NULL)               /* else the client has said in NOTIFY what it wants to be told */
        notify_metadata(s, &w->metadata, &now.metadata, is_there);
    arena_free(w->arena);
    *w = now;
}

void metadata_watch_tell(struct session *s)
{
    catch_up(s, true);
}

void metadata_watch_own(struct session *s)
{
    catch_up(s, false);
}

void metadata_watch_free(struct metadata_watch *w)
{
    if (w == NULL)
        return;
    arena_free(w->arena);
    free(w);
}
