#ifndef BASE_RECORD_H
#define BASE_RECORD_H
#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"

/* A log line of words, "event: name=value name=value", that the journal of systemd gets as fields, too: MESSAGE is the line, and
 * IMAPD_EVENT, IMAPD_NAME, ... what it is made of. Values are escaped as log_line does it, in both. What has no room is left out. */
struct record {
    enum log_level level;
    bool shown;                        /* else nothing is put together */
    size_t line_n, fields_n;
    char line[1024], fields[3072];
};
void record_begin(struct record *r, enum log_level level, const char *event);
/* name: of the line; in the journal's it is in capitals, and "-" is "_". */
void record_add(struct record *r, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The value is in <> in the line. */
void record_add_name(struct record *r, const char *name, const char *value);
void record_end(struct record *r);
#endif
