/*
 * Certificates and keys, as openssl(1) sees them: no library is linked for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xmalloc.h"
#include "doctor/examine.h"

static const char area[] = "tls";

static int x509(const char *file, const char *option, const char *value, char *out, size_t size)
{
    return run_command((const char *[]){ "openssl", "x509", "-in", file, "-noout", option, value, NULL }, false, out, size);
}

static void expiry(const struct patient *p, const char *cert)
{
    char date[256], text[256];
    x509(cert, "-enddate", NULL, date, sizeof date);
    date[strcspn(date, "\n")] = '\0';
    const char *when = strchr(date, '=') != NULL ? strchr(date, '=') + 1 : date;
    const char *fix = "renew it (certbot renew); it is read for each connection, so nothing has to be restarted";
    if (x509(cert, "-checkend", "0", text, sizeof text) != 0)
        report_found(p->report, MARK_ERROR, area, fix, "%s expired on %s", cert, when);
    else if (x509(cert, "-checkend", "2592000", text, sizeof text) != 0)
        report_found(p->report, MARK_WARNING, area, fix, "%s expires within 30 days, on %s", cert, when);
    else
        report_found(p->report, MARK_OK, area, NULL, "%s holds until %s", cert, when);
}

static void host_and_chain(const struct patient *p, const char *cert, bool first)
{
    char text[512], *pem = read_text(cert, NULL);
    unsigned n = 0;
    for (const char *at = pem; at != NULL && (at = strstr(at, "-----BEGIN CERTIFICATE-----")) != NULL; at++)
        n++;
    free(pem);
    if (run_command((const char *[]){ "openssl", "verify", "-partial_chain", "-trusted", cert, cert, NULL }, true, text, sizeof text) < 0)
        return;
    if (strstr(text, "not yet valid") != NULL)
        report_found(p->report, MARK_ERROR, area, "set the clock right (timedatectl), or wait", "%s is not valid yet", cert);
    x509(cert, "-checkhost", p->config->hostname, text, sizeof text);
    if (first && strstr(text, "does match") == NULL)
        report_found(p->report, MARK_WARNING, area,
                     FIX("hostname = the name in the certificate, or a certificate for %s", p->config->hostname),
                     "%s is not for the host name %s", cert, p->config->hostname);
    char issuer[512], subject[512];
    x509(cert, "-issuer", NULL, issuer, sizeof issuer);
    x509(cert, "-subject", NULL, subject, sizeof subject);
    const char *of = strchr(issuer, '='), *who = strchr(subject, '=');
    const bool self = of != NULL && who != NULL && strcmp(of, who) == 0;
    if (self)
        report_found(p->report, MARK_NOTE, area, "a certificate of an authority that clients know, as of Let's Encrypt",
                     "%s signs itself: clients will ask their users", cert);
    else if (n < 2)
        report_found(
            p->report, MARK_WARNING, area,
            "append the certificates of the authorities in between to the file (with certbot: fullchain.pem, not cert.pem)",
            "%s has one certificate and not its chain", cert);
}

/* Of RSA: OpenSSL, as it is set up today, refuses less than 2048 bits. */
static void strength(const struct patient *p, const char *cert)
{
    char text[8192];
    unsigned bits = 0;
    x509(cert, "-text", NULL, text, sizeof text);
    const char *at = strstr(text, "Public-Key: (");
    if (strstr(text, "rsaEncryption") != NULL && at != NULL && sscanf(at, "Public-Key: (%u bit)", &bits) == 1 && bits < 2048)
        report_found(p->report, MARK_ERROR, area, "a new key of 2048 bits or more (openssl genrsa 3072), and a certificate for it",
                     "the key of %s has %u bits: it is too weak, and no TLS session begins with it", cert, bits);
}

static void public_key(const char *const argv[], char *out, size_t size)
{
    if (run_command(argv, false, out, size) != 0)
        out[0] = '\0';
}

static void key_of(const struct patient *p, const char *cert, const char *key)
{
    char a[8192], b[8192];
    struct stat st;
    if (stat(key, &st) != 0) {
        if (p->root || errno == ENOENT)
            report_found(p->report, MARK_ERROR, area, "correct the setting tls-key", "%s: %s", key, strerror(errno));
        return;
    }
    if ((st.st_mode & 0007) != 0 || (st.st_mode & 0020) != 0)
        report_found(p->report, MARK_ERROR, area, FIX("chmod 640 %s; and make a new key, since others may have this one", key),
                     "the key %s can be read or written by others (mode %03o)", key, (unsigned)st.st_mode & 0777u);
    if (access(key, R_OK) != 0) {
        report_found(p->report, MARK_OK, area, NULL, "the key %s cannot be read by this user, and need not be", key);
        return;
    }
    public_key((const char *[]){ "openssl", "x509", "-in", cert, "-noout", "-pubkey", NULL }, a, sizeof a);
    public_key((const char *[]){ "openssl", "pkey", "-in", key, "-pubout", "-passin", "pass:", NULL }, b, sizeof b);
    if (b[0] == '\0')
        report_found(p->report, MARK_ERROR, area,
                     FIX("tls-key = a PEM file without a passphrase (openssl pkey -in %s -out NEW)", key),
                     "%s has no private key that can be read", key);
    else if (strcmp(a, b) != 0)
        report_found(p->report, MARK_ERROR, area, "name certificates and keys in the same order in tls-certificate and tls-key",
                     "the key %s is not that of the certificate %s", key, cert);
    else
        report_found(p->report, MARK_OK, area, NULL, "the key %s fits the certificate", key);
}

static void one(const struct patient *p, const char *cert, const char *key, bool first)
{
    char text[512];
    if (access(cert, R_OK) != 0) {
        report_found(p->report, p->root || errno == ENOENT ? MARK_ERROR : MARK_NOTE, area, "correct the setting tls-certificate",
                     "%s: %s", cert, strerror(errno));
        return;
    }
    if (x509(cert, "-subject", NULL, text, sizeof text) != 0) {
        report_found(p->report, MARK_ERROR, area, "tls-certificate = a PEM file with the certificate first",
                     "%s has no certificate that can be read", cert);
        return;
    }
    expiry(p, cert);
    strength(p, cert);
    host_and_chain(p, cert, first);
    if (key != NULL)
        key_of(p, cert, key);
    else
        report_found(p->report, MARK_ERROR, area, "name a key for each certificate in tls-key", "there is no key for %s", cert);
}

/* Where auth/module.h looks for it. */
static void module(const struct patient *p)
{
    static const char name[] = "imapd-tls.so";
    char path[4200];
    const ssize_t n = readlink("/proc/self/exe", path, 4096);
    path[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return;
    snprintf(slash + 1, sizeof name, "%s", name);
    if (access(path, R_OK) != 0 && access(PKGLIBDIR "/imapd-tls.so", R_OK) != 0)
        report_found(p->report, MARK_ERROR, area, "install imapd again (make install)", "%s is not in %s: no TLS", name,
                     PKGLIBDIR);
}

static void client_ca(const struct patient *p)
{
    const char *path = p->config->tls_client_ca;
    char text[512];
    if (path == NULL)
        return;
    if (access(path, R_OK) != 0)
        report_found(p->report, MARK_ERROR, area, "correct the setting tls-client-ca", "%s: %s", path, strerror(errno));
    else if (x509(path, "-subject", NULL, text, sizeof text) != 0)
        report_found(p->report, MARK_ERROR, area, "tls-client-ca = a PEM file with the authorities' certificates",
                     "tls-client-ca: %s has no certificate that can be read", path);
}

void examine_tls(const struct patient *p)
{
    const struct config *c = p->config;
    if (c->tls_certificate == NULL)
        return;
    module(p);
    if (!have_command("openssl")) {
        report_found(p->report, MARK_NOTE, area, "apt-get install openssl",
                     "openssl(1) is not there: certificates were not looked at");
        return;
    }
    char *certs = xstrdup(c->tls_certificate), *keys = xstrdup(c->tls_key != NULL ? c->tls_key : c->tls_certificate), *x = NULL,
         *y = NULL;
    const char *cert = strtok_r(certs, " \t,", &x), *key = strtok_r(keys, " \t,", &y);
    for (bool first = true; cert != NULL; first = false) {
        one(p, cert, key, first);
        cert = strtok_r(NULL, " \t,", &x);
        key = strtok_r(NULL, " \t,", &y);
    }
    if (key != NULL && c->tls_key != NULL)
        report_found(p->report, MARK_ERROR, area, "name a certificate for each key in tls-certificate", "there is no certificate for %s", key);
    client_ca(p);
    free(certs);
    free(keys);
}
