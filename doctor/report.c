/*
 * Findings on a stream (see report.h). Names in them come from users' directories: nothing is printed that a terminal obeys.
 */
#include "doctor/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const marks[] = { "ok", "note", "warning", "error" };

static void clean(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
}

static void json_string(FILE *f, const char *text)
{
    putc('"', f);
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            putc('\\', f);
        if ((unsigned char)*p < 0x80)
            putc(*p, f);
        else
            fprintf(f, "\\u%04x", (unsigned char)*p); /* octets, since names need not be UTF-8 */
    }
    putc('"', f);
}

static void tell(struct report *r, enum mark mark, const char *area, const char *text, const char *fix)
{
    static const char *const colours[] = { "\033[32m", "\033[36m", "\033[33m", "\033[31m" };
    switch (r->form) {
    case REPORT_RECORDS: fprintf(r->out, "%d\t%s\t%s\t%s\n", (int)mark, area, text, fix); break;
    case REPORT_JSON:
        fprintf(r->out,
                "%s\n  {\"mark\": \"%s\", \"area\": ", r->count[0] + r->count[1] + r->count[2] + r->count[3] > 0 ? "," : "",
                marks[mark]);
        json_string(r->out, area);
        fputs(", \"text\": ", r->out);
        json_string(r->out, text);
        fputs(", \"fix\": ", r->out);
        if (fix[0] != '\0')
            json_string(r->out, fix);
        else
            fputs("null", r->out);
        putc('}', r->out);
        break;
    case REPORT_TEXT:
        fprintf(r->out, "%s%-8s%s %s: %s\n", r->colours ? colours[mark] : "", marks[mark], r->colours ? "\033[0m" : "", area,
                text);
        if (fix[0] != '\0')
            fprintf(r->out, "         fix: %s\n", fix);
        break;
    }
    r->count[mark]++;
}

void report_begin(struct report *r)
{
    if (r->form == REPORT_JSON)
        fputs("{\"findings\": [", r->out);
}

void report_end(struct report *r)
{
    if (r->form == REPORT_JSON)
        fprintf(r->out, "\n], \"errors\": %u, \"warnings\": %u, \"notes\": %u}\n", r->count[MARK_ERROR], r->count[MARK_WARNING],
                r->count[MARK_NOTE]);
    else if (r->form == REPORT_TEXT)
        fprintf(r->out, "%u errors, %u warnings, %u notes\n", r->count[MARK_ERROR], r->count[MARK_WARNING], r->count[MARK_NOTE]);
    fflush(r->out);
}

void report_found(struct report *r, enum mark mark, const char *area, const char *fix, const char *fmt, ...)
{
    char text[900], mend[900];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(mend, sizeof mend, "%s", fix != NULL ? fix : "");
    clean(text);
    clean(mend);
    tell(r, mark, area, text, mend);
}

void report_relay(struct report *r, FILE *records)
{
    char line[2048];
    while (fgets(line, sizeof line, records) != NULL) {
        char *save = line;
        const char *mark = strsep(&save, "\t"), *area = strsep(&save, "\t"), *text = strsep(&save, "\t"),
                   *fix = strsep(&save, "\n");
        if (fix != NULL && mark[0] >= '0' && mark[0] <= '3' && mark[1] == '\0')
            report_found(r, (enum mark)(mark[0] - '0'), area, fix, "%s", text);
    }
}

int report_status(const struct report *r)
{
    return r->count[MARK_ERROR] > 0 ? 2 : r->count[MARK_WARNING] > 0 ? 1 : 0;
}

const char *fix_of(struct fix *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    return f->text;
}
