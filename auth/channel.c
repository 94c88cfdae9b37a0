/*
 * The frames between greeter and monitor. channel_parse runs as root on octets that a process which talks to the network
 * may have made up: it copies nothing, allocates nothing, and knows each field's bound from a table.
 */
#include "auth/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct shape {
    enum channel_type type;
    size_t fields;
    size_t max[CHANNEL_FIELDS];
    bool binary;                       /* NUL allowed: input, not text */
};
static const struct shape shapes[] = {
    { CHANNEL_PROXY, 2, { CHANNEL_ADDRESS_MAX, 1 }, false },
    { CHANNEL_LOGIN, 4, { CHANNEL_MECHANISM_MAX, CHANNEL_NAME_MAX, CHANNEL_NAME_MAX, CHANNEL_PASSWORD_MAX }, false },
    { CHANNEL_PENDING, 1, { CHANNEL_FRAME_MAX }, true },
    { CHANNEL_DONE, 1, { CHANNEL_TAG_MAX }, false },
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static const struct shape *shape_of(unsigned char type)
{
    for (size_t i = 0; i < SHAPES; i++)
        if ((unsigned char)shapes[i].type == type)
            return &shapes[i];
    return NULL;
}

int channel_parse(struct channel_request *r, const void *frame, size_t n)
{
    const unsigned char *p = frame, *end = p + n;
    const struct shape *s = n > 0 ? shape_of(*p++) : NULL;
    memset(r, 0, sizeof *r);
    if (s == NULL)
        return -1;
    r->type = s->type;
    for (size_t i = 0; i < s->fields; i++) {
        if (end - p < 2)
            return -1;
        const size_t len = (size_t)p[0] << 8 | p[1];
        p += 2;
        if (len > s->max[i] || len > (size_t)(end - p) || (!s->binary && memchr(p, '\0', len) != NULL))
            return -1;
        r->field[i] = (struct str){ (const char *)p, len };
        p += len;
    }
    return p == end ? 0 : -1;
}

int channel_receive(int fd, void *frame, int timeout_ms)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    const int ready = poll(&wait, 1, timeout_ms);
    if (ready <= 0)
        return -1;
    const ssize_t n = recv(fd, frame, CHANNEL_FRAME_MAX + 1, 0);
    if (n < 0)
        return errno == ECONNRESET ? 0 : -1;
    return n > CHANNEL_FRAME_MAX ? -1 : (int)n;
}

int channel_answer(int fd, enum channel_reply reply, bool flag)
{
    const unsigned char frame[2] = { (unsigned char)reply, flag ? 1 : 0 };
    return send(fd, frame, sizeof frame, MSG_NOSIGNAL) == sizeof frame ? 0 : -1;
}

static void put_field(struct buf *b, struct str s)
{
    buf_addc(b, (int)(s.n >> 8 & 0xff));
    buf_addc(b, (int)(s.n & 0xff));
    buf_add(b, s.p, s.n);
}

static void ask(int fd, struct buf *frame)
{
    const ssize_t n = write(fd, frame->data, frame->len);
    explicit_bzero(frame->data, frame->len);
    if (n != (ssize_t)frame->len)
        _exit(0);
    buf_free(frame);
}

static enum channel_reply answer(int fd, bool *flag)
{
    unsigned char frame[2];
    ssize_t n;
    do
        n = read(fd, frame, sizeof frame);
    while (n < 0 && errno == EINTR);
    if (n != sizeof frame)
        _exit(0);
    if (flag != NULL)
        *flag = frame[1] == 1;
    return (enum channel_reply)frame[0];
}

enum channel_reply channel_login(int fd, const char *mechanism, struct str authzid, struct str user, struct str password)
{
    struct buf frame = { 0 };
    if (user.n > CHANNEL_NAME_MAX)                /* the monitor has to count the attempt, and no such user exists */
        user = STR("(too long)");
    if (authzid.n > CHANNEL_NAME_MAX)
        authzid = STR("(too long)");
    if (password.n > CHANNEL_PASSWORD_MAX) {      /* no hash is of a password longer than crypt(3) takes */
        user = STR("(password too long)");
        password.n = 0;
    }
    buf_room(&frame, 2048);                       /* never moved: no copy of the password is left behind */
    buf_addc(&frame, CHANNEL_LOGIN);
    put_field(&frame, str_z(mechanism));
    put_field(&frame, authzid);
    put_field(&frame, user);
    put_field(&frame, password);
    ask(fd, &frame);
    return answer(fd, NULL);
}

bool channel_proxy(int fd, const char *address, char tls)
{
    struct buf frame = { 0 };
    bool secure;
    buf_addc(&frame, CHANNEL_PROXY);
    put_field(&frame, str_z(address));
    put_field(&frame, (struct str){ &tls, 1 });
    ask(fd, &frame);
    if (answer(fd, &secure) != CHANNEL_OK)
        _exit(0);
    return secure;
}

void channel_hand_over(int fd, struct str tag, struct str pending)
{
    struct buf frame = { 0 };
    while (pending.n > 0) {
        const size_t n = pending.n < CHANNEL_FRAME_MAX - 3 ? pending.n : CHANNEL_FRAME_MAX - 3;
        buf_addc(&frame, CHANNEL_PENDING);
        put_field(&frame, (struct str){ pending.p, n });
        ask(fd, &frame);
        pending.p += n;
        pending.n -= n;
    }
    buf_addc(&frame, CHANNEL_DONE);
    put_field(&frame, tag);
    ask(fd, &frame);
}
