/* From_ lines. The sender may hold anything, spaces and quotes too, so the date is looked for: at each space that is
 * followed by three letters and a space or comma a date is tried, and it counts only if it reaches the end of the line.
 * Each try reads a bounded number of octets before it fails, so that a line costs its length. */
#include "store/mbox_from.h"
#include <string.h>
#include "store/date.h"

struct reader {
    const char *p, *end;
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* One space or more (a few: the day is padded). */
static bool spaces(struct reader *r)
{
    const char *const start = r->p;
    while (r->p < r->end && *r->p == ' ' && r->p - start < 8) r->p++;
    return r->p > start;
}

/* A number of min to max digits. */
static bool number(struct reader *r, int min, int max, int *out)
{
    int n = 0, v = 0;
    for (; r->p < r->end && n < max && is_digit(*r->p); r->p++, n++) v = v * 10 + (*r->p - '0');
    *out = v;
    return n >= min && !(r->p < r->end && is_digit(*r->p));
}

/* The name of a month; "???" is a month that its writer did not know. */
static bool month_name(struct reader *r, int *month)
{
    if (r->end - r->p < 4) return false;
    *month = memcmp(r->p, "???", 3) == 0 ? 1 : date_month(r->p);
    r->p += 3;
    return *month > 0;
}

struct stamp {
    int year, month, day, hour, minute, second, zone;
    bool has_zone;
};

static bool clock_time(struct reader *r, struct stamp *s)
{
    if (!number(r, 1, 2, &s->hour) || r->p == r->end || *r->p++ != ':' || !number(r, 2, 2, &s->minute)) return false;
    s->second = 0;
    if (r->p < r->end && *r->p == ':') {
        r->p++;
        if (!number(r, 2, 2, &s->second)) return false;
    }
    return s->hour < 24 && s->minute < 60 && s->second <= 60;
}

/* A zone: +hhmm, or one to five letters; unknown letters are read as UTC (RFC 5322 section 4.3). */
static bool zone(struct reader *r, struct stamp *s)
{
    const char *const start = r->p;
    const bool digits = r->p < r->end && (*r->p == '+' || *r->p == '-');
    if (s->has_zone) return false;
    if (digits) r->p++;
    while (r->p < r->end && r->p - start < 6 && (digits ? is_digit(*r->p) : is_letter(*r->p))) r->p++;
    const size_t n = (size_t)(r->p - start);
    if (n == 0 || n > 5 || (digits && n != 5)) return false;
    s->has_zone = true;
    return date_zone(start, n, &s->zone) == 0 || (s->zone = 0, !digits);
}

/* "Mmm dd hh:mm[:ss] [zone] yyyy [zone]" */
static bool ctime_stamp(struct reader *r, struct stamp *s)
{
    if (!month_name(r, &s->month) || !spaces(r) || !number(r, 1, 2, &s->day) || !spaces(r)) return false;
    if (!clock_time(r, s) || !spaces(r)) return false;
    if (r->p < r->end && !is_digit(*r->p) && (!zone(r, s) || !spaces(r))) return false;
    return number(r, 4, 4, &s->year);
}

/* "dd Mmm yyyy hh:mm[:ss]" behind "Www, " */
static bool mail_stamp(struct reader *r, struct stamp *s)
{
    if (!number(r, 1, 2, &s->day) || !spaces(r) || !month_name(r, &s->month) || !spaces(r)) return false;
    return number(r, 4, 4, &s->year) && spaces(r) && clock_time(r, s);
}

/* A whole date from "Www" on to the end. */
static bool stamp(struct reader r, struct stamp *s)
{
    *s = (struct stamp){ 0 };
    const bool comma = r.p[3] == ',';
    r.p += comma ? 4 : 3;
    if (!spaces(&r) || !(comma ? mail_stamp(&r, s) : ctime_stamp(&r, s))) return false;
    if (r.p < r.end && (!spaces(&r) || !zone(&r, s))) return false;
    return r.p == r.end && date_valid(s->year, s->month, s->day);
}

/* What lies between "From " and the end that matters: no white space at the end, no " remote from HOST". */
static const char *date_end(const char *start, const char *end)
{
    static const char remote[] = " remote from ";
    while (end > start && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) end--;
    const char *host = memrchr(start, ' ', (size_t)(end - start));
    const size_t n = sizeof remote - 1;
    if (host != NULL && (size_t)(host + 1 - start) >= n && memcmp(host + 1 - n, remote, n) == 0) end = host + 1 - n;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) end--;
    return end;
}

bool mbox_from_parse(const char *line, size_t n, int64_t *date, int *minutes)
{
    enum { SHORTEST = 20 };                             /* "Www Mmm d h:mm yyyy" and a space */
    struct stamp s;

    if (n < 5 + SHORTEST - 1 || memcmp(line, "From ", 5) != 0) return false;
    struct reader r = { line + 4, date_end(line + 5, line + n) };
    for (;; r.p++) {
        if (r.end - r.p < SHORTEST || (r.p = memchr(r.p, ' ', (size_t)(r.end - r.p))) == NULL) return false;
        if (r.end - r.p < SHORTEST) return false;
        const char *w = r.p + 1;
        if (!is_letter(w[0]) || !is_letter(w[1]) || !is_letter(w[2]) || (w[3] != ' ' && w[3] != ',')) continue;
        if (stamp((struct reader){ w, r.end }, &s)) break;
    }
    if (date == NULL && minutes == NULL) return true;
    int64_t t = date_seconds(s.year, s.month, s.day, s.hour, s.minute, s.second, s.zone);
    if (!s.has_zone) t = date_from_local(t, &s.zone);
    if (date) *date = t;
    if (minutes) *minutes = s.zone;
    return true;
}

/* Nothing in the sender may end the line or look like the line's date. */
static void add_sender(struct buf *out, const char *sender)
{
    if (*sender == '\0') sender = "MAILER-DAEMON";
    for (; *sender; sender++) buf_addc(out, (unsigned char)*sender <= ' ' || *sender == 0x7f ? '_' : *sender);
}

void mbox_from_format(struct buf *out, const char *sender, int64_t date, int minutes)
{
    static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };    /* 1970-01-01 was a Thursday */
    int year, month, day, read_zone;
    int64_t t = date + (int64_t)minutes * 60;
    const bool local = minutes == date_local_zone(date) && date_from_local(t, &read_zone) == date;
    int64_t number_of_day = date_day_of(date, minutes);

    date_civil(number_of_day, &year, &month, &day);
    if (year < 0 || year > 9999) {                       /* four digits are all there are */
        t = 0;
        number_of_day = 0;
        date_civil(0, &year, &month, &day);
    }
    const int s = (int)(t - number_of_day * 86400);
    buf_puts(out, "From ");
    add_sender(out, sender);
    buf_printf(out, " %s %s %2d %02d:%02d:%02d %04d", days[((number_of_day % 7) + 7) % 7], date_month_name(month), day,
               s / 3600, s / 60 % 60, s % 60, year);
    const int away = minutes < 0 ? -minutes : minutes;
    if (!local) buf_printf(out, " %c%02d%02d", minutes < 0 ? '-' : '+', away / 60, away % 60);
    buf_addc(out, '\n');
}

bool mbox_sniff(const char *bytes, size_t n)
{
    const char *p = bytes, *const end = bytes + n;

    /* What an APPEND to an empty mailbox looks like before its first octet is written, and after a crash then: the journal
     * knows the rest. (In the moment before that all is NUL.) */
    if (n > 0 && p[0] == 0) {
        while (p < end && *p == 0) p++;
        return p == end || (p == bytes + 1 && end - p >= 4 && memcmp(p, "rom ", 4) == 0);
    }
    while (p < end && (*p == '\n' || *p == '\r' || *p == ' ' || *p == '\t')) p++;
    if (p == end) return true;
    const char *lf = memchr(p, '\n', (size_t)(end - p));
    return mbox_from_parse(p, (size_t)((lf ? lf : end) - p), NULL, NULL);
}
