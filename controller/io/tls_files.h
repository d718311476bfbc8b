/* Credentials from the side of tls.c, which makes channels of them. */

#ifndef SALLYPORT_CONTROLLER_IO_TLS_FILES_H
#define SALLYPORT_CONTROLLER_IO_TLS_FILES_H 1

#include <openssl/ssl.h>

#include "controller/io/tls.h"

struct sp_tls {
    unsigned refs;
    unsigned handshake_ms;
    char *private_key; /* Paths. */
    char *certificate;
    char *ca_cert;
    char *peer_file;   /* NULL: none. */
    SSL_CTX *context;
    struct sp_tls_peers *peers; /* NULL: no file. */
};

/* Puts OpenSSL's last complaint, "" if it has none, in 'out' and forgets all others. */
void sp_tls_take_error(char *out, size_t size);

#endif
