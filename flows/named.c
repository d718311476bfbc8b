#include "flows/named.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* The bits of word 'i', which has some, that stand for ports from 'first' on and below 'end'. */
static uint64_t bits_of(unsigned i, unsigned first, unsigned end)
{
    uint64_t from = i == first / 64 ? UINT64_MAX << first % 64 : UINT64_MAX;

    return from & (i == (end - 1) / 64 ? UINT64_MAX >> (63 - (end - 1) % 64) : UINT64_MAX);
}

void sp_named_ports_add(struct sp_named_ports *named, uint16_t lo, uint16_t hi)
{
    for (unsigned i = lo / 64; 64 * i <= hi; i++) {
        named->bits[i] |= bits_of(i, lo, hi + 1u);
    }
}

bool sp_named_ports_any(const struct sp_named_ports *named, unsigned first, unsigned end)
{
    for (unsigned i = first / 64; first < end && 64 * i < end; i++) {
        if (named->bits[i] & bits_of(i, first, end)) {
            return true;
        }
    }
    return false;
}

/* A run of ranges in the order of their first ports; 'hi' is the last port of this range and of those before it. */
struct span {
    uint16_t lo, hi;
};

/* All ranges for just these addresses. */
struct prefix {
    struct sp_cidr remote;
    uint32_t first; /* Of its ranges, which end where those of the next one begin. */
    uint32_t outer; /* The smallest one around it, or NONE. */
};

struct sp_named_ranges {
    uint32_t n_prefixes;
    struct prefix *prefixes; /* In the order of compare_remotes(), so that what is within one follows it; one more ends them. */
    /* On level k, runs of 2^k ranges in the order of their prefixes, as far as they are complete. */
    struct span *levels[32];
};

/* By the first address, and the larger prefix first. */
static int compare_remotes(const struct sp_cidr *a, const struct sp_cidr *b)
{
    int order = memcmp(a->bytes, b->bytes, sizeof a->bytes);

    return order ? order : (int) a->prefix - (int) b->prefix;
}

static int compare_ranges(const void *a_, const void *b_)
{
    const struct sp_named_range *a = a_, *b = b_;

    return compare_remotes(&a->remote, &b->remote);
}

/* Of prefix 'i' and those around it, the smallest that 'remote' is within, which is not before it. */
static uint32_t find_outer(const struct sp_named_ranges *named, uint32_t i, const struct sp_cidr *remote)
{
    while (i != NONE && !sp_cidr_contains(&named->prefixes[i].remote, remote)) {
        i = named->prefixes[i].outer;
    }
    return i;
}

/* Merges runs of 'size' spans two by two, as far as the 'n' spans reach. */
static void merge(const struct span *runs, uint32_t n, uint32_t size, struct span *ret)
{
    for (uint32_t begin = 0; n - begin >= 2 * size; begin += 2 * size) {
        uint32_t a = begin, b = begin + size;
        uint16_t hi = 0;

        while (a < begin + size || b < begin + 2 * size) {
            bool from_a = b == begin + 2 * size || (a < begin + size && runs[a].lo <= runs[b].lo);
            struct span next = from_a ? runs[a++] : runs[b++];

            hi = next.hi > hi ? next.hi : hi;
            *ret++ = (struct span){next.lo, hi};
        }
    }
}

struct sp_named_ranges *sp_named_ranges_new(struct sp_named_range *ranges, size_t n)
{
    struct sp_named_ranges *named = calloc(1, sizeof *named);

    if (!named) {
        return NULL;
    }
    named->prefixes = calloc(n + 1, sizeof *named->prefixes);
    named->levels[0] = calloc(n + 1, sizeof *named->levels[0]);
    if (n >= NONE / 2 || !named->prefixes || !named->levels[0]) {
        sp_named_ranges_free(named);
        return NULL;
    }
    qsort(ranges, n, sizeof *ranges, compare_ranges);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t last = named->n_prefixes ? named->n_prefixes - 1 : NONE;

        named->levels[0][i] = (struct span){ranges[i].lo, ranges[i].hi};
        if (last == NONE || compare_remotes(&named->prefixes[last].remote, &ranges[i].remote)) {
            uint32_t outer = find_outer(named, last, &ranges[i].remote);

            named->prefixes[named->n_prefixes++] = (struct prefix){ranges[i].remote, i, outer};
        }
    }
    named->prefixes[named->n_prefixes].first = (uint32_t) n;
    for (unsigned level = 0; (2u << level) <= n; level++) {
        named->levels[level + 1] = malloc(n * sizeof *named->levels[0]);
        if (!named->levels[level + 1]) {
            sp_named_ranges_free(named);
            return NULL;
        }
        merge(named->levels[level], (uint32_t) n, 1u << level, named->levels[level + 1]);
    }
    return named;
}

void sp_named_ranges_free(struct sp_named_ranges *named)
{
    for (unsigned i = 0; named && i < 32; i++) {
        free(named->levels[i]);
    }
    free(named ? named->prefixes : NULL);
    free(named);
}

/* Whether any of the 'n' spans of a run has a port from 'first' on and below 'end'. */
static bool run_has(const struct span *run, uint32_t n, unsigned first, unsigned end)
{
    uint32_t low = 0;

    while (low < n) { /* Those before 'low' begin before 'end'. */
        uint32_t middle = low + (n - low) / 2;

        if (run[middle].lo < end) {
            low = middle + 1;
        } else {
            n = middle;
        }
    }
    return low && run[low - 1].hi >= first;
}

/* Whether any range of prefixes 'from' to before 'to' has such a port. */
static bool prefixes_have(const struct sp_named_ranges *named, uint32_t from, uint32_t to, unsigned first, unsigned end)
{
    uint32_t a = named->prefixes[from].first, b = named->prefixes[to].first;

    for (unsigned level = 0; a < b; level++, a /= 2, b /= 2) {
        uint32_t size = 1u << level;

        if ((a & 1 && run_has(&named->levels[level][a++ << level], size, first, end)) ||
            (b & 1 && run_has(&named->levels[level][--b << level], size, first, end))) {
            return true;
        }
    }
    return false;
}

/* The first prefix that is neither before 'remote' nor, if 'behind', within it. */
static uint32_t find_prefix(const struct sp_named_ranges *named, const struct sp_cidr *remote, bool behind)
{
    uint32_t low = 0, high = named->n_prefixes;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct sp_cidr *prefix = &named->prefixes[middle].remote;

        if (compare_remotes(prefix, remote) < 0 || (behind && sp_cidr_contains(remote, prefix))) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool sp_named_ranges_any(const struct sp_named_ranges *named, const struct sp_cidr *remote, unsigned first, unsigned end)
{
    uint32_t begin = find_prefix(named, remote, false);

    if (first >= end) {
        return false;
    }
    if (prefixes_have(named, begin, find_prefix(named, remote, true), first, end)) {
        return true;
    }
    for (uint32_t i = find_outer(named, begin ? begin - 1 : NONE, remote); i != NONE; i = named->prefixes[i].outer) {
        if (prefixes_have(named, i, i + 1, first, end)) {
            return true;
        }
    }
    return false;
}
