#include "controller/obs/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
test_bounds_ascend(void **state)
{
    for (size_t i = 1; i < SP_HISTOGRAM_BOUNDS; i++) {
        assert_true(sp_histogram_bounds_us[i] > sp_histogram_bounds_us[i - 1]);
    }
}

/* A duration belongs to the first bucket whose bound it does not exceed. */
static void
test_each_bucket(void **state)
{
    struct sp_histogram histogram = {.sum_us = 0};
    uint64_t sum = 0;
    for (size_t i = 0; i < SP_HISTOGRAM_BOUNDS; i++) {
        sp_histogram_add(&histogram, sp_histogram_bounds_us[i]);
        sp_histogram_add(&histogram, sp_histogram_bounds_us[i] + 1);
        sum += 2 * (uint64_t) sp_histogram_bounds_us[i] + 1;
    }
    assert_int_equal(histogram.counts[0], 1);
    for (size_t i = 1; i < SP_HISTOGRAM_BOUNDS; i++) {
        assert_int_equal(histogram.counts[i], 2);
    }
    assert_int_equal(histogram.counts[SP_HISTOGRAM_BOUNDS], 1);
    assert_int_equal(histogram.sum_us, sum);
}

static void
test_negative_is_nothing(void **state)
{
    struct sp_histogram histogram = {.sum_us = 0};
    sp_histogram_add(&histogram, -5);
    sp_histogram_add(&histogram, INT64_MAX);
    assert_int_equal(histogram.counts[0], 1);
    assert_int_equal(histogram.counts[SP_HISTOGRAM_BOUNDS], 1);
    assert_int_equal(histogram.sum_us, INT64_MAX);
}

static void
test_since(void **state)
{
    struct sp_histogram histogram = {.sum_us = 0};
    sp_histogram_add_since(&histogram, sp_histogram_clock_us() - sp_histogram_bounds_us[SP_HISTOGRAM_BOUNDS - 1] - 1);
    assert_int_equal(histogram.counts[SP_HISTOGRAM_BOUNDS], 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_ascend),
        cmocka_unit_test(test_each_bucket),
        cmocka_unit_test(test_negative_is_nothing),
        cmocka_unit_test(test_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
