/*
 * A bug of ours, planted in the relay: in this copy of imapd-tls.so a line "PLANT name path" of the client is not passed on but done, as
 * somebody would who has taken the process over with the private key in it (planted_attempts.c). "PLANT relay" asks whether it answers.
 */
#define tls_pump tls_pump_as_it_is
#include "auth/tls_io.c"         /* the real one has another name here */
#undef tls_pump

#include <string.h>

#include "tests/planted_attempts.h"

void tls_pump(SSL *ssl, int in, int out, int plain);
void tls_pump(SSL *ssl, int in, int out, int plain)
{
    char line[512] = "", name[32] = "", path[400] = "", answer[120];
    struct pollfd p = { .fd = in, .events = POLLIN };
    int n;
    while ((n = SSL_peek(ssl, line, sizeof line - 1)) <= 0 && SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ)
        (void)poll(&p, 1, -1);
    if (n > 0)
        line[n] = '\0';
    if (n <= 0 || sscanf(line, "PLANT %31s %399s", name, path) < 1) {
        tls_pump_as_it_is(ssl, in, out, plain);
        return;
    }
    errno = 0;
    const int result = strcmp(name, "relay") == 0 ? 0 : planted_attempt(name, path);
    n = snprintf(answer, sizeof answer, "* PLANT %s %s %d\r\n", name, result == 0 ? "works" : "fails", errno);
    (void)SSL_write(ssl, answer, n);
    (void)SSL_shutdown(ssl);
}
