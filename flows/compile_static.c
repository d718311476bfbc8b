#include "flows/compile.h"

#include "flows/compile_emit.h"

/* Sources for what is let through and refused here: RFC 826 and 5227 (ARP), RFC 4861 and 4862 (neighbour discovery: hop
 * limit 255, code 0), RFC 2131 (DHCP: client port 68, server port 67), RFC 8415 (DHCPv6: 546, 547), RFC 6980. */
#define ARP_REQUEST 1
#define ARP_REPLY 2

#define ND_ROUTER_SOLICITATION 133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_NEIGHBOUR_SOLICITATION 135
#define ND_NEIGHBOUR_ADVERTISEMENT 136
#define ND_REDIRECT 137
#define ND_HOP_LIMIT 255

#define DHCP_SERVER 67
#define DHCP_CLIENT 68
#define DHCPV6_CLIENT 546
#define DHCPV6_SERVER 547

static const uint8_t zero[16];

static void load_stage(struct sp_flow_build *b, uint32_t stage)
{
    sp_flow_load_reg(b, SP_R_STAGE, stage);
}

static void match_unfragmented(struct sp_flow_build *b)
{
    sp_flow_match_exact(b, SP_F_IP_FRAG, 0);
}

static void match_udp(struct sp_flow_build *b, uint16_t eth_type, uint16_t src, uint16_t dst)
{
    sp_match_ip(b, eth_type, SP_IP_UDP);
    sp_flow_match_exact(b, SP_F_UDP_SRC, src);
    sp_flow_match_exact(b, SP_F_UDP_DST, dst);
}

static void match_icmpv6(struct sp_flow_build *b, uint8_t type)
{
    sp_match_ip(b, SP_ETH_IPV6, SP_IP_ICMPV6);
    sp_flow_match_exact(b, SP_F_ICMPV6_TYPE, type);
}

/* Neighbour discovery as a host accepts it: RFC 4861 section 6.1 and 7.1. */
static void match_nd(struct sp_flow_build *b, uint8_t type)
{
    match_icmpv6(b, type);
    sp_flow_match_exact(b, SP_F_ICMPV6_CODE, 0);
    sp_flow_match_exact(b, SP_F_IP_TTL, ND_HOP_LIMIT);
    match_unfragmented(b);
}

static void claim_hardware(struct sp_flow_build *b, enum sp_field field)
{
    sp_flow_move(b, field, 0, SP_R_HARDWARE_FIELD, SP_R_HARDWARE_BIT, 48);
}

static void claim_ipv4(struct sp_flow_build *b, enum sp_field field)
{
    sp_flow_move(b, field, 0, SP_R_CLAIM_IPV4, 0, 32);
}

static void claim_ipv6(struct sp_flow_build *b, enum sp_field field)
{
    sp_flow_move(b, field, 0, SP_R_CLAIM, 0, 128);
}

static void source_arp(struct sp_emit *e)
{
    struct sp_flow_build *b;

    b = sp_emit_begin(e, SP_T_SOURCE, 300); /* A probe: the sender has no address yet and asks for the one it wants. */
    sp_flow_match_exact(b, SP_F_ETH_TYPE, SP_ETH_ARP);
    sp_flow_match_exact(b, SP_F_ARP_OP, ARP_REQUEST);
    sp_flow_match_exact(b, SP_F_ARP_SPA, 0);
    claim_hardware(b, SP_F_ARP_SHA);
    claim_ipv4(b, SP_F_ARP_TPA);
    load_stage(b, SP_STAGE_ARP);
    sp_emit_goto(e, SP_T_HARDWARE);

    for (unsigned op = ARP_REQUEST; op <= ARP_REPLY; op++) {
        b = sp_emit_begin(e, SP_T_SOURCE, 200);
        sp_flow_match_exact(b, SP_F_ETH_TYPE, SP_ETH_ARP);
        sp_flow_match_exact(b, SP_F_ARP_OP, op);
        claim_hardware(b, SP_F_ARP_SHA);
        claim_ipv4(b, SP_F_ARP_SPA);
        load_stage(b, SP_STAGE_ARP);
        sp_emit_goto(e, SP_T_HARDWARE);
    }
}

/* Solicitations or advertisements of neighbours: source address, and the link-layer option unless it is absent. */
static void source_neighbour(struct sp_emit *e, uint8_t type, enum sp_field option, uint32_t stage)
{
    struct sp_flow_build *b;

    /* The switch shows no target where it found the options to contradict each other. */
    b = sp_emit_begin(e, SP_T_SOURCE, 380);
    match_icmpv6(b, type);
    sp_flow_match_exact(b, SP_F_ICMPV6_CODE, 0);
    sp_flow_match_bytes(b, SP_F_ND_TARGET, zero, NULL);
    sp_emit_end(e);

    b = sp_emit_begin(e, SP_T_SOURCE, 250);
    match_nd(b, type);
    sp_flow_match_bytes(b, option, zero, NULL);
    claim_ipv6(b, SP_F_IPV6_SRC);
    load_stage(b, stage);
    sp_emit_goto(e, SP_T_ADDRESS);

    b = sp_emit_begin(e, SP_T_SOURCE, 240); /* The IP source once that of the option is known: they share registers. */
    match_nd(b, type);
    claim_hardware(b, option);
    load_stage(b, stage);
    sp_emit_goto(e, SP_T_HARDWARE);
}

static void source_nd(struct sp_emit *e)
{
    static const uint8_t never[] = {ND_ROUTER_ADVERTISEMENT, ND_REDIRECT};
    static const uint8_t if_honest[] = {ND_ROUTER_SOLICITATION, ND_NEIGHBOUR_SOLICITATION, ND_NEIGHBOUR_ADVERTISEMENT};
    struct sp_flow_build *b;

    for (size_t i = 0; i < sizeof never; i++) {
        match_icmpv6(sp_emit_begin(e, SP_T_SOURCE, 390), never[i]);
        sp_emit_end(e);
    }
    for (size_t i = 0; i < sizeof if_honest; i++) { /* What the flows above this one did not take. */
        match_icmpv6(sp_emit_begin(e, SP_T_SOURCE, 200), if_honest[i]);
        sp_emit_end(e);
    }
    source_neighbour(e, ND_NEIGHBOUR_SOLICITATION, SP_F_ND_SLL, SP_STAGE_ND);
    source_neighbour(e, ND_NEIGHBOUR_ADVERTISEMENT, SP_F_ND_TLL, SP_STAGE_ADVERTISEMENT);

    b = sp_emit_begin(e, SP_T_SOURCE, 300); /* Duplicate address detection. */
    match_nd(b, ND_NEIGHBOUR_SOLICITATION);
    sp_flow_match_bytes(b, SP_F_IPV6_SRC, zero, NULL);
    sp_flow_match_bytes(b, SP_F_ND_SLL, zero, NULL);
    claim_ipv6(b, SP_F_ND_TARGET);
    load_stage(b, SP_STAGE_ND);
    sp_emit_goto(e, SP_T_ADDRESS);

    b = sp_emit_begin(e, SP_T_SOURCE, 300);
    match_nd(b, ND_ROUTER_SOLICITATION);
    sp_flow_match_bytes(b, SP_F_IPV6_SRC, zero, NULL);
    sp_emit_goto(e, SP_T_FORWARD);

    b = sp_emit_begin(e, SP_T_SOURCE, 250);
    match_nd(b, ND_ROUTER_SOLICITATION);
    claim_ipv6(b, SP_F_IPV6_SRC);
    load_stage(b, SP_STAGE_ND);
    sp_emit_goto(e, SP_T_ADDRESS);
}

static void source(struct sp_emit *e)
{
    struct sp_flow_build *b;

    b = sp_emit_begin(e, SP_T_SOURCE, 400); /* A second tag, or one that was not the port's. */
    sp_flow_match_uint(b, SP_F_VLAN_TCI, SP_TCI_TAGGED, SP_TCI_TAGGED);
    sp_emit_end(e);

    source_arp(e);
    source_nd(e);

    match_udp(sp_emit_begin(e, SP_T_SOURCE, 300), SP_ETH_IPV4, DHCP_SERVER, DHCP_CLIENT);
    sp_emit_end(e);
    match_udp(sp_emit_begin(e, SP_T_SOURCE, 300), SP_ETH_IPV6, DHCPV6_SERVER, DHCPV6_CLIENT);
    sp_emit_end(e);

    b = sp_emit_begin(e, SP_T_SOURCE, 300); /* A DHCP client without an address. */
    match_udp(b, SP_ETH_IPV4, DHCP_CLIENT, DHCP_SERVER);
    sp_flow_match_exact(b, SP_F_IP_SRC, 0);
    match_unfragmented(b);
    load_stage(b, SP_STAGE_IPV4_PACKET);
    sp_emit_goto(e, SP_T_CHECKED);

    b = sp_emit_begin(e, SP_T_SOURCE, 100);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, SP_ETH_IPV4);
    claim_ipv4(b, SP_F_IP_SRC);
    load_stage(b, SP_STAGE_IPV4_PACKET);
    sp_emit_goto(e, SP_T_ADDRESS);

    b = sp_emit_begin(e, SP_T_SOURCE, 100);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, SP_ETH_IPV6);
    claim_ipv6(b, SP_F_IPV6_SRC);
    load_stage(b, SP_STAGE_IPV6_PACKET);
    sp_emit_goto(e, SP_T_ADDRESS);
}

/* What no prefix covers: see the essay on claims. */
static void address(struct sp_emit *e)
{
    static const struct sp_cidr never[] = {
        {.family = 4, .prefix = 8, .bytes = {0}},
        {.family = 4, .prefix = 3, .bytes = {224}}, /* Multicast, reserved, broadcast. */
        {.family = 6, .prefix = 128, .bytes = {0}},
        {.family = 6, .prefix = 8, .bytes = {0xff}},
    };

    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        struct sp_flow_build *b = sp_emit_begin(e, SP_T_ADDRESS, 200);

        sp_flow_match_uint(b, SP_R_STAGE, never[i].family == 6 ? SP_STAGE_IPV6 : 0, SP_STAGE_IPV6);
        sp_flow_match_cidr(b, SP_R_CLAIM_IPV4, SP_R_CLAIM, &never[i]);
        sp_emit_end(e);
    }
}

/* The link-local address of a port's own MAC (RFC 4291 appendix A) asks HARDWARE for the MAC that it is made of.  Of the bit that
 * is inverted in it there is one flow for each value. */
static void address_of_hardware(struct sp_emit *e)
{
    static const uint8_t mask[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0xff, 0xff};

    for (unsigned inverted = 0; inverted < 2; inverted++) {
        const uint8_t made[16] = {0xfe, 0x80, [8] = (uint8_t) (inverted ? 0x02 : 0), [11] = 0xff, [12] = 0xfe};
        struct sp_flow_build *b = sp_emit_begin(e, SP_T_ADDRESS, 20);

        sp_flow_match_uint(b, SP_R_IDENTITY, 0, 0xffff);
        sp_flow_match_uint(b, SP_R_STAGE, SP_STAGE_IPV6, SP_STAGE_IPV6);
        sp_flow_match_bytes(b, SP_R_CLAIM, made, mask);
        sp_flow_load_reg(b, SP_R_HARDWARE_HIGH, 0);
        sp_flow_move(b, SP_F_REG(14), 16, SP_R_HARDWARE_HIGH, 0, 16);
        sp_flow_load(b, SP_R_HARDWARE_HIGH, 9, 1, !inverted);
        sp_flow_move(b, SP_F_REG(14), 8, SP_R_HARDWARE_LOW, 24, 8);
        sp_flow_move(b, SP_F_REG(15), 0, SP_R_HARDWARE_LOW, 0, 24);
        sp_flow_load(b, SP_R_STAGE, SP_STAGE_OF_MAC_BIT, 1, 1);
        sp_emit_goto(e, SP_T_HARDWARE);
    }
}

/* What becomes of a claim whose hardware address is the port's. */
static void claims_of_own(struct sp_emit *e)
{
    static const uint32_t nd[] = {SP_STAGE_ND, SP_STAGE_ADVERTISEMENT};
    struct sp_flow_build *b;

    b = sp_emit_begin(e, SP_T_CONTEXT, 200);
    sp_flow_match_exact(b, SP_R_STAGE, SP_STAGE_ARP | SP_STAGE_OWN);
    load_stage(b, SP_STAGE_ARP);
    sp_flow_resubmit(b, SP_T_ADDRESS);
    sp_emit_end(e);
    for (size_t i = 0; i < sizeof nd / sizeof nd[0]; i++) {
        b = sp_emit_begin(e, SP_T_CONTEXT, 200);
        sp_flow_match_exact(b, SP_F_ETH_TYPE, SP_ETH_IPV6);
        sp_flow_match_exact(b, SP_R_STAGE, nd[i] | SP_STAGE_OWN);
        claim_ipv6(b, SP_F_IPV6_SRC);
        load_stage(b, nd[i]);
        sp_flow_resubmit(b, SP_T_ADDRESS);
        sp_emit_end(e);
    }
    b = sp_emit_begin(e, SP_T_CONTEXT, 200);
    sp_flow_match_uint(b, SP_R_STAGE, SP_STAGE_OF_MAC | SP_STAGE_OWN, SP_STAGE_OF_MAC | SP_STAGE_OWN);
    sp_flow_load(b, SP_R_STAGE, SP_STAGE_OWN_BIT, 2, 0); /* Both. */
    sp_flow_resubmit(b, SP_T_CHECKED);
    sp_emit_end(e);
}

static void clear_claims(struct sp_flow_build *b)
{
    load_stage(b, 0);
    sp_flow_load_reg(b, SP_R_IDENTITY, 0);
    sp_flow_load(b, SP_R_CLAIM, 0, 64, 0);
    sp_flow_load(b, SP_R_CLAIM, 64, 64, 0);
}

static void checked(struct sp_emit *e)
{
    static const uint32_t done[] = {SP_STAGE_ARP, SP_STAGE_ND};
    struct sp_flow_build *b;

    for (size_t i = 0; i < sizeof done / sizeof done[0]; i++) {
        b = sp_emit_begin(e, SP_T_CHECKED, 300);
        sp_flow_match_exact(b, SP_R_STAGE, done[i]);
        clear_claims(b);
        sp_emit_goto(e, SP_T_FORWARD);
    }
    b = sp_emit_begin(e, SP_T_CHECKED, 300);
    match_icmpv6(b, ND_NEIGHBOUR_ADVERTISEMENT);
    sp_flow_match_exact(b, SP_F_ICMPV6_CODE, 0);
    sp_flow_match_exact(b, SP_R_STAGE, SP_STAGE_ADVERTISEMENT);
    claim_ipv6(b, SP_F_ND_TARGET);
    load_stage(b, SP_STAGE_ND);
    sp_flow_resubmit(b, SP_T_ADDRESS);
    sp_emit_end(e);

    for (uint32_t type = ND_ROUTER_SOLICITATION; type <= ND_REDIRECT; type++) { /* From a port without port security. */
        b = sp_emit_begin(e, SP_T_CHECKED, 200);
        match_nd(b, (uint8_t) type);
        sp_flow_match_exact(b, SP_R_STAGE, 0);
        sp_emit_goto(e, SP_T_FORWARD);
    }
    b = sp_emit_begin(e, SP_T_CHECKED, 200);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, SP_ETH_ARP);
    sp_flow_match_exact(b, SP_R_STAGE, 0);
    sp_emit_goto(e, SP_T_FORWARD);

    b = sp_emit_begin(e, SP_T_CHECKED, 150);
    match_udp(b, SP_ETH_IPV4, DHCP_CLIENT, DHCP_SERVER);
    match_unfragmented(b);
    clear_claims(b);
    sp_emit_goto(e, SP_T_FORWARD);
    b = sp_emit_begin(e, SP_T_CHECKED, 150);
    match_udp(b, SP_ETH_IPV6, DHCPV6_CLIENT, DHCPV6_SERVER);
    match_unfragmented(b);
    clear_claims(b);
    sp_emit_goto(e, SP_T_FORWARD);

    for (unsigned i = 0; i < 2; i++) {
        b = sp_emit_begin(e, SP_T_CHECKED, 100);
        sp_flow_match_exact(b, SP_F_ETH_TYPE, i ? SP_ETH_IPV6 : SP_ETH_IPV4);
        clear_claims(b);
        sp_emit_goto(e, SP_T_RULE_SET);
    }
}

/* Match and operations: finds the class of the remote address of 'family', and leaves no more of it. */
static void ask_remote(struct sp_flow_build *b, bool outbound, unsigned family)
{
    static const enum sp_field words[] = SP_REMOTE_WORDS;
    unsigned n = family == 6 ? 4 : 1;

    sp_flow_match_exact(b, SP_F_ETH_TYPE, family == 6 ? SP_ETH_IPV6 : SP_ETH_IPV4);
    for (unsigned i = 0; i < n; i++) {
        enum sp_field ipv4 = outbound ? SP_F_CT_NW_DST : SP_F_CT_NW_SRC, ipv6 = outbound ? SP_F_CT_IPV6_DST : SP_F_CT_IPV6_SRC;

        sp_flow_copy(b, family == 6 ? ipv6 : ipv4, 32 * (n - 1 - i), words[i], 0, 32);
    }
    sp_flow_resubmit(b, SP_T_REMOTE);
    for (unsigned i = 0; i < n; i++) {
        sp_flow_load_reg(b, words[i], words[i] == SP_R_MARK ? SP_MARK_FRAGMENT : 0);
    }
}

/* The connection's direction seen from the server decides which rules are asked: a packet that leaves and opens its
 * connection, or that enters and answers, belongs to an outbound connection. */
static void judge_direction(struct sp_emit *e, uint32_t phase, bool reply)
{
    bool outbound = (phase == SP_PHASE_LEAVING) != reply;

    for (unsigned i = 0; i < 3; i++) {
        struct sp_flow_build *b = sp_emit_begin(e, SP_T_JUDGE, i ? 200 : 100);

        sp_flow_match_exact(b, SP_R_PHASE, phase);
        sp_flow_match_uint(b, SP_F_CT_STATE, SP_CT_VALID_VALUE | (reply ? SP_CT_RPL : 0), SP_CT_VALID_MASK | SP_CT_RPL);
        if (i) {
            uint32_t flag = outbound ? SP_REGION_HAS_REMOTE_OUT : SP_REGION_HAS_REMOTE_IN;

            sp_flow_match_uint(b, SP_R_REGION, flag, flag);
            ask_remote(b, outbound, i == 1 ? 4 : 6);
        }
        sp_emit_goto(e, outbound ? SP_T_RULES_OUT : SP_T_RULES_IN);
    }
}

/* DHCP servers' packets in fragments, whose ports only conntrack shows; ND in fragments is invalid to it. */
static void gate_fragments(struct sp_emit *e, uint16_t eth_type, uint16_t server, uint16_t client)
{
    for (unsigned reply = 0; reply < 2; reply++) {
        struct sp_flow_build *b = sp_emit_begin(e, SP_T_GATE, 280);

        sp_flow_match_exact(b, SP_F_ETH_TYPE, eth_type);
        sp_flow_match_uint(b, SP_F_IP_FRAG, 1, 1);
        sp_flow_match_uint(b, SP_F_CT_STATE, SP_CT_VALID_VALUE | (reply ? SP_CT_RPL : 0), SP_CT_VALID_MASK | SP_CT_RPL);
        sp_flow_match_exact(b, SP_F_CT_NW_PROTO, SP_IP_UDP);
        sp_flow_match_exact(b, SP_F_CT_TP_SRC, reply ? client : server);
        sp_flow_match_exact(b, SP_F_CT_TP_DST, reply ? server : client);
        sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_LEAVING);
        sp_flow_match_exact(b, SP_R_ORIGIN, SP_FROM_SERVER);
        sp_emit_end(e);
    }
}

/* A fragment goes on, and nothing of the question that it was asked stays. */
static void end_fragment(struct sp_emit *e)
{
    sp_flow_load(&e->build, SP_R_STAGE, SP_STAGE_OWN_BIT, 3, 0);
    sp_flow_load_reg(&e->build, SP_R_IDENTITY, 0);
    sp_flow_load_reg(&e->build, SP_R_HARDWARE_HIGH, 0);
    sp_flow_load_reg(&e->build, SP_R_HARDWARE_LOW, 0);
    sp_emit_goto(e, SP_T_GATE);
}

/* See the essay on strangers among the fragments. */
static void context(struct sp_emit *e)
{
    struct sp_flow_build *b;

    sp_flow_match_uint(sp_emit_begin(e, SP_T_HARDWARE, 1), SP_R_STAGE, SP_STAGE_FRAGMENT, SP_STAGE_FRAGMENT);
    sp_emit_goto(e, SP_T_CONTEXT);

    b = sp_emit_begin(e, SP_T_CONTEXT, 100);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_LEAVING);
    sp_flow_match_uint(b, SP_R_STAGE, SP_STAGE_FRAGMENT | SP_STAGE_OWN, SP_STAGE_FRAGMENT | SP_STAGE_OWN);
    end_fragment(e);
    b = sp_emit_begin(e, SP_T_CONTEXT, 90);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_LEAVING);
    sp_flow_match_uint(b, SP_R_STAGE, SP_STAGE_FRAGMENT, SP_STAGE_FRAGMENT);
    sp_flow_match_uint(b, SP_R_ORIGIN, SP_FROM_OPEN, SP_FROM_OPEN);
    end_fragment(e);
    b = sp_emit_begin(e, SP_T_CONTEXT, 100);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_ENTERING);
    sp_flow_match_uint(b, SP_R_STAGE, SP_STAGE_FRAGMENT, SP_STAGE_FRAGMENT | SP_STAGE_OWN);
    end_fragment(e);
}

/* What a flow must say once for each family, as its actions or its match ask for it. */
static void tracked_family(struct sp_emit *e, uint16_t eth_type)
{
    struct sp_flow_build *b;

    sp_flow_match_exact(sp_emit_begin(e, SP_T_CONNTRACK, 100), SP_F_ETH_TYPE, eth_type);
    sp_flow_ct(&e->build, SP_R_ZONE, SP_T_PORT_SET);
    sp_emit_end(e);

    b = sp_emit_begin(e, SP_T_TRACKED, 200);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, eth_type);
    sp_flow_match_uint(b, SP_F_IP_FRAG, 1, 1);
    sp_match_valid(b);
    sp_flow_move(b, SP_R_ZONE, 0, SP_R_IDENTITY, 16, 16);
    claim_hardware(b, SP_F_ETH_SRC);
    sp_flow_load(b, SP_R_STAGE, SP_STAGE_FRAGMENT_BIT, 1, 1);
    sp_emit_goto(e, SP_T_HARDWARE);

    b = sp_emit_begin(e, SP_T_GATE, 300);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, eth_type);
    match_unfragmented(b);
    sp_flow_match_uint(b, SP_R_STAGE, SP_STAGE_COMMITTED, SP_STAGE_COMMITTED);
    sp_emit_goto(e, SP_T_PASSED);

    b = sp_emit_begin(e, SP_T_GATE, 250);
    sp_match_ip(b, eth_type, SP_IP_SCTP);
    sp_match_valid(b);
    sp_emit_goto(e, SP_T_JUDGE);

    b = sp_emit_begin(e, SP_T_JUDGE, 300);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, eth_type);
    sp_flow_match_uint(b, SP_F_IP_FRAG, 2, 2); /* A later fragment. */
    sp_emit_goto(e, SP_T_COMMIT);

    b = sp_emit_begin(e, SP_T_JUDGE, 310); /* Of an ICMP error, which COMMIT would let pass. */
    sp_flow_match_exact(b, SP_F_ETH_TYPE, eth_type);
    sp_flow_match_uint(b, SP_F_IP_FRAG, 2, 2);
    sp_flow_match_uint(b, SP_F_CT_STATE, SP_CT_TRK | SP_CT_REL, SP_CT_TRK | SP_CT_REL);
    sp_emit_end(e);

    b = sp_emit_begin(e, SP_T_JUDGE, 400);
    sp_match_ip(b, eth_type, SP_IP_SCTP);
    sp_flow_match_uint(b, SP_F_IP_FRAG, 1, 1);
    sp_emit_end(e);

    b = sp_emit_begin(e, SP_T_JUDGE, 310); /* An error about an association, whose ports nobody knows. */
    sp_flow_match_exact(b, SP_F_ETH_TYPE, eth_type);
    sp_flow_match_uint(b, SP_F_CT_STATE, SP_CT_VALID_VALUE | SP_CT_REL, SP_CT_VALID_MASK | SP_CT_REL);
    sp_flow_match_exact(b, SP_F_CT_NW_PROTO, SP_IP_SCTP);
    sp_emit_end(e);

    sp_match_ip(sp_emit_begin(e, SP_T_RULES_OUT, 65000), eth_type, SP_IP_SCTP);
    sp_emit_goto(e, SP_T_SCTP_ORIGINAL);
    sp_match_ip(sp_emit_begin(e, SP_T_RULES_IN, 65000), eth_type, SP_IP_SCTP);
    sp_emit_goto(e, SP_T_SCTP_ORIGINAL);

    b = sp_emit_begin(e, SP_T_COMMIT, 100);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, eth_type);
    load_stage(b, SP_STAGE_COMMITTED);
    sp_flow_ct_commit(b, SP_R_ZONE, SP_R_MARK, SP_T_PORT_SET);
    sp_emit_end(e);
}

/* See the essay on one verdict between two servers. */
static void sender(struct sp_emit *e)
{
    struct sp_flow_build *b;

    b = sp_emit_begin(e, SP_T_SENDER, 200);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_LEAVING);
    sp_flow_match_uint(b, SP_R_STAGE, SP_STAGE_COMMITTED, SP_STAGE_COMMITTED); /* It was judged, and that noted, before. */
    sp_emit_goto(e, SP_T_GATE);
    b = sp_emit_begin(e, SP_T_SENDER, 180);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_LEAVING);
    sp_flow_move(b, SP_R_SET, 0, SP_R_SENDER_SET, 0, 32);
    sp_flow_move(b, SP_R_VERSION, 0, SP_R_SENDER_VERSION, 0, 32);
    sp_emit_goto(e, SP_T_GATE);
    sp_flow_match_exact(sp_emit_begin(e, SP_T_SENDER, 170), SP_R_SENDER_SET, 0);
    sp_emit_goto(e, SP_T_GATE);

    b = sp_emit_begin(e, SP_T_SENDER, 50);
    sp_flow_load_reg(b, SP_R_OUT, SP_AGAIN);
    sp_flow_load_reg(b, SP_R_MARK, 0);
    sp_flow_load_reg(b, SP_R_REGION, 0);
    load_stage(b, 0);
    sp_forget_sender(b);
    sp_flow_resubmit(b, SP_T_CLASSIFY);
    sp_emit_end(e);
}

/* The way of a frame that begins again: there is no ct() on it, but what the receiver's has told, and no mark of the sender's. */
static void again(struct sp_emit *e)
{
    struct sp_flow_build *b;

    b = sp_emit_begin(e, SP_T_CONNTRACK, 200);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_LEAVING);
    sp_flow_match_exact(b, SP_R_OUT, SP_AGAIN);
    sp_flow_resubmit(b, SP_T_SET_FACTS);
    sp_emit_end(e);
    b = sp_emit_begin(e, SP_T_SENDER, 190);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_LEAVING);
    sp_flow_match_exact(b, SP_R_OUT, SP_AGAIN);
    sp_flow_load_reg(b, SP_R_AGAIN, SP_AGAIN);
    sp_emit_goto(e, SP_T_JUDGE);
    b = sp_emit_begin(e, SP_T_COMMIT, 200);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_LEAVING);
    sp_flow_match_exact(b, SP_R_OUT, SP_AGAIN);
    sp_emit_goto(e, SP_T_PASSED);
    b = sp_emit_begin(e, SP_T_CONNTRACK, 200);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_ENTERING);
    sp_flow_match_exact(b, SP_R_AGAIN, SP_AGAIN);
    sp_flow_resubmit(b, SP_T_PORT_SET);
    sp_emit_end(e);
}

static void tracked(struct sp_emit *e)
{
    struct sp_flow_build *b;

    sp_match_valid(sp_emit_begin(e, SP_T_TRACKED, 100));
    sp_emit_goto(e, SP_T_SENDER);
    sp_match_valid(sp_emit_begin(e, SP_T_GATE, 100));
    sp_emit_goto(e, SP_T_JUDGE);
    /* A fragment behind ct(commit) that no live mark vouches for has not come by way of COMMIT. */
    sp_flow_match_uint(sp_emit_begin(e, SP_T_GATE, 190), SP_R_STAGE, SP_STAGE_COMMITTED, SP_STAGE_COMMITTED);
    sp_emit_end(e);

    tracked_family(e, SP_ETH_IPV4);
    tracked_family(e, SP_ETH_IPV6);
    gate_fragments(e, SP_ETH_IPV4, DHCP_SERVER, DHCP_CLIENT);
    gate_fragments(e, SP_ETH_IPV6, DHCPV6_SERVER, DHCPV6_CLIENT);
    judge_direction(e, SP_PHASE_LEAVING, false);
    judge_direction(e, SP_PHASE_LEAVING, true);
    judge_direction(e, SP_PHASE_ENTERING, false);
    judge_direction(e, SP_PHASE_ENTERING, true);
    sp_emit_begin(e, SP_T_RULES_OUT, 1); /* No rule allows it. */
    sp_emit_goto(e, SP_T_DENIED);
    sp_emit_begin(e, SP_T_RULES_IN, 1);
    sp_emit_goto(e, SP_T_DENIED);
    sp_emit_begin(e, SP_T_WIDE_OUT, 1);
    sp_emit_goto(e, SP_T_DENIED);
    sp_emit_begin(e, SP_T_WIDE_IN, 1);
    sp_emit_goto(e, SP_T_DENIED);
    sp_emit_begin(e, SP_T_SCTP_ORIGINAL, 1);
    sp_emit_goto(e, SP_T_SCTP_REPLY);
    sp_emit_begin(e, SP_T_SCTP_REPLY, 1);
    sp_emit_goto(e, SP_T_DENIED);
    sp_flow_match_uint(sp_emit_begin(e, SP_T_COMMIT, 300), SP_F_CT_STATE, SP_CT_TRK | SP_CT_REL, SP_CT_TRK | SP_CT_REL);
    sp_emit_goto(e, SP_T_PASSED);

    b = sp_emit_begin(e, SP_T_PASSED, 100);
    sp_flow_match_exact(b, SP_R_PHASE, SP_PHASE_LEAVING);
    sp_flow_load_reg(b, SP_R_MARK, 0);
    sp_flow_load_reg(b, SP_R_CLASS, 0);
    sp_flow_load_reg(b, SP_R_REGION, 0);
    load_stage(b, 0);
    sp_emit_goto(e, SP_T_FORWARD);
    sp_flow_match_exact(sp_emit_begin(e, SP_T_PASSED, 100), SP_R_PHASE, SP_PHASE_ENTERING);
    sp_emit_goto(e, SP_T_DELIVERED);
}

/* See the essay on what may open and close. */
#define NUMBER_BITS 8u /* A power of two. */
static const struct sp_mac no_bit = {{0}}, known_bit = {{1}}, unknown_bit = {{2}}, gone_bit = {{4}};

static void closed(struct sp_emit *e)
{
    sp_flow_match_uint(sp_emit_begin(e, SP_T_CLASSIFY, 1), SP_F_CT_MARK, 0, SP_MARK_FRAGMENT);
    sp_emit_end(e);
    sp_flow_match_bytes(sp_emit_begin(e, SP_T_PORT_SET, 1), SP_F_ETH_SRC, &gone_bit, &gone_bit);
    sp_emit_end(e);
}

static void forward(struct sp_emit *e)
{
    static const struct sp_mac reserved = {{0x01, 0x80, 0xc2, 0, 0, 0}}, reserved_mask = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}};
    static const struct sp_mac group = {{1}}, broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    struct sp_flow_build *b;

    sp_flow_match_bytes(sp_emit_begin(e, SP_T_FORWARD, SP_PF_NEVER), SP_F_ETH_DST, &reserved, &reserved_mask);
    sp_emit_end(e);
    b = sp_emit_begin(e, SP_T_FORWARD, SP_PF_NEVER); /* A second tag behind a priority tag. */
    sp_flow_match_uint(b, SP_F_VLAN_TCI, SP_TCI_TAGGED, SP_TCI_TAGGED);
    sp_flow_match_exact(b, SP_R_VLAN, 0);
    sp_emit_end(e);

    b = sp_emit_begin(e, SP_T_FORWARD, SP_PF_PROBE);
    sp_flow_match_bytes(b, SP_F_ETH_DST, &group, &group);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, SP_ETH_ARP);
    sp_flow_match_exact(b, SP_F_ARP_OP, ARP_REQUEST);
    sp_flow_match_exact(b, SP_F_ARP_SPA, 0);
    sp_emit_goto(e, SP_T_FLOOD);
    b = sp_emit_begin(e, SP_T_FORWARD, SP_PF_PROBE);
    sp_flow_match_bytes(b, SP_F_ETH_DST, &group, &group);
    match_icmpv6(b, ND_NEIGHBOUR_SOLICITATION);
    sp_flow_match_bytes(b, SP_F_IPV6_SRC, zero, NULL);
    sp_emit_goto(e, SP_T_FLOOD);

    b = sp_emit_begin(e, SP_T_FORWARD, SP_PF_TARGET);
    sp_flow_match_bytes(b, SP_F_ETH_DST, &broadcast, NULL);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, SP_ETH_ARP);
    sp_flow_match_exact(b, SP_F_ARP_OP, ARP_REQUEST);
    sp_flow_move(b, SP_F_ARP_SPA, 0, SP_R_ASKING, 0, 32);
    sp_flow_move(b, SP_F_ARP_TPA, 0, SP_R_ASKED, 0, 32);
    sp_emit_goto(e, SP_T_REQUEST);

    sp_flow_match_bytes(sp_emit_begin(e, SP_T_FORWARD, SP_PF_GROUP), SP_F_ETH_DST, &group, &group);
    sp_emit_goto(e, SP_T_FLOOD);

    for (unsigned i = 0; i < 2; i++) {
        b = sp_emit_begin(e, SP_T_FORWARD, SP_PF_UNKNOWN);
        sp_flow_match_bytes(b, SP_F_ETH_SRC, i ? &unknown_bit : &no_bit, &unknown_bit);
        sp_flow_load_reg(b, SP_R_OUT, 0);
        sp_flow_resubmit(b, SP_T_LEARNED);
        sp_emit_goto(e, SP_T_UPLINK);
    }

    b = sp_emit_begin(e, SP_T_FLOOD, 100);
    sp_forget_sender(b);
    sp_flow_load_reg(b, SP_R_OUT, 0);
    sp_flow_resubmit(b, SP_T_UPLINK);
    sp_flow_resubmit(b, SP_T_STRIP);
    sp_emit_goto(e, SP_T_FLOOD_VLAN);

    b = sp_emit_begin(e, SP_T_UPLINK, 200); /* A server's frame in a VLAN. */
    sp_flow_match_uint(b, SP_R_ORIGIN, SP_FROM_SERVER, SP_FROM_SERVER);
    sp_flow_push_vlan(b);
    sp_flow_move(b, SP_R_VLAN, 0, SP_F_VLAN_TCI, 0, 12);
    sp_flow_resubmit(b, SP_T_UPLINK_OUTPUT);
    sp_flow_pop_vlan(b);
    sp_emit_end(e);
    b = sp_emit_begin(e, SP_T_UPLINK, 300);
    sp_flow_match_uint(b, SP_R_ORIGIN, SP_FROM_SERVER, SP_FROM_SERVER);
    sp_flow_match_exact(b, SP_R_VLAN, 0);
    sp_emit_goto(e, SP_T_UPLINK_OUTPUT);
    sp_flow_match_exact(sp_emit_begin(e, SP_T_UPLINK, 300), SP_R_ORIGIN, SP_FROM_UPLINK);
    sp_emit_goto(e, SP_T_UPLINK_OUTPUT);

    b = sp_emit_begin(e, SP_T_STRIP, 100);
    sp_flow_match_uint(b, SP_F_VLAN_TCI, SP_TCI_TAGGED, SP_TCI_TAGGED);
    sp_flow_pop_vlan(b);
    sp_emit_end(e);
}

/* An announcement asks for the address of the one who asks.  Two addresses differ if they do in one bit at least. */
static void requests(struct sp_emit *e)
{
    for (unsigned i = 0; i < 64; i++) {
        uint32_t bit = 1u << i / 2;
        struct sp_flow_build *b = sp_emit_begin(e, SP_T_REQUEST, (uint16_t) (100 + i / 2));

        sp_flow_match_uint(b, SP_R_ASKING, i % 2 ? bit : 0, bit);
        sp_flow_match_uint(b, SP_R_ASKED, i % 2 ? 0 : bit, bit);
        sp_emit_goto(e, SP_T_TARGET);
    }
    sp_flow_resubmit(sp_emit_begin(e, SP_T_REQUEST, 1), SP_T_FLOOD);
    sp_emit_end(e);
    sp_flow_resubmit(sp_emit_begin(e, SP_T_TARGET, 1), SP_T_FLOOD); /* Of nobody here. */
    sp_emit_end(e);
}

/* Not to be taken, but to be looked at: no station sends from a group address. */
static void tell_ways_apart(struct sp_emit *e)
{
    struct sp_flow_build *b;

    for (unsigned i = 0; i < SP_PLACES; i++) {
        struct sp_mac bit = no_bit;

        bit.bytes[1 + i / 8] = (uint8_t) (1u << i % 8);
        b = sp_emit_begin(e, SP_T_CHECKED, 400);
        sp_flow_match_exact(b, SP_R_PLACE, i);
        sp_flow_match_bytes(b, SP_F_ETH_SRC, &known_bit, &known_bit);
        sp_flow_match_bytes(b, SP_F_ETH_DST, &bit, &bit);
        sp_emit_end(e);
    }
    for (unsigned i = 0; i < 2 * NUMBER_BITS; i++) {
        struct sp_mac bits = known_bit;

        bits.bytes[1 + i / 8] = (uint8_t) (1u << i % 8);
        b = sp_emit_begin(e, SP_T_ENTER, 200);
        sp_flow_match_uint(b, SP_R_OUT, i % NUMBER_BITS, NUMBER_BITS - 1);
        sp_flow_match_uint(b, SP_R_ORIGIN, i < NUMBER_BITS ? 0 : SP_FROM_SERVER, SP_FROM_SERVER);
        sp_flow_match_bytes(b, SP_F_ETH_SRC, &bits, &bits);
        sp_emit_end(e);
    }
    b = sp_emit_begin(e, SP_T_PORT_SET, 2); /* What goes somewhere else is not to share a megaflow, gone as the port is. */
    sp_flow_match_bytes(b, SP_F_ETH_SRC, &known_bit, &known_bit);
    sp_flow_match_bytes(b, SP_F_ETH_DST, &no_bit, NULL);
    sp_emit_end(e);
}

static void guard_answers(struct sp_emit *e)
{
    static const uint8_t neighbour[] = {ND_NEIGHBOUR_SOLICITATION, ND_NEIGHBOUR_ADVERTISEMENT};
    struct sp_flow_build *b;

    sp_flow_match_exact(sp_emit_begin(e, SP_T_GUARD, 200), SP_F_ETH_TYPE, SP_ETH_ARP);
    sp_emit_goto(e, SP_T_DELIVERED);
    for (size_t i = 0; i < sizeof neighbour; i++) {
        match_nd(sp_emit_begin(e, SP_T_GUARD, 200), neighbour[i]);
        sp_emit_goto(e, SP_T_DELIVERED);
    }
    b = sp_emit_begin(e, SP_T_GUARD, 200);
    match_nd(b, ND_ROUTER_ADVERTISEMENT);
    sp_flow_match_exact(b, SP_R_ORIGIN, SP_FROM_UPLINK);
    sp_emit_goto(e, SP_T_DELIVERED);
    b = sp_emit_begin(e, SP_T_GUARD, 200);
    match_udp(b, SP_ETH_IPV4, DHCP_SERVER, DHCP_CLIENT);
    match_unfragmented(b);
    sp_emit_goto(e, SP_T_DELIVERED);
    b = sp_emit_begin(e, SP_T_GUARD, 200);
    match_udp(b, SP_ETH_IPV6, DHCPV6_SERVER, DHCPV6_CLIENT);
    match_unfragmented(b);
    sp_emit_goto(e, SP_T_DELIVERED);
}

static void guard(struct sp_emit *e)
{
    struct sp_flow_build *b;

    sp_flow_match_uint(sp_emit_begin(e, SP_T_GUARD, 300), SP_F_VLAN_TCI, SP_TCI_TAGGED, SP_TCI_TAGGED);
    sp_emit_end(e);
    guard_answers(e);

    /* A port without port security may be a router's or a DHCP server's. */
    b = sp_emit_begin(e, SP_T_GUARD, 200);
    match_nd(b, ND_ROUTER_SOLICITATION);
    sp_flow_match_exact(b, SP_R_STAGE, SP_STAGE_OPEN);
    sp_emit_goto(e, SP_T_DELIVERED);
    b = sp_emit_begin(e, SP_T_GUARD, 200);
    match_udp(b, SP_ETH_IPV4, DHCP_CLIENT, DHCP_SERVER);
    match_unfragmented(b);
    sp_flow_match_exact(b, SP_R_STAGE, SP_STAGE_OPEN);
    sp_emit_goto(e, SP_T_DELIVERED);
    b = sp_emit_begin(e, SP_T_GUARD, 200);
    match_udp(b, SP_ETH_IPV6, DHCPV6_CLIENT, DHCPV6_SERVER);
    match_unfragmented(b);
    sp_flow_match_exact(b, SP_R_STAGE, SP_STAGE_OPEN);
    sp_emit_goto(e, SP_T_DELIVERED);

    for (uint32_t type = ND_ROUTER_SOLICITATION; type <= ND_REDIRECT; type++) {
        match_icmpv6(sp_emit_begin(e, SP_T_GUARD, 150), (uint8_t) type);
        sp_emit_end(e);
    }
    for (unsigned i = 0; i < 2; i++) {
        b = sp_emit_begin(e, SP_T_GUARD, 100);
        sp_flow_match_exact(b, SP_F_ETH_TYPE, i ? SP_ETH_IPV6 : SP_ETH_IPV4);
        sp_flow_match_bytes(b, SP_F_ETH_SRC, &no_bit, &known_bit);
        load_stage(b, 0);
        sp_flow_resubmit(&e->build, SP_T_RULE_SET); /* Lies before this table. */
        sp_emit_end(e);
    }
    sp_flow_output_reg(sp_emit_begin(e, SP_T_DELIVERED, 100), SP_R_OUT);
    sp_emit_end(e);
}

int sp_compile_static(struct sp_flow_list *out)
{
    struct sp_emit e;

    sp_emit_init(&e, out, NULL, SP_COOKIE(SP_COOKIE_STATIC, 0));
    closed(&e);
    source(&e);
    address(&e);
    address_of_hardware(&e);
    claims_of_own(&e);
    checked(&e);
    context(&e);
    tracked(&e);
    sender(&e);
    again(&e);
    forward(&e);
    requests(&e);
    tell_ways_apart(&e);
    guard(&e);
    return e.error;
}
