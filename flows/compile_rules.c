#include "flows/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flows/compile_emit.h"
#include "flows/unnamed.h"

/* What the rules of a set name for one direction, family and protocol. */
struct naming {
    bool inbound;
    unsigned family;
    int protocol;
    struct sp_named_ports ports;
    struct sp_named_ranges *ranges; /* The same by remote address; NULL until it is asked for. */
    size_t n;  /* Rules that name ports. */
    bool wide; /* Some rule is for all ports. */
};

/* TCP inbound for IPv4, IPv6, outbound for IPv4, IPv6, then UDP. */
#define N_NAMINGS 8u
static unsigned naming_index(bool inbound, unsigned family, int protocol)
{
    return (protocol == SP_PROTOCOL_UDP ? 4u : 0) + (inbound ? 0 : 2u) + (family == 6 ? 1u : 0);
}

/* Where a rule's flows look for what it names: in the connection's original tuple, or for SCTP in the packet's headers. */
struct place {
    uint8_t table;
    uint32_t phase;    /* SP_PHASE_... to match, or 0. */
    bool sctp;
    bool established;  /* Answers in an established connection only. */
    uint8_t refused;   /* The table where what a rule denies goes. */
    uint8_t unnamed[2]; /* Where what a nest takes out goes, for IPv4 and IPv6: a table; 0: there is no nest. */
    enum sp_field remote4, remote6, port;
};

/* One flow's worth of a rule. */
struct aspect {
    uint16_t eth_type;
    const struct sp_cidr *cidr;       /* Or NULL. */
    uint32_t class;                   /* Or 0. */
    const struct sp_port_mask *ports; /* Or NULL. */
    uint8_t unnamed;                  /* The table where these go as no rule's; 0: they are the rule's. */
};

static struct place tuple_place(bool inbound)
{
    return (struct place){
        .table = inbound ? SP_T_RULES_IN : SP_T_RULES_OUT,
        .refused = SP_T_DENIED,
        .remote4 = inbound ? SP_F_CT_NW_SRC : SP_F_CT_NW_DST,
        .remote6 = inbound ? SP_F_CT_IPV6_SRC : SP_F_CT_IPV6_DST,
        .port = SP_F_CT_TP_DST,
    };
}

/* For the ports that no rule names. */
static struct place wide_place(bool inbound)
{
    struct place place = tuple_place(inbound);

    place.table = inbound ? SP_T_WIDE_IN : SP_T_WIDE_OUT;
    return place;
}

static struct place sctp_place(bool inbound, bool reply)
{
    bool entering = inbound != reply;

    return (struct place){
        .table = reply ? SP_T_SCTP_REPLY : SP_T_SCTP_ORIGINAL,
        .phase = entering ? SP_PHASE_ENTERING : SP_PHASE_LEAVING,
        .sctp = true,
        .established = reply,
        .refused = reply ? SP_T_DENIED : SP_T_SCTP_REPLY, /* For the packets that open one nothing else matches there. */
        .remote4 = entering ? SP_F_IP_SRC : SP_F_IP_DST,
        .remote6 = entering ? SP_F_IPV6_SRC : SP_F_IPV6_DST,
        .port = reply ? SP_F_SCTP_SRC : SP_F_SCTP_DST,
    };
}

static void match_protocol(struct sp_flow_build *b, const struct sp_meaning *m, const struct place *place, uint16_t eth_type)
{
    uint32_t established = place->established ? SP_CT_EST : 0;

    sp_flow_match_exact(b, SP_F_ETH_TYPE, eth_type);
    sp_flow_match_uint(b, SP_F_CT_STATE, SP_CT_VALID_VALUE | established, SP_CT_VALID_MASK | established);
    if (place->sctp) {
        sp_flow_match_exact(b, SP_F_IP_PROTO, SP_IP_SCTP);
        sp_flow_match_exact(b, SP_R_PHASE, place->phase);
    } else if (m->protocol >= 0) {
        sp_flow_match_exact(b, SP_F_CT_NW_PROTO, (uint64_t) m->protocol);
    }
}

/* Ends the flow under way, as one of the set's, with what becomes of ports that no rule names: on to 'table'. */
static void lead_unnamed(struct sp_emit *e, const struct sp_rule_set_facts *set, uint8_t table)
{
    e->build.cookie = SP_COOKIE(SP_COOKIE_SET, set->number);
    if (table == SP_T_DENIED) {
        sp_emit_goto(e, table);
    } else { /* Lies before the rules' tables. */
        sp_flow_resubmit(&e->build, table);
        sp_emit_end(e);
    }
}

static void rule_flow(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct sp_rule_facts *rule,
                      const struct place *place, const struct aspect *aspect)
{
    const struct sp_meaning *m = rule->meaning;
    int port_bits = aspect->ports ? __builtin_popcount(aspect->ports->mask) : 0;
    struct sp_flow_build *b = sp_emit_begin(e, place->table, SP_RULE_PRIORITY(m->priority, m->action == SP_DENY, port_bits));

    sp_flow_match_exact(b, SP_R_SET, set->number);
    match_protocol(b, m, place, aspect->eth_type);
    if (aspect->cidr) {
        sp_flow_match_cidr(b, place->remote4, place->remote6, aspect->cidr);
    }
    if (aspect->class) {
        sp_flow_match_exact(b, SP_R_CLASS, aspect->class);
    }
    if (aspect->ports) {
        sp_flow_match_uint(b, place->port, aspect->ports->value, aspect->ports->mask);
    }
    if (!place->sctp && m->icmp_type >= 0) {
        sp_flow_match_exact(b, SP_F_CT_TP_SRC, (uint64_t) m->icmp_type);
        if (m->icmp_code >= 0) {
            sp_flow_match_exact(b, SP_F_CT_TP_DST, (uint64_t) m->icmp_code);
        }
    }
    if (aspect->unnamed) {
        lead_unnamed(e, set, aspect->unnamed);
        return;
    }
    sp_flow_load_reg(b, SP_R_MARK, rule->slot);
    sp_emit_goto(e, m->action == SP_ALLOW ? SP_T_STAMP : place->refused);
}

/* Whether 'm' is for some ports and not for others. */
static bool names_ports(const struct sp_meaning *m)
{
    return m->port_min >= 0 && m->port_max >= 0 && (m->port_min > 0 || m->port_max < 65535);
}

/* For each remote address or class, all ports of the rule. */
static void remote_flows(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct sp_rule_facts *rule,
                         const struct place *place, struct aspect aspect)
{
    const struct sp_meaning *m = rule->meaning;
    uint8_t unnamed = place->unnamed[aspect.eth_type == SP_ETH_IPV6];
    struct sp_nested_mask nested[SP_RANGE_MASKS_MAX];
    struct sp_port_mask masks[SP_RANGE_MASKS_MAX];
    uint16_t lo = (uint16_t) m->port_min, hi = (uint16_t) m->port_max, first, last;
    size_t n;

    if (!names_ports(m)) {
        rule_flow(e, set, rule, place, &aspect);
    } else if (unnamed) {
        n = sp_range_nest(lo, hi, nested, &first, &last);
        for (size_t i = 0; i < n && !e->error; i++) {
            aspect.ports = &nested[i].ports;
            aspect.unnamed = nested[i].out ? unnamed : 0;
            rule_flow(e, set, rule, place, &aspect);
        }
    } else {
        n = sp_range_masks(lo, hi, masks);
        for (size_t i = 0; i < n && !e->error; i++) {
            aspect.ports = &masks[i];
            rule_flow(e, set, rule, place, &aspect);
        }
    }
}

static void family_flows(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct sp_rule_facts *rule,
                         const struct place *place, unsigned family)
{
    const struct sp_meaning *m = rule->meaning;
    struct aspect aspect = {.eth_type = family == 6 ? SP_ETH_IPV6 : SP_ETH_IPV4};

    /* Each ICMP is a protocol of its own family alone. */
    if ((m->protocol == SP_PROTOCOL_ICMP && family == 6) || (m->protocol == SP_PROTOCOL_ICMPV6 && family == 4) ||
        (m->remote == SP_REMOTE_CIDR && m->remote_cidr.family != family)) {
        return;
    }
    if (m->remote == SP_REMOTE_GROUP) {
        for (size_t i = 0; i < rule->n_classes && !e->error; i++) {
            aspect.class = rule->classes[i];
            remote_flows(e, set, rule, place, aspect);
        }
        return;
    }
    aspect.cidr = m->remote == SP_REMOTE_CIDR ? &m->remote_cidr : NULL;
    remote_flows(e, set, rule, place, aspect);
}

static void place_flows(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct sp_rule_facts *rule,
                        const struct place *place)
{
    family_flows(e, set, rule, place, 4);
    family_flows(e, set, rule, place, 6);
}

/* The finaliser of MurmurHash3. */
uint32_t sp_compile_fragment_mark(uint32_t number, uint32_t version)
{
    uint64_t hash = (uint64_t) number << 32 | version;

    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdull;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ull;
    return SP_MARK_FRAGMENT | (uint32_t) (hash >> 33);
}

/* Connections of 'set' that carry 'mark' pass. */
static void gate_flow(struct sp_emit *e, const struct sp_rule_set_facts *set, uint32_t mark)
{
    struct sp_flow_build *b = sp_emit_begin(e, SP_T_GATE, 200);

    sp_flow_match_exact(b, SP_R_SET, set->number);
    sp_match_valid(b);
    sp_flow_match_exact(b, SP_F_CT_MARK, mark);
    sp_emit_goto(e, SP_T_PASSED);
}

/* The gate for the connections that 'rule' admits, and the step from its slot to its mark. */
static void admission_flows(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct sp_rule_facts *rule)
{
    struct sp_flow_build *b;

    gate_flow(e, set, rule->mark);
    b = sp_emit_begin(e, SP_T_STAMP, 100);
    sp_flow_match_exact(b, SP_R_MARK, rule->slot);
    sp_flow_load_reg(b, SP_R_MARK, rule->mark);
    sp_emit_goto(e, SP_T_COMMIT);
}

static void rule_flows(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct sp_rule_facts *rule,
                       const uint8_t unnamed[2])
{
    const struct sp_meaning *m = rule->meaning;
    bool inbound = m->direction == SP_INBOUND;
    struct place place;

    e->cookie = SP_COOKIE(SP_COOKIE_RULE, rule->slot);
    if (m->action == SP_ALLOW) {
        admission_flows(e, set, rule);
    }
    if (m->protocol != SP_PROTOCOL_SCTP) {
        place = tuple_place(inbound);
        memcpy(place.unnamed, unnamed, sizeof place.unnamed);
        place_flows(e, set, rule, &place);
    }
    if (m->protocol == SP_PROTOCOL_SCTP || m->protocol == SP_PROTOCOL_ANY) {
        place = sctp_place(inbound, false);
        place_flows(e, set, rule, &place);
        place = sctp_place(inbound, true);
        place_flows(e, set, rule, &place);
    }
}

/* Whether a connection of those that 'naming' is about may be what 'm' is for, whatever it does and for whom.  A group that
 * nobody is in counts as well. */
static bool is_about(const struct sp_meaning *m, const struct naming *naming)
{
    return (m->direction == SP_INBOUND) == naming->inbound &&
           (m->protocol == naming->protocol || m->protocol == SP_PROTOCOL_ANY) &&
           (m->remote != SP_REMOTE_CIDR || m->remote_cidr.family == naming->family);
}

/* Notes in the N_NAMINGS of 'namings', which are 0, what the rules of 'set' name. */
static void note_names(const struct sp_rule_set_facts *set, struct naming *namings)
{
    for (unsigned i = 0; i < N_NAMINGS; i++) {
        struct naming *naming = &namings[i];

        naming->inbound = !(i & 2);
        naming->family = i & 1 ? 6 : 4;
        naming->protocol = i & 4 ? SP_PROTOCOL_UDP : SP_PROTOCOL_TCP;
        for (size_t k = 0; k < set->n_rules; k++) {
            const struct sp_meaning *m = set->rules[k].meaning;

            if (is_about(m, naming) && names_ports(m)) {
                sp_named_ports_add(&naming->ports, (uint16_t) m->port_min, (uint16_t) m->port_max);
                naming->n++;
            } else if (is_about(m, naming)) {
                naming->wide = true;
            }
        }
    }
}

/* Where ports go that no rule names. */
static uint8_t unnamed_table(const struct naming *naming)
{
    return !naming->wide ? SP_T_DENIED : naming->inbound ? SP_T_WIDE_IN : SP_T_WIDE_OUT;
}

/* Tells in '*ret' what the ports of 'm' would hold as a nest; 'old', the same rule compiled before, or NULL, knows it. */
static void find_nest(const struct sp_meaning *m, const struct sp_compiled_rule *old, struct sp_compiled_rule *ret)
{
    struct sp_nested_mask masks[SP_RANGE_MASKS_MAX];

    ret->nest_first = old ? old->nest_first : 1;
    ret->nest_last = old ? old->nest_last : 0;
    if (!old && (m->protocol == SP_PROTOCOL_TCP || m->protocol == SP_PROTOCOL_UDP) && names_ports(m)) {
        sp_range_nest((uint16_t) m->port_min, (uint16_t) m->port_max, masks, &ret->nest_first, &ret->nest_last);
    }
}

/* Makes the ranges of 'naming', as the rules of 'set' name them.  Returns whether there is memory for them. */
static bool list_ranges(const struct sp_rule_set_facts *set, struct naming *naming)
{
    struct sp_named_range *ranges = calloc(naming->n, sizeof *ranges);
    size_t n = 0;

    if (!ranges) {
        return false;
    }
    for (size_t i = 0; i < set->n_rules; i++) {
        const struct sp_meaning *m = set->rules[i].meaning;

        if (is_about(m, naming) && names_ports(m)) {
            struct sp_named_range *range = &ranges[n++];

            range->remote.family = (uint8_t) naming->family; /* A group may have any address. */
            if (m->remote == SP_REMOTE_CIDR) {
                range->remote = m->remote_cidr;
            }
            range->lo = (uint16_t) m->port_min;
            range->hi = (uint16_t) m->port_max;
        }
    }
    naming->ranges = sp_named_ranges_new(ranges, n);
    free(ranges);
    return naming->ranges;
}

/* Whether any rule of 'set' for what 'naming' and 'm' are both about names a port from 'first' on and below 'end'. */
static bool is_named(struct sp_emit *e, const struct sp_rule_set_facts *set, struct naming *naming, const struct sp_meaning *m,
                     unsigned first, unsigned end)
{
    if (!sp_named_ports_any(&naming->ports, first, end)) {
        return false;
    }
    if (m->remote != SP_REMOTE_CIDR || !m->remote_cidr.prefix) { /* Any address: whoever names it is for one of them. */
        return true;
    }
    if (!naming->ranges && !list_ranges(set, naming)) {
        e->error = -ENOMEM;
        return true;
    }
    return sp_named_ranges_any(naming->ranges, &m->remote_cidr, first, end);
}

/* Tells in '*ret' where the ports beside those of the rule go: its ports may be a nest if no rule that is for any of its remote
 * addresses names one that this holds besides. */
static void find_unnamed(struct sp_emit *e, const struct sp_rule_set_facts *set, struct naming *namings,
                         const struct sp_meaning *m, struct sp_compiled_rule *ret)
{
    bool inbound = m->direction == SP_INBOUND, has_nest = ret->nest_first <= ret->nest_last;

    for (unsigned i = 0; i < 2; i++) {
        struct naming *naming = &namings[naming_index(inbound, i ? 6 : 4, m->protocol)];

        ret->unnamed[i] = 0;
        if (has_nest && is_about(m, naming) && !is_named(e, set, naming, m, ret->nest_first, (unsigned) m->port_min) &&
            !is_named(e, set, naming, m, (unsigned) m->port_max + 1, ret->nest_last + 1u)) {
            ret->unnamed[i] = unnamed_table(naming);
        }
    }
}

/* Emits the blocks of ports that no rule names of what 'naming' is about. */
static void block_flows(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct naming *naming)
{
    const struct place place = tuple_place(naming->inbound);
    const struct sp_meaning of_protocol = {.protocol = (int16_t) naming->protocol};
    struct sp_port_mask masks[SP_UNNAMED_MAX];
    size_t n = naming->n ? sp_unnamed_ports(&naming->ports, masks) : 0;

    for (size_t i = 0; i < n; i++) {
        unsigned bits = (unsigned) __builtin_popcount(masks[i].mask);
        struct sp_flow_build *b = sp_emit_begin(e, place.table, SP_UNNAMED_PRIORITY(bits));

        sp_flow_match_exact(b, SP_R_SET, set->number);
        match_protocol(b, &of_protocol, &place, naming->family == 6 ? SP_ETH_IPV6 : SP_ETH_IPV4);
        sp_flow_match_uint(b, place.port, masks[i].value, masks[i].mask);
        lead_unnamed(e, set, unnamed_table(naming));
    }
}

/* See "Ports that no rule names" in sallyport/pipeline.h.  They come behind the rules' own, so that a switch that has no room for
 * a rule says so of the rule.  SCTP is left out, whose rules are asked in tables of their own and by the packet's own ports. */
static void unnamed_flows(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct naming *namings, bool inbound,
                          unsigned family)
{
    const struct naming *tcp = &namings[naming_index(inbound, family, SP_PROTOCOL_TCP)];
    const struct naming *udp = &namings[naming_index(inbound, family, SP_PROTOCOL_UDP)];
    const struct place place = wide_place(inbound);

    block_flows(e, set, tcp);
    block_flows(e, set, udp);
    for (size_t i = 0; i < set->n_rules && !e->error; i++) {
        const struct sp_rule_facts *rule = &set->rules[i];
        bool asked = (tcp->n && is_about(rule->meaning, tcp)) || (udp->n && is_about(rule->meaning, udp));

        if (asked && !names_ports(rule->meaning)) {
            e->cookie = SP_COOKIE(SP_COOKIE_RULE, rule->slot);
            family_flows(e, set, rule, &place, family);
        }
    }
}

/* Which tables of remote addresses the set's packets must visit, and whether they are reported.  SCTP is judged by the rules of
 * both directions. */
static uint32_t region_flags(const struct sp_rule_set_facts *set)
{
    uint32_t flags = set->reports ? SP_REGION_REPORTS : 0;

    for (size_t i = 0; i < set->n_rules; i++) {
        const struct sp_meaning *m = set->rules[i].meaning;
        bool both = m->protocol == SP_PROTOCOL_SCTP || m->protocol == SP_PROTOCOL_ANY;

        if (m->remote == SP_REMOTE_GROUP) {
            flags |= both || m->direction == SP_INBOUND ? SP_REGION_HAS_REMOTE_IN : 0;
            flags |= both || m->direction == SP_OUTBOUND ? SP_REGION_HAS_REMOTE_OUT : 0;
        }
    }
    return flags;
}

/* Whether 'a' and 'b' are compiled to the same flows; sp_meaning_equal() is about what they mean. */
static bool same_text(const struct sp_meaning *a, const struct sp_meaning *b)
{
    return a->direction == b->direction && a->action == b->action && a->priority == b->priority && a->protocol == b->protocol &&
           a->remote == b->remote && (a->remote != SP_REMOTE_CIDR || sp_cidr_equal(&a->remote_cidr, &b->remote_cidr)) &&
           a->port_min == b->port_min && a->port_max == b->port_max && a->icmp_type == b->icmp_type &&
           a->icmp_code == b->icmp_code;
}

/* What 'before' has of 'rule', if it is still the same, or NULL.  Lists of rules change in few places, so it stands where the
 * search for the one before it ended, '*cursor', or little further; else it is compiled again. */
static const struct sp_compiled_rule *find_compiled(const struct sp_compiled_set *before, const struct sp_rule_facts *rule,
                                                    size_t *cursor)
{
    enum { STEPS = 16 };

    for (size_t i = *cursor; before && i < before->n_rules && i < *cursor + STEPS; i++) {
        const struct sp_compiled_rule *old = &before->rules[i];

        if (old->slot == rule->slot) {
            *cursor = i + 1;
            return old->alone && old->mark == rule->mark && same_text(&old->meaning, rule->meaning) ? old : NULL;
        }
    }
    return NULL;
}

/* Emits the flows of 'rule', which 'old' of 'before' may be unless it is NULL, and tells in '*ret' what they are; the set's
 * begin at 'base' of what is emitted. */
static void compile_rule(struct sp_emit *e, const struct sp_rule_set_facts *set, struct naming *namings,
                         const struct sp_rule_facts *rule, const struct sp_compiled_set *before,
                         const struct sp_compiled_rule *old, size_t base, struct sp_compiled_rule *ret)
{
    size_t first = e->out->n - base, n_left_out = e->n_left_out;

    find_nest(rule->meaning, old, ret);
    find_unnamed(e, set, namings, rule->meaning, ret);
    if (old && !memcmp(old->unnamed, ret->unnamed, sizeof ret->unnamed)) {
        for (size_t i = 0; i < old->n && !e->error; i++) {
            sp_emit_flow(e, before->flows[old->first + i]);
        }
    } else {
        rule_flows(e, set, rule, ret->unnamed);
    }
    ret->meaning = *rule->meaning;
    ret->slot = rule->slot;
    ret->mark = rule->mark;
    ret->first = (uint32_t) first;
    ret->n = (uint32_t) (e->out->n - base - first);
    ret->alone = e->n_left_out == n_left_out && rule->meaning->remote != SP_REMOTE_GROUP;
}

/* The flows of 'set' that are no rule's and lead to its rules. */
static void facts_flows(struct sp_emit *e, const struct sp_rule_set_facts *set)
{
    struct sp_flow_build *b = sp_emit_begin(e, SP_T_RULE_SET, 100);

    sp_flow_match_exact(b, SP_R_SET, set->number);
    sp_flow_load_reg(b, SP_R_VERSION, set->version);
    sp_emit_goto(e, SP_T_CONNTRACK);
    b = sp_emit_begin(e, SP_T_SET_FACTS, 100);
    sp_flow_match_exact(b, SP_R_SET, set->number);
    sp_flow_load_reg(b, SP_R_VERSION, set->version);
    sp_flow_load_reg(b, SP_R_REGION, set->region | region_flags(set));
    sp_flow_load_reg(b, SP_R_MARK, sp_compile_fragment_mark(set->number, set->version));
    sp_emit_goto(e, SP_T_TRACKED);
    b = sp_emit_begin(e, SP_T_SENDER, 100);
    sp_flow_match_exact(b, SP_R_SENDER_SET, set->number);
    sp_flow_match_exact(b, SP_R_SENDER_VERSION, set->version);
    sp_forget_sender(b);
    sp_emit_goto(e, SP_T_GATE);
    gate_flow(e, set, sp_compile_fragment_mark(set->number, set->version));
}

int sp_compile_rule_set(const struct sp_rule_set_facts *set, const struct sp_compiled_set *before, struct sp_flow_list *out,
                        struct sp_compiled_rule *ret_rules)
{
    size_t base = out->n, cursor = 0;
    struct sp_compiled_rule one;
    struct sp_flow_table *seen;
    struct naming *namings;
    struct sp_emit e;

    if (set->region & ~SP_REGION_MASK) {
        return SP_E_RANGE;
    }
    seen = sp_flow_table_new();
    namings = calloc(N_NAMINGS, sizeof *namings);
    sp_emit_init(&e, out, seen, SP_COOKIE(SP_COOKIE_SET, set->number));
    if (!seen || !namings) {
        e.error = -ENOMEM;
        goto done;
    }
    facts_flows(&e, set);
    note_names(set, namings);
    for (size_t i = 0; i < set->n_rules && !e.error; i++) {
        const struct sp_compiled_rule *old = find_compiled(before, &set->rules[i], &cursor);

        compile_rule(&e, set, namings, &set->rules[i], before, old, base, ret_rules ? &ret_rules[i] : &one);
    }
    for (unsigned i = 0; i < 4; i++) {
        unnamed_flows(&e, set, namings, i & 1, i & 2 ? 6 : 4);
    }
done:
    for (unsigned i = 0; namings && i < N_NAMINGS; i++) {
        sp_named_ranges_free(namings[i].ranges);
    }
    free(namings);
    sp_flow_table_free(seen);
    return e.error;
}
