/* What a fake switch's conntrack may hold: for each zone, whose connections.  A port's connections can be in its zone while the
 * zone's flow is in PORT_SET, and afterwards until the zone is flushed. */

#ifndef SALLYPORT_TESTS_SUPPORT_FAKE_ZONES_H
#define SALLYPORT_TESTS_SUPPORT_FAKE_ZONES_H 1

#include <stddef.h>
#include <stdint.h>

struct fake_zones; /* NULL: nothing was ever in any of them. */

/* The flow of 'zone' comes, and bears 'owner' (not 0). */
void fake_zones_open(struct fake_zones **, uint16_t zone, uint64_t owner);
/* It goes. */
void fake_zones_close(struct fake_zones *, uint16_t zone);
void fake_zones_flush(struct fake_zones *, uint16_t zone);
/* How often a flow came to a zone in which another owner's connections were. */
size_t fake_zones_inherited(const struct fake_zones *);

#endif
