/* What HTTPS needs: a private key and the certificate chain that goes with it, as PEM text. */

#ifndef SALLYPORT_CONTROLLER_HTTP_CREDENTIALS_H
#define SALLYPORT_CONTROLLER_HTTP_CREDENTIALS_H 1

#include "sallyport/value.h"

struct sp_http_credentials {
    char *private_key; /* NUL-terminated; owned. */
    char *certificate;
    bool is_exposed;   /* Everybody may read the file of the key. */
};

/* Reads both files, of at most 1 MiB each; whether they fit is seen when a listener is opened.  Returns 0,
 * or a negative errno with one line in 'why'; sp_http_credentials_clear() is for success only. */
int sp_http_credentials_load(const char *private_key_path, const char *certificate_path, struct sp_http_credentials *ret,
                             char *why, size_t why_size) SP_MUST_USE;
void sp_http_credentials_clear(struct sp_http_credentials *); /* The key is wiped. */

#endif
