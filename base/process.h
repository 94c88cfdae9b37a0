#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What /proc says of a process. */
struct process {
    pid_t pid, parent;
    uid_t uid;
    char name[16];                     /* comm: whatever it calls itself */
    int64_t began;                     /* ms of CLOCK_BOOTTIME, to the 10 ms */
    int64_t cpu_ms;
};
/* False: there is none of that number. */
bool process_look(pid_t pid, struct process *out);
/* Octets of memory that is its own and shared with no other process; 0: cannot be known. As far as rights allow it is exact. */
uint64_t process_memory(pid_t pid);
/* Is one of the arguments it was started with (the first 4 KiB) a name of what, which ends with NULL? */
bool process_argument(pid_t pid, const char *const *what);
int64_t process_now(void);             /* ms of CLOCK_BOOTTIME */
#endif
