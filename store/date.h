#ifndef STORE_DATE_H
#define STORE_DATE_H
#include <stdbool.h>
#include <stdint.h>

/* Civil dates of the Gregorian calendar (also before it began), without time zones. */
int64_t date_days(int year, int month, int day);                    /* since 1970-01-01; month 1..12 */
void date_civil(int64_t days, int *year, int *month, int *day);     /* and back */
bool date_valid(int year, int month, int day);                      /* such a day exists; year 0..9999 */
int date_month(const char *name);      /* 1..12 of three letters, any case ("Jan"); 0: none. Reads 3 octets at most */
const char *date_month_name(int month);                             /* 1..12: "Jan" ... */
int64_t date_day_of(int64_t date, int zone);  /* day of a time (seconds since 1970) in a zone (minutes east) */
/* Seconds since 1970 of a civil time. hour, minute, second are not checked. */
int64_t date_seconds(int year, int month, int day, int hour, int minute, int second, int zone);
/* Minutes east of UTC of a zone's name or "+hhmm"/"-hhmm". 0, or -1 if it is none that is known. */
int date_zone(const char *p, unsigned long n, int *zone);
/* Minutes east of UTC of the local zone at a time. */
int date_local_zone(int64_t date);
/* The time that local clocks show as `local` (seconds as if it were UTC); of two, the earlier zone's. */
int64_t date_from_local(int64_t local, int *zone);
#endif
