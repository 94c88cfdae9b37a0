/* auth/relay.h: what the process that speaks TLS with the network reports to the monitor, which is root. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "auth/relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_facts facts;
    uint8_t *copy = malloc(size + 1);             /* exactly sized, so that a step beyond is seen */
    if (copy == NULL)
        return 0;
    memcpy(copy + 1, data, size);
    if (relay_parse(&facts, copy + 1, size) == 0) {
        if (strlen(facts.version) >= sizeof facts.version || strlen(facts.cipher) >= sizeof facts.cipher ||
            strlen(facts.client) >= sizeof facts.client || facts.exporter_n > sizeof facts.exporter ||
            facts.endpoint_n > sizeof facts.endpoint)
            abort();
        for (const char *p = facts.client; *p != '\0'; p++)
            if ((unsigned char)*p < ' ')
                abort();
    }
    free(copy);
    return 0;
}
