#ifndef STAT_COLLECT_H
#define STAT_COLLECT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "auth/census.h"
#include "auth/slots.h"

/* What is told of a connection. Texts are UTF-8 and hold anything that a client or a session gone wrong can put there. */
enum doing { DOING_LOGIN, DOING_UNKNOWN, DOING_AUTHENTICATED, DOING_SELECTED, DOING_IDLE, DOINGS };
struct connection {
    pid_t pid;
    enum doing doing;                  /* LOGIN: not logged in yet, no user; UNKNOWN: has no slot, the fields up to counts say nothing */
    bool tls;
    char user[SLOT_USER], address[SLOT_ADDRESS], command[SLOT_COMMAND], mailbox[SLOT_MAILBOX];
    int64_t command_ms;                /* that the command runs, or that none did */
    struct slot_counts counts;
    int64_t at;                        /* s since 1970: login, or the process's start */
    int64_t cpu_ms;
    uint64_t memory;                   /* octets of its own */
};
struct connections {
    struct connection *list;           /* in order of user and pid */
    size_t n, cap;
    bool has_totals;                   /* as root, with a state-file */
    struct census_totals totals;       /* with what the sessions that live have counted so far */
};
/* user: his alone, or NULL. As an ordinary user (all false) only the caller's, and of those only what /proc says. 0, or -1 with errno:
 * what sessions tell could not be read; what /proc says is there all the same. */
int collect(struct connections *c, const char *state_file, const char *user, bool all);
void collect_free(struct connections *c);
/* What a slot says, at that time of the monotonic clock in ms; without what /proc says. */
void connection_of_slot(struct connection *to, const struct slot_seen *seen, int64_t now);

/* A word of each doing. */
const char *doing_name(enum doing d);
/* Does the command run, and is it no IDLE? */
bool is_at_work(const struct connection *c);
bool has_slot(const struct connection *c);

/* The writers. */
void write_table(FILE *out, const struct connections *c);
void write_json(FILE *out, const struct connections *c);
void write_prometheus(FILE *out, const struct connections *c);

/* Text for a terminal: nothing that it obeys or that turns the order of what follows; for JSON, with quotes; for the value of a
 * label, with quotes. */
void text_plain(char *out, size_t size, const char *text);
void text_json(FILE *out, const char *text);
void text_label(FILE *out, const char *text);
#endif
