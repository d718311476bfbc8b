/* The blocks of ports that no rule names: what they cover against another way to count, for every port; and that as flows they
 * lead no packet away from a rule that matches it (pipeline.h, P7), so that the rules say the same with them and without. */

#include "flows/unnamed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "flows/compile.h"
#include "tests/support/random.h"
#include "tests/support/random_policy.h"
#include "tests/support/simulator.h"

#define N_COVERS 400
#define N_LISTS 150
#define N_PORTS 16
#define RULES_MAX 14
#define SET 77

static struct sp_random rng;

/* Which ports are named, one by one, and the blocks of it by halving. */
struct naive {
    bool named[65536];
    unsigned n_of_bits[SP_UNNAMED_BITS + 1];
};

static bool names_any(const struct naive *naive, unsigned first, unsigned n)
{
    for (unsigned port = first; port < first + n; port++) {
        if (naive->named[port]) {
            return true;
        }
    }
    return false;
}

static void halve(struct naive *naive, unsigned first, unsigned n, unsigned bits)
{
    if (!names_any(naive, first, n)) {
        naive->n_of_bits[bits]++;
    } else if (bits < SP_UNNAMED_BITS) {
        halve(naive, first, n / 2, bits + 1);
        halve(naive, first + n / 2, n / 2, bits + 1);
    }
}

/* Compares what is made of the ports that 'naive' has named, which 'named' was told. */
static void check_cover(struct naive *naive, const struct sp_named_ports *named)
{
    static bool covered[65536];
    struct sp_port_mask masks[SP_UNNAMED_MAX];
    size_t n = sp_unnamed_ports(named, masks);
    unsigned n_expected = 0, n_unnamed = 0, n_covered = 0, longest = 0;

    memset(naive->n_of_bits, 0, sizeof naive->n_of_bits);
    halve(naive, 0, 65536, 0);
    naive->n_of_bits[0] = 0; /* Nothing is named. */
    for (unsigned bits = 1; bits <= SP_UNNAMED_BITS; bits++) {
        for (unsigned i = 0; i < naive->n_of_bits[bits] && n_expected < SP_UNNAMED_LARGEST; i++) {
            n_expected++;
            n_unnamed += 0x10000u >> bits;
            longest = bits;
        }
    }
    assert_int_equal(n, n_expected + (n_expected ? SP_UNNAMED_BITS - longest : 0));

    memset(covered, 0, sizeof covered);
    for (size_t i = 0; i < n; i++) {
        unsigned size = 0x10000u - masks[i].mask;

        assert_true(masks[i].mask && !(size & (size - 1)) && size >= 0x10000u >> SP_UNNAMED_BITS);
        assert_int_equal(masks[i].value & (size - 1), 0);
        for (unsigned port = masks[i].value; port < masks[i].value + size; port++) {
            assert_false(covered[port]);
            assert_false(naive->named[port]);
            covered[port] = true;
            n_covered++;
        }
    }
    assert_int_equal(n_covered, n_unnamed);
    assert_true(!n || masks[n - 1].mask == 0xff00);
}

static void name(struct naive *naive, struct sp_named_ports *named, unsigned lo, unsigned hi)
{
    sp_named_ports_add(named, (uint16_t) lo, (uint16_t) hi);
    memset(&naive->named[lo], true, hi - lo + 1);
}

/* Of the first ten stretches of 4,096 ports each may be named, by its first port or by its last one. */
static void all_that_stretches_can_leave(void **aux)
{
    static struct naive naive;

    for (unsigned some = 0; some < 1u << 10; some++) {
        struct sp_named_ports named = {{0}};

        memset(&naive, 0, sizeof naive);
        for (unsigned i = 0; i < 10; i++) {
            if (some >> i & 1) {
                unsigned port = i * 4096 + (i & 1 ? 4095 : 0);

                name(&naive, &named, port, port);
            }
        }
        check_cover(&naive, &named);
    }
}

static void random_ranges(void **aux)
{
    static struct naive naive;

    for (unsigned run = 0; run < N_COVERS; run++) {
        struct sp_named_ports named = {{0}};
        unsigned n = sp_random_below(&rng, run % 2 ? 8 : 200);

        memset(&naive, 0, sizeof naive);
        for (unsigned i = 0; i < n; i++) {
            unsigned lo = sp_random_below(&rng, 65536), most = sp_random_chance(&rng, 50) ? 1 : 3000;
            unsigned hi = lo + sp_random_below(&rng, most);

            name(&naive, &named, lo, hi > 65535 ? 65535 : hi);
        }
        check_cover(&naive, &named);
    }
}

/* A list of rules, compiled. */
struct list {
    struct sp_meaning meanings[RULES_MAX];
    struct sp_rule_facts rules[RULES_MAX];
    size_t n_rules;
    struct sp_flow_list flows; /* In the tables of rules, and of rules for all ports. */
    unsigned edges[2 * RULES_MAX];
    size_t n_edges;
};

static void draw_list(struct list *list)
{
    static const uint32_t classes[] = {1, 2, 3};
    unsigned narrow = sp_random_chance(&rng, 50) ? 80 : 30;

    list->n_rules = sp_random_below(&rng, RULES_MAX + 1);
    list->n_edges = 0;
    for (size_t i = 0; i < list->n_rules; i++) {
        struct sp_meaning *m = &list->meanings[i];

        *m = sp_policy_draw_meaning(&rng);
        if (m->protocol == SP_PROTOCOL_ANY && sp_random_chance(&rng, narrow)) {
            m->protocol = SP_PROTOCOL_TCP;
        }
        if ((m->protocol == SP_PROTOCOL_TCP || m->protocol == SP_PROTOCOL_UDP) && sp_random_chance(&rng, narrow + 10)) {
            m->port_min = (int32_t) sp_random_below(&rng, 65536) & (sp_random_chance(&rng, 30) ? 0xff00 : 0xffff);
            m->port_max = m->port_min + (int32_t) sp_random_below(&rng, sp_random_chance(&rng, 50) ? 1 : 600);
            m->port_max = m->port_max > 65535 ? 65535 : m->port_max;
        }
        if (m->port_min >= 0 && sp_random_chance(&rng, 5)) {
            m->port_min = 0;
            m->port_max = 65535 - (int32_t) sp_random_below(&rng, 2);
        }
        if (m->port_min >= 0) {
            list->edges[list->n_edges++] = (unsigned) m->port_min;
            list->edges[list->n_edges++] = (unsigned) m->port_max;
        }
        list->rules[i] = (struct sp_rule_facts){.meaning = m, .slot = (uint32_t) i + 1, .mark = (uint32_t) i + 1,
                                                .classes = classes,
                                                .n_classes = m->remote == SP_REMOTE_GROUP ? sp_random_below(&rng, 4) : 0};
    }
}

static void compile(struct list *list)
{
    struct sp_rule_set_facts set = {.number = SET, .version = 1, .region = 1, .rules = list->rules, .n_rules = list->n_rules};

    struct sp_flow_list all;

    sp_flow_list_init(&all);
    sp_flow_list_clear(&list->flows);
    assert_int_equal(sp_compile_rule_set(&set, NULL, &all, NULL), 0);
    for (size_t i = 0; i < all.n; i++) {
        uint8_t table = all.flows[i]->table;

        if (table == SP_T_RULES_IN || table == SP_T_RULES_OUT || table == SP_T_WIDE_IN || table == SP_T_WIDE_OUT) {
            assert_int_equal(sp_flow_list_take(&list->flows, sp_flow_ref(all.flows[i])), 0);
        }
    }
    sp_flow_list_clear(&all);
}

static bool is_of_rules(const struct sp_flow *flow, bool inbound)
{
    return flow->table == (inbound ? SP_T_RULES_IN : SP_T_RULES_OUT);
}

static bool is_of_wide_rules(const struct sp_flow *flow, bool inbound)
{
    return flow->table == (inbound ? SP_T_WIDE_IN : SP_T_WIDE_OUT);
}

static bool is_of_set(const struct sp_flow *flow)
{
    return SP_COOKIE_KIND(flow->cookie) == SP_COOKIE_SET;
}

static bool is_block(const struct sp_flow *flow)
{
    return is_of_set(flow) && flow->priority >= SP_UNNAMED_PRIORITY(1);
}

/* Whether a block leads to the rules for all ports. */
static bool leads_to_wide(const struct sp_flow *flow)
{
    return sp_flow_actions(flow)[0] == SP_OP_RESUBMIT;
}

/* What belongs to the set does nothing but lead on; blocks stand above every rule and below what passes SCTP on. */
static void check_blocks(const struct list *list)
{
    static const uint8_t denied[] = {SP_OP_GOTO, SP_T_DENIED};

    for (size_t i = 0; i < list->flows.n; i++) {
        const struct sp_flow *flow = list->flows.flows[i];

        if (is_of_set(flow)) {
            assert_true(!is_block(flow) || (flow->priority > SP_RULE_PRIORITY(1, true, 16) && flow->priority < 65000));
            assert_int_equal(SP_COOKIE_NUMBER(flow->cookie), SET);
            const uint8_t wide[] = {SP_OP_RESUBMIT, flow->table == SP_T_RULES_IN ? SP_T_WIDE_IN : SP_T_WIDE_OUT};

            assert_true(is_of_rules(flow, true) || is_of_rules(flow, false));
            assert_int_equal(flow->actions_size, sizeof denied);
            assert_memory_equal(sp_flow_actions(flow), leads_to_wide(flow) ? wide : denied, sizeof denied);
        } else {
            assert_int_equal(SP_COOKIE_KIND(flow->cookie), SP_COOKIE_RULE);
        }
    }
}

struct question {
    bool inbound;
    struct sp_cidr remote;
    uint32_t class;
    uint8_t protocol;
    unsigned port;
};

static struct sim_packet packet_of(const struct question *q)
{
    bool six = q->remote.family == 6;
    struct sim_packet p = {.icmp_id = 0};

    sim_set(&p, SP_R_SET, SET);
    sim_set(&p, SP_R_CLASS, q->class);
    sim_set(&p, SP_F_ETH_TYPE, six ? 0x86dd : 0x0800);
    sim_set(&p, SP_F_IP_PROTO, q->protocol);
    sim_set(&p, SP_F_CT_STATE, SP_CT_TRK | SP_CT_NEW);
    sim_set(&p, SP_F_CT_NW_PROTO, q->protocol);
    memcpy(p.fields[q->inbound ? (six ? SP_F_CT_IPV6_SRC : SP_F_CT_NW_SRC) : six ? SP_F_CT_IPV6_DST : SP_F_CT_NW_DST],
           q->remote.bytes, six ? 16 : 4);
    sim_set(&p, SP_F_CT_TP_DST, q->port);
    return p;
}

static bool is_for_all(const struct sp_meaning *m)
{
    return m->port_min < 0 || (!m->port_min && m->port_max == 65535);
}

/* Whether there are rules that name ports for the direction, family and protocol of 'q', and none of them names one with the
 * first 8 bits of its own; '*ret_wide' gets whether there are others. */
static bool may_be_covered(const struct list *list, const struct question *q, bool *ret_wide)
{
    bool any = false, free = true;
    int first = (int) (q->port & 0xff00), last = first | 0xff;

    *ret_wide = false;
    for (size_t i = 0; i < list->n_rules; i++) {
        const struct sp_meaning *m = list->rules[i].meaning;
        bool of_family = m->remote != SP_REMOTE_CIDR || m->remote_cidr.family == q->remote.family;

        if (!of_family || (m->direction == SP_INBOUND) != q->inbound ||
            (m->protocol != q->protocol && m->protocol != SP_PROTOCOL_ANY)) {
            continue;
        }
        if (is_for_all(m)) {
            *ret_wide = true;
        } else {
            any = true;
            free = free && (m->port_min > last || m->port_max < first);
        }
    }
    return any && free;
}

static bool same_but_for_table(const struct sp_flow *a, const struct sp_flow *b)
{
    return a->cookie == b->cookie && a->priority == b->priority && a->match_size == b->match_size &&
           a->actions_size == b->actions_size && !memcmp(sp_flow_match(a), sp_flow_match(b), a->match_size) &&
           !memcmp(sp_flow_actions(a), sp_flow_actions(b), a->actions_size);
}

/* Whether 'flow' is among the rules for all ports as well. */
static bool has_twin(const struct list *list, const struct sp_flow *flow, bool inbound)
{
    for (size_t i = 0; i < list->flows.n; i++) {
        if (is_of_wide_rules(list->flows.flows[i], inbound) && same_but_for_table(list->flows.flows[i], flow)) {
            return true;
        }
    }
    return false;
}

static bool names_port_of(const struct sp_meaning *m, const struct question *q)
{
    return m->port_min < 0 || ((int) q->port >= m->port_min && (int) q->port <= m->port_max);
}

/* Whether the rule is for what 'q' asks about, TCP or UDP, by what it means. */
static bool is_for(const struct sp_rule_facts *rule, const struct question *q)
{
    const struct sp_meaning *m = rule->meaning;
    bool remote = m->remote == SP_REMOTE_ANY || (m->remote == SP_REMOTE_CIDR && sp_cidr_contains(&m->remote_cidr, &q->remote));

    for (size_t i = 0; m->remote == SP_REMOTE_GROUP && i < rule->n_classes; i++) {
        remote = remote || rule->classes[i] == q->class;
    }
    return remote && (m->direction == SP_INBOUND) == q->inbound && names_port_of(m, q) &&
           (m->protocol == q->protocol || m->protocol == SP_PROTOCOL_ANY);
}

/* What matches of a list. */
struct matched {
    const struct sp_flow *deciding; /* Of all rules' flows, or NULL. */
    unsigned n_blocks;  /* For ports that no rule names, whatever the address. */
    unsigned n_for_all; /* Flows of rules for all ports; ... */
    unsigned n_twins;   /* ... those that are there where these are alone; ... */
    unsigned n_wide;    /* ... and all that are. */
};

static const struct sp_meaning *meaning_of(const struct list *list, const struct sp_flow *flow)
{
    return list->rules[SP_COOKIE_NUMBER(flow->cookie) - 1].meaning;
}

static struct matched match(const struct list *list, const struct question *q)
{
    struct sim_packet p = packet_of(q);
    struct matched m = {NULL, 0, 0, 0, 0};

    for (size_t i = 0; i < list->flows.n; i++) {
        const struct sp_flow *flow = list->flows.flows[i];

        if (is_of_wide_rules(flow, q->inbound)) {
            m.n_wide += sim_matches(flow, &p);
        }
        if (!is_of_rules(flow, q->inbound) || !sim_matches(flow, &p)) {
            continue;
        }
        m.deciding = m.deciding && m.deciding->priority > flow->priority ? m.deciding : flow;
        m.n_blocks += is_block(flow);
        if (!is_of_set(flow) && is_for_all(meaning_of(list, flow))) {
            m.n_for_all++;
            m.n_twins += has_twin(list, flow, q->inbound);
        }
    }
    return m;
}

/* What decides is of a rule that names the port or of the set.  This leads to where just those rules are asked that are for it,
 * if any is.  Returns whether it does. */
static bool ask(const struct list *list, const struct question *q)
{
    bool has_ports = q->protocol == SP_PROTOCOL_TCP || q->protocol == SP_PROTOCOL_UDP;
    bool wide = false, to_wide = false, right;
    struct matched m = match(list, q);
    unsigned n_for = 0, n_naming = 0;

    for (size_t i = 0; has_ports && i < list->n_rules; i++) {
        n_for += is_for(&list->rules[i], q);
        n_naming += is_for(&list->rules[i], q) && !is_for_all(list->rules[i].meaning);
    }
    right = m.n_blocks <= 1 && (!m.n_blocks || (has_ports && may_be_covered(list, q, &wide)));
    if (m.deciding && is_of_set(m.deciding)) {
        to_wide = leads_to_wide(m.deciding);
        right = right && has_ports && !n_naming && (to_wide || (!n_for && !wide)) &&
                (!to_wide || (m.n_wide == m.n_for_all && m.n_twins == m.n_for_all));
    } else if (m.deciding && has_ports) {
        right = right && names_port_of(meaning_of(list, m.deciding), q);
    }
    if (!right) {
        fail_msg("SP_SEED=%llu: %s protocol %u port %u: decided by cookie 0x%llx; %u blocks; %u flows for all ports, "
                 "%u where these are alone; %u rules match",
                 (unsigned long long) rng.seed, q->inbound ? "in" : "out", q->protocol, q->port,
                 m.deciding ? (unsigned long long) m.deciding->cookie : 0, m.n_blocks, m.n_for_all, m.n_wide, n_for);
    }
    return to_wide && n_for;
}

/* How many of the 256 blocks of 8 bits of one direction, family and protocol are covered. */
static unsigned count_covered(const struct list *list, struct question *q)
{
    unsigned n = 0;

    for (q->port = 0; q->port < 65536; q->port += 256) {
        struct sim_packet p = packet_of(q);

        for (size_t i = 0; i < list->flows.n; i++) {
            n += is_block(list->flows.flows[i]) && is_of_rules(list->flows.flows[i], q->inbound) &&
                 sim_matches(list->flows.flows[i], &p);
        }
    }
    return n;
}

/* How many have to be, by what sp_unnamed_ports() says if each that may be covered is asked for by itself. */
static unsigned expect_covered(const struct list *list, struct question *q)
{
    struct sp_named_ports named = {{0}};
    struct sp_port_mask masks[SP_UNNAMED_MAX];
    unsigned n_ports = 0;
    bool any = false, wide;

    for (q->port = 0; q->port < 65536; q->port += 256) {
        if (may_be_covered(list, q, &wide)) {
            any = true;
        } else {
            sp_named_ports_add(&named, (uint16_t) q->port, (uint16_t) (q->port | 0xff));
        }
    }
    for (size_t n = any ? sp_unnamed_ports(&named, masks) : 0; n > 0; n--) {
        n_ports += 0x10000u - masks[n - 1].mask;
    }
    return n_ports / 256;
}

static void rules_are_not_met(void **aux)
{
    static const uint8_t protocols[] = {SP_PROTOCOL_TCP,  SP_PROTOCOL_UDP,    SP_PROTOCOL_SCTP,
                                        SP_PROTOCOL_ICMP, SP_PROTOCOL_ICMPV6, 47};
    static struct list list;
    size_t n_blocks = 0, n_wide = 0;

    sp_flow_list_init(&list.flows);
    for (unsigned run = 0; run < N_LISTS; run++) {
        draw_list(&list);
        compile(&list);
        check_blocks(&list);
        for (size_t i = 0; i < list.flows.n; i++) {
            n_blocks += is_block(list.flows.flows[i]);
        }
        for (unsigned i = 0; i < SP_POLICY_ADDRESSES * 2 * sizeof protocols; i++) {
            struct question q = {.inbound = i & 1, .protocol = protocols[i / 2 % sizeof protocols]};

            q.remote = sp_policy_address(i / 2 / sizeof protocols);
            q.class = sp_random_below(&rng, 4);
            for (unsigned k = 0; k < N_PORTS; k++) {
                unsigned edge = list.n_edges ? list.edges[sp_random_below(&rng, (uint32_t) list.n_edges)] : 0;

                q.port = k % 4 == 3 ? sp_random_below(&rng, 65536) : (edge + k % 4 - 1) & 0xffff;
                q.port = (k % 8 > 4 ? (q.port & 0xff00) - k % 2 : q.port) & 0xffff; /* Beside the edge of a block. */
                n_wide += ask(&list, &q);
            }
        }
        for (unsigned i = 0; i < 8; i++) {
            struct question q = {.inbound = i & 1, .remote = sp_policy_address(i & 2 ? SP_POLICY_ADDRESSES - 1 : 0),
                                 .protocol = protocols[i / 4]};
            unsigned n = expect_covered(&list, &q);

            assert_int_equal(count_covered(&list, &q), n);
        }
    }
    assert_true(n_blocks > N_LISTS && n_wide > N_LISTS);
    sp_flow_list_clear(&list.flows);
}

/* Who is in a group decides nothing about the blocks. */
static void members_change_nothing(void **aux)
{
    static struct list lists[2];

    sp_flow_list_init(&lists[0].flows);
    sp_flow_list_init(&lists[1].flows);
    for (unsigned run = 0; run < N_LISTS; run++) {
        size_t n[2] = {0, 0};

        draw_list(&lists[0]);
        memcpy(lists[1].rules, lists[0].rules, sizeof lists[0].rules);
        lists[1].n_rules = lists[0].n_rules;
        for (size_t i = 0; i < lists[1].n_rules; i++) {
            lists[1].rules[i].n_classes = 0;
        }
        compile(&lists[0]);
        compile(&lists[1]);
        for (size_t i = 0; i < lists[0].flows.n; i++) {
            bool found = false;

            for (size_t k = 0; k < lists[1].flows.n; k++) {
                found = found || sp_flow_equal(lists[0].flows.flows[i], lists[1].flows.flows[k]);
            }
            assert_true(found || !is_block(lists[0].flows.flows[i]));
            n[0] += is_block(lists[0].flows.flows[i]);
        }
        for (size_t k = 0; k < lists[1].flows.n; k++) {
            n[1] += is_block(lists[1].flows.flows[k]);
        }
        assert_int_equal(n[0], n[1]);
    }
    sp_flow_list_clear(&lists[0].flows);
    sp_flow_list_clear(&lists[1].flows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_stretches_can_leave), cmocka_unit_test(random_ranges),
        cmocka_unit_test(rules_are_not_met),            cmocka_unit_test(members_change_nothing),
    };

    sp_random_init(&rng);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
