#include "flows/tracked.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define SCTP SP_PROTOCOL_SCTP

static struct sp_cidr cidr(const char *text)
{
    struct sp_cidr c;

    assert_int_equal(sp_cidr_parse(text, &c), 0);
    return c;
}

static struct sp_meaning rule(enum sp_direction direction, enum sp_verdict action, uint16_t priority, int16_t protocol,
                              int32_t lo, int32_t hi)
{
    return (struct sp_meaning){
        .direction = direction, .action = action, .priority = priority, .protocol = protocol,
        .port_min = lo, .port_max = hi, .icmp_type = -1, .icmp_code = -1,
    };
}

static bool is_member(void *aux, const struct sp_uuid *group, const struct sp_cidr *address)
{
    return sp_cidr_equal(address, aux);
}

/* From 203.0.113.9 port 40000 to 10.0.0.1 port 'dst_port', or the other way round. */
static struct sp_tracked tracked(enum sp_way way, uint8_t protocol, uint16_t dst_port)
{
    bool out = way == SP_WAY_OUTBOUND;

    return (struct sp_tracked){
        .way = way, .protocol = protocol, .has_ports = true, .src_port = 40000, .dst_port = dst_port,
        .src = cidr(out ? "10.0.0.1" : "203.0.113.9"), .dst = cidr(out ? "203.0.113.9" : "10.0.0.1"),
    };
}

/* The passage; '*ret_rule' is the rule that allows it. */
static enum sp_passage judge(const struct sp_meaning rules[], size_t n, struct sp_tracked t, ptrdiff_t *ret_rule)
{
    const struct sp_meaning *list[8];
    struct sp_cidr member = cidr("203.0.113.9");

    assert_true(n <= 8);
    for (size_t i = 0; i < n; i++) {
        list[i] = &rules[i];
    }
    *ret_rule = 99;
    return sp_tracked_judge(list, n, &t, is_member, &member, ret_rule);
}

static void assert_passes(const struct sp_meaning rules[], size_t n, struct sp_tracked t, ptrdiff_t by)
{
    ptrdiff_t i;

    assert_int_equal(judge(rules, n, t, &i), SP_PASSAGE_PASSES);
    assert_int_equal(i, by);
}

static void assert_not(enum sp_passage passage, const struct sp_meaning rules[], size_t n, struct sp_tracked t)
{
    ptrdiff_t i;

    assert_int_equal(judge(rules, n, t, &i), passage);
    assert_int_equal(i, -1);
}

static void test_original_tuple(void **state)
{
    struct sp_meaning rules[] = {
        rule(SP_INBOUND, SP_ALLOW, 100, 6, 22, 22), rule(SP_OUTBOUND, SP_ALLOW, 100, 6, 443, 443),
        rule(SP_INBOUND, SP_DENY, 50, 6, 23, 23),
    };

    assert_passes(rules, 3, tracked(SP_WAY_INBOUND, 6, 22), 0);
    assert_passes(rules, 3, tracked(SP_WAY_OUTBOUND, 6, 443), 1);
    assert_not(SP_PASSAGE_STOPS, rules, 3, tracked(SP_WAY_INBOUND, 6, 443));
    assert_not(SP_PASSAGE_STOPS, rules, 3, tracked(SP_WAY_OUTBOUND, 6, 22));
    assert_not(SP_PASSAGE_STOPS, rules, 3, tracked(SP_WAY_INBOUND, 6, 23));
    assert_not(SP_PASSAGE_STOPS, rules, 3, tracked(SP_WAY_INBOUND, 17, 22));
    assert_not(SP_PASSAGE_STOPS, NULL, 0, tracked(SP_WAY_INBOUND, 6, 22));
}

/* The remote end is the one that is not the server's, whoever opened it. */
static void test_remote(void **state)
{
    struct sp_meaning rules[] = {rule(SP_INBOUND, SP_ALLOW, 100, -1, -1, -1), rule(SP_OUTBOUND, SP_ALLOW, 100, -1, -1, -1)};

    for (size_t i = 0; i < 2; i++) {
        enum sp_way way = i ? SP_WAY_OUTBOUND : SP_WAY_INBOUND;

        rules[i].remote = SP_REMOTE_CIDR;
        rules[i].remote_cidr = cidr("203.0.113.0/24");
        assert_passes(rules, 2, tracked(way, 17, 5), (ptrdiff_t) i);
        rules[i].remote_cidr = cidr("10.0.0.0/8");
        assert_not(SP_PASSAGE_STOPS, rules, 2, tracked(way, 17, 5));
        rules[i].remote = SP_REMOTE_GROUP;
        assert_passes(rules, 2, tracked(way, 17, 5), (ptrdiff_t) i);
    }
}

static void test_icmp(void **state)
{
    struct sp_meaning rules[] = {rule(SP_INBOUND, SP_ALLOW, 100, SP_PROTOCOL_ICMP, -1, -1)};
    struct sp_tracked t = tracked(SP_WAY_INBOUND, SP_PROTOCOL_ICMP, 0);

    t.has_ports = false;
    t.has_icmp = true;
    t.icmp_type = 8;
    rules[0].icmp_type = 8;
    rules[0].icmp_code = 0;
    assert_passes(rules, 1, t, 0);
    rules[0].icmp_type = 13;
    assert_not(SP_PASSAGE_STOPS, rules, 1, t);
}

/* Where neither end is known, only what both ways say. */
static void test_unknown_way(void **state)
{
    struct sp_meaning rules[] = {rule(SP_INBOUND, SP_ALLOW, 100, 6, 22, 22), rule(SP_OUTBOUND, SP_ALLOW, 100, 6, 22, 22)};

    assert_not(SP_PASSAGE_UNKNOWN, rules, 1, tracked(SP_WAY_UNKNOWN, 6, 22));
    assert_not(SP_PASSAGE_STOPS, rules, 2, tracked(SP_WAY_UNKNOWN, 6, 23));
    assert_passes(rules, 2, tracked(SP_WAY_UNKNOWN, 6, 22), 0);
}

/* An association passes by its own direction's rules, or as an answer to one that the other's allow. */
static void test_sctp(void **state)
{
    struct sp_meaning rules[] = {
        rule(SP_INBOUND, SP_ALLOW, 100, SCTP, 7, 7), rule(SP_OUTBOUND, SP_ALLOW, 100, SCTP, 40000, 40000),
    };

    assert_passes(rules, 1, tracked(SP_WAY_INBOUND, SCTP, 7), 0);
    assert_not(SP_PASSAGE_STOPS, rules, 1, tracked(SP_WAY_INBOUND, SCTP, 8));
    assert_passes(rules, 2, tracked(SP_WAY_INBOUND, SCTP, 8), 1);
    assert_passes(rules + 1, 1, tracked(SP_WAY_OUTBOUND, SCTP, 40000), 0);
    assert_not(SP_PASSAGE_STOPS, rules + 1, 1, tracked(SP_WAY_OUTBOUND, SCTP, 7));
}

/* Without ports it is known only where they do not matter. */
static void test_sctp_without_ports(void **state)
{
    struct sp_meaning rules[] = {
        rule(SP_INBOUND, SP_ALLOW, 100, SCTP, 7, 65535), rule(SP_INBOUND, SP_ALLOW, 100, SCTP, 0, 6),
        rule(SP_INBOUND, SP_DENY, 90, SCTP, 500, 500), rule(SP_OUTBOUND, SP_ALLOW, 100, SCTP, -1, -1),
    };
    struct sp_tracked t = tracked(SP_WAY_INBOUND, SCTP, 0);

    t.src_port = 0;
    assert_not(SP_PASSAGE_STOPS, NULL, 0, t);
    assert_not(SP_PASSAGE_UNKNOWN, rules, 1, t);
    assert_not(SP_PASSAGE_UNKNOWN, rules + 1, 1, t);
    assert_not(SP_PASSAGE_UNKNOWN, rules, 3, t);
    assert_not(SP_PASSAGE_STOPS, rules + 2, 1, t);
    t.has_ports = false;
    assert_int_equal(judge(rules, 2, t, &(ptrdiff_t){0}), SP_PASSAGE_PASSES);
    assert_passes(rules, 4, t, 3);
    assert_passes(rules + 3, 1, t, 0);
    assert_true(sp_tracked_cost(3, &t) >= 3 * 2 * 7);
    t = tracked(SP_WAY_INBOUND, 6, 22);
    assert_int_equal(sp_tracked_cost(3, &t), 3);
}

static void test_way(void **state)
{
    struct sp_cidr ips[] = {cidr("10.0.0.1"), cidr("2001:db8::1")}, other = cidr("203.0.113.9"), other6 = cidr("2001:db8::9");
    struct sp_cidr paired = cidr("10.9.0.7"), broadcast = cidr("255.255.255.255");
    struct sp_cidr group = cidr("239.1.1.1"), group6 = cidr("ff02::1");
    struct sp_address_pair pairs[] = {{.ip = cidr("10.9.0.0/24")}};
    struct sp_port port = {
        .mac = {{2, 0, 0, 0, 0, 1}}, .ips = ips, .n_ips = 2, .pairs = pairs, .n_pairs = 1, .port_security = true,
    };
    struct sp_cidr link_local = sp_cidr_link_local(&port.mac);
    const struct {
        const struct sp_cidr *src, *dst;
        enum sp_way way;
    } cases[] = {
        {&ips[0], &other, SP_WAY_OUTBOUND},     {&other, &ips[0], SP_WAY_INBOUND},       {&other6, &ips[1], SP_WAY_INBOUND},
        {&link_local, &other6, SP_WAY_OUTBOUND}, {&other6, &link_local, SP_WAY_INBOUND}, {&paired, &other, SP_WAY_OUTBOUND},
        {&other, &paired, SP_WAY_INBOUND},      {&other, &broadcast, SP_WAY_INBOUND},    {&other, &group, SP_WAY_INBOUND},
        {&other6, &group6, SP_WAY_INBOUND},     {&ips[0], &group, SP_WAY_OUTBOUND},
    };
    enum sp_way way;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(sp_tracked_find_way(&port, cases[i].src, cases[i].dst, &way));
        assert_int_equal(way, cases[i].way);
    }
    way = SP_WAY_OUTBOUND;
    assert_false(sp_tracked_find_way(&port, &other, &other, &way));
    assert_int_equal(way, SP_WAY_OUTBOUND);
    port.port_security = false;
    assert_true(sp_tracked_find_way(&port, &other, &other, &way));
    assert_int_equal(way, SP_WAY_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_original_tuple), cmocka_unit_test(test_remote), cmocka_unit_test(test_icmp),
        cmocka_unit_test(test_unknown_way), cmocka_unit_test(test_sctp), cmocka_unit_test(test_sctp_without_ports),
        cmocka_unit_test(test_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
