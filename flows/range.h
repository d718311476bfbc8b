/* Port ranges as masked values, the only form in which a flow can match them.
 *
 * Nests.  Where the ports beside a range are nobody's, they may be matched as well, if longer masks, which stand above, take
 * them out again: 1 to 14 is 0 to 15 without 0 and without 15, 3 masks instead of 6.  A random range takes 14.0 masks, but
 * 10.1 in a nest. */

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

struct sp_nested_mask {
    struct sp_port_mask ports;
    bool out; /* They are taken out again. */
};

/* The fewest masks of at least one bit of which the longest that holds a port tells whether it is in 'lo'..'hi' (inclusive, lo
 * <= hi); no mask, or one that takes out, if it is not.  Stores them in 'ret_masks' and returns their number, which is
 * less than that of sp_range_masks(), or 0 if it cannot be; '*ret_first' and '*ret_last' get the first and the last port
 * that they hold. */
size_t sp_range_nest(uint16_t lo, uint16_t hi, struct sp_nested_mask ret_masks[SP_RANGE_MASKS_MAX], uint16_t *ret_first,
                     uint16_t *ret_last);

#endif
