/* auth/proxy.h: the PROXY header, from the network. What the reader would take octet by octet must be what is parsed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "auth/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h;
    long len = 0;
    for (size_t n = 1; n <= size; n++) {
        uint8_t *copy = malloc(n);
        if (copy == NULL)
            return 0;
        memcpy(copy, data, n);
        const long l = proxy_length(copy, n);
        if (len > 16 && l != len)                 /* once known, the length does not change */
            abort();
        len = l;
        if (l == (long)n && proxy_parse(&h, copy, n) == 0 && memchr(h.address, '\0', sizeof h.address) == NULL)
            abort();
        free(copy);
        if (l < 0 || l == (long)n)
            break;
    }
    return 0;
}
