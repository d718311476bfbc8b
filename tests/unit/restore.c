/* Takes back, from the record of a change, what the change did to the model; refuses what has moved on, and what is no record.
 * Random changes are taken back over HTTP, in tests/api/test_undo.py. */

#include "controller/api/restore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controller/api/record.h"
#include "tests/support/world.h"

#define TCP 6

static struct world w;
static struct sp_protocols *protocols;

static int
setup(void **state)
{
    protocols = sp_protocols_new();
    assert_non_null(protocols);
    world_open(&w);
    world_region(&w, "SV2");
    return 0;
}

static int
teardown(void **state)
{
    world_close(&w);
    sp_protocols_free(protocols);
    return 0;
}

/* Of the last request. */
static struct sp_history_entry *
recorded(void)
{
    const struct sp_history_record frame = {.revision = 7, .method = "PUT", .path = "/v1/x", .role = "admin"};
    const struct sp_uuid none = {{0}};
    struct sp_history_entry *entry;
    assert_int_equal(sp_record_make(protocols, &frame, &none, w.changes, w.n_changes, &entry), 0);
    assert_true(entry->record.is_whole);
    return entry;
}

/* Takes the change back as one request; returns what sp_restore() says. */
static int
restored(const struct sp_history_entry *entry)
{
    world_begin(&w);
    return world_end(&w, sp_restore(&entry->record, w.model, protocols, w.batch, &w.problems));
}

static struct sp_uuid
group_of(int n_rules)
{
    struct sp_rule_input rules[8];
    for (int i = 0; i < n_rules; i++) {
        rules[i] = world_rule(SP_INBOUND, TCP, 10 + i, 10 + i);
    }
    return world_group(&w, "SV2", "web", rules, (size_t) n_rules);
}

static void
patch(const struct sp_uuid *id, const char *name, const char *description)
{
    const struct sp_group_patch patch = {.name = name, .description = description, .is_default = -1};
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_patch_group(w.batch, id, &patch, &w.problems)), 0);
}

/* Until the next request. */
static const struct sp_group *
group(const struct sp_uuid *id)
{
    return sp_model_group(w.model, id);
}

static void
test_fields(void **state)
{
    struct sp_uuid id = group_of(1);
    patch(&id, "www", NULL);
    struct sp_history_entry *entry = recorded();
    patch(&id, NULL, "something else");
    assert_int_equal(restored(entry), 0);
    assert_string_equal(group(&id)->name, "web");
    assert_string_equal(group(&id)->description, "something else");
    /* It has moved on now. */
    assert_int_equal(restored(entry), SP_E_IN_USE);
    assert_non_null(strstr(w.problems.detail, "has changed since (name)"));
    sp_history_entry_free(entry);
}

static void
test_made_and_gone(void **state)
{
    struct sp_uuid id = group_of(3), rules[3];
    struct sp_history_entry *made = recorded();
    for (size_t i = 0; i < 3; i++) {
        rules[i] = group(&id)->rules[i]->id;
    }
    assert_int_equal(restored(made), 0);
    assert_null(group(&id));
    struct sp_history_entry *gone = recorded();
    assert_int_equal(restored(gone), 0);
    assert_int_equal(group(&id)->n_rules, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_memory_equal(&group(&id)->rules[i]->id, &rules[i], sizeof rules[i]);
    }
    assert_int_equal(restored(gone), SP_E_IN_USE);
    assert_non_null(strstr(w.problems.detail, "is there again"));
    assert_int_equal(restored(made), 0);
    assert_int_equal(restored(made), SP_E_IN_USE);
    assert_non_null(strstr(w.problems.detail, "has been deleted since"));
    sp_history_entry_free(made);
    sp_history_entry_free(gone);
}

/* Each rule comes back to its place, with its id; those that others have added meanwhile stay. */
static void
test_a_rule_comes_back(void **state)
{
    struct sp_uuid id = group_of(4), other;
    bool created;
    for (size_t place = 0; place < 4; place++) {
        struct sp_uuid rule = group(&id)->rules[place]->id;
        world_begin(&w);
        assert_int_equal(world_end(&w, sp_batch_delete_rule(w.batch, &id, &rule, &w.problems)), 0);
        struct sp_history_entry *gone = recorded();
        struct sp_rule_input another = world_rule(SP_OUTBOUND, TCP, 100 + (int) place, 100 + (int) place);
        world_begin(&w);
        assert_int_equal(world_end(&w, sp_batch_add_rule(w.batch, &id, &another, &other, &created, &w.problems)), 0);
        assert_int_equal(restored(gone), 0);
        assert_int_equal(group(&id)->n_rules, 5 + place);
        assert_memory_equal(&group(&id)->rules[place]->id, &rule, sizeof rule);
        assert_int_equal(restored(gone), SP_E_IN_USE);
        assert_non_null(strstr(w.problems.detail, "has a rule again that was deleted"));
        sp_history_entry_free(gone);
    }
}

static void
test_a_rule_has_moved_on(void **state)
{
    struct sp_uuid id = group_of(2), rule = group(&id)->rules[1]->id;
    struct sp_rule_input edit = world_rule(SP_INBOUND, TCP, 50, 60);
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_set_rule(w.batch, &id, &rule, &edit, &w.problems)), 0);
    struct sp_history_entry *entry = recorded();
    edit = world_rule(SP_INBOUND, TCP, 50, 61);
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_set_rule(w.batch, &id, &rule, &edit, &w.problems)), 0);
    assert_int_equal(restored(entry), SP_E_IN_USE);
    assert_non_null(strstr(w.problems.detail, "has a rule that has changed since"));
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_delete_rule(w.batch, &id, &rule, &w.problems)), 0);
    assert_int_equal(restored(entry), SP_E_IN_USE);
    assert_non_null(strstr(w.problems.detail, "has lost a rule since"));
    assert_int_equal(group(&id)->n_rules, 1);
    sp_history_entry_free(entry);
}

static void
test_order(void **state)
{
    struct sp_uuid id = group_of(3);
    struct sp_rule_input other_way[3];
    struct sp_uuid first = group(&id)->rules[0]->id;
    for (int i = 0; i < 3; i++) {
        other_way[i] = world_rule(SP_INBOUND, TCP, 12 - i, 12 - i);
    }
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_batch_replace_rules(w.batch, &id, other_way, 3, &w.problems)), 0);
    assert_memory_equal(&group(&id)->rules[2]->id, &first, sizeof first);
    struct sp_history_entry *entry = recorded();
    assert_int_equal(restored(entry), 0);
    assert_memory_equal(&group(&id)->rules[0]->id, &first, sizeof first);
    assert_int_equal(restored(entry), SP_E_IN_USE);
    assert_non_null(strstr(w.problems.detail, "has its rules in another order since"));
    sp_history_entry_free(entry);
}

/* A group that a server has by now stays, and the holder is named. */
static void
test_in_use(void **state)
{
    struct sp_uuid id = group_of(1);
    struct sp_history_entry *made = recorded();
    world_server(&w, "SV2", "vm", &id, 1, NULL, 0);
    assert_int_equal(restored(made), SP_E_IN_USE);
    assert_non_null(group(&id));
    assert_int_equal(w.problems.n_holders, 1);
    assert_string_equal(w.problems.holders[0].name, "vm");
    sp_history_entry_free(made);
}

/* What is no record of ours, each in its own way, changes nothing. */
static void
test_damaged(void **state)
{
#define ID "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
#define GONE "},\"after\":null}"
#define GROUP "{\"kind\":\"security_group\",\"id\":\"" ID "\",\"region\":\"SV2\",\"name\":\"x\","
#define BEFORE "\"before\":{\"name\":\"x\",\"description\":\"\",\"created_at\":\"2026-01-01T00:00:00Z\",\"rules\":["
#define RULE "{\"id\":\"" ID "\",\"created_at\":\"2026-01-01T00:00:00Z\",\"updated_at\":\"2026-01-01T00:00:00Z\""
    static const char *const texts[] = {
        "", "{", "[]", "7", "{}", "{\"kind\":\"region\"}", "{\"kind\":\"region\",\"id\":7,\"name\":\"A\"}",
        "{\"kind\":\"planet\",\"id\":\"A\",\"name\":\"A\"}",
        "{\"kind\":\"security_group\",\"id\":\"A\",\"region\":\"SV2\",\"name\":\"x\"}",
        "{\"kind\":\"security_group\",\"id\":\"" ID "\",\"name\":\"x\"}", "{\"kind\":\"bridge\",\"id\":\"zz\",\"name\":\"x\"}",
        GROUP "\"before\":{" GONE, GROUP "\"before\":{\"name\":7" GONE,
        GROUP "\"before\":{\"name\":\"x\",\"created_at\":\"yesterday\",\"rules\":[]" GONE,
        GROUP BEFORE "7]" GONE, GROUP BEFORE "{}]" GONE, GROUP BEFORE RULE ",\"direction\":\"up\"}]" GONE,
    };
    group_of(1);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct sp_history_object object = {"security_group", ID, "SV2", texts[i]};
        const struct sp_history_record record = {.revision = 7, .is_whole = true, .objects = &object, .n_objects = 1};
        world_begin(&w);
        int r = world_end(&w, sp_restore(&record, w.model, protocols, w.batch, &w.problems));
        if (r != SP_E_IN_USE || !w.problems.detail) {
            fail_msg("%s: %d, %s", texts[i], r, w.problems.detail ? w.problems.detail : "no reason");
        }
    }
}

static void
test_not_whole(void **state)
{
    const struct sp_history_record record = {.revision = 7};
    world_begin(&w);
    assert_int_equal(world_end(&w, sp_restore(&record, w.model, protocols, w.batch, &w.problems)), SP_E_IN_USE);
    assert_non_null(strstr(w.problems.detail, "too much to be kept"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_made_and_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_rule_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_rule_has_moved_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
