#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/world.h"

/* Groups, their rules and the default group. */

#define TCP SP_PROTOCOL_TCP

static struct world w;

static int open_world(void **state)
{
    world_open(&w);
    world_region(&w, "SV2");
    world_region(&w, "TY2");
    return 0;
}

static int close_world(void **state)
{
    world_close(&w);
    return 0;
}

static const struct sp_group *group(const struct sp_uuid *id)
{
    const struct sp_group *found = sp_model_group(w.model, id);
    assert_non_null(found);
    return found;
}

static int create(struct sp_group_input input, struct sp_uuid *id)
{
    world_begin(&w);
    return world_end(&w, sp_batch_create_group(w.batch, &input, id, &w.problems));
}

static int patch(const struct sp_uuid *id, struct sp_group_patch input)
{
    world_begin(&w);
    return world_end(&w, sp_batch_patch_group(w.batch, id, &input, &w.problems));
}

static int delete(const struct sp_uuid *id)
{
    world_begin(&w);
    return world_end(&w, sp_batch_delete_group(w.batch, id, &w.problems));
}

static int add(const struct sp_uuid *id, struct sp_rule_input rule, struct sp_uuid *ret_id, bool *ret_created)
{
    world_begin(&w);
    return world_end(&w, sp_batch_add_rule(w.batch, id, &rule, ret_id, ret_created, &w.problems));
}

static int set(const struct sp_uuid *id, const struct sp_uuid *rule_id, struct sp_rule_input rule)
{
    world_begin(&w);
    return world_end(&w, sp_batch_set_rule(w.batch, id, rule_id, &rule, &w.problems));
}

static int replace(const struct sp_uuid *id, const struct sp_rule_input *rules, size_t n)
{
    world_begin(&w);
    return world_end(&w, sp_batch_replace_rules(w.batch, id, rules, n, &w.problems));
}

static bool has_rule(const struct sp_group *g, enum sp_direction direction, int protocol, int port)
{
    for (size_t i = 0; i < g->n_rules; i++) {
        const struct sp_meaning *m = &g->rules[i]->meaning;
        if (m->direction == direction && m->protocol == protocol && m->port_min == port && m->port_max == port
            && m->action == SP_ALLOW && m->priority == 100 && m->remote == SP_REMOTE_ANY) {
            return g->rules[i]->origin == SP_ORIGIN_DEFAULT;
        }
    }
    return false;
}

static void test_templates(void **state)
{
    struct sp_uuid id;
    assert_int_equal(create((struct sp_group_input) { .region = "SV2", .name = "a" }, &id), 0);
    assert_int_equal(group(&id)->n_rules, 1);
    assert_true(has_rule(group(&id), SP_OUTBOUND, SP_PROTOCOL_ANY, -1));
    assert_string_equal(group(&id)->description, "");
    assert_int_equal(group(&id)->revision, sp_model_counters(w.model)->revision);
    assert_int_equal(group(&id)->created_at, w.now_us);

    struct sp_group_input login = { .region = "SV2", .name = "b", .template_kind = SP_TEMPLATE_REMOTE_LOGIN };
    assert_int_equal(create(login, &id), 0);
    assert_int_equal(group(&id)->n_rules, 5);
    assert_true(has_rule(group(&id), SP_OUTBOUND, SP_PROTOCOL_ANY, -1));
    assert_true(has_rule(group(&id), SP_INBOUND, TCP, 22));
    assert_true(has_rule(group(&id), SP_INBOUND, TCP, 3389));
    assert_true(has_rule(group(&id), SP_INBOUND, SP_PROTOCOL_ICMP, -1));
    assert_true(has_rule(group(&id), SP_INBOUND, SP_PROTOCOL_ICMPV6, -1));

    assert_int_equal(create((struct sp_group_input) { .region = "SV2", .name = "c", .template_kind = SP_TEMPLATE_NONE }, &id), 0);
    assert_int_equal(group(&id)->n_rules, 0);
    /* Rules that are given leave no room for a template's. */
    struct sp_rule_input rule = world_rule(SP_INBOUND, TCP, 80, 80);
    struct sp_group_input given = { .region = "SV2", .name = "d", .has_rules = true, .rules = &rule, .n_rules = 1 };
    assert_int_equal(create(given, &id), 0);
    assert_int_equal(group(&id)->n_rules, 1);
    assert_int_equal(group(&id)->rules[0]->origin, SP_ORIGIN_USER);
    assert_int_equal(create((struct sp_group_input) { .region = "SV2", .name = "d", .has_rules = true }, &id), 0);
    assert_int_equal(group(&id)->n_rules, 0);
}

static void test_create_names_every_problem(void **state)
{
    struct sp_uuid id, other = world_group(&w, "TY2", "other", NULL, 0), unknown = { { 1 } };
    struct sp_rule_input rules[] = { world_rule(SP_INBOUND, TCP, 1, 1), world_rule_group(SP_INBOUND, TCP, 2, &other),
                                     world_rule_group(SP_INBOUND, TCP, 3, &unknown) };
    rules[1].path = "rules[1].";
    rules[2].path = "rules[2].";
    struct sp_group_input input = { .region = "SV2", .name = "", .has_rules = true, .rules = rules, .n_rules = 3 };
    assert_int_equal(create(input, &id), SP_E_INVALID);
    assert_int_equal(w.problems.n, 3);
    assert_true(world_has_problem(&w, "name"));
    assert_true(world_has_problem(&w, "rules[1].remote_group"));
    assert_true(world_has_problem(&w, "rules[2].remote_group"));
    input.region = "XX9";
    assert_int_equal(create(input, &id), SP_E_INVALID);
    assert_true(world_has_problem(&w, "region"));
}

static void test_names(void **state)
{
    struct sp_uuid id;
    char longest[4 * 256 + 1] = "";
    for (size_t i = 0; i < 255; i++) {
        strcat(longest, "\xf0\x9f\x98\x80"); /* Four bytes a character. */
    }
    assert_int_equal(create((struct sp_group_input) { .region = "SV2", .name = longest }, &id), 0);
    strcat(longest, "x");
    const char *bad[] = { "", longest, "a\tb", "a\x7f", "a\xc2\x85", "\xff" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(create((struct sp_group_input) { .region = "SV2", .name = bad[i] }, &id), SP_E_INVALID);
        assert_int_equal(patch(&id, (struct sp_group_patch) { .name = bad[i], .is_default = -1 }), SP_E_INVALID);
        assert_true(world_has_problem(&w, "name"));
    }
}

static void test_patch(void **state)
{
    struct sp_uuid id = world_group(&w, "SV2", "web", NULL, 0);
    uint64_t revision = group(&id)->revision;
    assert_int_equal(patch(&(struct sp_uuid) { { 9 } }, (struct sp_group_patch) { .is_default = -1 }), SP_E_MISSING);
    assert_int_equal(patch(&id, (struct sp_group_patch) { .name = "web", .is_default = 0 }), 0);
    assert_int_equal(w.n_changes, 0);
    assert_int_equal(group(&id)->revision, revision);
    assert_int_equal(patch(&id, (struct sp_group_patch) { .name = "www", .description = "x", .is_default = -1 }), 0);
    assert_string_equal(group(&id)->name, "www");
    assert_string_equal(group(&id)->description, "x");
    assert_int_equal(group(&id)->revision, revision + 1);
    assert_true(group(&id)->updated_at > group(&id)->created_at);
}

static void test_default_group_without_servers(void **state)
{
    struct sp_uuid a = world_group(&w, "SV2", "a", NULL, 0), b = world_group(&w, "SV2", "b", NULL, 0);
    assert_int_equal(patch(&a, (struct sp_group_patch) { .is_default = 1 }), 0);
    assert_true(sp_model_group_is_default(w.model, group(&a)));
    assert_int_equal(patch(&a, (struct sp_group_patch) { .is_default = 1 }), 0);
    assert_int_equal(w.n_changes, 0);
    assert_int_equal(patch(&b, (struct sp_group_patch) { .is_default = 1 }), 0);
    assert_false(sp_model_group_is_default(w.model, group(&a)));
    /* Both groups look different now, so both have the new revision. */
    assert_int_equal(group(&a)->revision, sp_model_counters(w.model)->revision);
    assert_int_equal(group(&b)->revision, sp_model_counters(w.model)->revision);
    assert_int_equal(patch(&b, (struct sp_group_patch) { .is_default = 0 }), 0);
    assert_true(sp_uuid_is_none(&sp_model_region(w.model, "SV2")->default_group));
}

static void test_default_swap(void **state)
{
    struct sp_cidr ips[2];
    struct sp_port_input ports[] = { world_port(1, "p1", 1, "10.0.0.1", &ips[0]), world_port(1, "p2", 2, "10.0.0.2", &ips[1]) };
    struct sp_uuid web = world_group(&w, "SV2", "web", NULL, 0);
    struct sp_uuid vm1 = world_server(&w, "SV2", "vm1", NULL, 0, &ports[0], 1);
    struct sp_uuid first = sp_model_region(w.model, "SV2")->default_group;
    struct sp_uuid both[] = { web, first };
    struct sp_uuid vm2 = world_server(&w, "SV2", "vm2", both, 2, &ports[1], 1);
    struct sp_uuid elsewhere = world_server(&w, "TY2", "vm3", NULL, 0, NULL, 0);
    struct sp_uuid ty2 = sp_model_region(w.model, "TY2")->default_group;

    assert_int_equal(patch(&first, (struct sp_group_patch) { .is_default = 0 }), SP_E_IN_USE);
    assert_non_null(w.problems.detail);

    struct sp_uuid made;
    assert_int_equal(create((struct sp_group_input) { .region = "SV2", .name = "new", .is_default = true }, &made), 0);
    assert_true(sp_model_group_is_default(w.model, group(&made)));
    assert_false(sp_model_group_is_default(w.model, group(&first)));
    const struct sp_uuid *servers[] = { &vm1, &vm2 };
    for (size_t i = 0; i < 2; i++) {
        const struct sp_server *server = sp_model_server(w.model, servers[i]);
        assert_int_equal(server->n_groups, 1);
        assert_true(sp_uuid_equal(&server->groups[0], &made));
        assert_non_null(world_change(&w, SP_KIND_SERVER, servers[i]));
    }
    assert_true(sp_uuid_equal(&sp_model_server(w.model, &elsewhere)->groups[0], &ty2));
    assert_null(world_change(&w, SP_KIND_SERVER, &elsewhere));

    assert_int_equal(patch(&web, (struct sp_group_patch) { .is_default = 1 }), 0);
    assert_int_equal(sp_model_count_members(w.model, &web), 2);
    assert_int_equal(sp_model_count_members(w.model, &made), 0);
    /* Only the region's default again: servers that left it by themselves stay where they are. */
    world_begin(&w);
    struct sp_server_patch leave = { .kind = -1, .has_groups = true, .groups = &first, .n_groups = 1 };
    assert_int_equal(world_end(&w, sp_batch_patch_server(w.batch, &vm1, &leave, &w.problems)), 0);
    assert_int_equal(patch(&web, (struct sp_group_patch) { .is_default = 1 }), 0);
    assert_int_equal(w.n_changes, 0);
}

static void test_delete(void **state)
{
    struct sp_uuid web = world_group(&w, "SV2", "web", NULL, 0), id;
    bool created;
    struct sp_rule_input rule = world_rule_group(SP_INBOUND, TCP, 1, &web);
    struct sp_uuid db = world_group(&w, "SV2", "db", &rule, 1);
    assert_int_equal(add(&web, rule, &id, &created), 0); /* Its own rule naming itself does not hold it. */
    struct sp_uuid vm = world_server(&w, "SV2", "vm", &web, 1, NULL, 0);

    assert_int_equal(delete(&(struct sp_uuid) { { 9 } }), SP_E_MISSING);
    assert_int_equal(delete(&web), SP_E_IN_USE);
    assert_int_equal(w.problems.n_holders, 2);
    assert_string_equal(w.problems.holders[0].type, "server");
    assert_true(sp_uuid_equal(&w.problems.holders[0].id, &vm));
    assert_string_equal(w.problems.holders[1].type, "security_group");
    assert_true(sp_uuid_equal(&w.problems.holders[1].id, &db));
    assert_string_equal(w.problems.holders[1].name, "db");
    assert_int_equal(delete(&db), 0);
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_server(w.batch, &vm, &w.problems)), 0);
    assert_int_equal(delete(&web), 0);
    assert_null(sp_model_group(w.model, &web));
}

static void test_holders_are_bounded(void **state)
{
    struct sp_uuid web = world_group(&w, "SV2", "web", NULL, 0), id;
    world_begin(&w);
    for (size_t i = 0; i < SP_HOLDERS_MAX + 5; i++) {
        struct sp_server_input input = { .region = "SV2", .name = "vm", .has_groups = true, .groups = &web, .n_groups = 1 };
        assert_int_equal(sp_batch_create_server(w.batch, &input, &id, &w.problems), 0);
    }
    assert_int_equal(sp_batch_delete_group(w.batch, &web, &w.problems), SP_E_IN_USE);
    assert_int_equal(w.problems.n_holders, SP_HOLDERS_MAX);
    assert_int_equal(w.problems.n_lost, 5);
    assert_non_null(strstr(w.problems.detail, "1005 servers"));
    assert_int_equal(world_end(&w, SP_E_IN_USE), SP_E_IN_USE);
}

static void test_add_rule(void **state)
{
    struct sp_uuid id = world_group(&w, "SV2", "web", NULL, 0), first, again;
    bool created = false;
    struct sp_rule_input rule = world_rule(SP_INBOUND, TCP, 80, 8080);
    rule.description = "one";
    assert_int_equal(add(&(struct sp_uuid) { { 9 } }, rule, &first, &created), SP_E_MISSING);
    assert_int_equal(add(&id, rule, &first, &created), 0);
    assert_true(created);
    assert_int_equal(group(&id)->rules[0]->origin, SP_ORIGIN_USER);
    rule.description = "two";
    assert_int_equal(add(&id, rule, &again, &created), 0);
    assert_false(created);
    assert_true(sp_uuid_equal(&first, &again));
    assert_int_equal(w.n_changes, 0);
    assert_string_equal(group(&id)->rules[0]->description, "one");
    assert_int_equal(add(&id, world_rule_group(SP_INBOUND, TCP, 1, &(struct sp_uuid) { { 9 } }), &again, &created), SP_E_INVALID);
    assert_true(world_has_problem(&w, "remote_group"));
    assert_int_equal(add(&id, world_rule_group(SP_INBOUND, TCP, 1, &id), &again, &created), 0);
    assert_int_equal(group(&id)->n_rules, 2);
}

static void test_set_rule(void **state)
{
    struct sp_rule_input rules[] = { world_rule(SP_INBOUND, TCP, 80, 80), world_rule(SP_INBOUND, TCP, -1, -1) };
    struct sp_uuid id = world_group(&w, "SV2", "web", rules, 2), unknown = { { 9 } };
    struct sp_rule old = *group(&id)->rules[0];
    uint64_t revision = group(&id)->revision;
    assert_int_equal(set(&id, &unknown, rules[0]), SP_E_MISSING);
    assert_int_equal(set(&unknown, &old.id, rules[0]), SP_E_MISSING);
    assert_int_equal(set(&id, &old.id, rules[0]), 0);
    assert_int_equal(w.n_changes, 0);
    /* The other rule means "all ports" in other words. */
    assert_int_equal(set(&id, &old.id, world_rule(SP_INBOUND, TCP, 0, 65535)), SP_E_EXISTS);
    assert_non_null(w.problems.detail);
    assert_int_equal(set(&id, &old.id, world_rule_group(SP_INBOUND, TCP, 1, &unknown)), SP_E_INVALID);
    assert_int_equal(set(&id, &old.id, world_rule(SP_INBOUND, TCP, 80, 81)), 0);
    assert_true(sp_uuid_equal(&group(&id)->rules[0]->id, &old.id));
    assert_int_equal(group(&id)->rules[0]->created_at, old.created_at);
    assert_true(group(&id)->rules[0]->updated_at > old.updated_at);
    assert_int_equal(group(&id)->revision, revision + 1);
    /* The same meaning in other words is a change of the text alone. */
    struct sp_uuid all = group(&id)->rules[1]->id;
    assert_int_equal(set(&id, &all, world_rule(SP_INBOUND, TCP, 0, 65535)), 0);
    assert_int_equal(group(&id)->rules[1]->meaning.port_max, 65535);
    assert_int_equal(group(&id)->revision, revision + 2);
}

static void test_delete_rule(void **state)
{
    struct sp_rule_input rules[] = { world_rule(SP_INBOUND, TCP, 1, 1), world_rule(SP_INBOUND, TCP, 2, 2),
                                     world_rule(SP_INBOUND, TCP, 3, 3) };
    struct sp_uuid id = world_group(&w, "SV2", "web", rules, 3), unknown = { { 9 } }, rule = group(&id)->rules[1]->id;
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_rule(w.batch, &unknown, &rule, &w.problems)), SP_E_MISSING);
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_rule(w.batch, &id, &unknown, &w.problems)), SP_E_MISSING);
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_rule(w.batch, &id, &rule, &w.problems)), 0);
    assert_int_equal(group(&id)->n_rules, 2);
    assert_int_equal(group(&id)->rules[0]->meaning.port_min, 1);
    assert_int_equal(group(&id)->rules[1]->meaning.port_min, 3);
}

static void test_replace_rules(void **state)
{
    struct sp_uuid id, unknown = { { 9 } };
    assert_int_equal(create((struct sp_group_input) { .region = "SV2", .name = "web" }, &id), 0);
    struct sp_rule_input outbound = world_rule(SP_OUTBOUND, SP_PROTOCOL_ANY, -1, -1);
    struct sp_rule kept = *group(&id)->rules[0];
    struct sp_rule_input rules[] = { world_rule(SP_INBOUND, TCP, 80, 80), world_rule(SP_INBOUND, TCP, 80, 80), outbound };
    rules[2].description = "still";
    assert_int_equal(replace(&unknown, rules, 3), SP_E_MISSING);
    assert_int_equal(replace(&id, rules, 3), 0);
    assert_int_equal(group(&id)->n_rules, 2); /* The twins are one. */
    const struct sp_rule *after = group(&id)->rules[1];
    assert_true(sp_uuid_equal(&after->id, &kept.id));
    assert_int_equal(after->origin, SP_ORIGIN_DEFAULT);
    assert_int_equal(after->created_at, kept.created_at);
    assert_string_equal(after->description, "still");
    struct sp_uuid web = group(&id)->rules[0]->id;
    assert_int_equal(replace(&id, rules, 3), 0);
    assert_int_equal(w.n_changes, 0);
    struct sp_rule_input swapped[] = { rules[2], rules[0] };
    assert_int_equal(replace(&id, swapped, 2), 0);
    assert_true(sp_uuid_equal(&group(&id)->rules[1]->id, &web));
    swapped[0] = world_rule_group(SP_INBOUND, TCP, 1, &unknown);
    swapped[0].path = "rules[0].";
    assert_int_equal(replace(&id, swapped, 2), SP_E_INVALID);
    assert_true(world_has_problem(&w, "rules[0].remote_group"));
    assert_int_equal(replace(&id, NULL, 0), 0);
    assert_int_equal(group(&id)->n_rules, 0);
}

static void test_many_rules(void **state)
{
    enum { N = 20000 };
    struct sp_rule_input *rules = calloc(N, sizeof *rules);
    assert_non_null(rules);
    for (size_t i = 0; i < N; i++) {
        rules[i] = world_rule(SP_INBOUND, i % 2 ? TCP : SP_PROTOCOL_UDP, i / 4, i / 4); /* Each twice. */
    }
    struct sp_uuid id = world_group(&w, "SV2", "web", rules, N);
    assert_int_equal(group(&id)->n_rules, N / 2);
    struct sp_uuid last = group(&id)->rules[N / 2 - 1]->id;
    assert_int_equal(replace(&id, rules + N / 2, N / 2), 0);
    assert_int_equal(group(&id)->n_rules, N / 4);
    assert_true(sp_uuid_equal(&group(&id)->rules[N / 4 - 1]->id, &last));
    free(rules);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_templates), TEST(test_create_names_every_problem), TEST(test_names), TEST(test_patch),
        TEST(test_default_group_without_servers), TEST(test_default_swap), TEST(test_delete), TEST(test_holders_are_bounded),
        TEST(test_add_rule), TEST(test_set_rule), TEST(test_delete_rule), TEST(test_replace_rules), TEST(test_many_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
