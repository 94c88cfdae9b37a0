/* Any octets as a From_ line; what is written for a date that was read must be read as that date. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "store/mbox_from.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf line = { 0 }, back = { 0 };
    int64_t date, again;
    int zone, zone_again;

    mbox_sniff((const char *)data, size);
    buf_puts(&line, "From ");
    buf_add(&line, data, size);
    if (mbox_from_parse(line.data, line.len, &date, &zone)) {
        buf_drop(&line, 5);
        mbox_from_format(&back, line.data, date, zone);
        if (!mbox_from_parse(back.data, back.len - 1, &again, &zone_again)) abort();
        if (date > INT64_C(-62135596800) + 100000 && date < INT64_C(253402300799) - 100000 && (again != date || zone_again != zone)) abort();
    }
    buf_free(&line);
    buf_free(&back);
    return 0;
}
