#include "flows/compile.h"

#include <assert.h>
#include <errno.h>

#include "flows/compile_emit.h"

#define LEARNED_PRIORITY 100
#define LEARNED_IDLE_S 300
#define LEARNED_MAX 10000u /* Per uplink: a bound on what its neighbours can make the switch remember. */

/* Frames of uplink 'ofport' whose tag is as 'tci' says; 'pop' takes off a priority tag, which names no VLAN. */
static void classify_uplink(struct sp_emit *e, uint16_t ofport, uint16_t priority, uint16_t tci, uint16_t mask, bool learn)
{
    struct sp_flow_build *b = sp_emit_begin(e, SP_T_CLASSIFY, priority);
    bool tagged = tci != 0, priority_tag = mask == (SP_TCI_TAGGED | SP_TCI_VID);

    sp_flow_match_exact(b, SP_F_IN_PORT, ofport);
    sp_flow_match_uint(b, SP_F_VLAN_TCI, tci, mask);
    sp_flow_load_reg(b, SP_R_ORIGIN, SP_FROM_UPLINK);
    if (priority_tag) {
        sp_flow_pop_vlan(b);
    } else if (tagged) {
        sp_flow_move(b, SP_F_VLAN_TCI, 0, SP_R_VLAN, 0, 12);
    }
    if (learn) {
        sp_flow_learn_mac(b, SP_T_LEARNED, LEARNED_PRIORITY, LEARNED_IDLE_S, LEARNED_MAX, SP_COOKIE(SP_COOKIE_LEARNED, ofport),
                          SP_R_VLAN, SP_R_OUT);
    }
    sp_emit_goto(e, SP_T_FORWARD);
}

int sp_compile_uplinks(const uint16_t *ofports, size_t n, struct sp_flow_list *out)
{
    struct sp_flow_build *b;
    struct sp_emit e;

    sp_emit_init(&e, out, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        bool learn = n > 1;

        e.cookie = SP_COOKIE(SP_COOKIE_UPLINK, ofports[i]);
        classify_uplink(&e, ofports[i], 110, SP_TCI_TAGGED, SP_TCI_TAGGED | SP_TCI_VID, learn);
        classify_uplink(&e, ofports[i], 100, SP_TCI_TAGGED, SP_TCI_TAGGED, learn);
        classify_uplink(&e, ofports[i], 100, 0, SP_TCI_TAGGED, learn);
        sp_flow_match_exact(sp_emit_begin(&e, SP_T_UPLINK_OUTPUT, 100), SP_R_OUT, ofports[i]);
        sp_flow_output(&e.build, ofports[i]);
        sp_emit_end(&e);
    }
    if (n) {
        e.cookie = SP_COOKIE(SP_COOKIE_UPLINK, 0);
        b = sp_emit_begin(&e, SP_T_UPLINK_OUTPUT, 100);
        sp_flow_match_exact(b, SP_R_OUT, 0);
        for (size_t i = 0; i < n; i++) {
            sp_flow_output(b, ofports[i]);
        }
        sp_emit_end(&e);
    }
    return e.error;
}

/* Loads what the pipeline must know of a frame's sender.  'mac' NULL: whatever its source. */
static void classify_server(struct sp_emit *e, const struct sp_port_facts *facts, const struct sp_mac *mac, uint32_t identity)
{
    const struct sp_port *port = facts->port;

    for (unsigned tagged = 0; tagged < (port->vlan ? 2 : 1); tagged++) {
        struct sp_flow_build *b = sp_emit_begin(e, SP_T_CLASSIFY, 100);

        sp_flow_match_exact(b, SP_F_IN_PORT, facts->ofport);
        if (mac) {
            sp_flow_match_bytes(b, SP_F_ETH_SRC, mac, NULL);
        }
        if (tagged) {
            sp_flow_match_uint(b, SP_F_VLAN_TCI, SP_TCI_TAGGED | port->vlan, SP_TCI_TAGGED | SP_TCI_VID);
            sp_flow_pop_vlan(b);
        } else {
            sp_match_untagged(b);
        }
        sp_flow_load_reg(b, SP_R_ORIGIN, mac ? SP_FROM_SERVER : SP_FROM_SERVER | SP_FROM_OPEN);
        sp_flow_load_reg(b, SP_R_VLAN, port->vlan);
        sp_flow_load_reg(b, SP_R_SET, facts->set);
        sp_flow_load_reg(b, SP_R_PLACE, (uint32_t) ((facts->ofport + facts->dpid) % SP_PLACES));
        sp_flow_load_reg(b, SP_R_PHASE, SP_PHASE_LEAVING);
        sp_flow_load_reg(b, SP_R_ZONE, port->zone);
        if (mac) {
            sp_flow_load_reg(b, SP_R_IDENTITY, identity);
        }
        sp_emit_goto(e, mac ? SP_T_SOURCE : SP_T_CHECKED);
    }
}

/* 'ip' is an address of 'identity', or a prefix of addresses. */
static void claim_address(struct sp_emit *e, uint32_t identity, const struct sp_cidr *ip)
{
    struct sp_flow_build *b = sp_emit_begin(e, SP_T_ADDRESS, sp_cidr_is_address(ip) ? 300 : 100);

    sp_flow_match_exact(b, SP_R_IDENTITY, identity);
    sp_flow_match_uint(b, SP_R_STAGE, ip->family == 6 ? SP_STAGE_IPV6 : 0, SP_STAGE_IPV6);
    sp_flow_match_cidr(b, SP_R_CLAIM_IPV4, SP_R_CLAIM, ip);
    sp_emit_goto(e, SP_T_CHECKED);
}

/* 'mac' is a hardware address of 'identity'; with SP_STAGE_FRAGMENT as 'stage' for fragments alone. */
static void own_hardware(struct sp_emit *e, uint32_t identity, const struct sp_mac *mac, uint32_t stage)
{
    const uint8_t *o = mac->bytes;
    struct sp_flow_build *b = sp_emit_begin(e, SP_T_HARDWARE, 100);

    sp_flow_match_exact(b, SP_R_IDENTITY, identity);
    sp_flow_match_exact(b, SP_R_HARDWARE_HIGH, (uint32_t) o[0] << 8 | o[1]);
    sp_flow_match_exact(b, SP_R_HARDWARE_LOW, (uint32_t) o[2] << 24 | (uint32_t) o[3] << 16 | (uint32_t) o[4] << 8 | o[5]);
    sp_flow_match_uint(b, SP_R_STAGE, stage, stage);
    sp_flow_load(b, SP_R_STAGE, SP_STAGE_OWN_BIT, 1, 1);
    sp_emit_goto(e, SP_T_CONTEXT);
}

/* The identity of pair 'at': 0 if its MAC is the port's own, else 1 + the place of the first pair with that MAC. */
static size_t identity_index(const struct sp_port *port, size_t at)
{
    size_t first = 0;

    if (sp_mac_equal(&port->pairs[at].mac, &port->mac)) {
        return 0;
    }
    while (!sp_mac_equal(&port->pairs[first].mac, &port->pairs[at].mac)) {
        first++;
    }
    return first + 1;
}

static void identities(struct sp_emit *e, const struct sp_port_facts *facts)
{
    const struct sp_port *port = facts->port;
    uint32_t base = (uint32_t) port->zone << 16;

    classify_server(e, facts, &port->mac, base);
    own_hardware(e, base, &port->mac, 0);
    for (size_t i = 0; i < port->n_ips; i++) {
        claim_address(e, base, &port->ips[i]);
    }
    for (size_t i = 0; i < port->n_pairs && !e->error; i++) {
        size_t index = identity_index(port, i);
        uint32_t identity = base | (uint32_t) index;

        if (index > 0xffff) {
            e->error = SP_E_RANGE;
            return;
        }
        if (index == i + 1) {
            assert(port->pairs);
            classify_server(e, facts, &port->pairs[i].mac, identity);
            own_hardware(e, identity, &port->pairs[i].mac, 0);
            own_hardware(e, base, &port->pairs[i].mac, SP_STAGE_FRAGMENT);
        }
        claim_address(e, identity, &port->pairs[i].ip);
    }
}

int sp_compile_port(const struct sp_port_facts *facts, struct sp_flow_list *out)
{
    const struct sp_port *port = facts->port;
    struct sp_flow_table *seen = sp_flow_table_new();
    struct sp_flow_build *b;
    struct sp_emit e;

    if (!seen) {
        return -ENOMEM;
    }
    sp_emit_init(&e, out, seen, SP_COOKIE(SP_COOKIE_PORT, port->zone));
    if (port->port_security) {
        identities(&e, facts);
    } else {
        classify_server(&e, facts, NULL, 0);
    }
    b = sp_emit_begin(&e, SP_T_ENTER, 100);
    sp_flow_match_exact(b, SP_R_OUT, facts->ofport);
    sp_flow_load_reg(b, SP_R_SET, facts->set);
    sp_flow_load_reg(b, SP_R_PHASE, SP_PHASE_ENTERING);
    sp_flow_load_reg(b, SP_R_ZONE, port->zone);
    sp_flow_load_reg(b, SP_R_STAGE, port->port_security ? 0 : SP_STAGE_OPEN);
    sp_emit_goto(&e, SP_T_GUARD);
    e.cookie = SP_COOKIE(SP_COOKIE_OWNED, SP_OWNER_TAG(port->id.bytes));
    b = sp_emit_begin(&e, SP_T_PORT_SET, 100);
    sp_flow_match_exact(b, SP_F_CT_ZONE, port->zone);
    sp_flow_match_exact(b, SP_R_ZONE, port->zone);
    sp_flow_load_reg(b, SP_R_SET, facts->set);
    sp_emit_goto(&e, SP_T_SET_FACTS);
    sp_flow_table_free(seen);
    return e.error;
}
