#include "flows/explain.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static struct sp_meaning inbound(enum sp_verdict action, uint16_t priority, int16_t protocol)
{
    return (struct sp_meaning){
        .direction = SP_INBOUND, .action = action, .priority = priority, .protocol = protocol,
        .port_min = -1, .port_max = -1, .icmp_type = -1, .icmp_code = -1,
    };
}

static struct sp_cidr cidr(const char *text)
{
    struct sp_cidr c;

    assert_int_equal(sp_cidr_parse(text, &c), 0);
    return c;
}

static struct sp_connection connection(uint8_t protocol, const char *remote, int32_t port)
{
    return (struct sp_connection){SP_INBOUND, protocol, cidr(remote), port, -1, -1};
}

/* Group 1 has 10.0.0.1 and 2001:db8::1 for members, group 2 nobody. */
static bool is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address)
{
    struct sp_cidr v4 = cidr("10.0.0.1"), v6 = cidr("2001:db8::1");

    ++*(unsigned *) aux;
    return group->bytes[0] == 1 && (sp_cidr_equal(address, &v4) || sp_cidr_equal(address, &v6));
}

static ptrdiff_t explain(const struct sp_meaning rules[], size_t n, struct sp_connection c)
{
    const struct sp_meaning *list[8];
    unsigned asked = 0;

    assert_true(n <= 8);
    for (size_t i = 0; i < n; i++) {
        list[i] = &rules[i];
    }
    return sp_explain(list, n, &c, is_member, &asked);
}

static bool matches(struct sp_meaning rule, struct sp_connection c)
{
    return explain(&rule, 1, c) == 0;
}

static void test_no_match_is_minus_one(void **state)
{
    assert_int_equal(explain(NULL, 0, connection(6, "10.0.0.1", 22)), -1);
    assert_false(matches(inbound(SP_ALLOW, 1, 17), connection(6, "10.0.0.1", 22)));
}

static void test_order(void **state)
{
    const struct sp_meaning rules[] = {
        inbound(SP_ALLOW, 200, SP_PROTOCOL_ANY), inbound(SP_ALLOW, 100, 6), inbound(SP_ALLOW, 100, SP_PROTOCOL_ANY),
        inbound(SP_DENY, 100, 17),               inbound(SP_DENY, 100, 17), inbound(SP_DENY, 150, SP_PROTOCOL_ANY),
    };

    assert_int_equal(explain(rules, 6, connection(6, "10.0.0.1", 1)), 1);  /* Among equal allows the first. */
    assert_int_equal(explain(rules, 6, connection(17, "10.0.0.1", 1)), 3); /* Among equals deny wins, the first of them. */
    assert_int_equal(explain(rules, 6, connection(47, "10.0.0.1", -1)), 2);
    assert_int_equal(explain(rules, 1, connection(47, "10.0.0.1", -1)), 0);
    assert_int_equal(explain(rules + 5, 1, connection(47, "10.0.0.1", -1)), 0);
}

static void test_direction(void **state)
{
    struct sp_meaning rule = inbound(SP_ALLOW, 1, SP_PROTOCOL_ANY);

    rule.direction = SP_OUTBOUND;
    assert_false(matches(rule, connection(6, "10.0.0.1", 1)));
}

static void test_ports(void **state)
{
    struct sp_meaning rule = inbound(SP_ALLOW, 1, 6);

    assert_true(matches(rule, connection(6, "10.0.0.1", -1)));
    rule.port_min = 0, rule.port_max = 65535;
    assert_true(matches(rule, connection(6, "10.0.0.1", -1))); /* All ports: none is named. */
    rule.port_min = 0, rule.port_max = 65534;
    assert_false(matches(rule, connection(6, "10.0.0.1", -1)));
    assert_false(matches(rule, connection(6, "10.0.0.1", 65535)));
    assert_true(matches(rule, connection(6, "10.0.0.1", 0)));
    rule.port_min = 80, rule.port_max = 90;
    assert_false(matches(rule, connection(6, "10.0.0.1", 79)));
    assert_true(matches(rule, connection(6, "10.0.0.1", 80)));
    assert_true(matches(rule, connection(6, "10.0.0.1", 90)));
    assert_false(matches(rule, connection(6, "10.0.0.1", 91)));
}

static void test_remote_cidr(void **state)
{
    struct sp_meaning rule = inbound(SP_ALLOW, 1, SP_PROTOCOL_ANY);

    assert_true(matches(rule, connection(6, "10.0.0.1", 1)));
    assert_true(matches(rule, connection(6, "::1", 1)));
    rule.remote = SP_REMOTE_CIDR;
    rule.remote_cidr = cidr("0.0.0.0/0");
    assert_true(matches(rule, connection(6, "10.0.0.1", 1)));
    assert_false(matches(rule, connection(6, "::1", 1)));
    rule.remote_cidr = cidr("10.0.0.0/24");
    assert_true(matches(rule, connection(6, "10.0.0.255", 1)));
    assert_false(matches(rule, connection(6, "10.0.1.0", 1)));
    rule.remote_cidr = cidr("2001:db8::/127");
    assert_true(matches(rule, connection(6, "2001:db8::1", 1)));
    assert_false(matches(rule, connection(6, "2001:db8::2", 1)));
}

static void test_remote_group(void **state)
{
    struct sp_meaning rule = inbound(SP_ALLOW, 1, SP_PROTOCOL_ANY);

    rule.remote = SP_REMOTE_GROUP;
    rule.remote_group.bytes[0] = 1;
    assert_true(matches(rule, connection(6, "10.0.0.1", 1)));
    assert_true(matches(rule, connection(6, "2001:db8::1", 1)));
    assert_false(matches(rule, connection(6, "10.0.0.2", 1)));
    rule.remote_group.bytes[0] = 2;
    assert_false(matches(rule, connection(6, "10.0.0.1", 1)));
}

static void test_icmp(void **state)
{
    struct sp_meaning icmp = inbound(SP_ALLOW, 1, SP_PROTOCOL_ICMP), icmpv6 = inbound(SP_ALLOW, 1, SP_PROTOCOL_ICMPV6);
    struct sp_connection c4 = connection(1, "10.0.0.1", -1), c6 = connection(58, "::1", -1);

    assert_true(matches(icmp, c4));
    assert_false(matches(icmp, c6));
    assert_false(matches(icmp, connection(1, "::1", -1)));
    assert_true(matches(icmpv6, c6));
    assert_false(matches(icmpv6, c4));
    assert_false(matches(icmpv6, connection(58, "10.0.0.1", -1)));
    assert_true(matches(inbound(SP_ALLOW, 1, SP_PROTOCOL_ANY), connection(58, "10.0.0.1", -1)));

    icmp.icmp_type = 8;
    assert_false(matches(icmp, c4)); /* Type not known. */
    c4.icmp_type = 8;
    assert_true(matches(icmp, c4));
    c4.icmp_type = 0;
    assert_false(matches(icmp, c4));
    icmp.icmp_type = 3, icmp.icmp_code = 1, c4.icmp_type = 3;
    assert_false(matches(icmp, c4)); /* Code not known. */
    c4.icmp_code = 1;
    assert_true(matches(icmp, c4));
    c4.icmp_code = 0;
    assert_false(matches(icmp, c4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_match_is_minus_one), cmocka_unit_test(test_order), cmocka_unit_test(test_direction),
        cmocka_unit_test(test_ports), cmocka_unit_test(test_remote_cidr), cmocka_unit_test(test_remote_group),
        cmocka_unit_test(test_icmp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
