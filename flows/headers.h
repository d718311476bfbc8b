/* What the beginning of a frame says about its connection: addresses, protocol, ports.
 *
 * Pure, and made for bytes that an enemy chose: nothing is read beyond 'size', at most one VLAN tag and
 * SP_HEADERS_EXTENSIONS_MAX extension headers are passed over, and what does not fit is an answer, not a guess. */

#ifndef SALLYPORT_FLOWS_HEADERS_H
#define SALLYPORT_FLOWS_HEADERS_H 1

#include "sallyport/value.h"

#define SP_HEADERS_EXTENSIONS_MAX 8u

struct sp_headers {
    struct sp_cidr src; /* Single addresses of one family. */
    struct sp_cidr dst;
    uint8_t protocol;   /* IANA's number, of the header behind the last extension. */
    bool has_ports;     /* TCP, UDP, SCTP: 'src_port' and 'dst_port' are there. */
    bool has_icmp;      /* ICMP of the address family: 'icmp_type' and 'icmp_code' are there. */
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t icmp_type;
    uint8_t icmp_code;
};

/* Reads the Ethernet frame of which the first 'size' bytes are at 'bytes'.  A frame that is cut off behind the addresses and the
 * protocol, and a later fragment, have neither ports nor ICMP type.  Returns 0, or SP_E_SYNTAX if there is no IPv4 or
 * IPv6 header to be read, with '*ret' untouched.  Sources: IEEE 802.1Q, RFC 791, RFC 8200 section 4, RFC 4302. */
int sp_headers_parse(const uint8_t *bytes, size_t size, struct sp_headers *ret) SP_MUST_USE;

#endif
