#ifndef DOCTOR_REPORT_H
#define DOCTOR_REPORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* What was found, told on a stream: for people, as JSON, or as records for the process that waits for them. */
enum mark { MARK_OK, MARK_NOTE, MARK_WARNING, MARK_ERROR };
enum report_form { REPORT_TEXT, REPORT_JSON, REPORT_RECORDS };
struct report {
    FILE *out;
    enum report_form form;
    bool colours;
    unsigned count[MARK_ERROR + 1];
};
void report_begin(struct report *r);
/* The sums, and the end of JSON. */
void report_end(struct report *r);
/* One finding of at most some 900 octets; longer ones are cut. area is a word ("tls"); fix is a command, a setting or a sentence, NULL: none.
 * Octets that a terminal could obey are shown as '?'. */
void report_found(struct report *r, enum mark mark, const char *area, const char *fix, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Reads the records that another process wrote, to their end, and tells them here. What does not parse is left out. */
void report_relay(struct report *r, FILE *records);
/* 0, 1 or 2, as imapd(8) says. */
int report_status(const struct report *r);

/* A text made as by printf, for the fix of a finding; good until its block ends. */
struct fix {
    char text[700];
};
const char *fix_of(struct fix *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define FIX(...) fix_of(&(struct fix){ { 0 } }, __VA_ARGS__)
#endif
