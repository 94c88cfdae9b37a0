/*
 * The command loop before login, fed with any octets in one go: what a stranger can send. Then every parser of arguments on
 * the same octets, as a logged-in client's command would reach it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session/command.h"
#include "session/fetch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum login_result refuse(void *ctx, const char *mechanism, struct str authzid, struct str user, struct str password)
{
    (void)ctx, (void)mechanism, (void)authzid, (void)user, (void)password;
    return LOGIN_DENIED;
}

static enum login_result refuse_name(void *ctx, struct str name)
{
    (void)ctx;
    return name.n % 2 == 0 ? LOGIN_DENIED : LOGIN_UNAVAILABLE;
}

/* The answer depends on what came, so that all ways are gone. */
static enum login_result step(void *ctx, const char *mechanism, struct str message, struct buf *reply)
{
    (void)ctx, (void)mechanism;
    buf_add(reply, message.p, message.n < 100 ? message.n : 100);
    return message.n % 3 == 0 ? LOGIN_CONTINUE : message.n % 3 == 1 ? LOGIN_DENIED : LOGIN_GRANTED;
}

static enum login_result scram_first(void *ctx, const char *mechanism, struct str gs2, struct str authzid, struct str user, struct str bare,
                                     struct buf *server_first)
{
    (void)ctx, (void)mechanism, (void)gs2, (void)authzid, (void)user;
    buf_puts(server_first, "r=abcdefgh,s=QSXCR+Q6sek8bf92,i=4096");
    return bare.n % 2 == 0 ? LOGIN_CONTINUE : LOGIN_DENIED;
}

static enum login_result scram_final(void *ctx, struct str proof, struct buf *server_final)
{
    (void)ctx;
    buf_puts(server_final, proof.n % 2 == 0 ? "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=" : "");
    return proof.n % 2 == 0 ? LOGIN_VERIFIED : LOGIN_DENIED;
}

static enum login_result claim(void *ctx)
{
    (void)ctx;
    return LOGIN_GRANTED;
}

static enum login_result no_tls(void *ctx)
{
    (void)ctx;
    return LOGIN_UNAVAILABLE;
}

static void before_login(const uint8_t *data, size_t size)
{
    int pair[2];
    const struct config config = { .line_limit = 65536, .literal_limit = 1 << 20, .login_timeout = 5, .login_octets = 1 << 20, .idle_timeout = 5 };
    struct greeter_result result = { .granted = false };
    if (size > 60000 || pipe2(pair, O_CLOEXEC) != 0)
        return;
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (write(pair[1], data, size) != (ssize_t)size)
        abort();
    close(pair[1]);
    const struct greeter_settings settings = {
        .config = &config, .offers = ~0u, .greeted = true, .in = pair[0], .out = null,
        .login = { .check = refuse, .external = refuse_name, .anonymous = refuse_name, .step = step, .starttls = no_tls,
                   .scram_first = scram_first, .scram_final = scram_final, .claim = claim }
    };
    greeter_run(&settings, &result);
    close(pair[0]);
    close(null);
    buf_free(&result.tag);
    buf_free(&result.pending);
}

static void arguments(struct arena *arena, const char *text, size_t n)
{
    struct session s = { .arena = arena };
    struct parse p = { .at = text, .end = text + n, .arena = arena };
    struct fetch_items items;
    struct str out;
    struct set set;
    struct flags flags;
    int32_t day;
    int64_t date;
    int zone;
    uint64_t number;
    const struct parse start = p;
    (void)parse_astring(&p, &out), p = start;
    (void)parse_list_mailbox(&p, &out), p = start;
    (void)parse_set(&p, &set), p = start;
    (void)parse_flags(&p, false, &flags), p = start;
    (void)parse_date(&p, &day), p = start;
    (void)parse_date_time(&p, &date, &zone), p = start;
    (void)parse_number64(&p, &number), p = start;
    (void)fetch_parse(&s, &p, &items);
    p = start;
    (void)cmd_language(&s, &p), p = start;
    (void)cmd_comparator(&s, &p);
    buf_clear(&s.io.output);
    language_text(&s.io.output, LANGUAGE_DE, s.text);
    buf_free(&s.io.output);
    if (p.at > p.end)
        abort();
}

/* A name that decodes has one spelling: encoding it again gives it back. */
static void names(const char *text, size_t n)
{
    struct buf utf8 = { 0 }, again = { 0 };
    if (utf7_to_utf8(&utf8, (struct str){ text, n }) == 0)
        utf8_to_utf7(&again, buf_str(&utf8));
    buf_free(&utf8);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    char *text = malloc(size + 1);           /* of exact size: reading beyond is seen */
    if (text == NULL)
        abort();
    text = realloc(text, size > 0 ? size : 1);
    if (size > 0)
        memcpy(text, data, size);
    before_login(data, size);
    arguments(arena, text, size);
    names(text, size);
    free(text);
    arena_free(arena);
    return 0;
}
