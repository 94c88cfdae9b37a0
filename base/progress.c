/*
 * A progress bar on a terminal (see progress.h).
 */
#include "base/progress.h"

#include <stdio.h>
#include <unistd.h>

static double seconds(const struct timespec *from, const struct timespec *to)
{
    return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

void progress_begin(struct progress *p, uint64_t total)
{
    p->on = total > PROGRESS_LEAST && isatty(STDERR_FILENO);
    p->total = total;
    clock_gettime(CLOCK_MONOTONIC, &p->start);
    p->shown = (struct timespec){ 0 };
}

void progress_at(struct progress *p, uint64_t done)
{
    struct timespec now;
    if (!p->on || done == 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (seconds(&p->shown, &now) < 0.2)
        return;
    p->shown = now;
    const double spent = seconds(&p->start, &now), speed = (double)done / (spent > 0 ? spent : 1e-9);
    const uint64_t left = done < p->total ? p->total - done : 0;
    fprintf(stderr, "\r%3u%%  %.0f MB/s  %.0f s left \033[K", (unsigned)((double)(p->total - left) * 100 / (double)p->total),
            speed / 1e6, (double)left / speed);
}

void progress_end(struct progress *p)
{
    if (p->on)
        fputs("\r\033[K", stderr);
    p->on = false;
}
