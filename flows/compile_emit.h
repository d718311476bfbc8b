/* How the compiler's files make flows: one after the other on one builder, with one error at the end.
 *
 * The first error stays; everything after it does nothing, so that a list of flows reads as a list.  With 'seen' a flow
 * whose key was emitted before is left out: the first one stands. */

#ifndef SALLYPORT_FLOWS_COMPILE_EMIT_H
#define SALLYPORT_FLOWS_COMPILE_EMIT_H 1

#include "flows/table.h"
#include "sallyport/pipeline.h"

/* Ethernet types, IP protocols and ports that the pipeline names.  Source: IANA's registries. */
#define SP_ETH_IPV4 0x0800u
#define SP_ETH_ARP 0x0806u
#define SP_ETH_IPV6 0x86ddu
#define SP_IP_UDP 17u
#define SP_IP_ICMPV6 58u
#define SP_IP_SCTP 132u

#define SP_TCI_TAGGED 0x1000u /* As SP_F_VLAN_TCI has it. */
#define SP_TCI_VID 0x0fffu

#define SP_CT_VALID_VALUE SP_CT_TRK /* ct_state=-inv+trk, without which the original tuple cannot be matched (ovs-fields(7)). */
#define SP_CT_VALID_MASK (SP_CT_TRK | SP_CT_INV)

struct sp_emit {
    struct sp_flow_list *out;   /* Borrowed. */
    struct sp_flow_table *seen; /* Borrowed, or NULL: all flows are known to differ. */
    size_t n_left_out;          /* Because they had been seen. */
    int error;                  /* 0, -ENOMEM or SP_E_RANGE. */
    uint64_t cookie;            /* Of the flows to come. */
    struct sp_flow_build build; /* The flow under way. */
};

/* Starts emitting to 'out' with 'cookie'. */
void sp_emit_init(struct sp_emit *, struct sp_flow_list *out, struct sp_flow_table *seen, uint64_t cookie);

/* Begins a flow of 'table' with 'priority'; terms and operations go to 'build'.  Returns 'build'. */
struct sp_flow_build *sp_emit_begin(struct sp_emit *, uint8_t table, uint16_t priority);

/* Ends the flow under way and appends it. */
void sp_emit_end(struct sp_emit *);

/* Appends 'flow' (a reference is taken), which was made before. */
void sp_emit_flow(struct sp_emit *, struct sp_flow *flow);

/* Ends the flow under way with goto 'table'. */
void sp_emit_goto(struct sp_emit *, uint8_t table);

/* Terms: IP protocol 'proto' of Ethernet type 'eth_type'; ct_state = -inv+trk. */
void sp_match_ip(struct sp_flow_build *, uint16_t eth_type, uint8_t proto);
void sp_match_valid(struct sp_flow_build *);

/* A frame without an 802.1Q tag. */
void sp_match_untagged(struct sp_flow_build *);

/* Operations: a copy to each of the server ports 'ofports' ('n' of them) through its filter. */
void sp_enter_each(struct sp_flow_build *, const uint16_t *ofports, size_t n);

/* Operations: nothing is to be known any more of who sent the frame, so that SENDER does not ask for it. */
void sp_forget_sender(struct sp_flow_build *);

#endif
