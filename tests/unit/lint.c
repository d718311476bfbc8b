#include "flows/lint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct sp_meaning
rule(enum sp_verdict action, uint16_t priority, int16_t protocol, int32_t lo, int32_t hi, const char *remote)
{
    struct sp_meaning m = {
        .direction = SP_INBOUND, .action = action, .priority = priority, .protocol = protocol,
        .port_min = lo, .port_max = hi, .icmp_type = -1, .icmp_code = -1,
    };
    if (remote) {
        m.remote = SP_REMOTE_CIDR;
        assert_int_equal(sp_cidr_parse(remote, &m.remote_cidr), 0);
    }
    return m;
}

static void
judge(const struct sp_meaning *rules, size_t n, struct sp_lint *ret)
{
    const struct sp_meaning *list[8];
    assert_true(n <= 8);
    for (size_t i = 0; i < n; i++) {
        list[i] = &rules[i];
    }
    memset(ret, 0x55, n * sizeof *ret);
    sp_lint(list, n, ret);
}

static void
test_nothing_to_say(void **state)
{
    const struct sp_meaning rules[] = {
        rule(SP_ALLOW, 100, SP_PROTOCOL_TCP, 80, 443, NULL),
        rule(SP_DENY, 50, SP_PROTOCOL_TCP, 80, 80, "192.0.2.0/24"),
        rule(SP_ALLOW, 100, SP_PROTOCOL_TCP, 22, 22, "192.0.2.0/24"),
        rule(SP_DENY, 200, SP_PROTOCOL_ANY, -1, -1, NULL),
    };
    struct sp_lint found[4];
    judge(rules, 4, found);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(found[i].kind, SP_LINT_NOTHING);
    }
    judge(rules, 0, found);
}

static void
test_shadowed(void **state)
{
    const struct sp_meaning rules[] = {
        rule(SP_ALLOW, 100, SP_PROTOCOL_TCP, 80, 80, "192.0.2.0/25"),
        rule(SP_DENY, 100, SP_PROTOCOL_TCP, 1, 1000, "192.0.2.0/24"), /* Of equals deny wins. */
        rule(SP_DENY, 200, SP_PROTOCOL_UDP, 53, 53, NULL),
        rule(SP_ALLOW, 150, SP_PROTOCOL_ANY, -1, -1, NULL),
    };
    struct sp_lint found[4];
    judge(rules, 4, found);
    assert_int_equal(found[0].kind, SP_LINT_SHADOWED);
    assert_int_equal(found[0].by, 1);
    assert_int_equal(found[1].kind, SP_LINT_NOTHING);
    assert_int_equal(found[2].kind, SP_LINT_SHADOWED);
    assert_int_equal(found[2].by, 3);
}

static void
test_redundant(void **state)
{
    const struct sp_meaning rules[] = {
        rule(SP_ALLOW, 100, SP_PROTOCOL_TCP, 80, 80, NULL),
        rule(SP_ALLOW, 100, SP_PROTOCOL_TCP, 80, 90, NULL), /* Says more, though it comes later. */
        rule(SP_ALLOW, 300, SP_PROTOCOL_TCP, 85, 85, NULL),
        rule(SP_ALLOW, 50, SP_PROTOCOL_TCP, 70, 90, NULL),
    };
    struct sp_lint found[4];
    judge(rules, 3, found);
    assert_int_equal(found[0].kind, SP_LINT_REDUNDANT);
    assert_int_equal(found[0].by, 1);
    assert_int_equal(found[1].kind, SP_LINT_NOTHING);
    assert_int_equal(found[2].kind, SP_LINT_REDUNDANT);
    assert_int_equal(found[2].by, 1);
    judge(rules, 4, found);
    assert_int_equal(found[1].kind, SP_LINT_REDUNDANT);
    assert_int_equal(found[1].by, 3);
    assert_int_equal(found[3].kind, SP_LINT_NOTHING);
}

/* Two that cover each other: one of them stays. */
static void
test_twins(void **state)
{
    const struct sp_meaning rules[] = {
        rule(SP_ALLOW, 100, SP_PROTOCOL_ICMP, -1, -1, NULL),
        rule(SP_ALLOW, 100, SP_PROTOCOL_ICMP, -1, -1, "0.0.0.0/0"),
    };
    struct sp_lint found[2];
    judge(rules, 2, found);
    assert_int_equal(found[0].kind, SP_LINT_NOTHING);
    assert_int_equal(found[1].kind, SP_LINT_REDUNDANT);
}

static void
test_open_to_everybody(void **state)
{
    struct sp_meaning rules[] = {
        rule(SP_ALLOW, 100, SP_PROTOCOL_TCP, 20, 25, NULL),
        rule(SP_ALLOW, 100, SP_PROTOCOL_TCP, 3306, 3306, "::/0"),
        rule(SP_ALLOW, 100, SP_PROTOCOL_TCP, 22, 22, "10.0.0.0/8"),
        rule(SP_ALLOW, 100, SP_PROTOCOL_UDP, 22, 22, NULL),
    };
    struct sp_lint found[4];
    judge(rules, 4, found);
    assert_int_equal(found[0].kind, SP_LINT_OPEN);
    assert_string_equal(found[0].service->name, "ssh");
    assert_int_equal(found[0].n_services, 2);
    assert_int_equal(found[1].kind, SP_LINT_OPEN);
    assert_int_equal(found[1].service->port, 3306);
    assert_int_equal(found[3].kind, SP_LINT_NOTHING);

    rules[0].direction = SP_OUTBOUND;
    judge(rules, 1, found);
    assert_int_equal(found[0].kind, SP_LINT_NOTHING);
}

/* What a rule before it denies to all is not open. */
static void
test_shut_before_it(void **state)
{
    struct sp_meaning rules[] = {
        rule(SP_ALLOW, 100, SP_PROTOCOL_TCP, 20, 25, NULL),
        rule(SP_DENY, 100, SP_PROTOCOL_TCP, 22, 22, NULL),
    };
    struct sp_lint found[2];
    judge(rules, 2, found);
    assert_int_equal(found[0].kind, SP_LINT_OPEN);
    assert_string_equal(found[0].service->name, "telnet");
    assert_int_equal(found[0].n_services, 1);
    rules[1].priority = 101;
    judge(rules, 2, found);
    assert_int_equal(found[0].n_services, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_say), cmocka_unit_test(test_shadowed),
        cmocka_unit_test(test_redundant),      cmocka_unit_test(test_twins),
        cmocka_unit_test(test_open_to_everybody), cmocka_unit_test(test_shut_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
