#include "flows/table.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/random.h"

/* A random flow out of few keys, so that tables share many of them. */
static struct sp_flow *random_flow(struct sp_random *random, unsigned n_keys, bool may_be_alien)
{
    unsigned key = sp_random_below(random, n_keys);
    struct sp_flow_build b;
    struct sp_flow *flow;

    sp_flow_build_init(&b, (uint8_t) (key % 3), (uint16_t) (1 + key / 3 % 5), sp_random_below(random, 2));
    sp_flow_match_exact(&b, SP_F_REG(key % 2), key / 15);
    if (may_be_alien && sp_random_chance(random, 10)) {
        assert_int_equal(sp_flow_build_done_alien(&b, &flow), 0);
        return flow;
    }
    for (unsigned i = sp_random_below(random, 3); i > 0; i--) {
        sp_flow_output(&b, (uint16_t) sp_random_below(random, 2));
    }
    assert_int_equal(sp_flow_build_done(&b, &flow), 0);
    return flow;
}

static struct sp_flow_table *random_table(struct sp_random *random, unsigned n_keys, bool aliens)
{
    struct sp_flow_table *table = sp_flow_table_new();

    assert_non_null(table);
    for (unsigned i = sp_random_below(random, n_keys + 1); i > 0; i--) {
        struct sp_flow *flow = random_flow(random, n_keys, aliens);

        assert_int_equal(sp_flow_table_put(table, flow), 0);
        sp_flow_unref(flow);
    }
    return table;
}

/* What a switch does: an addition replaces, a strict deletion removes if there is something. */
static void apply(struct sp_flow_table *table, const struct sp_flow_mods *mods)
{
    for (size_t i = 0; i < mods->n; i++) {
        if (mods->mods[i].verb == SP_FLOW_ADD) {
            assert_int_equal(sp_flow_table_put(table, mods->mods[i].flow), 0);
        } else {
            assert_true(sp_flow_table_remove(table, mods->mods[i].flow));
        }
    }
}

static void assert_same(const struct sp_flow_table *a, const struct sp_flow_table *b, uint64_t seed)
{
    struct sp_flow *flow;
    size_t cursor = 0;

    if (sp_flow_table_count(a) != sp_flow_table_count(b)) {
        fail_msg("seed %llu: counts differ", (unsigned long long) seed);
    }
    while ((flow = sp_flow_table_next(a, &cursor))) {
        struct sp_flow *other = sp_flow_table_find(b, flow);

        if (!other || !sp_flow_equal(flow, other)) {
            fail_msg("seed %llu: a flow differs", (unsigned long long) seed);
        }
    }
}

static size_t changes(const struct sp_flow_table *a, const struct sp_flow_table *b)
{
    struct sp_flow *flow;
    size_t cursor = 0, n = 0;

    while ((flow = sp_flow_table_next(a, &cursor))) {
        n += !sp_flow_table_find(b, flow);
    }
    cursor = 0;
    while ((flow = sp_flow_table_next(b, &cursor))) {
        struct sp_flow *old = sp_flow_table_find(a, flow);

        n += !old || !sp_flow_equal(old, flow);
    }
    return n;
}

static void test_diff_applied_gives_the_desired_table(void **state)
{
    struct sp_random random;

    sp_random_init(&random);
    for (unsigned round = 0; round < 1000; round++) {
        unsigned n_keys = 1 + sp_random_below(&random, 300);
        struct sp_flow_table *installed = random_table(&random, n_keys, true), *desired = random_table(&random, n_keys, false);
        struct sp_flow_mods mods;

        sp_flow_mods_init(&mods);
        assert_int_equal(sp_flow_table_diff(installed, desired, &mods), 0);
        assert_int_equal(mods.n, changes(installed, desired)); /* No more than needed. */
        for (size_t i = 1; i < mods.n; i++) {
            assert_false(mods.mods[i - 1].verb == SP_FLOW_DELETE && mods.mods[i].verb == SP_FLOW_ADD);
        }
        apply(installed, &mods);
        assert_same(installed, desired, random.seed);
        sp_flow_mods_clear(&mods);
        assert_int_equal(sp_flow_table_diff(installed, desired, &mods), 0);
        assert_int_equal(mods.n, 0);
        sp_flow_table_free(installed);
        sp_flow_table_free(desired);
    }
}

/* Against an array: the table holds, after any operations, what a list of (key, flow) would. */
static void test_table_is_a_map(void **state)
{
    enum { N_KEYS = 60, N_LIST = 2 * N_KEYS };
    struct sp_flow *list[N_LIST];
    struct sp_random random;
    size_t n = 0;
    struct sp_flow_table *table = sp_flow_table_new();

    sp_random_init(&random);
    for (unsigned round = 0; round < 100000; round++) {
        struct sp_flow *flow = random_flow(&random, N_KEYS, true);
        size_t at = 0;

        while (at < n && !sp_flow_same_key(list[at], flow)) {
            at++;
        }
        assert_ptr_equal(sp_flow_table_find(table, flow), at < n ? list[at] : NULL);
        if (sp_random_chance(&random, 50)) {
            assert_int_equal(sp_flow_table_put(table, flow), 0);
            assert_true(at < N_LIST);
            list[at] = flow; /* The table keeps it. */
            n += at == n;
        } else {
            assert_int_equal(sp_flow_table_remove(table, flow), at < n);
            if (at < n) {
                list[at] = list[--n];
            }
        }
        sp_flow_unref(flow);
        assert_int_equal(sp_flow_table_count(table), n);
    }
    sp_flow_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diff_applied_gives_the_desired_table),
        cmocka_unit_test(test_table_is_a_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
