/* auth/passwd_line.h: a line of the passwd-file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "auth/passwd_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct passwd_line e;
    char *line = malloc(size + 1);
    if (line == NULL)
        return 0;
    memcpy(line, data, size);
    line[size] = '\0';
    if (passwd_line_parse(&e, line) == 1 && (e.name[0] == '\0' || strchr(e.name, '/') != NULL || e.home[0] != '/'))
        abort();
    free(line);
    return 0;
}
