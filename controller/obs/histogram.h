/* How long things took, counted in buckets: what /metrics shows as histograms. */

#ifndef SALLYPORT_CONTROLLER_OBS_HISTOGRAM_H
#define SALLYPORT_CONTROLLER_OBS_HISTOGRAM_H 1

#include "sallyport/value.h"

/* Upper bounds of the buckets in microseconds, ascending; what is longer than the last one has a bucket of its own. */
#define SP_HISTOGRAM_BOUNDS 16
extern const int64_t sp_histogram_bounds_us[SP_HISTOGRAM_BOUNDS];

/* All zero: nothing counted yet. */
struct sp_histogram {
    uint64_t counts[SP_HISTOGRAM_BOUNDS + 1];
    uint64_t sum_us;
};

/* Microseconds of a clock that never goes back; only differences mean anything. */
int64_t sp_histogram_clock_us(void);
/* Counts what took from 'begin_us' (of sp_histogram_clock_us()) until now. */
void sp_histogram_add_since(struct sp_histogram *, int64_t begin_us);
/* Counts 'duration_us', which is taken as 0 if it is negative. */
void sp_histogram_add(struct sp_histogram *, int64_t duration_us);

#endif
