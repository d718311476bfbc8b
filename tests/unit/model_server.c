#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/world.h"

/* Servers and their ports. */

static struct world w;

static int open_world(void **state)
{
    world_open(&w);
    world_region(&w, "SV2");
    return 0;
}

static int close_world(void **state)
{
    world_close(&w);
    return 0;
}

static const struct sp_server *server(const struct sp_uuid *id)
{
    const struct sp_server *found = sp_model_server(w.model, id);
    assert_non_null(found);
    return found;
}

static int create(struct sp_server_input input, struct sp_uuid *id)
{
    world_begin(&w);
    return world_end(&w, sp_batch_create_server(w.batch, &input, id, &w.problems));
}

static int patch(const struct sp_uuid *id, struct sp_server_patch input)
{
    world_begin(&w);
    return world_end(&w, sp_batch_patch_server(w.batch, id, &input, &w.problems));
}

static int patch_ports(const struct sp_uuid *id, const struct sp_port_input *ports, size_t n)
{
    return patch(id, (struct sp_server_patch) { .kind = -1, .has_ports = true, .ports = ports, .n_ports = n });
}

static int patch_groups(const struct sp_uuid *id, const struct sp_uuid *groups, size_t n)
{
    return patch(id, (struct sp_server_patch) { .kind = -1, .has_groups = true, .groups = groups, .n_groups = n });
}

static int delete(const struct sp_uuid *id)
{
    world_begin(&w);
    return world_end(&w, sp_batch_delete_server(w.batch, id, &w.problems));
}

static void test_first_server_makes_the_default_group(void **state)
{
    struct sp_uuid vm1 = world_server(&w, "SV2", "vm1", NULL, 0, NULL, 0);
    const struct sp_group *group = sp_model_group(w.model, &server(&vm1)->groups[0]);
    assert_int_equal(sp_model_counters(w.model)->revision, 2); /* All of it in one request. */
    assert_string_equal(group->name, "default");
    assert_true(sp_model_group_is_default(w.model, group));
    assert_int_equal(group->n_rules, 5);
    struct sp_uuid id = group->id;
    struct sp_uuid vm2 = world_server(&w, "SV2", "vm2", NULL, 0, NULL, 0);
    assert_true(sp_uuid_equal(&server(&vm2)->groups[0], &id));
    assert_int_equal(sp_model_count_groups(w.model, "SV2"), 1);
    assert_int_equal(server(&vm2)->set, server(&vm1)->set);
}

static void test_first_server_with_groups_of_its_own(void **state)
{
    struct sp_uuid web = world_group(&w, "SV2", "web", NULL, 0);
    struct sp_uuid vm1 = world_server(&w, "SV2", "vm1", &web, 1, NULL, 0);
    assert_int_equal(server(&vm1)->n_groups, 1);
    assert_true(sp_uuid_equal(&server(&vm1)->groups[0], &web));
    struct sp_uuid id = sp_model_region(w.model, "SV2")->default_group;
    assert_false(sp_uuid_is_none(&id));
    assert_int_equal(sp_model_count_members(w.model, &id), 0);
    /* Nobody uses it, and yet it stays: the region has a server. */
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_group(w.batch, &id, &w.problems)), SP_E_IN_USE);
    assert_int_equal(w.problems.n_holders, 0);
    assert_non_null(strstr(w.problems.detail, "which has 1 server;"));
    /* Without servers it may go; the next first server makes another. */
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_server(w.batch, &vm1, &w.problems)), 0);
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_group(w.batch, &id, &w.problems)), 0);
    assert_true(sp_uuid_is_none(&sp_model_region(w.model, "SV2")->default_group));
    struct sp_uuid vm2 = world_server(&w, "SV2", "vm2", NULL, 0, NULL, 0);
    assert_true(sp_uuid_equal(&server(&vm2)->groups[0], &sp_model_region(w.model, "SV2")->default_group));
}

static void test_existing_default_group_is_used(void **state)
{
    struct sp_uuid made;
    struct sp_group_input input = { .region = "SV2", .name = "mine", .is_default = true };
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_create_group(w.batch, &input, &made, &w.problems)), 0);
    struct sp_uuid vm = world_server(&w, "SV2", "vm", NULL, 0, NULL, 0);
    assert_true(sp_uuid_equal(&server(&vm)->groups[0], &made));
    assert_int_equal(sp_model_count_groups(w.model, "SV2"), 1);
}

static void test_no_group_at_all(void **state)
{
    struct sp_uuid none, vm;
    struct sp_server_input input = { .region = "SV2", .name = "vm", .has_groups = true, .groups = &none };
    assert_int_equal(create(input, &vm), 0);
    assert_int_equal(server(&vm)->n_groups, 0);
    assert_int_equal(server(&vm)->set, 0);
}

static void test_create_names_every_problem(void **state)
{
    world_region(&w, "TY2");
    struct sp_uuid other = world_group(&w, "TY2", "other", NULL, 0), unknown = { { 9 } }, id;
    struct sp_uuid groups[] = { unknown, other };
    struct sp_cidr prefix, host, zero, multicast;
    assert_int_equal(sp_cidr_parse("10.0.0.0/24", &prefix), 0);
    assert_int_equal(sp_cidr_parse("10.0.0.1", &host), 0);
    assert_int_equal(sp_cidr_parse("::", &zero), 0);
    assert_int_equal(sp_cidr_parse("224.0.0.1", &multicast), 0);
    struct sp_cidr ips[] = { host, prefix, zero, multicast };
    struct sp_address_pair pairs[] = { { prefix, { { 1, 0, 0, 0, 0, 1 } } } };
    struct sp_port_input ports[] = {
        { .mac = { { 1 } }, .ips = ips, .n_ips = 4, .vlan = 4095, .pairs = pairs, .n_pairs = 1 },
        { .mac = { { 2 } }, .has_bridge = true, .name = "", .iface_id = "" },
        { .id = unknown, .mac = { { 2 } }, .has_bridge = true, .name = "p" },
    };
    struct sp_server_input input = { .region = "SV2", .name = "", .has_groups = true, .groups = groups, .n_groups = 2,
                                     .ports = ports, .n_ports = 3 };
    assert_int_equal(create(input, &id), SP_E_INVALID);
    const char *fields[] = { "name", "security_groups[0]", "security_groups[1]", "ports[0].mac", "ports[0].bridge",
                             "ports[0].ips[1]", "ports[0].ips[2]", "ports[0].ips[3]", "ports[0].vlan",
                             "ports[0].allowed_address_pairs[0].mac",
                             "ports[1].port", "ports[1].iface_id", "ports[2].id", "ports[2].mac" };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        assert_true(world_has_problem(&w, fields[i]));
    }
    assert_int_equal(w.problems.n, sizeof fields / sizeof fields[0]);
    input.region = "XX9";
    assert_int_equal(create(input, &id), SP_E_INVALID);
    assert_true(world_has_problem(&w, "region"));
    assert_int_equal(sp_model_count_groups(w.model, "SV2"), 0);
}

static void test_bounds(void **state)
{
    struct sp_uuid id;
    struct sp_port_input *ports = calloc(1025, sizeof *ports);
    struct sp_uuid *groups = calloc(1025, sizeof *groups);
    struct sp_cidr *ips = calloc(1025, sizeof *ips);
    struct sp_address_pair *pairs = calloc(1025, sizeof *pairs);
    assert_true(ports && groups && ips && pairs);
    struct sp_server_input input = { .region = "SV2", .name = "vm", .has_groups = true, .groups = groups, .n_groups = 1025,
                                     .ports = ports, .n_ports = 1025 };
    assert_int_equal(create(input, &id), SP_E_INVALID);
    assert_true(world_has_problem(&w, "ports"));
    assert_true(world_has_problem(&w, "security_groups"));
    ports[0] = (struct sp_port_input) { .mac = { { 2 } }, .iface_id = "x", .ips = ips, .n_ips = 1025, .pairs = pairs,
                                        .n_pairs = 1025 };
    input = (struct sp_server_input) { .region = "SV2", .name = "vm", .ports = ports, .n_ports = 1 };
    assert_int_equal(create(input, &id), SP_E_INVALID);
    assert_true(world_has_problem(&w, "ports[0].ips"));
    assert_true(world_has_problem(&w, "ports[0].allowed_address_pairs"));
    free(ports);
    free(groups);
    free(ips);
    free(pairs);
}

static void test_port_conflicts(void **state)
{
    struct sp_uuid id;
    bool created;
    struct sp_port_input taken[] = { world_port(1, "p1", 1, NULL, NULL), { .mac = { { 2, 9 } }, .iface_id = "if1" } };
    world_server(&w, "SV2", "vm1", NULL, 0, taken, 2);
    world_begin(&w);
    const char *uplinks[] = { "eth0" };
    assert_int_equal(world_end(&w, sp_batch_put_bridge(w.batch, 1, uplinks, 1, &created, &w.problems)), 0);

    struct sp_port_input ports[] = {
        world_port(1, "p1", 2, NULL, NULL),   world_port(1, "p2", 1, NULL, NULL), { .mac = { { 2 } }, .iface_id = "if1" },
        world_port(1, "eth0", 3, NULL, NULL), world_port(2, "p1", 1, NULL, NULL), world_port(2, "p1", 1, NULL, NULL),
        { .mac = { { 2 } }, .iface_id = "if2" }, { .mac = { { 2 } }, .iface_id = "if2" },
    };
    struct sp_server_input input = { .region = "SV2", .name = "vm2", .ports = ports, .n_ports = 8 };
    assert_int_equal(create(input, &id), SP_E_INVALID);
    const char *fields[] = { "ports[0].port", "ports[1].mac", "ports[2].iface_id", "ports[3].port", "ports[5].port",
                             "ports[5].mac", "ports[7].iface_id" };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        assert_true(world_has_problem(&w, fields[i]));
    }
    assert_int_equal(w.problems.n, sizeof fields / sizeof fields[0]);
    assert_null(sp_model_bridge(w.model, 2));
    /* The same MAC in another VLAN or on another bridge is another network's. */
    ports[0] = world_port(1, "p2", 1, NULL, NULL);
    ports[0].vlan = 7;
    ports[1] = world_port(2, "p1", 1, NULL, NULL);
    input.n_ports = 2;
    assert_int_equal(create(input, &id), 0);
    assert_non_null(sp_model_bridge(w.model, 2));
}

static void test_duplicates_collapse(void **state)
{
    struct sp_uuid web = world_group(&w, "SV2", "web", NULL, 0), groups[] = { web, web };
    struct sp_port_input port = world_port(1, "p1", 1, NULL, NULL);
    struct sp_cidr ips[3];
    assert_int_equal(sp_cidr_parse("10.0.0.1", &ips[0]), 0);
    assert_int_equal(sp_cidr_parse("10.0.0.2", &ips[1]), 0);
    ips[2] = ips[0];
    port.ips = ips;
    port.n_ips = 3;
    struct sp_uuid vm = world_server(&w, "SV2", "vm", groups, 2, &port, 1);
    assert_int_equal(server(&vm)->n_groups, 1);
    assert_int_equal(server(&vm)->ports[0]->n_ips, 2);
}

static void test_patch_of_ports(void **state)
{
    struct sp_cidr ips[2];
    struct sp_port_input ports[] = { world_port(1, "p1", 1, "10.0.0.1", &ips[0]), world_port(1, "p2", 2, "10.0.0.2", &ips[1]) };
    struct sp_uuid vm = world_server(&w, "SV2", "vm", NULL, 0, ports, 2);
    const struct sp_port *p1 = server(&vm)->ports[0], *p2 = server(&vm)->ports[1];
    struct sp_uuid id1 = p1->id, id2 = p2->id;
    uint16_t zone1 = p1->zone, zone2 = p2->zone;
    ports[0].id = id1;
    ports[1].id = id2;
    assert_int_equal(patch_ports(&vm, ports, 2), 0);
    assert_int_equal(w.n_changes, 0);

    /* They change places, one with a new MAC; ids and zones stay theirs. */
    struct sp_port_input moved[] = { ports[1], ports[0] };
    moved[1].mac.bytes[5] = 9;
    assert_int_equal(patch_ports(&vm, moved, 2), 0);
    assert_true(server(&vm)->ports[0] == p2); /* Not changed, hence the same object. */
    assert_true(sp_uuid_equal(&server(&vm)->ports[1]->id, &id1));
    assert_int_equal(server(&vm)->ports[1]->zone, zone1);

    /* Without its id it is a new port, though it takes the place of the old one. */
    moved[0].id = (struct sp_uuid) { { 0 } };
    assert_int_equal(patch_ports(&vm, moved, 2), 0);
    assert_false(sp_uuid_equal(&server(&vm)->ports[0]->id, &id2));
    assert_int_not_equal(server(&vm)->ports[0]->zone, zone2);
    assert_null(sp_model_port(w.model, &id2));

    moved[0].id = id2;
    assert_int_equal(patch_ports(&vm, moved, 2), SP_E_INVALID);
    assert_true(world_has_problem(&w, "ports[0].id"));
    moved[0].id = id1;
    assert_int_equal(patch_ports(&vm, moved, 2), SP_E_INVALID);
    assert_true(world_has_problem(&w, "ports[1].id"));
    assert_int_equal(patch_ports(&vm, NULL, 0), 0);
    assert_int_equal(server(&vm)->n_ports, 0);
}

static void test_patch_of_the_rest(void **state)
{
    struct sp_uuid web = world_group(&w, "SV2", "web", NULL, 0), db = world_group(&w, "SV2", "db", NULL, 0), unknown = { { 9 } };
    struct sp_uuid vm = world_server(&w, "SV2", "vm", &web, 1, NULL, 0);
    assert_int_equal(patch(&unknown, (struct sp_server_patch) { .kind = -1 }), SP_E_MISSING);
    assert_int_equal(patch(&vm, (struct sp_server_patch) { .kind = -1 }), 0);
    assert_int_equal(w.n_changes, 0);
    assert_int_equal(patch(&vm, (struct sp_server_patch) { .name = "x\n", .kind = -1 }), SP_E_INVALID);
    assert_int_equal(patch(&vm, (struct sp_server_patch) { .name = "metal", .kind = SP_SERVER_BAREMETAL }), 0);
    assert_string_equal(server(&vm)->name, "metal");
    assert_int_equal(server(&vm)->kind, SP_SERVER_BAREMETAL);
    assert_true(server(&vm)->updated_at > server(&vm)->created_at);
    assert_int_equal(w.n_changes, 1); /* No rule set changes with a name. */

    assert_int_equal(patch_groups(&vm, (struct sp_uuid[]) { web, unknown }, 2), SP_E_INVALID);
    assert_true(world_has_problem(&w, "security_groups[1]"));
    assert_int_equal(patch_groups(&vm, (struct sp_uuid[]) { web, db }, 2), 0);
    uint32_t set = server(&vm)->set;
    assert_int_equal(patch_groups(&vm, (struct sp_uuid[]) { db, web }, 2), 0);
    assert_int_equal(server(&vm)->set, set); /* A set knows no order. */
    assert_true(sp_uuid_equal(&server(&vm)->groups[0], &db));
    assert_int_equal(patch_groups(&vm, NULL, 0), 0);
    assert_int_equal(server(&vm)->set, 0);
    assert_int_equal(sp_model_count_members(w.model, &db), 0);
}

static void test_delete(void **state)
{
    struct sp_port_input port = world_port(1, "p1", 1, NULL, NULL);
    struct sp_uuid vm = world_server(&w, "SV2", "vm", NULL, 0, &port, 1), id = server(&vm)->ports[0]->id;
    assert_int_equal(delete(&(struct sp_uuid) { { 9 } }), SP_E_MISSING);
    assert_int_equal(delete(&vm), 0);
    assert_null(sp_model_server(w.model, &vm));
    assert_null(sp_model_port(w.model, &id));
    assert_int_equal(delete(&vm), SP_E_MISSING);
    world_server(&w, "SV2", "vm", NULL, 0, &port, 1);
}

static void test_zones_are_not_used_again_soon(void **state)
{
    struct sp_port_input port = world_port(1, "p1", 1, NULL, NULL);
    for (uint16_t zone = 1; zone < 5; zone++) {
        struct sp_uuid vm = world_server(&w, "SV2", "vm", NULL, 0, &port, 1);
        assert_int_equal(server(&vm)->ports[0]->zone, zone);
        assert_int_equal(delete(&vm), 0);
    }
}

/* Fills zones by servers of 1,000 ports each, on bridge 'dpid' (0: found by iface_id), without the slow whole check. */
static void fill_zones(uint64_t dpid, size_t n)
{
    static char names[1000][16];
    static struct sp_port_input ports[1000];
    world_begin(&w);
    for (size_t done = 0; done < n;) {
        size_t n_ports = n - done < 1000 ? n - done : 1000;
        for (size_t i = 0; i < n_ports; i++, done++) {
            snprintf(names[i], sizeof names[i], "p%zu", done);
            ports[i] = (struct sp_port_input) { .mac = { { 2, dpid, 1, done >> 16, done >> 8, done } }, .has_bridge = dpid,
                                                .dpid = dpid, .name = names[i], .iface_id = dpid ? NULL : names[i],
                                                .port_security = true };
        }
        struct sp_uuid id;
        size_t mark = sp_batch_mark(w.batch);
        uint64_t revision;
        struct sp_server_input input = { .region = "SV2", .name = "vm", .ports = ports, .n_ports = n_ports };
        assert_int_equal(sp_batch_create_server(w.batch, &input, &id, &w.problems), 0);
        assert_int_equal(sp_batch_accept(w.batch, mark, &revision), 0);
    }
    sp_batch_seal(w.batch);
    sp_batch_publish(w.batch);
    sp_batch_free(w.batch);
}

static int count_zone(void *aux, const struct sp_port *port, const struct sp_server *owner)
{
    uint16_t *zones = aux;
    zones[port->zone]++;
    return 0;
}

static void test_zones_run_out(void **state)
{
    static uint16_t zones[65536];
    struct sp_port_input port = world_port(2, "p", 1, NULL, NULL);
    struct sp_uuid id;
    uint64_t revision;
    fill_zones(1, 65534);
    fill_zones(0, 1);
    sp_model_each_bridge_port(w.model, 1, count_zone, zones);
    sp_model_each_iface_port(w.model, "p0", count_zone, zones);
    for (size_t i = 1; i < 65536; i++) {
        assert_int_equal(zones[i], 1);
    }

    /* Another bridge shares zones, but not that of the port that may turn up there; bridge 1 has one more left. */
    fill_zones(2, 3);
    memset(zones, 0, sizeof zones);
    sp_model_each_bridge_port(w.model, 2, count_zone, zones);
    sp_model_each_iface_port(w.model, "p0", count_zone, zones);
    for (size_t i = 0; i < 65536; i++) {
        assert_true(zones[i] <= 1);
    }
    world_begin(&w);
    struct sp_port_input two[] = { world_port(1, "new", 1, NULL, NULL), world_port(1, "newer", 2, NULL, NULL) };
    struct sp_server_input pair = { .region = "SV2", .name = "vm", .ports = two, .n_ports = 2 };
    assert_int_equal(sp_batch_create_server(w.batch, &pair, &id, &w.problems), SP_E_FULL); /* Never one zone for both. */
    sp_batch_rollback(w.batch, 0);
    port = world_port(1, "new", 1, NULL, NULL);
    struct sp_server_input input = { .region = "SV2", .name = "vm", .ports = &port, .n_ports = 1 };
    assert_int_equal(sp_batch_create_server(w.batch, &input, &id, &w.problems), 0);
    assert_int_equal(sp_batch_accept(w.batch, 0, &revision), 0);
    port = world_port(1, "newer", 2, NULL, NULL);
    assert_int_equal(sp_batch_create_server(w.batch, &input, &id, &w.problems), SP_E_FULL);
    sp_batch_free(w.batch);
    w.batch = NULL;
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_server_makes_the_default_group), TEST(test_first_server_with_groups_of_its_own),
        TEST(test_existing_default_group_is_used), TEST(test_no_group_at_all), TEST(test_create_names_every_problem),
        TEST(test_bounds), TEST(test_port_conflicts), TEST(test_duplicates_collapse), TEST(test_patch_of_ports),
        TEST(test_patch_of_the_rest), TEST(test_delete), TEST(test_zones_are_not_used_again_soon), TEST(test_zones_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
