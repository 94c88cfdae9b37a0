/*
 * madvise(2) of memory that is about to be used.
 */
#include "base/pages.h"

#include <limits.h>
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, FEW = 16 * PAGE, HUGE_PAGE = 2 << 20, TOP_PAD = 128 << 10 };      /* TOP_PAD: as the library has it by itself */

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 33)
#define HAVE_MALLINFO2
#endif
#endif

#ifndef MADV_POPULATE_WRITE
enum { MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23 };
#endif

/* Only whole pages. Where one cannot be had that way the call ends, and what comes after it has its faults. */
static void populate(uintptr_t from, uintptr_t to, int how)
{
    from = (from + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    to &= ~(uintptr_t)(PAGE - 1);
    if (from < to)
        (void)madvise((void *)from, to - from, how);
}

void pages_map(void *p, size_t n)
{
    if (n >= FEW)
        populate((uintptr_t)p, (uintptr_t)p + n, MADV_POPULATE_WRITE);
}

#ifdef HAVE_MALLINFO2
void pages_heap(size_t n)
{
    const size_t room = n < INT_MAX / 2 ? n + HUGE_PAGE : INT_MAX / 2;
    (void)mallopt(M_TOP_PAD, (int)room);         /* the heap grows by so much, and is not cut before it has so much to give back */
    void *const p = malloc(mallinfo2().keepcost + 1);        /* more than there is: it grows now */
    const uintptr_t end = (uintptr_t)sbrk(0), from = (end - room + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (p != NULL && from < end)
        (void)madvise((void *)from, end - from, MADV_HUGEPAGE);
    free(p);
}

void pages_heap_end(void)
{
    (void)mallopt(M_TOP_PAD, TOP_PAD);
    (void)malloc_trim(0);
}
#else
void pages_heap(size_t n)
{
    (void)n;
}

void pages_heap_end(void)
{
}
#endif

/* A library's segments: what can be written, after the part of it that the loader made read-only again, and the code. */
static int own_library(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    (void)ctx;
    uintptr_t constant = 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_GNU_RELRO)
            constant = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        const uintptr_t from = info->dlpi_addr + h->p_vaddr, to = from + h->p_memsz;
        if (h->p_type != PT_LOAD)
            continue;
        if ((h->p_flags & PF_W) == 0)
            populate(from & ~(uintptr_t)(PAGE - 1), to + PAGE - 1, MADV_POPULATE_READ);
        else
            populate((from < constant && constant <= to ? constant : from) & ~(uintptr_t)(PAGE - 1), to + PAGE - 1, MADV_POPULATE_WRITE);
    }
    return 0;
}

/* Below where the stack is now. */
static void own_stack(void)
{
    volatile char deep[8 * PAGE];
    deep[0] = 0;                       /* the mapping grows to there */
    populate((uintptr_t)deep, (uintptr_t)deep + sizeof deep, MADV_POPULATE_WRITE);
}

void pages_own(void)
{
    own_stack();
#ifdef HAVE_MALLINFO2
    const uintptr_t end = (uintptr_t)sbrk(0);
    populate(end - mallinfo2().arena, end, MADV_POPULATE_WRITE);
#endif
    (void)dl_iterate_phdr(own_library, NULL);
}
