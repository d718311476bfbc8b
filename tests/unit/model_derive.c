#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "flows/compile.h"
#include "tests/support/world.h"

/* Rule sets, their slots, marks and versions, and the classes of addresses. */

#define TCP SP_PROTOCOL_TCP

static struct world w;
static struct sp_uuid web, db;   /* Groups: web allows tcp 80 and 443, db allows tcp 5432 from members of web. */
static struct sp_uuid vm1, vm2;  /* vm1 of web with 10.0.0.1, vm2 of db with 10.0.0.2. */

static int open_world(void **state)
{
    struct sp_cidr ips[2];
    struct sp_port_input ports[] = { world_port(1, "p1", 1, "10.0.0.1", &ips[0]), world_port(1, "p2", 2, "10.0.0.2", &ips[1]) };
    struct sp_rule_input rules[] = { world_rule(SP_INBOUND, TCP, 80, 80), world_rule(SP_INBOUND, TCP, 443, 443) };
    world_open(&w);
    world_region(&w, "SV2");
    web = world_group(&w, "SV2", "web", rules, 2);
    struct sp_rule_input from_web = world_rule_group(SP_INBOUND, TCP, 5432, &web);
    db = world_group(&w, "SV2", "db", &from_web, 1);
    vm1 = world_server(&w, "SV2", "vm1", &web, 1, &ports[0], 1);
    vm2 = world_server(&w, "SV2", "vm2", &db, 1, &ports[1], 1);
    return 0;
}

static int close_world(void **state)
{
    world_close(&w);
    return 0;
}

static struct sp_cidr address(const char *text)
{
    struct sp_cidr ip;
    assert_int_equal(sp_cidr_parse(text, &ip), 0);
    return ip;
}

static const struct sp_rule_set *set_of(const struct sp_uuid *server)
{
    const struct sp_rule_set *set = sp_model_rule_set(w.model, sp_model_server(w.model, server)->set);
    assert_non_null(set);
    return set;
}

/* The admission of the rule of 'server' whose first port is 'port', with the set's number, version. */
struct view {
    uint32_t set, version, slot, mark;
};

static struct view view(const struct sp_uuid *server, int port)
{
    const struct sp_rule_set *set = set_of(server);
    struct view result = { .set = set->number, .version = set->version };
    struct sp_rule_facts *facts;
    size_t n, n_found = 0;
    assert_int_equal(sp_model_rule_facts(w.model, set, &facts, &n), 0);
    for (size_t i = 0; i < n; i++) {
        if (facts[i].meaning->port_min == port) {
            result.slot = facts[i].slot;
            result.mark = facts[i].mark;
            n_found++;
        }
    }
    free(facts);
    assert_int_equal(n_found, 1);
    return result;
}

static struct sp_uuid add(const struct sp_uuid *group, struct sp_rule_input rule)
{
    struct sp_uuid id;
    bool created;
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_add_rule(w.batch, group, &rule, &id, &created, &w.problems)), 0);
    return id;
}

static void set_rule(const struct sp_uuid *group, const struct sp_uuid *id, struct sp_rule_input rule)
{
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_set_rule(w.batch, group, id, &rule, &w.problems)), 0);
}

static void delete_rule(const struct sp_uuid *group, const struct sp_uuid *id)
{
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_rule(w.batch, group, id, &w.problems)), 0);
}

static void regroup(const struct sp_uuid *server, const struct sp_uuid *groups, size_t n)
{
    struct sp_server_patch patch = { .kind = -1, .has_groups = true, .groups = groups, .n_groups = n };
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_patch_server(w.batch, server, &patch, &w.problems)), 0);
}

static struct sp_uuid make_server(const char *name, const struct sp_uuid *group, const char *port, uint8_t last, const char *ip)
{
    struct sp_cidr storage;
    struct sp_port_input input = world_port(1, port, last, ip, &storage);
    return world_server(&w, "SV2", name, group, group ? 1 : 0, &input, 1);
}

static struct sp_uuid rule_id(const struct sp_uuid *group, size_t i)
{
    return sp_model_group(w.model, group)->rules[i]->id;
}

static void test_adding_an_allow_keeps_the_others(void **state)
{
    struct view before = view(&vm1, 80), other = view(&vm2, 5432);
    add(&web, world_rule(SP_INBOUND, TCP, 8080, 8080));
    struct view after = view(&vm1, 80), added = view(&vm1, 8080);
    assert_int_equal(after.set, before.set);
    assert_int_equal(after.slot, before.slot);
    assert_int_equal(after.mark, before.mark);
    assert_int_not_equal(after.version, before.version);
    assert_int_equal(after.version, sp_model_counters(w.model)->revision);
    assert_int_not_equal(added.slot, before.slot);
    assert_true(added.mark && added.mark != before.mark);
    assert_int_equal(view(&vm2, 5432).version, other.version); /* What it did not touch has not moved. */
}

static void test_a_deny_above_retires_what_it_overlaps(void **state)
{
    struct view http = view(&vm1, 80), https = view(&vm1, 443);
    struct sp_rule_input deny = world_rule(SP_INBOUND, TCP, 80, 81);
    deny.meaning.action = SP_DENY;
    add(&web, deny);
    struct sp_rule_facts *facts;
    size_t n, n_denied = 0;
    assert_int_equal(sp_model_rule_facts(w.model, set_of(&vm1), &facts, &n), 0);
    for (size_t i = 0; i < n; i++) {
        if (facts[i].meaning->action == SP_DENY) {
            assert_int_equal(facts[i].mark, 0);
            assert_int_not_equal(facts[i].slot, 0);
            n_denied++;
        } else if (facts[i].meaning->port_min == 80) {
            assert_int_not_equal(facts[i].mark, http.mark);
            assert_int_equal(facts[i].slot, http.slot);
        }
    }
    free(facts);
    assert_int_equal(n_denied, 1);
    assert_int_equal(view(&vm1, 443).mark, https.mark);
}

static void test_edits_of_a_rule(void **state)
{
    struct sp_uuid id = rule_id(&web, 0);
    struct view old = view(&vm1, 80);
    struct sp_rule_input rule = world_rule(SP_INBOUND, TCP, 80, 80);
    rule.description = "text";
    set_rule(&web, &id, rule);
    assert_int_equal(view(&vm1, 80).version, old.version); /* Words change no verdict. */
    assert_null(world_change(&w, SP_KIND_RULE_SET, NULL));

    set_rule(&web, &id, world_rule(SP_INBOUND, TCP, 80, 90)); /* Wider: what it admitted stays admitted. */
    struct view wider = view(&vm1, 80);
    assert_int_equal(wider.mark, old.mark);
    assert_int_equal(wider.slot, old.slot);
    assert_int_not_equal(wider.version, old.version);

    set_rule(&web, &id, world_rule(SP_INBOUND, TCP, 80, 85)); /* Narrower. */
    struct view narrower = view(&vm1, 80);
    assert_int_not_equal(narrower.mark, wider.mark);
    assert_int_equal(narrower.slot, old.slot);

    rule = world_rule(SP_INBOUND, TCP, 80, 85);
    rule.meaning.action = SP_DENY;
    set_rule(&web, &id, rule);
    assert_int_equal(view(&vm1, 80).mark, 0);
    set_rule(&web, &id, world_rule(SP_INBOUND, TCP, 80, 85));
    struct view again = view(&vm1, 80);
    assert_true(again.mark > narrower.mark);

    delete_rule(&web, &id);
    assert_int_equal(set_of(&vm1)->n_admissions, 1);
    add(&web, world_rule(SP_INBOUND, TCP, 80, 85));
    assert_true(view(&vm1, 80).mark > again.mark);
    assert_true(view(&vm1, 80).slot > again.slot);
}

static void test_sets_are_shared_and_go_with_their_last_user(void **state)
{
    uint32_t number = set_of(&vm1)->number;
    struct sp_uuid vm3 = make_server("vm3", &web, "p3", 3, "10.0.0.3");
    assert_int_equal(set_of(&vm3)->number, number);
    struct sp_uuid both[] = { db, web };
    regroup(&vm1, both, 2);
    assert_int_equal(set_of(&vm1)->n_groups, 2);
    assert_int_equal(set_of(&vm1)->n_admissions, 3);
    assert_int_not_equal(view(&vm1, 80).mark, view(&vm3, 80).mark); /* One rule in two sets is two admissions. */
    regroup(&vm3, both, 2);
    assert_null(sp_model_rule_set(w.model, number));
    regroup(&vm3, &web, 1);
    assert_int_not_equal(set_of(&vm3)->number, number); /* A number never comes back. */
}

static void test_remote_group_gains_and_loses_addresses(void **state)
{
    struct view before = view(&vm2, 5432);
    struct sp_uuid vm3 = make_server("vm3", &web, "p3", 3, "10.0.0.3");
    struct view gained = view(&vm2, 5432);
    assert_int_equal(gained.mark, before.mark);
    assert_int_not_equal(gained.version, before.version);

    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_server(w.batch, &vm3, &w.problems)), 0);
    struct view lost = view(&vm2, 5432);
    assert_int_not_equal(lost.mark, gained.mark); /* Connections from the lost address must be judged again. */
    assert_int_equal(lost.slot, gained.slot);
    assert_int_not_equal(lost.version, gained.version);

    /* A port's change of address is both. */
    struct sp_cidr ip;
    struct sp_port_input port = world_port(1, "p1", 1, "10.0.0.9", &ip);
    port.id = sp_model_server(w.model, &vm1)->ports[0]->id;
    struct sp_server_patch patch = { .kind = -1, .has_ports = true, .ports = &port, .n_ports = 1 };
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_patch_server(w.batch, &vm1, &patch, &w.problems)), 0);
    assert_int_not_equal(view(&vm2, 5432).mark, lost.mark);
    assert_int_not_equal(view(&vm2, 5432).version, lost.version);

    /* A member without an address changes nothing for others. */
    lost = view(&vm2, 5432);
    world_server(&w, "SV2", "vm4", &web, 1, NULL, 0);
    assert_int_equal(view(&vm2, 5432).version, lost.version);
}

static void test_a_deny_from_a_group_that_gains(void **state)
{
    struct sp_uuid bad = world_group(&w, "SV2", "bad", NULL, 0);
    struct sp_rule_input deny = world_rule_group(SP_INBOUND, TCP, 443, &bad);
    deny.meaning.action = SP_DENY;
    deny.meaning.priority = 10;
    deny.meaning.port_min = 442;
    add(&web, deny);
    struct view http = view(&vm1, 80), https = view(&vm1, 443);
    make_server("vm3", &bad, "p3", 3, "10.0.0.3");
    assert_int_not_equal(view(&vm1, 443).mark, https.mark);
    assert_int_equal(view(&vm1, 80).mark, http.mark);
}

static void test_a_new_class_changes_those_that_name_its_groups(void **state)
{
    struct view before = view(&vm2, 5432);
    struct sp_uuid extra = world_group(&w, "SV2", "extra", NULL, 0), both[] = { web, extra };
    assert_int_equal(view(&vm2, 5432).version, before.version);
    regroup(&vm1, both, 2); /* web keeps its address, which is of another class now. */
    struct view after = view(&vm2, 5432);
    assert_int_not_equal(after.version, before.version);
    assert_int_equal(after.mark, before.mark);
    regroup(&vm1, &web, 1);
    assert_int_not_equal(view(&vm2, 5432).version, after.version);
}

static void test_classes(void **state)
{
    struct sp_cidr ip = address("10.0.0.1"), none = address("10.9.9.9");
    assert_int_equal(sp_model_class(w.model, "SV2", &ip), set_of(&vm1)->number);
    assert_int_equal(sp_model_class(w.model, "SV2", &none), 0);
    assert_int_equal(sp_model_class(w.model, "TY2", &ip), 0);
    assert_true(sp_model_is_member_address(w.model, &web, &ip));
    assert_false(sp_model_is_member_address(w.model, &db, &ip));
    assert_false(sp_model_is_member_address(w.model, &(struct sp_uuid) { { 9 } }, &ip));

    /* An address of two servers is a member of the groups of both. */
    struct sp_uuid vm3 = make_server("vm3", &db, "p3", 3, "10.0.0.1");
    const struct sp_rule_set *class = sp_model_rule_set(w.model, sp_model_class(w.model, "SV2", &ip));
    assert_int_equal(class->n_groups, 2);
    assert_int_not_equal(class->number, set_of(&vm1)->number);
    assert_true(sp_model_is_member_address(w.model, &db, &ip));
    uint32_t number = class->number;
    struct view shared = view(&vm2, 5432);

    struct sp_uuid vm4 = make_server("vm4", &db, "p4", 4, "10.0.0.1"); /* The same again. */
    assert_int_equal(sp_model_class(w.model, "SV2", &ip), number);
    assert_int_equal(view(&vm2, 5432).version, shared.version);
    const struct sp_uuid *gone[] = { &vm4, &vm3 };
    for (size_t i = 0; i < 2; i++) {
        world_begin(&w);
        assert_int_equal(world_end(&w, sp_batch_delete_server(w.batch, gone[i], &w.problems)), 0);
    }
    assert_int_equal(sp_model_class(w.model, "SV2", &ip), set_of(&vm1)->number);
    assert_null(sp_model_rule_set(w.model, number));
    assert_false(sp_model_is_member_address(w.model, &db, &ip));
}

static void test_shared_with_a_server_without_groups(void **state)
{
    struct sp_cidr ip = address("10.0.0.1");
    struct sp_port_input port = world_port(1, "p3", 3, NULL, NULL);
    port.ips = &ip;
    port.n_ips = 1;
    struct sp_uuid none, vm3 = world_server(&w, "SV2", "vm3", &none, 0, &port, 1);
    assert_int_equal(sp_model_class(w.model, "SV2", &ip), set_of(&vm1)->number);
    regroup(&vm1, NULL, 0);
    assert_int_equal(sp_model_class(w.model, "SV2", &ip), 0);
    regroup(&vm3, &web, 1);
    assert_int_equal(sp_model_class(w.model, "SV2", &ip), set_of(&vm3)->number);
}

static void test_facts_name_classes(void **state)
{
    struct sp_rule_facts *facts;
    size_t n;
    struct sp_uuid both[] = { web, db };
    regroup(&vm2, both, 2);
    assert_int_equal(sp_model_rule_facts(w.model, set_of(&vm2), &facts, &n), 0);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(facts[i].n_classes, facts[i].meaning->remote == SP_REMOTE_GROUP ? 2 : 0);
    }
    free(facts);
    struct sp_uuid empty = world_group(&w, "SV2", "empty", NULL, 0);
    regroup(&vm2, &empty, 1);
    assert_int_equal(sp_model_rule_facts(w.model, set_of(&vm2), &facts, &n), 0);
    assert_int_equal(n, 0);
    free(facts);
}

static void test_moving_between_sets_changes_the_mark(void **state)
{
    /* A port that moves to a set with a deny on top of the same rule carries no mark along. */
    struct sp_rule_input deny = world_rule(SP_INBOUND, SP_PROTOCOL_ANY, -1, -1);
    deny.meaning.action = SP_DENY;
    deny.meaning.priority = 1;
    struct sp_uuid quarantine = world_group(&w, "SV2", "quarantine", &deny, 1), both[] = { web, quarantine };
    struct view before = view(&vm1, 80);
    regroup(&vm1, both, 2);
    struct view after = view(&vm1, 80);
    assert_int_not_equal(after.set, before.set);
    assert_int_not_equal(after.mark, before.mark);
    assert_int_not_equal(after.slot, before.slot);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_adding_an_allow_keeps_the_others), TEST(test_a_deny_above_retires_what_it_overlaps), TEST(test_edits_of_a_rule),
        TEST(test_sets_are_shared_and_go_with_their_last_user), TEST(test_remote_group_gains_and_loses_addresses),
        TEST(test_a_deny_from_a_group_that_gains), TEST(test_a_new_class_changes_those_that_name_its_groups), TEST(test_classes),
        TEST(test_shared_with_a_server_without_groups), TEST(test_facts_name_classes),
        TEST(test_moving_between_sets_changes_the_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
