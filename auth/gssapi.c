/*
 * The module imapd-gssapi.so: GSSAPI (RFC 4752) by MIT Kerberos, in a mechanism process. load() runs as root: it copies the keytab into
 * memory, since nothing can be opened once the process is confined. There is no replay cache: one is a file, and what it would keep
 * out (an exchange that was listened to, sent again) cannot end here, as the client must answer a challenge of this very context.
 *
 * After the context is there the server offers security layers, of which there is but one, none, and the client chooses, naming whom it
 * wants to be. A principal is the local user of its first and only component if its realm is that of the key that it used.
 */
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5/krb5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/mech.h"

enum phase { ACCEPTING, OFFERING, CHOOSING };
struct state {
    gss_cred_id_t credentials;
    gss_ctx_id_t context;
    enum phase phase;
    char user[MECH_NAME_MAX + 1], principal[2 * MECH_NAME_MAX];
};

/* All keys of the file into a keytab in memory. NULL, or why not. */
static const char *copy_keytab(krb5_context k, const char *path, krb5_keytab *memory)
{
    krb5_keytab file;
    krb5_kt_cursor cursor;
    krb5_keytab_entry entry;
    int n = 0;
    if (krb5_kt_resolve(k, path, &file) != 0 || krb5_kt_resolve(k, "MEMORY:imapd", memory) != 0)
        return "cannot be named";
    if (krb5_kt_start_seq_get(k, file, &cursor) != 0)
        return "cannot be read";
    while (krb5_kt_next_entry(k, file, &entry, &cursor) == 0) {
        n += krb5_kt_add_entry(k, *memory, &entry) == 0;
        krb5_free_keytab_entry_contents(k, &entry);
    }
    krb5_kt_end_seq_get(k, file, &cursor);
    krb5_kt_close(k, file);
    return n > 0 ? NULL : "has no keys";
}

static bool acquire(struct state *s, const struct config *c)
{
    gss_key_value_element_desc elements[] = { { "keytab", "MEMORY:imapd" }, { "rcache", "none:" } };
    const gss_key_value_set_desc store = { 2, elements };
    gss_OID_set_desc mechanisms = { 1, (gss_OID)(uintptr_t)gss_mech_krb5 };
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 minor;
    char text[400];
    const int n = snprintf(text, sizeof text, "%s@%s", c->gssapi_service, c->hostname);
    gss_buffer_desc wanted = { n > 0 ? (size_t)n : 0, text };
    if (gss_import_name(&minor, &wanted, GSS_C_NT_HOSTBASED_SERVICE, &name) != GSS_S_COMPLETE)
        return false;
    const bool good = gss_acquire_cred_from(&minor, name, GSS_C_INDEFINITE, &mechanisms, GSS_C_ACCEPT, &store, &s->credentials, NULL, NULL) == GSS_S_COMPLETE;
    (void)gss_release_name(&minor, &name);
    return good;
}

static void *load(const struct config *c, char *err, size_t size)
{
    struct state *s = calloc(1, sizeof *s);
    krb5_context k;
    krb5_keytab memory;
    if (s == NULL || krb5_init_context(&k) != 0) {
        snprintf(err, size, "Kerberos cannot be used");
        return NULL;
    }
    const char *why = copy_keytab(k, c->gssapi_keytab, &memory);
    if (why == NULL && !acquire(s, c))
        why = "has no key for gssapi-service and hostname";
    if (why != NULL)
        snprintf(err, size, "gssapi-keytab %s: %s", c->gssapi_keytab, why);
    return why == NULL ? s : NULL;         /* the context and the keytab stay as long as the process */
}

static bool put(const gss_buffer_desc *from, char *reply, size_t *reply_n)
{
    if (from->length > MECH_REPLY_MAX)
        return false;
    if (from->length > 0)
        memcpy(reply, from->value, from->length);
    *reply_n = from->length;
    return true;
}

/* "name@REALM" of a principal, with nothing quoted: its name, if the realm is that of our own key. */
static bool local_name(struct state *s, gss_name_t source)
{
    gss_name_t own = GSS_C_NO_NAME;
    gss_buffer_desc theirs = GSS_C_EMPTY_BUFFER, ours = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    bool good = false;
    if (gss_display_name(&minor, source, &theirs, NULL) == GSS_S_COMPLETE &&
        gss_inquire_context(&minor, s->context, NULL, &own, NULL, NULL, NULL, NULL, NULL) == GSS_S_COMPLETE &&
        gss_display_name(&minor, own, &ours, NULL) == GSS_S_COMPLETE) {
        const char *a = theirs.length > 0 ? memchr(theirs.value, '@', theirs.length) : NULL;
        const char *b = ours.length > 0 ? memchr(ours.value, '@', ours.length) : NULL;
        const size_t n = a != NULL ? (size_t)(a - (const char *)theirs.value) : 0;
        good = a != NULL && b != NULL && n > 0 && n <= MECH_NAME_MAX && theirs.length - n == ours.length - (size_t)(b - (const char *)ours.value) &&
               memcmp(a, b, theirs.length - n) == 0 && memchr(theirs.value, '/', n) == NULL && memchr(theirs.value, '\\', n) == NULL &&
               memchr(theirs.value, '\0', n) == NULL;
        if (good) {
            memcpy(s->user, theirs.value, n);
            snprintf(s->principal, sizeof s->principal, "%.*s", (int)theirs.length, (const char *)theirs.value);
        }
    }
    (void)gss_release_buffer(&minor, &theirs);
    (void)gss_release_buffer(&minor, &ours);
    (void)gss_release_name(&minor, &own);
    return good;
}

/* RFC 4752 section 3.2: which layers (1: none), and the size of messages that they would have. */
static enum mech_status offer(struct state *s, char *reply, size_t *reply_n)
{
    unsigned char layers[4] = { 1, 0, 0, 0 };
    gss_buffer_desc in = { sizeof layers, layers }, out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    const bool good = gss_wrap(&minor, s->context, 0, GSS_C_QOP_DEFAULT, &in, NULL, &out) == GSS_S_COMPLETE && put(&out, reply, reply_n);
    (void)gss_release_buffer(&minor, &out);
    s->phase = CHOOSING;
    return good ? MECH_CONTINUE : MECH_FAILED;
}

static enum mech_status accept_token(struct state *s, gss_buffer_desc *in, char *reply, size_t *reply_n)
{
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    gss_name_t source = GSS_C_NO_NAME;
    OM_uint32 minor, ignored;
    const OM_uint32 major = gss_accept_sec_context(&minor, &s->context, s->credentials, in, GSS_C_NO_CHANNEL_BINDINGS, &source, NULL, &out, NULL, NULL, NULL);
    bool good = !GSS_ERROR(major) && put(&out, reply, reply_n);
    const bool tells = out.length > 0;
    if (good && major == GSS_S_COMPLETE) {
        good = local_name(s, source);
        s->phase = OFFERING;
    }
    (void)gss_release_buffer(&ignored, &out);
    (void)gss_release_name(&ignored, &source);
    if (!good) {
        *reply_n = 0;
        return MECH_FAILED;
    }
    return s->phase == OFFERING && !tells ? offer(s, reply, reply_n) : MECH_CONTINUE;
}

/* The layer that the client has chosen, the size of its messages, and who it wants to be. */
static enum mech_status chosen(struct state *s, gss_buffer_desc *in, struct mech_result *result)
{
    gss_buffer_desc out = GSS_C_EMPTY_BUFFER;
    OM_uint32 minor;
    bool good = gss_unwrap(&minor, s->context, in, &out, NULL, NULL) == GSS_S_COMPLETE && out.length >= 4;
    const char *p = good ? out.value : NULL;
    const size_t n = good ? out.length - 4 : 0;
    good = good && p[0] == 1 && n <= MECH_NAME_MAX && (n == 0 || memchr(p + 4, '\0', n) == NULL);
    if (good) {
        memcpy(result->user, s->user, sizeof result->user);
        memcpy(result->authzid, p + 4, n);                   /* the rest of it is 0 already */
        if (strcmp(result->authzid, s->principal) == 0)      /* his own, at length */
            result->authzid[0] = '\0';
    }
    (void)gss_release_buffer(&minor, &out);
    return good ? MECH_DONE : MECH_FAILED;
}

static enum mech_status step(void *state, const char *mechanism, const char *data, size_t n, char *reply, size_t *reply_n, struct mech_result *result)
{
    struct state *s = state;
    gss_buffer_desc in = { n, (void *)(uintptr_t)data };
    (void)mechanism;
    *reply_n = 0;
    switch (s->phase) {
    case ACCEPTING:
        return n > 0 ? accept_token(s, &in, reply, reply_n) : MECH_CONTINUE;   /* a client that waits for a first, empty challenge */
    case OFFERING:
        return n == 0 ? offer(s, reply, reply_n) : MECH_FAILED;
    case CHOOSING:
        break;
    }
    return chosen(s, &in, result);
}

__attribute__((visibility("default"))) extern const struct mech_module imapd_mechanism;
const struct mech_module imapd_mechanism = { load, step };
