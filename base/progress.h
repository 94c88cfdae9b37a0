#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* A line on a terminal's stderr about long work: what is done, a bar, percent, MB/s, time left. Nothing where stderr is no terminal; of work of
 * at most PROGRESS_LEAST octets only once it has taken PROGRESS_SOON ms. */
#define PROGRESS_LEAST ((uint64_t)64 << 20)
#define PROGRESS_SOON 1000
struct progress {
    const char *what;                  /* a word: "checking" */
    bool on, expected;
    uint64_t total;
    struct timespec start, shown;
};
void progress_begin(struct progress *p, const char *what, uint64_t total);
void progress_at(struct progress *p, uint64_t done);      /* cheap: writes at most five times a second */
void progress_clear(struct progress *p);                  /* removes the line, for other output, until the next progress_at */
void progress_end(struct progress *p);                    /* removes the line */

/* Work that tells itself how much it is, as a store does (store_on_progress): between progress_expect and progress_end it is shown. */
void progress_expect(struct progress *p, const char *what);
void progress_told(void *progress, uint64_t done, uint64_t total);
#endif
