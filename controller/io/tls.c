#include "controller/io/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/io/tls_files.h"

struct sp_tls_channel {
    struct sp_tls *tls;
    SSL *ssl;   /* Owns both buffers. */
    BIO *in;    /* From the network; at most what was fed and is not a whole record yet. */
    BIO *out;   /* To the network; its owner empties it after each call. */
    struct sp_tls_identity identity;
};

static void identify(struct sp_tls_channel *);
static void take_name(const X509 *, char *out, size_t size);
static int explain(struct sp_tls_channel *, char *why, size_t why_size);

struct sp_tls_channel *
sp_tls_channel_new(struct sp_tls *tls, bool accepts)
{
    struct sp_tls_channel *channel = calloc(1, sizeof *channel);
    if (!channel) {
        return NULL;
    }
    ERR_clear_error();
    channel->tls = sp_tls_ref(tls);
    channel->ssl = SSL_new(tls->context);
    channel->in = BIO_new(BIO_s_mem());
    channel->out = BIO_new(BIO_s_mem());
    if (!channel->ssl || !channel->in || !channel->out) {
        BIO_free(channel->in);
        BIO_free(channel->out);
        sp_tls_channel_free(channel);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(channel->ssl, channel->in, channel->out);
    if (accepts) {
        SSL_set_accept_state(channel->ssl);
    } else {
        SSL_set_connect_state(channel->ssl);
    }
    return channel;
}

void
sp_tls_channel_free(struct sp_tls_channel *channel)
{
    if (channel) {
        SSL_free(channel->ssl);
        sp_tls_unref(channel->tls);
        free(channel);
    }
}

int
sp_tls_channel_feed(struct sp_tls_channel *channel, const void *data, size_t size)
{
    /* A memory BIO takes all, or has no memory. */
    return size <= INT_MAX && BIO_write(channel->in, data, (int) size) == (int) size ? 0 : -ENOMEM;
}

int
sp_tls_channel_shake(struct sp_tls_channel *channel, char *why, size_t why_size)
{
    ERR_clear_error();
    int r = SSL_do_handshake(channel->ssl);
    if (r == 1) {
        identify(channel);
        return 0;
    }
    return SSL_get_error(channel->ssl, r) == SSL_ERROR_WANT_READ ? SP_E_STALE : explain(channel, why, why_size);
}

int
sp_tls_channel_read(struct sp_tls_channel *channel, void *out, size_t size, size_t *ret_n, char *why, size_t why_size)
{
    ERR_clear_error();
    int r = SSL_read(channel->ssl, out, size <= INT_MAX ? (int) size : INT_MAX);
    *ret_n = r > 0 ? (size_t) r : 0;
    if (r > 0) {
        return 0;
    }
    switch (SSL_get_error(channel->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        snprintf(why, why_size, "the peer closed the connection");
        return SP_E_CLOSED;
    default:
        return explain(channel, why, why_size);
    }
}

int
sp_tls_channel_write(struct sp_tls_channel *channel, const void *data, size_t size)
{
    ERR_clear_error();
    /* The buffer to the network grows, so that all is written or nothing can be any more. */
    bool is_done = size <= INT_MAX && SSL_write(channel->ssl, data, (int) size) == (int) size;
    ERR_clear_error();
    return is_done ? 0 : SP_E_INVALID;
}

void
sp_tls_channel_end(struct sp_tls_channel *channel)
{
    ERR_clear_error();
    (void) SSL_shutdown(channel->ssl); /* The peer's answer is not waited for. */
    ERR_clear_error();
}

size_t
sp_tls_channel_pending(const struct sp_tls_channel *channel)
{
    return BIO_ctrl_pending(channel->out);
}

size_t
sp_tls_channel_take(struct sp_tls_channel *channel, void *out, size_t size)
{
    int n = BIO_read(channel->out, out, size <= INT_MAX ? (int) size : INT_MAX);
    return n > 0 ? (size_t) n : 0;
}

const struct sp_tls_identity *
sp_tls_channel_identity(const struct sp_tls_channel *channel)
{
    return &channel->identity;
}

bool
sp_tls_channel_may_be(const struct sp_tls_channel *channel, uint64_t dpid)
{
    return sp_tls_peers_allow(channel->tls->peers, &channel->identity, dpid);
}

static void
identify(struct sp_tls_channel *channel)
{
    struct sp_tls_identity *identity = &channel->identity;
    const X509 *certificate = SSL_get0_peer_certificate(channel->ssl);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!certificate || !X509_digest(certificate, EVP_sha256(), digest, &n)) {
        return; /* It stays nobody, who may be nothing. */
    }
    size_t len = (size_t) snprintf(identity->fingerprint, sizeof identity->fingerprint, "sha256:");
    for (unsigned i = 0; i < n; i++) {
        len += (size_t) snprintf(identity->fingerprint + len, sizeof identity->fingerprint - len, "%02x", digest[i]);
    }
    take_name(certificate, identity->name, sizeof identity->name);
}

/* The common name up to the first blank; "" unless there is exactly one, of printable ASCII. */
static void
take_name(const X509 *certificate, char *out, size_t size)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    *out = '\0';
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) {
        return;
    }
    unsigned char *text;
    int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (len < 0) {
        return;
    }
    size_t n = 0;
    bool is_good = true;
    for (int i = 0; i < len; i++) {
        is_good &= text[i] >= ' ' && text[i] <= '~';
    }
    while (n < (size_t) len && text[n] != ' ') {
        n++;
    }
    if (is_good && n < size) {
        memcpy(out, text, n);
        out[n] = '\0';
    }
    OPENSSL_free(text);
}

static int
explain(struct sp_tls_channel *channel, char *why, size_t why_size)
{
    char reason[120];
    long verdict = SSL_get_verify_result(channel->ssl);
    sp_tls_take_error(reason, sizeof reason);
    if (verdict != X509_V_OK) {
        snprintf(why, why_size, "TLS: the peer's certificate: %s", X509_verify_cert_error_string(verdict));
    } else {
        snprintf(why, why_size, "TLS: %s", *reason ? reason : "the peer broke the protocol");
    }
    return SP_E_INVALID;
}
