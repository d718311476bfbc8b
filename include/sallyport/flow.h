/* A flow entry as a value, independent of any OpenFlow version.
 *
 * A flow is one allocation, immutable and reference counted, in a canonical form: two flows match the same packets and
 * are the same entry of the switch's table exactly if their keys (table, priority, match bytes) are equal, and they do
 * the same if their cookies and action bytes are equal too.  The compiler builds flows with struct sp_flow_build, the
 * codec (flows/openflow/codec.h) turns them into messages and messages into them.  A flow that a switch reports and
 * that has a field or an action unknown here becomes an "alien" flow: its key is right, its body equals nothing.
 *
 * Match bytes: terms in ascending order of field, each the field's number, a byte that is 1 if a mask follows, the
 * value in network order and, if so, the mask.  Value bits outside of the mask are 0; a term with an all-zero mask is
 * left out; an all-one mask is no mask; a 128-bit register is matched as the four registers it consists of.  The match
 * bytes of an alien that matches an unknown field begin with SP_MATCH_OPAQUE, and what follows is the codec's.  Action
 * bytes: one operation after the other, see enum sp_op. */

#ifndef SALLYPORT_FLOW_H
#define SALLYPORT_FLOW_H 1

#include "sallyport/value.h"

/* Fields, named as in ovs-fields(7).  Their widths are in sp_field_size(). */
enum sp_field {
    SP_F_IN_PORT, /* 2 bytes: the switch's own port number. */
    SP_F_ETH_SRC,
    SP_F_ETH_DST,
    SP_F_ETH_TYPE,
    SP_F_VLAN_TCI, /* 2 bytes with the CFI bit as "a tag is present": 0/0x1000 = untagged. */
    SP_F_IP_FRAG,  /* 1 byte, of which two bits count: bit 0 any fragment, bit 1 a later one; mask 3 is exact. */
    SP_F_IP_PROTO,
    SP_F_IP_TTL,
    SP_F_IP_SRC,
    SP_F_IP_DST,
    SP_F_IPV6_SRC,
    SP_F_IPV6_DST,
    SP_F_TCP_SRC, /* Each transport's ports are fields of their own, as OXM has them. */
    SP_F_TCP_DST,
    SP_F_UDP_SRC,
    SP_F_UDP_DST,
    SP_F_SCTP_SRC,
    SP_F_SCTP_DST,
    SP_F_ICMP_TYPE,
    SP_F_ICMP_CODE,
    SP_F_ICMPV6_TYPE,
    SP_F_ICMPV6_CODE,
    SP_F_ARP_OP, /* 2 bytes. */
    SP_F_ARP_SPA,
    SP_F_ARP_TPA,
    SP_F_ARP_SHA,
    SP_F_ARP_THA,
    SP_F_ND_TARGET,
    SP_F_ND_SLL,
    SP_F_ND_TLL,
    SP_F_CT_STATE, /* 4 bytes, SP_CT_... bits. */
    SP_F_CT_ZONE,
    SP_F_CT_MARK,
    SP_F_CT_NW_PROTO,
    SP_F_CT_NW_SRC,
    SP_F_CT_NW_DST,
    SP_F_CT_IPV6_SRC,
    SP_F_CT_IPV6_DST,
    SP_F_CT_TP_SRC,
    SP_F_CT_TP_DST,
    SP_F_REG0, /* 4 bytes each, up to REG15. */
    SP_F_REG15 = SP_F_REG0 + 15,
    SP_F_XXREG0, /* 16 bytes: REG0 (most significant) to REG3, and so on.  Never in match bytes. */
    SP_F_XXREG1,
    SP_F_XXREG2,
    SP_F_XXREG3,
    SP_N_FIELDS
};

#define SP_MATCH_OPAQUE 0xffu /* No field's number. */

#define SP_F_REG(N) (SP_F_REG0 + (N))

#define SP_CT_NEW 0x01u /* ovs-fields(7), ct_state. */
#define SP_CT_EST 0x02u
#define SP_CT_REL 0x04u
#define SP_CT_RPL 0x08u
#define SP_CT_INV 0x10u
#define SP_CT_TRK 0x20u

/* Operations, with their arguments in action bytes (u16, u32, u64 in network order). */
enum sp_op {
    SP_OP_OUTPUT,     /* u16 port */
    SP_OP_OUTPUT_REG, /* u8 field of 4 bytes: output to the port whose number is in its low 16 bits */
    SP_OP_GOTO,       /* u8 table, greater than the flow's own; last */
    SP_OP_RESUBMIT,   /* u8 table */
    SP_OP_LOAD,       /* u8 field, u8 first bit, u8 bits (1 to 64), u64 value */
    SP_OP_MOVE,       /* u8 source field, u8 first bit, u8 destination field, u8 first bit, u8 bits */
    SP_OP_PUSH,       /* u8 field, u8 first bit, u8 bits (1 to 128): onto the packet's stack */
    SP_OP_POP,        /* u8 field, u8 first bit, u8 bits: from there */
    SP_OP_CT,         /* u8 flags (SP_CT_OP_...), u8 zone field, u8 first bit of 16, u8 table to go on in, then what is done to
                       * ct_mark: u8 field of 4 bytes to copy from, or 0xff for nothing */
    SP_OP_PUSH_VLAN,  /* 802.1Q, tag 0 */
    SP_OP_POP_VLAN,
    SP_OP_LEARN_MAC,  /* u8 table, u16 priority, u16 idle timeout in s, u32 limit, u64 cookie, u8 VLAN register, u8 port register:
                       * add to 'table' a flow that matches the VLAN register's low 12 bits and a destination MAC equal to this
                       * packet's source, and that loads this packet's in_port into the port register's low 16 bits; delete
                       * what was learned when this flow goes */
    SP_OP_METER,      /* u32 meter, 1 and up; first: what exceeds it goes no further, and the flow goes when the meter does */
    SP_OP_CONTROLLER, /* u16 bytes of the packet, u16 controller id: a copy of its beginning to the controller of that id */
    SP_N_OPS
};

#define SP_CT_OP_COMMIT 0x01u

struct sp_flow {
    unsigned refs;
    uint32_t hash; /* Of the key. */
    uint64_t cookie;
    uint16_t priority;
    uint8_t table;
    bool alien;
    uint16_t match_size;   /* Bytes. */
    uint16_t actions_size; /* Bytes. */
    uint8_t bytes[];       /* Match, then actions. */
};

/* Bytes of 'field', 1 to 16. */
size_t sp_field_size(enum sp_field field);

/* A flow under construction, on the caller's storage.  A term or an operation that does not fit, a field that is matched
 * twice, or a number outside of its range (a value wider than its field, a GOTO backwards or not last) makes
 * sp_flow_build_done() fail, so that callers need not check each step. */
#define SP_MATCH_SIZE_MAX 512
#define SP_ACTIONS_SIZE_MAX 16384

struct sp_flow_build {
    uint64_t cookie;
    uint16_t priority;
    uint8_t table;
    bool failed;
    bool ended; /* By a GOTO: no operation may follow. */
    uint16_t match_size;
    uint16_t actions_size;
    uint8_t match[SP_MATCH_SIZE_MAX];
    uint8_t actions[SP_ACTIONS_SIZE_MAX];
};

/* Starts a flow of 'table' (0 to 253) with 'priority' (1 to 65535) and no term: it matches everything and drops. */
void sp_flow_build_init(struct sp_flow_build *, uint8_t table, uint16_t priority, uint64_t cookie);

/* Adds a term.  _uint takes the value and mask in host order for fields of up to 8 bytes (a mask of all ones of the
 * field's width or more matches exactly); _bytes takes both in network order, sp_field_size() bytes each, 'mask' NULL = exact. */
void sp_flow_match_uint(struct sp_flow_build *, enum sp_field, uint64_t value, uint64_t mask);
void sp_flow_match_exact(struct sp_flow_build *, enum sp_field, uint64_t value);
void sp_flow_match_bytes(struct sp_flow_build *, enum sp_field, const void *value, const void *mask);
/* Matches an address field ('field' for IPv4, 'field6' for IPv6) against 'cidr'; a prefix of 0 adds nothing. */
void sp_flow_match_cidr(struct sp_flow_build *, enum sp_field field, enum sp_field field6, const struct sp_cidr *cidr);

/* Adds an operation at the end; arguments as in enum sp_op. */
void sp_flow_output(struct sp_flow_build *, uint16_t port);
void sp_flow_output_reg(struct sp_flow_build *, enum sp_field reg);
void sp_flow_goto(struct sp_flow_build *, uint8_t table);
void sp_flow_resubmit(struct sp_flow_build *, uint8_t table);
void sp_flow_load(struct sp_flow_build *, enum sp_field, unsigned first_bit, unsigned n_bits, uint64_t value);
void sp_flow_load_reg(struct sp_flow_build *, enum sp_field reg, uint32_t value); /* All 32 bits. */
void sp_flow_move(struct sp_flow_build *, enum sp_field src, unsigned src_bit, enum sp_field dst, unsigned dst_bit,
                  unsigned n_bits);
void sp_flow_push(struct sp_flow_build *, enum sp_field, unsigned first_bit, unsigned n_bits);
void sp_flow_pop(struct sp_flow_build *, enum sp_field, unsigned first_bit, unsigned n_bits);
/* Copies by way of the packet's stack.  A move does nothing for a packet that the switch takes to have no such field.  It takes
 * one to have conntrack's original tuple if ct_state is new, est or rpl, but some ICMP errors are just rel.  What is pushed is
 * not asked for that (OVS 3.1, mf_are_prereqs_ok(), nxm_execute_stack_push()). */
void sp_flow_copy(struct sp_flow_build *, enum sp_field src, unsigned src_bit, enum sp_field dst, unsigned dst_bit,
                  unsigned n_bits);
/* Looks the connection up in the zone of the low 16 bits of 'zone' and goes on in 'table'. */
void sp_flow_ct(struct sp_flow_build *, enum sp_field zone, uint8_t table);
/* Commits it with 'mark', a field of 4 bytes, as ct_mark and goes on in 'table'.  'mark' SP_N_FIELDS: leaves ct_mark. */
void sp_flow_ct_commit(struct sp_flow_build *, enum sp_field zone, enum sp_field mark, uint8_t table);
void sp_flow_push_vlan(struct sp_flow_build *);
void sp_flow_pop_vlan(struct sp_flow_build *);
void sp_flow_learn_mac(struct sp_flow_build *, uint8_t table, uint16_t priority, uint16_t idle_timeout_s, uint32_t limit,
                       uint64_t cookie, enum sp_field vlan, enum sp_field port);
void sp_flow_meter(struct sp_flow_build *, uint32_t meter);
void sp_flow_controller(struct sp_flow_build *, uint16_t max_size, uint16_t controller);

/* Makes the flow and stores it, with one reference, in '*ret'.  Returns 0, SP_E_RANGE if some step did not fit, or -ENOMEM. */
int sp_flow_build_done(const struct sp_flow_build *, struct sp_flow **ret) SP_MUST_USE;
/* Likewise, for the codec: a flow that equals nothing but has this key (what did fit of it), also after a step that failed.
 * Returns 0 or -ENOMEM. */
int sp_flow_build_done_alien(const struct sp_flow_build *, struct sp_flow **ret) SP_MUST_USE;

struct sp_flow *sp_flow_ref(struct sp_flow *);
void sp_flow_unref(struct sp_flow *); /* NULL is fine. */

bool sp_flow_same_key(const struct sp_flow *, const struct sp_flow *);
bool sp_flow_equal(const struct sp_flow *, const struct sp_flow *); /* Key, cookie and actions; an alien equals nothing. */
/* Orders by table, descending priority, match bytes: for listings and tests. */
int sp_flow_compare(const struct sp_flow *, const struct sp_flow *);

const uint8_t *sp_flow_match(const struct sp_flow *);
/* Stores in '*ret' (host order) what 'flow' matches without a mask in 'field' of up to 4 bytes.  Returns false, with '*ret' as it
 * was, if there is no such term. */
bool sp_flow_match_value(const struct sp_flow *flow, enum sp_field field, uint32_t *ret);
const uint8_t *sp_flow_actions(const struct sp_flow *);

/* Prints 'flow' in the syntax of ovs-ofctl(8) add-flow into 'out' of 'size' bytes, cut if need be, NUL-terminated ('size' 0:
 * nothing is stored).  An alien's actions are "(unknown)", which ovs-ofctl does not take.  Returns the length that the
 * whole text has. */
size_t sp_flow_format(const struct sp_flow *flow, char *out, size_t size);

/* A growing array of flows; each is referenced by the list. */
struct sp_flow_list {
    struct sp_flow **flows;
    size_t n;
    size_t capacity;
};

void sp_flow_list_init(struct sp_flow_list *);
void sp_flow_list_clear(struct sp_flow_list *);
/* Takes over one reference of 'flow', also on failure.  Returns 0 or -ENOMEM. */
int sp_flow_list_take(struct sp_flow_list *, struct sp_flow *flow) SP_MUST_USE;
/* Finishes 'build' and appends it.  Returns as sp_flow_build_done(). */
int sp_flow_list_add(struct sp_flow_list *, const struct sp_flow_build *build) SP_MUST_USE;

#endif
