/*
 * A progress bar on a terminal (see progress.h).
 */
#include "base/progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static double seconds(const struct timespec *from, const struct timespec *to)
{
    return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

void progress_begin(struct progress *p, const char *what, uint64_t total)
{
    *p = (struct progress){ .what = what, .on = total > 0 && isatty(STDERR_FILENO), .total = total };
    clock_gettime(CLOCK_MONOTONIC, &p->start);
}

/* How many cells the bar may have beside the words; 0: none. */
static int bar_width(void)
{
    enum { WORDS = 50, WIDEST = 30, NARROWEST = 5, USUAL = 80 };
    struct winsize size;
    const int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : USUAL;
    const int room = columns - WORDS;
    return room < NARROWEST ? 0 : room < WIDEST ? room : WIDEST;
}

static void time_left(char *out, size_t size, double left)
{
    const unsigned long s = left < 1e6 ? (unsigned long)left : 1000000;
    if (s < 60)
        snprintf(out, size, "%lu s", s);
    else if (s < 3600)
        snprintf(out, size, "%lu min %lu s", s / 60, s % 60);
    else
        snprintf(out, size, "%lu h %lu min", s / 3600, s / 60 % 60);
}

void progress_at(struct progress *p, uint64_t done)
{
    static const char full[] = "##############################", empty[] = "..............................";
    struct timespec now;
    char left[40];
    if (!p->on || done == 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const double spent = seconds(&p->start, &now);
    if (seconds(&p->shown, &now) < 0.2 || (p->total <= PROGRESS_LEAST && spent * 1000 < PROGRESS_SOON))
        return;
    p->shown = now;
    if (done > p->total)
        done = p->total;
    const double speed = (double)done / (spent > 0 ? spent : 1e-9), part = (double)done / (double)p->total;
    const int width = bar_width(), filled = (int)(part * width);
    time_left(left, sizeof left, (double)(p->total - done) / speed);
    fprintf(stderr, "\r%s ", p->what);
    if (width > 0)
        fprintf(stderr, "[%.*s%.*s] ", filled, full, width - filled, empty);
    fprintf(stderr, "%3u%%  %.*f MB/s  %s left \033[K", (unsigned)(part * 100), speed < 1e7, speed / 1e6, left);
}

void progress_clear(struct progress *p)
{
    if (p->on && p->shown.tv_sec != 0)
        fputs("\r\033[K", stderr);
    p->shown = (struct timespec){ 0 };
}

void progress_end(struct progress *p)
{
    progress_clear(p);
    p->on = p->expected = false;
}

void progress_expect(struct progress *p, const char *what)
{
    *p = (struct progress){ .what = what, .expected = true };
}

void progress_told(void *progress, uint64_t done, uint64_t total)
{
    struct progress *p = progress;
    if (!p->expected)
        return;
    if (p->total != total) {
        progress_clear(p);
        progress_begin(p, p->what, total);
        p->expected = true;
    }
    progress_at(p, done);
}
