/* OVS connection methods as parsed values; see transport.h for what they do. */

#ifndef SALLYPORT_CONTROLLER_IO_METHOD_H
#define SALLYPORT_CONTROLLER_IO_METHOD_H 1

#include <sys/socket.h>
#include <sys/un.h>

#include "sallyport/value.h"

struct sp_method_spec {
    bool listens;                 /* ptcp, punix; else it dials. */
    bool tls;                     /* pssl, ssl. */
    bool local;                   /* A unix socket; 'address' is a sockaddr_un. */
    struct sockaddr_storage address;
    socklen_t address_size;       /* Bytes of 'address' that count. */
};

/* Parses 'method' into '*ret'.  Returns 0, or SP_E_SYNTAX with one line in 'why' ('why_size' bytes) and '*ret' untouched.
 *  Source: ovsdb(7), "Connection Methods". */
int sp_method_parse(const char *method, struct sp_method_spec *ret, char *why, size_t why_size) SP_MUST_USE;

#define SP_PEER_SIZE 128 /* Enough for every text that sp_method_format_peer() makes. */
/* Prints the address of a TCP peer or the path of a unix socket as OVS writes it: "tcp:192.0.2.1:40000",
 * "tcp:[2001:db8::1]:40000" ("ssl:..." with 'tls'), "unix:/path".  'out' has SP_PEER_SIZE bytes.  Returns 'out'. */
const char *sp_method_format_peer(const struct sockaddr_storage *, bool tls, char *out);

#endif
