/* What tallies bring, added up by rule: slots that come, retire and are forgotten, and the rows that a store is given. */

#include "controller/counts.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/object.h"

#define DPID 0x11u
#define NOW INT64_C(1000)

static struct sp_uuid
id_of(uint8_t number)
{
    return (struct sp_uuid) { .bytes = { number, 1 } };
}

/* Rule set 'number', in which rule i of the 'n' from 'first_rule' on has slot first_slot + i. */
static struct sp_rule_set *
set_of(uint32_t number, uint8_t first_rule, uint32_t first_slot, size_t n)
{
    struct sp_admission admissions[8] = { 0 };
    struct sp_uuid group = id_of(200);
    char region[] = "SV2";
    for (size_t i = 0; i < n; i++) {
        admissions[i] = (struct sp_admission) { .rule = id_of((uint8_t) (first_rule + i)), .slot = first_slot + (uint32_t) i };
    }
    struct sp_rule_set fields = { .number = number, .region = region, .groups = &group, .n_groups = 1, .admissions = admissions,
                                  .n_admissions = n };
    struct sp_rule_set *set = sp_rule_set_new(&fields);
    assert_non_null(set);
    return set;
}

static uint64_t
packets_of(const struct sp_counts *counts, uint8_t rule)
{
    struct sp_hits hits;
    sp_counts_read(counts, &(struct sp_rule) { .id = id_of(rule) }, &hits);
    return hits.count.packets;
}

static void
follow(struct sp_counts *counts, const struct sp_rule_set *before, const struct sp_rule_set *after)
{
    assert_int_equal(sp_counts_follow(counts, &(struct sp_change) { SP_KIND_RULE_SET, before, after }, 1), 0);
}

static void
add(struct sp_counts *counts, uint32_t slot, uint64_t packets, int64_t now_us)
{
    sp_counts_add(counts, slot, &(struct sp_count) { packets, 100 * packets }, now_us);
}

/* A rule has a slot in each set that it is in. */
static void
test_sums_over_slots(void **state)
{
    struct sp_counts *counts = sp_counts_new(7);
    struct sp_rule_set *one = set_of(1, 1, 10, 3), *other = set_of(2, 2, 20, 2);
    struct sp_hits hits;
    sp_counts_load_since(counts, 500);
    assert_int_equal(sp_counts_load_set(counts, one), 0);
    follow(counts, NULL, other);
    add(counts, 11, 5, NOW);
    add(counts, 20, 7, NOW + 1);
    add(counts, 99, 1000, NOW); /* Nobody's. */
    add(counts, 0, 1000, NOW);
    sp_counts_read(counts, &(struct sp_rule) { .id = id_of(2), .created_at = 400 }, &hits);
    assert_int_equal(hits.count.packets, 12);
    assert_int_equal(hits.count.bytes, 1200);
    assert_int_equal(hits.first_us, NOW);
    assert_int_equal(hits.last_us, NOW + 1);
    assert_int_equal(hits.since_us, 500);
    sp_counts_read(counts, &(struct sp_rule) { .id = id_of(1), .created_at = 600 }, &hits);
    assert_int_equal(hits.count.packets + (uint64_t) hits.first_us, 0);
    assert_int_equal(hits.since_us, 600);

    add(counts, 12, INT64_MAX, NOW); /* A switch may say anything. */
    add(counts, 12, INT64_MAX, NOW);
    assert_int_equal(packets_of(counts, 3), INT64_MAX);
    sp_rule_set_unref(one);
    sp_rule_set_unref(other);
    sp_counts_free(counts);
}

/* What the flows of a set that has gone counted last is still the rule's, until that goes itself. */
static void
test_retired(void **state)
{
    struct sp_counts *counts = sp_counts_new(7);
    struct sp_rule_set *set = set_of(1, 1, 10, 2);
    struct sp_rule rule = { .refs = 1, .id = id_of(2), .origin = SP_ORIGIN_USER };
    struct sp_rule *rules[] = { &rule };
    char region[] = "SV2";
    struct sp_group before = { .id = id_of(200), .region = region, .rules = rules, .n_rules = 1 }, after = before;
    assert_int_equal(sp_counts_load_set(counts, set), 0);
    follow(counts, set, NULL);
    add(counts, 10, 3, NOW);
    add(counts, 11, 4, NOW);
    assert_int_equal(packets_of(counts, 1), 3);
    assert_int_equal(packets_of(counts, 2), 4);

    after.n_rules = 0;
    assert_int_equal(sp_counts_follow(counts, &(struct sp_change) { SP_KIND_GROUP, &before, &after }, 1), 0);
    assert_int_equal(packets_of(counts, 2), 0);
    add(counts, 11, 4, NOW);
    assert_int_equal(packets_of(counts, 2), 0);
    add(counts, 10, 3, NOW);
    assert_int_equal(packets_of(counts, 1), 6);
    sp_rule_set_unref(set);
    sp_counts_free(counts);
}

/* In the middle of a list one goes, one comes, one is replaced, two change places; in the set one gets another slot. */
static void
test_middle_of_a_list(void **state)
{
    struct sp_counts *counts = sp_counts_new(7);
    struct sp_rule_set *before = set_of(1, 1, 10, 5), *after = set_of(1, 1, 10, 5);
    const struct sp_admission admissions[] = { { .rule = id_of(1), .slot = 10 }, { .rule = id_of(3), .slot = 12 },
                                               { .rule = id_of(4), .slot = 13 }, { .rule = id_of(5), .slot = 20 },
                                               { .rule = id_of(6), .slot = 11 } }; /* The slot of the one that goes. */
    memcpy(after->admissions, admissions, sizeof admissions);
    struct sp_rule rules[8] = { 0 }, replaced = { .refs = 1, .id = id_of(3), .origin = SP_ORIGIN_USER };
    for (uint8_t i = 1; i < 7; i++) {
        rules[i] = (struct sp_rule) { .refs = 1, .id = id_of(i), .origin = SP_ORIGIN_USER };
    }
    struct sp_rule *old[] = { &rules[1], &rules[2], &rules[3], &rules[4], &rules[5] };
    struct sp_rule *new[] = { &rules[1], &rules[4], &rules[6], &replaced, &rules[5] };
    char region[] = "SV2";
    struct sp_group group = { .id = id_of(200), .region = region, .rules = old, .n_rules = 5 }, changed = group;
    changed.rules = new;
    const struct sp_change changes[] = { { SP_KIND_GROUP, &group, &changed }, { SP_KIND_RULE_SET, before, after } };
    assert_int_equal(sp_counts_load_set(counts, before), 0);
    for (uint32_t slot = 10; slot < 15; slot++) {
        add(counts, slot, 1, NOW);
    }
    assert_int_equal(sp_counts_follow(counts, changes, 2), 0);
    for (uint32_t slot = 10; slot <= 20; slot++) {
        add(counts, slot, slot, NOW);
    }
    assert_int_equal(packets_of(counts, 1), 1 + 10);
    assert_int_equal(packets_of(counts, 2), 0);
    assert_int_equal(packets_of(counts, 3), 1 + 12);
    assert_int_equal(packets_of(counts, 4), 1 + 13);
    assert_int_equal(packets_of(counts, 5), 1 + 14 + 20);
    assert_int_equal(packets_of(counts, 6), 11);
    sp_rule_set_unref(before);
    sp_rule_set_unref(after);
    sp_counts_free(counts);
}

/* Of the retired ones the last SP_COUNTS_RETIRED_MAX are known. */
static void
test_bound_of_retired(void **state)
{
    struct sp_counts *counts = sp_counts_new(7);
    for (uint32_t i = 0; i < SP_COUNTS_RETIRED_MAX + 2; i++) {
        struct sp_rule_set *set = set_of(1, 1, 1 + i, 1);
        follow(counts, NULL, set);
        follow(counts, set, NULL);
        sp_rule_set_unref(set);
    }
    add(counts, 1, 1, NOW);
    add(counts, 2, 1, NOW);
    assert_int_equal(packets_of(counts, 1), 0);
    add(counts, 3, 1, NOW);
    add(counts, SP_COUNTS_RETIRED_MAX + 2, 1, NOW);
    assert_int_equal(packets_of(counts, 1), 2);
    sp_counts_free(counts);
}

/* Takes all rows there are, batch by batch.  Returns their flows' number, and in '*ret_packets' what they add to rules. */
static size_t
write_all(struct sp_counts *counts, bool stored, unsigned *ret_batches, uint64_t *ret_packets)
{
    const struct sp_count_rows *rows;
    size_t n = 0;
    *ret_batches = 0;
    *ret_packets = 0;
    while ((rows = sp_counts_next_rows(counts))) {
        assert_in_range(rows->n_flows, 1, SP_COUNTS_ROWS_MAX);
        n += rows->n_flows;
        ++*ret_batches;
        for (size_t i = 0; i < rows->n_rules; i++) {
            *ret_packets += rows->rules[i].packets;
        }
        sp_counts_written(counts, stored);
        if (!stored) {
            break;
        }
    }
    return n;
}

/* Each flow's row is written once it is new, and again from the beginning if it was not stored. */
static void
test_rows(void **state)
{
    enum { N = 2 * SP_COUNTS_ROWS_MAX + 7 };
    struct sp_counts *counts = sp_counts_new(7);
    struct sp_rule_set *set = set_of(1, 1, 10, 1);
    unsigned n_batches;
    uint64_t packets;
    assert_int_equal(sp_counts_load_set(counts, set), 0);
    struct sp_tally *tally = sp_counts_tally(counts, DPID);
    assert_ptr_equal(sp_counts_tally(counts, DPID), tally);
    sp_tally_begin(tally, true);
    for (uint64_t name = 1; name <= N; name++) {
        struct sp_count fresh;
        assert_int_equal(sp_tally_read(tally, name, 10, &(struct sp_count) { 2, 200 }, &fresh), 0);
        sp_counts_add(counts, 10, &fresh, NOW);
    }
    sp_tally_end(tally);
    uint64_t all = packets_of(counts, 1);
    assert_int_equal(write_all(counts, false, &n_batches, &packets), SP_COUNTS_ROWS_MAX);
    assert_int_equal(write_all(counts, true, &n_batches, &packets), N);
    assert_int_equal(n_batches, 3);
    assert_int_equal(packets, all);
    assert_int_equal(write_all(counts, true, &n_batches, &packets), 0);

    /* A switch that is no longer ours is forgotten as soon as what it has counted is written. */
    sp_counts_drop(counts, DPID);
    assert_int_equal(write_all(counts, true, &n_batches, &packets), N);
    assert_int_equal(packets, 0);
    assert_null(sp_counts_next_rows(counts));
    assert_true(sp_tally_is_empty(sp_counts_tally(counts, DPID)));
    sp_rule_set_unref(set);
    sp_counts_free(counts);
}

/* What a store gives back is where it was. */
static void
test_loaded(void **state)
{
    struct sp_counts *counts = sp_counts_new(7);
    struct sp_rule_set *set = set_of(1, 1, 10, 1);
    struct sp_rule_row rule = { .rule = id_of(1), .packets = 40, .bytes = 4000, .first_hit = 3, .last_hit = 9 };
    struct sp_flow_row flow = { .dpid = DPID, .id = 1, .slot = 10, .name = 77, .packets = 40, .bytes = 4000 };
    struct sp_count fresh;
    assert_int_equal(sp_counts_load_rule(counts, &rule), 0);
    assert_int_equal(sp_counts_load_flow(counts, &flow), 0);
    assert_int_equal(sp_counts_load_set(counts, set), 0);
    struct sp_tally *tally = sp_counts_tally(counts, DPID);
    sp_tally_begin(tally, true);
    assert_int_equal(sp_tally_read(tally, 77, 10, &(struct sp_count) { 42, 4200 }, &fresh), 0);
    assert_int_equal(fresh.packets, 2);
    sp_counts_add(counts, 10, &fresh, NOW);
    assert_int_equal(packets_of(counts, 1), 42);
    sp_rule_set_unref(set);
    sp_counts_free(counts);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_over_slots),  cmocka_unit_test(test_retired), cmocka_unit_test(test_middle_of_a_list),
        cmocka_unit_test(test_bound_of_retired), cmocka_unit_test(test_rows),    cmocka_unit_test(test_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
