#include "tests/support/simulator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64     /* As in OVS: MAX_DEPTH of ofproto-dpif-xlate.c. */
#define RECIRC_MAX 6     /* MAX_RECIRC_DEPTH of dpif-netdev.c. */
#define OUTPUTS_MAX 4096
#define TAGGED 0x1000u

/* One direction of a connection, as conntrack keys it. */
struct tuple {
    uint8_t family, proto;
    uint8_t src[16], dst[16];
    uint16_t src_id, dst_id; /* Ports, or the ICMP identifier in both. */
};

struct connection {
    uint16_t zone;
    struct tuple original;
    uint16_t tp_src, tp_dst; /* As ct_tp_* shows them. */
    bool replied;
    uint32_t mark;
};

struct sim {
    const struct sp_flow *tables[SIM_TABLES][8192]; /* By descending priority. */
    size_t n_flows[SIM_TABLES];
    struct sp_flow_list flows;
    struct connection *connections;
    size_t n_connections;
    struct sim_output outputs[OUTPUTS_MAX];
    size_t n_outputs;
    unsigned recirculations;
};

static void run_table(struct sim *, struct sim_packet *, uint8_t table, unsigned depth);

/* Where bit 'bit' of 'field' lives; a wide register's in the registers that it spans. */
static uint8_t *locate(struct sim_packet *p, enum sp_field field, unsigned bit, unsigned *ret_shift)
{
    if (field >= SP_F_XXREG0) {
        field = (enum sp_field) (SP_F_REG0 + 4 * (unsigned) (field - SP_F_XXREG0) + 3 - bit / 32);
        bit %= 32;
    }
    *ret_shift = bit % 8;
    return &p->fields[field][sp_field_size(field) - 1 - bit / 8];
}

static bool get_bit(const struct sim_packet *p, enum sp_field field, unsigned bit)
{
    unsigned shift;
    const uint8_t *byte = locate((struct sim_packet *) p, field, bit, &shift);

    return *byte >> shift & 1;
}

static void set_bit(struct sim_packet *p, enum sp_field field, unsigned bit, bool value)
{
    unsigned shift;
    uint8_t *byte = locate(p, field, bit, &shift);

    *byte = (uint8_t) ((*byte & ~(1u << shift)) | (unsigned) value << shift);
}

uint64_t sim_get(const struct sim_packet *p, enum sp_field field)
{
    uint64_t value = 0;

    for (size_t i = 0; i < sp_field_size(field) && i < 8; i++) {
        value = value << 8 | p->fields[field][i];
    }
    return value;
}

void sim_set(struct sim_packet *p, enum sp_field field, uint64_t value)
{
    for (size_t i = sp_field_size(field); i-- > 0; value >>= 8) {
        p->fields[field][i] = (uint8_t) value;
    }
}

static void show_tag(struct sim_packet *p)
{
    sim_set(p, SP_F_VLAN_TCI, p->n_tags ? TAGGED | p->tags[0] : 0);
}

struct sim *sim_new(void)
{
    struct sim *sim = calloc(1, sizeof *sim);

    assert_non_null(sim);
    return sim;
}

void sim_free(struct sim *sim)
{
    sp_flow_list_clear(&sim->flows);
    free(sim->connections);
    free(sim);
}

static int by_standing(const void *a, const void *b)
{
    return sp_flow_compare(*(struct sp_flow *const *) a, *(struct sp_flow *const *) b);
}

void sim_install(struct sim *sim, const struct sp_flow_list *flows)
{
    sp_flow_list_clear(&sim->flows);
    memset(sim->n_flows, 0, sizeof sim->n_flows);
    for (size_t i = 0; i < flows->n; i++) {
        assert_int_equal(sp_flow_list_take(&sim->flows, sp_flow_ref(flows->flows[i])), 0);
    }
    qsort(sim->flows.flows, sim->flows.n, sizeof *sim->flows.flows, by_standing);
    for (size_t i = 0; i < sim->flows.n; i++) {
        struct sp_flow *flow = sim->flows.flows[i];

        if (i && sp_flow_same_key(sim->flows.flows[i - 1], flow)) {
            char text[4096];

            sp_flow_format(flow, text, sizeof text);
            fail_msg("two flows of one key: %s", text);
        }
        assert_true(sim->n_flows[flow->table] < 8192);
        sim->tables[flow->table][sim->n_flows[flow->table]++] = flow;
    }
}

void sim_forget_connections(struct sim *sim)
{
    free(sim->connections);
    sim->connections = NULL;
    sim->n_connections = 0;
}

bool sim_matches(const struct sp_flow *flow, const struct sim_packet *p)
{
    const uint8_t *at = sp_flow_match(flow), *end = at + flow->match_size;

    while (at < end) {
        enum sp_field field = (enum sp_field) at[0];
        size_t size = sp_field_size(field);
        const uint8_t *value = at + 2, *mask = at[1] ? value + size : NULL;

        for (size_t i = 0; i < size; i++) {
            if ((p->fields[field][i] & (mask ? mask[i] : 0xff)) != value[i]) {
                return false;
            }
        }
        at += 2 + size * (mask ? 2 : 1);
    }
    return true;
}

static struct tuple tuple_of(const struct sim_packet *p)
{
    bool six = sim_get(p, SP_F_ETH_TYPE) == 0x86dd;
    struct tuple t = {.family = six ? 6 : 4, .proto = (uint8_t) sim_get(p, SP_F_IP_PROTO)};
    size_t size = six ? 16 : 4;

    memcpy(t.src, p->fields[six ? SP_F_IPV6_SRC : SP_F_IP_SRC], size);
    memcpy(t.dst, p->fields[six ? SP_F_IPV6_DST : SP_F_IP_DST], size);
    if (t.proto == 6) {
        t.src_id = (uint16_t) sim_get(p, SP_F_TCP_SRC);
        t.dst_id = (uint16_t) sim_get(p, SP_F_TCP_DST);
    } else if (t.proto == 17) {
        t.src_id = (uint16_t) sim_get(p, SP_F_UDP_SRC);
        t.dst_id = (uint16_t) sim_get(p, SP_F_UDP_DST);
    } else if (t.proto == 1 || t.proto == 58) {
        t.src_id = t.dst_id = p->icmp_id;
    }
    return t;
}

static struct tuple reverse(const struct tuple *t)
{
    struct tuple r = {.family = t->family, .proto = t->proto, .src_id = t->dst_id, .dst_id = t->src_id};

    memcpy(r.src, t->dst, sizeof r.src);
    memcpy(r.dst, t->src, sizeof r.dst);
    return r;
}

static struct connection *find_connection(struct sim *sim, uint16_t zone, const struct tuple *t, bool *ret_reply)
{
    struct tuple r = reverse(t);

    for (size_t i = 0; i < sim->n_connections; i++) {
        struct connection *c = &sim->connections[i];

        *ret_reply = memcmp(&c->original, t, sizeof *t) != 0;
        if (c->zone == zone && (!*ret_reply || !memcmp(&c->original, &r, sizeof r))) {
            return c;
        }
    }
    return NULL;
}

/* A connection that 'p' would open. */
static struct connection new_connection(const struct sim_packet *p, uint16_t zone)
{
    struct connection c = {.zone = zone, .original = tuple_of(p)};
    uint8_t proto = c.original.proto;

    if (proto == 1) {
        c.tp_src = (uint16_t) sim_get(p, SP_F_ICMP_TYPE);
        c.tp_dst = (uint16_t) sim_get(p, SP_F_ICMP_CODE);
    } else if (proto == 58) {
        c.tp_src = (uint16_t) sim_get(p, SP_F_ICMPV6_TYPE);
        c.tp_dst = (uint16_t) sim_get(p, SP_F_ICMPV6_CODE);
    } else if (proto == 6 || proto == 17) {
        c.tp_src = c.original.src_id;
        c.tp_dst = c.original.dst_id;
    }
    return c;
}

static void clear_tracking(struct sim_packet *p)
{
    for (int field = SP_F_CT_STATE; field <= SP_F_CT_TP_DST; field++) {
        memset(p->fields[field], 0, sizeof p->fields[field]);
    }
}

static void show_connection(struct sim_packet *p, uint32_t state, const struct connection *c)
{
    bool six = c->original.family == 6;

    sim_set(p, SP_F_CT_STATE, state);
    sim_set(p, SP_F_CT_ZONE, c->zone);
    sim_set(p, SP_F_CT_MARK, c->mark);
    sim_set(p, SP_F_CT_NW_PROTO, c->original.proto);
    memcpy(p->fields[six ? SP_F_CT_IPV6_SRC : SP_F_CT_NW_SRC], c->original.src, six ? 16 : 4);
    memcpy(p->fields[six ? SP_F_CT_IPV6_DST : SP_F_CT_NW_DST], c->original.dst, six ? 16 : 4);
    sim_set(p, SP_F_CT_TP_SRC, c->tp_src);
    sim_set(p, SP_F_CT_TP_DST, c->tp_dst);
}

static void track(struct sim *sim, struct sim_packet *p, uint16_t zone, bool commit, const uint32_t *mark)
{
    struct connection fresh = new_connection(p, zone), *c;
    struct tuple t = p->about ? tuple_of(p->about) : fresh.original;
    uint32_t state = SP_CT_TRK;
    bool reply = false;

    clear_tracking(p);
    c = find_connection(sim, zone, &t, &reply);
    if (p->invalid || (p->about && !c)) {
        sim_set(p, SP_F_CT_STATE, SP_CT_TRK | SP_CT_INV);
        return;
    }
    if (p->about) { /* It travels against the packet that it is about. */
        show_connection(p, state | SP_CT_REL | (reply ? 0 : SP_CT_RPL), c);
        return;
    }
    if (c) {
        c->replied = c->replied || reply;
        c->mark = commit && mark ? *mark : c->mark;
        show_connection(p, state | (c->replied ? SP_CT_EST : SP_CT_NEW) | (reply ? SP_CT_RPL : 0), c);
        return;
    }
    fresh.mark = commit && mark ? *mark : 0;
    show_connection(p, state | SP_CT_NEW, &fresh);
    if (commit) {
        sim->connections = realloc(sim->connections, (sim->n_connections + 1) * sizeof *sim->connections);
        assert_non_null(sim->connections);
        sim->connections[sim->n_connections++] = fresh;
    }
}

static void conntrack(struct sim *sim, struct sim_packet *p, const uint8_t *a)
{
    struct sim_packet fork = *p;
    uint16_t zone = (uint16_t) sim_get(p, (enum sp_field) a[1]);
    uint32_t mark = a[4] != 0xff ? (uint32_t) sim_get(p, (enum sp_field) a[4]) : 0;
    uint64_t eth_type = sim_get(p, SP_F_ETH_TYPE);

    assert_true(eth_type == 0x0800 || eth_type == 0x86dd);
    assert_true(++sim->recirculations <= RECIRC_MAX);
    track(sim, &fork, zone, a[0] & SP_CT_OP_COMMIT, a[4] != 0xff ? &mark : NULL);
    run_table(sim, &fork, a[3], 0);
    sim->recirculations--;
    clear_tracking(p);
}

static void output(struct sim *sim, const struct sim_packet *p, uint16_t port)
{
    if (port != sim_get(p, SP_F_IN_PORT)) {
        assert_true(sim->n_outputs < OUTPUTS_MAX);
        sim->outputs[sim->n_outputs++] = (struct sim_output){port, *p};
    }
}

static void push_vlan(struct sim_packet *p)
{
    assert_true(p->n_tags < SIM_TAGS_MAX);
    memmove(p->tags + 1, p->tags, p->n_tags++ * sizeof *p->tags);
    p->tags[0] = 0;
    show_tag(p);
}

static void pop_vlan(struct sim_packet *p)
{
    if (p->n_tags) {
        memmove(p->tags, p->tags + 1, --p->n_tags * sizeof *p->tags);
        show_tag(p);
    }
}

/* Whether a switch moves from 'field': what a connection's first packet was, it takes for known of packets with these states. */
static bool may_move(const struct sim_packet *p, enum sp_field field)
{
    return field < SP_F_CT_NW_PROTO || field > SP_F_CT_TP_DST || sim_get(p, SP_F_CT_STATE) & (SP_CT_NEW | SP_CT_EST | SP_CT_RPL);
}

/* Copies bits; a write to the tag is a write to the outermost one. */
static void move_bits(struct sim_packet *p, enum sp_field src, unsigned src_bit, enum sp_field dst, unsigned dst_bit, unsigned n)
{
    bool bits[128];

    for (unsigned i = 0; i < n; i++) {
        bits[i] = get_bit(p, src, src_bit + i);
    }
    for (unsigned i = 0; i < n; i++) {
        set_bit(p, dst, dst_bit + i, bits[i]);
    }
    if (dst == SP_F_VLAN_TCI) {
        assert_true(p->n_tags);
        p->tags[0] = (uint16_t) (sim_get(p, SP_F_VLAN_TCI) & ~(uint64_t) TAGGED);
        show_tag(p);
    }
}

static uint64_t read_be(const uint8_t *at, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

/* Carries out the operation at 'op' and returns its size. */
static size_t act(struct sim *sim, struct sim_packet *p, const uint8_t *op, unsigned depth)
{
    const uint8_t *a = op + 1;

    switch ((enum sp_op) *op) {
    case SP_OP_OUTPUT:
        output(sim, p, (uint16_t) read_be(a, 2));
        return 3;
    case SP_OP_OUTPUT_REG:
        output(sim, p, (uint16_t) sim_get(p, (enum sp_field) a[0]));
        return 2;
    case SP_OP_GOTO:
    case SP_OP_RESUBMIT:
        run_table(sim, p, a[0], depth + 1);
        return 2;
    case SP_OP_LOAD:
        for (unsigned i = 0; i < a[2]; i++) {
            set_bit(p, (enum sp_field) a[0], a[1] + i, read_be(a + 3, 8) >> i & 1);
        }
        return 12;
    case SP_OP_MOVE:
        if (may_move(p, (enum sp_field) a[0])) {
            move_bits(p, (enum sp_field) a[0], a[1], (enum sp_field) a[2], a[3], a[4]);
        }
        return 6;
    case SP_OP_PUSH:
        for (unsigned i = 0; i < a[2]; i++) {
            p->pushed[i] = get_bit(p, (enum sp_field) a[0], a[1] + i);
        }
        return 4;
    case SP_OP_POP:
        for (unsigned i = 0; i < a[2]; i++) {
            set_bit(p, (enum sp_field) a[0], a[1] + i, p->pushed[i]);
        }
        return 4;
    case SP_OP_CT:
        conntrack(sim, p, a);
        return 6;
    case SP_OP_PUSH_VLAN:
        push_vlan(p);
        return 1;
    case SP_OP_POP_VLAN:
        pop_vlan(p);
        return 1;
    case SP_OP_LEARN_MAC: /* Nothing is learned here. */
        return 20;
    case SP_OP_METER:
    case SP_OP_CONTROLLER: /* Nobody listens. */
        return 5;
    case SP_N_OPS:
        break;
    }
    fail_msg("operation %u", *op);
    return 0;
}

static void run_table(struct sim *sim, struct sim_packet *p, uint8_t table, unsigned depth)
{
    assert_true(depth < DEPTH_MAX);
    for (size_t i = 0; i < sim->n_flows[table]; i++) {
        const struct sp_flow *flow = sim->tables[table][i];

        if (sim_matches(flow, p)) {
            const uint8_t *at = sp_flow_actions(flow), *end = at + flow->actions_size;

            while (at < end) {
                at += act(sim, p, at, depth);
            }
            return;
        }
    }
}

const struct sim_output *sim_send(struct sim *sim, const struct sim_packet *packet, size_t *ret_n)
{
    struct sim_packet p = *packet;

    show_tag(&p);
    sim->n_outputs = 0;
    sim->recirculations = 0;
    run_table(sim, &p, 0, 0);
    *ret_n = sim->n_outputs;
    return sim->outputs;
}
