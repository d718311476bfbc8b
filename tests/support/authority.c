#include "tests/support/authority.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_S (24L * 3600)

struct authority {
    char directory[64];
    char name[32];
    EVP_PKEY *key;
    X509 *certificate;
    long serial;
};

static FILE *
create(const struct authority *a, const char *stem, const char *ending)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s%s", a->directory, stem, ending);
    mode_t old = umask(077);
    FILE *file = fopen(path, "w");
    umask(old);
    assert_non_null(file);
    return file;
}

static void
add_name(X509_NAME *subject, const char *text)
{
    assert_true(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *) text, -1, -1, 0));
}

static X509 *
make(struct authority *a, EVP_PKEY *key, const struct leaf *leaf, bool is_ca)
{
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    assert_true(X509_set_version(certificate, 2));
    assert_true(ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++a->serial));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), leaf->from_days * DAY_S));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), leaf->until_days * DAY_S));
    X509_NAME *subject = X509_get_subject_name(certificate);
    if (leaf->name) {
        add_name(subject, leaf->name);
    }
    if (leaf->second) {
        add_name(subject, leaf->second);
    }
    assert_true(X509_set_issuer_name(certificate, is_ca ? subject : X509_get_subject_name(a->certificate)));
    assert_true(X509_set_pubkey(certificate, key));
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    assert_non_null(extension);
    assert_true(X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(certificate, a->key, EVP_sha256()));
    return certificate;
}

struct authority *
authority_new(const char *directory, const char *name)
{
    struct authority *a = calloc(1, sizeof *a);
    assert_non_null(a);
    snprintf(a->directory, sizeof a->directory, "%s", directory);
    snprintf(a->name, sizeof a->name, "%s", name);
    a->key = EVP_EC_gen("P-256");
    assert_non_null(a->key);
    const struct leaf self = {.name = name, .from_days = -1, .until_days = 30};
    a->certificate = make(a, a->key, &self, true);
    FILE *file = create(a, name, "-ca.pem");
    assert_true(PEM_write_X509(file, a->certificate));
    fclose(file);
    return a;
}

void
authority_free(struct authority *a)
{
    X509_free(a->certificate);
    EVP_PKEY_free(a->key);
    free(a);
}

void
authority_issue(struct authority *a, const struct leaf *leaf)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    X509 *certificate = make(a, key, leaf, false);
    FILE *file = create(a, leaf->file, "-cert.pem");
    assert_true(PEM_write_X509(file, certificate));
    fclose(file);
    file = create(a, leaf->file, "-key.pem");
    assert_true(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void
authority_revoke_all(struct authority *a)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -DAY_S), *next = X509_gmtime_adj(NULL, DAY_S);
    assert_true(crl && now && next);
    assert_true(X509_CRL_set_version(crl, 1));
    assert_true(X509_CRL_set_issuer_name(crl, X509_get_subject_name(a->certificate)));
    assert_true(X509_CRL_set1_lastUpdate(crl, now) && X509_CRL_set1_nextUpdate(crl, next));
    for (long serial = 2; serial <= a->serial; serial++) { /* 1 is the authority's own. */
        X509_REVOKED *revoked = X509_REVOKED_new();
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        assert_true(revoked && number && ASN1_INTEGER_set(number, serial));
        assert_true(X509_REVOKED_set_serialNumber(revoked, number) && X509_REVOKED_set_revocationDate(revoked, now));
        assert_true(X509_CRL_add0_revoked(crl, revoked));
        ASN1_INTEGER_free(number);
    }
    assert_true(X509_CRL_sort(crl) && X509_CRL_sign(crl, a->key, EVP_sha256()));
    FILE *file = create(a, a->name, "-crl.pem");
    assert_true(PEM_write_X509(file, a->certificate) && PEM_write_X509_CRL(file, crl));
    fclose(file);
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
    X509_CRL_free(crl);
}
