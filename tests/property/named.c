/* Which ports are named for which addresses, against a look at each rule; and that a compiled range is a nest just where none of
 * the rules that are for one of its remote addresses names a port that the nest takes out. */

#include "flows/named.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "flows/compile.h"
#include "flows/range.h"
#include "tests/support/random.h"

#define N_LISTS 400
#define RANGES_MAX 140
#define N_QUESTIONS 200
#define RULES_MAX 12

static struct sp_random rng;

static void which_are_named(void **aux)
{
    static const uint16_t ranges[][2] = {{0, 0}, {63, 64}, {127, 127}, {1000, 1127}, {65535, 65535}};
    struct sp_named_ports named = {{0}};
    bool expected[65536] = {false};

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        sp_named_ports_add(&named, ranges[i][0], ranges[i][1]);
        memset(&expected[ranges[i][0]], true, ranges[i][1] - ranges[i][0] + 1u);
    }
    for (unsigned first = 0; first < 65536; first += first == 1200 ? 64000 : 1) {
        bool any = false;

        assert_false(sp_named_ports_any(&named, first, first));
        assert_false(sp_named_ports_any(&named, first, 0));
        for (unsigned end = first + 1; end <= 65536 && end < first + 200; end++) {
            any = any || expected[end - 1];
            assert_int_equal(sp_named_ports_any(&named, first, end), any);
        }
    }
    assert_false(sp_named_ports_any(&named, 1128, 65535));
    assert_true(sp_named_ports_any(&named, 1128, 65536));
}

static bool bit(const struct sp_cidr *cidr, unsigned i)
{
    return cidr->bytes[i / 8] >> (7 - i % 8) & 1;
}

/* A prefix of at most 'bits' bits, few of which are set, so that many of them are within one another. */
static struct sp_cidr draw_remote(unsigned family, unsigned bits)
{
    unsigned n = sp_random_below(&rng, bits + 1);
    struct sp_cidr cidr = {.family = (uint8_t) family};

    n = sp_random_chance(&rng, 20) ? bits : n;
    for (unsigned i = 0; i < n; i++) {
        bool one = (i < 8 || i + 4 > n) && sp_random_chance(&rng, 20);

        cidr.bytes[i / 8] |= (uint8_t) (one << (7 - i % 8));
    }
    cidr.prefix = (uint8_t) n;
    return cidr;
}

/* Whether two prefixes of one family have an address in common. */
static bool share(const struct sp_cidr *a, const struct sp_cidr *b)
{
    for (unsigned i = 0; i < a->prefix && i < b->prefix; i++) {
        if (bit(a, i) != bit(b, i)) {
            return false;
        }
    }
    return true;
}

/* Whether one of 'ranges' is for an address of 'remote' and has a port of 'first' to 'end', without it. */
static bool naive_any(const struct sp_named_range *ranges, size_t n, const struct sp_cidr *remote, unsigned first, unsigned end)
{
    for (size_t i = 0; i < n; i++) {
        for (unsigned port = first; port < end && share(&ranges[i].remote, remote); port++) {
            if (port >= ranges[i].lo && port <= ranges[i].hi) {
                return true;
            }
        }
    }
    return false;
}

static void named_for_addresses(void **aux)
{
    unsigned n_yes = 0, n_no = 0;

    for (unsigned run = 0; run < N_LISTS; run++) {
        struct sp_named_range ranges[RANGES_MAX];
        unsigned family = run % 2 ? 6 : 4, bits = family == 6 ? 128 : 32;
        size_t n = sp_random_below(&rng, run % 3 ? 8 : RANGES_MAX + 1);

        for (size_t i = 0; i < n; i++) {
            unsigned lo = sp_random_below(&rng, 100), hi = lo + sp_random_below(&rng, sp_random_chance(&rng, 70) ? 2 : 30);

            ranges[i] = (struct sp_named_range){.remote = draw_remote(family, bits), .lo = (uint16_t) lo, .hi = (uint16_t) hi};
        }
        struct sp_named_ranges *named = sp_named_ranges_new(ranges, n);

        assert_non_null(named);
        for (unsigned k = 0; k < N_QUESTIONS; k++) {
            struct sp_cidr remote = n && k % 2 ? ranges[sp_random_below(&rng, (uint32_t) n)].remote : draw_remote(family, bits);
            unsigned first = sp_random_below(&rng, 120), end = first + sp_random_below(&rng, 6);
            bool expected = naive_any(ranges, n, &remote, first, end);

            if (sp_named_ranges_any(named, &remote, first, end) != expected) {
                fail_msg("SP_SEED=%llu", (unsigned long long) rng.seed);
            }
            n_yes += expected;
            n_no += !expected;
        }
        sp_named_ranges_free(named);
    }
    assert_true(n_yes > N_LISTS && n_no > N_LISTS);
}

/* Each prefix of one address, each of which names a port of its own: a part of it is told of all that it is within. */
static void one_within_the_other(void **aux)
{
    for (unsigned family = 4; family <= 6; family += 2) {
        unsigned bits = family == 6 ? 128 : 32;
        struct sp_named_range ranges[129];

        for (unsigned i = 0; i <= bits; i++) {
            ranges[bits - i] = (struct sp_named_range){.remote = {.family = (uint8_t) family, .prefix = (uint8_t) i},
                                                       .lo = (uint16_t) i, .hi = (uint16_t) i};
        }
        struct sp_named_ranges *named = sp_named_ranges_new(ranges, bits + 1);

        assert_non_null(named);
        for (unsigned i = 1; i <= bits; i++) {
            struct sp_cidr beside = {.family = (uint8_t) family, .prefix = (uint8_t) i};

            beside.bytes[(i - 1) / 8] = (uint8_t) (1u << (7 - (i - 1) % 8)); /* Within i - 1 bits, and all that these are. */
            for (unsigned port = 0; port <= bits; port++) {
                assert_true(sp_named_ranges_any(named, &ranges[i].remote, port, port + 1));
                assert_int_equal(sp_named_ranges_any(named, &beside, port, port + 1), port < i);
            }
        }
        sp_named_ranges_free(named);
    }
}

static struct sp_meaning draw_rule(void)
{
    static const int protocols[] = {SP_PROTOCOL_TCP, SP_PROTOCOL_TCP, SP_PROTOCOL_UDP, SP_PROTOCOL_ANY, SP_PROTOCOL_SCTP};
    struct sp_meaning m = {.direction = sp_random_chance(&rng, 80) ? SP_INBOUND : SP_OUTBOUND,
                           .action = sp_random_chance(&rng, 70) ? SP_ALLOW : SP_DENY,
                           .priority = (uint16_t) (1 + sp_random_below(&rng, 3)),
                           .protocol = (int16_t) protocols[sp_random_below(&rng, 5)],
                           .port_min = -1, .port_max = -1, .icmp_type = -1, .icmp_code = -1};

    if (m.protocol != SP_PROTOCOL_ANY && sp_random_chance(&rng, 90)) {
        m.port_min = (int32_t) (sp_random_below(&rng, 3) * 16 + sp_random_below(&rng, 2));
        m.port_max = m.port_min + 14 - (int32_t) sp_random_below(&rng, 3);
    }
    m.remote = sp_random_chance(&rng, 80) ? SP_REMOTE_CIDR : sp_random_chance(&rng, 50) ? SP_REMOTE_ANY : SP_REMOTE_GROUP;
    if (m.remote == SP_REMOTE_CIDR) {
        m.remote_cidr = draw_remote(sp_random_chance(&rng, 30) ? 6 : 4, 6);
    }
    return m;
}

/* Whether 'm' is for a connection that 'nest' is for as well, by all but its port, in 'family'. */
static bool is_for_the_same(const struct sp_meaning *m, const struct sp_meaning *nest, unsigned family)
{
    const struct sp_cidr all = {.family = (uint8_t) family};
    const struct sp_cidr *a = m->remote == SP_REMOTE_CIDR ? &m->remote_cidr : &all;
    const struct sp_cidr *b = nest->remote == SP_REMOTE_CIDR ? &nest->remote_cidr : &all;

    return m->direction == nest->direction && (m->protocol == nest->protocol || m->protocol == SP_PROTOCOL_ANY) &&
           a->family == family && b->family == family && share(a, b);
}

/* What of rule 'k' goes where ports go that no rule names, in 'family': a table, or 0 if it is no nest. */
static uint8_t expect_table(const struct sp_meaning *meanings, size_t n, size_t k, unsigned family)
{
    const struct sp_meaning *nest = &meanings[k];
    struct sp_nested_mask masks[SP_RANGE_MASKS_MAX];
    bool inbound = nest->direction == SP_INBOUND, wide = false;
    uint16_t first = 1, last = 0;

    if (nest->port_min < 0 || nest->protocol == SP_PROTOCOL_SCTP || !is_for_the_same(nest, nest, family) ||
        !sp_range_nest((uint16_t) nest->port_min, (uint16_t) nest->port_max, masks, &first, &last)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        bool for_family = meanings[i].remote != SP_REMOTE_CIDR || meanings[i].remote_cidr.family == family;

        wide = wide || (meanings[i].port_min < 0 && for_family && meanings[i].direction == nest->direction &&
                        (meanings[i].protocol == nest->protocol || meanings[i].protocol == SP_PROTOCOL_ANY));
        for (int32_t port = first; port <= last && is_for_the_same(&meanings[i], nest, family); port++) {
            bool out = port < nest->port_min || port > nest->port_max;

            if (out && port >= meanings[i].port_min && port <= meanings[i].port_max) {
                return 0;
            }
        }
    }
    return !wide ? SP_T_DENIED : inbound ? SP_T_WIDE_IN : SP_T_WIDE_OUT;
}

static void nests_where_they_can_be(void **aux)
{
    unsigned n_nests = 0, n_cut = 0;

    for (unsigned run = 0; run < N_LISTS; run++) {
        struct sp_meaning meanings[RULES_MAX];
        struct sp_rule_facts rules[RULES_MAX];
        struct sp_compiled_rule compiled[RULES_MAX];
        struct sp_rule_set_facts set = {.number = 7, .version = 1, .region = 1, .rules = rules,
                                        .n_rules = 1 + sp_random_below(&rng, RULES_MAX)};
        struct sp_flow_list flows;

        for (size_t i = 0; i < set.n_rules; i++) {
            meanings[i] = draw_rule();
            rules[i] = (struct sp_rule_facts){.meaning = &meanings[i], .slot = (uint32_t) i + 1, .mark = (uint32_t) i + 1};
        }
        sp_flow_list_init(&flows);
        assert_int_equal(sp_compile_rule_set(&set, NULL, &flows, compiled), 0);
        for (size_t i = 0; i < 2 * set.n_rules; i++) {
            unsigned family = i % 2 ? 6 : 4;
            uint8_t expected = expect_table(meanings, set.n_rules, i / 2, family);
            bool has_nest = compiled[i / 2].nest_first <= compiled[i / 2].nest_last;

            if (compiled[i / 2].unnamed[i % 2] != expected) {
                fail_msg("SP_SEED=%llu: rule %u: %u instead of %u", (unsigned long long) rng.seed, (unsigned) i / 2,
                         compiled[i / 2].unnamed[i % 2], expected);
            }
            n_nests += expected != 0;
            n_cut += !expected && has_nest && is_for_the_same(&meanings[i / 2], &meanings[i / 2], family);
        }
        sp_flow_list_clear(&flows);
    }
    assert_true(n_nests > N_LISTS && n_cut > N_LISTS / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_are_named),
        cmocka_unit_test(named_for_addresses),
        cmocka_unit_test(one_within_the_other),
        cmocka_unit_test(nests_where_they_can_be),
    };

    sp_random_init(&rng);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
