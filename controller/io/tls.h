/* TLS for the connections to switches: credentials, and one channel for each connection.
 *
 * Mutual always: both sides show a certificate of the private CA that the other one trusts.  TLS 1.2 and 1.3, ciphers with
 * forward secrecy, no renegotiation, no resumption, no early data.  What a certificate may do then is tls_peers.h's.
 *
 * A channel is a pure state machine between two memory buffers: what the network brought is fed in and what the network shall
 * have is taken out; the socket is stream.c's.  A change of the files (sp_tls_reload()) concerns the channels that are made
 * afterwards; only who may be which datapath changes for all.  Nothing here ever speaks anything but TLS. */

#ifndef SALLYPORT_CONTROLLER_IO_TLS_H
#define SALLYPORT_CONTROLLER_IO_TLS_H 1

#include "controller/io/tls_peers.h"

#define SP_TLS_HANDSHAKE_MS 10000 /* From the connection to the end of the handshake. */
#define SP_TLS_RECORD_MAX 16384   /* Bytes of plaintext in one record.  Source: RFC 8446 section 5.1. */

struct sp_tls;
struct sp_tls_channel;

struct sp_tls_files {
    const char *private_key; /* PEM, without a passphrase. */
    const char *certificate; /* PEM; those of intermediate CAs may follow. */
    const char *ca_cert;     /* PEM: whose certificates are believed.  CRLs in the same file are obeyed. */
    const char *peers;       /* As tls_peers.h says; NULL: none. */
};

/* Reads all files.  'handshake_ms': how long a handshake may take.  Returns 0 and new credentials with one reference, or
 * SP_E_INVALID or a negative errno with one line in 'why'. */
int sp_tls_new(const struct sp_tls_files *, unsigned handshake_ms, struct sp_tls **ret, char *why, size_t why_size) SP_MUST_USE;
struct sp_tls *sp_tls_ref(struct sp_tls *); /* NULL is fine. */
void sp_tls_unref(struct sp_tls *);         /* NULL is fine. */
/* Reads all files again.  As sp_tls_new(); on failure everything stays as it was. */
int sp_tls_reload(struct sp_tls *, char *why, size_t why_size) SP_MUST_USE;
/* Logs what is not wrong but should not be: a private key that everybody may read, a certificate that has run out. */
void sp_tls_warn(const struct sp_tls *);
unsigned sp_tls_handshake_ms(const struct sp_tls *);

/* A channel at the listening ('accepts') or the dialling end; holds a reference to 'tls'.  NULL: no memory. */
struct sp_tls_channel *sp_tls_channel_new(struct sp_tls *tls, bool accepts);
void sp_tls_channel_free(struct sp_tls_channel *); /* NULL is fine. */

/* Takes over 'size' bytes from the network.  Returns 0 or -ENOMEM. */
int sp_tls_channel_feed(struct sp_tls_channel *, const void *data, size_t size) SP_MUST_USE;
/* Goes on with the handshake.  Returns 0 once it is complete and the peer's certificate good; SP_E_STALE while the network has
 * to bring more; SP_E_INVALID with one line in 'why': it has failed. */
int sp_tls_channel_shake(struct sp_tls_channel *, char *why, size_t why_size) SP_MUST_USE;
/* Decrypts into 'out'.  Returns 0 and '*ret_n' (0: the network has to bring more), SP_E_CLOSED (the peer has ended the channel
 * in order) or SP_E_INVALID, both with one line in 'why'. */
int sp_tls_channel_read(struct sp_tls_channel *, void *out, size_t size, size_t *ret_n, char *why, size_t why_size) SP_MUST_USE;
/* Encrypts 'size' bytes (at least 1).  Returns 0 or SP_E_INVALID: the channel is of no use any more. */
int sp_tls_channel_write(struct sp_tls_channel *, const void *data, size_t size) SP_MUST_USE;
void sp_tls_channel_end(struct sp_tls_channel *); /* Says to the peer that nothing more will come. */

size_t sp_tls_channel_pending(const struct sp_tls_channel *);                 /* Bytes that the network shall have. */
size_t sp_tls_channel_take(struct sp_tls_channel *, void *out, size_t size); /* Takes some of them; returns how many. */

/* Who the peer is, once the handshake is complete. */
const struct sp_tls_identity *sp_tls_channel_identity(const struct sp_tls_channel *);
/* Whether the peer may be datapath 'dpid', by the files as they were last read. */
bool sp_tls_channel_may_be(const struct sp_tls_channel *, uint64_t dpid);

#endif
