#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/object.h"
#include "tests/support/world.h"

/* Loading.  A small sound whole is built of plain structs; each test damages one place of it. */

struct whole {
    struct sp_counters counters;
    struct sp_region region;
    struct sp_group web, db;
    struct sp_rule rules[2];
    struct sp_rule *web_rules[2], *db_rules[2];
    struct sp_server vm1, vm2;
    struct sp_port ports[2];
    struct sp_port *vm1_ports[2], *vm2_ports[2];
    struct sp_cidr ips[2];
    struct sp_uuid vm1_groups[2], vm2_groups[2], set1_groups[2], set2_groups[2];
    struct sp_bridge bridge;
    char *uplinks[1];
    struct sp_rule_set set1, set2;
    struct sp_admission admissions1[2], admissions2[2];
};

static struct sp_uuid id(uint8_t n)
{
    return (struct sp_uuid) { { n } };
}

/* web (a tcp rule) with vm1, db (a rule from web) with vm2, both on bridge 1. */
static void make_whole(struct whole *o)
{
    memset(o, 0, sizeof *o);
    o->counters = (struct sp_counters) { .revision = 9, .next_region = 2, .next_set = 3, .next_slot = 3, .next_mark = 3,
                                         .next_zone = 3 };
    o->region = (struct sp_region) { .name = (char *) "SV2", .number = 1, .default_group = id(1) };
    struct sp_meaning meaning = { .direction = SP_INBOUND, .action = SP_ALLOW, .priority = 100, .protocol = 6, .port_min = 80,
                                  .port_max = 80, .icmp_type = -1, .icmp_code = -1 };
    o->rules[0] = (struct sp_rule) { .id = id(11), .meaning = meaning, .description = (char *) "" };
    meaning.remote = SP_REMOTE_GROUP;
    meaning.remote_group = id(1);
    o->rules[1] = (struct sp_rule) { .id = id(12), .meaning = meaning, .description = (char *) "" };
    o->web = (struct sp_group) { .id = id(1), .region = (char *) "SV2", .name = (char *) "web", .description = (char *) "",
                                 .rules = o->web_rules, .n_rules = 1, .revision = 9 };
    o->db = (struct sp_group) { .id = id(2), .region = (char *) "SV2", .name = (char *) "db", .description = (char *) "",
                                .rules = o->db_rules, .n_rules = 1, .revision = 3 };
    assert_int_equal(sp_cidr_parse("10.0.0.1", &o->ips[0]), 0);
    assert_int_equal(sp_cidr_parse("10.0.0.2", &o->ips[1]), 0);
    o->ports[0] = (struct sp_port) { .id = id(31), .server = id(21), .mac = { { 2, 1 } }, .ips = &o->ips[0], .n_ips = 1,
                                     .has_bridge = true, .dpid = 1, .name = (char *) "p1", .zone = 1 };
    o->ports[1] = (struct sp_port) { .id = id(32), .server = id(22), .mac = { { 2, 2 } }, .ips = &o->ips[1], .n_ips = 1,
                                     .has_bridge = true, .dpid = 1, .name = (char *) "p2", .zone = 2 };
    o->vm1_groups[0] = o->set1_groups[0] = id(1);
    o->vm2_groups[0] = o->set2_groups[0] = id(2);
    o->vm1 = (struct sp_server) { .id = id(21), .region = (char *) "SV2", .name = (char *) "vm1", .groups = o->vm1_groups,
                                  .n_groups = 1, .ports = o->vm1_ports, .n_ports = 1, .set = 1 };
    o->vm2 = (struct sp_server) { .id = id(22), .region = (char *) "SV2", .name = (char *) "vm2", .groups = o->vm2_groups,
                                  .n_groups = 1, .ports = o->vm2_ports, .n_ports = 1, .set = 2 };
    o->uplinks[0] = (char *) "eth0";
    o->bridge = (struct sp_bridge) { .dpid = 1, .uplinks = o->uplinks, .n_uplinks = 1 };
    o->admissions1[0] = (struct sp_admission) { id(11), 1, 1 };
    o->admissions2[0] = (struct sp_admission) { id(12), 2, 2 };
    o->set1 = (struct sp_rule_set) { .number = 1, .region = (char *) "SV2", .groups = o->set1_groups, .n_groups = 1,
                                     .admissions = o->admissions1, .n_admissions = 1 };
    o->set2 = (struct sp_rule_set) { .number = 2, .region = (char *) "SV2", .groups = o->set2_groups, .n_groups = 1,
                                     .admissions = o->admissions2, .n_admissions = 1 };
}

/* Loads the whole; the answer of the first call that fails. */
static int load(struct whole *o)
{
    char why[256] = "";
    struct sp_model *model = sp_model_new();
    assert_non_null(model);
    for (size_t i = 0; i < 2; i++) {
        o->web_rules[i] = sp_rule_new(&o->rules[i]);
        o->db_rules[i] = sp_rule_new(&o->rules[1 - i]);
        o->vm1_ports[i] = sp_port_new(&o->ports[i]);
        o->vm2_ports[i] = sp_port_new(&o->ports[1 - i]);
    }
    const struct sp_object objects[] = {
        { SP_KIND_RULE_SET, sp_rule_set_new(&o->set1) }, { SP_KIND_RULE_SET, sp_rule_set_new(&o->set2) },
        { SP_KIND_BRIDGE, sp_bridge_new(&o->bridge) },   { SP_KIND_SERVER, sp_server_new(&o->vm1) },
        { SP_KIND_SERVER, sp_server_new(&o->vm2) },      { SP_KIND_GROUP, sp_group_new(&o->web) },
        { SP_KIND_GROUP, sp_group_new(&o->db) },         { SP_KIND_REGION, sp_region_new(&o->region) },
    };
    int r = 0;
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        if (r) {
            sp_object_unref(objects[i]);
        } else {
            r = sp_model_load(model, objects[i], why, sizeof why);
        }
    }
    if (!r) {
        r = sp_model_load_done(model, &o->counters, why, sizeof why);
    }
    assert_int_equal(r != 0, why[0] != '\0');
    if (!r) {
        world_check(model);
    }
    sp_model_free(model);
    for (size_t i = 0; i < 2; i++) {
        sp_rule_unref(o->web_rules[i]);
        sp_rule_unref(o->db_rules[i]);
        sp_port_unref(o->vm1_ports[i]);
        sp_port_unref(o->vm2_ports[i]);
    }
    return r;
}

static void test_sound(void **state)
{
    struct whole o;
    make_whole(&o);
    assert_int_equal(load(&o), 0);
    o.ips[1] = o.ips[0]; /* Shared by servers of two sets, but there is no set of both. */
    assert_int_equal(load(&o), SP_E_DAMAGED);
    o.vm2.groups[0] = id(1);
    o.vm2.set = 1;
    assert_int_equal(load(&o), SP_E_DAMAGED); /* Nothing has set 2 now. */
    o.set2.groups[0] = id(1);
    assert_int_equal(load(&o), SP_E_DAMAGED);
}

static void test_empty(void **state)
{
    char why[256];
    struct sp_model *model = sp_model_new();
    assert_int_equal(sp_model_load_done(model, &(struct sp_counters) { 0 }, why, sizeof why), 0);
    assert_int_equal(sp_model_counters(model)->next_region, 1);
    assert_int_equal(sp_model_counters(model)->next_zone, 1);
    sp_model_free(model);
}

#define DAMAGE(NAME, STATEMENT)                                                                                                  \
    static void NAME(struct whole *o)                                                                                            \
    {                                                                                                                            \
        STATEMENT;                                                                                                               \
    }

DAMAGE(region_number_zero, o->region.number = 0)
DAMAGE(region_number_ahead, o->region.number = 2)
DAMAGE(region_unknown_default, o->region.default_group = id(3))
DAMAGE(region_other_name, o->region.name = (char *) "TY2")
DAMAGE(group_no_name, o->web.name = NULL)
DAMAGE(group_no_region, o->web.region = NULL)
DAMAGE(group_other_region, o->web.region = (char *) "TY2")
DAMAGE(group_twice, o->db.id = id(1))
DAMAGE(group_revision_ahead, o->web.revision = 10)
DAMAGE(rule_priority, o->rules[0].meaning.priority = 0)
DAMAGE(rule_protocol, o->rules[0].meaning.protocol = 256)
DAMAGE(rule_ports_inverted, o->rules[0].meaning.port_max = 79)
DAMAGE(rule_ports_without_a_transport, o->rules[0].meaning.protocol = 47)
DAMAGE(rule_icmp_without_icmp, o->rules[0].meaning.icmp_type = 8)
DAMAGE(rule_code_without_type, (o->rules[0].meaning.protocol = 1, o->rules[0].meaning.icmp_code = 0))
DAMAGE(rule_direction, o->rules[0].meaning.direction = 2)
DAMAGE(rule_action, o->rules[0].meaning.action = 2)
DAMAGE(rule_remote, o->rules[0].meaning.remote = 3)
DAMAGE(rule_cidr, (o->rules[0].meaning.remote = SP_REMOTE_CIDR, o->rules[0].meaning.remote_cidr.family = 5))
DAMAGE(rule_unknown_remote, o->rules[1].meaning.remote_group = id(3))
DAMAGE(server_no_name, o->vm1.name = NULL)
DAMAGE(server_other_region, o->vm1.region = (char *) "TY2")
DAMAGE(server_kind, o->vm1.kind = 7)
DAMAGE(server_twice, o->vm2.id = id(21))
DAMAGE(server_unknown_group, o->vm1_groups[0] = id(3))
DAMAGE(server_group_twice, (o->vm1.n_groups = 2, o->vm1_groups[1] = id(1)))
DAMAGE(server_wrong_set, o->vm1.set = 2)
DAMAGE(server_no_set, o->vm1.set = 0)
DAMAGE(server_set_without_groups, o->vm1.n_groups = 0)
DAMAGE(port_of_another, o->ports[0].server = id(22))
DAMAGE(port_twice, o->ports[1].id = id(31))
DAMAGE(port_twice_on_a_server, (o->vm1.n_ports = 2, o->ports[1] = o->ports[0]))
DAMAGE(port_zone_zero, o->ports[0].zone = 0)
DAMAGE(port_zone_twice, o->ports[1].zone = 1)
DAMAGE(port_prefix, o->ips[0].prefix = 24)
DAMAGE(port_name_twice, o->ports[1].name = (char *) "p1")
DAMAGE(port_mac_twice, o->ports[1].mac = o->ports[0].mac)
DAMAGE(port_is_uplink, o->ports[1].name = (char *) "eth0")
DAMAGE(port_no_name, o->ports[1].name = NULL)
DAMAGE(port_no_place, o->ports[1].has_bridge = false)
DAMAGE(port_unknown_bridge, o->ports[1].dpid = 2)
DAMAGE(port_iface_twice, o->ports[1].iface_id = o->ports[0].iface_id = (char *) "if")
DAMAGE(set_number_zero, o->set1.number = 0)
DAMAGE(set_number_ahead, o->counters.next_set = 2)
DAMAGE(set_number_twice, o->set2.number = 1)
DAMAGE(set_no_groups, o->set1.n_groups = 0)
DAMAGE(set_no_region, o->set1.region = NULL)
DAMAGE(set_unknown_group, o->set1_groups[0] = id(3))
DAMAGE(set_unordered, (o->set1.n_groups = 2, o->set1_groups[1] = id(0)))
DAMAGE(set_unused, (o->vm1.n_groups = 0, o->vm1.set = 0))
DAMAGE(set_rule_missing, o->set1.n_admissions = 0)
DAMAGE(set_rule_unknown, o->admissions1[0].rule = id(13))
DAMAGE(set_rule_too_many, o->set1.n_admissions = 2)
DAMAGE(slot_zero, o->admissions1[0].slot = 0)
DAMAGE(slot_twice, o->admissions1[0].slot = 2)
DAMAGE(slot_ahead, o->counters.next_slot = 2)
DAMAGE(mark_of_an_allow_missing, o->admissions1[0].mark = 0)
DAMAGE(mark_of_a_deny, o->rules[0].meaning.action = SP_DENY)
DAMAGE(mark_twice, o->admissions1[0].mark = 2)
DAMAGE(mark_ahead, o->counters.next_mark = 2)

static void test_damage(void **state)
{
    static const struct {
        void (*damage)(struct whole *);
        const char *name;
    } cases[] = {
#define CASE(NAME) { NAME, #NAME }
        CASE(region_number_zero), CASE(region_number_ahead), CASE(region_unknown_default), CASE(region_other_name),
        CASE(group_no_name), CASE(group_no_region), CASE(group_other_region), CASE(group_twice), CASE(group_revision_ahead),
        CASE(rule_priority), CASE(rule_protocol), CASE(rule_ports_inverted), CASE(rule_ports_without_a_transport),
        CASE(rule_icmp_without_icmp), CASE(rule_code_without_type), CASE(rule_direction), CASE(rule_action), CASE(rule_remote),
        CASE(rule_cidr), CASE(rule_unknown_remote), CASE(server_no_name), CASE(server_other_region), CASE(server_kind),
        CASE(server_twice), CASE(server_unknown_group), CASE(server_group_twice), CASE(server_wrong_set), CASE(server_no_set),
        CASE(server_set_without_groups), CASE(port_of_another), CASE(port_twice), CASE(port_twice_on_a_server),
        CASE(port_zone_zero), CASE(port_zone_twice),
        CASE(port_prefix), CASE(port_name_twice), CASE(port_mac_twice), CASE(port_is_uplink), CASE(port_no_name),
        CASE(port_no_place), CASE(port_unknown_bridge), CASE(port_iface_twice), CASE(set_number_zero), CASE(set_number_ahead),
        CASE(set_number_twice), CASE(set_no_groups), CASE(set_no_region), CASE(set_unknown_group), CASE(set_unordered),
        CASE(set_unused), CASE(set_rule_missing), CASE(set_rule_unknown), CASE(set_rule_too_many), CASE(slot_zero),
        CASE(slot_twice), CASE(slot_ahead), CASE(mark_of_an_allow_missing), CASE(mark_of_a_deny), CASE(mark_twice),
        CASE(mark_ahead),
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct whole o;
        make_whole(&o);
        cases[i].damage(&o);
        int r = load(&o);
        if (r != SP_E_DAMAGED) {
            fail_msg("%s: %d", cases[i].name, r);
        }
    }
}

static void test_unknown_kinds(void **state)
{
    char why[256];
    struct sp_model *model = sp_model_new();
    assert_int_equal(sp_model_load(model, (struct sp_object) { SP_KIND_REGION, NULL }, why, sizeof why), SP_E_DAMAGED);
    assert_int_equal(sp_model_load(model, (struct sp_object) { SP_N_KINDS, model }, why, sizeof why), SP_E_DAMAGED);
    sp_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sound), cmocka_unit_test(test_empty), cmocka_unit_test(test_damage),
                                        cmocka_unit_test(test_unknown_kinds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
