/*
 * The frames between greeter and monitor. channel_parse runs as root on octets that a process which talks to the network
 * may have made up: it copies nothing, allocates nothing, and knows each field's bound from a table.
 */
#include "auth/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct shape {
    enum channel_type type;
    size_t fields;
    size_t max[CHANNEL_FIELDS];
    unsigned binary;                   /* a bit for each field in which NUL is allowed: no text */
};
static const struct shape shapes[] = {
    { CHANNEL_PROXY, 2, { CHANNEL_ADDRESS_MAX, 1 }, 0 },
    { CHANNEL_LOGIN, 4, { CHANNEL_MECHANISM_MAX, CHANNEL_NAME_MAX, CHANNEL_NAME_MAX, CHANNEL_PASSWORD_MAX }, 0 },
    { CHANNEL_EXTERNAL, 1, { CHANNEL_NAME_MAX }, 0 },
    { CHANNEL_ANONYMOUS, 1, { CHANNEL_NAME_MAX }, 0 },
    { CHANNEL_SCRAM, 5, { CHANNEL_MECHANISM_MAX, CHANNEL_SCRAM_MAX, CHANNEL_NAME_MAX, CHANNEL_NAME_MAX, CHANNEL_SCRAM_MAX }, 0 },
    { CHANNEL_PROOF, 1, { CHANNEL_PROOF_MAX }, 1 },
    { CHANNEL_CLAIM, 0, { 0 }, 0 },
    { CHANNEL_MECHANISM, 2, { CHANNEL_MECHANISM_MAX, CHANNEL_DATA_MAX }, 2 },
    { CHANNEL_STEP, 1, { CHANNEL_DATA_MAX }, 1 },
    { CHANNEL_STARTTLS, 0, { 0 }, 0 },
    { CHANNEL_PENDING, 1, { CHANNEL_FRAME_MAX }, 1 },
    { CHANNEL_DONE, 1, { CHANNEL_TAG_MAX }, 0 },
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
        if (len > s->max[i] || len > (size_t)(end - p) || ((s->binary >> i & 1) == 0 && memchr(p, '\0', len) != NULL))
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

int channel_answer(int fd, enum channel_reply reply, bool flag, struct str text)
{
    unsigned char head[2] = { (unsigned char)reply, flag ? 1 : 0 };
    struct iovec parts[2] = { { head, sizeof head }, { (void *)(uintptr_t)text.p, text.n } };
    const struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    return sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)(sizeof head + text.n) ? 0 : -1;
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

static enum channel_reply answer(int fd, bool *flag, struct buf *text)
{
    unsigned char frame[CHANNEL_FRAME_MAX];
    ssize_t n;
    do
        n = read(fd, frame, sizeof frame);
    while (n < 0 && errno == EINTR);
    if (n < 2)
        _exit(0);
    if (flag != NULL)
        *flag = frame[1] == 1;
    if (text != NULL)
        buf_add(text, frame + 2, (size_t)n - 2);
    return (enum channel_reply)frame[0];
}

enum channel_reply channel_ask(int fd, enum channel_type type, const struct str *fields, size_t n, struct buf *text)
{
    const struct shape *s = shape_of((unsigned char)type);
    struct buf frame = { 0 };
    buf_room(&frame, CHANNEL_FRAME_MAX);          /* never moved: no copy of a secret is left behind */
    buf_addc(&frame, (int)type);
    for (size_t i = 0; i < n; i++)
        put_field(&frame, fields[i].n <= s->max[i] ? fields[i] : STR("(too long)"));
    ask(fd, &frame);
    return answer(fd, NULL, text);
}

enum channel_reply channel_login(int fd, const char *mechanism, struct str authzid, struct str user, struct str password)
{
    if (user.n > CHANNEL_NAME_MAX)                /* the monitor has to count the attempt, and no such user exists */
        user = STR("(too long)");
    if (password.n > CHANNEL_PASSWORD_MAX) {      /* no hash is of a password longer than crypt(3) takes */
        user = STR("(password too long)");
        password.n = 0;
    }
    const struct str fields[] = { str_z(mechanism), authzid, user, password };
    return channel_ask(fd, CHANNEL_LOGIN, fields, sizeof fields / sizeof *fields, NULL);
}

bool channel_proxy(int fd, const char *address, char tls)
{
    struct buf frame = { 0 };
    bool secure;
    buf_addc(&frame, CHANNEL_PROXY);
    put_field(&frame, str_z(address));
    put_field(&frame, (struct str){ &tls, 1 });
    ask(fd, &frame);
    if (answer(fd, &secure, NULL) != CHANNEL_OK)
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
