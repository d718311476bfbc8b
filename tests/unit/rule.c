#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "sallyport/rule.h"

static struct sp_meaning rule(int16_t protocol)
{
    return (struct sp_meaning){
        .direction = SP_INBOUND, .action = SP_ALLOW, .priority = 100, .protocol = protocol,
        .port_min = -1, .port_max = -1, .icmp_type = -1, .icmp_code = -1,
    };
}

static struct sp_meaning from(int16_t protocol, const char *cidr)
{
    struct sp_meaning m = rule(protocol);

    m.remote = SP_REMOTE_CIDR;
    assert_int_equal(sp_cidr_parse(cidr, &m.remote_cidr), 0);
    return m;
}

static void test_each_member_counts(void **state)
{
    struct sp_meaning a = rule(SP_PROTOCOL_TCP), b;

    assert_true(sp_meaning_equal(&a, &a));
    b = a, b.direction = SP_OUTBOUND;
    assert_false(sp_meaning_equal(&a, &b));
    b = a, b.action = SP_DENY;
    assert_false(sp_meaning_equal(&a, &b));
    b = a, b.priority = 101;
    assert_false(sp_meaning_equal(&a, &b));
    b = rule(SP_PROTOCOL_UDP);
    assert_false(sp_meaning_equal(&a, &b));
    b = rule(SP_PROTOCOL_ANY);
    assert_false(sp_meaning_equal(&a, &b));
    b = a, b.port_min = 22, b.port_max = 22;
    assert_false(sp_meaning_equal(&a, &b));
    a = rule(SP_PROTOCOL_ICMP), b = a, b.icmp_type = 8;
    assert_false(sp_meaning_equal(&a, &b));
    a = b, b.icmp_code = 0;
    assert_false(sp_meaning_equal(&a, &b));
}

static void test_all_ports(void **state)
{
    struct sp_meaning a = rule(SP_PROTOCOL_TCP), b = a;

    b.port_min = 0, b.port_max = 65535;
    assert_true(sp_meaning_equal(&a, &b));
    assert_true(sp_meaning_equal(&b, &a));
    b.port_max = 65534;
    assert_false(sp_meaning_equal(&a, &b));
    b.port_min = 1, b.port_max = 65535;
    assert_false(sp_meaning_equal(&a, &b));
    b.port_min = 0, b.port_max = 0;
    assert_false(sp_meaning_equal(&a, &b));
}

static void test_remote(void **state)
{
    struct sp_meaning any = rule(SP_PROTOCOL_TCP), group = any, other;
    struct sp_meaning all4 = from(SP_PROTOCOL_TCP, "0.0.0.0/0"), all6 = from(SP_PROTOCOL_TCP, "::/0");
    struct sp_meaning a = from(SP_PROTOCOL_TCP, "10.0.0.0/8"), b = from(SP_PROTOCOL_TCP, "10.0.0.0/9");

    assert_false(sp_meaning_equal(&any, &all4));
    assert_false(sp_meaning_equal(&any, &all6));
    assert_false(sp_meaning_equal(&all4, &all6));
    assert_true(sp_meaning_equal(&a, &a));
    assert_false(sp_meaning_equal(&a, &b));
    group.remote = SP_REMOTE_GROUP;
    group.remote_group.bytes[0] = 1;
    other = group;
    assert_true(sp_meaning_equal(&group, &other));
    other.remote_group.bytes[0] = 2;
    assert_false(sp_meaning_equal(&group, &other));
    assert_false(sp_meaning_equal(&group, &any));
    assert_false(sp_meaning_equal(&group, &a));
    any.remote_group.bytes[0] = 1; /* What a member that does not count holds makes no difference. */
    other = rule(SP_PROTOCOL_TCP);
    assert_true(sp_meaning_equal(&any, &other));
}

static void test_remote_of_one_family(void **state)
{
    struct sp_meaning icmp = rule(SP_PROTOCOL_ICMP);
    struct sp_meaning icmp4 = from(SP_PROTOCOL_ICMP, "0.0.0.0/0"), icmp6 = from(SP_PROTOCOL_ICMP, "::/0");
    struct sp_meaning icmpv6 = rule(SP_PROTOCOL_ICMPV6), icmpv66 = from(SP_PROTOCOL_ICMPV6, "::/0");
    struct sp_meaning part = from(SP_PROTOCOL_ICMPV6, "2001:db8::/32");

    assert_true(sp_meaning_equal(&icmp, &icmp4));
    assert_true(sp_meaning_equal(&icmp4, &icmp));
    assert_false(sp_meaning_equal(&icmp, &icmp6));
    assert_true(sp_meaning_equal(&icmpv6, &icmpv66));
    assert_false(sp_meaning_equal(&icmpv6, &part));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_member_counts),
        cmocka_unit_test(test_all_ports),
        cmocka_unit_test(test_remote),
        cmocka_unit_test(test_remote_of_one_family),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
