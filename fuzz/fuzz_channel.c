/* auth/channel.h: a frame that a greeter gone wrong sends to the monitor, which is root. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "auth/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct channel_request r;
    uint8_t *copy = malloc(size + 1);             /* exactly sized, so that a step beyond is seen */
    if (copy == NULL)
        return 0;
    uint8_t *frame = copy + 1;
    memcpy(frame, data, size);
    if (channel_parse(&r, frame, size) == 0)
        for (int i = 0; i < CHANNEL_FIELDS; i++) {
            const uint8_t *p = (const uint8_t *)r.field[i].p;
            if (r.field[i].n > 0 && (p < frame || p + r.field[i].n > frame + size))
                abort();
        }
    free(copy);
    return 0;
}
