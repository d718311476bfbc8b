/* A TLS client that a test drives byte by byte: OpenSSL between two buffers, beside a plain socket that never blocks. */

#ifndef SALLYPORT_TESTS_SUPPORT_TLS_CLIENT_H
#define SALLYPORT_TESTS_SUPPORT_TLS_CLIENT_H 1

#include <openssl/ssl.h>
#include <stdint.h>

struct authority;

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out; /* From the network and to it. */
    int fd;
};

/* Connects to 'port' of this machine, with a certificate "client" that 'authority' makes in 'directory'. */
void tls_client_open(struct tls_client *, struct authority *authority, const char *directory, uint16_t port);
void tls_client_close(struct tls_client *);
/* Sends at most 'n' bytes of what there is to send.  Returns how many. */
size_t tls_client_send(struct tls_client *, size_t n);
/* Reads what the network has. */
void tls_client_take(struct tls_client *);

#endif
