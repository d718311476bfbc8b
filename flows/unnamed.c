#include "flows/unnamed.h"

#define N_BLOCKS (1u << SP_UNNAMED_BITS)
#define BLOCK (0x10000u / N_BLOCKS) /* Ports. */

size_t sp_unnamed_ports(const struct sp_named_ports *named, struct sp_port_mask ret_masks[SP_UNNAMED_MAX])
{
    /* Whether anything in a block is named: [1] is all ports, [2] and [3] are the halves of that, [4] to [7] theirs. */
    bool is_named[2 * N_BLOCKS];
    unsigned bits = 0;
    size_t n = 0;

    for (unsigned i = 0; i < N_BLOCKS; i++) {
        is_named[N_BLOCKS + i] = sp_named_ports_any(named, i * BLOCK, (i + 1) * BLOCK);
    }
    for (size_t i = N_BLOCKS - 1; i; i--) {
        is_named[i] = is_named[2 * i] || is_named[2 * i + 1];
    }
    for (unsigned i = 2; i < 2 * N_BLOCKS && n < SP_UNNAMED_LARGEST; i++) {
        if (!is_named[i] && is_named[i / 2]) {
            bits = 31 - (unsigned) __builtin_clz(i);
            ret_masks[n++] = (struct sp_port_mask){(uint16_t) (i << (16 - bits)), (uint16_t) (0xffffu << (16 - bits))};
        }
    }
    for (; n && bits < SP_UNNAMED_BITS; bits++, n++) { /* The last one is of the smallest. */
        uint16_t half = (uint16_t) (1u << (15 - bits));

        ret_masks[n - 1].mask |= half;
        ret_masks[n] = (struct sp_port_mask){ret_masks[n - 1].value | half, ret_masks[n - 1].mask};
    }
    return n;
}
