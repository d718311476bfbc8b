#include "flows/compile.h"

#include "flows/compile_emit.h"

#define ND_NEIGHBOUR_SOLICITATION 135

/* Begins a flow of FORWARD in 'vlan'. */
static struct sp_flow_build *begin_forward(struct sp_emit *e, uint16_t priority, uint16_t vlan)
{
    struct sp_flow_build *b = sp_emit_begin(e, SP_T_FORWARD, priority);

    sp_flow_match_exact(b, SP_R_VLAN, vlan);
    return b;
}

/* Ends it by a copy to each of 'ofports'.  Of several copies none may begin again: each would come to all. */
static void end_entering(struct sp_emit *e, const uint16_t *ofports, size_t n)
{
    if (n > 1) {
        sp_forget_sender(&e->build);
    }
    sp_flow_resubmit(&e->build, SP_T_STRIP);
    sp_enter_each(&e->build, ofports, n);
    sp_emit_end(e);
}

int sp_compile_mac(uint16_t vlan, const struct sp_mac *mac, const uint16_t *ofports, size_t n, struct sp_flow_list *out)
{
    struct sp_emit e;

    sp_emit_init(&e, out, NULL, SP_COOKIE(SP_COOKIE_FLOOD, (uint64_t) vlan << 8 | 0xff));
    sp_flow_match_bytes(begin_forward(&e, SP_PF_MAC, vlan), SP_F_ETH_DST, mac, NULL);
    end_entering(&e, ofports, n);
    return e.error;
}

int sp_compile_target(uint16_t vlan, const struct sp_cidr *ip, const uint16_t *ofports, size_t n, struct sp_flow_list *out)
{
    static const struct sp_mac group = {{1}};
    struct sp_flow_build *b;
    struct sp_emit e;

    sp_emit_init(&e, out, NULL, SP_COOKIE(SP_COOKIE_FLOOD, (uint64_t) vlan << 8 | 0xff));
    if (ip->family == 6) {
        b = begin_forward(&e, SP_PF_TARGET, vlan);
        sp_flow_match_bytes(b, SP_F_ETH_DST, &group, &group);
        sp_match_ip(b, SP_ETH_IPV6, SP_IP_ICMPV6);
        sp_flow_match_exact(b, SP_F_ICMPV6_TYPE, ND_NEIGHBOUR_SOLICITATION);
        sp_flow_match_exact(b, SP_F_ICMPV6_CODE, 0);
        sp_flow_match_bytes(b, SP_F_ND_TARGET, ip->bytes, NULL);
        end_entering(&e, ofports, n);
        return e.error;
    }
    b = sp_emit_begin(&e, SP_T_TARGET, 100);
    sp_flow_match_exact(b, SP_R_VLAN, vlan);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, SP_ETH_ARP);
    sp_flow_match_bytes(b, SP_F_ARP_TPA, ip->bytes, NULL);
    end_entering(&e, ofports, n);
    return e.error;
}

int sp_compile_flood_vlan(uint16_t vlan, const uint8_t *chunks, size_t n, struct sp_flow_list *out)
{
    struct sp_flow_build *b;
    struct sp_emit e;

    sp_emit_init(&e, out, NULL, SP_COOKIE(SP_COOKIE_FLOOD, (uint64_t) vlan << 8 | 0xff));
    b = sp_emit_begin(&e, SP_T_FLOOD_VLAN, 100);
    sp_flow_match_exact(b, SP_R_VLAN, vlan);
    for (size_t i = 0; i < n; i++) {
        sp_flow_load_reg(b, SP_R_STAGE, chunks[i]);
        sp_flow_resubmit(b, SP_T_FLOOD_CHUNK);
    }
    sp_emit_end(&e);
    return e.error;
}

int sp_compile_flood_chunk(uint16_t vlan, uint8_t chunk, const uint16_t *ofports, size_t n, struct sp_flow_list *out)
{
    struct sp_flow_build *b;
    struct sp_emit e;

    sp_emit_init(&e, out, NULL, SP_COOKIE(SP_COOKIE_FLOOD, (uint64_t) vlan << 8 | chunk));
    b = sp_emit_begin(&e, SP_T_FLOOD_CHUNK, 100);
    sp_flow_match_exact(b, SP_R_VLAN, vlan);
    sp_flow_match_exact(b, SP_R_STAGE, chunk);
    sp_enter_each(b, ofports, n);
    sp_emit_end(&e);
    return e.error;
}

int sp_compile_remote(uint32_t region, const struct sp_cidr *ip, uint32_t set, struct sp_flow_list *out)
{
    static const enum sp_field words[] = SP_REMOTE_WORDS;
    struct sp_flow_build *b;
    struct sp_emit e;

    sp_emit_init(&e, out, NULL, SP_COOKIE(SP_COOKIE_REMOTE, set));
    b = sp_emit_begin(&e, SP_T_REMOTE, 100);
    sp_flow_match_uint(b, SP_R_REGION, region, SP_REGION_MASK);
    sp_flow_match_exact(b, SP_F_ETH_TYPE, ip->family == 6 ? SP_ETH_IPV6 : SP_ETH_IPV4);
    for (size_t i = 0; i < (ip->family == 6 ? 4 : 1); i++) {
        sp_flow_match_bytes(b, words[i], ip->bytes + 4 * i, NULL);
    }
    sp_flow_load_reg(b, SP_R_CLASS, set);
    sp_emit_end(&e);
    return e.error;
}
