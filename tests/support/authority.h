/* A certificate authority for tests: makes keys and certificates in a directory, as PEM files. */

#ifndef SALLYPORT_TESTS_SUPPORT_AUTHORITY_H
#define SALLYPORT_TESTS_SUPPORT_AUTHORITY_H 1

#include <stdbool.h>

struct authority; /* Opaque; made with authority_new(). */

/* An authority of its own, whose certificate is 'directory'/'name'-ca.pem.  Fails the test if it cannot. */
struct authority *authority_new(const char *directory, const char *name);
void authority_free(struct authority *);

struct leaf {
    const char *file;   /* 'file'-key.pem and 'file'-cert.pem are made. */
    const char *name;   /* Common name; NULL: none. */
    const char *second; /* A second common name; NULL: none. */
    int from_days;      /* Valid from now and so many days, */
    int until_days;     /* to now and so many days. */
};
void authority_issue(struct authority *, const struct leaf *);
/* Writes 'directory'/'name'-crl.pem: the authority's certificate and a CRL that names the certificates issued before. */
void authority_revoke_all(struct authority *);

#endif
