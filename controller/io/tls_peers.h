/* Which datapath a certificate may speak for.
 *
 * The private CA says who somebody is; this says what he may be.  A certificate has one name: the common name of its subject up
 * to the first blank ("hv1" of ovs-pki's "hv1 id:8a4b...").  Names elsewhere in it do not count: ovs-pki copies them
 * unseen from the request.  The first of these that applies decides, alone:
 *
 *   1. the file's line for the certificate's fingerprint;
 *   2. the file's line for its name;
 *   3. its name itself, if that is a datapath id: 16 hexadecimal digits;
 *   4. the file's line for "*";
 *   5. nothing: no datapath is allowed.
 *
 * The file has one line for each: "WHO DPID...", with WHO a name, "sha256:" and 64 hexadecimal digits, or "*"; and DPID 16
 * hexadecimal digits, or "any".  A line without a DPID allows nothing, so it is how a certificate is revoked.  '#' begins a
 * comment line. */

#ifndef SALLYPORT_CONTROLLER_IO_TLS_PEERS_H
#define SALLYPORT_CONTROLLER_IO_TLS_PEERS_H 1

#include "sallyport/value.h"

#define SP_TLS_NAME_SIZE 128
#define SP_TLS_FINGERPRINT_SIZE 72 /* "sha256:", 64 lower-case digits, NUL. */

struct sp_tls_identity {
    char name[SP_TLS_NAME_SIZE]; /* "": the certificate has none, several, or one that is not printable ASCII. */
    char fingerprint[SP_TLS_FINGERPRINT_SIZE];
};

struct sp_tls_peers;

/* Reads 'text' ('size' bytes).  Returns 0 and a new object; SP_E_INVALID with "line N: ..." in 'why'; or -ENOMEM. */
int sp_tls_peers_parse(const char *text, size_t size, struct sp_tls_peers **ret, char *why, size_t why_size) SP_MUST_USE;
/* Reads the file at 'path', of at most 4 MiB.  Returns as sp_tls_peers_parse(), or another negative errno; 'why' names the
 * file. */
int sp_tls_peers_load(const char *path, struct sp_tls_peers **ret, char *why, size_t why_size) SP_MUST_USE;
void sp_tls_peers_free(struct sp_tls_peers *); /* NULL is fine. */

/* Whether who 'identity' describes may be datapath 'dpid'; 'peers' NULL: there is no file. */
bool sp_tls_peers_allow(const struct sp_tls_peers *peers, const struct sp_tls_identity *identity, uint64_t dpid);

#endif
