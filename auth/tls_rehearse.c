/*
 * A warm relay's first client is itself.
 */
#include "auth/tls_rehearse.h"

#include <openssl/err.h>

/* Client and server in turn, until both are done; at most a few rounds. */
static void shake(SSL *server, SSL *client)
{
    enum { ROUNDS = 8 };
    unsigned char octet = 'x';
    for (int i = 0; i < ROUNDS; i++) {
        const int a = SSL_do_handshake(client), b = SSL_do_handshake(server);
        if (a == 1 && b == 1)
            break;
    }
    (void)SSL_write(server, &octet, 1);
    (void)SSL_read(client, &octet, 1);
    (void)SSL_write(client, &octet, 1);
    (void)SSL_read(server, &octet, 1);
    (void)SSL_export_keying_material(server, &octet, 1, "EXPORTER-Channel-Binding", 24, NULL, 0, 0);
}

static void once(SSL_CTX *server_ctx, SSL_CTX *client_ctx, int version)
{
    SSL *server = SSL_new(server_ctx), *client = SSL_new(client_ctx);
    BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
    if (server != NULL && client != NULL && up != NULL && down != NULL && BIO_up_ref(up) == 1 && BIO_up_ref(down) == 1) {
        SSL_set_max_proto_version(client, version);
        SSL_set_bio(server, up, down);
        SSL_set_bio(client, down, up);
        SSL_set_accept_state(server);
        SSL_set_connect_state(client);
        shake(server, client);
        up = down = NULL;
    }
    BIO_free(up);
    BIO_free(down);
    SSL_free(server);
    SSL_free(client);
    ERR_clear_error();
}

void tls_rehearse(SSL_CTX *server)
{
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    if (client == NULL)
        return;
    once(server, client, TLS1_3_VERSION);
    once(server, client, TLS1_2_VERSION);
    SSL_CTX_free(client);
    ERR_clear_error();
}
