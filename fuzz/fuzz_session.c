/*
 * A whole session: the octets are what a client sends that has logged in, to mailboxes that are the same each time. The first
 * octet chooses what was said before: whether INBOX (UIDVALIDITY 7) is selected, what is enabled. Whatever is said, the
 * session ends with its input, no descriptor is left open, and nothing is made outside the user's home.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session/session.h"

enum { NOBODY = 65534, MOST = 1 << 14 };

struct place {
    char top[64], home[80], inbox[80];
};

static const char mail[] =
    "From a@example.org Thu Jan  1 00:00:00 2026\nFrom: =?utf-8?q?J=C3=BC?= <a@example.org>, g: b@x, c@x;\nTo: b@example.org\n"
    "Subject: number 1\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nMessage-ID: <1@x>\nX-IMAPbase: 7 9\nX-UID: 2\n"
    "Status: RO\nX-Status: F\nX-Keywords: one two\n"
    "\nText\n\n"
    "From a@example.org Thu Jan  1 00:00:01 2026\nFrom: b@example.org\nSubject: Re: number 1\nMessage-ID: <2@x>\nX-UID: 5\n"
    "In-Reply-To: <1@x>\nReferences: <1@x>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
    "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\n"
    "--b\nContent-Type: application/octet-stream; name=\"a.bin\"\nContent-Transfer-Encoding: base64\n"
    "Content-Disposition: attachment; filename=a.bin\n\nSGVsbG8AIQ==\n"
    "--b\nContent-Type: message/rfc822\n\nSubject: inside\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nText\n--c--\n--b--\n\n"
    "From a@example.org Thu Jan  1 00:00:02 2026\nSubject: number 3\nX-UID: 9\n\n>From here\n\xff\xfe\n\n";

static void write_file(const char *path, const char *text, size_t n)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        abort();
    close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* A directory that is made once. Root's powers are put aside: the commands may be those of any client. */
static struct place *the_place(void)
{
    static struct place place;
    if (place.top[0] == 0) {
        snprintf(place.top, sizeof place.top, "%s/imapd-fuzz.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (mkdtemp(place.top) == NULL)
            abort();
        snprintf(place.home, sizeof place.home, "%s/home", place.top);
        snprintf(place.inbox, sizeof place.inbox, "%s/inbox", place.top);
        if (geteuid() == 0 && chown(place.top, NOBODY, NOBODY) != 0)
            abort();
    }
    return &place;
}

/* home and inbox as they are at the start of every session. */
static void furnish(const struct place *p)
{
    char path[128];
    if (mkdir(p->home, 0700) != 0)
        abort();
    write_file(p->inbox, mail, sizeof mail - 1);
    snprintf(path, sizeof path, "%s/work", p->home);
    write_file(path, mail, sizeof mail - 1);
    snprintf(path, sizeof path, "%s/empty", p->home);
    write_file(path, "", 0);
    snprintf(path, sizeof path, "%s/folder", p->home);
    if (mkdir(path, 0700) != 0)
        abort();
    snprintf(path, sizeof path, "%s/folder/Sent", p->home);
    write_file(path, mail, 0);
}

/* Only home and inbox are there, and what belongs to inbox. Then nothing. */
static void clear(const struct place *p)
{
    DIR *d = opendir(p->top);
    char path[400];
    if (d == NULL)
        abort();
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.' && (e->d_name[1] == 0 || (e->d_name[1] == '.' && e->d_name[2] == 0)))
            continue;
        if (strcmp(e->d_name, "home") != 0 && strstr(e->d_name, "inbox") == NULL)
            abort();
        snprintf(path, sizeof path, "%s/%s", p->top, e->d_name);
        if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
            abort();
    }
    closedir(d);
}

static void before(struct buf *out, unsigned choice)
{
    static const char *const enable[] = { "", "a ENABLE CONDSTORE\n", "a ENABLE QRESYNC\n", "a ENABLE IMAP4rev2 UTF8=ACCEPT\n",
                                          "a ENABLE UIDONLY\n", "a ENABLE QRESYNC IMAP4rev2 UTF8=ACCEPT\n" };
    buf_puts(out, enable[choice / 4 % (sizeof enable / sizeof *enable)]);
    if (choice % 4 == 1)
        buf_puts(out, "b SELECT INBOX\n");
    else if (choice % 4 == 2)
        buf_puts(out, "b EXAMINE work\n");
}

static void session(const struct place *p, const uint8_t *data, size_t size)
{
    const struct config config = { .line_limit = 65536, .literal_limit = 1 << 20, .append_limit = 1 << 20, .login_timeout = 5,
                                   .idle_timeout = 5, .lock_timeout = 1, .list_depth = 8, .list_count = 1000, .seal_limit = 1 << 20,
                                   .durable_flags = size % 2 == 0, .hostname = (char[]){ "host" } };
    const struct store_settings settings = { .user = "user", .home = p->home, .inbox_path = p->inbox, .mail_root = "",
                                             .index_dir = "/dev/null/none", .lock_timeout = 1, .seal_limit = 1 << 20,
                                             .durable_flags = config.durable_flags, .list_depth = 8, .list_count = 1000, .locker_fd = -1 };
    struct store *store;
    struct store_error e;
    struct buf pending = { 0 };
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0 || store_open(&store, &settings, NULL, &e) != 0)
        abort();
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0 || write(pair[1], data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    close(pair[1]);
    before(&pending, data[0]);
    const struct session_settings s = { .config = &config, .store = store, .user = "user", .login_tag = STR("t"),
                                        .pending = buf_str(&pending), .in = pair[0], .out = null };
    if (session_run(&s) != 0)
        abort();
    store_close(store);
    close(pair[0]);
    close(null);
    buf_free(&pending);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct place *p = the_place();
    const uid_t was = geteuid();
    if (size < 2 || size > MOST)
        return 0;
    if (was == 0 && (setegid(NOBODY) != 0 || seteuid(NOBODY) != 0))
        abort();
    const int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(lowest);
    furnish(p);
    session(p, data, size);
    clear(p);
    const int now = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(now);
    if (was == 0 && (seteuid(0) != 0 || setegid(0) != 0))
        abort();
    if (now != lowest)
        abort();
    return 0;
}

/* At the end of the process nothing is left. */
__attribute__((destructor)) static void tidy(void)
{
    rmdir(the_place()->top);
}
