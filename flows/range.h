/* Port ranges as masked values, the only form in which a flow can match them. */

#ifndef SALLYPORT_FLOWS_RANGE_H
#define SALLYPORT_FLOWS_RANGE_H 1

#include "sallyport/value.h"

#define SP_RANGE_MASKS_MAX 30 /* [1, 65534] needs this many. */

struct sp_port_mask {
    uint16_t value; /* Host order, as all ports here; bits outside of 'mask' are 0. */
    uint16_t mask;
};

/* Splits 'lo'..'hi' (inclusive) into the fewest disjoint masks that together match exactly that set.  Stores them in
 * 'ret_masks' in ascending order (at most SP_RANGE_MASKS_MAX) and returns their number, or 0 if lo > hi.
 * Source: ovs-fields(7), "Bitwise match". */
size_t sp_range_masks(uint16_t lo, uint16_t hi, struct sp_port_mask ret_masks[SP_RANGE_MASKS_MAX]);

#endif
