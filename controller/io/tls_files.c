#include "controller/io/tls_files.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "controller/obs/log.h"

/* Of TLS 1.2: ephemeral keys and authenticated encryption only.  Those of TLS 1.3 are all of that kind. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM"
#define DEPTH_MAX 5

static int load(const struct sp_tls *, SSL_CTX **ret_context, struct sp_tls_peers **ret_peers, char *why, size_t why_size);
static SSL_CTX *make_context(void);
static int load_key(SSL_CTX *, const struct sp_tls *, char *why, size_t why_size);
static int load_ca(SSL_CTX *, const char *path, char *why, size_t why_size);
static bool has_crl(SSL_CTX *);
static int complain(const char *path, const char *what, char *why, size_t why_size);
static int refuse_passphrase(char *, int, int, void *);

int
sp_tls_new(const struct sp_tls_files *files, unsigned handshake_ms, struct sp_tls **ret, char *why, size_t why_size)
{
    struct sp_tls *tls = calloc(1, sizeof *tls);
    if (tls) {
        tls->refs = 1;
        tls->handshake_ms = handshake_ms;
        tls->private_key = strdup(files->private_key);
        tls->certificate = strdup(files->certificate);
        tls->ca_cert = strdup(files->ca_cert);
        tls->peer_file = files->peers ? strdup(files->peers) : NULL;
    }
    if (!tls || !tls->private_key || !tls->certificate || !tls->ca_cert || (files->peers && !tls->peer_file)) {
        snprintf(why, why_size, "%s", strerror(ENOMEM));
        sp_tls_unref(tls);
        return -ENOMEM;
    }
    int r = load(tls, &tls->context, &tls->peers, why, why_size);
    if (r) {
        sp_tls_unref(tls);
        return r;
    }
    *ret = tls;
    return 0;
}

struct sp_tls *
sp_tls_ref(struct sp_tls *tls)
{
    if (tls) {
        tls->refs++;
    }
    return tls;
}

void
sp_tls_unref(struct sp_tls *tls)
{
    if (tls && !--tls->refs) {
        SSL_CTX_free(tls->context);
        sp_tls_peers_free(tls->peers);
        free(tls->private_key);
        free(tls->certificate);
        free(tls->ca_cert);
        free(tls->peer_file);
        free(tls);
    }
}

int
sp_tls_reload(struct sp_tls *tls, char *why, size_t why_size)
{
    SSL_CTX *context;
    struct sp_tls_peers *peers;
    int r = load(tls, &context, &peers, why, why_size);
    if (r) {
        return r;
    }
    SSL_CTX_free(tls->context); /* Each channel has a reference of its own. */
    sp_tls_peers_free(tls->peers);
    tls->context = context;
    tls->peers = peers;
    return 0;
}

void
sp_tls_warn(const struct sp_tls *tls)
{
    struct stat status;
    if (!stat(tls->private_key, &status) && S_ISREG(status.st_mode) && status.st_mode & S_IROTH) {
        sp_log(SP_LOG_WARNING, "tls", "private key %s can be read by everybody: chmod o-r is advised", tls->private_key);
    }
    if (X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(tls->context))) < 0) {
        sp_log(SP_LOG_WARNING, "tls", "certificate %s has run out: no switch will believe it", tls->certificate);
    }
}

unsigned
sp_tls_handshake_ms(const struct sp_tls *tls)
{
    return tls->handshake_ms;
}

void
sp_tls_take_error(char *out, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    snprintf(out, size, "%s", text ? text : code ? "an error without a name" : "");
    ERR_clear_error();
}

static int
load(const struct sp_tls *tls, SSL_CTX **ret_context, struct sp_tls_peers **ret_peers, char *why, size_t why_size)
{
    ERR_clear_error();
    SSL_CTX *context = make_context();
    struct sp_tls_peers *peers = NULL;
    int r = context ? 0 : complain("TLS", "cannot be set up", why, why_size);
    r = r ? r : load_key(context, tls, why, why_size);
    r = r ? r : load_ca(context, tls->ca_cert, why, why_size);
    if (!r && tls->peer_file) {
        r = sp_tls_peers_load(tls->peer_file, &peers, why, why_size);
    }
    if (r) {
        SSL_CTX_free(context);
        return r;
    }
    *ret_context = context;
    *ret_peers = peers;
    return 0;
}

static SSL_CTX *
make_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    if (!context) {
        return NULL;
    }
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION
                                 | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify_depth(context, DEPTH_MAX);
    SSL_CTX_set_default_passwd_cb(context, refuse_passphrase);
    if (!SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) || !SSL_CTX_set_num_tickets(context, 0)
        || !SSL_CTX_set_cipher_list(context, CIPHERS)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

static int
load_key(SSL_CTX *context, const struct sp_tls *tls, char *why, size_t why_size)
{
    if (SSL_CTX_use_certificate_chain_file(context, tls->certificate) != 1) {
        return complain(tls->certificate, "cannot be read as a certificate", why, why_size);
    }
    if (SSL_CTX_use_PrivateKey_file(context, tls->private_key, SSL_FILETYPE_PEM) != 1) {
        return complain(tls->private_key, "cannot be read as the certificate's private key without a passphrase", why, why_size);
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        return complain(tls->private_key, "is not the certificate's private key", why, why_size);
    }
    return 0;
}

static int
load_ca(SSL_CTX *context, const char *path, char *why, size_t why_size)
{
    if (SSL_CTX_load_verify_file(context, path) != 1) {
        return complain(path, "cannot be read as certificates of a CA", why, why_size);
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    if (!names) {
        return complain(path, "has no certificate of a CA", why, why_size);
    }
    SSL_CTX_set_client_CA_list(context, names);
    /* A CRL that stands there and is not looked at would be a promise broken. */
    if (has_crl(context) && !X509_STORE_set_flags(SSL_CTX_get_cert_store(context), X509_V_FLAG_CRL_CHECK)) {
        return complain(path, "has a CRL that cannot be obeyed", why, why_size);
    }
    ERR_clear_error();
    return 0;
}

static bool
has_crl(SSL_CTX *context)
{
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context));
    bool found = false;
    for (int i = 0; i < sk_X509_OBJECT_num(objects) && !found; i++) {
        found = X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_CRL;
    }
    return found;
}

/* Says what is wrong with the file at 'path'. */
static int
complain(const char *path, const char *what, char *why, size_t why_size)
{
    char reason[120];
    int error = ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SYS ? ERR_GET_REASON(ERR_peek_error()) : 0;
    sp_tls_take_error(reason, sizeof reason);
    if (error) {
        snprintf(why, why_size, "%.200s: %s", path, strerror(error));
        return -error;
    }
    snprintf(why, why_size, "%.200s %s%s%s", path, what, *reason ? ": " : "", reason);
    return SP_E_INVALID;
}

/* OpenSSL would ask at the terminal. */
static int
refuse_passphrase(char *out, int size, int is_writing, void *aux)
{
    return -1;
}
