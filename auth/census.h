#ifndef AUTH_CENSUS_H
#define AUTH_CENSUS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the processes of a host know of each other, in a small file that root alone can use (the setting state-file): failed logins and
 * connections of an address, sessions of a user. No process keeps it: a slot whose process is gone is free, and so is the lock of one.
 * It serves limits, not rights: where it cannot be had, or is full, there are no limits (logged). All of it runs as root. */
/* path: the file; NULL or "": nothing is counted. It is open and mapped only within these calls: no process that is forked has it. */

/* This process has a connection from address that is not logged in. False: there are `most` of those already (0: any number). An
 * address is counted with all of its /64, if it is IPv6; one that is none ("local") is not counted. */
bool census_arrive(const char *path, const char *address, unsigned most);
/* How many logins from the address failed lately: halved every ten minutes. */
unsigned census_failures(const char *path, const char *address);
void census_fail(const char *path, const char *address);
/* Somebody came in from there: the failures are forgotten. Behind one address are many people, and tunnels and web mail make all of
 * them come from it. */
void census_forgive(const char *path, const char *address);
/* This process's connection is now a session of the user. False: there are `most` (0: any number), and it is not. */
bool census_login(const char *path, const char *user, unsigned most);

/* What there was since the file was made, which is since the host was started or the file was deleted. For imapd --stat. */
struct census_totals {
    uint64_t connections, connections_refused, logins, logins_refused;
    uint64_t ended;                    /* sessions that are over and were counted; with what they told of themselves: */
    uint64_t commands, octets_in, octets_out, fetched, appended;
};
/* Adds what sessions had counted. */
void census_ended(const char *path, const struct census_totals *sum);
/* 0, or -1 with errno: there is no such file (ENOENT), or it is none of ours. Makes none and waits for no lock. */
int census_read_totals(const char *path, struct census_totals *out);
#endif
