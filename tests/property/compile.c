/* The compiler's flows, run through a simulated switch, against the evaluator of flows/explain.c, which shares no code with it:
 * random rule sets and connections at the edges of what the rules name; then random edits of the rules, with marks kept as
 * flows/admission.c says, under connections that live on.  All flows on the way are checked for what pipeline.h promises (P1) and
 * for surviving OpenFlow. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flows/admission.h"
#include "flows/openflow/codec.h"
#include "tests/support/random_policy.h"
#include "tests/support/simulator.h"

#define N_WORLDS 400
#define N_CONNECTIONS 60
#define N_HISTORIES 150
#define N_EDITS 12
#define SET 77
#define REGION 5
#define SERVER_PORT 3
#define UPLINK_PORT 9

static struct sp_random rng;

static struct sp_cidr server_ips[2];
static const struct sp_mac server_mac = {{2, 0, 0, 0, 0, 1}};

static void compile_world(const struct sp_policy *w, struct sp_flow_list *flows)
{
    static const uint16_t server = SERVER_PORT, uplink = UPLINK_PORT;
    struct sp_port port = {.mac = server_mac, .ips = server_ips, .n_ips = 2, .port_security = true, .zone = 4711};
    struct sp_port_facts facts = {.port = &port, .ofport = SERVER_PORT, .set = SET};

    assert_int_equal(sp_cidr_parse("10.0.0.1", &server_ips[0]), 0);
    assert_int_equal(sp_cidr_parse("2001:db8:5::1", &server_ips[1]), 0);
    assert_int_equal(sp_compile_static(flows), 0);
    assert_int_equal(sp_compile_uplinks(&uplink, 1, flows), 0);
    assert_int_equal(sp_compile_port(&facts, flows), 0);
    assert_int_equal(sp_compile_mac(0, &server_mac, &server, 1, flows), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(sp_compile_target(0, &server_ips[i], &server, 1, flows), 0);
    }
    assert_int_equal(sp_compile_flood_vlan(0, &(uint8_t){7}, 1, flows), 0);
    assert_int_equal(sp_compile_flood_chunk(0, 7, &server, 1, flows), 0);
    sp_policy_compile(w, SET, REGION, flows);
}

static void install(struct sim *sim, const struct sp_policy *w, bool with_codec)
{
    struct sp_flow_list flows;

    sp_flow_list_init(&flows);
    compile_world(w, &flows);
    for (size_t i = 0; i < flows.n; i++) {
        const struct sp_flow *flow = flows.flows[i];

        assert_true(flow->priority >= 1);
        assert_true((flow->cookie & SP_COOKIE_OWNER_MASK) == SP_COOKIE_OWNER);
        if (with_codec && (sp_codec_check(flow, SP_OF14) || sp_codec_check(flow, SP_OF15))) {
            char text[4096];

            sp_flow_format(flow, text, sizeof text);
            fail_msg("does not survive OpenFlow: %s", text);
        }
    }
    sim_install(sim, &flows);
    sp_flow_list_clear(&flows);
}

static void set_ports(struct sim_packet *p, uint8_t protocol, uint16_t src, uint16_t dst)
{
    if (protocol == SP_PROTOCOL_TCP) {
        sim_set(p, SP_F_TCP_SRC, src);
        sim_set(p, SP_F_TCP_DST, dst);
    } else if (protocol == SP_PROTOCOL_UDP) {
        sim_set(p, SP_F_UDP_SRC, src);
        sim_set(p, SP_F_UDP_DST, dst);
    } else if (protocol == SP_PROTOCOL_SCTP) {
        sim_set(p, SP_F_SCTP_SRC, src);
        sim_set(p, SP_F_SCTP_DST, dst);
    }
}

/* A packet of connection 'c' whose opener's port or identifier is 'id'; 'answer': one of the other side. */
static struct sim_packet packet_of(const struct sp_connection *c, uint16_t id, bool answer)
{
    static const struct sp_mac remote_mac = {{2, 0, 0, 0, 0xff, 1}};
    bool entering = (c->direction == SP_INBOUND) != answer, six = c->remote.family == 6;
    const struct sp_cidr *local = &server_ips[six], *src = entering ? &c->remote : local, *dst = entering ? local : &c->remote;
    size_t size = six ? 16 : 4;
    struct sim_packet p = {.icmp_id = id};

    sim_set(&p, SP_F_IN_PORT, entering ? UPLINK_PORT : SERVER_PORT);
    memcpy(p.fields[SP_F_ETH_SRC], entering ? &remote_mac : &server_mac, 6);
    memcpy(p.fields[SP_F_ETH_DST], entering ? &server_mac : &remote_mac, 6);
    sim_set(&p, SP_F_ETH_TYPE, six ? 0x86dd : 0x0800);
    sim_set(&p, SP_F_IP_PROTO, c->protocol);
    sim_set(&p, SP_F_IP_TTL, 64);
    memcpy(p.fields[six ? SP_F_IPV6_SRC : SP_F_IP_SRC], src->bytes, size);
    memcpy(p.fields[six ? SP_F_IPV6_DST : SP_F_IP_DST], dst->bytes, size);
    set_ports(&p, c->protocol, answer ? (uint16_t) c->port : id, answer ? id : (uint16_t) c->port);
    if (c->protocol == SP_PROTOCOL_ICMP || c->protocol == SP_PROTOCOL_ICMPV6) {
        sim_set(&p, six ? SP_F_ICMPV6_TYPE : SP_F_ICMP_TYPE, (uint64_t) c->icmp_type + (answer ? 1 : 0));
        sim_set(&p, six ? SP_F_ICMPV6_CODE : SP_F_ICMP_CODE, (uint64_t) c->icmp_code);
    }
    return p;
}

/* An ICMP error from the other side of 'cause', about it. */
static struct sim_packet error_about(const struct sp_connection *c, const struct sim_packet *cause)
{
    struct sp_connection shape = *c;
    struct sim_packet p;

    shape.protocol = c->remote.family == 6 ? SP_PROTOCOL_ICMPV6 : SP_PROTOCOL_ICMP;
    shape.icmp_type = shape.protocol == SP_PROTOCOL_ICMPV6 ? 1 : 3;
    shape.icmp_code = 0;
    p = packet_of(&shape, 0, sim_get(cause, SP_F_IN_PORT) == (c->direction == SP_INBOUND ? UPLINK_PORT : SERVER_PORT));
    p.about = cause;
    return p;
}

static void expect(struct sim *sim, const struct sp_policy *w, const struct sp_connection *c, const struct sim_packet *p,
                   bool passes, const char *what)
{
    uint16_t to = sim_get(p, SP_F_IN_PORT) == UPLINK_PORT ? SERVER_PORT : UPLINK_PORT;
    char remote[SP_CIDR_TEXT_SIZE];
    size_t n;
    const struct sim_output *out = sim_send(sim, p, &n);

    if (n != passes || (n && out[0].port != to)) {
        print_error("SP_SEED=%llu\n", (unsigned long long) rng.seed);
        fail_msg("%s: %s protocol %u remote %s port %d icmp %d/%d: %zu outputs, expected %d, %zu rules", what,
                 c->direction == SP_INBOUND ? "in" : "out", c->protocol, sp_cidr_format(&c->remote, remote), c->port,
                 c->icmp_type, c->icmp_code, n, passes, w->n_rules);
    }
}

static void verdicts_as_explained(void **aux)
{
    struct sim *sim = sim_new();
    struct sp_policy w;
    size_t n_allowed = 0;

    for (unsigned i = 0; i < N_WORLDS; i++) {
        sp_policy_draw(&rng, &w);
        install(sim, &w, i < 60);
        for (unsigned j = 0; j < N_CONNECTIONS; j++) {
            struct sp_connection c = sp_policy_draw_connection(&rng);
            bool allowed = sp_policy_allows(&w, &c);
            struct sim_packet question = packet_of(&c, 2000, false), answer = packet_of(&c, 2000, true);
            struct sim_packet broken = question, error = error_about(&c, &question);

            sim_forget_connections(sim);
            broken.invalid = true;
            expect(sim, &w, &c, &broken, false, "invalid");
            expect(sim, &w, &c, &error, false, "error about nothing");
            expect(sim, &w, &c, &question, allowed, "first packet");
            if (allowed) {
                expect(sim, &w, &c, &answer, true, "answer");
                expect(sim, &w, &c, &question, true, "established");
                expect(sim, &w, &c, &error, true, "error about it");
                n_allowed++;
            } else {
                expect(sim, &w, &c, &question, false, "first packet again");
            }
        }
    }
    assert_true(n_allowed > N_WORLDS); /* The test sees both verdicts. */
    sim_free(sim);
}

/* SCTP has one connection for all ports: none must profit from another, in either direction. */
static void sctp_stands_for_itself(void **aux)
{
    struct sim *sim = sim_new();
    struct sp_policy w;

    for (unsigned i = 0; i < N_WORLDS; i++) {
        struct sp_cidr remote = sp_policy_address(sp_random_below(&rng, SP_POLICY_ADDRESSES));

        sp_policy_draw(&rng, &w);
        install(sim, &w, false);
        sim_forget_connections(sim);
        for (unsigned j = 0; j < N_CONNECTIONS; j++) {
            struct sp_connection c = sp_policy_draw_connection(&rng);
            struct sim_packet question;

            c.protocol = SP_PROTOCOL_SCTP;
            c.remote = remote;
            c.port = sp_policy_draw_edge(&rng);
            question = packet_of(&c, 40001, false);
            if (!sp_policy_allows(&w, &c)) {
                /* It might be an answer to what the other side may ask of port 40001. */
                struct sp_connection other = c;

                other.direction = c.direction == SP_INBOUND ? SP_OUTBOUND : SP_INBOUND;
                other.port = 40001;
                if (!sp_policy_allows(&w, &other)) {
                    expect(sim, &w, &c, &question, false, "sctp");
                }
            } else {
                struct sim_packet answer = packet_of(&c, 40001, true);

                expect(sim, &w, &c, &question, true, "sctp");
                expect(sim, &w, &c, &answer, true, "sctp answer");
            }
        }
    }
    sim_free(sim);
}

struct living {
    struct sp_connection connection;
    uint16_t id;
};

/* One edit: rules come, go or change, members join and leave; marks are kept or replaced as admission says. */
static void edit(struct sp_policy *w)
{
    static struct sp_policy before;
    const struct sp_rule *old[SP_POLICY_RULES_MAX], *new[SP_POLICY_RULES_MAX];
    struct sp_group_delta deltas[SP_POLICY_GROUPS];
    size_t n_deltas = 0;
    bool keep[SP_POLICY_RULES_MAX];
    unsigned what = sp_random_below(&rng, 4);

    before = *w;
    if (what == 0 && w->n_rules < SP_POLICY_RULES_MAX) {
        sp_policy_add(&rng, w, sp_random_below(&rng, (uint32_t) w->n_rules + 1));
    } else if (what == 1 && w->n_rules) {
        sp_policy_remove(w, sp_random_below(&rng, (uint32_t) w->n_rules));
    } else if (what == 2 && w->n_rules) {
        w->rules[sp_random_below(&rng, (uint32_t) w->n_rules)].meaning = sp_policy_draw_meaning(&rng);
    } else if (what == 3) {
        w->class_of[sp_random_below(&rng, SP_POLICY_ADDRESSES)] = sp_random_below(&rng, SP_POLICY_CLASSES);
    }
    for (unsigned g = 0; g < SP_POLICY_GROUPS; g++) {
        struct sp_group_delta delta = {.group = sp_policy_group(g)};

        for (size_t i = 0; i < SP_POLICY_ADDRESSES; i++) {
            struct sp_cidr address = sp_policy_address(i);
            bool was = sp_policy_is_member(&before, &delta.group, &address), is = sp_policy_is_member(w, &delta.group, &address);

            delta.gained = delta.gained || (is && !was);
            delta.lost = delta.lost || (was && !is);
        }
        if (delta.gained || delta.lost) {
            deltas[n_deltas++] = delta;
        }
    }
    for (size_t i = 0; i < before.n_rules; i++) {
        old[i] = &before.rules[i];
    }
    for (size_t i = 0; i < w->n_rules; i++) {
        new[i] = &w->rules[i];
    }
    sp_admission_keep(old, before.n_rules, new, w->n_rules, deltas, n_deltas, keep);
    for (size_t i = 0; i < w->n_rules; i++) {
        w->marks[i] = keep[i] ? w->marks[i] : ++w->next_mark;
    }
    w->version++;
}

static void living_connections_follow_the_rules(void **aux)
{
    struct sim *sim = sim_new();
    struct sp_policy w;

    for (unsigned i = 0; i < N_HISTORIES; i++) {
        struct living living[N_CONNECTIONS];
        size_t n = 0;

        sp_policy_draw(&rng, &w);
        sim_forget_connections(sim);
        install(sim, &w, false);
        for (unsigned j = 0; j < N_CONNECTIONS; j++) {
            struct living l = {sp_policy_draw_connection(&rng), (uint16_t) (3000 + j)};
            struct sim_packet question = packet_of(&l.connection, l.id, false);

            if ((l.connection.protocol == SP_PROTOCOL_TCP || l.connection.protocol == SP_PROTOCOL_UDP) &&
                sp_policy_allows(&w, &l.connection)) {
                expect(sim, &w, &l.connection, &question, true, "opening");
                living[n++] = l;
            }
        }
        for (unsigned e = 0; e < N_EDITS; e++) {
            edit(&w);
            install(sim, &w, false);
            for (size_t j = 0; j < n; j++) {
                const struct sp_connection *c = &living[j].connection;
                struct sim_packet question = packet_of(c, living[j].id, false), answer = packet_of(c, living[j].id, true);
                bool allowed = sp_policy_allows(&w, c);

                expect(sim, &w, c, &answer, allowed, "answer after a change");
                expect(sim, &w, c, &question, allowed, "packet after a change");
            }
        }
    }
    sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_as_explained),
        cmocka_unit_test(sctp_stands_for_itself),
        cmocka_unit_test(living_connections_follow_the_rules),
    };

    sp_random_init(&rng);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
