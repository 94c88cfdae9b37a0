/*
 * Runs as root, until the relay is confined. The socket's directory is root's alone, the socket has mode 0700, and who connects must
 * be root: nobody else can hand a connection to the process that has the key.
 *
 * Which settings and files it was made from is told by a hash over the settings and the identity, size and times of the files; a
 * monitor sends its own with the descriptors. A relay that sees another one ends. Who makes one holds a lock on a file beside the
 * socket, and so does the relay as long as it lives.
 */
#include "auth/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sha2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/jail.h"
#include "auth/module.h"
#include "base/compat.h"
#include "base/log.h"
#include "base/pages.h"

enum { HASH = SHA256_DIGEST_LENGTH };
enum { ANSWER = 1000, TURN = 3000, PAUSE = 50 };       /* ms; many may wait for their turn, which is sooner than a relay of one's own */

/* ---- what it was made from ---------------------------------------------------------------------------------------- */

static void add_text(SHA2_CTX *h, const char *text)
{
    if (text != NULL)
        SHA256Update(h, (const uint8_t *)text, strlen(text) + 1);
    SHA256Update(h, (const uint8_t *)"\n", 1);
}

static void add_file(SHA2_CTX *h, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        memset(&st, 0, sizeof st);
    const uint64_t facts[] = { st.st_dev, st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec,
                               (uint64_t)st.st_ctim.tv_sec, (uint64_t)st.st_ctim.tv_nsec };
    SHA256Update(h, (const uint8_t *)facts, sizeof facts);
}

static void add_files(SHA2_CTX *h, const char *list)
{
    char *copy = strdup(list != NULL ? list : ""), *rest = copy, *word;
    add_text(h, list);
    while (copy != NULL && (word = strsep(&rest, " \t,")) != NULL)
        if (*word != '\0')
            add_file(h, word);
    free(copy);
}

static void identify(uint8_t hash[HASH], const struct config *c)
{
    SHA2_CTX h;
    SHA256Init(&h);
    add_files(&h, c->tls_certificate);
    add_files(&h, c->tls_key);
    add_files(&h, c->tls_ticket_key);
    add_files(&h, c->tls_client_ca);
    add_text(&h, c->tls_client_required ? "required" : "");
    add_text(&h, c->tls_client_name);
    add_text(&h, c->greeter_user);
    add_text(&h, c->greeter_root);
    add_file(&h, "/etc/ssl/openssl.cnf");
    add_file(&h, "/proc/self/exe");
    SHA256Final(hash, &h);
}

/* ---- places ------------------------------------------------------------------------------------------------------- */

/* The directory above greeter-root: root's, writable by no other. */
static bool place(const struct config *c, char *socket, char *lock, size_t room)
{
    struct stat st;
    const char *slash = strrchr(c->greeter_root, '/');
    if (slash == NULL || slash == c->greeter_root)
        return false;
    const int n = (int)(slash - c->greeter_root);
    const int a = snprintf(socket, room, "%.*s/tls.sock", n, c->greeter_root), b = snprintf(lock, room, "%.*s/tls.lock", n, c->greeter_root);
    if (a < 0 || b < 0 || (size_t)a >= room || (size_t)b >= room)
        return false;
    char dir[sizeof((struct sockaddr_un *)0)->sun_path];
    snprintf(dir, sizeof dir, "%.*s", n, c->greeter_root);
    return stat(dir, &st) == 0 && st.st_uid == 0 && (st.st_mode & 022) == 0;
}

enum { PATH_ROOM = sizeof((struct sockaddr_un *)0)->sun_path };

int warm_hand_over(const struct config *c, const int fds[WARM_FDS])
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char lock[PATH_ROOM];
    uint8_t hash[HASH];
    union { struct cmsghdr header; char room[CMSG_SPACE(WARM_FDS * sizeof(int))]; } control = { 0 };
    struct iovec part = { hash, sizeof hash };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room };
    if (c->tls_linger == 0 || !place(c, address.sun_path, lock, PATH_ROOM))
        return -1;
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    identify(hash, c);
    control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(WARM_FDS * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(&control.header), fds, WARM_FDS * sizeof(int));
    unsigned char answer = 0;
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    const bool taken = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && sendmsg(fd, &message, MSG_NOSIGNAL) == HASH &&
                       poll(&wait, 1, TURN) == 1 && recv(fd, &answer, 1, 0) == 1 && answer == 'y';
    close(fd);
    return taken ? 0 : -1;
}

/* ---- the relay ---------------------------------------------------------------------------------------------------- */

static bool from_root(int fd)
{
    struct ucred who;
    socklen_t n = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && who.uid == 0;
}

/* What a monitor hands over. False: it is not that; *same is whether the hash was ours. */
static bool take(int fd, const uint8_t *own, int fds[WARM_FDS], bool *same)
{
    uint8_t hash[HASH + 1];
    union { struct cmsghdr header; char room[CMSG_SPACE(WARM_FDS * sizeof(int))]; } control = { 0 };
    struct iovec part = { hash, sizeof hash };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room };
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    *same = true;
    if (!from_root(fd) || poll(&wait, 1, ANSWER) != 1 || recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != HASH || (message.msg_flags & MSG_CTRUNC))
        return false;
    const struct cmsghdr *h = CMSG_FIRSTHDR(&message);
    if (h == NULL || h->cmsg_type != SCM_RIGHTS || h->cmsg_len != CMSG_LEN(WARM_FDS * sizeof(int)))
        return false;
    memcpy(fds, CMSG_DATA(h), WARM_FDS * sizeof(int));
    *same = memcmp(hash, own, HASH) == 0;
    return true;
}

struct warm {
    int listener, lock;
    uint8_t own[HASH];
    const struct tls_module *tls;
    void *state;
    warm_serve *serve;
};

/* What a spare tells the warm relay when it is none any more. */
enum { TAKEN = 'y', OUT_OF_DATE = 'o' };

/* A child for one connection, made before there is one: no client waits for the fork, nor for the pages that it gets. */
static _Noreturn void connection(const struct warm *w, const int fds[WARM_FDS], int control)
{
    close(w->listener);
    close(w->lock);                                /* another relay may be made while this connection lasts */
    (void)send(control, "y", 1, MSG_NOSIGNAL);
    close(control);
    if (dup2(fds[0], STDIN_FILENO) < 0 || dup2(fds[1], STDOUT_FILENO) < 0 || jail_narrow() != 0)
        _exit(1);
    close(fds[0]);
    close(fds[1]);
    w->serve(w->tls, w->state, fds[2], fds[3]);
    _exit(0);
}

/* Waits for a monitor, or until the warm relay is gone: then nobody reads at the other end of parent. */
static int await(const struct warm *w, int parent)
{
    struct pollfd wait[] = { { .fd = w->listener, .events = POLLIN }, { .fd = parent, .events = 0 } };
    while (poll(wait, 2, -1) < 0)
        if (errno != EINTR)
            _exit(1);
    if (wait[1].revents != 0)
        _exit(0);
    return accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
}

static _Noreturn void spare(const struct warm *w, int parent)
{
    int fds[WARM_FDS];
    bool same = true;
    struct pollfd waiting = { .fd = w->listener, .events = POLLIN };
    jail_name("imapd-tls-spare");
    if (poll(&waiting, 1, 0) == 0)               /* nobody waits yet: there is time for it */
        pages_own();
    for (;;) {
        const int control = await(w, parent);
        const bool got = control >= 0 && take(control, w->own, fds, &same);
        const char word = same ? TAKEN : OUT_OF_DATE;
        if (got && write(parent, &word, 1) == 1 && same) {
            close(parent);
            connection(w, fds, control);
        }
        if (got)
            _exit(0);
        if (control >= 0)
            close(control);
    }
}

/* Makes a spare; the descriptor that its word comes from, or -1. */
static int make_spare(const struct warm *w)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    const pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        spare(w, ends[1]);
    }
    close(ends[1]);
    if (pid > 0)
        return ends[0];
    close(ends[0]);
    return -1;
}

static _Noreturn void stay(struct warm *w, const struct config *c)
{
    char err[TLS_ERROR_MAX] = "", word;
    w->tls = module_symbol("imapd-tls.so", "imapd_tls");
    w->state = w->tls != NULL ? w->tls->load(c, err) : NULL;
    if (w->state == NULL || jail_enter(c, JAIL_WARM) != 0)
        _exit(1);                                  /* the relay of the connection says why */
    w->tls->rehearse(w->state);
    const int linger = c->tls_linger < 1000000 ? (int)c->tls_linger * 1000 : 1000000000;
    if (listen(w->listener, 64) != 0)
        _exit(1);
    struct pollfd client = { .fd = w->listener, .events = POLLIN };
    for (int fd; (fd = make_spare(w)) >= 0; close(fd)) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        if (poll(&wait, 1, linger) != 1 || read(fd, &word, 1) != 1 || word != TAKEN)
            break;                                 /* its end of the pipe closes as it ends: the spare ends, too */
        (void)poll(&client, 1, PAUSE);             /* the handshake that begins now needs the processor more */
    }
    _exit(0);
}

static int bind_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const mode_t before = umask(077);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    const int failed = fd < 0 || (unlink(path) != 0 && errno != ENOENT) || bind(fd, (struct sockaddr *)&address, sizeof address) != 0;
    (void)umask(before);
    if (!failed)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The connection of the client is none of its business, nor are other descriptors of the monitor, but for the log. */
static void let_go_of_connection(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (null >= 0)
            (void)dup2(null, fd);
    log_close();                       /* before another descriptor has its number */
    (void)close_range(STDERR_FILENO + 1, ~0u, 0);
    log_open();
}

void warm_start(const struct config *c, warm_serve *serve)
{
    char socket[PATH_ROOM], path[PATH_ROOM];
    if (c->tls_linger == 0 || !place(c, socket, path, PATH_ROOM))
        return;
    const pid_t first = fork();
    if (first > 0)
        while (waitpid(first, NULL, 0) < 0 && errno == EINTR)
            continue;
    if (first != 0)
        return;
    if (fork() != 0)
        _exit(0);                                  /* its parent is init: it outlives the connection, and no keeper waits for it */
    let_go_of_connection();
    (void)signal(SIGCHLD, SIG_IGN);
    struct warm w = { .lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), .serve = serve };
    if (w.lock < 0 || flock(w.lock, LOCK_EX | LOCK_NB) != 0)
        _exit(0);
    identify(w.own, c);
    w.listener = bind_to(socket);
    if (w.listener < 0)
        _exit(1);
    stay(&w, c);
}
