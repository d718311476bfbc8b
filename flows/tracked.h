/* Tracked: what becomes of a connection that a switch tracks for a port, under a list of rules.
 *
 * The pipeline judges a connection whose mark is not live by the packet that opened it, whichever packet comes next: its original
 * addresses and ports, in the direction in which it was opened.  SCTP alone is judged by each packet's own ports, as one of an
 * association that its direction's rules allow or as an answer to one that the other direction's do.  What a switch does not tell
 * of a connection is not guessed: where it matters, the answer is that nobody knows.
 *
 * Pure, and judged by flows/explain.c, which shares no code with the compiler. */

#ifndef SALLYPORT_FLOWS_TRACKED_H
#define SALLYPORT_FLOWS_TRACKED_H 1

#include "flows/explain.h"
#include "sallyport/object.h"

enum sp_way { SP_WAY_UNKNOWN, SP_WAY_INBOUND, SP_WAY_OUTBOUND };

/* A connection, as the packet that opened it went. */
struct sp_tracked {
    enum sp_way way;    /* Who opened it: the remote end, or the server. */
    struct sp_cidr src; /* Two single addresses of one family. */
    struct sp_cidr dst;
    uint8_t protocol;   /* IP protocol number. */
    bool has_ports;     /* SCTP with the ports 0 and 0 has none: the switch does not look at them. */
    bool has_icmp;
    uint16_t src_port;
    uint16_t dst_port;
    uint8_t icmp_type;
    uint8_t icmp_code;
};

/* Finds out who opened the connection from 'src' to 'dst' (single addresses) that is tracked for 'port'.  Returns false for what
 * is none of the port's addresses: somebody else's, in a zone that others use as well, or of a frame for the port's MAC with
 * another's address.  '*ret' is then untouched. */
bool sp_tracked_find_way(const struct sp_port *port, const struct sp_cidr *src, const struct sp_cidr *dst, enum sp_way *ret);

enum sp_passage {
    SP_PASSAGE_STOPS,
    SP_PASSAGE_PASSES,
    SP_PASSAGE_UNKNOWN, /* The rules decide by something that is not known of the connection. */
};

/* Judges the next packet of 'tracked' by 'rules' ('n' pointers) as sp_explain() does; 'is_member' and 'aux' are its.  With
 * SP_PASSAGE_PASSES the index of the rule that allows it is in '*ret_rule', else -1. */
enum sp_passage sp_tracked_judge(const struct sp_meaning *const rules[], size_t n, const struct sp_tracked *tracked,
                                 sp_is_member *is_member, void *aux, ptrdiff_t *ret_rule);

/* At most how many rules sp_tracked_judge() looks at for one connection, of 'n'. */
size_t sp_tracked_cost(size_t n, const struct sp_tracked *tracked);

#endif
