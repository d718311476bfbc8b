#include "flows/range.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/random.h"

/* How many aligned blocks 'lo'..'hi' needs at least, by another way than the code under test: the block 'base'..'base + size - 1'
 * is taken whole if it lies inside; else the halves are counted. */
static unsigned fewest(unsigned lo, unsigned hi, unsigned base, unsigned size)
{
    if (base > hi || base + size - 1 < lo) {
        return 0;
    }
    if (base >= lo && base + size - 1 <= hi) {
        return 1;
    }
    return fewest(lo, hi, base, size / 2) + fewest(lo, hi, base + size / 2, size / 2);
}

/* The same by trying all covers: the best cover of 'lo'..'hi' is a block that begins at 'lo' and the best cover of the rest. */
static unsigned fewest_by_search(unsigned lo, unsigned hi, unsigned memo[])
{
    unsigned best = 1000;

    if (lo > hi) {
        return 0;
    }
    if (memo[lo]) {
        return memo[lo];
    }
    for (unsigned size = 1; lo % size == 0 && lo + size - 1 <= hi; size *= 2) {
        unsigned n = 1 + fewest_by_search(lo + size, hi, memo);

        best = n < best ? n : best;
    }
    return memo[lo] = best;
}

/* Exact and disjoint: the masks, in ascending order, are prefixes whose blocks join from lo to hi. */
static void check(unsigned lo, unsigned hi, unsigned expected_n)
{
    struct sp_port_mask masks[SP_RANGE_MASKS_MAX];
    size_t n = sp_range_masks((uint16_t) lo, (uint16_t) hi, masks);
    unsigned next = lo;

    if (n != expected_n) {
        fail_msg("%u..%u: %zu masks, not %u", lo, hi, n, expected_n);
    }
    for (size_t i = 0; i < n; i++) {
        unsigned size = (~masks[i].mask & 0xffffu) + 1;

        if (masks[i].value != next || masks[i].value & ~masks[i].mask || size & (size - 1)) {
            fail_msg("%u..%u: mask %zu is 0x%x/0x%x", lo, hi, i, masks[i].value, masks[i].mask);
        }
        next += size;
    }
    if (n && next != hi + 1) {
        fail_msg("%u..%u: ends at %u", lo, hi, next - 1);
    }
}

static void test_all_small_pairs(void **state)
{
    for (unsigned lo = 0; lo < 256; lo++) {
        for (unsigned hi = lo; hi < 256; hi++) {
            check(lo, hi, fewest(lo, hi, 0, 0x10000));
        }
    }
}

static void test_all_pairs_near_the_top(void **state)
{
    for (unsigned lo = 65536 - 256; lo < 65536; lo++) {
        for (unsigned hi = lo; hi < 65536; hi++) {
            check(lo, hi, fewest(lo, hi, 0, 0x10000));
        }
    }
}

static void test_no_cover_is_smaller(void **state)
{
    for (unsigned lo = 0; lo < 128; lo++) {
        for (unsigned hi = lo; hi < 128; hi++) {
            unsigned memo[129] = {0};

            check(lo, hi, fewest_by_search(lo, hi, memo));
        }
    }
}

static void test_every_port_is_judged_right(void **state)
{
    static const struct {
        uint16_t lo, hi;
    } ranges[] = {{1, 65534}, {0, 65535}, {5200, 5299}, {32768, 60999}, {1, 65535}, {0, 65534}};
    struct sp_port_mask masks[SP_RANGE_MASKS_MAX];

    for (size_t r = 0; r < sizeof ranges / sizeof ranges[0]; r++) {
        size_t n = sp_range_masks(ranges[r].lo, ranges[r].hi, masks);

        for (unsigned port = 0; port < 65536; port++) {
            unsigned hits = 0;

            for (size_t i = 0; i < n; i++) {
                hits += (port & masks[i].mask) == masks[i].value;
            }
            if (hits != (port >= ranges[r].lo && port <= ranges[r].hi)) {
                fail_msg("%u..%u: port %u is matched %u times", ranges[r].lo, ranges[r].hi, port, hits);
            }
        }
    }
}

static void test_random_pairs(void **state)
{
    struct sp_random random;

    sp_random_init(&random);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned a = sp_random_below(&random, 65536), b = sp_random_below(&random, 65536);

        check(a < b ? a : b, a < b ? b : a, fewest(a < b ? a : b, a < b ? b : a, 0, 0x10000));
    }
}

/* Which of in, 2, and out, 1, a node of the tree may be said to be at the least cost, and in '*n_both' how often two halves agree
 * in none (Draves, King, Venkatachary, Zill: Constructing Optimal IP Routing Tables, 1999). */
static unsigned may_be(unsigned lo, unsigned hi, unsigned base, unsigned size, unsigned *n_both)
{
    unsigned lower, upper;

    if (base > hi || base + size - 1 < lo) {
        return 1;
    }
    if (base >= lo && base + size - 1 <= hi) {
        return 2;
    }
    lower = may_be(lo, hi, base, size / 2, n_both);
    upper = may_be(lo, hi, base + size / 2, size / 2, n_both);
    *n_both += !(lower & upper);
    return lower & upper ? lower & upper : lower | upper;
}

static unsigned fewest_nested(unsigned lo, unsigned hi)
{
    unsigned n = 0;

    n += !(may_be(lo, hi, 0, 0x8000, &n) & 1);
    n += !(may_be(lo, hi, 0x8000, 0x8000, &n) & 1);
    return n;
}

/* Whether the longest of 'masks' that holds 'port' says that it is in; there is one longest. */
static bool says_in(const struct sp_nested_mask *masks, size_t n, unsigned port)
{
    const struct sp_nested_mask *longest = NULL;

    for (size_t i = 0; i < n; i++) {
        if ((port & masks[i].ports.mask) == masks[i].ports.value) {
            assert_true(!longest || masks[i].ports.mask != longest->ports.mask);
            longest = longest && longest->ports.mask > masks[i].ports.mask ? longest : &masks[i];
        }
    }
    return longest && !longest->out;
}

static size_t check_nest(unsigned lo, unsigned hi, struct sp_random *random)
{
    struct sp_port_mask plain[SP_RANGE_MASKS_MAX];
    struct sp_nested_mask masks[SP_RANGE_MASKS_MAX];
    size_t n_plain = sp_range_masks((uint16_t) lo, (uint16_t) hi, plain);
    uint16_t first, last;
    size_t n = sp_range_nest((uint16_t) lo, (uint16_t) hi, masks, &first, &last), expected = fewest_nested(lo, hi);
    unsigned lowest = 65535, highest = 0;

    if (n != (expected < n_plain ? expected : 0)) {
        fail_msg("%u..%u: %zu nested masks, not %zu; %zu plain ones", lo, hi, n, expected, n_plain);
    }
    if (!n) {
        return n_plain;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned size = (~masks[i].ports.mask & 0xffffu) + 1;

        assert_true(masks[i].ports.mask && !(masks[i].ports.value & ~masks[i].ports.mask) && !(size & (size - 1)));
        lowest = masks[i].ports.value < lowest ? masks[i].ports.value : lowest;
        highest = masks[i].ports.value + size - 1 > highest ? masks[i].ports.value + size - 1 : highest;
    }
    assert_int_equal(first, lowest);
    assert_int_equal(last, highest);
    for (unsigned i = 0; i < 200; i++) {
        unsigned edges[] = {0, 65535, lo, hi, first, last}, port = edges[i / 3 % 6] + i % 3 - 1;

        port = i < 18 ? port & 0xffff : first + sp_random_below(random, last - first + 1u);
        if (says_in(masks, n, port) != (port >= lo && port <= hi)) {
            fail_msg("%u..%u: port %u is judged wrong", lo, hi, port);
        }
    }
    return n;
}

static void test_nests(void **state)
{
    static const uint16_t some[][2] = {{1, 65534},     {0, 65535}, {1, 65535},    {0, 65534},
                                       {32767, 32768}, {1, 32767}, {32768, 65534}};
    struct sp_random random;
    size_t n = 0, n_all;

    sp_random_init(&random);
    for (unsigned lo = 0; lo < 80; lo++) {
        for (unsigned hi = lo; hi < 80; hi++) {
            check_nest(lo, hi, &random);
            check_nest(65535 - hi, 65535 - lo, &random);
        }
    }
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        check_nest(some[i][0], some[i][1], &random);
    }
    for (n_all = 0; n_all < 20000; n_all++) {
        unsigned a = sp_random_below(&random, 65536), b = sp_random_below(&random, 65536);

        n += check_nest(a < b ? a : b, a < b ? b : a, &random);
    }
    assert_true(10 * n < 103 * n_all); /* 10.15 on the average. */
}

static void test_bounds(void **state)
{
    struct sp_port_mask masks[SP_RANGE_MASKS_MAX];

    assert_int_equal(sp_range_masks(1, 65534, masks), SP_RANGE_MASKS_MAX);
    assert_int_equal(sp_range_masks(0, 65535, masks), 1);
    assert_int_equal(masks[0].value, 0);
    assert_int_equal(masks[0].mask, 0);
    assert_int_equal(sp_range_masks(65535, 65535, masks), 1);
    assert_int_equal(masks[0].mask, 0xffff);
    assert_int_equal(sp_range_masks(2, 1, masks), 0);
    assert_int_equal(sp_range_masks(65535, 0, masks), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_small_pairs),
        cmocka_unit_test(test_all_pairs_near_the_top),
        cmocka_unit_test(test_no_cover_is_smaller),
        cmocka_unit_test(test_every_port_is_judged_right),
        cmocka_unit_test(test_random_pairs),
        cmocka_unit_test(test_nests),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
