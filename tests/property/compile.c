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
#include "flows/compile.h"
#include "flows/explain.h"
#include "flows/openflow/codec.h"
#include "tests/support/random.h"
#include "tests/support/simulator.h"

#define N_WORLDS 400
#define N_CONNECTIONS 60
#define N_HISTORIES 150
#define N_EDITS 12
#define RULES_MAX 12
#define N_GROUPS 3
#define N_CLASSES 5 /* 0: in no group. */
#define N_ADDRESSES 14
#define SET 77
#define SERVER_PORT 3
#define UPLINK_PORT 9

static struct sp_random rng;

static const char *const addresses[N_ADDRESSES] = {
    "10.1.0.0", "10.1.0.1", "10.1.0.127", "10.1.0.128", "10.1.1.0", "10.2.0.0", "192.0.2.1", "203.0.113.9",
    "2001:db8::1", "2001:db8::ffff", "2001:db8::1:0", "2001:db9::1", "fe80::1", "2001:db8:0:1::1",
};
static const char *const prefixes[] = {
    "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/25", "10.1.0.128/25", "10.1.0.1/32", "203.0.113.8/31",
    "::/0", "2001:db8::/32", "2001:db8::/112", "2001:db8::1/128", "fe80::/10",
};
static const int32_t edges[] = {0, 1, 2, 22, 79, 80, 81, 1023, 1024, 5198, 5210, 32767, 32768, 65534, 65535};
static const int protocols[] = {SP_PROTOCOL_ANY, SP_PROTOCOL_TCP, SP_PROTOCOL_UDP, SP_PROTOCOL_SCTP,
                                SP_PROTOCOL_ICMP, SP_PROTOCOL_ICMPV6, 47};

#define PICK(ARRAY) ((ARRAY)[sp_random_below(&rng, sizeof(ARRAY) / sizeof *(ARRAY))])

/* A port, its rule set, and who is in which group. */
struct world {
    struct sp_rule rules[RULES_MAX];
    uint32_t slots[RULES_MAX], marks[RULES_MAX];
    size_t n_rules;
    uint32_t version, next_id, next_mark;
    uint32_t class_of[N_ADDRESSES];
    bool contains[N_GROUPS][N_CLASSES];
};

static struct sp_cidr cidr(const char *text)
{
    struct sp_cidr c = {0};

    assert_int_equal(sp_cidr_parse(text, &c), 0);
    return c;
}

static struct sp_uuid group_id(unsigned group)
{
    return (struct sp_uuid){.bytes = {(uint8_t) (group + 1)}};
}

static bool is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address)
{
    const struct world *w = aux;

    for (size_t i = 0; i < N_ADDRESSES; i++) {
        struct sp_cidr a = cidr(addresses[i]);

        if (sp_cidr_equal(&a, address)) {
            return w->class_of[i] && w->contains[group->bytes[0] - 1][w->class_of[i]];
        }
    }
    return false;
}

static bool has_ports(int protocol)
{
    return protocol == SP_PROTOCOL_TCP || protocol == SP_PROTOCOL_UDP || protocol == SP_PROTOCOL_SCTP;
}

static struct sp_meaning random_meaning(void)
{
    static const uint16_t priorities[] = {1, 99, 100, 100, 100, 101, 1000};
    struct sp_meaning m = {
        .direction = sp_random_chance(&rng, 50) ? SP_INBOUND : SP_OUTBOUND,
        .action = sp_random_chance(&rng, 65) ? SP_ALLOW : SP_DENY,
        .priority = PICK(priorities),
        .protocol = (int16_t) PICK(protocols),
        .port_min = -1,
        .port_max = -1,
        .icmp_type = -1,
        .icmp_code = -1,
    };
    bool icmp = m.protocol == SP_PROTOCOL_ICMP || m.protocol == SP_PROTOCOL_ICMPV6;

    m.remote = (enum sp_remote) sp_random_below(&rng, 3);
    if (m.remote == SP_REMOTE_CIDR) {
        m.remote_cidr = cidr(PICK(prefixes));
        if (icmp && m.remote_cidr.family != (m.protocol == SP_PROTOCOL_ICMP ? 4 : 6)) {
            m.remote = SP_REMOTE_ANY;
        }
    } else if (m.remote == SP_REMOTE_GROUP) {
        m.remote_group = group_id(sp_random_below(&rng, N_GROUPS));
    }
    if (has_ports(m.protocol) && sp_random_chance(&rng, 80)) {
        int32_t a = PICK(edges), b = PICK(edges);

        m.port_min = a < b ? a : b;
        m.port_max = a < b ? b : a;
    } else if (icmp && sp_random_chance(&rng, 60)) {
        m.icmp_type = (int16_t) (sp_random_chance(&rng, 70) ? (m.protocol == SP_PROTOCOL_ICMP ? 8 : 128) : 13);
        m.icmp_code = (int16_t) (sp_random_chance(&rng, 50) ? (int) sp_random_below(&rng, 2) : -1);
    }
    return m;
}

static void add_rule(struct world *w, size_t at)
{
    struct sp_rule rule = {.refs = 1, .meaning = random_meaning()};

    memcpy(rule.id.bytes, &(uint32_t){++w->next_id}, 4);
    memmove(w->rules + at + 1, w->rules + at, (w->n_rules - at) * sizeof *w->rules);
    memmove(w->slots + at + 1, w->slots + at, (w->n_rules - at) * sizeof *w->slots);
    memmove(w->marks + at + 1, w->marks + at, (w->n_rules - at) * sizeof *w->marks);
    w->rules[at] = rule;
    w->slots[at] = w->next_id;
    w->marks[at] = ++w->next_mark;
    w->n_rules++;
}

static void remove_rule(struct world *w, size_t at)
{
    w->n_rules--;
    memmove(w->rules + at, w->rules + at + 1, (w->n_rules - at) * sizeof *w->rules);
    memmove(w->slots + at, w->slots + at + 1, (w->n_rules - at) * sizeof *w->slots);
    memmove(w->marks + at, w->marks + at + 1, (w->n_rules - at) * sizeof *w->marks);
}

static void random_world(struct world *w)
{
    *w = (struct world){.version = 1};
    for (size_t i = 0; i < N_ADDRESSES; i++) {
        w->class_of[i] = sp_random_below(&rng, N_CLASSES);
    }
    for (unsigned g = 0; g < N_GROUPS; g++) {
        for (unsigned c = 1; c < N_CLASSES; c++) {
            w->contains[g][c] = sp_random_chance(&rng, 40);
        }
    }
    for (size_t n = sp_random_below(&rng, RULES_MAX); n > 0; n--) {
        add_rule(w, w->n_rules);
    }
}

static void compile_rules(const struct world *w, struct sp_flow_list *flows)
{
    struct sp_rule_facts rules[RULES_MAX];
    uint32_t classes[RULES_MAX][N_CLASSES];
    struct sp_rule_set_facts set = {.number = SET, .version = w->version, .region = 5, .rules = rules, .n_rules = w->n_rules};

    for (size_t i = 0; i < w->n_rules; i++) {
        const struct sp_meaning *m = &w->rules[i].meaning;
        size_t n = 0;

        for (uint32_t c = 1; m->remote == SP_REMOTE_GROUP && c < N_CLASSES; c++) {
            if (w->contains[m->remote_group.bytes[0] - 1][c]) {
                classes[i][n++] = c;
            }
        }
        rules[i] = (struct sp_rule_facts){.meaning = m, .slot = w->slots[i], .mark = m->action == SP_ALLOW ? w->marks[i] : 0,
                                          .classes = classes[i], .n_classes = n};
    }
    assert_int_equal(sp_compile_rule_set(&set, flows), 0);
}

static struct sp_cidr server_ips[2];
static const struct sp_mac server_mac = {{2, 0, 0, 0, 0, 1}};

static void compile_world(const struct world *w, struct sp_flow_list *flows)
{
    static const uint16_t server = SERVER_PORT, uplink = UPLINK_PORT;
    struct sp_port port = {.mac = server_mac, .ips = server_ips, .n_ips = 2, .port_security = true, .zone = 4711};
    struct sp_port_facts facts = {.port = &port, .ofport = SERVER_PORT, .set = SET};

    server_ips[0] = cidr("10.0.0.1");
    server_ips[1] = cidr("2001:db8:5::1");
    assert_int_equal(sp_compile_static(flows), 0);
    assert_int_equal(sp_compile_uplinks(&uplink, 1, flows), 0);
    assert_int_equal(sp_compile_port(&facts, flows), 0);
    assert_int_equal(sp_compile_mac(0, &server_mac, &server, 1, flows), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(sp_compile_target(0, &server_ips[i], &server, 1, flows), 0);
    }
    assert_int_equal(sp_compile_flood_vlan(0, &(uint8_t){7}, 1, flows), 0);
    assert_int_equal(sp_compile_flood_chunk(0, 7, &server, 1, flows), 0);
    for (size_t i = 0; i < N_ADDRESSES; i++) {
        struct sp_cidr ip = cidr(addresses[i]);

        if (w->class_of[i]) {
            assert_int_equal(sp_compile_remote(5, &ip, w->class_of[i], flows), 0);
        }
    }
    compile_rules(w, flows);
}

static void install(struct sim *sim, const struct world *w, bool with_codec)
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

static struct sp_connection random_connection(const struct world *w)
{
    struct sp_connection c = {.port = -1, .icmp_type = -1, .icmp_code = -1};

    c.direction = sp_random_chance(&rng, 50) ? SP_INBOUND : SP_OUTBOUND;
    c.remote = cidr(PICK(addresses));
    do {
        c.protocol = (uint8_t) PICK(protocols);
    } while (c.protocol == 0xff || (c.protocol == SP_PROTOCOL_ICMP && c.remote.family == 6) ||
             (c.protocol == SP_PROTOCOL_ICMPV6 && c.remote.family == 4));
    if (has_ports(c.protocol)) {
        int32_t near = PICK(edges) + (int32_t) sp_random_below(&rng, 3) - 1;

        c.port = near < 0 ? 0 : near > 65535 ? 65535 : near;
    } else if (c.protocol == SP_PROTOCOL_ICMP || c.protocol == SP_PROTOCOL_ICMPV6) {
        c.icmp_type = (int16_t) (sp_random_chance(&rng, 70) ? (c.protocol == SP_PROTOCOL_ICMP ? 8 : 128) : 13);
        c.icmp_code = (int16_t) sp_random_below(&rng, 3);
    }
    return c;
}

static bool expected_verdict(const struct world *w, const struct sp_connection *c)
{
    const struct sp_meaning *rules[RULES_MAX];
    ptrdiff_t i;

    for (size_t j = 0; j < w->n_rules; j++) {
        rules[j] = &w->rules[j].meaning;
    }
    i = sp_explain(rules, w->n_rules, c, is_member, (void *) w);
    return i >= 0 && rules[i]->action == SP_ALLOW;
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

static void expect(struct sim *sim, const struct world *w, const struct sp_connection *c, const struct sim_packet *p, bool passes,
                   const char *what)
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
    struct world w;
    size_t n_allowed = 0;

    for (unsigned i = 0; i < N_WORLDS; i++) {
        random_world(&w);
        install(sim, &w, i < 60);
        for (unsigned j = 0; j < N_CONNECTIONS; j++) {
            struct sp_connection c = random_connection(&w);
            bool allowed = expected_verdict(&w, &c);
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
    struct world w;

    for (unsigned i = 0; i < N_WORLDS; i++) {
        struct sp_cidr remote = cidr(PICK(addresses));

        random_world(&w);
        install(sim, &w, false);
        sim_forget_connections(sim);
        for (unsigned j = 0; j < N_CONNECTIONS; j++) {
            struct sp_connection c = random_connection(&w);
            struct sim_packet question;

            c.protocol = SP_PROTOCOL_SCTP;
            c.remote = remote;
            c.port = PICK(edges);
            question = packet_of(&c, 40001, false);
            if (!expected_verdict(&w, &c)) {
                /* It might be an answer to what the other side may ask of port 40001. */
                struct sp_connection other = c;

                other.direction = c.direction == SP_INBOUND ? SP_OUTBOUND : SP_INBOUND;
                other.port = 40001;
                if (!expected_verdict(&w, &other)) {
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
static void edit(struct world *w)
{
    static struct world before;
    const struct sp_rule *old[RULES_MAX], *new[RULES_MAX];
    struct sp_group_delta deltas[N_GROUPS];
    size_t n_deltas = 0;
    bool keep[RULES_MAX];
    unsigned what = sp_random_below(&rng, 4);

    before = *w;
    if (what == 0 && w->n_rules < RULES_MAX) {
        add_rule(w, sp_random_below(&rng, (uint32_t) w->n_rules + 1));
    } else if (what == 1 && w->n_rules) {
        remove_rule(w, sp_random_below(&rng, (uint32_t) w->n_rules));
    } else if (what == 2 && w->n_rules) {
        w->rules[sp_random_below(&rng, (uint32_t) w->n_rules)].meaning = random_meaning();
    } else if (what == 3) {
        w->class_of[sp_random_below(&rng, N_ADDRESSES)] = sp_random_below(&rng, N_CLASSES);
    }
    for (unsigned g = 0; g < N_GROUPS; g++) {
        struct sp_group_delta delta = {.group = group_id(g)};

        for (size_t i = 0; i < N_ADDRESSES; i++) {
            struct sp_cidr address = cidr(addresses[i]);
            bool was = is_member(&before, &delta.group, &address), is = is_member(w, &delta.group, &address);

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
    struct world w;

    for (unsigned i = 0; i < N_HISTORIES; i++) {
        struct living living[N_CONNECTIONS];
        size_t n = 0;

        random_world(&w);
        sim_forget_connections(sim);
        install(sim, &w, false);
        for (unsigned j = 0; j < N_CONNECTIONS; j++) {
            struct living l = {random_connection(&w), (uint16_t) (3000 + j)};
            struct sim_packet question = packet_of(&l.connection, l.id, false);

            if ((l.connection.protocol == SP_PROTOCOL_TCP || l.connection.protocol == SP_PROTOCOL_UDP) &&
                expected_verdict(&w, &l.connection)) {
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
                bool allowed = expected_verdict(&w, c);

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
