/*
 * Neighbouring numbers with the same answer are one segment. The program: is it this architecture; a tree of comparisons that
 * finds the segment; behind it the answers, and the tests of arguments, each of one call.
 */
#include "auth/filter_program.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { LOW_WORD = 0 };
#else
enum { LOW_WORD = 4 };
#endif

struct segment {
    uint32_t from;                     /* to where the next one begins */
    uint32_t answer;                   /* if row is 0 */
    uint16_t row;                      /* the first one of a call whose arguments are looked at */
};

void filter_begin(struct filter_program *p)
{
    memset(p->first, 0, sizeof p->first);
    p->n = 0;
}

void filter_add(struct filter_program *p, const struct filter_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].call < 0 || rows[i].call >= FILTER_CALLS || p->n >= FILTER_ROWS) {
            p->n = FILTER_ROWS + 1;
            return;
        }
        uint16_t *last = &p->first[rows[i].call];
        while (*last != 0)
            last = &p->next[*last - 1];
        p->rows[p->n] = rows[i];
        p->next[p->n] = 0;
        *last = (uint16_t)++p->n;
    }
}

/* What a row says whatever the arguments are: true. */
static bool settles(const struct filter_row *r, uint32_t *answer)
{
    switch (r->condition) {
    case ALWAYS:
        *answer = SECCOMP_RET_ALLOW;
        return true;
    case REFUSE:
        *answer = SECCOMP_RET_ERRNO | (r->value != 0 ? r->value : EPERM);
        return true;
    case KILL:
        *answer = SECCOMP_RET_KILL_PROCESS;
        return true;
    case EQUALS:
    case LACKS:
    case LACKS_ONE:
        break;
    }
    return false;
}

/* A condition can only allow: where all without one are allowed none has to be looked at. */
static struct segment of_call(const struct filter_program *p, uint32_t call, uint32_t otherwise)
{
    struct segment s = { call, otherwise, 0 };
    bool conditions = false;
    for (uint16_t i = p->first[call]; i != 0; i = p->next[i - 1]) {
        if (settles(&p->rows[i - 1], &s.answer))
            break;
        conditions = true;
    }
    if (conditions && s.answer != SECCOMP_RET_ALLOW)
        s.row = p->first[call];
    return s;
}

static void put(struct filter_program *p, struct sock_filter instruction)
{
    if (p->length < FILTER_CODE)
        p->code[p->length++] = instruction;
}

static void put_load(struct filter_program *p, size_t offset)
{
    put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void put_answer(struct filter_program *p, uint32_t answer)
{
    put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, answer));
}

/* Allows where the row's condition holds, else goes on behind itself. */
static void put_condition(struct filter_program *p, const struct filter_row *r)
{
    put_load(p, offsetof(struct seccomp_data, args) + 8 * r->argument + LOW_WORD);
    if (r->condition == LACKS_ONE)
        put(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, r->value));
    if (r->condition == LACKS)
        put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, r->value, 1, 0));
    else if (r->condition == LACKS_ONE)
        put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, r->value, 1, 0));
    else
        put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, r->value, 0, 1));
    put_answer(p, SECCOMP_RET_ALLOW);
}

/* The tests of a call's arguments, then what it gets if none allowed it. */
static void put_call(struct filter_program *p, uint16_t row, uint32_t answer)
{
    for (uint16_t i = row; i != 0 && !settles(&p->rows[i - 1], &answer); i = p->next[i - 1])
        put_condition(p, &p->rows[i - 1]);
    put_answer(p, answer);
}

/* A jump to the place behind the last instruction. False: it is too far. */
static bool jump_here(struct filter_program *p, unsigned from, bool when_true)
{
    const unsigned over = p->length - from - 1;
    if (p->length >= FILTER_CODE || over > UINT8_MAX)
        return false;
    *(when_true ? &p->code[from].jt : &p->code[from].jf) = (uint8_t)over;
    return true;
}

/* A tree with its comparisons alone; out of each segment goes a jump, `from` it, to what is put behind the tree. */
struct leaf {
    unsigned from;
    bool when_true;
};

static bool put_tree(struct filter_program *p, const struct segment *s, struct leaf *leaves, size_t n)
{
    const size_t half = n / 2;
    const unsigned at = p->length;
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, s[half].from, 0, 0));
    leaves[0] = (struct leaf){ at, false };            /* of one segment, unless there are more */
    leaves[half] = (struct leaf){ at, true };
    if (half > 1 && !put_tree(p, s, leaves, half))
        return false;
    return n - half == 1 || (jump_here(p, at, true) && put_tree(p, s + half, leaves + half, n - half));
}

/* Answers that many segments have are put once. */
static bool put_leaves(struct filter_program *p, const struct segment *s, const struct leaf *leaves, size_t n, uint32_t otherwise)
{
    bool done[FILTER_CALLS + 1] = { false };
    for (size_t i = 0; i < n; i++) {
        if (done[i])
            continue;
        for (size_t j = i; j < n; j++) {
            if (j != i && (s[i].row != 0 || s[j].row != 0 || s[j].answer != s[i].answer))
                continue;
            done[j] = true;
            if (!jump_here(p, leaves[j].from, leaves[j].when_true))
                return false;
        }
        if (s[i].row != 0)
            put_call(p, s[i].row, otherwise);
        else
            put_answer(p, s[i].answer);
    }
    return p->length < FILTER_CODE;
}

static size_t find_segments(const struct filter_program *p, struct segment *s, uint32_t otherwise)
{
    size_t n = 0;
    for (uint32_t call = 0; call <= FILTER_CALLS; call++) {
        const struct segment one = call < FILTER_CALLS ? of_call(p, call, otherwise) : (struct segment){ call, otherwise, 0 };
        if (n == 0 || one.row != 0 || s[n - 1].row != 0 || s[n - 1].answer != one.answer)
            s[n++] = one;
    }
    return n;
}

/* A number of another kind (x32 has bit 30 set) is in the last segment, which is on no list. */
int filter_finish(struct filter_program *p, uint32_t arch, uint32_t otherwise)
{
    struct segment s[FILTER_CALLS + 1];
    struct leaf leaves[FILTER_CALLS + 1];
    const size_t n = p->n <= FILTER_ROWS ? find_segments(p, s, otherwise) : 0;
    p->length = 0;
    put_load(p, offsetof(struct seccomp_data, arch));
    put(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 1, 0));
    put_answer(p, SECCOMP_RET_KILL_PROCESS);
    put_load(p, offsetof(struct seccomp_data, nr));
    if (n > 1 && put_tree(p, s, leaves, n) && put_leaves(p, s, leaves, n, otherwise))
        return 0;
    errno = E2BIG;
    return -1;
}
