/* Any octets as a header and as the value of each kind of field. */
#include <stdint.h>
#include <stdlib.h>
#include "store/mime_lex.h"
#include "store/text.h"

static int each(void *ctx, struct str name, struct str value, struct str whole)
{
    const struct str *all = ctx;
    if (name.n == 0 || name.p != whole.p || value.p < whole.p || value.p + value.n > whole.p + whole.n) abort();
    if (whole.p < all->p || whole.p + whole.n > all->p + all->n) abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = { (const char *)data, size };
    struct arena *a = arena_new();
    struct mime_addresses list;
    struct mime_envelope e;
    struct mime_param *params;
    size_t n;
    struct mime_lex x = mime_lex_of(s);
    struct buf b = { 0 };
    int64_t date;
    int zone;

    mime_header_each(s, each, &s);
    mime_envelope_parse(s, &e, a);
    mime_addresses_parse(s, &list, a);
    mime_params_parse(&x, &params, &n, a);
    if (mime_date_parse(s, &date, &zone) == 0 && (zone < -1500 || zone > 1500)) abort();
    text_decode_header(&b, s);
    buf_free(&b);
    arena_free(a);
    return 0;
}
