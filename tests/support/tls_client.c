#include "tests/support/tls_client.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/authority.h"

void
tls_client_open(struct tls_client *client, struct authority *authority, const char *directory, uint16_t port)
{
    char path[160];
    client->context = SSL_CTX_new(TLS_client_method());
    authority_issue(authority, &(struct leaf){.file = "client", .name = "client", .from_days = -1, .until_days = 1});
    snprintf(path, sizeof path, "%s/client-cert.pem", directory);
    assert_int_equal(SSL_CTX_use_certificate_file(client->context, path, SSL_FILETYPE_PEM), 1);
    snprintf(path, sizeof path, "%s/client-key.pem", directory);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(client->context, path, SSL_FILETYPE_PEM), 1);
    client->ssl = SSL_new(client->context);
    client->in = BIO_new(BIO_s_mem());
    client->out = BIO_new(BIO_s_mem());
    SSL_set_bio(client->ssl, client->in, client->out);
    SSL_set_connect_state(client->ssl);
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    int small = 4096;
    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(client->fd, (struct sockaddr *) &sin, sizeof sin), 0);
    assert_int_equal(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
}

void
tls_client_close(struct tls_client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    close(client->fd);
}

size_t
tls_client_send(struct tls_client *client, size_t n)
{
    char bytes[4096];
    int size = BIO_read(client->out, bytes, n < sizeof bytes ? (int) n : (int) sizeof bytes);
    for (int sent = 0; sent < size;) {
        ssize_t more = send(client->fd, bytes + sent, (size_t) (size - sent), MSG_NOSIGNAL);
        if (more < 0) {
            return errno == EAGAIN ? (size_t) sent : 0;
        }
        sent += (int) more;
    }
    return size > 0 ? (size_t) size : 0;
}

void
tls_client_take(struct tls_client *client)
{
    char bytes[4096];
    ssize_t n = recv(client->fd, bytes, sizeof bytes, 0);
    if (n > 0) {
        assert_int_equal(BIO_write(client->in, bytes, (int) n), n);
    }
}
