/* What the compiler makes of single facts: how many flows, which of two alike, and what it refuses.  What the flows mean is
 * judged in tests/property/compile.c and by packets in tests/system/. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "flows/compile.h"
#include "flows/table.h"

#define PAIRS_MAX 65535u /* Identities of a port are 16 bits wide. */

static const struct sp_mac own = {{2, 0, 0, 0, 0, 1}}, other = {{2, 0, 0, 0, 0, 2}};

static struct sp_cidr cidr(const char *text)
{
    struct sp_cidr c = {0};

    assert_int_equal(sp_cidr_parse(text, &c), 0);
    return c;
}

/* Checks what holds for all flows, and empties the list.  Returns how many there were. */
static size_t finish(struct sp_flow_list *flows)
{
    struct sp_flow_table *table = sp_flow_table_new();
    size_t n = flows->n;

    assert_non_null(table);
    for (size_t i = 0; i < n; i++) {
        assert_null(sp_flow_table_find(table, flows->flows[i])); /* One key, one flow. */
        assert_int_equal(sp_flow_table_put(table, flows->flows[i]), 0);
        assert_true(flows->flows[i]->priority >= 1);
        assert_true((flows->flows[i]->cookie & SP_COOKIE_OWNER_MASK) == SP_COOKIE_OWNER);
    }
    sp_flow_table_free(table);
    sp_flow_list_clear(flows);
    return n;
}

static size_t count(const struct sp_flow_list *flows, uint8_t table)
{
    size_t n = 0;

    for (size_t i = 0; i < flows->n; i++) {
        n += flows->flows[i]->table == table;
    }
    return n;
}

static void static_flows(void **aux)
{
    struct sp_flow_list flows;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_static(&flows), 0);
    for (size_t i = 0; i < flows.n; i++) {
        assert_int_equal(SP_COOKIE_KIND(flows.flows[i]->cookie), SP_COOKIE_STATIC);
    }
    assert_int_equal(count(&flows, SP_T_DELIVERED), 1);
    assert_true(finish(&flows) > 50);
}

static void uplinks(void **aux)
{
    static const uint16_t ofports[] = {4, 9};
    struct sp_flow_list flows;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_uplinks(ofports, 0, &flows), 0);
    assert_int_equal(finish(&flows), 0);
    assert_int_equal(sp_compile_uplinks(ofports, 1, &flows), 0);
    assert_int_equal(finish(&flows), 3 + 1 + 1);
    assert_int_equal(sp_compile_uplinks(ofports, 2, &flows), 0);
    assert_int_equal(finish(&flows), 2 * (3 + 1) + 1);
}

static void ports(void **aux)
{
    struct sp_cidr ips[] = {cidr("10.0.0.1"), cidr("10.0.0.1"), sp_cidr_link_local(&own)};
    struct sp_port port = {.mac = own, .ips = ips, .n_ips = 1, .port_security = true, .zone = 7};
    struct sp_port_facts facts = {.port = &port, .ofport = 3, .set = 1};
    struct sp_flow_list flows;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(count(&flows, SP_T_ADDRESS), 2); /* Its own and its link-local one. */
    assert_int_equal(finish(&flows), 7);

    port.n_ips = 3; /* The same said twice. */
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(finish(&flows), 7);

    port.vlan = 5; /* May come with the VLAN's tag too. */
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(count(&flows, SP_T_CLASSIFY), 2);
    assert_int_equal(finish(&flows), 8);

    port.port_security = false;
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(count(&flows, SP_T_SOURCE) + count(&flows, SP_T_HARDWARE) + count(&flows, SP_T_ADDRESS), 0);
    finish(&flows);
}

static void pairs(void **aux)
{
    struct sp_cidr ip = cidr("10.0.0.1");
    struct sp_address_pair *all = calloc(PAIRS_MAX + 1, sizeof *all);
    struct sp_port port = {.mac = own, .ips = &ip, .n_ips = 1, .port_security = true, .zone = 7, .pairs = all};
    struct sp_port_facts facts = {.port = &port, .ofport = 3, .set = 1};
    struct sp_flow_list flows;

    assert_non_null(all);
    sp_flow_list_init(&flows);
    all[0] = (struct sp_address_pair){cidr("10.0.0.9"), other};
    all[1] = (struct sp_address_pair){cidr("0.0.0.0/0"), own};
    all[2] = (struct sp_address_pair){cidr("::/0"), other};
    all[3] = all[0];
    port.n_pairs = 4;
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    assert_int_equal(count(&flows, SP_T_CLASSIFY), 2);
    assert_int_equal(count(&flows, SP_T_HARDWARE), 2);
    assert_int_equal(count(&flows, SP_T_ADDRESS), 2 + 3);
    finish(&flows);

    for (size_t i = 0; i <= PAIRS_MAX; i++) { /* An index that does not fit into 16 bits. */
        all[i] = (struct sp_address_pair){cidr("10.0.0.9"), own};
    }
    all[PAIRS_MAX - 1].mac = other;
    port.n_pairs = PAIRS_MAX;
    assert_int_equal(sp_compile_port(&facts, &flows), 0);
    finish(&flows);
    all[PAIRS_MAX - 1].mac = own;
    all[PAIRS_MAX].mac = other;
    port.n_pairs = PAIRS_MAX + 1;
    assert_int_equal(sp_compile_port(&facts, &flows), SP_E_RANGE);
    finish(&flows);
    free(all);
}

static void destinations(void **aux)
{
    static uint16_t many[4000];
    static const uint8_t chunks[] = {0, 7, 47};
    struct sp_cidr ip = cidr("10.0.0.1"), ip6 = cidr("2001:db8::1");
    struct sp_flow_list flows;

    for (uint16_t i = 0; i < 4000; i++) {
        many[i] = (uint16_t) (i + 1);
    }
    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_mac(0, &own, many, 1, &flows), 0);
    assert_int_equal(sp_compile_mac(5, &own, many, 1000, &flows), 0);
    assert_int_equal(sp_compile_target(0, &ip, many, 1, &flows), 0);
    assert_int_equal(sp_compile_target(0, &ip6, many, 2, &flows), 0);
    assert_int_equal(sp_compile_flood_vlan(0, chunks, 3, &flows), 0);
    assert_int_equal(sp_compile_flood_chunk(0, 7, many, 1000, &flows), 0);
    assert_int_equal(sp_compile_remote(1, &ip, 4, &flows), 0);
    assert_int_equal(sp_compile_remote(1, &ip6, 4, &flows), 0);
    assert_int_equal(sp_compile_remote(2, &ip, 4, &flows), 0);
    assert_int_equal(finish(&flows), 2 + 3 + 2 + 6);

    assert_int_equal(sp_compile_mac(0, &own, many, 4000, &flows), SP_E_RANGE);
    assert_int_equal(sp_compile_target(0, &ip, many, 4000, &flows), SP_E_RANGE);
    assert_int_equal(sp_compile_flood_chunk(0, 7, many, 4000, &flows), SP_E_RANGE);
    assert_int_equal(finish(&flows), 0);
}

static struct sp_meaning meaning(int protocol, int32_t low, int32_t high)
{
    return (struct sp_meaning){.direction = SP_INBOUND, .action = SP_ALLOW, .priority = 100, .protocol = (int16_t) protocol,
                               .port_min = low, .port_max = high, .icmp_type = -1, .icmp_code = -1};
}

static void rule_sets(void **aux)
{
    struct sp_meaning wide = meaning(SP_PROTOCOL_TCP, 1, 65534), all = meaning(SP_PROTOCOL_UDP, 0, 65535);
    struct sp_meaning ping = meaning(SP_PROTOCOL_ICMP, -1, -1), any = meaning(SP_PROTOCOL_ANY, -1, -1);
    struct sp_meaning group = meaning(SP_PROTOCOL_TCP, 80, 80);
    static const uint32_t classes[] = {4, 5, 6};
    struct sp_rule_facts rules[] = {
        {.meaning = &wide, .slot = 1, .mark = 11}, {.meaning = &wide, .slot = 2, .mark = 12},
        {.meaning = &all, .slot = 3, .mark = 13},  {.meaning = &ping, .slot = 4, .mark = 14},
        {.meaning = &any, .slot = 5, .mark = 15},
        {.meaning = &group, .slot = 6, .mark = 16, .classes = classes, .n_classes = 3},
    };
    struct sp_rule_set_facts set = {.number = 9, .version = 3, .region = 1, .rules = rules};
    struct sp_flow_list flows;
    size_t bare;

    sp_flow_list_init(&flows);
    assert_int_equal(sp_compile_rule_set(&set, &flows), 0);
    bare = finish(&flows);

    group.remote = SP_REMOTE_GROUP;
    set.n_rules = 6;
    assert_int_equal(sp_compile_rule_set(&set, &flows), 0);
    assert_int_equal(count(&flows, SP_T_STAMP), 6);
    assert_int_equal(count(&flows, SP_T_RULES_IN), 2 * 30 + 2 + 1 + 2 + 2 * 3);
    assert_int_equal(count(&flows, SP_T_RULES_OUT), 0);
    assert_int_equal(count(&flows, SP_T_SCTP_ORIGINAL), 2); /* Of the rule for any protocol. */
    assert_int_equal(count(&flows, SP_T_SCTP_REPLY), 2);
    for (size_t i = 0; i < flows.n; i++) { /* Of two alike the first stands. */
        assert_false(flows.flows[i]->table == SP_T_RULES_IN && SP_COOKIE_NUMBER(flows.flows[i]->cookie) == 2);
    }
    assert_int_equal(finish(&flows), bare + 2 * 6 + 71 + 4);

    group.remote = SP_REMOTE_CIDR; /* A protocol of one family with a prefix of the other says nothing. */
    group.remote_cidr = cidr("2001:db8::/32");
    group.protocol = SP_PROTOCOL_ICMP;
    group.port_min = group.port_max = -1;
    set.rules = &rules[5];
    set.n_rules = 1;
    assert_int_equal(sp_compile_rule_set(&set, &flows), 0);
    assert_int_equal(finish(&flows), bare + 2);

    set.region = SP_REGION_MASK + 1;
    assert_int_equal(sp_compile_rule_set(&set, &flows), SP_E_RANGE);
    assert_int_equal(finish(&flows), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_flows), cmocka_unit_test(uplinks), cmocka_unit_test(ports),
        cmocka_unit_test(pairs),        cmocka_unit_test(destinations), cmocka_unit_test(rule_sets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
