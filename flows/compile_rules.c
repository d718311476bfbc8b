#include "flows/compile.h"

#include <errno.h>

#include "flows/compile_emit.h"
#include "flows/unnamed.h"

/* Where a rule's flows look for what it names: in the connection's original tuple, or for SCTP in the packet's headers. */
struct place {
    uint8_t table;
    uint32_t phase;    /* SP_PHASE_... to match, or 0. */
    bool sctp;
    bool established;  /* Answers in an established connection only. */
    uint8_t refused;   /* The table where what a rule denies goes. */
    enum sp_field remote4, remote6, port;
};

/* One flow's worth of a rule. */
struct aspect {
    uint16_t eth_type;
    const struct sp_cidr *cidr;       /* Or NULL. */
    uint32_t class;                   /* Or 0. */
    const struct sp_port_mask *ports; /* Or NULL. */
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
    struct sp_port_mask masks[SP_RANGE_MASKS_MAX];
    size_t n_masks = 0;

    if (names_ports(m)) {
        n_masks = sp_range_masks((uint16_t) m->port_min, (uint16_t) m->port_max, masks);
    }
    for (size_t i = 0; i < (n_masks ? n_masks : 1) && !e->error; i++) {
        aspect.ports = n_masks ? &masks[i] : NULL;
        rule_flow(e, set, rule, place, &aspect);
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

static void rule_flows(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct sp_rule_facts *rule)
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
        place_flows(e, set, rule, &place);
    }
    if (m->protocol == SP_PROTOCOL_SCTP || m->protocol == SP_PROTOCOL_ANY) {
        place = sctp_place(inbound, false);
        place_flows(e, set, rule, &place);
        place = sctp_place(inbound, true);
        place_flows(e, set, rule, &place);
    }
}

/* The connections of one direction and family that a set judges. */
struct scope {
    const struct sp_rule_set_facts *set;
    bool inbound;
    unsigned family;
};

/* Whether a connection of 'protocol' (SP_PROTOCOL_TCP or _UDP) may be what 'm' is for, whatever it does and for whom.  A group
 * that nobody is in counts as well. */
static bool is_about(const struct sp_meaning *m, const struct scope *scope, int protocol)
{
    return (m->direction == SP_INBOUND) == scope->inbound && (m->protocol == protocol || m->protocol == SP_PROTOCOL_ANY) &&
           (m->remote != SP_REMOTE_CIDR || m->remote_cidr.family == scope->family);
}

/* Emits the blocks of ports of 'protocol' that no rule names.  Returns whether rules that name none are to be asked for them. */
static bool block_flows(struct sp_emit *e, const struct scope *scope, int protocol)
{
    const struct place place = tuple_place(scope->inbound);
    const struct sp_meaning of_protocol = {.protocol = (int16_t) protocol};
    struct sp_named_ports ports = {{false}};
    struct sp_port_mask masks[SP_UNNAMED_MAX];
    bool wide = false;
    size_t n;

    for (size_t i = 0; i < scope->set->n_rules; i++) {
        const struct sp_meaning *m = scope->set->rules[i].meaning;

        if (is_about(m, scope, protocol) && names_ports(m)) {
            sp_named_ports_add(&ports, (uint16_t) m->port_min, (uint16_t) m->port_max);
        } else if (is_about(m, scope, protocol)) {
            wide = true;
        }
    }
    n = sp_unnamed_ports(&ports, masks);
    e->cookie = SP_COOKIE(SP_COOKIE_SET, scope->set->number);
    for (size_t i = 0; i < n; i++) {
        unsigned bits = (unsigned) __builtin_popcount(masks[i].mask);
        struct sp_flow_build *b = sp_emit_begin(e, place.table, SP_UNNAMED_PRIORITY(bits));

        sp_flow_match_exact(b, SP_R_SET, scope->set->number);
        match_protocol(b, &of_protocol, &place, scope->family == 6 ? SP_ETH_IPV6 : SP_ETH_IPV4);
        sp_flow_match_uint(b, place.port, masks[i].value, masks[i].mask);
        if (wide) {
            sp_flow_resubmit(b, wide_place(scope->inbound).table);
            sp_emit_end(e);
        } else {
            sp_emit_goto(e, place.refused);
        }
    }
    return n && wide;
}

/* See "Ports that no rule names" in sallyport/pipeline.h.  They come behind the rules' own, so that a switch that has no room for
 * a rule says so of the rule.  SCTP is left out, whose rules are asked in tables of their own and by the packet's own ports. */
static void unnamed_flows(struct sp_emit *e, const struct scope *scope)
{
    const struct place place = wide_place(scope->inbound);
    bool tcp = block_flows(e, scope, SP_PROTOCOL_TCP), udp = block_flows(e, scope, SP_PROTOCOL_UDP);

    for (size_t i = 0; (tcp || udp) && i < scope->set->n_rules && !e->error; i++) {
        const struct sp_rule_facts *rule = &scope->set->rules[i];
        bool asked = (tcp && is_about(rule->meaning, scope, SP_PROTOCOL_TCP)) ||
                     (udp && is_about(rule->meaning, scope, SP_PROTOCOL_UDP));

        if (asked && !names_ports(rule->meaning)) {
            e->cookie = SP_COOKIE(SP_COOKIE_RULE, rule->slot);
            family_flows(e, scope->set, rule, &place, scope->family);
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

/* Emits the flows of 'rule', which 'old' of 'before' is unless it is NULL, and tells in '*ret' (or NULL) what they are; the
 * set's begin at 'base' of what is emitted. */
static void compile_rule(struct sp_emit *e, const struct sp_rule_set_facts *set, const struct sp_rule_facts *rule,
                         const struct sp_compiled_set *before, const struct sp_compiled_rule *old, size_t base,
                         struct sp_compiled_rule *ret)
{
    size_t first = e->out->n - base, n_left_out = e->n_left_out;

    for (size_t i = 0; old && i < old->n && !e->error; i++) {
        sp_emit_flow(e, before->flows[old->first + i]);
    }
    if (!old) {
        rule_flows(e, set, rule);
    }
    if (ret) {
        *ret = (struct sp_compiled_rule){
            .meaning = *rule->meaning,
            .slot = rule->slot,
            .mark = rule->mark,
            .first = (uint32_t) first,
            .n = (uint32_t) (e->out->n - base - first),
            .alone = e->n_left_out == n_left_out && rule->meaning->remote != SP_REMOTE_GROUP,
        };
    }
}

int sp_compile_rule_set(const struct sp_rule_set_facts *set, const struct sp_compiled_set *before, struct sp_flow_list *out,
                        struct sp_compiled_rule *ret_rules)
{
    size_t base = out->n, cursor = 0;
    struct sp_flow_table *seen;
    struct sp_flow_build *b;
    struct sp_emit e;

    if (set->region & ~SP_REGION_MASK) {
        return SP_E_RANGE;
    }
    seen = sp_flow_table_new();
    if (!seen) {
        return -ENOMEM;
    }
    sp_emit_init(&e, out, seen, SP_COOKIE(SP_COOKIE_SET, set->number));
    b = sp_emit_begin(&e, SP_T_RULE_SET, 100);
    sp_flow_match_exact(b, SP_R_SET, set->number);
    sp_flow_load_reg(b, SP_R_VERSION, set->version);
    sp_emit_goto(&e, SP_T_CONNTRACK);
    b = sp_emit_begin(&e, SP_T_SET_FACTS, 100);
    sp_flow_match_exact(b, SP_R_SET, set->number);
    sp_flow_load_reg(b, SP_R_VERSION, set->version);
    sp_flow_load_reg(b, SP_R_REGION, set->region | region_flags(set));
    sp_flow_load_reg(b, SP_R_MARK, sp_compile_fragment_mark(set->number, set->version));
    sp_emit_goto(&e, SP_T_TRACKED);
    b = sp_emit_begin(&e, SP_T_SENDER, 100);
    sp_flow_match_exact(b, SP_R_SENDER_SET, set->number);
    sp_flow_match_exact(b, SP_R_SENDER_VERSION, set->version);
    sp_forget_sender(b);
    sp_emit_goto(&e, SP_T_GATE);
    gate_flow(&e, set, sp_compile_fragment_mark(set->number, set->version));
    for (size_t i = 0; i < set->n_rules && !e.error; i++) {
        const struct sp_compiled_rule *old = find_compiled(before, &set->rules[i], &cursor);

        compile_rule(&e, set, &set->rules[i], before, old, base, ret_rules ? &ret_rules[i] : NULL);
    }
    for (unsigned i = 0; i < 4; i++) {
        unnamed_flows(&e, &(struct scope){set, i & 1, i & 2 ? 6 : 4});
    }
    sp_flow_table_free(seen);
    return e.error;
}
