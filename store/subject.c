/*
 * The base subject: white space is made single spaces, then trailers go, then leaders ("Re:", "[list] Fwd:") and blobs
 * ("[list]"), then an enclosing "[fwd: ...]", after which all begins again. Blobs are passed once only: when no leader
 * follows a row of them, none follows what is left of the row either.
 */
#include <strings.h>

#include "store/mime.h"
#include "store/subject.h"
#include "store/text.h"

struct subject {
    const char *p, *end;
    bool reply;
};

static bool begins(const char *p, const char *end, const char *word, size_t n)
{
    return (size_t)(end - p) >= n && strncasecmp(p, word, n) == 0;
}

/* Step 1, behind out->len as it was at the start: all white space is single spaces. */
static void single_spaces(struct buf *out, size_t start)
{
    size_t n = start;

    for (size_t i = start; i < out->len; i++) {
        const char c = out->data[i];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') out->data[n++] = c;
        else if (n == start || out->data[n - 1] != ' ') out->data[n++] = ' ';
    }
    out->len = n;
}

/* Step 2: *subj-trailer. */
static void drop_trailers(struct subject *s)
{
    for (;;) {
        if (s->p < s->end && s->end[-1] == ' ') {
            s->end--;
        } else if (s->end - s->p >= 5 && strncasecmp(s->end - 5, "(fwd)", 5) == 0) {
            s->end -= 5;
            s->reply = true;
        } else {
            return;
        }
    }
}

static const char *spaces(const char *p, const char *end)
{
    while (p < end && *p == ' ') p++;
    return p;
}

/* Behind the subj-blob at p; p if there is none. */
static const char *blob(const char *p, const char *end)
{
    const char *q = p;

    if (q == end || *q != '[') return p;
    for (q++; q < end && *q != ']'; q++)
        if (*q == '[' || *q == '\0') return p;
    return q < end ? spaces(q + 1, end) : p;
}

/* Behind the subj-refwd at p; NULL if there is none. */
static const char *refwd(const char *p, const char *end)
{
    if (begins(p, end, "re", 2)) p += 2;
    else if (begins(p, end, "fwd", 3)) p += 3;
    else if (begins(p, end, "fw", 2)) p += 2;
    else return NULL;
    p = blob(spaces(p, end), end);
    return p < end && *p == ':' ? p + 1 : NULL;
}

/* Steps 3 to 5. */
static void drop_leaders(struct subject *s)
{
    for (;;) {
        const char *p = s->p = spaces(s->p, s->end), *last = p, *next;
        while ((next = blob(p, s->end)) != p) {
            last = p;
            p = next;
        }
        next = refwd(p, s->end);
        if (next == NULL) {
            s->p = p < s->end ? p : last;          /* a blob that is all there is stays */
            return;
        }
        s->p = next;
        s->reply = true;
    }
}

void subject_base(struct buf *out, struct str value, bool *reply, struct charset_cache *kept)
{
    static const char forward[] = "[fwd:";
    enum { FORWARD = sizeof forward - 1 };
    const size_t start = out->len;

    buf_room(out, 1);                              /* there is memory, then */
    text_decode_words(out, value, kept);
    single_spaces(out, start);
    struct subject s = { .p = out->data + start, .end = out->data + out->len };
    for (;;) {
        drop_trailers(&s);
        drop_leaders(&s);
        if (!begins(s.p, s.end, forward, FORWARD) || s.end - s.p <= FORWARD || s.end[-1] != ']') break;
        s.p += FORWARD;
        s.end--;
        s.reply = true;
    }
    const size_t n = (size_t)(s.end - s.p);
    out->len = start + n;
    for (size_t i = 0; i < n; i++) out->data[start + i] = s.p[i];
    if (reply) *reply = s.reply;
}

bool subject_date(struct str date, int64_t *out)
{
    int zone;
    return mime_date_parse(date, out, &zone) == 0 || mime_day_parse(date, out) == 0;
}

int64_t subject_sent_date(struct str date, int64_t internal)
{
    int64_t sent;
    return date.p != NULL && subject_date(date, &sent) ? sent : internal;
}
