#include "flows/table.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static struct sp_flow *make(uint16_t priority, uint64_t cookie, uint16_t port)
{
    struct sp_flow_build b;
    struct sp_flow *flow;

    sp_flow_build_init(&b, 1, priority, cookie);
    sp_flow_output(&b, port);
    assert_int_equal(sp_flow_build_done(&b, &flow), 0);
    return flow;
}

static void put(struct sp_flow_table *table, uint16_t priority, uint64_t cookie, uint16_t port)
{
    struct sp_flow *flow = make(priority, cookie, port);

    assert_int_equal(sp_flow_table_put(table, flow), 0);
    sp_flow_unref(flow);
}

static void test_put_find_remove(void **state)
{
    struct sp_flow_table *table = sp_flow_table_new();
    struct sp_flow *a = make(1, 1, 1), *b = make(1, 2, 2), *c = make(2, 1, 1);

    assert_non_null(table);
    assert_null(sp_flow_table_find(table, a));
    assert_false(sp_flow_table_remove(table, a));
    assert_int_equal(sp_flow_table_put(table, a), 0);
    assert_int_equal(a->refs, 2);
    assert_ptr_equal(sp_flow_table_find(table, b), a); /* The same key. */
    assert_null(sp_flow_table_find(table, c));
    assert_int_equal(sp_flow_table_put(table, b), 0);
    assert_int_equal(sp_flow_table_count(table), 1);
    assert_ptr_equal(sp_flow_table_find(table, a), b);
    assert_int_equal(a->refs, 1);
    assert_int_equal(sp_flow_table_put(table, b), 0); /* Onto itself. */
    assert_int_equal(b->refs, 2);
    assert_true(sp_flow_table_remove(table, a));
    assert_int_equal(b->refs, 1);
    assert_int_equal(sp_flow_table_count(table), 0);
    assert_false(sp_flow_table_remove(table, a));
    sp_flow_unref(a);
    sp_flow_unref(b);
    sp_flow_unref(c);
    sp_flow_table_free(table);
    sp_flow_table_free(NULL);
}

static void test_growth_and_walk(void **state)
{
    enum { N = 10000 };
    static unsigned seen[N + 1];
    struct sp_flow_table *table = sp_flow_table_new();
    struct sp_flow *flow;
    size_t cursor = 0;

    for (unsigned i = 1; i <= N; i++) {
        put(table, (uint16_t) i, i, 1);
    }
    assert_int_equal(sp_flow_table_count(table), N);
    for (unsigned i = 1; i <= N; i += 2) {
        flow = make((uint16_t) i, 0, 0);
        assert_true(sp_flow_table_remove(table, flow));
        sp_flow_unref(flow);
    }
    assert_int_equal(sp_flow_table_count(table), N / 2);
    while ((flow = sp_flow_table_next(table, &cursor))) {
        seen[flow->priority]++;
    }
    for (unsigned i = 1; i <= N; i++) {
        flow = make((uint16_t) i, 0, 0);
        assert_int_equal(seen[i], i % 2 == 0);
        assert_int_equal(sp_flow_table_find(table, flow) != NULL, i % 2 == 0);
        sp_flow_unref(flow);
    }
    sp_flow_table_free(table);
}

/* A table that is let go of bit by bit. */
static void test_drain(void **state)
{
    struct sp_flow_table *table = sp_flow_table_new();
    struct sp_flow *flows[100];
    unsigned held = 0, rounds = 0;

    for (unsigned i = 0; i < 100; i++) {
        flows[i] = make((uint16_t) (i + 1), 0, 0);
        assert_int_equal(sp_flow_table_put(table, flows[i]), 0);
    }
    while (sp_flow_table_drain(table, 10)) {
        unsigned before = held;

        rounds++;
        held = 0;
        for (unsigned i = 0; i < 100; i++) {
            held += flows[i]->refs == 2;
        }
        assert_true(rounds == 1 || (held <= before && before - held <= 10));
    }
    assert_true(rounds >= 100 / 10);
    assert_false(sp_flow_table_drain(table, 10));
    sp_flow_table_free(table);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(flows[i]->refs, 1);
        sp_flow_unref(flows[i]);
    }
}

static void test_diff(void **state)
{
    struct sp_flow_table *installed = sp_flow_table_new(), *desired = sp_flow_table_new();
    struct sp_flow_mods mods;
    bool new = false, cookie = false, actions = false;

    put(installed, 1, 1, 1), put(desired, 1, 1, 1); /* The same. */
    put(desired, 2, 1, 1);                          /* New. */
    put(installed, 3, 1, 1), put(desired, 3, 2, 1); /* Another cookie. */
    put(installed, 4, 1, 1), put(desired, 4, 1, 2); /* Other actions. */
    put(installed, 5, 1, 1);                        /* Gone. */
    sp_flow_mods_init(&mods);
    assert_int_equal(sp_flow_table_diff(installed, desired, &mods), 0);
    assert_int_equal(mods.n, 4);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(mods.mods[i].verb, SP_FLOW_ADD);
        assert_null(mods.mods[i].owner);
        new = new || mods.mods[i].flow->priority == 2;
        cookie = cookie || (mods.mods[i].flow->priority == 3 && mods.mods[i].flow->cookie == 2);
        actions = actions || mods.mods[i].flow->priority == 4;
    }
    assert_true(new && cookie && actions);
    assert_int_equal(mods.mods[3].verb, SP_FLOW_DELETE); /* Additions first. */
    assert_int_equal(mods.mods[3].flow->priority, 5);
    sp_flow_mods_clear(&mods);

    assert_int_equal(sp_flow_table_diff(desired, desired, &mods), 0);
    assert_int_equal(mods.n, 0);
    sp_flow_table_free(installed);
    sp_flow_table_free(desired);
}

static void test_mods_keep_their_flows(void **state)
{
    struct sp_flow *flow = make(1, 1, 1);
    struct sp_flow_mods mods;
    int owner;

    sp_flow_mods_init(&mods);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(sp_flow_mods_add(&mods, SP_FLOW_DELETE, flow, &owner), 0);
    }
    assert_int_equal(flow->refs, 101);
    assert_ptr_equal(mods.mods[99].owner, &owner);
    sp_flow_mods_clear(&mods);
    assert_int_equal(flow->refs, 1);
    sp_flow_unref(flow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_find_remove),
        cmocka_unit_test(test_growth_and_walk),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_mods_keep_their_flows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
