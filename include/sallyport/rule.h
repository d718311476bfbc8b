/* What a security rule says, apart from its id and its description.
 *
 * Verdict of a list of rules for a connection: among the rules that match, the lowest priority number decides; among
 * equals deny wins; no match is deny.  Nothing else in the list changes what a rule means.  Two implementations of this
 * sentence exist on purpose and share no code: flows/explain.c judges directly, flows/compile_rules.c makes flows. */

#ifndef SALLYPORT_RULE_H
#define SALLYPORT_RULE_H 1

#include "sallyport/value.h"

enum sp_direction { SP_INBOUND, SP_OUTBOUND }; /* Seen from the server. */
enum sp_verdict { SP_DENY, SP_ALLOW };
enum sp_remote { SP_REMOTE_ANY, SP_REMOTE_CIDR, SP_REMOTE_GROUP };

#define SP_PROTOCOL_ANY (-1)
#define SP_PROTOCOL_ICMP 1
#define SP_PROTOCOL_TCP 6
#define SP_PROTOCOL_UDP 17
#define SP_PROTOCOL_ICMPV6 58
#define SP_PROTOCOL_SCTP 132

#define SP_PRIORITY_MIN 1 /* Decides first. */
#define SP_PRIORITY_MAX 1000
#define SP_PRIORITY_DEFAULT 100

struct sp_meaning {
    enum sp_direction direction;
    enum sp_verdict action;
    uint16_t priority;    /* SP_PRIORITY_MIN to SP_PRIORITY_MAX, lower wins. */
    int16_t protocol;     /* IP protocol number 0 to 255, or SP_PROTOCOL_ANY. */
    enum sp_remote remote;
    struct sp_cidr remote_cidr;  /* With SP_REMOTE_CIDR. */
    struct sp_uuid remote_group; /* With SP_REMOTE_GROUP: the addresses of its members' ports. */
    int32_t port_min;     /* 0 to 65535, or -1 with port_max -1: all; tcp, udp, sctp only. */
    int32_t port_max;
    int16_t icmp_type;    /* 0 to 255 or -1: all; protocols 1 and 58 only. */
    int16_t icmp_code;    /* Likewise; needs a type. */
};

/* True if 'a' and 'b' decide alike about every packet in every list: 0-65535 equals "all ports", and ::/0 or 0.0.0.0/0
 * differ from "any" (one family only) but equal it for a protocol of that family alone (icmp, icmpv6). */
bool sp_meaning_equal(const struct sp_meaning *a, const struct sp_meaning *b);

#endif
