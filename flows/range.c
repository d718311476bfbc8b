#include "flows/range.h"

/* From the bottom, each mask is the largest aligned block that starts there and stays within the range.  No cover has fewer
 * members: any block that holds the lowest port left starts there, and the largest such block contains all others. */
size_t sp_range_masks(uint16_t lo, uint16_t hi, struct sp_port_mask ret_masks[SP_RANGE_MASKS_MAX])
{
    uint32_t next = lo;
    size_t n = 0;

    while (next <= hi) {
        uint32_t size = next ? next & -next : 0x10000;

        while (size > hi - next + 1) {
            size /= 2;
        }
        ret_masks[n++] = (struct sp_port_mask){(uint16_t) next, (uint16_t) -size};
        next += size;
    }
    return n;
}
