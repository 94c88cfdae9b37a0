/*
 * Watching all of a user's mail for changes (inotify), for NOTIFY: the directories, whose files' changes are told through them,
 * the file of INBOX, the directory of the subscriptions, and the index, through which other sessions change flags.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "store/mailbox_private.h"
#include "store/names_private.h"

enum { WATCHES = 1000 };             /* directories */

struct watching { struct names *names; int inotify; unsigned n; };

static void watch_fd(int inotify, int fd, const char *below, uint32_t events)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/self/fd/%d%s", fd, below);
    inotify_add_watch(inotify, path, events);
}

static const uint32_t directory_events = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB;

static void watch_directory(struct watching *w, const char *name)
{
    const int fd = names_beneath(w->names, name, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return;
    watch_fd(w->inotify, fd, "", directory_events);
    close(fd);
    w->n++;
}

static int on_name(void *ctx, const char *name, unsigned attributes)
{
    struct watching *w = ctx;
    if (attributes & NAME_DIRECTORY)
        watch_directory(w, name);
    return w->n >= WATCHES;
}

int store_watch_all(struct store *s, int inotify)
{
    struct watching w = { .names = s->names, .inotify = inotify };
    if (inotify < 0 && (inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) < 0)
        return -1;
    w.inotify = inotify;
    watch_directory(&w, "");
    inotify_add_watch(inotify, s->settings->home, directory_events);
    inotify_add_watch(inotify, s->settings->inbox_path, IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF);
    if (s->index_dirfd >= 0)
        watch_fd(inotify, s->index_dirfd, "/data.mdb", IN_MODIFY);
    names_list(s->names, NULL, on_name, &w, NULL, NULL);
    return inotify;
}

void store_watch_clear(int inotify)
{
    char events[8192];
    while (read(inotify, events, sizeof events) > 0)
        continue;
}
