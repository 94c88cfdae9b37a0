#ifndef STORE_MBOX_FROM_H
#define STORE_MBOX_FROM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* The one recogniser of From_ lines. line begins with "From "; n octets to its LF (LF not counted; a final CR is allowed).
 * Accepts the date forms that UW imapd and Dovecot accept (../shared/mbox-facts.md section 2): sender may be empty-ish,
 * quoted or hold spaces; "Www Mmm dd hh:mm[:ss] [zone] yyyy [zone]", 1-digit day, 2-digit year refused, " remote from x".
 * On success *date is the time in seconds since 1970 UTC and *zone minutes east of UTC (a line without zone is local time).
 * date and zone may be NULL. */
bool mbox_from_parse(const char *line, size_t n, int64_t *date, int *zone);
/* Writes "From sender Www Mmm dd hh:mm:ss yyyy\n" in local time, with " +hhmm" behind the year where `zone` (minutes)
 * is not the local zone at that time or the local time is ambiguous. */
void mbox_from_format(struct buf *out, const char *sender, int64_t date, int zone);
/* True if the first bytes of a file may begin an mbox: empty, or (after blank lines) a From_ line. n: what was read, at
 * most the first few KB. */
bool mbox_sniff(const char *bytes, size_t n);
#endif
