/* The compiler: facts about a bridge in, flows out.  Pure: the same facts always give the same flows.
 *
 * The flows of a bridge are the union of its units'.  A unit is the smallest thing that is compiled anew when something
 * changes, and no two units ever produce a flow of the same key.  Each function appends the flows of one unit to 'out'
 * and returns 0, or -ENOMEM or SP_E_RANGE (a unit that cannot be expressed: too many ports in a chunk, say), in which
 * case the flows that were appended before it failed stay in 'out' for the caller to drop. */

#ifndef SALLYPORT_FLOWS_COMPILE_H
#define SALLYPORT_FLOWS_COMPILE_H 1

#include "sallyport/object.h"
#include "sallyport/pipeline.h"

/* The flows that every adopted bridge has. */
int sp_compile_static(struct sp_flow_list *out) SP_MUST_USE;

/* What reports denied connections, on a bridge that has the meters for it. */
int sp_compile_reports(struct sp_flow_list *out) SP_MUST_USE;

/* The 'n' uplinks of a bridge, their port numbers ascending. */
int sp_compile_uplinks(const uint16_t *ofports, size_t n, struct sp_flow_list *out) SP_MUST_USE;

/* A server port that is present on the bridge as 'ofport'.  Its identities: MAC index 0 is the port's own with its own
 * addresses, its link-local address and the pairs of that MAC; each other MAC among the pairs has as its index 1 + the place of
 * its first pair, with the pairs' addresses.  'set' is its server's rule set, 0 for none; 'dpid' is the bridge's. */
struct sp_port_facts {
    const struct sp_port *port; /* Borrowed. */
    uint16_t ofport;
    uint32_t set;
    uint64_t dpid;
};
int sp_compile_port(const struct sp_port_facts *, struct sp_flow_list *out) SP_MUST_USE;

/* Destination 'mac' in 'vlan' (0 = untagged) is on the server ports 'ofports' ('n' of them, ascending, at least one). */
int sp_compile_mac(uint16_t vlan, const struct sp_mac *mac, const uint16_t *ofports, size_t n,
                   struct sp_flow_list *out) SP_MUST_USE;

/* ARP requests or neighbour solicitations for 'ip' (a single address) in 'vlan' go to the server ports 'ofports' alone. */
int sp_compile_target(uint16_t vlan, const struct sp_cidr *ip, const uint16_t *ofports, size_t n,
                      struct sp_flow_list *out) SP_MUST_USE;

/* Group addresses in 'vlan' go to 'chunks' ('n' chunk numbers, ascending), each holding the server ports 'ofports'. */
int sp_compile_flood_vlan(uint16_t vlan, const uint8_t *chunks, size_t n, struct sp_flow_list *out) SP_MUST_USE;
int sp_compile_flood_chunk(uint16_t vlan, uint8_t chunk, const uint16_t *ofports, size_t n, struct sp_flow_list *out) SP_MUST_USE;

/* Remote address 'ip' (a single address) in region number 'region' is of class 'set'. */
int sp_compile_remote(uint32_t region, const struct sp_cidr *ip, uint32_t set, struct sp_flow_list *out) SP_MUST_USE;

/* One rule of a rule set. */
struct sp_rule_facts {
    const struct sp_meaning *meaning; /* Borrowed. */
    uint32_t slot;
    uint32_t mark;           /* Of a rule that allows. */
    const uint32_t *classes; /* With a remote group: the numbers of all rule sets that contain it; borrowed. */
    size_t n_classes;
};
struct sp_rule_set_facts {
    uint32_t number;
    uint32_t version;
    uint32_t region;
    bool reports; /* Denied connections are reported. */
    const struct sp_rule_facts *rules; /* In order of precedence among equals: oldest first. */
    size_t n_rules;
};
/* What one rule was compiled to. */
struct sp_compiled_rule {
    struct sp_meaning meaning;
    uint32_t slot;
    uint32_t mark;
    uint16_t nest_first; /* What its ports hold as a nest; none if this is the greater one. */
    uint16_t nest_last;
    uint8_t unnamed[2];  /* Where those go that are not its own, for IPv4 and IPv6; 0: it is no nest. */
    uint32_t first;      /* Its flows in the set's: 'n' from 'first' on. */
    uint32_t n;
    bool alone;          /* They follow from the above alone: no class is in them, and none was left out for an earlier rule's. */
};
/* A compilation of the same set (number and region), whose rules need not be compiled again as far as they are the same. */
struct sp_compiled_set {
    const struct sp_compiled_rule *rules; /* Borrowed. */
    size_t n_rules;
    struct sp_flow *const *flows;         /* Borrowed; as they came in 'out'. */
};

/* Rules that would make a flow of the same key as an earlier rule of equal standing add none there.  What 'before' (NULL: none)
 * has of a rule is taken over, the same objects.  With 'ret_rules' (NULL, or room for as many as there are rules) it is told
 * what each rule was compiled to.  The flows are the same with and without 'before'. */
int sp_compile_rule_set(const struct sp_rule_set_facts *, const struct sp_compiled_set *before, struct sp_flow_list *out,
                        struct sp_compiled_rule *ret_rules) SP_MUST_USE;
/* What a later fragment marks its connection with, in rule set 'number' at 'version': see sallyport/pipeline.h, fragments.  Of
 * the upper half of all marks, which rules do not use; two versions of sets get the same one by a chance of 1 in 2^31. */
uint32_t sp_compile_fragment_mark(uint32_t number, uint32_t version);

#endif
