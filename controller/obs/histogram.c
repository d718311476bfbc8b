#include "controller/obs/histogram.h"

#include <time.h>

const int64_t sp_histogram_bounds_us[SP_HISTOGRAM_BOUNDS] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 5000000, 10000000, 60000000,
};

int64_t
sp_histogram_clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void
sp_histogram_add_since(struct sp_histogram *histogram, int64_t begin_us)
{
    sp_histogram_add(histogram, sp_histogram_clock_us() - begin_us);
}

void
sp_histogram_add(struct sp_histogram *histogram, int64_t duration_us)
{
    size_t bucket = 0;
    duration_us = duration_us < 0 ? 0 : duration_us;
    while (bucket < SP_HISTOGRAM_BOUNDS && duration_us > sp_histogram_bounds_us[bucket]) {
        bucket++;
    }
    histogram->counts[bucket]++;
    histogram->sum_us += (uint64_t) duration_us;
}
