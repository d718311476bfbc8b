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

/* How many masks it takes below a node of the tree of all prefixes if what is above leaves its ports out, [0], or in, [1]. */
struct cost {
    unsigned n[2];
};
static const struct cost is_out = {{0, 1}}, is_in = {{1, 0}};

/* A range, and what both halves together cost of the nodes that it has a part of: on each level, above the leaves, the one that
 * holds 'lo', [0], and the one that holds 'hi', if that is another, [1]. */
struct nest {
    unsigned lo, hi;
    struct cost halves[16][2];
};

/* Stores in '*halves' what 'a' and 'b' cost together; returns what their node does, which may turn its ports round first. */
static struct cost join(struct cost *halves, struct cost a, struct cost b)
{
    unsigned out = a.n[0] + b.n[0], in = a.n[1] + b.n[1];

    *halves = (struct cost){{out, in}};
    return (struct cost){{out <= in ? out : in + 1, in <= out ? in : out + 1}};
}

/* Finds what the nodes of 'nest' cost, and returns the number of masks.  Below where the ways to 'lo' and 'hi' part, which they
 * do, all that lies between them is in, and all else is out. */
static unsigned find_costs(struct nest *nest)
{
    unsigned split = 31u - (unsigned) __builtin_clz(nest->lo ^ nest->hi);
    struct cost lower = is_in, upper = is_in;

    for (unsigned level = 1; level <= split; level++) {
        lower = join(&nest->halves[level][0], lower, nest->lo >> (level - 1) & 1 ? is_out : is_in);
        upper = join(&nest->halves[level][1], upper, nest->hi >> (level - 1) & 1 ? is_in : is_out);
    }
    if (split == 15) { /* No mask is of no bit. */
        return lower.n[0] + upper.n[0];
    }
    lower = join(&nest->halves[split + 1][0], lower, upper);
    for (unsigned level = split + 2; level < 16; level++) {
        lower = join(&nest->halves[level][0], lower, is_out);
    }
    return lower.n[0];
}

/* Adds the masks of the node of 'level' that begins with port 'first', and of those below it, to the 'n' of 'masks', and returns
 * their number; what is above leaves its ports in or out. */
static size_t add_masks(const struct nest *nest, unsigned first, unsigned level, bool in, struct sp_nested_mask *masks, size_t n)
{
    unsigned size = 1u << level;
    bool all_in = first >= nest->lo && first + size - 1 <= nest->hi, all_out = first > nest->hi || first + size - 1 < nest->lo;
    const struct cost *halves = &nest->halves[level][first > nest->lo || first + size - 1 < nest->lo];

    if (all_in || all_out ? all_in != in : halves->n[!in] + 1 < halves->n[in]) {
        in = !in;
        masks[n++] = (struct sp_nested_mask){{(uint16_t) first, (uint16_t) -size}, !in};
    }
    if (all_in || all_out) {
        return n;
    }
    n = add_masks(nest, first, level - 1, in, masks, n);
    return add_masks(nest, first + size / 2, level - 1, in, masks, n);
}

size_t sp_range_nest(uint16_t lo, uint16_t hi, struct sp_nested_mask ret_masks[SP_RANGE_MASKS_MAX], uint16_t *ret_first,
                     uint16_t *ret_last)
{
    struct sp_port_mask plain[SP_RANGE_MASKS_MAX];
    size_t n = sp_range_masks(lo, hi, plain);
    struct nest nest;

    nest.lo = lo;
    nest.hi = hi;
    if (n <= 2 || find_costs(&nest) >= n) {
        return 0;
    }
    n = add_masks(&nest, 0, 15, false, ret_masks, 0);
    n = add_masks(&nest, 0x8000, 15, false, ret_masks, n);
    *ret_first = lo;
    *ret_last = hi;
    for (size_t i = 0; i < n; i++) {
        uint16_t first = ret_masks[i].ports.value, last = (uint16_t) (first | (uint16_t) ~ret_masks[i].ports.mask);

        *ret_first = first < *ret_first ? first : *ret_first;
        *ret_last = last > *ret_last ? last : *ret_last;
    }
    return n;
}
