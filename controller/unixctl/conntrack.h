/* Connections as Open vSwitch prints them: one a line, the same for the userspace and the kernel datapath.
 *
 *   tcp,orig=(src=203.0.113.9,dst=10.0.0.1,sport=40000,dport=22),reply=(...),zone=1,timeout=86399,mark=2,
 *   protoinfo=(state=ESTABLISHED)
 *
 * A protocol is a name or a number, what is 0 is left out, and what is not known here is skipped, as versions add fields.
 *
 * Source: ovs-dpctl(8), "dump-conntrack"; Open vSwitch 3.1, ct_dpif_format_entry(). */

#ifndef SALLYPORT_CONTROLLER_UNIXCTL_CONNTRACK_H
#define SALLYPORT_CONTROLLER_UNIXCTL_CONNTRACK_H 1

#include "sallyport/value.h"

#define SP_CONNTRACK_STATE_SIZE 24

/* A connection, as the packet that opened it went. */
struct sp_conntrack {
    uint8_t protocol;
    bool has_ports;         /* As printed; what is no ICMP has two, 0 where the tracker does not look at them. */
    bool has_icmp;
    bool has_timeout;
    struct sp_cidr src;     /* Two single addresses of one family. */
    struct sp_cidr dst;
    uint16_t src_port;
    uint16_t dst_port;
    uint16_t icmp_id;
    uint8_t icmp_type;
    uint8_t icmp_code;
    uint16_t zone;          /* 0: none. */
    uint32_t mark;
    uint32_t timeout_s;     /* With has_timeout: when it is forgotten, if nothing more comes. */
    char state[SP_CONNTRACK_STATE_SIZE]; /* "ESTABLISHED"; "": none was told. Of A-Z, 0-9 and '_' alone. */
};

/* Reads 'line', of 'size' bytes without the line's end.  Returns 0, or SP_E_SYNTAX with '*ret' untouched. */
int sp_conntrack_parse(const char *line, size_t size, struct sp_conntrack *ret) SP_MUST_USE;

#endif
