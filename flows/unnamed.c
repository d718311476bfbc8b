#include "flows/unnamed.h"

#include <string.h>

#define N_BLOCKS (1u << SP_UNNAMED_BITS)

void sp_named_ports_add(struct sp_named_ports *named, uint16_t lo, uint16_t hi)
{
    unsigned first = lo >> (16 - SP_UNNAMED_BITS), last = hi >> (16 - SP_UNNAMED_BITS);

    memset(&named->blocks[first], true, last - first + 1);
}

size_t sp_unnamed_ports(const struct sp_named_ports *named, struct sp_port_mask ret_masks[SP_UNNAMED_MAX])
{
    /* Whether anything in a block is named: [1] is all ports, [2] and [3] are the halves of that, [4] to [7] theirs. */
    bool is_named[2 * N_BLOCKS];
    unsigned bits = 0;
    size_t n = 0;

    memcpy(&is_named[N_BLOCKS], named->blocks, N_BLOCKS);
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
