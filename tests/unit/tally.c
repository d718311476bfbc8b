#include "flows/tally.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sallyport/pipeline.h"

enum { SLOT = 7, NAME = 99 };

static void
set_up(struct sp_tally **ret)
{
    *ret = sp_tally_new();
    assert_non_null(*ret);
}

/* What a reading of 'packets' (of 10 bytes) of NAME finds new. */
static uint64_t
read_flow(struct sp_tally *t, uint64_t packets)
{
    struct sp_count fresh;
    assert_int_equal(sp_tally_read(t, NAME, SLOT, &(struct sp_count) {packets, 10 * packets}, &fresh), 0);
    assert_int_equal(fresh.bytes, 10 * fresh.packets);
    return fresh.packets;
}

static uint64_t
read_alone(struct sp_tally *t, uint64_t packets)
{
    sp_tally_begin(t, false);
    uint64_t fresh = read_flow(t, packets);
    sp_tally_end(t);
    return fresh;
}

static uint64_t
remove_flow(struct sp_tally *t, uint64_t packets)
{
    struct sp_count fresh;
    assert_int_equal(sp_tally_removed(t, NAME, SLOT, &(struct sp_count) {packets, 10 * packets}, &fresh), 0);
    return fresh.packets;
}

static void
dump_without(struct sp_tally *t)
{
    sp_tally_begin(t, false);
    sp_tally_end(t);
}

/* Stores all that is to be stored; returns what that adds. */
static uint64_t
store(struct sp_tally *t, size_t *ret_rows)
{
    struct sp_tally_row row;
    uint64_t sum = 0;
    *ret_rows = 0;
    for (size_t cursor = 0; sp_tally_next_row(t, &cursor, &row); ++*ret_rows) {
        sum += row.fresh.packets;
        sp_tally_stored(t, &row);
    }
    return sum;
}

static void
test_goes_on(void **state)
{
    struct sp_tally *t;
    set_up(&t);
    assert_int_equal(read_alone(t, 0), 0);
    assert_true(sp_tally_is_empty(t)); /* What never counted costs nothing. */
    assert_int_equal(read_alone(t, 5), 5);
    assert_int_equal(read_alone(t, 5), 0);
    assert_int_equal(read_alone(t, 12), 7);
    assert_int_equal(remove_flow(t, 13), 1);
    assert_int_equal(read_alone(t, 4), 4); /* Again, and again from 0. */
    sp_tally_free(t);
}

/* The switch has begun anew, and already counts more than before: the dump that had the flow no more tells the two apart. */
static void
test_another_life(void **state)
{
    struct sp_tally *t;
    set_up(&t);
    assert_int_equal(read_alone(t, 5), 5);
    assert_int_equal(read_alone(t, 3), 3); /* Fewer. */
    dump_without(t);
    assert_int_equal(read_alone(t, 20), 20); /* A1 */
    assert_int_equal(read_alone(t, 21), 1);
    /* Fewer bytes are fewer, too. */
    struct sp_count fresh;
    sp_tally_begin(t, false);
    assert_int_equal(sp_tally_read(t, NAME, SLOT, &(struct sp_count) {30, 100}, &fresh), 0);
    assert_int_equal(fresh.packets, 30);
    sp_tally_free(t);
}

/* The end of a life is told after the next one has begun. */
static void
test_end_told_late(void **state)
{
    struct sp_tally *t;
    set_up(&t);
    assert_int_equal(read_alone(t, 10), 10);
    assert_int_equal(read_alone(t, 4), 4);
    assert_int_equal(remove_flow(t, 11), 1); /* A2 */
    assert_int_equal(read_alone(t, 6), 2);
    /* Or the next one had counted more by then: the sum is right all the same. */
    assert_int_equal(read_alone(t, 9) + remove_flow(t, 8) + read_alone(t, 10), 3 + 8 + 1);
    /* A life that nobody has read. */
    assert_int_equal(remove_flow(t, 2), 2);
    assert_int_equal(remove_flow(t, 0), 0);
    sp_tally_free(t);
}

static void
test_forgets(void **state)
{
    struct sp_tally *t;
    size_t n;
    set_up(&t);
    assert_int_equal(read_alone(t, 10), 10);
    assert_int_equal(store(t, &n), 10);
    for (unsigned i = 1; i < SP_TALLY_ABSENT_MAX; i++) {
        dump_without(t);
        assert_int_equal(store(t, &n), 0);
        assert_int_equal(n, i == 1); /* That it was not there is worth a row: a start must not go on from it. */
    }
    /* A dump that breaks off says nothing. */
    sp_tally_begin(t, false);
    assert_int_equal(store(t, &n), 0);
    assert_int_equal(n, 0);
    dump_without(t); /* A3 */
    assert_int_equal(store(t, &n), 0);
    assert_int_equal(n, 1);
    assert_true(sp_tally_is_empty(t));
    sp_tally_free(t);
}

static void
test_rows(void **state)
{
    struct sp_tally *t;
    struct sp_tally_row row, again;
    size_t cursor = 0, n;
    set_up(&t);
    assert_int_equal(read_alone(t, 10), 10);
    assert_true(sp_tally_next_row(t, &cursor, &row));
    assert_false(sp_tally_next_row(t, &cursor, &again));
    assert_int_equal(row.slot, SLOT);
    assert_int_equal(row.name, NAME);
    assert_int_equal(row.told.packets, 10);
    assert_int_equal(row.fresh.bytes, 100);
    assert_false(row.ended);
    /* It counts, and ends, while it is being stored. */
    assert_int_equal(read_alone(t, 12), 2);
    assert_int_equal(remove_flow(t, 15), 3);
    sp_tally_stored(t, &row);
    cursor = 0;
    assert_true(sp_tally_next_row(t, &cursor, &again));
    assert_int_equal(again.id, row.id);
    assert_int_equal(again.fresh.packets, 5);
    assert_true(again.ended);
    sp_tally_stored(t, &again);
    assert_true(sp_tally_is_empty(t));
    sp_tally_stored(t, &again); /* Of what is no more. */
    assert_int_equal(store(t, &n), 0);
    sp_tally_free(t);
}

/* A start goes on from what was stored, and takes no number of a row again. */
static void
test_load(void **state)
{
    struct sp_tally *t;
    struct sp_tally_row row = {.id = 41, .slot = SLOT, .name = NAME, .told = {10, 100}};
    size_t n, cursor = 0;
    set_up(&t);
    assert_int_equal(sp_tally_load(t, &row), 0);
    assert_int_equal(store(t, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(read_alone(t, 14), 4);
    assert_int_equal(store(t, &n), 4);
    assert_int_equal(n, 1);
    struct sp_count fresh;
    assert_int_equal(sp_tally_removed(t, NAME + 1, SLOT, &(struct sp_count) {1, 10}, &fresh), 0);
    assert_true(sp_tally_next_row(t, &cursor, &row));
    assert_int_equal(row.id, 42);
    sp_tally_free(t);
}

static void
test_drop(void **state)
{
    struct sp_tally *t;
    size_t n;
    set_up(&t);
    assert_int_equal(read_alone(t, 10), 10);
    sp_tally_drop(t);
    assert_int_equal(store(t, &n), 10);
    assert_true(sp_tally_is_empty(t));
    sp_tally_free(t);
}

/* Notices of flows that a switch makes up end somewhere; what is there is still counted. */
static void
test_bound(void **state)
{
    struct sp_tally *t;
    struct sp_count one = {1, 10}, fresh;
    size_t n;
    set_up(&t);
    for (uint64_t i = 0; i < SP_TALLY_ENDED_MAX; i++) {
        assert_int_equal(sp_tally_removed(t, 1000 + i, SLOT, &one, &fresh), 0);
    }
    assert_int_equal(sp_tally_removed(t, 5, SLOT, &one, &fresh), SP_E_FULL);
    assert_int_equal(fresh.packets, 0);
    assert_int_equal(read_alone(t, 3), 3);
    assert_int_equal(remove_flow(t, 4), 1);
    assert_int_equal(store(t, &n), SP_TALLY_ENDED_MAX + 4);
    assert_int_equal(sp_tally_removed(t, 5, SLOT, &one, &fresh), 0);
    sp_tally_free(t);
}

static void
test_which_are_counted(void **state)
{
    uint64_t rule = SP_COOKIE(SP_COOKIE_RULE, SLOT), set = SP_COOKIE(SP_COOKIE_SET, SLOT);
    uint16_t allows = SP_RULE_PRIORITY(100, false, 16), denies = SP_RULE_PRIORITY(100, true, 0);
    assert_true(sp_flow_is_counted(rule, SP_T_GATE, 200));
    assert_true(sp_flow_is_counted(rule, SP_T_STAMP, 100));
    assert_false(sp_flow_is_counted(set, SP_T_GATE, 200));
    assert_false(sp_flow_is_counted(rule & ~SP_COOKIE_OWNER_MASK, SP_T_STAMP, 100));
    static const uint8_t tables[] = {SP_T_RULES_IN, SP_T_RULES_OUT, SP_T_WIDE_IN, SP_T_WIDE_OUT, SP_T_SCTP_ORIGINAL,
                                     SP_T_SCTP_REPLY};
    for (size_t i = 0; i < sizeof tables; i++) {
        assert_true(sp_flow_is_counted(rule, tables[i], denies));
        assert_false(sp_flow_is_counted(rule, tables[i], allows)); /* STAMP has counted it. */
    }
    assert_false(sp_flow_is_counted(rule, SP_T_FORWARD, denies));
}

/* Names are stored: a release that makes them otherwise counts every flow's packets again. */
static void
test_names_stay(void **state)
{
    struct sp_flow_build b;
    struct sp_flow *flow, *other;
    sp_flow_build_init(&b, SP_T_RULES_IN, 1811, SP_COOKIE(SP_COOKIE_RULE, 3));
    sp_flow_match_exact(&b, SP_F_ETH_TYPE, 0x0800);
    sp_flow_match_uint(&b, SP_F_CT_STATE, SP_CT_TRK, SP_CT_TRK | SP_CT_INV);
    sp_flow_match_uint(&b, SP_F_CT_TP_DST, 0x1f40, 0xffc0);
    sp_flow_match_exact(&b, SP_R_SET, 1);
    assert_int_equal(sp_flow_build_done(&b, &flow), 0);
    assert_int_equal(sp_flow_name(flow), 0xa33eba3b12600a3);
    b.cookie++;
    assert_int_equal(sp_flow_build_done(&b, &other), 0);
    assert_int_not_equal(sp_flow_name(flow), sp_flow_name(other));
    sp_flow_unref(other);
    b.cookie--;
    sp_flow_load_reg(&b, SP_R_MARK, 5); /* What it does is not its name. */
    assert_int_equal(sp_flow_build_done(&b, &other), 0);
    assert_int_equal(sp_flow_name(flow), sp_flow_name(other));
    sp_flow_unref(other);
    sp_flow_unref(flow);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_another_life),
        cmocka_unit_test(test_end_told_late),
        cmocka_unit_test(test_forgets),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_which_are_counted),
        cmocka_unit_test(test_names_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
