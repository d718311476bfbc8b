/* Parts of a program's code, by which an allocator that fails on purpose tells whose a call is.  Used where nothing of the
 * product may be linked, so all of it is here. */

#ifndef SALLYPORT_TESTS_SUPPORT_CALLER_RANGE_H
#define SALLYPORT_TESTS_SUPPORT_CALLER_RANGE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct caller_range {
    uintptr_t begin; /* Offset in the program. */
    uintptr_t end;
};

/* Whether one of the 'n' ranges, which are sorted and do not overlap, contains 'at'. */
static inline bool
caller_range_contain(const struct caller_range *ranges, size_t n, uintptr_t at)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (at < ranges[mid].begin) {
            hi = mid;
        } else if (at >= ranges[mid].end) {
            lo = mid + 1;
        } else {
            return true;
        }
    }
    return false;
}

#endif
