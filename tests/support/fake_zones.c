#include "tests/support/fake_zones.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

struct fake_zones {
    size_t n_inherited;
    struct {
        uint64_t owner; /* Of its connections; 0: there are none. */
        bool open;
    } zones[UINT16_MAX + 1];
};

void fake_zones_open(struct fake_zones **zones, uint16_t zone, uint64_t owner)
{
    *zones = *zones ? *zones : calloc(1, sizeof **zones);
    assert(*zones);
    (*zones)->n_inherited += (*zones)->zones[zone].owner && (*zones)->zones[zone].owner != owner;
    (*zones)->zones[zone].owner = owner;
    (*zones)->zones[zone].open = true;
}

void fake_zones_close(struct fake_zones *zones, uint16_t zone)
{
    if (zones) {
        zones->zones[zone].open = false;
    }
}

void fake_zones_flush(struct fake_zones *zones, uint16_t zone)
{
    if (zones && !zones->zones[zone].open) {
        zones->zones[zone].owner = 0;
    }
}

size_t fake_zones_inherited(const struct fake_zones *zones)
{
    return zones ? zones->n_inherited : 0;
}
