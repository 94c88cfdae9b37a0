/* Civil dates. Days are counted in 400-year eras that begin on 1 March, so that the leap day is the last of its year and
 * every month's place follows from one linear formula. */
#include "store/date.h"
#include <ctype.h>
#include <stddef.h>
#include <strings.h>
#include <time.h>

enum { ERA_DAYS = 146097, EPOCH = 719468 };      /* days in 400 years; from 0000-03-01 to 1970-01-01 */

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char *const months[12] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

int64_t date_days(int year, int month, int day)
{
    const int64_t y = (int64_t)year - (month <= 2);
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t of_era = y - era * 400;
    const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH;
}

void date_civil(int64_t days, int *year, int *month, int *day)
{
    const int64_t z = days + EPOCH;
    const int64_t era = (z >= 0 ? z : z - ERA_DAYS + 1) / ERA_DAYS;
    const int64_t d = z - era * ERA_DAYS;
    const int64_t y = (d - d / 1460 + d / 36524 - d / (ERA_DAYS - 1)) / 365;
    const int64_t of_year = d - (365 * y + y / 4 - y / 100);
    const int64_t m = (5 * of_year + 2) / 153;

    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(y + era * 400 + (*month <= 2));
}

bool date_valid(int year, int month, int day)
{
    static const signed char length[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    if (year < 0 || year > 9999 || month < 1 || month > 12 || day < 1) return false;
    return day <= length[month - 1] + (month == 2 && leap);
}

int date_month(const char *name)
{
    for (int i = 0; i < 12; i++)
        if (strncasecmp(name, month_names + 3 * i, 3) == 0) return i + 1;
    return 0;
}

const char *date_month_name(int month)
{
    return months[month - 1];
}

int64_t date_day_of(int64_t date, int zone)
{
    const int64_t local = date + (int64_t)zone * 60;
    return local >= 0 ? local / 86400 : -((86399 - local) / 86400);
}

int64_t date_seconds(int year, int month, int day, int hour, int minute, int second, int zone)
{
    return date_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - (int64_t)zone * 60;
}

static int zone_digits(const char *p, int *zone)
{
    for (int i = 1; i < 5; i++)
        if (!isdigit((unsigned char)p[i])) return -1;
    const int hours = (p[1] - '0') * 10 + p[2] - '0', minutes = (p[3] - '0') * 10 + p[4] - '0';
    if (hours > 24 || minutes > 59) return -1;
    *zone = (hours * 60 + minutes) * (p[0] == '-' ? -1 : 1);
    return 0;
}

int date_zone(const char *p, unsigned long n, int *zone)
{
    static const struct { const char name[5]; signed char hours; } zones[] = {
        { "UT", 0 },   { "UTC", 0 },  { "GMT", 0 },  { "WET", 0 },  { "Z", 0 },    { "BST", 1 },  { "WEST", 1 }, { "CET", 1 },
        { "MET", 1 },  { "CEST", 2 }, { "MEST", 2 }, { "EET", 2 },  { "EEST", 3 }, { "MSK", 3 },  { "JST", 9 },  { "KST", 9 },
        { "AST", -4 }, { "ADT", -3 }, { "EST", -5 }, { "EDT", -4 }, { "CST", -6 }, { "CDT", -5 }, { "MST", -7 }, { "MDT", -6 },
        { "PST", -8 }, { "PDT", -7 }, { "HST", -10 },
    };
    if (n == 5 && (*p == '+' || *p == '-')) return zone_digits(p, zone);
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++)
        if (strncasecmp(p, zones[i].name, n) == 0 && zones[i].name[n < 5 ? n : 4] == '\0' && n <= 4) {
            *zone = zones[i].hours * 60;
            return 0;
        }
    return -1;
}

/* localtime_r, not mktime: the latter looks at /etc/localtime anew with each call. */
int date_local_zone(int64_t date)
{
    const time_t t = (time_t)date;
    struct tm tm;

    if (localtime_r(&t, &tm) == NULL) return 0;
    return (int)(tm.tm_gmtoff / 60);
}

int64_t date_from_local(int64_t local, int *zone)
{
    const int early = date_local_zone(local - 86400), late = date_local_zone(local + 86400);
    const int64_t first = local - (int64_t)early * 60;
    const bool is_early = early == late || date_local_zone(first) == early;

    *zone = is_early ? early : late;
    return local - (int64_t)*zone * 60;
}
