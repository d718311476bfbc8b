#include "flows/admission.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

/* 'remote' is a CIDR, "gX" for the group that X names, or NULL. */
static struct sp_rule rule(uint8_t id, enum sp_verdict action, uint16_t priority, int16_t protocol, int32_t lo, int32_t hi,
                           const char *remote)
{
    struct sp_rule r = {
        .id = {{id}},
        .meaning = {SP_INBOUND, action, priority, protocol, SP_REMOTE_ANY, {0}, {{0}}, lo, hi, -1, -1},
    };

    if (remote && remote[0] == 'g') {
        r.meaning.remote = SP_REMOTE_GROUP;
        r.meaning.remote_group.bytes[0] = (uint8_t) remote[1];
    } else if (remote) {
        r.meaning.remote = SP_REMOTE_CIDR;
        assert_int_equal(sp_cidr_parse(remote, &r.meaning.remote_cidr), 0);
    }
    return r;
}

/* A base list: rule 1 admits the web, rule 2 a group, rule 3 denies a network late, rule 4 admits ssh, rule 5 ping. */
static void base(struct sp_rule rules[5])
{
    rules[0] = rule(1, SP_ALLOW, 100, 6, 80, 443, NULL);
    rules[1] = rule(2, SP_ALLOW, 100, SP_PROTOCOL_ANY, -1, -1, "ga");
    rules[2] = rule(3, SP_DENY, 150, SP_PROTOCOL_ANY, -1, -1, "192.0.2.0/24");
    rules[3] = rule(4, SP_ALLOW, 200, 6, 22, 22, "10.0.0.0/8");
    rules[4] = rule(5, SP_ALLOW, 200, SP_PROTOCOL_ICMP, -1, -1, NULL);
}

/* Which rules keep their mark, as a string of a '1' or '0' for each of the new list. */
static void assert_keeps(const struct sp_rule *before, size_t n_before, const struct sp_rule *after, size_t n_after,
                         const struct sp_group_delta *deltas, size_t n_deltas, const char *expected)
{
    const struct sp_rule *b[8] = {NULL}, *a[8] = {NULL};
    bool keep[8];
    char got[9] = "";

    for (size_t i = 0; i < n_before; i++) {
        b[i] = &before[i];
    }
    for (size_t i = 0; i < n_after; i++) {
        a[i] = &after[i];
        keep[i] = true;
    }
    sp_admission_keep(b, n_before, a, n_after, deltas, n_deltas, keep);
    for (size_t i = 0; i < n_after; i++) {
        got[i] = keep[i] ? '1' : '0';
    }
    assert_string_equal(got, expected);
}

static void assert_change(const struct sp_rule *after, size_t n_after, const char *expected)
{
    struct sp_rule before[5];

    base(before);
    assert_keeps(before, 5, after, n_after, NULL, 0, expected);
}

static void test_what_keeps_all(void **state)
{
    struct sp_rule rules[7];

    base(rules);
    assert_change(rules, 5, "11011"); /* Nothing changed; a rule that denies has no mark. */
    rules[5] = rule(6, SP_ALLOW, 1, SP_PROTOCOL_ANY, -1, -1, NULL);
    assert_change(rules, 6, "110110"); /* A new rule has none yet. */
    rules[5] = rule(6, SP_DENY, 201, SP_PROTOCOL_ANY, -1, -1, NULL); /* Stands behind all. */
    assert_change(rules, 6, "110110");
    assert_change(rules, 2, "11"); /* Rules removed. */
    assert_change(rules + 3, 2, "11");
    assert_keeps(NULL, 0, rules, 5, NULL, 0, "00000");
    assert_keeps(rules, 5, NULL, 0, NULL, 0, "");
}

static void test_order_in_the_list_does_not_matter(void **state)
{
    struct sp_rule rules[5], turned[5];

    base(rules);
    for (size_t i = 0; i < 5; i++) {
        turned[i] = rules[4 - i];
    }
    assert_change(turned, 5, "11011");
}

static void test_new_deny(void **state)
{
    static const struct {
        int16_t protocol;
        int32_t lo, hi;
        const char *remote;
        const char *expected;
    } cases[] = {
        {6, 443, 500, NULL, "000110"},                    /* Overlaps the web rule and a rule of any protocol. */
        {6, 444, 500, NULL, "100110"},                    /* Ports apart. */
        {17, -1, -1, NULL, "100110"},                     /* Protocols apart from all but "any". */
        {6, 22, 22, "10.1.0.0/16", "100010"},             /* Inside of the remote. */
        {6, 22, 22, "11.0.0.0/8", "100110"},              /* Remotes apart. */
        {SP_PROTOCOL_ANY, -1, -1, "2001:db8::/32", "000110"}, /* IPv6: neither 10/8 nor icmp. */
        {SP_PROTOCOL_ICMPV6, -1, -1, NULL, "100110"},
        {SP_PROTOCOL_ANY, -1, -1, NULL, "000000"},
        {SP_PROTOCOL_ANY, -1, -1, "gb", "000000"},        /* Who is in a group is not looked at. */
    };
    struct sp_rule rules[6];

    base(rules);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rules[5] = rule(6, SP_DENY, 100, cases[i].protocol, cases[i].lo, cases[i].hi, cases[i].remote);
        assert_change(rules, 6, cases[i].expected);
    }
    rules[5] = rule(6, SP_DENY, 160, 6, 22, 22, "192.0.2.7/32"); /* An earlier deny had all of it. */
    rules[3].meaning.remote = SP_REMOTE_ANY;
    assert_keeps(rules, 5, rules, 6, NULL, 0, "110110");
    rules[5] = rule(6, SP_DENY, 100, 6, 80, 80, NULL);
    rules[5].meaning.direction = SP_OUTBOUND;
    assert_keeps(rules, 5, rules, 6, NULL, 0, "110110");
}

static void test_changed_deny(void **state)
{
    struct sp_rule rules[5];

    base(rules);
    rules[2].meaning.priority = 100; /* Now before the first two as well. */
    assert_change(rules, 5, "00011");
    base(rules);
    rules[2].meaning.remote_cidr.prefix = 25; /* Narrower: covered by what it was. */
    assert_change(rules, 5, "11011");
    base(rules);
    rules[2].meaning.remote = SP_REMOTE_ANY; /* Wider. */
    assert_change(rules, 5, "11000");
    base(rules);
    rules[2].meaning.priority = 300; /* Later. */
    assert_change(rules, 5, "11011");
    base(rules);
    rules[2].id.bytes[0] = 9; /* Replaced by an equal one. */
    assert_change(rules, 5, "11011");
}

static void test_changed_allow(void **state)
{
    struct sp_rule rules[5];

    base(rules);
    rules[0].meaning.port_max = 500; /* Wider. */
    assert_change(rules, 5, "11011");
    rules[0].meaning.port_max = 442; /* Narrower. */
    assert_change(rules, 5, "01011");
    rules[0].meaning.port_min = 0, rules[0].meaning.port_max = 65535;
    assert_change(rules, 5, "11011");
    rules[0].meaning.protocol = 17;
    assert_change(rules, 5, "01011");
    base(rules);
    rules[3].meaning.remote_cidr.prefix = 7, rules[3].meaning.remote_cidr.bytes[0] = 10;
    assert_change(rules, 5, "11011");
    rules[3].meaning.remote_cidr.prefix = 9;
    assert_change(rules, 5, "11001");
    rules[3] = rule(4, SP_ALLOW, 200, 6, 22, 22, "ga");
    assert_change(rules, 5, "11001");
    base(rules);
    rules[0].meaning.action = SP_DENY;
    assert_change(rules, 5, "00011"); /* It admits no more, and it denies a part of rule 2. */
    base(rules);
    rules[0].meaning.direction = SP_OUTBOUND;
    assert_change(rules, 5, "01011");
    base(rules);
    rules[4] = rule(5, SP_ALLOW, 200, SP_PROTOCOL_ICMP, -1, -1, "0.0.0.0/0"); /* All that icmp can have. */
    assert_change(rules, 5, "11011");
    rules[4].meaning.icmp_type = 8;
    assert_change(rules, 5, "11010");
}

static void test_allow_that_falls_behind_a_deny(void **state)
{
    struct sp_rule rules[5];

    base(rules);
    rules[0].meaning.priority = 149;
    assert_change(rules, 5, "11011");
    rules[0].meaning.priority = 150; /* Deny wins among equals. */
    assert_change(rules, 5, "01011");
    base(rules);
    rules[3].meaning.priority = 201; /* Deny 3 stood before it already. */
    assert_change(rules, 5, "11011");
}

static void test_rule_that_denied_admits_nobody(void **state)
{
    struct sp_rule rules[5];

    base(rules);
    rules[2].meaning.action = SP_ALLOW;
    assert_change(rules, 5, "11011");
}

static void test_groups(void **state)
{
    struct sp_rule rules[5], with_deny[6];
    struct sp_group_delta deltas[] = {{{{'a'}}, false, false}, {{{'b'}}, false, false}, {{{'c'}}, true, true}};

    base(rules);
    for (size_t i = 0; i < 5; i++) {
        with_deny[i] = rules[i];
    }
    with_deny[5] = rule(6, SP_DENY, 100, 6, -1, -1, "gb");
    assert_keeps(rules, 5, rules, 5, deltas, 3, "11011");
    deltas[0].gained = true;
    assert_keeps(rules, 5, rules, 5, deltas, 3, "11011");
    deltas[0].lost = true;
    assert_keeps(rules, 5, rules, 5, deltas, 3, "10011");
    deltas[0].lost = false;
    deltas[1].lost = true;
    assert_keeps(with_deny, 6, with_deny, 6, deltas, 3, "110110");
    deltas[1].gained = true;
    assert_keeps(with_deny, 6, with_deny, 6, deltas, 3, "000010"); /* All that is or may be tcp. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_keeps_all),
        cmocka_unit_test(test_order_in_the_list_does_not_matter),
        cmocka_unit_test(test_new_deny),
        cmocka_unit_test(test_changed_deny),
        cmocka_unit_test(test_changed_allow),
        cmocka_unit_test(test_allow_that_falls_behind_a_deny),
        cmocka_unit_test(test_rule_that_denied_admits_nobody),
        cmocka_unit_test(test_groups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
