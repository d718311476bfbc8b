#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/meanings.h"
#include "controller/model/object.h"

/* Making and releasing objects; rules by meaning. */

static void test_copies_are_deep(void **state)
{
    char name[] = "web", region[] = "SV2", text[] = "text";
    struct sp_rule *rules[2] = { sp_rule_new(&(struct sp_rule) { .id = { { 1 } }, .description = text }),
                                 sp_rule_new(&(struct sp_rule) { .id = { { 2 } } }) };
    struct sp_group fields = { .refs = 77, .id = { { 3 } }, .region = region, .name = name, .rules = rules, .n_rules = 2,
                               .revision = 5 };
    struct sp_group *group = sp_group_new(&fields);
    assert_non_null(group);
    memset(name, 'x', 3);
    memset(region, 'x', 3);
    memset(text, 'x', 4);
    assert_int_equal(group->refs, 1);
    assert_string_equal(group->name, "web");
    assert_string_equal(group->region, "SV2");
    assert_null(group->description);
    assert_int_equal(group->revision, 5);
    assert_ptr_equal(group->rules[0], rules[0]);
    assert_int_equal(rules[0]->refs, 2);
    assert_string_equal(group->rules[0]->description, "text");
    assert_null(group->rules[1]->description);
    sp_rule_unref(rules[0]);
    sp_rule_unref(rules[1]);

    struct sp_group changed = *group;
    changed.name = (char *) "db";
    struct sp_group *copy = sp_group_new(&changed);
    assert_int_equal(group->rules[0]->refs, 2);
    sp_group_unref(group);
    assert_int_equal(copy->rules[0]->refs, 1);
    assert_string_equal(copy->name, "db");
    sp_group_unref(copy);
}

static void test_servers_and_ports(void **state)
{
    struct sp_cidr ips[2] = { { 4, 32, { 10 } }, { 6, 128, { 0x20 } } };
    struct sp_address_pair pair = { { 4, 8, { 10 } }, { { 2 } } };
    struct sp_port *port = sp_port_new(&(struct sp_port) { .ips = ips, .n_ips = 2, .pairs = &pair, .n_pairs = 1,
                                                           .name = (char *) "p1", .iface_id = (char *) "" });
    assert_memory_equal(port->ips, ips, sizeof ips);
    assert_memory_equal(port->pairs, &pair, sizeof pair);
    assert_string_equal(port->name, "p1");
    assert_string_equal(port->iface_id, "");
    struct sp_uuid groups[] = { { { 1 } }, { { 2 } } };
    struct sp_server fields = { .name = (char *) "vm", .region = (char *) "SV2", .groups = groups, .n_groups = 2, .ports = &port,
                                .n_ports = 1 };
    struct sp_server *server = sp_server_new(&fields);
    assert_memory_equal(server->groups, groups, sizeof groups);
    assert_int_equal(port->refs, 2);
    struct sp_server *more = sp_server_ref(server);
    assert_ptr_equal(more, server);
    sp_server_unref(server);
    assert_int_equal(port->refs, 2);
    sp_server_unref(more);
    assert_int_equal(port->refs, 1);
    sp_port_unref(port);
}

static void test_the_others(void **state)
{
    char *uplinks[] = { (char *) "eth0", (char *) "eth1" };
    struct sp_bridge *bridge = sp_bridge_new(&(struct sp_bridge) { .dpid = 7, .uplinks = uplinks, .n_uplinks = 2 });
    assert_string_equal(bridge->uplinks[0], "eth0");
    assert_string_equal(bridge->uplinks[1], "eth1");
    assert_ptr_not_equal(bridge->uplinks[0], uplinks[0]);
    struct sp_admission admissions[] = { { { { 1 } }, 1, 2 }, { { { 2 } }, 3, 4 } };
    struct sp_uuid group = { { 9 } };
    struct sp_rule_set fields = { .number = 1, .region = (char *) "SV2", .groups = &group, .n_groups = 1,
                                  .admissions = admissions, .n_admissions = 2 };
    struct sp_rule_set *set = sp_rule_set_new(&fields);
    assert_memory_equal(set->admissions, admissions, sizeof admissions);
    assert_memory_equal(set->groups, &group, sizeof group);
    struct sp_region *region = sp_region_new(&(struct sp_region) { .name = (char *) "SV2" });
    const struct sp_object objects[] = { { SP_KIND_BRIDGE, bridge }, { SP_KIND_RULE_SET, set }, { SP_KIND_REGION, region },
                                         { SP_KIND_SERVER, NULL }, { SP_KIND_GROUP, NULL } };
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        sp_object_ref(objects[i]);
        sp_object_unref(objects[i]);
    }
    assert_int_equal(bridge->refs, 1);
    assert_int_equal(region->refs, 1);
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        sp_object_unref(objects[i]);
    }
    sp_rule_unref(NULL);
    sp_port_unref(NULL);
}

static struct sp_meaning meaning(int protocol, int port_min, int port_max)
{
    return (struct sp_meaning) { .action = SP_ALLOW, .priority = 100, .protocol = protocol, .port_min = port_min,
                                 .port_max = port_max, .icmp_type = -1, .icmp_code = -1 };
}

static void test_meanings(void **state)
{
    enum { N = 500 };
    static struct sp_rule rules[N];
    struct sp_meanings table;
    assert_int_equal(sp_meanings_init(&table, N), 0);
    for (size_t i = 0; i < N; i++) {
        rules[i].meaning = meaning(SP_PROTOCOL_TCP, i, i);
        assert_null(sp_meanings_find(&table, &rules[i].meaning));
        sp_meanings_add(&table, &rules[i]);
    }
    for (size_t i = 0; i < N; i++) {
        assert_ptr_equal(sp_meanings_find(&table, &rules[i].meaning), &rules[i]);
    }
    sp_meanings_clear(&table);

    /* Meanings that are equal in other words are found, however the two were written. */
    struct sp_meaning icmp = meaning(SP_PROTOCOL_ICMP, -1, -1), all4 = icmp, group = icmp;
    all4.remote = SP_REMOTE_CIDR;
    all4.remote_cidr.family = 4;
    group.remote = SP_REMOTE_GROUP;
    const struct sp_meaning pairs[][2] = { { meaning(SP_PROTOCOL_TCP, -1, -1), meaning(SP_PROTOCOL_TCP, 0, 65535) },
                                           { icmp, all4 } };
    for (size_t i = 0; i < 4; i++) {
        struct sp_rule rule = { .meaning = pairs[i / 2][i % 2] };
        assert_int_equal(sp_meanings_init(&table, 1), 0);
        sp_meanings_add(&table, &rule);
        assert_ptr_equal(sp_meanings_find(&table, &pairs[i / 2][1 - i % 2]), &rule);
        assert_null(sp_meanings_find(&table, &group));
        sp_meanings_clear(&table);
    }
    assert_int_equal(sp_meanings_init(&table, 0), 0);
    assert_null(sp_meanings_find(&table, &icmp));
    sp_meanings_clear(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_copies_are_deep), cmocka_unit_test(test_servers_and_ports),
                                        cmocka_unit_test(test_the_others), cmocka_unit_test(test_meanings) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
