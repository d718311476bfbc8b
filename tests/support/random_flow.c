#include "tests/support/random_flow.h"

#include <string.h>

static bool maybe(struct sp_random *r)
{
    return sp_random_chance(r, 50);
}

static uint64_t ones(unsigned n)
{
    return n >= 64 ? UINT64_MAX : (1ull << n) - 1;
}

static void random_bytes(struct sp_random *r, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t) sp_random_next(r);
    }
}

/* Matches 'field' exactly or with a random mask. */
static void match_maskable(struct sp_random *r, struct sp_flow_build *build, enum sp_field field)
{
    uint8_t value[16], mask[16];

    random_bytes(r, value, sizeof value);
    random_bytes(r, mask, sizeof mask);
    sp_flow_match_bytes(build, field, value, sp_random_below(r, 2) ? mask : NULL);
}

static void maybe_match(struct sp_random *r, struct sp_flow_build *build, enum sp_field field)
{
    if (maybe(r)) {
        match_maskable(r, build, field);
    }
}

static void match_transport(struct sp_random *r, struct sp_flow_build *build, bool v6)
{
    static const struct {
        uint8_t protocol;
        enum sp_field src, dst;
    } transports[] = {{6, SP_F_TCP_SRC, SP_F_TCP_DST}, {17, SP_F_UDP_SRC, SP_F_UDP_DST}, {132, SP_F_SCTP_SRC, SP_F_SCTP_DST}};
    size_t i = sp_random_below(r, 5);

    if (i < 3) {
        sp_flow_match_exact(build, SP_F_IP_PROTO, transports[i].protocol);
        maybe_match(r, build, transports[i].src);
        maybe_match(r, build, transports[i].dst);
    } else if (i == 3 && !v6) {
        sp_flow_match_exact(build, SP_F_IP_PROTO, 1);
        sp_flow_match_exact(build, SP_F_ICMP_TYPE, sp_random_below(r, 256));
        sp_flow_match_exact(build, SP_F_ICMP_CODE, sp_random_below(r, 256));
    } else if (i == 3) {
        bool advert = maybe(r);

        sp_flow_match_exact(build, SP_F_IP_PROTO, 58);
        sp_flow_match_exact(build, SP_F_ICMPV6_TYPE, advert ? 136 : 135);
        sp_flow_match_exact(build, SP_F_ICMPV6_CODE, 0);
        maybe_match(r, build, SP_F_ND_TARGET);
        maybe_match(r, build, advert ? SP_F_ND_TLL : SP_F_ND_SLL);
    } else {
        sp_flow_match_exact(build, SP_F_IP_PROTO, sp_random_below(r, 256));
    }
}

static void match_tuple(struct sp_random *r, struct sp_flow_build *build, bool v6)
{
    sp_flow_match_uint(build, SP_F_CT_STATE, SP_CT_TRK, SP_CT_TRK | SP_CT_INV);
    maybe_match(r, build, SP_F_CT_MARK);
    if (maybe(r)) {
        sp_flow_match_exact(build, SP_F_CT_ZONE, sp_random_below(r, 65536));
    }
    maybe_match(r, build, v6 ? SP_F_CT_IPV6_SRC : SP_F_CT_NW_SRC);
    maybe_match(r, build, v6 ? SP_F_CT_IPV6_DST : SP_F_CT_NW_DST);
    if (maybe(r)) {
        sp_flow_match_exact(build, SP_F_CT_NW_PROTO, 1 + sp_random_below(r, 255));
        maybe_match(r, build, SP_F_CT_TP_SRC);
        maybe_match(r, build, SP_F_CT_TP_DST);
    }
}

static void match_network(struct sp_random *r, struct sp_flow_build *build)
{
    bool v6;

    switch (sp_random_below(r, 4)) {
    case 0:
        sp_flow_match_exact(build, SP_F_ETH_TYPE, 0x0806);
        sp_flow_match_exact(build, SP_F_ARP_OP, 1 + sp_random_below(r, 2));
        maybe_match(r, build, SP_F_ARP_SPA);
        maybe_match(r, build, SP_F_ARP_TPA);
        maybe_match(r, build, SP_F_ARP_SHA);
        maybe_match(r, build, SP_F_ARP_THA);
        break;
    case 1:
    case 2:
        v6 = maybe(r);
        sp_flow_match_exact(build, SP_F_ETH_TYPE, v6 ? 0x86dd : 0x0800);
        maybe_match(r, build, v6 ? SP_F_IPV6_SRC : SP_F_IP_SRC);
        maybe_match(r, build, v6 ? SP_F_IPV6_DST : SP_F_IP_DST);
        if (maybe(r)) {
            sp_flow_match_exact(build, SP_F_IP_TTL, sp_random_below(r, 256));
        }
        if (maybe(r)) {
            match_transport(r, build, v6);
        } else if (maybe(r)) {
            sp_flow_match_uint(build, SP_F_IP_FRAG, maybe(r) ? 3 : 0, maybe(r) ? 3 : 2);
        }
        if (maybe(r)) {
            match_tuple(r, build, v6);
        }
        break;
    default:
        if (maybe(r)) {
            sp_flow_match_exact(build, SP_F_ETH_TYPE, 0x88cc);
        }
    }
}

bool sp_random_match(struct sp_random *r, struct sp_flow_build *build)
{
    uint64_t vlan = sp_random_below(r, 4);

    if (maybe(r)) {
        sp_flow_match_exact(build, SP_F_IN_PORT, sp_random_below(r, 0xff00));
    }
    maybe_match(r, build, SP_F_ETH_SRC);
    maybe_match(r, build, SP_F_ETH_DST);
    switch (vlan) {
    case 0:
        sp_flow_match_uint(build, SP_F_VLAN_TCI, 0, 0x1000);
        break;
    case 1:
        sp_flow_match_uint(build, SP_F_VLAN_TCI, 0x1000 | sp_random_below(r, 4096), 0x1fff);
        break;
    case 2:
        sp_flow_match_uint(build, SP_F_VLAN_TCI, 0x1000, 0x1000);
        break;
    }
    match_network(r, build);
    for (unsigned i = 0; i < 12; i++) {
        if (!sp_random_below(r, 4)) {
            match_maskable(r, build, SP_F_REG(i));
        }
    }
    maybe_match(r, build, SP_F_XXREG3);
    return vlan == 1 || vlan == 2;
}

static enum sp_field random_register(struct sp_random *r)
{
    return SP_F_REG(sp_random_below(r, 16));
}

static void act_random(struct sp_random *r, struct sp_flow_build *build, bool *tagged)
{
    static const enum sp_field writable[] = {SP_F_ETH_SRC, SP_F_ETH_DST, SP_F_XXREG0, SP_F_XXREG3, SP_F_REG0, SP_F_REG15};
    enum sp_field field = writable[sp_random_below(r, sizeof writable / sizeof *writable)];
    unsigned bits = 8u * (unsigned) sp_field_size(field), first = sp_random_below(r, bits);
    unsigned n = 1 + sp_random_below(r, bits - first);

    switch (sp_random_below(r, 10)) {
    case 0:
        sp_flow_output(build, (uint16_t) (1 + sp_random_below(r, 0xfeff)));
        break;
    case 1:
        sp_flow_output_reg(build, random_register(r));
        break;
    case 2:
        sp_flow_resubmit(build, (uint8_t) sp_random_below(r, 254));
        break;
    case 3:
    case 4:
        n = n > 64 ? 64 : n;
        sp_flow_load(build, field, first, n, sp_random_next(r) & ones(n));
        break;
    case 5:
        n = n > 32 ? 32 : n;
        sp_flow_move(build, random_register(r), sp_random_below(r, 33 - n), field, first, n);
        break;
    case 6:
        if (sp_random_chance(r, 50)) {
            sp_flow_move(build, SP_F_ETH_SRC, 0, SP_F_XXREG3, sp_random_below(r, 80), 48);
        } else {
            sp_flow_copy(build, SP_F_ETH_SRC, 0, SP_F_XXREG3, sp_random_below(r, 80), 48);
        }
        break;
    case 7: /* The switch refuses to pop a tag that is not there, and to push a third. */
        if (*tagged) {
            sp_flow_pop_vlan(build);
        } else {
            sp_flow_push_vlan(build);
        }
        *tagged = !*tagged;
        break;
    case 8:
        sp_flow_learn_mac(build, (uint8_t) sp_random_below(r, 254), (uint16_t) sp_random_next(r), (uint16_t) sp_random_next(r),
                          (uint32_t) sp_random_next(r), sp_random_next(r), random_register(r), random_register(r));
        break;
    case 9:
        sp_flow_controller(build, (uint16_t) (1 + sp_random_below(r, 0xffff)), (uint16_t) sp_random_next(r));
        break;
    }
}

static bool is_ip(const struct sp_flow_build *build)
{
    for (size_t at = 0; at < build->match_size;) {
        if (build->match[at] == SP_F_ETH_TYPE) {
            return !memcmp(build->match + at + 2, "\x08\x00", 2) || !memcmp(build->match + at + 2, "\x86\xdd", 2);
        }
        at += 2 + sp_field_size(build->match[at]) * (build->match[at + 1] ? 2 : 1);
    }
    return false;
}

void sp_random_flow(struct sp_random *r, struct sp_flow_build *build, uint64_t cookie)
{
    bool tagged;

    sp_flow_build_init(build, (uint8_t) sp_random_below(r, 200), (uint16_t) (1 + sp_random_below(r, 65535)), cookie);
    tagged = sp_random_match(r, build);
    for (uint64_t n = sp_random_below(r, 8); n; n--) {
        act_random(r, build, &tagged);
    }
    if (is_ip(build) && maybe(r)) {
        sp_flow_ct_commit(build, random_register(r), maybe(r) ? random_register(r) : SP_N_FIELDS,
                          (uint8_t) sp_random_below(r, 254));
        sp_flow_load_reg(build, random_register(r), (uint32_t) sp_random_next(r));
        sp_flow_ct(build, random_register(r), (uint8_t) sp_random_below(r, 254));
        return;
    }
    if (maybe(r)) { /* The switch takes a tag that is written to for unknown, and would refuse to pop it. */
        sp_flow_load(build, SP_F_VLAN_TCI, 0, 12, sp_random_below(r, 4096));
        sp_flow_move(build, random_register(r), sp_random_below(r, 17), SP_F_VLAN_TCI, 0, 16);
    }
    if (maybe(r)) {
        sp_flow_goto(build, (uint8_t) (build->table + 1));
    }
}
