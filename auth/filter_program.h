#ifndef AUTH_FILTER_PROGRAM_H
#define AUTH_FILTER_PROGRAM_H
#include <stddef.h>
#include <stdint.h>

#include <linux/filter.h>

/* Makes a seccomp(2) filter of lists of system calls. Of the rows of one call the first that holds decides. Numbers are searched
 * by halves: the kernel runs the program once for every call that there is when it is installed, and again for each call with a condition. */
enum filter_condition {
    ALWAYS,                     /* allowed */
    EQUALS,                     /* allowed if the argument equals value */
    LACKS,                      /* allowed if it has none of the bits of value */
    LACKS_ONE,                  /* allowed if it has not all of them */
    REFUSE,                     /* errno value, or EPERM if that is 0, instead of the call */
    KILL                        /* the process ends */
};
/* Arguments count from 0; their low 32 bits are looked at (flags and modes have no more). */
struct filter_row {
    int call;
    enum filter_condition condition;
    unsigned argument;
    uint32_t value;
};

enum { FILTER_CALLS = 512, FILTER_ROWS = 256, FILTER_CODE = 512 };
struct filter_program {
    struct filter_row rows[FILTER_ROWS];
    uint16_t next[FILTER_ROWS], first[FILTER_CALLS];   /* of one call, numbers of rows from 1 on; 0: no more */
    unsigned n;
    struct sock_filter code[FILTER_CODE];
    unsigned short length;
};

void filter_begin(struct filter_program *p);
/* A row too many, or of a number that is none, makes filter_finish fail. */
void filter_add(struct filter_program *p, const struct filter_row *rows, size_t n);
/* Makes code and length. otherwise: what a call gets that is on no list, SECCOMP_RET_...; calls of another architecture than arch
 * (AUDIT_ARCH_...) end the process. 0, or -1 (errno is E2BIG): too long. */
int filter_finish(struct filter_program *p, uint32_t arch, uint32_t otherwise);
#endif
