/*
 * A sequence lock: the writer makes the number odd, writes, makes it even. A reader takes a copy between two looks at the number; it
 * has one whole if both are the same and even. The writer never waits.
 */
#include "base/slot.h"

#include <string.h>
#include <unistd.h>

static void begin(struct slot *s)
{
    __atomic_store_n(&s->sequence, s->sequence | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end(struct slot *s)
{
    __atomic_store_n(&s->sequence, (s->sequence | 1) + 1, __ATOMIC_RELEASE);
}

static void put(char *to, size_t size, const char *text)
{
    const size_t n = strnlen(text, size - 1);
    memcpy(to, text, n);
    to[n] = '\0';
}

static void put_counts(struct slot *s, const struct slot_counts *c)
{
    s->commands = c->commands;
    s->octets_in = c->octets_in;
    s->octets_out = c->octets_out;
    s->fetched = c->fetched;
    s->appended = c->appended;
}

void slot_command(struct slot *s, const char *command, int64_t now_ms, const struct slot_counts *counts)
{
    if (s == NULL)
        return;
    begin(s);
    put(s->command, sizeof s->command, command);
    s->since = now_ms;
    put_counts(s, counts);
    end(s);
}

void slot_mailbox(struct slot *s, const char *mailbox)
{
    if (s == NULL)
        return;
    begin(s);
    put(s->mailbox, sizeof s->mailbox, mailbox);
    end(s);
}

void slot_tell(struct slot *s, const struct slot_counts *counts)
{
    if (s == NULL)
        return;
    begin(s);
    put_counts(s, counts);
    end(s);
}

/* The length of the UTF-8 sequence at p (RFC 3629), which ends at a NUL at the latest; 0: there is none. */
static size_t sequence_at(const unsigned char *p)
{
    const size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
        return 0;
    return n;
}

void slot_clean(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (char *p = text; *p != '\0';) {
        const size_t n = sequence_at((const unsigned char *)p);
        if (n == 0)
            *p = '?';
        p += n == 0 ? 1 : n;
    }
}

/* The number is read by itself, before and after: in what order the octets of one copy are taken is not said. */
bool slot_read(int fd, int64_t offset, struct slot *out)
{
    enum { TRIES = 100 };
    for (int i = 0; i < TRIES; i++) {
        uint32_t before, after;
        if (pread(fd, &before, sizeof before, offset) != sizeof before)
            return false;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (pread(fd, out, sizeof *out, offset) != sizeof *out)
            return false;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (pread(fd, &after, sizeof after, offset) != sizeof after)
            return false;
        if (before == after && (after & 1) == 0) {
            slot_clean(out->command, sizeof out->command);
            slot_clean(out->mailbox, sizeof out->mailbox);
            return true;
        }
    }
    out->command[0] = out->mailbox[0] = '\0';
    return true;
}
