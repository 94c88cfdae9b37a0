/*
 * A journal that somebody made, with checksums that hold, against any mailbox: it is finished or refused, in bounded time, the
 * file never grows, and afterwards nothing is pending. Guards are made to fit where the first octet says so, so that the
 * rest is reached.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/mbox_journal.h"

enum { FIELDS = 20, MAIL = 1 << 14 };

static uint64_t take(const uint8_t **p, const uint8_t *end)
{
    uint16_t v = 0;
    if (end - *p >= 2)
        memcpy(&v, *p, 2);
    *p = end - *p >= 2 ? *p + 2 : end;
    return v == 0xffff ? UINT64_MAX - 3 : v;
}

static void fill(struct journal_slot *s, int fd, unsigned fit, uint64_t size, const uint8_t **p, const uint8_t *end)
{
    s->state = 1 + take(p, end) % JOURNAL_COLLAPSE;
    s->gap_start = take(p, end);
    s->gap_end = take(p, end);
    s->size = fit & 2 ? size : take(p, end);
    s->left = (struct journal_guard){ take(p, end), take(p, end) % 300, take(p, end) };
    s->right = (struct journal_guard){ take(p, end), take(p, end) % 300, take(p, end) };
    if (fit & 1) {
        if (journal_guard_again(fd, &s->left) != 0)
            s->left = (struct journal_guard){ 0, 0, 0 };
        if (journal_guard_again(fd, &s->right) != 0)
            s->right = (struct journal_guard){ 0, 0, 0 };
    }
    s->to_at = take(p, end);
    s->to_size = take(p, end);
    s->to_first = take(p, end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *p = data + 1, *end = data + size;
    struct store_error e;
    struct journal_slot s = { .from_name = "a", .to_name = "a" };
    struct journal_piece pieces[4];
    struct mbox_edit edits[4];
    struct stat st;
    char octets[64 * 4], mail[MAIL];
    bool refused = false;
    if (size < 2 * FIELDS || size > 1 << 12)
        return 0;
    const int fd = memfd_create("mail", MFD_CLOEXEC);
    struct mbox_journal *j = mbox_journal_memory();
    const size_t n = take(&p, end) % MAIL;
    memset(mail, 0, sizeof mail);
    for (size_t i = 0; i < n; i++)
        mail[i] = (char)data[1 + i % (size - 1)];
    if (fd < 0 || write(fd, mail, n) != (ssize_t)n || journal_begin(j, &e) != 0 || journal_name(&s, fd, &e) != 0)
        abort();
    fill(&s, fd, data[0], n, &p, end);
    s.to_inode = s.inode;
    const size_t count = take(&p, end) % 5, list = take(&p, end) % 5;
    memset(octets, 'x', sizeof octets);
    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct journal_piece){ take(&p, end), take(&p, end) % 64 };
    for (size_t i = 0; i < list; i++)
        edits[i] = (struct mbox_edit){ take(&p, end), take(&p, end), octets, take(&p, end) % 64 };
    const uint64_t done = take(&p, end) % 6;
    if (list > 0)
        journal_put_list(j, &s, edits, list);
    s.done = done;
    if (journal_put(j, &s, pieces, count, octets, &e) != 0)
        abort();
    journal_leave(j);
    int rc = 0;
    if (mbox_journal_pending(j, fd) == MBOX_PENDING_MOVE)
        rc = mbox_move_recover(j, fd, fd, &refused, &e);
    else if (mbox_journal_pending(j, fd) == MBOX_PENDING_REWRITE)
        rc = mbox_journal_recover(j, fd, &refused, &e);
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size > n + sizeof octets)
        abort();
    if (rc == 0 && mbox_journal_pending(j, fd) != MBOX_PENDING_NONE)
        abort();
    mbox_journal_close(j);
    close(fd);
    return 0;
}
