#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/object.h"
#include "tests/support/world.h"

/* Batches of several requests: rollback, seal, publish, drop, and what the store and the engine are told.  B1 to B4 are the
 * guarantees of batch.h. */

static struct world w;

static int open_world(void **state)
{
    world_open(&w);
    world_region(&w, "SV2");
    return 0;
}

static int close_world(void **state)
{
    sp_batch_free(w.batch);
    world_close(&w);
    return 0;
}

static struct sp_uuid stage_group(const char *name)
{
    struct sp_uuid id;
    struct sp_group_input input = { .region = "SV2", .name = name };
    assert_int_equal(sp_batch_create_group(w.batch, &input, &id, &w.problems), 0);
    return id;
}

static struct sp_uuid stage_server(const char *name, const struct sp_uuid *groups, size_t n)
{
    struct sp_uuid id;
    struct sp_server_input input = { .region = "SV2", .name = name, .has_groups = groups, .groups = groups, .n_groups = n };
    assert_int_equal(sp_batch_create_server(w.batch, &input, &id, &w.problems), 0);
    return id;
}

static void rename_group(const struct sp_uuid *id, const char *name)
{
    struct sp_group_patch patch = { .name = name, .is_default = -1 };
    assert_int_equal(sp_batch_patch_group(w.batch, id, &patch, &w.problems), 0);
}

static uint64_t accept(size_t mark)
{
    uint64_t revision;
    assert_int_equal(sp_batch_accept(w.batch, mark, &revision), 0);
    return revision;
}

static void finish(bool publish)
{
    if (publish) {
        sp_batch_publish(w.batch);
    }
    sp_batch_free(w.batch);
    w.batch = NULL;
    world_check(w.model);
}

static void test_staged_state_shows_until_the_seal(void **state)
{
    world_begin(&w);
    struct sp_uuid id = stage_group("web");
    assert_non_null(sp_model_group(w.model, &id));
    accept(0);
    sp_batch_seal(w.batch);
    assert_null(sp_model_group(w.model, &id));
    assert_int_equal(sp_model_count_groups(w.model, "SV2"), 0);
    assert_int_equal(sp_model_counters(w.model)->revision, 1);
    assert_int_equal(sp_batch_counters(w.batch)->revision, 2);
    finish(true);
    assert_non_null(sp_model_group(w.model, &id));
    assert_int_equal(sp_model_counters(w.model)->revision, 2);
}

struct looking {
    struct sp_uuid added, renamed, deleted;
    unsigned n;
};

static void look(void *aux)
{
    struct looking *looking = aux;
    looking->n++;
    assert_non_null(sp_model_group(w.model, &looking->added));
    assert_string_equal(sp_model_group(w.model, &looking->renamed)->name, "b");
    assert_null(sp_model_group(w.model, &looking->deleted));
    assert_int_equal(sp_model_count_groups(w.model, "SV2"), 2);
}

/* A sealed batch shows once more what it will make of the model, as often as one likes, and then nothing again. */
static void test_a_look_at_what_is_sealed(void **state)
{
    struct looking looking = { .n = 0 };
    world_begin(&w);
    looking.renamed = stage_group("a");
    looking.deleted = stage_group("old");
    accept(0);
    sp_batch_seal(w.batch);
    finish(true);
    for (int publish = 0; publish < 2; publish++) {
        world_begin(&w);
        looking.added = stage_group("new");
        rename_group(&looking.renamed, "x");
        rename_group(&looking.renamed, "b");
        assert_int_equal(sp_batch_delete_group(w.batch, &looking.deleted, &w.problems), 0);
        accept(0);
        sp_batch_seal(w.batch);
        for (int i = 0; i < 2; i++) {
            sp_batch_look(w.batch, look, &looking);
            assert_null(sp_model_group(w.model, &looking.added));
            assert_string_equal(sp_model_group(w.model, &looking.renamed)->name, "a");
            assert_non_null(sp_model_group(w.model, &looking.deleted));
            world_check(w.model);
        }
        finish(publish);
    }
    assert_int_equal(looking.n, 4);
    assert_string_equal(sp_model_group(w.model, &looking.renamed)->name, "b");
}

static void test_a_dropped_batch_leaves_no_trace(void **state) /* B2 */
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct sp_counters before = *sp_model_counters(w.model);
        world_begin(&w);
        stage_server("vm", NULL, 0);
        accept(0);
        if (sealed) {
            sp_batch_seal(w.batch);
        }
        finish(false);
        assert_memory_equal(&before, sp_model_counters(w.model), sizeof before);
        assert_int_equal(sp_model_count_groups(w.model, NULL), 0);
        assert_int_equal(sp_model_count_servers(w.model, NULL), 0);
    }
}

static void test_a_refused_request_leaves_no_trace(void **state) /* B1 */
{
    world_begin(&w);
    struct sp_uuid web = stage_group("web");
    assert_int_equal(accept(0), 2);
    struct sp_counters counters = *sp_batch_counters(w.batch);
    size_t mark = sp_batch_mark(w.batch);
    struct sp_uuid vm = stage_server("vm", &web, 1);
    assert_int_equal(accept(mark), 3); /* Even an accepted one may still be taken back. */
    sp_batch_rollback(w.batch, mark);
    assert_memory_equal(&counters, sp_batch_counters(w.batch), sizeof counters);
    assert_null(sp_model_server(w.model, &vm));
    assert_non_null(sp_model_group(w.model, &web));
    mark = sp_batch_mark(w.batch);
    struct sp_uuid db = stage_group("db");
    assert_int_equal(accept(mark), 3);
    sp_batch_seal(w.batch);
    size_t n;
    sp_batch_changes_of(w.batch, 3, &n);
    assert_int_equal(n, 1);
    finish(true);
    assert_non_null(sp_model_group(w.model, &db));
    assert_int_equal(sp_model_group(w.model, &db)->revision, 3);
}

static void test_what_is_not_accepted_is_not_sealed(void **state)
{
    world_begin(&w);
    struct sp_uuid web = stage_group("web");
    accept(0);
    struct sp_uuid db = stage_group("db");
    sp_batch_seal(w.batch);
    finish(true);
    assert_non_null(sp_model_group(w.model, &web));
    assert_null(sp_model_group(w.model, &db));
}

static void test_one_change_per_object_and_each_request_its_own(void **state) /* B4 */
{
    struct sp_uuid web = world_group(&w, "SV2", "web", NULL, 0);
    const struct sp_group *before = sp_group_ref(sp_model_group(w.model, &web));
    world_begin(&w);
    rename_group(&web, "a");
    assert_int_equal(accept(0), 3);
    size_t mark = sp_batch_mark(w.batch), n;
    rename_group(&web, "b");
    assert_int_equal(accept(mark), 4);
    mark = sp_batch_mark(w.batch);
    assert_int_equal(accept(mark), 4); /* Nothing: no revision. */
    sp_batch_seal(w.batch);

    const struct sp_change *changes = sp_batch_changes(w.batch, &n);
    assert_int_equal(n, 1);
    assert_ptr_equal(changes[0].before, before);
    assert_string_equal(((const struct sp_group *) changes[0].after)->name, "b");
    const struct sp_change *first = sp_batch_changes_of(w.batch, 3, &n);
    assert_int_equal(n, 1);
    assert_ptr_equal(first[0].before, before);
    const struct sp_change *second = sp_batch_changes_of(w.batch, 4, &n);
    assert_int_equal(n, 1);
    assert_ptr_equal(second[0].before, first[0].after);
    assert_ptr_equal(second[0].after, changes[0].after);
    assert_null(sp_batch_changes_of(w.batch, 2, &n));
    assert_int_equal(n, 0);
    assert_null(sp_batch_changes_of(w.batch, 5, &n));
    sp_batch_publish(w.batch);
    assert_string_equal(((const struct sp_group *) first[0].before)->name, "web"); /* Valid until the batch is freed. */
    finish(false);
    sp_group_unref(before);
}

static void test_what_comes_and_goes_is_no_change(void **state)
{
    struct sp_counters before = *sp_model_counters(w.model);
    struct sp_uuid none;
    struct sp_server_input input = { .region = "SV2", .name = "vm", .has_groups = true, .groups = &none };
    size_t n;
    world_server(&w, "SV2", "first", NULL, 0, NULL, 0);
    before = *sp_model_counters(w.model);
    world_begin(&w);
    struct sp_uuid id, web = sp_model_region(w.model, "SV2")->default_group;
    assert_int_equal(sp_batch_create_server(w.batch, &input, &id, &w.problems), 0);
    assert_int_equal(sp_batch_delete_server(w.batch, &id, &w.problems), 0);
    assert_int_equal(accept(0), before.revision);
    sp_batch_seal(w.batch);
    sp_batch_changes(w.batch, &n);
    assert_int_equal(n, 0);
    finish(true);
    assert_memory_equal(&before, sp_model_counters(w.model), sizeof before);

    /* Across two requests it is a change each, and none for the store. */
    world_begin(&w);
    id = stage_server("vm", &web, 1);
    assert_int_equal(accept(0), before.revision + 1);
    size_t mark = sp_batch_mark(w.batch);
    assert_int_equal(sp_batch_delete_server(w.batch, &id, &w.problems), 0);
    assert_int_equal(accept(mark), before.revision + 2);
    sp_batch_seal(w.batch);
    sp_batch_changes(w.batch, &n);
    assert_int_equal(n, 0);
    sp_batch_changes_of(w.batch, before.revision + 1, &n);
    assert_int_equal(n, 1);
    finish(true);
}

static int rank_of(const struct sp_change *change)
{
    const int order[] = { SP_KIND_REGION, SP_KIND_GROUP, SP_KIND_BRIDGE, SP_KIND_RULE_SET, SP_KIND_SERVER };
    int rank = 0;
    while (order[rank] != (int) change->kind) {
        rank++;
    }
    return change->after ? rank : 100 - rank;
}

static void test_changes_come_in_the_order_of_writing(void **state)
{
    bool created;
    struct sp_uuid web = world_group(&w, "SV2", "web", NULL, 0), db = world_group(&w, "SV2", "db", NULL, 0);
    struct sp_port_input port = world_port(1, "p1", 1, NULL, NULL);
    struct sp_uuid vm = world_server(&w, "SV2", "vm", &web, 1, &port, 1);
    world_begin(&w);
    assert_int_equal(sp_batch_delete_server(w.batch, &vm, &w.problems), 0);
    accept(0);
    size_t mark = sp_batch_mark(w.batch);
    assert_int_equal(sp_batch_delete_group(w.batch, &web, &w.problems), 0);
    assert_int_equal(sp_batch_delete_bridge(w.batch, 1, &w.problems), 0);
    assert_int_equal(sp_batch_put_bridge(w.batch, 2, NULL, 0, &created, &w.problems), 0);
    stage_server("vm2", &db, 1);
    assert_int_equal(sp_batch_put_region(w.batch, "TY2", &created, &w.problems), 0);
    accept(mark);
    sp_batch_seal(w.batch);
    size_t n;
    const struct sp_change *changes = sp_batch_changes(w.batch, &n);
    assert_int_equal(n, 8); /* + TY2, bridge 2, set of db, vm2; - vm, set of web, bridge 1, web. */
    for (size_t i = 1; i < n; i++) {
        assert_true(rank_of(&changes[i - 1]) <= rank_of(&changes[i]));
    }
    finish(true);
}

static void test_many_requests_in_one_batch(void **state)
{
    enum { N = 1000 };
    static struct sp_uuid ids[N];
    size_t n;
    world_begin(&w);
    for (size_t i = 0; i < N; i++) {
        size_t mark = sp_batch_mark(w.batch);
        ids[i] = stage_group("g");
        assert_int_equal(accept(mark), 2 + i);
    }
    sp_batch_seal(w.batch);
    sp_batch_changes(w.batch, &n);
    assert_int_equal(n, N);
    sp_batch_publish(w.batch);
    sp_batch_free(w.batch);
    w.batch = NULL;
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(sp_model_group(w.model, &ids[i])->revision, 2 + i);
    }
}

/* Numbers run out: each kind refuses, and the request is rolled back. */
static void test_numbers_run_out(void **state)
{
    const struct {
        struct sp_counters counters;
    } cases[] = {
        { { .next_region = 2, .next_set = UINT32_MAX, .next_slot = 1, .next_mark = 1, .next_zone = 1 } },
        { { .next_region = 2, .next_set = 1, .next_slot = 0x7ffffffe, .next_mark = 1, .next_zone = 1 } },
        { { .next_region = 2, .next_set = 1, .next_slot = 1, .next_mark = 0x7ffffffe, .next_zone = 1 } },
    };
    char why[256];
    uint64_t revision;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sp_model *model = sp_model_new();
        struct sp_region region = { .name = (char *) "SV2", .number = 1 };
        assert_int_equal(sp_model_load(model, (struct sp_object) { SP_KIND_REGION, sp_region_new(&region) }, why, sizeof why), 0);
        assert_int_equal(sp_model_load_done(model, &cases[i].counters, why, sizeof why), 0);
        struct sp_batch *batch = sp_batch_begin(model, 1);
        struct sp_uuid id;
        struct sp_server_input input = { .region = "SV2", .name = "vm" };
        int r = sp_batch_create_server(batch, &input, &id, &w.problems);
        r = r ? r : sp_batch_accept(batch, 0, &revision);
        assert_int_equal(r, SP_E_FULL);
        sp_batch_rollback(batch, 0);
        assert_memory_equal(sp_batch_counters(batch), &cases[i].counters, sizeof cases[i].counters);
        sp_batch_free(batch);
        assert_int_equal(sp_model_count_groups(model, NULL), 0);
        sp_model_free(model);
    }
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_staged_state_shows_until_the_seal), TEST(test_a_look_at_what_is_sealed),
        TEST(test_a_dropped_batch_leaves_no_trace),
        TEST(test_a_refused_request_leaves_no_trace), TEST(test_what_is_not_accepted_is_not_sealed),
        TEST(test_one_change_per_object_and_each_request_its_own), TEST(test_what_comes_and_goes_is_no_change),
        TEST(test_changes_come_in_the_order_of_writing), TEST(test_many_requests_in_one_batch), TEST(test_numbers_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
