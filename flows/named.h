/* The ports that the rules of a list name: all of them, and for which remote addresses. */

#ifndef SALLYPORT_FLOWS_NAMED_H
#define SALLYPORT_FLOWS_NAMED_H 1

#include "sallyport/value.h"

struct sp_named_ports {
    uint64_t bits[1024]; /* One for each port, set if a rule names it. */
};

/* A rule names the ports 'lo' to 'hi' (inclusive; lo <= hi). */
void sp_named_ports_add(struct sp_named_ports *, uint16_t lo, uint16_t hi);

/* Whether any of the ports from 'first' on and below 'end' (0 to 65536; none if first >= end) is named. */
bool sp_named_ports_any(const struct sp_named_ports *, unsigned first, unsigned end);

/* What one rule names. */
struct sp_named_range {
    struct sp_cidr remote; /* Prefix 0: whatever the address. */
    uint16_t lo, hi;       /* Inclusive; lo <= hi. */
};

/* Ranges by remote address: the time and memory to make it grow as n log n, the time to ask it as log n squared for each prefix
 * that is around the one asked for. */
struct sp_named_ranges;

/* Takes the 'n' 'ranges', all for addresses of one family, which it brings into another order.  Returns NULL if there is no
 * memory. */
struct sp_named_ranges *sp_named_ranges_new(struct sp_named_range *ranges, size_t n);
void sp_named_ranges_free(struct sp_named_ranges *); /* Or NULL. */

/* Whether any range is for an address of 'remote', of their family, and has a port from 'first' on and below 'end' (0 to 65536;
 * none if first >= end). */
bool sp_named_ranges_any(const struct sp_named_ranges *, const struct sp_cidr *remote, unsigned first, unsigned end);

#endif
