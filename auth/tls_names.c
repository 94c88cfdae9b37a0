/*
 * Names and hashes of certificates. A client's certificate has been verified before it is looked at, but who signs it and who
 * lets it in need not agree about odd names: anything ambiguous is no name.
 */
#include "auth/tls_names.h"

#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

static bool copy(const ASN1_STRING *s, char *out, size_t size)
{
    const unsigned char *p = ASN1_STRING_get0_data(s);
    const size_t n = (size_t)ASN1_STRING_length(s);
    if (n == 0 || n >= size)
        return false;
    for (size_t i = 0; i < n; i++)
        if (p[i] <= ' ' || p[i] >= 0x7f)
            return false;
    memcpy(out, p, n);
    out[n] = '\0';
    return true;
}

/* The only one, or false. */
static bool common_name(X509 *certificate, char *out, size_t size)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
        return false;
    const ASN1_STRING *name = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    const int type = ASN1_STRING_type(name);
    return (type == V_ASN1_UTF8STRING || type == V_ASN1_PRINTABLESTRING || type == V_ASN1_IA5STRING) && copy(name, out, size);
}

/* The only rfc822Name among the alternative names, or false. */
static bool email(X509 *certificate, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int found = 0;
    bool good = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_EMAIL && ++found == 1)
            good = copy(name->d.rfc822Name, out, size);
    }
    GENERAL_NAMES_free(names);
    return good && found == 1;
}

void tls_client(X509 *certificate, enum tls_client_name which, char *out, size_t size)
{
    bool good = false;
    out[0] = '\0';
    if (certificate != NULL)
        good = which == TLS_CLIENT_CN ? common_name(certificate, out, size) : email(certificate, out, size);
    char *at = good && which != TLS_CLIENT_CN ? strchr(out, '@') : NULL;
    if (!good || (which != TLS_CLIENT_CN && (at == NULL || at == out)))
        out[0] = '\0';
    else if (which == TLS_CLIENT_EMAIL_LOCAL)
        *at = '\0';
}

size_t tls_endpoint(X509 *certificate, unsigned char *out, size_t size)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    int hash;
    if (certificate == NULL || OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &hash, NULL) != 1)
        return 0;
    if (hash == NID_md5 || hash == NID_sha1)
        hash = NID_sha256;
    const EVP_MD *type = EVP_get_digestbynid(hash);
    if (type == NULL || X509_digest(certificate, type, md, &n) != 1 || n > size)
        return 0;                          /* RSA-PSS and Ed25519: the certificate's algorithm names no one hash */
    memcpy(out, md, n);
    return n;
}
