/* Explain: which rule decides about one connection, judged directly from the rules' meaning.
 *
 * This evaluator is written apart from the compiler and shares no code with it, so that each can be tested against
 * the other. */

#ifndef SALLYPORT_FLOWS_EXPLAIN_H
#define SALLYPORT_FLOWS_EXPLAIN_H 1

#include "sallyport/rule.h"

/* A connection as the port sees its first packet. */
struct sp_connection {
    enum sp_direction direction;
    uint8_t protocol;      /* IP protocol number. */
    struct sp_cidr remote; /* A single address. */
    int32_t port;          /* Destination port of the first packet, for tcp, udp, sctp; -1 = not known: no rule that names
                            * ports (fewer than all) matches. */
    int16_t icmp_type;     /* For icmp and icmpv6; -1 = not known: no rule that names a type matches. */
    int16_t icmp_code;
};

/* Tells whether 'address' belongs to a port of a member of 'group'. */
typedef bool sp_is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address);

/* Returns the index in 'rules' (an array of 'n' pointers) of the rule that decides about 'connection', or -1 if none
 * matches (which denies).  Among allowing rules of equal priority the first in the array is named. */
ptrdiff_t sp_explain(const struct sp_meaning *const rules[], size_t n, const struct sp_connection *connection,
                     sp_is_member *is_member, void *aux);

#endif
