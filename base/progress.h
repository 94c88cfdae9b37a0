#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* A line on a terminal's stderr about long work: percent, MB/s, time left. Nothing where stderr is no terminal or the work
 * is at most PROGRESS_LEAST octets. */
#define PROGRESS_LEAST ((uint64_t)64 << 20)
struct progress {
    bool on;
    uint64_t total;
    struct timespec start, shown;
};
void progress_begin(struct progress *p, uint64_t total);
void progress_at(struct progress *p, uint64_t done);      /* cheap: writes at most five times a second */
void progress_end(struct progress *p);                    /* removes the line */
#endif
