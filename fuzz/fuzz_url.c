/*
 * IMAP URLs as CATENATE gets them, and the section in each.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "session/fetch.h"
#include "session/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct str s)
{
    if (s.p == NULL)
        return;
    if (s.n == 0 || memchr(s.p, 0, s.n) != NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    struct imap_url url;
    char *text = malloc(size > 0 ? size : 1);        /* of exact size: reading beyond is seen */
    if (text == NULL)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    if (url_parse((struct str){ text, size }, arena, &url)) {
        look(url.server);
        look(url.mailbox);
        look(url.section);
        look(url.rest);
        if (url.uid == 0 || (url.partial && url.length == 0))
            abort();
        if (url.section.p != NULL) {
            struct parse p = { .at = url.section.p, .end = url.section.p + url.section.n, .arena = arena };
            struct fetch_item item = { .type = FETCH_SECTION };
            if (section_parse(&p, &item) && item.depth > SECTION_DEPTH)
                abort();
        }
    }
    free(text);
    arena_free(arena);
    return 0;
}
