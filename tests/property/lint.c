/* What lint says of a rule, held against verdicts on connections: without a redundant rule every verdict is the same, a shadowed
 * one never decides, an open one lets anybody in. */

#include "flows/lint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "flows/explain.h"
#include "tests/support/random.h"

#define LISTS 4000
#define RULES_MAX 7
#define CONNECTIONS 120

/* Few values, so that rules cover and meet each other often. */
static const int32_t ports[] = {21, 22, 23, 80, 3306, 3307};
static const char *const networks[] = {"0.0.0.0/0", "::/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.1/32", "2001:db8::/32"};
static const char *const addresses[] = {"10.1.1.1", "10.1.2.3", "10.2.0.1", "192.0.2.1", "2001:db8::1", "fd00::1"};
static const int16_t protocols[] = {SP_PROTOCOL_ANY, SP_PROTOCOL_TCP, SP_PROTOCOL_TCP, SP_PROTOCOL_UDP, SP_PROTOCOL_ICMP,
                                    SP_PROTOCOL_ICMPV6};

#define PICK(RANDOM, ARRAY) ((ARRAY)[sp_random_below(RANDOM, sizeof(ARRAY) / sizeof((ARRAY)[0]))])

static struct sp_cidr
cidr(const char *text)
{
    struct sp_cidr ret;
    assert_int_equal(sp_cidr_parse(text, &ret), 0);
    return ret;
}

static struct sp_meaning
random_rule(struct sp_random *random)
{
    struct sp_meaning m = {
        .direction = sp_random_chance(random, 70) ? SP_INBOUND : SP_OUTBOUND,
        .action = sp_random_chance(random, 60) ? SP_ALLOW : SP_DENY,
        .priority = (uint16_t) (100 + sp_random_below(random, 3)),
        .protocol = PICK(random, protocols),
        .port_min = -1, .port_max = -1, .icmp_type = -1, .icmp_code = -1,
    };
    if ((m.protocol == SP_PROTOCOL_TCP || m.protocol == SP_PROTOCOL_UDP) && sp_random_chance(random, 80)) {
        int32_t a = PICK(random, ports), b = PICK(random, ports);
        m.port_min = a < b ? a : b;
        m.port_max = a < b ? b : a;
    }
    if ((m.protocol == SP_PROTOCOL_ICMP || m.protocol == SP_PROTOCOL_ICMPV6) && sp_random_chance(random, 60)) {
        m.icmp_type = (int16_t) sp_random_below(random, 2);
        m.icmp_code = (int16_t) sp_random_below(random, 2) - 1;
    }
    if (sp_random_chance(random, 50)) {
        m.remote = SP_REMOTE_CIDR;
        m.remote_cidr = cidr(PICK(random, networks));
    } else if (sp_random_chance(random, 30)) {
        m.remote = SP_REMOTE_GROUP;
        m.remote_group.bytes[0] = (uint8_t) (1 + sp_random_below(random, 2));
    }
    return m;
}

/* Group 1 has the addresses of 10.1.0.0/16, group 2 those of 2001:db8::/32. */
static bool
is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address)
{
    struct sp_cidr members = cidr(group->bytes[0] == 1 ? "10.1.0.0/16" : "2001:db8::/32");
    return sp_cidr_contains(&members, address);
}

static struct sp_connection
random_connection(struct sp_random *random)
{
    struct sp_cidr remote = cidr(PICK(random, addresses));
    static const uint8_t numbers[] = {SP_PROTOCOL_TCP, SP_PROTOCOL_TCP, SP_PROTOCOL_UDP, SP_PROTOCOL_ICMP, 47};
    struct sp_connection c = {sp_random_chance(random, 70) ? SP_INBOUND : SP_OUTBOUND, PICK(random, numbers), remote, -1, -1, -1};
    if (c.protocol == SP_PROTOCOL_ICMP) {
        c.protocol = remote.family == 4 ? SP_PROTOCOL_ICMP : SP_PROTOCOL_ICMPV6;
        c.icmp_type = (int16_t) sp_random_below(random, 2);
        c.icmp_code = (int16_t) sp_random_below(random, 2);
    } else if (c.protocol != 47) {
        c.port = PICK(random, ports);
    }
    return c;
}

static bool
allows(const struct sp_meaning *const list[], size_t n, const struct sp_connection *c)
{
    ptrdiff_t at = sp_explain(list, n, c, is_member, NULL);
    return at >= 0 && list[at]->action == SP_ALLOW;
}

/* The list without rule 'at'. */
static size_t
without(const struct sp_meaning *const list[], size_t n, size_t at, const struct sp_meaning **ret)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (i != at) {
            ret[m++] = list[i];
        }
    }
    return m;
}

static void
check_finding(struct sp_random *random, const struct sp_meaning *const list[], size_t n, size_t at, const struct sp_lint *found)
{
    const struct sp_meaning *rest[RULES_MAX];
    size_t n_rest = without(list, n, at, rest);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct sp_connection c = random_connection(random);
        if (found->kind == SP_LINT_REDUNDANT && allows(list, n, &c) != allows(rest, n_rest, &c)) {
            fail_msg("seed %llu: a rule that is redundant decides", (unsigned long long) random->seed);
        }
        if (found->kind == SP_LINT_SHADOWED && sp_explain(list, n, &c, is_member, NULL) == (ptrdiff_t) at) {
            fail_msg("seed %llu: a rule that is shadowed decides", (unsigned long long) random->seed);
        }
    }
    if (found->kind == SP_LINT_OPEN) {
        /* By this rule, whatever narrower ones before it deny to some: with them left out, anybody gets in. */
        bool v4 = list[at]->remote != SP_REMOTE_CIDR || list[at]->remote_cidr.family == 4;
        struct sp_connection c = {SP_INBOUND, (uint8_t) found->service->protocol, cidr(v4 ? "198.51.100.9" : "fd99::9"),
                                  found->service->port, -1, -1};
        assert_true(allows(&list[at], 1, &c));
    }
}

static void
test_findings_are_true(void **state)
{
    struct sp_random random;
    unsigned n_found[4] = {0};
    sp_random_init(&random);
    for (unsigned i = 0; i < LISTS; i++) {
        struct sp_meaning rules[RULES_MAX];
        const struct sp_meaning *list[RULES_MAX];
        struct sp_lint found[RULES_MAX];
        size_t n = 1 + sp_random_below(&random, RULES_MAX);
        for (size_t k = 0; k < n; k++) {
            rules[k] = random_rule(&random);
            list[k] = &rules[k];
        }
        sp_lint(list, n, found);
        for (size_t k = 0; k < n; k++) {
            n_found[found[k].kind]++;
            check_finding(&random, list, n, k, &found[k]);
        }
    }
    print_message("%u redundant, %u shadowed, %u open, %u with nothing to say\n", n_found[SP_LINT_REDUNDANT],
                  n_found[SP_LINT_SHADOWED], n_found[SP_LINT_OPEN], n_found[SP_LINT_NOTHING]);
    assert_true(n_found[SP_LINT_REDUNDANT] > 100 && n_found[SP_LINT_SHADOWED] > 100 && n_found[SP_LINT_OPEN] > 100);
}

/* All that is redundant may go together. */
static void
test_redundant_ones_may_all_go(void **state)
{
    struct sp_random random;
    sp_random_init(&random);
    for (unsigned i = 0; i < LISTS; i++) {
        struct sp_meaning rules[RULES_MAX];
        const struct sp_meaning *list[RULES_MAX], *rest[RULES_MAX];
        struct sp_lint found[RULES_MAX];
        size_t n = 1 + sp_random_below(&random, RULES_MAX), n_rest = 0;
        for (size_t k = 0; k < n; k++) {
            rules[k] = random_rule(&random);
            list[k] = &rules[k];
        }
        sp_lint(list, n, found);
        for (size_t k = 0; k < n; k++) {
            if (found[k].kind != SP_LINT_REDUNDANT && found[k].kind != SP_LINT_SHADOWED) {
                rest[n_rest++] = list[k];
            }
        }
        for (unsigned k = 0; k < CONNECTIONS; k++) {
            struct sp_connection c = random_connection(&random);
            if (allows(list, n, &c) != allows(rest, n_rest, &c)) {
                fail_msg("seed %llu: without what never decides the verdict is another", (unsigned long long) random.seed);
            }
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings_are_true),
        cmocka_unit_test(test_redundant_ones_may_all_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
