#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "tests/support/world.h"

/* Regions and bridges. */

static int put_region(struct world *w, const char *name, bool *created)
{
    world_begin(w);
    return world_end(w, sp_batch_put_region(w->batch, name, created, &w->problems));
}

static int delete_region(struct world *w, const char *name)
{
    world_begin(w);
    return world_end(w, sp_batch_delete_region(w->batch, name, &w->problems));
}

static void test_region_is_made_once(void **state)
{
    struct world w;
    bool created = false;
    world_open(&w);
    assert_int_equal(put_region(&w, "SV2", &created), 0);
    assert_true(created);
    assert_int_equal(w.n_changes, 1);
    assert_int_equal(sp_model_region(w.model, "SV2")->number, 1);
    assert_int_equal(put_region(&w, "SV2", &created), 0);
    assert_false(created);
    assert_int_equal(w.n_changes, 0);
    assert_int_equal(put_region(&w, "TY2", &created), 0);
    assert_int_equal(sp_model_region(w.model, "TY2")->number, 2);
    world_close(&w);
}

static void test_region_names(void **state)
{
    char longest[66];
    struct world w;
    bool created;
    world_open(&w);
    memset(longest, 'x', sizeof longest);
    longest[64] = '\0';
    assert_int_equal(put_region(&w, longest, &created), 0);
    longest[64] = 'x';
    longest[65] = '\0';
    const char *bad[] = { "", "a b", "a/b", "\xc3\xa9", "a\n", longest };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(put_region(&w, bad[i], &created), SP_E_INVALID);
        assert_true(world_has_problem(&w, "name"));
    }
    assert_int_equal(put_region(&w, "A.z_0-9", &created), 0);
    world_close(&w);
}

static void test_region_goes_when_empty(void **state)
{
    struct world w;
    struct sp_cidr ip;
    world_open(&w);
    assert_int_equal(delete_region(&w, "SV2"), SP_E_MISSING);
    world_region(&w, "SV2");
    struct sp_port_input port = world_port(1, "p1", 1, "10.0.0.1", &ip);
    struct sp_uuid server = world_server(&w, "SV2", "vm1", NULL, 0, &port, 1);
    assert_int_equal(delete_region(&w, "SV2"), SP_E_IN_USE);
    assert_int_equal(w.problems.n_holders, 2);
    assert_string_equal(w.problems.holders[0].type, "security_group");
    assert_string_equal(w.problems.holders[0].name, "default");
    assert_string_equal(w.problems.holders[1].type, "server");
    assert_true(sp_uuid_equal(&w.problems.holders[1].id, &server));
    struct sp_uuid group = sp_model_region(w.model, "SV2")->default_group;

    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_server(w.batch, &server, &w.problems)), 0);
    assert_int_equal(delete_region(&w, "SV2"), SP_E_IN_USE);
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_group(w.batch, &group, &w.problems)), 0);
    assert_true(sp_uuid_is_none(&sp_model_region(w.model, "SV2")->default_group));
    assert_int_equal(delete_region(&w, "SV2"), 0);
    assert_null(sp_model_region(w.model, "SV2"));
    world_region(&w, "SV2");
    assert_int_equal(sp_model_region(w.model, "SV2")->number, 2);
    world_close(&w);
}

static int put_bridge(struct world *w, uint64_t dpid, const char *const *uplinks, size_t n, bool *created)
{
    world_begin(w);
    return world_end(w, sp_batch_put_bridge(w->batch, dpid, uplinks, n, created, &w->problems));
}

static void test_bridge_uplinks(void **state)
{
    struct world w;
    bool created = false;
    world_open(&w);
    assert_int_equal(put_bridge(&w, 7, (const char *[]) { "eth0", "eth1" }, 2, &created), 0);
    assert_true(created);
    assert_int_equal(sp_model_bridge(w.model, 7)->n_uplinks, 2);
    assert_int_equal(put_bridge(&w, 7, (const char *[]) { "eth0", "eth1" }, 2, &created), 0);
    assert_false(created);
    assert_int_equal(w.n_changes, 0);
    assert_int_equal(put_bridge(&w, 7, (const char *[]) { "eth1" }, 1, &created), 0);
    assert_string_equal(sp_model_bridge(w.model, 7)->uplinks[0], "eth1");
    assert_int_equal(put_bridge(&w, 7, (const char *[]) { "b", "", "a", "b" }, 4, &created), SP_E_INVALID);
    assert_true(world_has_problem(&w, "uplinks[0]"));
    assert_true(world_has_problem(&w, "uplinks[1]"));
    assert_false(world_has_problem(&w, "uplinks[2]"));
    assert_true(world_has_problem(&w, "uplinks[3]"));
    assert_int_equal(put_bridge(&w, 7, NULL, 0, &created), 0);
    assert_int_equal(sp_model_bridge(w.model, 7)->n_uplinks, 0);
    world_close(&w);
}

static void test_bridge_with_servers(void **state)
{
    struct world w;
    struct sp_cidr ip;
    bool created;
    world_open(&w);
    world_region(&w, "SV2");
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_bridge(w.batch, 7, &w.problems)), SP_E_MISSING);
    struct sp_port_input ports[] = { world_port(7, "p1", 1, "10.0.0.1", &ip), world_port(7, "p2", 2, NULL, NULL) };
    struct sp_uuid server = world_server(&w, "SV2", "vm1", NULL, 0, ports, 2);
    assert_non_null(sp_model_bridge(w.model, 7)); /* A port that names a bridge adopts it. */
    assert_int_equal(put_bridge(&w, 7, (const char *[]) { "eth0", "p2" }, 2, &created), SP_E_INVALID);
    assert_true(world_has_problem(&w, "uplinks[1]"));
    assert_int_equal(put_bridge(&w, 8, (const char *[]) { "p2" }, 1, &created), 0);

    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_bridge(w.batch, 7, &w.problems)), SP_E_IN_USE);
    assert_int_equal(w.problems.n_holders, 1);
    assert_true(sp_uuid_equal(&w.problems.holders[0].id, &server));
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_bridge(w.batch, 8, &w.problems)), 0);
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_server(w.batch, &server, &w.problems)), 0);
    assert_non_null(sp_model_bridge(w.model, 7));
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_bridge(w.batch, 7, &w.problems)), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_region_is_made_once),   cmocka_unit_test(test_region_names),
        cmocka_unit_test(test_region_goes_when_empty), cmocka_unit_test(test_bridge_uplinks),
        cmocka_unit_test(test_bridge_with_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
